"""`mlgit model`: the registry as lists, and its bytes. What changes it is in model_change.py."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mlgit import names
from mlgit.cli import output, table
from mlgit.cli.lazy import Lazy
from mlgit.cli.model_show import (
    as_of_option,
    event_document,
    json_option,
    model_document,
    moment_meant,
    one_meant,
    print_versions,
    version_document,
)
from mlgit.cli.place import ledger as open_ledger
from mlgit.cli.place import repository
from mlgit.errors import NotFound
from mlgit.ledger import Ledger, tagging
from mlgit.registry import api, events
from mlgit.registry.find import version_meant
from mlgit.registry.fold import Model, Registry
from mlgit.registry.search import runs_of, search
from mlgit.registry.state import load

# Where each command lives: what reads does not pay for what writes.
_COMMANDS = {
    "alias": "model_change",
    "approve": "model_change",
    "archive": "model_change",
    "check": "model",
    "demote": "model_change",
    "describe": "model_change",
    "diff": "model",
    "events": "model",
    "history": "model_show",
    "ls": "model",
    "promote": "model_change",
    "pull": "model",
    "register": "model_change",
    "rename": "model_change",
    "restore": "model_change",
    "rm": "model_change",
    "search": "model",
    "show": "model_show",
    "tag": "model_change",
    "unalias": "model_change",
    "unapprove": "model_change",
    "untag": "model_change",
}


@click.group(
    "model",
    cls=Lazy,
    modules=_COMMANDS,
    epilog="""\b
Examples:
  mlgit model register churn @best:metrics.rmse
  mlgit model promote churn@v2 production -m "beats v1 by 4 %"
  mlgit model history churn

\b
Versions and stages are annotated git tags: 'git tag -n -l "churn@*" "churn#*"' lists them,
'gto show' reads them. A version is named by churn@v2, churn@production (a stage),
churn@champion (an alias), churn@latest, or models:/churn/2 as in MLflow.""",
)
def model_command() -> None:
    """Register models, move them between stages, look them up."""


def _registry(ledger: Ledger, as_of: str | None) -> Registry:
    return load(ledger, moment_meant(as_of))


# --- listings ------------------------------------------------------------------------------


@click.command(
    "ls",
    epilog="""\b
Examples:
  mlgit model ls
  mlgit model ls --as-of 2026-03-01
  mlgit model ls --unpushed                 # git tags that origin does not have""",
)
@as_of_option
@click.option("--all", "everything", is_flag=True, help="Deprecated models too.")
@click.option("--unpushed", is_flag=True, help="List the git tags that the remote lacks.")
@json_option
def ls_command(as_of: str | None, everything: bool, unpushed: bool, as_json: bool) -> None:
    """List the models, with what is in each stage."""
    if unpushed:
        _list_unpushed(as_json)
        return
    with open_ledger() as ledger:
        found = [
            m for m in _registry(ledger, as_of).models.values() if everything or not m.deprecated
        ]
    if as_json:
        output.envelope("model.ls", [model_document(model) for model in found])
    elif found:
        rows = [_row(model) for model in found]
        headings = ("MODEL", "LATEST", "STAGES", "ALIASES", "VERSIONS", "LAST CHANGE")
        table.echo(headings, rows, (False, False, False, False, True, False))
    else:
        click.echo("There is no model yet; register one: mlgit model register NAME RUN", err=True)


def _list_unpushed(as_json: bool) -> None:
    from mlgit.ledger.sync import known_remote

    remote = known_remote(repository(), None)
    there = tagging.there(repository(), remote)
    waiting = sorted(tag for tag in tagging.here(repository()) if tag not in there)
    if as_json:
        output.envelope("model.ls.unpushed", {"remote": remote, "tags": waiting})
    elif waiting:
        click.echo("\n".join(map(output.clean, waiting)))
    else:
        click.echo(f"{remote} has all git tags of models and pins.", err=True)


def _row(model: Model) -> list[str]:
    held = [f"{v.stage}: {v.short}" for v in model.present if v.stage and v.stage != "archived"]
    aliases = [f"{alias}: {v.short}" for v in model.present for alias in v.aliases]
    latest = model.latest
    return [
        output.clean(model.title) + " (deprecated)" * model.deprecated,
        latest.short if latest else output.ABSENT,
        output.clean(", ".join(held)) or output.ABSENT,
        output.clean(", ".join(aliases)) or output.ABSENT,
        f"{len(model.present):,}",
        output.moment(max(event.time for event in model.events)),
    ]


@click.command(
    "search",
    epilog="""\b
Examples:
  mlgit model search "stage = production and metrics.rmse < 7"
  mlgit model search "model like 'churn%' and tags.team = growth" --json

\b
The language is that of 'mlgit log --where'. Fields: model, version, stage, alias,
registered, by, email, run, hash, description, experiment; params, metrics and tags of
the version's run, tags of the version and the model too.""",
)
@click.argument("where")
@as_of_option
@json_option
def search_command(where: str, as_of: str | None, as_json: bool) -> None:
    """List the versions for which a condition holds."""
    with open_ledger() as ledger:
        models = [m for m in _registry(ledger, as_of).models.values() if not m.deprecated]
        found = [version for _, version in search(ledger, models, where)]
        runs = runs_of(ledger, found)
    if as_json:
        output.envelope("model.search", [version_document(version) for version in found])
    elif found:
        print_versions(found, runs, with_model=True)
    else:
        click.echo("No version matches.", err=True)


@click.command(
    "events",
    epilog="""\b
Examples:
  mlgit model events --json
  mlgit model events --since origin/main@{1.day.ago} --json
  mlgit model events --since churn@v1.0.0 --json     # what came after that git tag

\b
For automation: --since names a git tag of the registry, or any revision, whose time counts.""",
)
@click.option("--since", metavar="REV", help="Only what came after this.")
@json_option
def events_command(since: str | None, as_json: bool) -> None:
    """List the events of all models in the order of time."""
    found = sorted(events.load(repository()), key=lambda event: (event.time, event.order))
    if since is not None:
        limit = _time_of(since)
        found = [event for event in found if event.time > limit]
    if as_json:
        output.envelope("model.events", [event_document(event) for event in found])
        return
    rows = [
        [output.moment(event.time), output.clean(event.by), output.clean(event.tag)]
        for event in found
    ]
    table.echo(("WHEN", "WHO", "TAG"), rows)


def _time_of(rev: str) -> str:
    for event in events.load(repository()):
        if event.tag == rev:
            return event.time
    found = repository().try_line("log", "-1", "--format=%ct", "--end-of-options", rev, "--")
    if not found:
        raise NotFound(f"there is no revision {names.shown(rev)}")
    return names.timestamp(int(found))


@click.command(
    "check",
    epilog="""\b
Examples:
  mlgit model check                       # all events that are here, as CI would
  exec mlgit model check --receive        # a remote's hooks/pre-receive

\b
As a hook it reads what git tells pre-receive, and refuses the push if a tag of the
registry is moved or deleted, skips a number, is on no version commit, or does not meet
mlgit.toml as it stands at HEAD.""",
)
@click.option("--receive", is_flag=True, help="Judge a push: read OLD NEW REF lines from stdin.")
@json_option
@click.pass_context
def check_command(ctx: click.Context, receive: bool, as_json: bool) -> None:
    """Check events against the rules and mlgit.toml."""
    from mlgit.registry.receive import parse, past, refusals

    with open_ledger() as ledger:
        if receive:
            pushed = sys.stdin.buffer.read().decode(errors="surrogateescape")
            found = refusals(ledger, parse(pushed))
        else:
            found = past(ledger)
    if as_json:
        output.envelope("model.check", found)
    for line in found:
        click.echo(f"Refused: {output.clean(line)}", err=True)
    if found:
        ctx.exit(1)


@click.command(
    "diff",
    epilog="""\b
Examples:
  mlgit model diff churn@v1 churn@v2
  mlgit model diff churn@production churn@latest --json
  mlgit model diff churn@production churn@staging --as-of 2026-03-01""",
)
@click.argument("old")
@click.argument("new")
@as_of_option
@json_option
def diff_command(old: str, new: str, as_of: str | None, as_json: bool) -> None:
    """Compare two versions: params, metrics, data."""
    from mlgit.cli.diff import compared

    with open_ledger() as ledger:
        pair = []
        for text in (old, new):
            model, said = one_meant(ledger, text, as_of)
            pair.append(version_meant(model, said or "latest"))
        runs = runs_of(ledger, pair)
        missing = [version.name for version in pair if version.run not in runs]
        if missing:
            raise NotFound(f"the run of {missing[0]} is not in this ledger", "mlgit pull")
        rows = compared(ledger, [runs[str(version.run)] for version in pair])
    heads = [version.name for version in pair]
    if as_json:
        content = {field: [output.json_value(value) for value in values] for field, values in rows}
        output.envelope("model.diff", {"versions": heads, "fields": content})
        return
    if rows:
        cells = [[output.clean(field), *map(output.text, values)] for field, values in rows]
        table.echo(("", *map(output.clean, heads)), cells)
    else:
        click.echo("They differ in nothing that was recorded.", err=True)
    first, second = (version.commit[:12] for version in pair)
    click.echo(f"The code between them: git diff {first}^ {second}^", err=True)


@click.command(
    "pull",
    epilog="""\b
Examples:
  mlgit model pull churn@production -o model
  mlgit model pull models:/churn/2 -o churn-2
  mlgit model pull churn@production --as-of 2026-03-01 -o model-of-march""",
)
@click.argument("version")
@click.option("-o", "--output", "target", metavar="PATH", required=True, help="Where to.")
@as_of_option
def pull_command(version: str, target: str, as_of: str | None) -> None:
    """Write a version's bytes to a new path, checked by their hash."""
    with open_ledger() as ledger:
        _, found = api.meant(ledger, version, moment_meant(as_of))
        is_new = api.write(ledger, found, Path(target))
    said = f"Wrote {found.name} to" if is_new else f"{found.name} is there already:"
    click.echo(f"{output.clean(said)} {output.clean(target)}", err=True)
