"""`mlgit model show`, `history`, `search`, `diff` and `pull`: versions, with their runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from mlgit import saved
from mlgit.cli import output, table
from mlgit.cli.model_list import (
    as_of_option,
    event_document,
    json_option,
    model_document,
    moment_meant,
    version_document,
)
from mlgit.cli.place import ledger as open_ledger
from mlgit.errors import NotFound
from mlgit.ledger import Ledger
from mlgit.records import Run
from mlgit.registry import api, approvals, history, signatures
from mlgit.registry.approvals import Approval
from mlgit.registry.events import Event
from mlgit.registry.find import model_named, split, version_meant
from mlgit.registry.fold import Model, Version
from mlgit.registry.search import runs_of, search
from mlgit.registry.signatures import Signature, Signer
from mlgit.registry.state import load, load_model

_METRICS = 3  # of the run that a listing shows


def one_meant(ledger: Ledger, text: str, as_of: str | None) -> tuple[Model, str | None]:
    """Returns the model a text names, and what it says of the version."""
    name, said = split(text)
    moment = moment_meant(as_of)
    model = load_model(ledger, name) if moment is None else model_named(load(ledger, moment), name)
    if name != model.title:
        output.warn(f"the model {name} is called {model.title} now")
    return model, said


def print_versions(found: Sequence[Version], runs: dict[str, Run], with_model: bool) -> None:
    metrics = _shown_metrics(found, runs)
    headings = ["MODEL"] * with_model + ["VERSION", "STAGE", "ALIASES", "RUN", "REGISTERED", "BY"]
    rows = []
    for version in found:
        run = runs.get(version.run or "")
        values = [run.metrics[key].last if run and key in run.metrics else None for key in metrics]
        rows.append(
            [output.clean(version.model)] * with_model
            + [
                version.short + " (withdrawn)" * version.withdrawn,
                output.clean(version.stage or output.ABSENT),
                output.clean(", ".join(version.aliases)) or output.ABSENT,
                (version.run or output.ABSENT)[:10],
                output.moment(version.time),
                output.clean(version.by),
                *map(output.text, values),
            ]
        )
    numeric = [False] * len(headings) + [True] * len(metrics)
    table.echo([*headings, *map(output.clean, metrics)], rows, numeric)


def _shown_metrics(found: Sequence[Version], runs: dict[str, Run]) -> list[str]:
    every = [key for v in found if (run := runs.get(v.run or "")) for key in run.metrics]
    ours = [key for key in dict.fromkeys(every) if not key.startswith(saved.SYSTEM)]
    return ours[:_METRICS]


# --- the commands ----------------------------------------------------------------------------


@click.command(
    "show",
    epilog="""\b
Examples:
  mlgit model show churn
  mlgit model show churn@production --as-of 2026-03-01
  mlgit model show models:/churn/2 --json""",
)
@click.argument("model")
@as_of_option
@json_option
def show_command(model: str, as_of: str | None, as_json: bool) -> None:
    """Show a model with its versions, or one version."""
    with open_ledger() as ledger:
        found, said = one_meant(ledger, model, as_of)
        version = version_meant(found, said) if said is not None else None
        chosen = found.versions if version is None else [version]
        runs = runs_of(ledger, chosen)
        told = _said(ledger, found, moment_meant(as_of))
        about = [each for version in chosen for each in _about(version, told)]
        made = _registrations(found, chosen)
        shas = [each.sha for each in about] + [event.sha for event in made.values()]
        signed = signatures.check(ledger, shas)
    if as_json:
        documents = [
            {
                **version_document(each),
                "approvals": [_approval(said, signed) for said in _about(each, told)],
                "signature": _signature(made.get(each.version), signed),
            }
            for each in chosen
        ]
        content = (
            {**model_document(found), "versions": documents} if version is None else documents[0]
        )
        output.envelope("model.show", content)
    elif version is None:
        _print_model(found, runs)
    else:
        lines = _version_lines(version, runs.get(version.run or ""), about, made, signed)
        click.echo("\n".join(lines))


def _said(ledger: Ledger, model: Model, moment: str | None) -> list[Approval]:
    """Returns what was said of a model's versions up to a moment, oldest first."""
    every = approvals.load(ledger.repository, model.name)
    return [each for each in every if moment is None or each.time <= moment]


def _about(version: Version, told: Sequence[Approval]) -> list[Approval]:
    return [
        each
        for each in told
        if each.name.version == version.version and each.commit == version.commit
    ]


def _registrations(model: Model, chosen: Sequence[Version]) -> dict[str, Event]:
    """Returns the events that registered these versions, by version."""
    wanted = {version.version: version.commit for version in chosen}
    return {
        event.name.version: event
        for event in reversed(model.events)
        if event.name.action == "register"
        and event.name.version
        and wanted.get(event.name.version) == event.commit
    }


def _signature(
    tag: Event | Approval | None, signed: Mapping[str, Signature]
) -> dict[str, str | None] | None:
    """Returns what is said of a tag's signature in JSON: null if it is not signed."""
    found = signed.get(tag.sha) if tag is not None else None
    if found is None:
        return None
    signer = found.signer
    return {
        "state": found.state,
        "by": signer.who if signer else None,
        "key": signer.key if signer else None,
    }


def _signed_by(tag: Event | Approval | None, signed: Mapping[str, Signature]) -> str:
    """Says the same in a few words, nothing of what is not signed."""
    found = signed.get(tag.sha) if tag is not None else None
    if found is None:
        return ""
    if found.signer is not None:
        return f"signed by {found.signer.who or found.signer.key}"
    return "signed by an unknown key" if found.state == "unknown" else "BAD SIGNATURE"


def _approval(said: Approval, signed: Mapping[str, Signature]) -> dict[str, Any]:
    return {
        "stage": said.name.stage,
        "withdrawn": said.name.withdrawn,
        "tag": said.tag,
        "time": said.time,
        "by": {"name": said.by, "email": said.email},
        "reason": said.reason,
        "signature": _signature(said, signed),
    }


def _print_model(model: Model, runs: dict[str, Run]) -> None:
    title = click.style(output.clean(model.title), fg="yellow")
    click.echo(title + " (deprecated)" * model.deprecated)
    if model.name != model.title:
        click.echo(f"In git tags: {output.clean(model.name)}")
    for key, value in model.tags.items():
        click.echo(f"Tag: {output.clean(key)}={output.clean(value)}")
    if model.description:
        click.echo(output.clean_block(model.description))
    click.echo()
    print_versions(model.versions, runs, with_model=False)


def _version_lines(
    version: Version,
    run: Run | None,
    told: Sequence[Approval],
    made: Mapping[str, Event],
    signed: Mapping[str, Signature],
) -> Iterator[str]:
    clean = output.clean
    yield click.style(clean(version.name), fg="yellow") + f"  {version.version}"
    held = ", ".join([version.stage or "no stage", *version.aliases])
    yield f"Stage:       {clean(held)}" + " (withdrawn)" * version.withdrawn
    when = output.moment(version.time, "%Y-%m-%d %H:%M:%S %Z")
    signature = _signed_by(made.get(version.version), signed)
    yield clean(f"Registered:  {when} by {version.by}{', ' * bool(signature)}{signature}")
    if version.reason:
        yield f"Reason:      {clean(version.reason)}"
    if version.description:
        yield f"Description: {clean(version.description)}"
    for key, value in version.tags.items():
        yield f"Tag:         {clean(key)}={clean(value)}"
    for stage in dict.fromkeys(each.name.stage for each in told):
        counted = approvals.standing(told, signed, version, stage)
        for signer in counted:
            mine = [e for e in told if e.name.stage == stage and _is_by(signer, e, signed)]
            why = f": {mine[-1].reason}" if mine[-1].reason else ""
            yield clean(f"Approved:    for {stage} by {signer.who or signer.key}{why}")
    yield f"Hash:        {clean(version.hash or 'unknown')}"
    yield f"Commit:      {version.commit}"
    if run is not None:
        yield f"Run:         {run.id}  {output.title(run)}"
        for key, metric in run.metrics.items():
            if not key.startswith(saved.SYSTEM):
                yield f"  {clean(key)}: {output.number(metric.last)}"
    elif version.run:
        yield f"Run:         {version.run} (not in this ledger)"


def _is_by(signer: Signer, said: Approval, signed: Mapping[str, Signature]) -> bool:
    found = signed.get(said.sha)
    return found is not None and found.signer == signer


@click.command(
    "history",
    epilog="""\b
Examples:
  mlgit model history churn
  mlgit model history churn@v2 --json""",
)
@click.argument("model")
@as_of_option
@json_option
def history_command(model: str, as_of: str | None, as_json: bool) -> None:
    """Show who did what to a model, when and why; the newest last.

    Of signed git tags it says whose key that was, and whether git knows it here.
    """
    with open_ledger() as ledger:
        found, said = one_meant(ledger, model, as_of)
        commit = version_meant(found, said).commit if said is not None else None
        told = _said(ledger, found, moment_meant(as_of))
        every = history.together(found.events, told)
        chosen = [each for each in every if commit in (None, each.commit)]
        signed = signatures.check(ledger, [each.sha for each in chosen if each.is_signed])
    wrong = {problem.tag: problem.message for problem in found.problems}
    if as_json:
        content = [
            {
                **(event_document(each) if isinstance(each, Event) else _approved(each)),
                "signature": _signature(each, signed),
                "problem": wrong.get(each.tag),
            }
            for each in chosen
        ]
        output.envelope("model.history", content)
        return
    rows = [
        [
            output.moment(each.time, "%Y-%m-%d %H:%M:%S"),
            output.clean(each.by),
            output.clean(history.sentence(found, each)),
            output.clean(_signed_by(each, signed)),
            output.clean(wrong.get(each.tag) or each.reason),
        ]
        for each in chosen
    ]
    table.echo(("WHEN", "WHO", "WHAT", "SIGNED", "WHY"), rows)


def _approved(said: Approval) -> dict[str, Any]:
    """Returns an approval as `_event` returns an event."""
    return {
        "model": said.name.model,
        "action": "unapprove" if said.name.withdrawn else "approve",
        "version": said.name.version,
        "stage": said.name.stage,
        "number": None,
        "tag": said.tag,
        "commit": said.commit,
        "time": said.time,
        "by": {"name": said.by, "email": said.email},
        "reason": said.reason,
        "forced": None,
        "run": None,
        "signed": said.is_signed,
    }


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
        models = [m for m in load(ledger, moment_meant(as_of)).models.values() if not m.deprecated]
        found = [version for _, version in search(ledger, models, where)]
        runs = runs_of(ledger, found)
    if as_json:
        output.envelope("model.search", [version_document(version) for version in found])
    elif found:
        print_versions(found, runs, with_model=True)
    else:
        click.echo("No version matches.", err=True)


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
    from mlgit.cli.diff import cells, compared

    with open_ledger() as ledger:
        pair = []
        for text in (old, new):
            model, said = one_meant(ledger, text, as_of)
            pair.append(version_meant(model, said or "latest"))
        runs = runs_of(ledger, pair)
        missing = [version.name for version in pair if version.run not in runs]
        if missing:
            raise NotFound(f"the run of {missing[0]} is not in this ledger", "mlgit pull")
        records = [runs[str(version.run)] for version in pair]
        rows = compared(ledger, records)
    heads = [version.name for version in pair]
    if as_json:
        content = {field: [output.json_value(value) for value in values] for field, values in rows}
        output.envelope("model.diff", {"versions": heads, "fields": content})
        return
    if rows:
        table.echo(("", *map(output.clean, heads)), cells(rows, records))
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
