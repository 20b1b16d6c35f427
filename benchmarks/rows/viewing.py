"""The site in a browser: when a page full of charts is painted, and how quick a large table is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ledgers
from bench import PROGRAMS, Bench, Failed, take_turns
from report import Line

MLGIT = PROGRAMS / "mlgit"
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
PAINT = "performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)"
READY = "performance.getEntriesByName('mlgit:table').map(entry => entry.duration)"
FILTER = (
    "mlgit.state.set('where', 'params.p3 < 50 and metrics.rmse < 7'),"
    " dispatchEvent(new Event('hashchange'))"
)
SORT = "[...document.querySelectorAll('thead button')][3].click()"


def rows(bench: Bench) -> Iterator[Line]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise Failed("there is no Chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[*ARGUMENTS])
        yield from _painting(bench, browser)
        yield from _handling(bench, browser)
        browser.close()


def _painting(bench: Bench, browser: Any) -> Iterator[Line]:
    place = ledgers.make(bench.folder("charts"), 1, ledgers.CHARTS)
    (page,) = _site(bench, place).glob("runs/*.html")
    empty = place / "empty.html"
    empty.write_text("<!DOCTYPE html><title>nothing</title><p>nothing</p>\n")
    urls = {"mlgit": page.as_uri(), "a page with one word": empty.as_uri()}
    acts = {name: lambda url=url: _painted(browser, url) for name, url in urls.items()}
    values = take_turns(acts, 7 if bench.quick else 15)
    act = f"a page with {ledgers.CHARTS_A_RUN} charts, from disk, until it is painted"
    yield Line(act, "ms", values.pop("mlgit"), 300, values)


def _painted(browser: Any, url: str) -> float:
    """Returns the milliseconds until the browser first paints something; nothing is cached."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(url)
    while not (found := page.evaluate(PAINT)):
        page.wait_for_timeout(20)
    context.close()
    return found[0]


def _handling(bench: Bench, browser: Any) -> Iterator[Line]:
    runs = 2_000 if bench.quick else 10_000
    bench.say(f"a ledger of {runs:,} runs of one experiment")
    site = _site(bench, ledgers.make(bench.folder("wide"), runs, ledgers.WIDE))
    values: dict[str, list[float]] = {"ready": [], "filter": [], "sort": []}
    for _ in range(3 if bench.quick else 7):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto((site / "experiments" / "wide.html").as_uri())
        page.locator(".runs.live").wait_for()
        values["ready"] += page.evaluate(READY)
        for act, script in (("filter", FILTER), ("sort", SORT)):
            timed = f"() => {{ const began = performance.now(); {script};"
            values[act].append(page.evaluate(f"{timed} return performance.now() - began; }}"))
        context.close()
    columns = len(ledgers.contents(0).params) + ledgers.WIDE_PARAMS
    act = f"a table of {runs:,} runs with {columns} params"
    yield Line(f"{act}, until it is ready", "ms", values["ready"], 50)
    yield Line("the same, filtered by a param and a metric", "ms", values["filter"])
    yield Line("the same, sorted by another column", "ms", values["sort"])


def _site(bench: Bench, place: Path) -> Path:
    bench.wall(place, MLGIT, "site", "build", "--out", place / "_site")
    return place / "_site"
