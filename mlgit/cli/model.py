"""`mlgit model`: the registry, read. What changes it is in model_change.py."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from mlgit import names, saved
from mlgit.cli import model_change, output, table
from mlgit.cli.place import ledger as open_ledger
from mlgit.cli.place import repository
from mlgit.errors import NotFound
from mlgit.ledger import Ledger, tagging
from mlgit.records import Run
from mlgit.registry import api, events, history
from mlgit.registry.events import Event
from mlgit.registry.find import model_named, split, version_meant
from mlgit.registry.fold import Model, Registry, Version
from mlgit.registry.search import runs_of, search
from mlgit.registry.state import load, load_model

_METRICS = 3  # of the run that a listing shows
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
_as_of = click.option(
    "--as-of", metavar="TIME", help="As it was then: 2026-03-01, or to the second."
)


@click.group(
    "model",
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


for _command in model_change.COMMANDS:
    model_command.add_command(_command)


def _moment(as_of: str | None) -> str | None:
    """Returns the stored time that a person means: the end of a day, or that second, UTC."""
    if as_of is None:
        return None
    text = as_of.strip().replace(" ", "T").removesuffix("Z")
    full = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?)?", text)
    if full is None:
        raise click.BadParameter(f"{as_of!r} is no time; write 2026-03-01", param_hint="--as-of")
    day, minute, second, fraction = full.groups()
    if minute is None:
        stamp = f"{day}T23:59:59.999999Z"
    else:
        # To the end of what was said: of the minute, or of the second.
        stamp = f"{day}T{minute}:{second or '59'}.{(fraction or '999999').ljust(6, '0')}Z"
    names.seconds(stamp)
    return stamp


def _registry(ledger: Ledger, as_of: str | None) -> Registry:
    return load(ledger, _moment(as_of))


def _one(ledger: Ledger, text: str, as_of: str | None) -> tuple[Model, str | None]:
    """Returns the model a text names, and what it says of the version."""
    name, said = split(text)
    moment = _moment(as_of)
    model = load_model(ledger, name) if moment is None else model_named(load(ledger, moment), name)
    if name != model.title:
        output.warn(f"the model {name} is called {model.title} now")
    return model, said


# --- listings ------------------------------------------------------------------------------


@model_command.command(
    "ls",
    epilog="""\b
Examples:
  mlgit model ls
  mlgit model ls --as-of 2026-03-01
  mlgit model ls --unpushed                 # git tags that origin does not have""",
)
@_as_of
@click.option("--all", "everything", is_flag=True, help="Deprecated models too.")
@click.option("--unpushed", is_flag=True, help="List the git tags that the remote lacks.")
@_json
def list_command(as_of: str | None, everything: bool, unpushed: bool, as_json: bool) -> None:
    """List the models, with what is in each stage."""
    if unpushed:
        _list_unpushed(as_json)
        return
    with open_ledger() as ledger:
        found = [
            m for m in _registry(ledger, as_of).models.values() if everything or not m.deprecated
        ]
    if as_json:
        output.envelope("model.ls", [_document(model) for model in found])
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


def _document(model: Model) -> dict[str, Any]:
    return {
        "name": model.title,
        "git_name": model.name,
        "description": model.description,
        "tags": model.tags,
        "deprecated": model.deprecated,
        "versions": [_version(version) for version in model.versions],
    }


def _version(version: Version) -> dict[str, Any]:
    plain = {field: getattr(version, field) for field in version.__struct_fields__}
    return {**plain, "short": version.short}


@model_command.command(
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
@_as_of
@_json
def search_command(where: str, as_of: str | None, as_json: bool) -> None:
    """List the versions for which a condition holds."""
    with open_ledger() as ledger:
        models = [m for m in _registry(ledger, as_of).models.values() if not m.deprecated]
        found = [version for _, version in search(ledger, models, where)]
        runs = runs_of(ledger, found)
    if as_json:
        output.envelope("model.search", [_version(version) for version in found])
    elif found:
        _print_versions(found, runs, with_model=True)
    else:
        click.echo("No version matches.", err=True)


def _print_versions(found: Sequence[Version], runs: dict[str, Run], with_model: bool) -> None:
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


# --- one model, one version ------------------------------------------------------------------


@model_command.command(
    "show",
    epilog="""\b
Examples:
  mlgit model show churn
  mlgit model show churn@production --as-of 2026-03-01
  mlgit model show models:/churn/2 --json""",
)
@click.argument("model")
@_as_of
@_json
def show_command(model: str, as_of: str | None, as_json: bool) -> None:
    """Show a model with its versions, or one version."""
    with open_ledger() as ledger:
        found, said = _one(ledger, model, as_of)
        version = version_meant(found, said) if said is not None else None
        runs = runs_of(ledger, found.versions if version is None else [version])
    if as_json:
        content = _document(found) if version is None else _version(version)
        output.envelope("model.show", content)
    elif version is None:
        _print_model(found, runs)
    else:
        click.echo("\n".join(_version_lines(version, runs.get(version.run or ""))))


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
    _print_versions(model.versions, runs, with_model=False)


def _version_lines(version: Version, run: Run | None) -> Iterator[str]:
    clean = output.clean
    yield click.style(clean(version.name), fg="yellow") + f"  {version.version}"
    held = ", ".join([version.stage or "no stage", *version.aliases])
    yield f"Stage:       {clean(held)}" + " (withdrawn)" * version.withdrawn
    when = output.moment(version.time, "%Y-%m-%d %H:%M:%S %Z")
    yield f"Registered:  {when} by {clean(version.by)}"
    if version.reason:
        yield f"Reason:      {clean(version.reason)}"
    if version.description:
        yield f"Description: {clean(version.description)}"
    for key, value in version.tags.items():
        yield f"Tag:         {clean(key)}={clean(value)}"
    yield f"Hash:        {clean(version.hash or 'unknown')}"
    yield f"Commit:      {version.commit}"
    if run is not None:
        yield f"Run:         {run.id}  {output.title(run)}"
        for key, metric in run.metrics.items():
            if not key.startswith(saved.SYSTEM):
                yield f"  {clean(key)}: {output.number(metric.last)}"
    elif version.run:
        yield f"Run:         {version.run} (not in this ledger)"


@model_command.command(
    "history",
    epilog="""\b
Examples:
  mlgit model history churn
  mlgit model history churn@v2 --json""",
)
@click.argument("model")
@_as_of
@_json
def history_command(model: str, as_of: str | None, as_json: bool) -> None:
    """Show who did what to a model, when and why; the newest last."""
    with open_ledger() as ledger:
        found, said = _one(ledger, model, as_of)
        commit = version_meant(found, said).commit if said is not None else None
    chosen = [event for event in found.events if commit in (None, event.commit)]
    wrong = {problem.tag: problem.message for problem in found.problems}
    if as_json:
        content = [{**_event(event), "problem": wrong.get(event.tag)} for event in chosen]
        output.envelope("model.history", content)
        return
    rows = [
        [
            output.moment(event.time, "%Y-%m-%d %H:%M:%S"),
            output.clean(event.by),
            output.clean(history.sentence(found, event)),
            "signed" if event.is_signed else "",
            output.clean(wrong.get(event.tag) or event.reason),
        ]
        for event in chosen
    ]
    table.echo(("WHEN", "WHO", "WHAT", "", "WHY"), rows)


def _event(event: Event) -> dict[str, Any]:
    return {
        "model": event.name.model,
        "action": event.name.action,
        "version": event.name.version or event.trailers.get("Version"),
        "stage": event.name.stage,
        "number": event.name.counter,
        "tag": event.tag,
        "commit": event.commit,
        "time": event.time,
        "by": {"name": event.by, "email": event.email},
        "reason": event.reason,
        "forced": event.trailers.get("Forced"),
        "run": event.trailers.get("Run"),
        "signed": event.is_signed,
    }


@model_command.command(
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
@_json
def events_command(since: str | None, as_json: bool) -> None:
    """List the events of all models in the order of time."""
    found = sorted(events.load(repository()), key=lambda event: (event.time, event.order))
    if since is not None:
        limit = _time_of(since)
        found = [event for event in found if event.time > limit]
    if as_json:
        output.envelope("model.events", [_event(event) for event in found])
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


@model_command.command(
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
@_json
@click.pass_context
def check_command(ctx: click.Context, receive: bool, as_json: bool) -> None:
    """Check events against the rules and mlgit.toml."""
    from mlgit.registry.receive import Update, refusals

    with open_ledger() as ledger:
        if receive:
            lines = [line.split() for line in sys.stdin.read().splitlines()]
            updates = [Update(old, new, ref) for old, new, ref in lines]
            found = refusals(ledger, updates)
        else:
            zero = "0" * 40
            every = events.load(ledger.repository)
            found = refusals(ledger, [Update(zero, e.sha, f"refs/tags/{e.tag}") for e in every])
    if as_json:
        output.envelope("model.check", found)
    for line in found:
        click.echo(f"Refused: {output.clean(line)}", err=True)
    if found:
        ctx.exit(1)


@model_command.command(
    "diff",
    epilog="""\b
Examples:
  mlgit model diff churn@v1 churn@v2
  mlgit model diff churn@production churn@latest --json""",
)
@click.argument("old")
@click.argument("new")
@_json
def diff_command(old: str, new: str, as_json: bool) -> None:
    """Compare two versions: params, metrics, data."""
    from mlgit.cli.diff import compared

    with open_ledger() as ledger:
        pair = []
        for text in (old, new):
            model, said = _one(ledger, text, None)
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


@model_command.command(
    "pull",
    epilog="""\b
Examples:
  mlgit model pull churn@production -o model
  mlgit model pull models:/churn/2 -o churn-2""",
)
@click.argument("version")
@click.option("-o", "--output", "target", metavar="PATH", required=True, help="Where to.")
def pull_command(version: str, target: str) -> None:
    """Write a version's bytes to a new path, checked against their hash."""
    with open_ledger() as ledger:
        _, found = api.meant(ledger, version)
        is_new = api.write(ledger, found, Path(target))
    said = f"Wrote {found.name} to" if is_new else f"{found.name} is there already:"
    click.echo(f"{output.clean(said)} {output.clean(target)}", err=True)
