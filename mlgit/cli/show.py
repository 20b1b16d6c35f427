"""`mlgit show`: everything about one run, one of its histories, or one of its artifacts."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import click

from mlgit import saved
from mlgit.cli import complete, output, page, table
from mlgit.cli.place import find_run, has_journals, live_history, live_runs
from mlgit.cli.place import ledger as open_ledger
from mlgit.errors import Invalid, NotFound
from mlgit.ledger import Ledger
from mlgit.records import History, Run
from mlgit.records.history import rows as points_of


@click.command(
    "show",
    epilog="""\b
Examples:
  mlgit show @latest
  mlgit show @best:metrics.rmse --json
  mlgit show baseline --metric loss          # every point: step, seconds, value
  mlgit show 01kb2q6v --artifact notes/summary.txt

\b
RUN is an id, a unique beginning of one, a name, @latest, or @best:KEY, the first by that
sort key of the runs that finished with a finite value: @best:metrics.rmse is the lowest,
@best:-metrics.accuracy the highest.""",
)
@click.argument("run", shell_complete=complete.runs)
@click.option("--metric", metavar="KEY", help="Print the history of a metric.")
@click.option("--artifact", metavar="PATH", help="Print an artifact's bytes as they are.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def show_command(run: str, metric: str | None, artifact: str | None, as_json: bool) -> None:
    """Show a run."""
    with open_ledger() as ledger:
        live = _live(ledger, run) if artifact is None else None
        record = live or find_run(ledger, run)
        if metric is not None:
            history = live_history(ledger, record) if live else saved.history(ledger, record)
            _print_history(record, history, metric, as_json)
        elif artifact is not None:
            _print_artifact(ledger, record, artifact)
        else:
            around = _around(ledger, record)
            if as_json:
                output.envelope("show", _document(record, around))
            else:
                click.echo("\n".join(page.lines(record, around)))


def _live(ledger: Ledger, name: str) -> Run | None:
    """Returns the running run that a person means, if it is one."""
    if not has_journals(ledger.repository):
        return None
    from mlgit.tracking import unsaved

    found = unsaved.find(ledger, name)
    if found is None or not found.is_live:
        return None
    running = [run for run in live_runs(ledger) if run.id == found.header.id]
    return running[0] if running else None  # it may have ended just now


def _around(ledger: Ledger, run: Run) -> page.Around:
    nested = [each for each in live_runs(ledger) if each.parent == run.id]
    if not ledger.exists:
        return page.Around(None, [], [], None, nested)
    stretches = saved.stretches(ledger, run) if saved.load(ledger, [run.id]) else []
    hashes = dict.fromkeys(each.environment for each in stretches if each.environment)
    later = [saved.described(ledger, each) for each in hashes if each != run.environment]
    parent = saved.load(ledger, [run.parent]) if run.parent else []
    known = saved.children(ledger, run.id, output.progress("indexing"))
    going_on = {each.id for each in nested}
    return page.Around(
        environment=saved.environment(ledger, run),
        stretches=stretches,
        later=[each for each in later if each is not None],
        parent=parent[0] if parent else None,
        children=[*(each for each in known if each.id not in going_on), *reversed(nested)],
    )


def _document(run: Run, around: page.Around) -> dict[str, Any]:
    stretches = [
        {**each._asdict(), "duration": each.duration, "source": each.source.document()}
        for each in around.stretches
    ]
    children = [
        {"id": child.id, "name": child.name, "status": child.status} for child in around.children
    ]
    return {
        **output.document(run),
        "environment_content": around.environment,
        "stretches": stretches,
        "children": children,
    }


def _print_history(run: Run, history: History, metric: str, as_json: bool) -> None:
    if metric not in history:
        raise _absent(run, "metric", metric, history)
    points = history[metric]
    rows = [(step, ms / 1000, value) for step, ms, value in points_of(points)]
    names = ("step", "time", "value")
    if as_json:
        columns = zip(*([output.json_value(cell) for cell in row] for row in rows), strict=True)
        output.envelope("show.metric", dict(zip(names, columns, strict=True)))
    else:
        cells = [[str(cell) for cell in row] for row in rows]
        table.echo(("STEP", "SECONDS", "VALUE"), cells, (True, True, True))
    if points.reduced:
        output.warn("the whole history is not on this machine; these points keep its outline")


def _print_artifact(ledger: Ledger, run: Run, path: str) -> None:
    from mlgit import artifacts

    content = artifacts.read(ledger, run, path)
    if not sys.stdout.isatty():
        click.echo(content, nl=False)
        return
    try:
        click.echo(output.clean_block(content.decode()))
    except UnicodeDecodeError as error:
        raise Invalid(
            f"{path} is not a text, and a terminal cannot show it",
            f"write it to a file: mlgit show {run.id} --artifact {path} > FILE",
        ) from error


def _absent(run: Run, kind: str, name: str, present: Iterable[str]) -> NotFound:
    known = output.listed(sorted(present)) or "none"
    return NotFound(f"the run {run.id} has no {kind} {name!r}", f"it has {known}")
