"""`mlgit show`: everything about one run, one of its histories, or one of its artifacts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from mlgit import saved
from mlgit.cli import output, table
from mlgit.errors import NotFound
from mlgit.ledger import Ledger
from mlgit.records import Run
from mlgit.records.history import rows as points_of
from mlgit.tracking.finish import live_runs


@click.command(
    "show",
    epilog="""\b
Examples:
  mlgit show @latest
  mlgit show @best:metrics.rmse --json
  mlgit show baseline --metric loss          # every point: step, seconds, value
  mlgit show 01kb2q6v --artifact notes/summary.txt

\b
RUN is an id, a unique beginning of one, a name, @latest, or @best:KEY, the first run
by that sort key: @best:metrics.rmse is the lowest, @best:-metrics.accuracy the highest.""",
)
@click.argument("run")
@click.option("--metric", metavar="KEY", help="Print the history of a metric.")
@click.option("--artifact", metavar="PATH", help="Print an artifact's bytes as they are.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def show_command(run: str, metric: str | None, artifact: str | None, as_json: bool) -> None:
    """Show a run."""
    with Ledger() as ledger:
        if metric is None and artifact is None and (live := _live(ledger, run)):
            record, environment = live, None
        else:
            record = saved.find(ledger, run)
            environment = saved.environment(ledger, record)
        if metric is not None:
            _print_history(ledger, record, metric, as_json)
        elif artifact is not None:
            _print_artifact(ledger, record, artifact)
        elif as_json:
            output.envelope("show", {**output.document(record), "environment_content": environment})
        else:
            click.echo("\n".join(_lines(record, environment)))


def _live(ledger: Ledger, name: str) -> Run | None:
    """Returns the running run that a person means, if it is not saved yet."""
    running = live_runs(ledger.repository.common_dir)
    by_id = [run for run in running if len(name) >= 4 and run.id.startswith(name.lower())]
    by_name = [run for run in running if run.name == name]
    found = by_id or by_name
    return found[0] if len(found) == 1 else None


def _print_history(ledger: Ledger, run: Run, metric: str, as_json: bool) -> None:
    history = saved.history(ledger, run)
    if metric not in history:
        raise NotFound(
            f"the run {run.id} has no metric {metric!r}",
            "it has " + (", ".join(sorted(history)) or "none"),
        )
    points = history[metric]
    rows = [(step, ms / 1000, value) for step, ms, value in points_of(points)]
    if as_json:
        columns = [
            [output.json_value(cell) for cell in column] for column in zip(*rows, strict=True)
        ]
        names = ("step", "time", "value")
        output.envelope("show.metric", dict(zip(names, columns, strict=True)))
        return
    cells = [[str(cell) for cell in row] for row in rows]
    table.echo(("STEP", "SECONDS", "VALUE"), cells, (True, True, True))
    if points.reduced:
        output.warn("the whole history is not on this machine; these points keep its outline")


def _print_artifact(ledger: Ledger, run: Run, path: str) -> None:
    found = saved.artifacts(ledger, run)
    if path not in found:
        raise NotFound(
            f"the run {run.id} has no artifact {path!r}",
            "it has " + (", ".join(sorted(found)) or "none"),
        )
    click.echo(found[path], nl=False)


def _lines(run: Run, environment: dict[str, Any] | None) -> Iterator[str]:
    title = "/".join(part for part in (run.experiment, run.name) if part)
    yield click.style(f"run {run.id}", fg="yellow") + f"  {output.clean(title)}"
    yield from _facts(run)
    yield from _section("Params", [(key, output.text(value)) for key, value in run.params.items()])
    yield from _metrics(run)
    yield from _section("Tags", list(run.tags.items()))
    outputs = [(p.path, f"{p.size:,} bytes  {p.md5}") for p in run.outputs]
    yield from _section("Artifacts", outputs)
    inputs = [(p.name or p.path, f"{p.role or ''} {p.size:,} bytes  {p.md5}") for p in run.inputs]
    yield from _section("Inputs", inputs)
    yield from _source(run)
    yield from _environment(environment)
    if run.note:
        yield ""
        yield click.style("Note", bold=True)
        yield from ("  " + line for line in output.clean_block(run.note).split("\n"))


def _facts(run: Run) -> Iterator[str]:
    status = run.status + (f" ({output.clean(run.error)})" if run.error else "")
    yield f"Status:   {status}"
    took = f", took {output.span(run.duration)}" if run.ended else ""
    yield f"Started:  {output.moment(run.started)}{took}"
    yield f"By:       {output.clean(run.by.name)} <{output.clean(run.by.email)}>"
    if run.parent:
        yield f"Parent:   {run.parent}"
    if run.deleted:
        yield f"Deleted:  {output.moment(run.deleted)}; bring back: mlgit restore {run.id}"


def _section(title: str, pairs: list[tuple[str, str]]) -> Iterator[str]:
    if pairs:
        cleaned = [(output.clean(key), output.clean(value)) for key, value in pairs]
        width = max(len(key) for key, _ in cleaned)
        yield ""
        yield click.style(title, bold=True)
        yield from (f"  {key:<{width}}  {value}".rstrip() for key, value in cleaned)


def _metrics(run: Run) -> Iterator[str]:
    if not run.metrics:
        return
    rows: list[list[str]] = [
        [output.clean(key)]
        + [output.number(value) for value in (metric.last, metric.min, metric.max)]
        + [str(metric.step), f"{metric.count:,}"]
        for key, metric in run.metrics.items()
    ]
    headers = ("METRIC", "LAST", "MIN", "MAX", "STEP", "POINTS")
    written, _ = table.render(headers, rows, (False, *[True] * 5), None)
    first, *rest = written.split("\n")
    yield ""
    yield click.style("Metrics", bold=True)
    yield "  " + click.style(first, dim=True)
    yield from ("  " + line for line in rest)


def _source(run: Run) -> Iterator[str]:
    source = run.source
    pairs = []
    if source.commit:
        branch = f" ({source.branch})" if source.branch else ""
        pairs.append(("commit", source.commit + branch))
    if source.snapshot:
        pairs.append(("uncommitted work", f"git show {source.snapshot}"))
    if source.entry:
        pairs.append(("command", " ".join([source.entry, *source.argv])))
    if source.remote:
        pairs.append(("remote", source.remote))
    pairs += [("left out", f"{item.get('path')}: {item.get('reason')}") for item in source.skipped]
    yield from _section("Code", pairs)


def _environment(environment: dict[str, Any] | None) -> Iterator[str]:
    if not environment:
        return
    pairs = []
    for part in ("python", "platform"):
        found = environment.get(part)
        if isinstance(found, dict):
            pairs.append((part, " ".join(str(value) for value in found.values())))
    packages = environment.get("packages")
    if isinstance(packages, dict):
        pairs.append(("packages", f"{len(packages)} (see --json)"))
    yield from _section("Environment", pairs)
