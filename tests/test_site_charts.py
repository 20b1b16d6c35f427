"""Charts: their specifications, and what a real Chromium draws from them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import altair
import pytest
from browser import chromium, visit
from conftest import make_run
from showcase import summaries

from mlgit import saved
from mlgit.ledger import Ledger, open_repository
from mlgit.records import Points
from mlgit.site import charts
from mlgit.site.build import build


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def falling(count: int, floor: float = 0.1) -> Points:
    """Returns a loss that goes down, with a point every two seconds."""
    values = [floor + math.exp(-5 * step / count) + 0.05 * (step % 2) for step in range(count)]
    return Points(list(range(count)), [2000 * step for step in range(count)], values)


def save(history: dict[str, Points], **fields: Any) -> str:
    run = make_run(metrics=summaries(history), **fields)
    saved.save(open_repository(), run, history)
    return run.id


def make(out: Path) -> Path:
    with Ledger() as ledger:
        build(ledger, out)
    return out


def until(page: Any, condition: str) -> None:
    """Waits until a JavaScript expression is true; Playwright's own way needs `eval`."""
    limit = time.monotonic() + 15
    while not page.evaluate(condition):
        assert time.monotonic() < limit, condition
        page.wait_for_timeout(20)


def drawn(page: Any, count: int) -> None:
    """Waits until so many charts are drawn."""
    until(page, f"document.querySelectorAll('.live canvas').length === {count}")


# The pixels of each chart, as lists of red, green, blue and opacity.
PIXELS = """[...document.querySelectorAll(".live canvas")].map((canvas) => {
    const { width, height } = canvas;
    const copy = Object.assign(document.createElement("canvas"), { width, height });
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(canvas, 0, 0);
    return context.getImageData(0, 0, width, height).data;
})"""
# How many of them are not the ground.
INK = f"{PIXELS}.map((data) => data.filter((part, at) => at % 4 === 3 && part > 0).length)"
# The most frequent of the full colours.
COLOUR = f"""(() => {{
    const found = {{}};
    for (const data of {PIXELS})
        for (let at = 0; at < data.length; at += 4)
            if (data[at + 3] === 255 && data[at + 2] > data[at] + 60)
                found[data.slice(at, at + 3)] = (found[data.slice(at, at + 3)] ?? 0) + 1;
    return Object.entries(found).sort((one, other) => other[1] - one[1])[0]?.[0];
}})()"""


@pytest.mark.parametrize("kind", charts.specs())
def test_specifications_are_valid_and_hold_no_data(kind: str) -> None:
    spec = charts.specs()[kind]
    altair.Chart.from_dict(spec)  # validates
    assert "values" not in json.dumps(spec["data"]) and "datasets" not in spec
    assert spec["width"] == spec["height"] == "container"


def test_specifications_are_the_same_in_every_process() -> None:
    code = "import json; from mlgit.site import charts; print(json.dumps(charts.specs()))"
    found = {
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
        for _ in range(2)
    }
    assert found == {json.dumps(charts.specs()).encode() + b"\n"}


def test_curves_of_a_run(repo: Path, tmp_path: Path, browser: Any) -> None:
    gap = falling(20)
    gap.value[7] = math.nan
    run = save({"train/loss": falling(2000), "val/loss": gap})
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        page = seen.page
        page.goto(f"{out.as_uri()}/runs/{run}.html")
        drawn(page, 2)
        before = page.evaluate(INK)
        assert min(before) > 1000
        # The static picture has made room for the chart, and comes back in print.
        assert page.locator("svg.curve").first.is_hidden()
        page.emulate_media(media="print")
        assert page.locator("svg.curve").first.is_visible()
        assert page.locator(".plot canvas").first.is_hidden()
        page.emulate_media(media="screen")
        # A point tells of itself, without what was left out of the curve.
        chart = page.locator(".plot.live").nth(1)
        box = chart.bounding_box()
        page.mouse.move(box["x"] + box["width"] - 12, box["y"] + box["height"] / 2, steps=3)
        page.locator(".tip:visible").wait_for()
        told = dict(zip(*[iter(page.locator(".tip").inner_text().split())] * 2, strict=False))
        assert told["step"] == "19" and told["value"] == "0.1586517"
        page.mouse.move(2, 2)
        page.locator(".tip").wait_for(state="hidden")
    assert seen.complaints == []
    assert {url.partition(":")[0] for url in seen.requests} == {"file"}


def test_controls_change_all_curves_and_the_address(
    repo: Path, tmp_path: Path, browser: Any
) -> None:
    run = save(
        {"loss": falling(300), "error": falling(100), "negative": Points([0, 1], [0, 1], [-1, -2])}
    )
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        page = seen.page
        page.goto(f"{out.as_uri()}/runs/{run}.html")
        drawn(page, 3)
        before = page.evaluate(INK)
        page.get_by_label("time", exact=True).check(force=True)
        page.get_by_label("log scale").check()
        page.get_by_label("smoothing").fill("0.9")
        assert page.url.endswith("#axis=time&log=1&smooth=0.9")
        changed = f"(({INK}).every((ink, place) => place === 2 || ink !== {before}[place]))"
        until(page, changed)
        # Who is given the address sees the same.
        with visit(browser) as other:
            other.page.goto(page.url)
            drawn(other.page, 3)
            limit = time.monotonic() + 15
            while page.evaluate(INK) != other.page.evaluate(INK):
                assert time.monotonic() < limit
            assert other.page.get_by_label("log scale").is_checked()
            assert other.page.get_by_label("smoothing").input_value() == "0.9"
        assert other.complaints == []
    assert seen.complaints == []


def test_the_theme_changes_under_charts(repo: Path, tmp_path: Path, browser: Any) -> None:
    run = save({"loss": falling(50)})
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        page = seen.page
        page.goto(f"{out.as_uri()}/runs/{run}.html")
        drawn(page, 1)
        assert page.evaluate(COLOUR) == "59,111,212"  # --c0
        page.get_by_role("button", name="Switch between light and dark").click()
        until(page, f"{COLOUR} === '107,155,255'")
    assert seen.complaints == []


def test_forty_charts_are_drawn_as_they_come_near(repo: Path, tmp_path: Path, browser: Any) -> None:
    run = save({f"metric {number:02}": falling(400, number) for number in range(40)})
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        page = seen.page
        page.goto(f"{out.as_uri()}/runs/{run}.html")
        page.locator(".plot.live").first.wait_for()
        page.wait_for_timeout(300)
        assert 4 <= page.locator(".plot.live").count() <= 20
        for number in range(0, 40, 4):
            page.locator(".plot").nth(number).scroll_into_view_if_needed()
            page.locator(".plot").nth(number).locator("canvas").wait_for()
        page.locator(".plot").nth(39).scroll_into_view_if_needed()
        drawn(page, 40)
        assert min(page.evaluate(INK)) > 1000
    assert seen.complaints == []


def test_points_are_what_was_logged(repo: Path, tmp_path: Path, browser: Any) -> None:
    history = {
        "even": Points([5, 10, 15], [0, 7, 9], [1.0, 2.0, 4.5]),
        "uneven": Points([0, 1, 8], [3, 3, 3], [1.0, math.inf, -2.0]),
        "back": Points([4, 2], [0, 100], [0.5, math.nan]),
        "long": Points(list(range(1000)), list(range(1000)), [float(n % 7) for n in range(1000)]),
    }
    run = save(history)
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        seen.page.goto(f"{out.as_uri()}/runs/{run}.html")
        found = seen.page.evaluate(
            """async ([id, metrics]) => {
                const run = await mlgit.load(`../data/runs/${id}.js`, `run/${id}`);
                return metrics.map((metric) => mlgit.charts.points(run, metric));
            }""",
            [run, list(history)],
        )
    for rows, (metric, points) in zip(found[:3], history.items(), strict=False):
        assert [row["step"] for row in rows] == points.step
        assert [row["time"] for row in rows] == points.time
        assert [repr(float(row["value"])) for row in rows] == [repr(v) for v in points.value]
        assert {(row["metric"], row["low"], row["high"]) for row in rows} == {(metric, None, None)}
    assert len(found[3]) <= 250
    assert {(row["low"], row["high"]) for row in found[3][1:-1]} == {(0, 6)}
    assert seen.complaints == []
