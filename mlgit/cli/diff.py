"""`mlgit diff`: what differs between runs, or the git diff of their code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from mlgit import saved
from mlgit.cli import output, table
from mlgit.cli.log import short_ids
from mlgit.errors import NotFound
from mlgit.ledger import Ledger
from mlgit.query import Field
from mlgit.records import Run

_ATTRIBUTES = ("experiment", "name", "status", "duration", "user", "branch", "commit")


@click.command(
    "diff",
    epilog="""\b
Examples:
  mlgit diff baseline @latest
  mlgit diff @best:metrics.rmse 01kb2q6v 01kb2q7x --json
  mlgit diff baseline @latest --code          # a real git diff, uncommitted work included
  mlgit diff baseline @latest --code -- src/  # of these paths only""",
)
@click.argument("runs", metavar="RUN RUN [RUN...] [-- PATH...]", nargs=-1, required=True)
@click.option("--code", is_flag=True, help="Show the git diff between the code of two runs.")
@click.option("--all", "everything", is_flag=True, help="Show what is equal too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def diff_command(runs: tuple[str, ...], code: bool, everything: bool, as_json: bool) -> None:
    """Compare runs: params, metrics, tags, code, environment, artifacts."""
    if len(runs) < 2:
        raise click.UsageError("name two runs or more")
    with Ledger() as ledger:
        count = 2 if code else len(runs)
        records = [saved.find(ledger, run) for run in runs[:count]]
        if code:
            _print_code(ledger, records, runs[2:])
            return
        rows = list(_rows(ledger, records))
    if not everything:
        rows = [(field, values) for field, values in rows if not _all_equal(values)]
    ids = [run.id for run in records]
    if as_json:
        content = {field: [output.json_value(value) for value in values] for field, values in rows}
        output.envelope("diff", {"runs": ids, "fields": content})
    elif rows:
        cells = [[output.clean(field), *_shown(values)] for field, values in rows]
        table.echo(("", *short_ids(ids)), cells)
    else:
        click.echo("The runs differ in nothing that was recorded.", err=True)


def _rows(ledger: Ledger, runs: Sequence[Run]) -> Iterator[tuple[str, list[Any]]]:
    """Yields every field that one of the runs has, with the value of each."""
    for name in _ATTRIBUTES:
        yield name, [saved.value(run, Field("attribute", name)) for run in runs]
    yield "snapshot", [run.source.snapshot for run in runs]
    yield "arguments", [" ".join(run.source.argv) or None for run in runs]
    for kind, of in (("param", "params"), ("metric", "metrics"), ("tag", "tags")):
        part = "last" if kind == "metric" else ""
        for key in sorted({key for run in runs for key in getattr(run, of)}):
            field = Field(kind, key, part)
            yield str(field), [saved.value(run, field) for run in runs]
    for of in ("inputs", "outputs"):
        pointers = [{p.name or p.path: p.md5 for p in getattr(run, of)} for run in runs]
        for path in sorted({path for each in pointers for path in each}):
            yield f"{of}.{path}", [each.get(path) for each in pointers]
    environments = [_flat(saved.environment(ledger, run) or {}) for run in runs]
    for key in sorted({key for each in environments for key in each}):
        yield f"environment.{key}", [each.get(key) for each in environments]


def _flat(value: dict[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict):
            flat |= _flat(item, f"{above}{key}.")
        else:
            flat[above + key] = item
    return flat


def _all_equal(values: Sequence[Any]) -> bool:
    return all(output.text(value) == output.text(values[0]) for value in values)


def _shown(values: Sequence[Any]) -> list[str]:
    return [output.text(value) for value in values]


def _print_code(ledger: Ledger, runs: Sequence[Run], paths: Sequence[str]) -> None:
    """Hands over to git, which knows colours, pagers and the user's own settings."""
    commits = [run.source.snapshot or run.source.commit for run in runs]
    for run, commit in zip(runs, commits, strict=True):
        if commit is None:
            raise NotFound(f"the run {run.id} recorded no code commit")
        if not ledger.has_commit(commit):
            raise NotFound(
                f"the code of the run {run.id}, {commit[:12]}, is not in this repository",
                "fetch it where it is: git fetch; it was not kept if mlgit.code is 'sha'",
            )
    sys.stdout.flush()
    command = ["git", "diff", "--end-of-options", *map(str, commits), "--", *paths]
    sys.exit(subprocess.run(command, cwd=ledger.repository.start, check=False).returncode)
