"""`mlgit model`: the verbs that change the registry, and sending what they made."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlgit import tags
from mlgit.cli import complete, output
from mlgit.cli.place import find_run, repository
from mlgit.cli.place import ledger as open_ledger
from mlgit.errors import Invalid, NotFound, RemoteFailed
from mlgit.ledger import Ledger, tagging
from mlgit.ledger.tagging import New
from mlgit.records import Run
from mlgit.registry import approvals, events, policy, signatures, verbs
from mlgit.registry.approvals import Approval
from mlgit.registry.find import FORMS, split, version_meant
from mlgit.registry.fold import Model, Version
from mlgit.registry.search import runs_of
from mlgit.registry.signatures import Signer
from mlgit.registry.state import load, load_model

if TYPE_CHECKING:
    from mlgit.ledger.sync import Refused

_push = click.option("--push", is_flag=True, help="Fetch first, and send it, all or nothing.")
_why = click.option("-m", "--reason", default="", metavar="TEXT", help="Why; kept with it.")
_version = click.argument("version", metavar="MODEL@VERSION")


def _command(name: str, epilog: str) -> Callable[[Callable[..., None]], click.Command]:
    return click.command(name, epilog=f"\b\nExamples:\n{epilog}")


def _change(
    text: str,
    push: bool,
    verb: Callable[[Ledger, Model, Version | None], list[New]],
    find: Callable[[Model, str], Version] = version_meant,
) -> None:
    """Does something to a model or version, and sends it if asked to."""
    turn, waiting = _turn(text) if push else (None, [])
    with open_ledger() as ledger:
        name, said = split(text)
        model = load_model(ledger, name)
        if name != model.title:
            output.warn(f"the model {name} is called {model.title} now")
        version = find(model, said) if said is not None else None
        made = verb(ledger, model, version)
    for tag in made:  # each says what was done
        subject = tag.message.partition("\n")[0]
        click.echo(f"{output.clean(subject)}  (git tag {output.clean(tag.name)})")
    before = [tag for tag in waiting if tags.model_of(tag) == model.name]
    if push and (made or before):
        _send(model.name, [tag.name for tag in made], before, turn)


def _turn(text: str) -> tuple[tagging.Turn, list[str]]:
    """Fetches what others did, and notes where the model stood before.

    Returns the git tags, too, that the remote has not.
    """
    from mlgit.ledger import sync

    name, _ = split(text)
    with contextlib.suppress(NotFound), open_ledger() as ledger:  # others may have registered it
        name = load_model(ledger, name).name
    turn = tagging.take_turn(repository(), sync.known_remote(repository(), None), name)
    return turn, _fetch()


def _needed(version: Version | None, text: str) -> Version:
    if version is None:
        raise NotFound(f"{text} names no version", FORMS)
    return version


def _fetch() -> list[str]:
    """Fetches runs and git tags, and returns the tags that the remote has not."""
    from mlgit.ledger import sync

    sync.pull(repository())
    moved = tagging.fetch(repository())
    if moved.clashing:
        raise RemoteFailed(
            f"the git tag {moved.clashing[0]} here is not the one on the remote",
            f"yours was never sent; let go of it: git tag -d '{moved.clashing[0]}'",
        )
    return moved.waiting


def _send(
    model: str,
    made: Sequence[str],
    before: Sequence[str] = (),
    turn: tagging.Turn | None = None,
) -> None:
    """Sends the ledger and the tags together; what is refused is taken back.

    `before` are tags that were made earlier, which those `made` now stand on.
    """
    from mlgit import remotes, transfer
    from mlgit.ledger import sync

    with open_ledger() as ledger:
        shares_data = ledger.exists and bool(remotes.list_remotes(ledger))
    if shares_data:
        transfer.push(repository(), progress=output.transfer("Sending data"))
    remote = sync.known_remote(repository(), None)
    try:
        tagging.send(repository(), remote, [*before, *made], turn, sys.stderr.isatty())
    except sync.Refused as error:
        raise _taken_back(error, remote, model, made) from error
    click.echo(f"Sent to {remote}.", err=True)


def _taken_back(error: Refused, remote: str, model: str, made: Sequence[str]) -> RemoteFailed:
    """Lets go of tags that a remote refused, and returns what to say of it."""
    from mlgit.ledger import sync

    ours = tagging.here(repository())
    known = {event.tag for event in events.load(repository(), model)}
    tagging.drop(repository(), made)
    tagging.fetch(repository())
    theirs = tagging.here(repository())
    if arrived := [tag for tag in made if theirs.get(tag) == ours[tag]]:
        have = "has" if len(arrived) == 1 else "have"
        return RemoteFailed(
            error.message,
            f"{output.listed(arrived, 3)} {have} arrived all the same: {remote} takes no push "
            f"all or nothing; see 'mlgit model history {model}'",
        )
    if not isinstance(error, sync.Overtaken):
        asks = "see to what it asks for, then say it again"
        hint = error.hint if isinstance(error, sync.TurnRefused) else asks
        return RemoteFailed(error.message, f"nothing was changed; {hint}")
    new = [e for e in events.load(repository(), model) if e.tag not in known - {*made}]
    told = "; ".join(f"{e.by}: {e.subject}" for e in new[:3])
    return RemoteFailed(
        error.message + (told and f"; meanwhile {told}"),
        "nothing was changed; to do it all the same, say it again",
    )


# --- versions --------------------------------------------------------------------------


@_command(
    "register",
    """\
  mlgit model register churn @best:metrics.rmse
  mlgit model register churn baseline:checkpoints/last --version 2.1
  mlgit model register churn ./saved-elsewhere        # a file or folder that no run made""",
)
@click.argument("model")
@click.argument("source", metavar="RUN[:PATH]", shell_complete=complete.runs)
@click.option("--version", metavar="V", help="Its number; otherwise the next whole one.")
@click.option("--description", default="", metavar="TEXT", help="What it is, in Markdown.")
@_why
@_push
def register_command(
    model: str, source: str, version: str | None, description: str, reason: str, push: bool
) -> None:
    """Register a run's model as a new version."""
    if push:
        _fetch()
    path: str | None = None
    with open_ledger() as ledger:
        try:
            run, path = _run_and_path(ledger, source)
        except NotFound:
            if not Path(source).exists():
                raise
            run = None
    if run is None:
        run = _import(model, Path(source))
    with open_ledger() as ledger:
        made = verbs.register(
            ledger,
            load(ledger),
            model,
            run,
            path,
            version=version,
            description=description,
            reason=reason,
        )
        name = load_model(ledger, model).name
    tag = str(tags.EventName(name, "register", version=made.version))
    click.echo(f"Registered {output.clean(made.name)}: git tag {output.clean(tag)}")
    if push:
        _send(name, [tag])


def _run_and_path(ledger: Ledger, source: str) -> tuple[Run, str | None]:
    """Returns the run, and the artifact's path if one is named; a name may hold a colon."""
    try:
        return find_run(ledger, source), None
    except NotFound:
        name, colon, path = source.rpartition(":")
        if not colon:
            raise
        return find_run(ledger, name), path


def _import(model: str, path: Path) -> Run:
    """Records a run that only brings in a model saved outside."""
    from mlgit.tracking.session import start_run

    with start_run("imported models", model, capture=["code", "command"]) as run:
        run.set_tag("mlgit.imported", path.name)
        run.log_model(path)
    with open_ledger() as ledger:
        return find_run(ledger, run.id)


@_command(
    "promote",
    """\
  mlgit model promote churn@v2 production -m "beats v1 by 4 %"
  mlgit model promote churn@latest staging --push
  mlgit model promote churn@v3 production --archive-existing""",
)
@_version
@click.argument("stage")
@_why
@click.option("--archive-existing", is_flag=True, help="Archive the version that leaves.")
@click.option("--force", is_flag=True, help="Against the policy; needs a reason, stays visible.")
@_push
def promote_command(
    version: str, stage: str, reason: str, archive_existing: bool, force: bool, push: bool
) -> None:
    """Move a version to a stage; the version that was in it leaves.

    If mlgit.toml says what the stage asks for, that is checked first.
    """

    def verb(ledger: Ledger, model: Model, found: Version | None) -> list[New]:
        chosen = _needed(found, version)
        rules = policy.load(ledger)
        name = verbs.stage_named(stage, rules.stages)
        said = approvals.load(ledger.repository, model.name) if name in rules.stage else []
        against = _against(ledger, rules, model, chosen, name, reason, said)
        for line in against:
            click.echo(f"{'Forced' if force else 'Refused'}: {output.clean(line)}", err=True)
        if against and not force:
            raise Invalid(
                f"{chosen.name} does not meet what {name} asks for",
                "with --force and a reason it can be done all the same, and stays visible",
            )
        if force and not reason.strip():
            raise Invalid("--force needs a reason", "-m TEXT")
        return verbs.promote(
            ledger,
            model,
            chosen,
            name,
            reason,
            archive_existing=archive_existing,
            forced="; ".join(against) or None,
            stages=rules.stages,
            after=approvals.newest(said),
        )

    _change(version, push, verb)


def _against(
    ledger: Ledger,
    rules: policy.Policy,
    model: Model,
    version: Version,
    stage: str,
    reason: str,
    said: Sequence[Approval],
) -> list[str]:
    """Returns what the policy has against a promotion."""
    if stage not in rules.stage:
        return []
    asks = rules.stage[stage]
    current = model.holder(stage)
    runs = runs_of(ledger, [version, *([current] if current else [])])
    signs = ledger.repository.flag("tag.gpgsign", False)
    approved: list[Signer] = []
    if asks.approvals:
        signed = signatures.check(ledger, [each.sha for each in said if each.is_signed])
        promoter = signatures.own(ledger.repository)
        approved = approvals.standing(said, signed, version, stage, promoter)
    return policy.check(
        asks,
        runs.get(version.run or ""),
        runs.get(current.run or "") if current else None,
        reason,
        ledger.repository.person.email if signs else None,
        [signer.who for signer in approved],
    )


def _approval(version: str, stage: str, reason: str, push: bool, withdrawn: bool) -> None:
    def verb(ledger: Ledger, model: Model, found: Version | None) -> list[New]:
        name = verbs.stage_named(stage, policy.load(ledger).stages)
        chosen = _needed(found, version)
        made = approvals.say(ledger, model, chosen, name, reason, withdrawn=withdrawn)
        if not made and (signer := approvals.already(ledger, model, chosen, name)):
            told = f"{chosen.name} is already approved for {name} by {signer.who}"
            click.echo(output.clean(told))
        return made

    _change(version, push, verb)


@_command("approve", '  mlgit model approve churn@v2 production -m "checked on May" --push')
@_version
@click.argument("stage")
@_why
@_push
def approve_command(version: str, stage: str, reason: str, push: bool) -> None:
    """Say, signed, that a version may take a stage.

    mlgit.toml says how many others have to before somebody can promote it.
    """
    _approval(version, stage, reason, push, withdrawn=False)


@_command("unapprove", '  mlgit model unapprove churn@v2 production -m "leaks the postcode"')
@_version
@click.argument("stage")
@_why
@_push
def unapprove_command(version: str, stage: str, reason: str, push: bool) -> None:
    """Take back that a version may take a stage."""
    _approval(version, stage, reason, push, withdrawn=True)


@_command("demote", "  mlgit model demote churn@v2 -m 'drifted'")
@_version
@_why
@_push
def demote_command(version: str, reason: str, push: bool) -> None:
    """Take a version out of its stage."""
    _change(
        version, push, lambda ledger, m, v: verbs.demote(ledger, m, _needed(v, version), reason)
    )


@_command("archive", "  mlgit model archive churn@v1")
@_version
@_why
@_push
def archive_command(version: str, reason: str, push: bool) -> None:
    """Move a version to the stage archived, which many may be in."""
    _change(
        version,
        push,
        lambda ledger, m, v: verbs.promote(ledger, m, _needed(v, version), "archived", reason),
    )


@_command("alias", "  mlgit model alias churn@v2 champion")
@_version
@click.argument("alias")
@_why
@_push
def alias_command(version: str, alias: str, reason: str, push: bool) -> None:
    """Give a version a free name that moves, such as champion."""
    _change(
        version,
        push,
        lambda ledger, m, v: verbs.alias(ledger, m, _needed(v, version), alias, reason),
    )


@_command("unalias", "  mlgit model unalias churn champion")
@click.argument("model")
@click.argument("alias")
@_why
@_push
def unalias_command(model: str, alias: str, reason: str, push: bool) -> None:
    """Take an alias away."""
    _change(model, push, lambda ledger, m, v: verbs.unalias(ledger, m, alias, reason))


@_command(
    "rm",
    """\
  mlgit model rm churn@v2 -m "trained on leaked data"
  mlgit model rm churn                                  # deprecates the model""",
)
@click.argument("model", metavar="MODEL[@VERSION]")
@_why
@_push
def rm_command(model: str, reason: str, push: bool) -> None:
    """Withdraw a version, or deprecate a model; both can be restored."""

    def verb(ledger: Ledger, found: Model, version: Version | None) -> list[New]:
        if version is None:
            return verbs.deprecate(ledger, found, reason)
        return verbs.withdraw(ledger, found, version, reason)

    _change(model, push, verb)


@_command("restore", "  mlgit model restore churn@v2\n  mlgit model restore churn")
@click.argument("model", metavar="MODEL[@VERSION]")
@_why
@_push
def restore_command(model: str, reason: str, push: bool) -> None:
    """Bring back a withdrawn version or a deprecated model."""
    _change(model, push, lambda ledger, m, v: verbs.restore(ledger, m, v, reason), _any_version)


def _any_version(model: Model, said: str) -> Version:
    number = tags.find_version(said)
    for version in model.versions:
        if version.version == number:
            return version
    return version_meant(model, said)


# --- descriptions, tags, names ----------------------------------------------------------


@_command(
    "describe",
    """\
  mlgit model describe churn -m "Who leaves, and why"
  mlgit model describe churn@v2 -m "Without the postcode" """,
)
@click.argument("model", metavar="MODEL[@VERSION]")
@click.option("-m", "--message", required=True, help="In Markdown; empty takes it away.")
def describe_command(model: str, message: str) -> None:
    """Describe a model or a version."""
    with open_ledger() as ledger:
        found, number = _model_or_version(ledger, model)
        verbs.describe(ledger, found, message, number)
    click.echo(f"Described {output.clean(model)}.", err=True)


@_command("tag", "  mlgit model tag churn team=growth\n  mlgit model tag churn@v2 audited=yes")
@click.argument("model", metavar="MODEL[@VERSION]")
@click.argument("pairs", metavar="KEY=VALUE...", nargs=-1, required=True)
def tag_command(model: str, pairs: tuple[str, ...]) -> None:
    """Set labels of a model or a version."""
    with open_ledger() as ledger:
        found, number = _model_or_version(ledger, model)
        for pair in pairs:
            key, _, value = pair.partition("=")
            verbs.tag(ledger, found, key, value, number)
    click.echo(f"Tagged {output.clean(model)}: {output.clean(', '.join(pairs))}", err=True)


@_command("untag", "  mlgit model untag churn@v2 audited")
@click.argument("model", metavar="MODEL[@VERSION]")
@click.argument("key")
def untag_command(model: str, key: str) -> None:
    """Remove a label of a model or a version."""
    with open_ledger() as ledger:
        found, number = _model_or_version(ledger, model)
        verbs.untag(ledger, found, key, number)
    click.echo(f"Removed the tag {output.clean(key)} of {output.clean(model)}.", err=True)


@_command("rename", "  mlgit model rename churn leaving")
@click.argument("model")
@click.argument("name")
def rename_command(model: str, name: str) -> None:
    """Give a model another name; the old one keeps answering."""
    with open_ledger() as ledger:
        found = load_model(ledger, model)
        old = found.title
        verbs.rename(ledger, load(ledger), found, name)
    click.echo(
        f"{output.clean(old)} is called {output.clean(name)} now. "
        f"Its git tags keep the name {output.clean(found.name)}.",
        err=True,
    )


def _model_or_version(ledger: Ledger, text: str) -> tuple[Model, str | None]:
    name, said = split(text)
    model = load_model(ledger, name)
    return model, version_meant(model, said).version if said is not None else None
