"""The page of `mlgit show`: all that is known of one run, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import click

from mlgit import saved
from mlgit.cli import output, table
from mlgit.records import Pointer, Run, Stretch

CHILDREN = 20  # listed; of more, how to see them all


class Around(NamedTuple):
    """What a run's record does not hold itself."""

    environment: dict[str, Any] | None
    stretches: Sequence[Stretch]
    """The times in which it ran; none is known of a run that is not saved yet."""
    later: Sequence[dict[str, Any]]
    """The environments of later stretches, where they are others."""
    parent: Run | None
    children: Sequence[Run]


def lines(run: Run, around: Around) -> Iterator[str]:
    """Yields the page line by line."""
    yield click.style(f"run {run.id}", fg="yellow") + f"  {output.title(run)}"
    yield from _facts(run, around.parent)
    yield from _stretches(around.stretches)
    params = output.leaves(run.params).items()
    shown = [(key, "null" if value is None else output.text(value)) for key, value in params]
    yield from _section("Params", shown)
    yield from _metrics(run)
    yield from _section("Tags", list(run.tags.items()))
    yield from _pointers("Inputs", run.inputs, run.missing)
    yield from _pointers("Artifacts", run.outputs, run.missing)
    yield from _source(run)
    yield from _environment(around.environment, around.later)
    yield from _children(run, around.children)
    if run.note:
        yield ""
        yield click.style("Note", bold=True)
        for line in output.clean_block(run.note).split("\n"):
            yield f"  {line}".rstrip()


def _facts(run: Run, parent: Run | None) -> Iterator[str]:
    reason = output.clean(run.error or "").rstrip(": ")
    yield f"Status:   {table.coloured(run.status)}" + (f" ({reason})" if reason else "")
    took = f", {'took' if run.ended else 'for'} {output.span(output.elapsed(run))}"
    pause = f", paused for {output.span(run.paused)}" if run.paused else ""
    yield f"Started:  {output.moment(run.started, _TIME)}{took}{pause}"
    yield f"By:       {output.clean(run.by.name)} <{output.clean(run.by.email)}>"
    if run.parent:
        yield f"Parent:   {run.parent}" + (f"  {output.title(parent)}" if parent else "")
    if run.deleted:
        yield f"Deleted:  {output.moment(run.deleted)}; bring back: mlgit restore {run.id}"


_TIME = "%Y-%m-%d %H:%M:%S %Z"


def _stretches(stretches: Sequence[Stretch]) -> Iterator[str]:
    if len(stretches) < 2:
        return
    rows = [
        [
            output.moment(each.started, _TIME),
            output.span(each.duration),
            each.status,
            (each.source.snapshot or each.source.commit or output.ABSENT)[:10],
            output.clean(each.error or "").rstrip(": "),
        ]
        for each in stretches
    ]
    headings = ["STARTED", "TOOK", "STATUS", "CODE", "ERROR"]
    yield from _table("Stretches", headings, rows, left=(0, 2, 3, 4))


def _children(run: Run, children: Sequence[Run]) -> Iterator[str]:
    if not children:
        return
    rows = [
        [
            child.id[:10],
            output.clean(child.name or output.ABSENT),
            child.status,
            output.span(output.elapsed(child)),
        ]
        for child in children[:CHILDREN]
    ]
    headings = ["RUN", "NAME", "STATUS", "TOOK"]
    yield from _table("Children", headings, rows, left=(0, 1, 2))
    if len(children) > CHILDREN:
        how = f"mlgit log -n 0 --where 'parent = {run.id}'"
        yield click.style(f"  ({CHILDREN} of {len(children):,}; all: {how})", dim=True)


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


def _environment(
    environment: dict[str, Any] | None, later: Sequence[dict[str, Any]]
) -> Iterator[str]:
    found = {key: value for key, value in (environment or {}).items() if isinstance(value, dict)}
    python, platform, hardware = (found.get(key, {}) for key in ("python", "platform", "hardware"))
    pairs = [
        ("python", _words(python, "implementation", "version")),
        ("platform", _words(platform, "system", "release", "machine")),
        ("hardware", _hardware(hardware)),
        ("packages", f"{len(found['packages'])} (see --json)" if "packages" in found else ""),
        *(("later", change) for change in _changes([environment or {}, *later])),
    ]
    yield from _section("Environment", [pair for pair in pairs if pair[1]])


def _changes(environments: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yields what is otherwise in each environment than in the one before."""
    plain = [output.leaves(each) for each in environments]
    for before, after in pairwise(plain):
        if before and after:
            yield output.listed(
                f"{key.removeprefix('packages.')} {output.text(after.get(key))}"
                f" (was {output.text(before.get(key))})"
                for key in sorted({*before, *after})
                if before.get(key) != after.get(key)
            )


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
