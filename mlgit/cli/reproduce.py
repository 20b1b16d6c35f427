"""`mlgit reproduce`: a run again, and whether the outcome is the same."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mlgit import records
from mlgit.cli import complete, output, table
from mlgit.cli.place import find_run
from mlgit.cli.place import ledger as open_ledger
from mlgit.errors import NotFound
from mlgit.ledger import Ledger
from mlgit.ledger.objects import Object
from mlgit.projects.comparison import Row
from mlgit.projects.reproduce import Outcome, reproduce
from mlgit.records import Run
from mlgit.registry import api


@click.command(
    "reproduce",
    epilog="""\b
Examples:
  mlgit reproduce @best:metrics.rmse
  mlgit reproduce churn@production --rtol 0.001
  mlgit reproduce run/baseline --env current --keep again

\b
X is a run, a pin, or a version of a model. Its code is put into a work tree of its own (a
snapshot of uncommitted work, if there was), its inputs where they were, its packages into
an environment that is kept below the git directory. Then the command runs as a new run
with the tag mlgit.reproduces. Your work tree and index are not touched. Exit code 1 if
params or metrics differ, or the command fails.""",
)
@click.argument("thing", metavar="X", shell_complete=complete.runs)
@click.option(
    "--env",
    type=click.Choice(["recorded", "current"]),
    default="recorded",
    show_default=True,
    help="Packages as recorded, by uv or pip; or those that are here.",
)
@click.option("--keep", metavar="FOLDER", help="Leave the work tree in this new folder.")
@click.option("--rtol", default=1e-6, show_default=True, help="Relative tolerance of metrics.")
@click.option("--atol", default=0.0, show_default=True, help="Absolute tolerance of metrics.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def reproduce_command(
    ctx: click.Context,
    thing: str,
    env: str,
    keep: str | None,
    rtol: float,
    atol: float,
    as_json: bool,
) -> None:
    """Run a run again and compare the outcome."""
    with open_ledger() as ledger:
        run = _run_meant(ledger, thing)
        found = reproduce(
            ledger,
            run,
            recorded_packages=env == "recorded",
            kept=Path(keep) if keep else None,
            rtol=rtol,
            atol=atol,
            say=lambda line: click.echo(f"mlgit: {output.clean(line)}", err=True),
            progress=output.transfer("Fetching data"),
        )
    for note in found.notes:
        output.warn(note)
    if as_json:
        output.envelope("reproduce", _document(found))
    else:
        _print(found)
    if not found.same:
        ctx.exit(1)


def _run_meant(ledger: Ledger, thing: str) -> Run:
    """Returns the run that is named, pinned, or behind a version of a model."""
    if thing.startswith("run/"):
        content = ledger.reader.find(f"refs/tags/{thing}^{{}}:run.json")
        if isinstance(content, Object):
            return find_run(ledger, records.load_run(content.data, thing).id)
    try:
        return find_run(ledger, thing)
    except NotFound:
        if thing.startswith("@") or ("@" not in thing and not thing.startswith("models:/")):
            raise
    _, version = api.meant(ledger, thing)
    if version.run is None:
        raise NotFound(f"{version.name} does not say which run made it")
    return find_run(ledger, version.run)


def _document(found: Outcome) -> dict[str, object]:
    return {
        "same": found.same,
        "recorded": found.recorded.id,
        "again": found.again.id,
        "notes": found.notes,
        "rows": [
            {
                **row._asdict(),
                "recorded": output.json_value(row.recorded),
                "again": output.json_value(row.again),
            }
            for row in found.rows
        ],
    }


def _print(found: Outcome) -> None:
    rows = [_cells(row) for row in found.rows]
    headings = ("", found.recorded.id[:10], found.again.id[:10], "")
    sys.stderr.flush()
    if rows:
        table.echo(headings, rows, (False, True, True, False))
    different = sum(not row.same for row in found.rows if row.counts)
    if found.same:
        click.echo(f"The outcome is the same; recorded as {found.again.id[:10]}.")
    else:
        things = output.counted(different, "value")
        click.echo(f"{things} differ; recorded as {found.again.id[:10]}.")


def _cells(row: Row) -> list[str]:
    verdict = "same" if row.same else "DIFFERS" if row.counts else "other bytes"
    values = [row.recorded, row.again]
    if row.field.startswith("outputs."):
        values = [str(value)[:12] if value else None for value in values]
    return [output.clean(row.field), *map(output.text, values), verdict]
