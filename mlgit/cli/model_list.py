"""`mlgit model ls`, `events` and `check`: what git tags alone tell of the registry."""

from __future__ import annotations

import re
import sys
from typing import Any

import click
import msgspec

from mlgit import names
from mlgit.cli import output, table
from mlgit.cli.place import ledger as open_ledger
from mlgit.cli.place import repository
from mlgit.errors import NotFound
from mlgit.ledger import tagging
from mlgit.registry import events
from mlgit.registry.events import Event
from mlgit.registry.fold import Model, Version
from mlgit.registry.state import load

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
as_of_option = click.option(
    "--as-of", metavar="TIME", help="As it was then: 2026-03-01, or to the second."
)


# --- what the other commands of models say too ----------------------------------------------


def moment_meant(as_of: str | None) -> str | None:
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


def model_document(model: Model) -> dict[str, Any]:
    return {
        "name": model.title,
        "git_name": model.name,
        "description": model.description,
        "tags": model.tags,
        "deprecated": model.deprecated,
        "versions": [version_document(version) for version in model.versions],
    }


def version_document(version: Version) -> dict[str, Any]:
    return {**msgspec.structs.asdict(version), "short": version.short}


def event_document(event: Event) -> dict[str, Any]:
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


# --- the commands ----------------------------------------------------------------------------


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
        models = load(ledger, moment_meant(as_of)).models.values()
    found = [model for model in models if everything or not model.deprecated]
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
    "events",
    epilog="""\b
Examples:
  mlgit model events --json
  mlgit model events --since origin/main@{1.day.ago} --json
  mlgit model events --since churn@v1.0.0 --json     # what came after that git tag
  mlgit model events --as-of 2026-03-01

\b
For automation: --since names a git tag of the registry, or any revision, whose time counts.""",
)
@click.option("--since", metavar="REV", help="Only what came after this.")
@as_of_option
@json_option
def events_command(since: str | None, as_of: str | None, as_json: bool) -> None:
    """List the events of all models in the order of time."""
    last = moment_meant(as_of)
    found = sorted(events.load(repository()), key=lambda event: (event.time, event.order))
    first = "" if since is None else _time_of(since, found)
    found = [each for each in found if first < each.time and (last is None or each.time <= last)]
    if as_json:
        output.envelope("model.events", [event_document(event) for event in found])
        return
    rows = [
        [output.moment(event.time), output.clean(event.by), output.clean(event.tag)]
        for event in found
    ]
    table.echo(("WHEN", "WHO", "TAG"), rows)


def _time_of(rev: str, known: list[Event]) -> str:
    for event in known:
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
