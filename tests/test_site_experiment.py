"""The charts of an experiment's page, which follow its table, in a real Chromium."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from browser import chromium, visit
from conftest import make_run
from showcase import summaries
from test_site_charts import INK, PIXELS, drawn, make, until

from mlgit import saved
from mlgit.ledger import open_repository
from mlgit.records import Metric, Points

# Where the dot is that lies furthest to the right; dots are the only blue.
RIGHTMOST = """(() => {
    const canvas = document.querySelector(".scatter canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let [x, y] = [-1, -1];
    for (let at = 0; at < data.length; at += 4) {
        const left = (at / 4) % canvas.width;
        if (data[at + 2] <= data[at] + 60 || left <= x) continue;
        [x, y] = [left, Math.floor(at / 4 / canvas.width)];
    }
    return [x, y];
})()"""
# How many pixels the dots have.
DOTS = f"""{PIXELS}[1].filter((part, at, data) =>
    at % 4 === 2 && data[at + 1] > 150 && part > data[at - 2] + 60).length"""
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
RUNS = 15


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def save(number: int, points: int, **fields: Any) -> str:
    chance = random.Random(number)
    lr = 10 ** chance.uniform(-4, -1)
    values = [abs(math.log10(lr) + 2) + math.exp(-step / 5) for step in range(points)]
    history = {
        "val/loss": Points(list(range(points)), [1000 * step for step in range(points)], values),
        "test/score": Points([0], [0], [float(number)]),
    }
    params = {"lr": lr, "optimizer": chance.choice(["adam", "sgd"]), "depth": number % 4, "same": 1}
    fields = {"params": params, "name": f"trial {number}", **fields}
    run = make_run(
        1_767_225_600_000 + 1000 * number, experiment="exp", metrics=summaries(history), **fields
    )
    saved.save(open_repository(), run, history)
    return run.id


@pytest.fixture
def ids(repo: Path) -> list[str]:
    return [save(number, 30) for number in range(RUNS)]


def show(page: Any, out: Path, state: str = "") -> None:
    page.set_viewport_size({"width": 1280, "height": 4000})
    page.goto("about:blank")
    page.goto(f"{out.as_uri()}/experiments/exp.html{state}")


def legend(page: Any) -> list[str]:
    return [text.split()[1] for text in page.locator(".runs-legend li").all_inner_texts()]


def test_charts_follow_the_table(ids: list[str], repo: Path, tmp_path: Path, browser: Any) -> None:
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        page = seen.page
        show(page, out)
        drawn(page, 3)
        assert min(page.evaluate(INK)) > 1000
        heads = [text.strip() for text in page.locator(".exploring h2").all_inner_texts()]
        assert heads == ["Curves", "Scatter", "Parallel coordinates"]
        # With nothing selected the curves are those of the best by the metric of the page.
        page_best = [text.split()[-1] for text in page.locator(".leaders a.run").all_inner_texts()]
        assert legend(page)[: len(page_best)] == page_best and len(legend(page)) == 10
        assert page.locator(".exploring select").nth(1).input_value() == "params.lr"
        dots = page.evaluate(DOTS)
        # A condition of the table leaves less to draw.
        show(page, out, "#where=params.depth+%3D+1")
        drawn(page, 3)
        assert 0 < page.evaluate(DOTS) < dots and len(legend(page)) == 4
        # Selected runs are those with curves, in their colours.
        show(page, out, f"#sel={ids[3]},{ids[5]}")
        drawn(page, 3)
        assert legend(page) == ["3", "5"]
        assert page.locator(".runs-legend a").first.get_attribute("href").endswith(f"{ids[3]}.html")
    assert seen.complaints == []


def test_curves_are_of_the_best_that_have_finished(
    repo: Path, tmp_path: Path, browser: Any
) -> None:
    def said(page: Any) -> str:
        return str(page.locator(".exploring .panel-head").first.inner_text())

    for number in range(12):
        save(number, 30, status="failed" if number < 9 else "finished")
    with visit(browser) as seen:
        show(seen.page, make(tmp_path / "out"))
        drawn(seen.page, 3)
        leaders = seen.page.locator(".leaders a.run").all_inner_texts()
        assert len(leaders) == 3
        assert legend(seen.page)[:3] == [text.split()[-1] for text in leaders]
        assert "the best 3 by test/score, and the first of the others" in said(seen.page)
        show(seen.page, tmp_path / "out", "#where=status+%3D+failed")
        drawn(seen.page, 3)
        assert "best" not in said(seen.page)
    assert seen.complaints == []


def test_what_is_picked_stays_in_the_address(
    ids: list[str], repo: Path, tmp_path: Path, browser: Any
) -> None:
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        page = seen.page
        show(page, out)
        drawn(page, 3)
        before = page.evaluate(INK)
        for label, choice in (
            ("across", "params.optimizer"),
            ("colour", "params.depth"),
            ("size", "params.lr"),
        ):
            page.locator(".exploring").get_by_label(label, exact=True).select_option(choice)
        until(page, f"{INK}[1] !== {before[1]}")
        assert page.url.endswith("#x=params.optimizer&tint=params.depth&size=params.lr")
        show(page, out, "#x=params.optimizer&tint=params.depth&size=params.lr")
        drawn(page, 3)
        chosen = [select.input_value() for select in page.locator(".exploring select").all()]
        assert chosen == [
            "metrics.val/loss",
            "params.optimizer",
            "metrics.test/score",
            "params.depth",
            "params.lr",
        ]
    assert seen.complaints == []


def test_of_no_run_there_is_no_chart(repo: Path, tmp_path: Path, browser: Any) -> None:
    for number in range(3):
        save(number, 2, params={"lr": 0.1, "depth": number})
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        show(seen.page, out, "")
        seen.page.locator(".scatter canvas").wait_for()
        seen.page.evaluate("location.hash = 'where=params.depth+%3E+99'")
        seen.page.locator(".scatter").wait_for(state="hidden")
        assert seen.page.locator(".exploring:visible").count() == 0
    assert seen.complaints == []


def test_a_dot_leads_to_its_run(repo: Path, tmp_path: Path, browser: Any) -> None:
    same = {"lr": 0.1, "optimizer": "sgd"}
    ids = [save(number, 2, params={**same, "depth": 2 + (number == 1)}) for number in range(3)]
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        page = seen.page
        show(page, out, "#x=metrics.test%2Fscore&y=metrics.test%2Fscore")
        page.locator(".scatter canvas").wait_for()
        box = page.locator(".scatter canvas").bounding_box()
        x, y = page.evaluate(RIGHTMOST)
        page.mouse.move(box["x"] + x - 3, box["y"] + y, steps=3)
        page.locator(".tip:visible").wait_for()
        assert "trial 2" in page.locator(".tip").inner_text()
        page.mouse.down()
        page.mouse.up()
        page.wait_for_url(f"**/runs/{ids[2]}.html")
    assert seen.complaints == []


def test_a_stretch_of_an_axis_picks_runs(
    ids: list[str], repo: Path, tmp_path: Path, browser: Any
) -> None:
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        page = seen.page
        show(page, out)
        drawn(page, 3)
        about = page.locator(".exploring", has_text="Parallel").locator("p.quiet")
        assert about.inner_text() == "drag along an axis to pick runs"
        canvas = page.locator(".parallel canvas")
        box = canvas.bounding_box()
        # The metric is the last axis: where the pointer says that it can be dragged along.
        x = box["x"] + box["width"] - 20
        page.mouse.move(x, box["y"] + 60)
        while canvas.evaluate("(canvas) => canvas.style.cursor") != "ns-resize":
            x -= 10
            page.mouse.move(x, box["y"] + 60)
        before = page.evaluate(INK)[2]
        page.mouse.move(x, box["y"] + 2)
        page.mouse.down()
        page.mouse.move(x, box["y"] + 0.3 * box["height"], steps=3)
        page.mouse.up()
        count, of, total = about.inner_text().split()[:3]
        assert (of, total) == ("of", str(RUNS)) and 2 <= int(count) <= 5
        faint = f"{PIXELS}[2].filter((part, at) => at % 4 === 3 && part > 150).length"
        page.mouse.move(1, 1)
        until(page, f"{faint} < {before} / 3")
        left = page.evaluate(faint)
        page.mouse.click(x, box["y"] + 0.8 * box["height"])
        page.mouse.move(1, 1)
        until(page, f"{faint} > {left} * 1.5")
        assert about.inner_text() == "drag along an axis to pick runs"
    assert seen.complaints == []


# Draws a chart, and returns the ends of both axes and the picture.
PICTURE = """async ([kind, data, width]) => {
    const [embed, specs] = await Promise.all(
        ["assets/vega.js:vega", "data/charts.js:charts"].map((each) =>
            mlgit.load("../" + each.split(":")[0], each.split(":")[1])));
    const { prepare, adapt } = mlgit.charts.kinds[kind];
    const { sets, shape } = prepare(data);
    const spec = structuredClone(specs[kind]);
    adapt(spec, shape);
    Object.assign(spec, { width, height: 200 });
    const { view } = await embed(document.createElement("div"), spec, {
        mode: "vega-lite", ast: true, actions: false, defaultStyle: false, tooltip: () => {},
        patch: (vega) => {
            for (const each of vega.data) if (sets[each.name]) each.values = sets[each.name];
            return vega;
        },
    });
    return [view.scale("x").domain(), view.scale("y").domain(), await view.toSVG()];
}"""


def words_of(picture: str) -> list[list[str]]:
    """Returns the words of each axis of a picture."""
    axes = re.findall(r"role-axis-label.*?</g>", picture)
    return [re.findall(r"<text[^>]*>([^<]+)</text>", axis) for axis in axes]


def curve(*points: tuple[int, float]) -> list[dict[str, Any]]:
    return [
        {"run": "r", "label": "r", "metric": "m", "step": step, "time": 0, "value": value,
         "low": None, "high": None}
        for step, value in points
    ]  # fmt: skip


def test_axes_of_dots_end_where_their_values_may(
    ids: list[str], repo: Path, tmp_path: Path, browser: Any
) -> None:
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        show(seen.page, out)

        def axes(*rows: tuple[float, float]) -> list[tuple[list[float], list[str]]]:
            dots = [{"run": "r", "label": "r", "colour": "--mark", "x": x, "y": y} for x, y in rows]
            data = {"x": "lr", "y": "loss", "rows": dots}
            *ends, picture = seen.page.evaluate(PICTURE, ["scatter", data, 600])
            return list(zip(ends, words_of(picture), strict=True))

        # What is never negative has no axis below zero, and what is far from zero none down to it.
        (x, x_words), (y, y_words) = axes((0.0, 0.81), (0.02, 0.86), (0.1, 0.9))
        assert x[0] == 0 and x[1] >= 0.1 and 0.6 < y[0] < 0.81 and y[1] > 0.9
        assert not [word for word in x_words + y_words if word[0] in "-−"]
        (x, _), (y, _) = axes((1e-4, -3.0), (5e-4, -2.0), (9e-4, -0.1))
        assert x[0] == 0 and y[1] == 0 and y[0] <= -3
        (x, _), _ = axes((-1.0, 1), (2.0, 2), (3.0, 3))
        assert x[0] < -1
        # Numbers of any size have short words.
        (_, x_words), (_, y_words) = axes((1e-5, 2e12), (3e-5, 5e12), (1e-4, 7e12), (0.1, 9e12))
        assert x_words == ["1e-5", "0.0001", "0.001", "0.01", "0.1"]
        (_, x_words), _ = axes((0.002, 1), (0.002, 1), (0.002, 2), (0.003, 2), (0.3, 3))
        assert x_words == ["0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]
        assert "4e12" in y_words and max(map(len, y_words)) <= 4
        # Values that are all the same are where they are.
        _, (y, y_words) = axes((0, 0.5), (1, 0.5), (2, 0.5))
        assert y == [0, 1] and y_words == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert seen.complaints == []


def test_axes_of_curves_and_bars_say_what_is_so(
    ids: list[str], repo: Path, tmp_path: Path, browser: Any
) -> None:
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        show(seen.page, out)

        def curves(*points: tuple[int, float]) -> list[tuple[list[float], list[str]]]:
            *ends, picture = seen.page.evaluate(PICTURE, ["curves", curve(*points), 300])
            return list(zip(ends, words_of(picture), strict=True))

        def runs(*counts: int) -> list[str]:
            rows = [{"label": str(n), "runs": n, "ends": [n, n + 1]} for n in counts]
            data = {"x": "m", "scale": "linear", "rows": rows}
            return words_of(seen.page.evaluate(PICTURE, ["histogram", data, 300])[2])[1]

        for value, ends in ((0.25, [0, 0.5]), (-2, [-4, 0]), (0, [-1, 1]), (3e8, [0, 6e8])):
            assert curves((0, value), (9, value))[1][0] == ends
        seen.page.evaluate("mlgit.state.set('smooth', 0.7)")
        assert curves(*((step, 0.1) for step in range(50)))[1][0] == pytest.approx([0, 0.2])
        seen.page.evaluate("mlgit.state.set('smooth', null)")
        assert curves((0, 1e-9), (5, 1e-12), (9, 0))[1][1][0] == "0"
        # No half steps, and no half runs.
        for last in range(1, 8):
            steps, words = curves((0, 1), (last, 2))[0]
            assert steps == [0, last] and set(words) <= {str(step) for step in range(last + 1)}
            assert set(runs(last, 1)) <= {str(count) for count in range(last + 2)}
    assert seen.complaints == []


def test_words_on_and_below_axes_keep_to_their_room(
    ids: list[str], repo: Path, tmp_path: Path, browser: Any
) -> None:
    long = "a_long_name_of_an_augmentation"
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        show(seen.page, out)
        rows = [
            {"run": place, "label": "r", "colour": "red", "x": f"{long} {place}", "y": place,
             "values": [place, f"{long} {place}", 0.1 + place, f"{long} {place}"]}
            for place in range(5)
        ]  # fmt: skip
        parallel = {"axes": ["a", "b", "c", "d"], "rows": rows}
        picture = seen.page.evaluate(PICTURE, ["parallel", parallel, 400])[2]
        said = re.findall(r"<text[^>]*>([^<]*)</text>", picture)
        assert "a_long" in " ".join(said) and max(map(len, said)) < 18
        assert {"0.1", "4.1"} <= {*said}
        bars = [{"label": f"{long} {place}", "runs": 1, "ends": None} for place in range(5)]
        for kind, data in (
            ("scatter", {"x": "x", "y": "y", "rows": rows}),
            ("histogram", {"x": "x", "scale": "text", "rows": bars}),
        ):
            words = words_of(seen.page.evaluate(PICTURE, [kind, data, 300])[2])[0]
            assert len(words) == 5 and max(map(len, words)) < 12
    assert seen.complaints == []


def test_long_names_of_axes_are_broken_into_lines(
    ids: list[str], repo: Path, tmp_path: Path, browser: Any
) -> None:
    titles = [
        "lr",
        "model.encoder.hidden_dimension",
        "a" * 60,
        "a" * 61,
        "per cent of all trips made",
    ]
    values = [[10.0**-place, 1.0 + place, None, 0.5, "x" * (1 + place)] for place in range(9)]
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        show(seen.page, out)
        sets = seen.page.evaluate(
            """([axes, every]) => mlgit.charts.kinds.parallel.prepare({
                axes, rows: every.map((values) => ({ run: "r", label: "", colour: "red", values })),
            }).sets""",
            [titles, values],
        )
        heads = list(dict.fromkeys(row["axis"] for row in sets["rows"]))
        assert heads[:2] == ["\n\nlr", "model.encoder.\nhidden_\ndimension"]
        assert len({*heads}) == 5 and {head.count("\n") for head in heads} == {2}
        assert max(len(line) for head in heads for line in head.splitlines()) <= 16
        # Words along an axis lie apart from each other.
        for head in heads:
            places = sorted(tick["at"] for tick in sets["ticks"] if tick["axis"] == head)
            assert all(two - one > 0.05 for one, two in pairwise(places))
        told = [tick["text"] for tick in sets["ticks"] if tick["axis"] == heads[0]]
        assert told[0] == "1e-8" and told[-1] == "1"
    assert seen.complaints == []


def test_long_names_fit_a_phone(repo: Path, tmp_path: Path, browser: Any) -> None:
    long = "augmentation_probability_of_horizontal_flip"
    runs = [
        save(number, 3, params={long: 1 / (3 + number), "model.encoder.size": 64 * number})
        for number in range(6)
    ]
    out = make(tmp_path / "out")
    pages = (
        "experiments/exp.html",
        f"runs/{runs[0]}.html",
        f"compare.html#runs={runs[0]},{runs[1]}",
    )
    with visit(browser, 390) as seen:
        for url in pages:
            seen.open(f"{out.as_uri()}/{url}")
            seen.look_over()
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390, url
            # No value is broken into lines, and no name where it has no joint.
            for text in ("0.33333", "model.encoder.size"):
                found = seen.page.locator(f"table:not(.runs-table) :text-is('{text}')")
                for place in found.all():
                    style = "(e) => e.getClientRects().length"
                    lines = place.evaluate(style)
                    assert lines <= (1 if text[0] == "0" else 3), (url, text)
        # Two runs stand beside each other without scrolling.
        table = seen.page.locator("table.compare").bounding_box()
        assert table["width"] <= 390
    assert seen.complaints == []


@pytest.mark.parametrize("count", [1, 2])
def test_nothing_is_drawn_when_there_is_nothing_to_say(
    repo: Path, tmp_path: Path, browser: Any, count: int
) -> None:
    for number in range(count):
        save(number, 1, params={"lr": 1})
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        show(seen.page, out)
        seen.page.locator("[role=grid], table.runs-table").first.wait_for()
        seen.page.wait_for_timeout(300)
        assert seen.page.locator(".exploring:visible").count() == 0
        assert seen.page.locator("canvas").count() == 0
    assert seen.complaints == []
    assert not any("vega" in url for url in seen.requests)


def test_metrics_whose_points_were_not_kept(repo: Path, tmp_path: Path, browser: Any) -> None:
    for number in range(3):
        metrics = {"loss": Metric(last=number, min=0, max=9, step=9, count=10)}
        run = make_run(experiment="exp", metrics=metrics, params={"depth": number})
        saved.save(open_repository(), run, {})
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        show(seen.page, out)
        drawn(seen.page, 2)
        assert seen.page.locator(".exploring:visible h2").all_inner_texts() == ["Scatter"]
    assert seen.complaints == []


def test_odd_values_have_no_place_in_a_chart(repo: Path, tmp_path: Path, browser: Any) -> None:
    odd = [
        math.nan,
        math.inf,
        2**70,
        None,
        [1],
        {"a": {"b": 1}},
        "x" * 5000,
        "\u202etxt",
        True,
        0.5,
        -1,
    ]
    for number, value in enumerate(odd):
        save(
            number, 5, params={"odd": value, "depth": number % 3, "<b>": f"<img src=x>{number % 2}"}
        )
    out = make(tmp_path / "out")
    with visit(browser) as seen:
        show(seen.page, out, "#x=params.odd&size=params.odd&tint=params.odd&log=1&smooth=0.99")
        drawn(seen.page, 3)
        assert seen.page.locator(".explore img").count() == 0
    assert seen.complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_fault_in_charts(
    ids: list[str], repo: Path, tmp_path: Path, browser: Any, theme: str
) -> None:
    out = make(tmp_path / "out")
    context = browser.new_context(
        color_scheme=theme, bypass_csp=True, viewport={"width": 390, "height": 5000}
    )
    page = context.new_page()
    page.goto(f"{out.as_uri()}/experiments/exp.html")
    drawn(page, 3)
    page.add_script_tag(path=AXE)
    faults = [
        (fault["id"], fault["nodes"][0]["html"][:200])
        for fault in page.evaluate("axe.run()")["violations"]
    ]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
    assert faults == []
