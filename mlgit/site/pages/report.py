"""The page of a report: its text, and what the ledger answers to the blocks in it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
from markupsafe import Markup

from mlgit.errors import MlgitWarning
from mlgit.site import bins, blocks, importance, markdown, render, svg, tables, urls
from mlgit.site.blocks import Answer
from mlgit.site.gather import Site
from mlgit.site.pages import common
from mlgit.site.reports import Report
from mlgit.site.whole import Source
from mlgit.site.write import Unit
from mlgit.words import counted, number


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields a unit for every report; a block that cannot be answered is warned of."""
    for report in site.reports:
        for block in markdown.blocks(report.text, blocks.WORD):
            found = _answered(site, report, block)
            if isinstance(found, str):
                warnings.warn(found, MlgitWarning, stacklevel=2)
        key = common.key("report", site.root, report)
        yield Unit(f"report/{report.path}", key, partial(_files, site, report))


def _answered(site: Site, report: Report, block: markdown.Block) -> Answer | str:
    """Returns the answer to a block, or where and what is wrong with it."""
    try:
        return blocks.answer(site, blocks.parse(block.text))
    except blocks.Wrong as error:
        return f"{report.path}:{block.line + error.line}: {error.message}"


def _files(site: Site, report: Report) -> Iterator[tuple[str, bytes]]:
    url = urls.report(report.path)
    charts: list[dict[str, Any]] = []

    def block(asked: markdown.Block) -> Markup:
        found = _answered(site, report, asked)
        if isinstance(found, str):
            return render.part("report_block.html", url, problem=found, text=asked.text)
        chart = _chart(site, found)
        if chart:
            charts.append(chart)
        return render.part(
            "report_block.html",
            url,
            problem=None,
            title=found.title,
            columns=found.columns,
            rows=[common.link(site, row) for row in found.rows],
            kind=found.kind,
            chart=len(charts) - 1 if chart else None,
            picture=_picture(chart) if chart else None,
            telling=found.telling,
            telling_shown=importance.SHOWN,
            enough=importance.ENOUGH,
        )

    to_run = partial(common.run_url, site)
    body = markdown.to_html(report.text, to_run, {blocks.WORD: block}, is_page=True)
    name = f"report/{report.path}"
    if charts:
        content = msgspec.json.encode({"charts": charts})
        yield urls.report_data(report.path), common.script(name, content)
    yield common.page(
        site,
        "report.html",
        url,
        report.title,
        report=report,
        body=body,
        data_name=name,
        data_url=urls.report_data(report.path) if charts else None,
    )


def _chart(site: Site, answer: Answer) -> dict[str, Any] | None:
    """Returns a chart as the page's script draws it; None where there is nothing to be seen."""
    if answer.kind in (None, "importance") or not answer.rows:
        return None
    if answer.kind == "histogram":
        return _histogram(site, answer)
    if answer.kind == "curves":
        metric = answer.fields[0].key
        measured = site.table.values.get(("metric", metric), {})
        runs = _runs(site, [row for row in answer.rows if row in measured][:_CURVES])
        return {"kind": "curves", "metric": metric, "runs": runs} if runs else None
    runs = _runs(site, answer.rows)
    columns = [
        list(map(tables.encode, tables.column(site, answer.rows, field).values))
        for field in answer.fields
    ]
    titles = [field.key for field in answer.fields]
    if answer.kind == "scatter":
        rows = [
            {**run, "colour": "--c0", "x": x, "y": y}
            for run, x, y in zip(runs, *columns, strict=True)
        ]
        return {"kind": "scatter", "x": titles[0], "y": titles[1], "size": None, "rows": rows}
    values = zip(*columns, strict=True)
    rows = [{**run, "values": each} for run, each in zip(runs, values, strict=True)]
    return {"kind": "parallel", "axes": titles, "rows": rows}


def _runs(site: Site, rows: Sequence[int]) -> list[dict[str, Any]]:
    return [
        {"run": site.table.ids[row], "label": site.label(row), "colour": f"--c{place % 10}"}
        for place, row in enumerate(rows)
    ]


def _histogram(site: Site, answer: Answer) -> dict[str, Any] | None:
    (field,) = answer.fields
    found = bins.histogram(tables.column(site, answer.rows, field).values)
    if not found.bins:
        return None
    rows = [
        {"label": render.cut(each.label, 60), "runs": each.runs, "ends": each.ends}
        for each in found.bins
    ]
    title = field.key if field.part in ("", "last") else f"{field.key} {field.part}"
    if found.odd:
        title += f" ({found.odd} not finite)"
    return {"kind": "histogram", "x": title, "scale": found.scale, "rows": rows}


class _Picture(NamedTuple):
    """A histogram as it stands in print and without JavaScript."""

    bars: Markup
    most: int
    below: list[str]
    """What the axis says: a label for each bar, or the ends with what it shows between them."""
    is_text: bool


def _picture(chart: dict[str, Any]) -> _Picture | None:
    if chart["kind"] != "histogram":
        return None
    rows, is_text = chart["rows"], chart["scale"] == "text"
    counts, labels = [row["runs"] for row in rows], [row["label"] for row in rows]
    titles = [f"{label}: {counted(n, 'run')}" for label, n in zip(labels, counts, strict=True)]
    ends = [number(rows[place]["ends"][place]) for place in (0, -1)] if not is_text else []
    below = labels if is_text else [ends[0], chart["x"], ends[1]]
    return _Picture(svg.histogram(counts, titles, is_text), max(counts), below, is_text)


_CURVES = 20  # runs in one chart
