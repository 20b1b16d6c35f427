"""`mlgit show`: everything about one run, one of its histories, or one of its artifacts."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from mlgit import saved
from mlgit.cli import complete, output, table
from mlgit.cli.place import ledger as open_ledger
from mlgit.cli.place import live_history, live_runs
from mlgit.errors import Invalid, NotFound
from mlgit.ledger import Ledger
from mlgit.records import History, Pointer, Run
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
RUN is an id, a unique beginning of one, a name, @latest, or @best:KEY, the first run
by that sort key: @best:metrics.rmse is the lowest, @best:-metrics.accuracy the highest.""",
)
@click.argument("run", shell_complete=complete.runs)
@click.option("--metric", metavar="KEY", help="Print the history of a metric.")
@click.option("--artifact", metavar="PATH", help="Print an artifact's bytes as they are.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def show_command(run: str, metric: str | None, artifact: str | None, as_json: bool) -> None:
    """Show a run."""
    with open_ledger() as ledger:
        live = _live(ledger, run) if artifact is None else None
        record = live or saved.find(ledger, run)
        if metric is not None:
            history = live_history(ledger, record) if live else saved.history(ledger, record)
            _print_history(record, history, metric, as_json)
        elif artifact is not None:
            _print_artifact(ledger, record, artifact)
        else:
            environment = saved.environment(ledger, record)
            if as_json:
                extra = {"environment_content": environment}
                output.envelope("show", {**output.document(record), **extra})
            else:
                click.echo("\n".join(_lines(record, environment)))


def _live(ledger: Ledger, name: str) -> Run | None:
    """Returns the running run that a person means, if there is one."""
    running = live_runs(ledger)
    by_id = [run for run in running if len(name) >= 4 and run.id.startswith(name.lower())]
    by_name = [run for run in running if run.name == name]
    found = by_id or by_name
    return found[0] if len(found) == 1 else None


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


def _lines(run: Run, environment: dict[str, Any] | None) -> Iterator[str]:
    yield click.style(f"run {run.id}", fg="yellow") + f"  {output.title(run)}"
    yield from _facts(run)
    params = output.leaves(run.params).items()
    shown = [(key, "null" if value is None else output.text(value)) for key, value in params]
    yield from _section("Params", shown)
    yield from _metrics(run)
    yield from _section("Tags", list(run.tags.items()))
    yield from _pointers("Inputs", run.inputs, run.missing)
    yield from _pointers("Artifacts", run.outputs, run.missing)
    yield from _source(run)
    yield from _environment(environment)
    if run.note:
        yield ""
        yield click.style("Note", bold=True)
        for line in output.clean_block(run.note).split("\n"):
            yield f"  {line}".rstrip()


def _facts(run: Run) -> Iterator[str]:
    reason = output.clean(run.error or "").rstrip(": ")
    yield f"Status:   {table.coloured(run.status)}" + (f" ({reason})" if reason else "")
    took = f", {'took' if run.ended else 'for'} {output.span(output.elapsed(run))}"
    yield f"Started:  {output.moment(run.started, '%Y-%m-%d %H:%M:%S %Z')}{took}"
    yield f"By:       {output.clean(run.by.name)} <{output.clean(run.by.email)}>"
    if run.parent:
        yield f"Parent:   {run.parent}"
    if run.deleted:
        yield f"Deleted:  {output.moment(run.deleted)}; bring back: mlgit restore {run.id}"


def _section(title: str, pairs: list[tuple[str, str]]) -> Iterator[str]:
    if pairs:
        yield from _table(title, [], [[output.clean(cell) for cell in pair] for pair in pairs])


def _table(
    title: str, headings: list[str], rows: list[list[str]], left: tuple[int, ...] = (0, 1)
) -> Iterator[str]:
    """Yields a part of the page; the columns not in `left` are numbers."""
    numeric = [column not in left for column in range(len(rows[0]))]
    written, _ = table.render(headings or [""] * len(rows[0]), rows, numeric)
    first, *rest = written.split("\n")
    yield ""
    yield click.style(title, bold=True)
    if headings:
        yield "  " + click.style(first, dim=True)
    yield from ("  " + line for line in rest)


def _metrics(run: Run) -> Iterator[str]:
    ours = [key for key in run.metrics if not key.startswith(saved.SYSTEM)]
    found = {key: run.metrics[key] for key in [*ours, *sorted({*run.metrics} - {*ours})]}
    if not any(metric.count > 1 for metric in found.values()):
        pairs = [(key, output.number(metric.last)) for key, metric in found.items()]
        yield from _section("Metrics", pairs)
        return
    rows = [
        [output.clean(key)]
        + [output.number(value) for value in (metric.last, metric.min, metric.max)]
        + [str(metric.step), f"{metric.count:,}"]
        for key, metric in found.items()
    ]
    headings = ["METRIC", "LAST", "MIN", "MAX", "STEP", "POINTS"]
    yield from _table("Metrics", headings, rows, left=(0,))


def _pointers(title: str, pointers: list[Pointer], missing: list[str] | None) -> Iterator[str]:
    rows = [
        [
            output.clean(p.name or p.path),
            output.ABSENT if p.size is None else output.size(p.size),
            p.md5 or output.clean(p.url or ""),
            ", ".join(filter(None, [output.clean(p.role or ""), _kept(p, missing or [])])),
        ]
        for p in pointers
    ]
    if rows:
        yield from _table(title, [], rows, left=(0, 2, 3))


def _kept(pointer: Pointer, missing: list[str]) -> str:
    """Says what cannot be fetched: only its hash was recorded, or nobody has sent it."""
    if pointer.md5 in missing:
        return "not on the data remote"
    if pointer.stored is not None:
        return ""
    return "address only" if pointer.md5 is None else "hash only"


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
    found = {key: value for key, value in (environment or {}).items() if isinstance(value, dict)}
    python, platform, hardware = (found.get(key, {}) for key in ("python", "platform", "hardware"))
    pairs = [
        ("python", _words(python, "implementation", "version")),
        ("platform", _words(platform, "system", "release", "machine")),
        ("hardware", _hardware(hardware)),
        ("packages", f"{len(found['packages'])} (see --json)" if "packages" in found else ""),
    ]
    yield from _section("Environment", [pair for pair in pairs if pair[1]])


def _words(part: dict[str, Any], *keys: str) -> str:
    return " ".join(str(part[key]) for key in keys if key in part)


def _hardware(part: dict[str, Any]) -> str:
    memory = part.get("memory")
    words = [
        str(part.get("cpu") or ""),
        f"{part['cores']} cores" if "cores" in part else "",
        output.size(memory) if isinstance(memory, int) else "",
        *(str(gpu.get("name")) for gpu in part.get("gpus") or () if isinstance(gpu, dict)),
    ]
    return ", ".join(word for word in words if word)
