"""The page of a report: its text, and what the ledger answers to the blocks in it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec
from markupsafe import Markup

from mlgit.errors import Invalid, MlgitWarning
from mlgit.site import blocks, markdown, render, tables, urls
from mlgit.site.blocks import Answer
from mlgit.site.gather import Site
from mlgit.site.pages import common
from mlgit.site.reports import Report
from mlgit.site.whole import Source
from mlgit.site.write import Unit


def units(site: Site, source: Source) -> Iterator[Unit]:
    """Yields a unit for every report; a block that cannot be answered is warned of."""
    for report in site.reports:
        for text in markdown.blocks(report.text, blocks.WORD):
            found = _answered(site, text)
            if isinstance(found, str):
                warnings.warn(f"a block of {report.path}: {found}", MlgitWarning, stacklevel=2)
        key = common.key("report", site.root, report)
        yield Unit(f"report/{report.path}", key, partial(_files, site, report))


def _answered(site: Site, text: str) -> Answer | str:
    """Returns the answer to a block, or what is wrong with it."""
    try:
        return blocks.answer(site, blocks.parse(text))
    except Invalid as error:
        return error.message.partition("\n")[0]


def _files(site: Site, report: Report) -> Iterator[tuple[str, bytes]]:
    url = urls.report(report.path)
    charts: list[dict[str, Any]] = []

    def block(text: str) -> Markup:
        found = _answered(site, text)
        if isinstance(found, str):
            return render.part("report_block.html", url, problem=found, text=text)
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
    if answer.kind is None or not answer.rows:
        return None
    runs = [
        {"run": site.table.ids[row], "label": site.label(row), "colour": f"--c{place % 10}"}
        for place, row in enumerate(answer.rows)
    ]
    if answer.kind == "curves":
        return {"kind": "curves", "metric": answer.fields[0].key, "runs": runs[:_CURVES]}
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


_CURVES = 20  # runs in one chart
