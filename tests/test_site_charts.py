"""Charts: their specifications, and what a real Chromium draws from them."""

from __future__ import annotations

import http.server
import io
import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import altair
import pytest
from browser import chromium, visit
from conftest import make_run
from PIL import Image
from showcase import summaries

import mlgit
from mlgit import saved
from mlgit.ledger import Ledger, open_repository
from mlgit.records import Points
from mlgit.site import charts, foreign, svg
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


# How wide each chart is where it has less room than on the screen that it was drawn for.
ON_NARROW_PAPER = """[...document.querySelectorAll(".drawn")].map((box) => {
    box.style.width = "200px";
    const { width } = box.querySelector("canvas").getBoundingClientRect();
    box.style.width = "";
    return width;
})"""


@pytest.mark.parametrize("kind", charts.specs())
def test_specifications_are_valid_and_hold_no_data(kind: str) -> None:
    spec = charts.specs()[kind]
    altair.Chart.from_dict(spec)  # validates
    assert '"values"' not in json.dumps(spec) and "datasets" not in spec
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


def test_paper_shows_dark_ink_on_white_whatever_the_screen_shows(
    repo: Path, tmp_path: Path, browser: Any
) -> None:
    runs = [save({"loss": falling(50, floor)}, name=f"run {floor}") for floor in (0.1, 0.2, 0.3)]
    out = make(tmp_path / "out")
    pages = (
        f"runs/{runs[0]}.html",
        "experiments/exp.html",
        f"compare.html#runs={runs[0]},{runs[1]}",
    )
    for theme, chosen in (("dark", None), ("light", "dark")):
        with visit(browser, theme=theme) as seen:
            page = seen.page
            seen.open(f"{out.as_uri()}/index.html")
            if chosen:
                page.evaluate("theme => mlgit.memory.set('theme', theme)", chosen)
            for url in pages:
                seen.open(f"{out.as_uri()}/{url}")
                seen.look_over()
                page.locator(".drawn canvas").first.wait_for()
                page.emulate_media(media="print", color_scheme=theme)
                shot = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("L")
                counts = shot.histogram()
                assert sum(counts[230:]) > 0.75 * sum(counts), url  # white
                # A line of a chart is darker than the grid and than any pale ink.
                place = page.locator("svg.curve:visible, .drawn canvas:visible").first
                box = place.bounding_box()
                edges = (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"])
                assert shot.crop(edges).getextrema()[0] < 150, url
                assert page.locator(".controls:visible, .theme:visible").count() == 0, url
                assert max(page.evaluate(ON_NARROW_PAPER)) <= 200, url
                page.emulate_media(media="screen", color_scheme=theme)
        assert seen.complaints == []


def test_paper_has_no_empty_boxes_of_charts(repo: Path, tmp_path: Path, browser: Any) -> None:
    runs = [save({f"m{n:02}": falling(50, floor) for n in range(40)}) for floor in (0.1, 0.2)]
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        page = seen.page
        for url in ("experiments/exp.html", f"compare.html#runs={runs[0]},{runs[1]}"):
            seen.open(f"{out.as_uri()}/{url}")
            page.locator(".exploring, .comparison .chart").first.wait_for(state="attached")
            page.emulate_media(media="print")
            boxes = ".exploring:visible, .comparison .chart:visible"
            assert page.locator(boxes).count() < 35, url
            assert page.locator(boxes).filter(has_not=page.locator("canvas")).count() == 0, url
            page.emulate_media(media="screen")
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


def test_a_value_that_no_line_leads_to_is_a_dot(repo: Path, tmp_path: Path, browser: Any) -> None:
    holed = Points([0, 1, 2, 3, 4], [0] * 5, [1.0, math.nan, 0.5, math.nan, math.inf])
    baseline = save({"loss": Points([7], [900], [0.25])})
    curve = save({"loss": falling(30)})
    run = save({"loss": holed, "single": Points([3], [0], [1.5])})
    out = make(tmp_path / "out")
    rows = """async (id) => {
        const data = await mlgit.load(`../data/runs/${id}.js`, `run/${id}`);
        const { prepare } = mlgit.charts.kinds.curves;
        return ["loss", "single", "none"].map((metric) =>
            prepare(mlgit.charts.points(data, metric)).sets.rows.map((row) => [row.x, row.dot]));
    }"""
    orange = (
        f"{PIXELS}[0].filter((part, at, data) => at % 4 === 0 && part > data[at + 1] + 60).length"
    )
    with visit(browser) as seen:
        seen.page.goto(f"{out.as_uri()}/runs/{run}.html")
        loss, single, none = seen.page.evaluate(rows, run)
        assert loss == [[0, 1.0], [1, None], [2, 0.5], [3, None], [4, None]]
        assert (single, none) == ([[3, 1.5]], [])
        # The second of the runs is orange, and has only this value.
        for page in ("experiments/exp.html#sel", "compare.html#runs"):
            seen.open(f"{out.as_uri()}/{page}={curve},{baseline}")
            seen.page.locator(".drawn canvas").first.wait_for()
            assert seen.page.evaluate(orange) > 10, page
    assert seen.complaints == []


def test_the_words_of_still_pictures_tell_their_ends_apart() -> None:
    def ends(*values: float) -> tuple[str, str]:
        count = len(values)
        return svg.extent(Points(list(range(count)), list(range(count)), list(values)))[:2]

    assert ends(0.1 + 0.2, 1.23456) == ("0.3", "1.235")
    assert ends(0.9999, 0.99994) == ("0.9999", "0.99994")
    assert ends(1 / 3, 1 / 3) == ("0.3333", "0.3333")


# --- charts that runs logged -------------------------------------------------------------------


def log_charts(specs: dict[str, Any]) -> str:
    with mlgit.start_run("exp", "charts", capture=()) as run:
        for name, spec in specs.items():
            run.log_dict(spec, f"{name}.vl.json")
    return run.id


def test_a_chart_of_altair_is_drawn(repo: Path, tmp_path: Path, browser: Any) -> None:
    data = altair.InlineData([{"a": number, "b": number**2} for number in range(20)])
    least = altair.param("least", value=0, bind=altair.binding_range(min=0, max=19, name="least"))
    chart = altair.Chart(data).mark_point(size=200).encode(x="a:Q", y="b:Q", tooltip="b:Q")
    with mlgit.start_run("exp", "charts", capture=()) as run:
        run.log_chart(chart.add_params(least).transform_filter("datum.a >= least"), "squares")
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        page = seen.page
        page.goto(f"{out.as_uri()}/runs/{run.id}.html")
        drawn(page, 1)
        [before] = page.evaluate(INK)
        page.get_by_role("slider").fill("18")
        until(page, f"{INK}[0] < {before} * 0.8")
        page.locator("summary", has_text="Specification").click()
        assert '"binding_range"' not in page.locator("pre").inner_text()
        assert '"field": "b"' in page.locator("pre").inner_text()
    assert seen.complaints == []


def test_the_data_of_a_logged_chart_stands_in_its_stead(
    repo: Path, tmp_path: Path, browser: Any
) -> None:
    values = [{"step": step, "loss": step / 7, "of": "<i>a</i>"} for step in range(50)]
    chart = altair.Chart(altair.InlineData(values)).mark_line().encode(x="step:Q", y="loss:Q")
    numbers = altair.Chart(altair.sequence(0, 9, as_="x")).mark_bar().encode(x="x:Q")
    with mlgit.start_run("exp", "charts", capture=()) as run:
        for name in ("first", "second"):
            run.log_chart(chart, name)
        run.log_text("\n".join("line" for _ in range(300)), "between.txt")
        run.log_chart(chart, "last")
        run.log_chart(numbers, "numbers")
    url = f"{make(tmp_path / 'out').as_uri()}/runs/{run.id}.html"
    with visit(browser, java_script_enabled=False) as seen:
        seen.page.goto(url)
        table = seen.page.locator(".drawing table:visible")
        assert table.count() == 3 and seen.page.locator(".foreign:visible").count() == 0
        assert table.first.locator("tbody tr").count() == 20
        assert table.first.locator("tr").nth(2).inner_text().split() == ["1", "0.14286", "<i>a</i>"]
        assert seen.page.get_by_text("This is the first 20 of 50 rows.").count() == 3
        # One that makes its data itself has only its specification.
        assert seen.page.locator(".drawing pre:visible").count() == 1
    with visit(browser) as seen:
        page = seen.page
        page.goto(url)
        page.locator(".foreign canvas").nth(0).wait_for()
        assert page.locator(".drawing table:visible").count() == 0
        page.locator("summary", has_text="Data: 50 rows").nth(1).click()
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        # Those that nobody scrolled to leave no empty box.
        assert page.locator(".drawing table:visible").count() == 3
        assert 1 <= page.locator(".foreign:visible").count() < 4
        assert page.locator(".foreign:visible:not(:has(canvas))").count() == 0
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        page.emulate_media(media="screen")
        assert page.locator(".drawing table:visible").count() == 1
    assert seen.complaints == []


def test_colours_that_a_chart_names_have_the_ground_that_they_were_chosen_for(
    repo: Path, tmp_path: Path, browser: Any
) -> None:
    data = altair.InlineData([{"a": number} for number in range(5)])
    chart = altair.Chart(data).mark_line().encode(x="a:Q", y="a:Q")
    coloured = altair.when(altair.datum.a > 2).then(altair.value("black"))
    charts = {
        "plain": chart.configure_view(stroke="transparent").encode(color="a:N"),
        "scheme": chart.encode(color=altair.Color("a:Q").scale(scheme="viridis")),
        "white": chart.properties(background="#fff"),
        "labels": chart.configure_axis(labelColor="black"),
        "mark": chart.mark_line(color="black"),
        "when": chart.mark_point().encode(color=coloured),
        "range": chart.encode(color=altair.Color("a:N").scale(range=["black", "navy"])),
        "night": chart.configure(background="#123456"),
    }
    with mlgit.start_run("exp", "charts", capture=()) as run:
        for name, each in charts.items():
            run.log_chart(each.properties(height=60), name)
    url = f"{make(tmp_path / 'out').as_uri()}/runs/{run.id}.html"
    ground = f"{PIXELS}.map((data) => [...data.slice(0, 4)].join())"
    transparent, white = "0,0,0,0", "255,255,255,255"
    for theme in ("light", "dark"):
        with visit(browser, theme=theme) as seen:
            seen.page.goto(url)
            for place in seen.page.locator(".foreign").all():
                place.scroll_into_view_if_needed()
                place.locator("canvas").wait_for()
            assert seen.page.evaluate(ground) == [
                *[transparent] * 2, *[white] * 5, "18,52,86,255"
            ]  # fmt: skip
            # Paper gets them as they are; what was drawn in pale ink is turned.
            dark = seen.page.locator(".drawn.dark").count()
            assert dark == (2 if theme == "dark" else 0)
        assert seen.complaints == []


class Canary(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(b"a,b\n1,2\n")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def canary() -> Iterator[str]:
    """The address of a server that must never be asked for anything."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Canary)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


# Whether something keeps a click on the page from what it is for.
CLICKS = """(() => {
    const click = new MouseEvent("click", { bubbles: true, cancelable: true });
    document.querySelector("footer").dispatchEvent(click);
    return click.defaultPrevented;
})()"""


def hostile(address: str) -> dict[str, Any]:
    rows = {"values": [{"a": 1, "u": f"{address}/row.png", "h": "<img src=x onerror=alert(1)>"}]}
    point = {"data": rows, "mark": "point", "encoding": {"x": {"field": "a"}}}
    alert = "alert(1)"
    escape = "datum.constructor.constructor('alert(1)')()"
    return {
        "data": {"data": {"url": f"{address}/data.csv"}, "mark": "bar"},
        "lookup": {
            **point,
            "transform": [
                {
                    "lookup": "a",
                    "from": {"data": {"url": f"{address}/look.csv"}, "key": "a", "fields": ["b"]},
                }
            ],
        },
        "image": {**point, "mark": {"type": "image", "url": f"{address}/mark.png"}},
        "images": {"data": rows, "mark": "image", "encoding": {"url": {"field": "u"}}},
        "href": {**point, "mark": {"type": "point", "href": "javascript:alert(1)", "size": 9000}},
        "usermeta": {
            **point,
            "usermeta": {
                "embedOptions": {
                    "ast": False,
                    "actions": True,
                    "config": f"{address}/config.json",
                    "patch": f"{address}/patch.json",
                    "renderer": "svg",
                }
            },
        },
        "cursor": {
            **point,
            "mark": {"type": "point", "size": 9000, "cursor": f"url({address}/c.png), auto"},
        },
        "expression": {**point, "transform": [{"calculate": escape, "as": "b"}]},
        "function": {**point, "transform": [{"calculate": alert, "as": "b"}]},
        "signal": {**point, "params": [{"name": "s", "expr": escape}]},
        "bind": {
            **point,
            "params": [
                {
                    "name": "s",
                    "value": 1,
                    "bind": {
                        "input": "text",
                        "autofocus": True,
                        "onfocus": alert,
                        "element": "body",
                        "style": f"background:url({address}/style.png)",
                    },
                }
            ],
        },
        "input": {
            **point,
            "params": [{"name": "s", "bind": {"input": "image", "src": f"{address}/i.png"}}],
        },
        "title": {**point, "title": "<img src=x onerror=alert(1)>", "description": alert},
        "tooltip": {
            **point,
            "mark": {"type": "point", "size": 90000, "tooltip": {"content": "data"}},
        },
        "proto": {**point, "__proto__": {"data": {"url": f"{address}/proto"}}},
        "font": {**point, "config": {"font": f"url({address}/font)"}, "title": "x"},
        "high": {**point, "title": {"text": "x", "fontSize": 1e9}},
        # What would keep clicks from all the page.
        "click": {
            **point,
            "params": [
                {"name": "s", "select": {"type": "point", "on": "window:click!"}},
                {"name": "t", "select": {"type": "point", "clear": "body:click!"}},
                {
                    "name": "u",
                    "select": {"type": "point", "on": {"source": "window", "type": "click"}},
                },
            ],
        },
        "signals": {
            **point,
            "config": {
                "signals": [{"name": "s", "on": [{"events": "window:click!", "update": "1"}]}]
            },
        },
        "no chart": {"a": 1},
    }


@pytest.mark.parametrize("tamed", [True, False])
def test_hostile_charts_ask_for_nothing_and_run_nothing(
    repo: Path,
    tmp_path: Path,
    browser: Any,
    canary: str,
    tamed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    specs = hostile(canary)
    if not tamed:  # what stands behind lets nothing out either
        monkeypatch.setattr(foreign, "tame", lambda spec: spec)
        del specs["bind"]  # though a control could take the place of the page
    run = log_charts(specs)
    out = make(tmp_path / "out")
    Canary.asked.clear()
    with visit(browser) as seen:
        page = seen.page
        page.goto(f"{out.as_uri()}/runs/{run}.html")
        for place in page.locator(".foreign").all():
            place.scroll_into_view_if_needed()
            page.wait_for_timeout(100)
            place.hover()
            place.click()
        assert page.locator(".foreign").count() == (len(specs) - 6 if tamed else len(specs))
        page.wait_for_timeout(300)
        assert page.evaluate(CLICKS) is not tamed
        assert page.evaluate("document.documentElement.scrollHeight") < 40_000
        assert page.url.endswith(f"/runs/{run}.html")
        assert page.evaluate("document.querySelectorAll('.tip img, main img, a.vega').length") == 0
        complaints = [text for text in seen.complaints if "dialog" in text]
    assert Canary.asked == [] and complaints == []
    if tamed:  # else the page's policy has to stop a picture, and says so
        assert {url.partition(":")[0] for url in seen.requests} == {"file"}
        assert seen.complaints == []


@pytest.mark.parametrize(
    "part",
    [
        {"transform": [{"calculate": "timeSequence('milliseconds', 0, 4e12)", "as": "z"}]},
        {"transform": [{"impute": "b", "key": "a", "keyvals": {"start": 0, "stop": 1e9}}]},
        {"transform": [{"regression": "a", "on": "b", "method": "poly", "order": 20_000}]},
        {"data": {"graticule": {"step": [1e-4, 1e-4]}}},
        {"width": {"step": 1e9}},
        {"config": {"view": {"continuousWidth": 1e9}}},
        {"config": {"view": {"step": 1e9}}},
    ],
    ids=lambda part: next(iter(part)),
)
def test_charts_without_end_are_refused(part: dict[str, Any]) -> None:
    with pytest.raises(foreign.Refused):
        foreign.tame({"data": {"values": []}, "mark": "bar", **part})


@pytest.mark.parametrize("events", ["click", "@a:click", "symbol:click, view:wheel!", True])
def test_selections_listen_to_their_chart(events: str | bool) -> None:
    spec = {"mark": "bar", "params": [{"name": "s", "select": {"type": "point", "on": events}}]}
    assert foreign.tame(spec) == spec


def test_a_chart_that_the_page_did_not_survive_waits(
    repo: Path, tmp_path: Path, browser: Any
) -> None:
    rows = [{"a": 1}, {"a": 2}]
    run = log_charts(
        {"a": {"data": {"values": rows}, "mark": "bar", "encoding": {"x": {"field": "a"}}}}
    )
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        page = seen.page
        page.goto(f"{out.as_uri()}/runs/{run}.html")
        drawn(page, 1)
        key = page.evaluate("`mlgit.begun.${document.querySelector('.foreign').dataset.chart}`")
        assert page.evaluate("key => localStorage.getItem(key)", key) is None
        mark = "key => localStorage.setItem(key, 1)"
        page.evaluate(mark, key)  # a person goes on while it is drawn
        page.reload()
        drawn(page, 1)
        page.goto(f"{out.as_uri()}/index.html")
        page.evaluate(mark, key)  # as when the page ended amid this
        page.goto(f"{out.as_uri()}/runs/{run}.html")
        page.get_by_text("did not survive this chart").wait_for()
        page.locator(".foreign").scroll_into_view_if_needed()
        page.wait_for_timeout(300)
        assert page.locator(".foreign canvas").count() == 0
        page.get_by_role("button", name="Draw it").click()
        drawn(page, 1)
        assert page.evaluate("key => localStorage.getItem(key)", key) is None
    assert seen.complaints == []
