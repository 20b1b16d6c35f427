"""The table of runs in a real Chromium: whatever a person does with it, and what it costs."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from browser import Visit, chromium, visit
from click.testing import CliRunner
from conftest import add_runs, make_run
from test_site_browser import ATTACKS, AXE

from mlgit import records, saved
from mlgit.cli import cli
from mlgit.ledger import Ledger
from mlgit.query import Field
from mlgit.site import tables
from mlgit.site.build import build
from mlgit.site.pages import common

DAY = 1_760_000_000_000  # milliseconds; when the first run started
MODELS = ("gbr", "forest", "ridge")


def metric(value: float) -> records.Metric:
    return records.Metric(last=value, min=value / 2, max=value * 2, step=3, count=4)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def site(repo: Path, tmp_path: Path) -> Path:
    """The site of thirty runs, run 29 the newest; run 7 has no metric and run 8's is NaN."""
    runs = [
        make_run(
            DAY + number * 60_000,
            experiment="taxi",
            name=f"run {number}",
            params={"model": MODELS[number % 3], "depth": number % 5, "lr": 10.0 ** -(number % 4)},
            metrics={} if number == 7 else {"rmse": metric(_rmse(number))},
            tags={"team": "growth"} if number % 2 else {},
        )
        for number in range(30)
    ]
    add_runs(repo, *runs)
    return built(tmp_path / "site")


def _rmse(number: int) -> float:
    return float("nan") if number == 8 else float(number % 10) + 0.5


def built(out: Path) -> Path:
    with Ledger() as ledger:
        build(ledger, out)
    return out


class Table:
    """A page with a table of runs."""

    def __init__(self, seen: Visit, site: Path, state: str = "") -> None:
        self.seen = seen
        self.page = seen.page
        # What is fired before anybody can listen would be lost.
        self.page.add_init_script(
            "addEventListener('mlgit:rows', (event) => { window.told = event.detail; })"
        )
        self.page.goto(f"{site.as_uri()}/experiments/taxi.html{state}")
        self.ready()

    def ready(self) -> None:
        self.page.locator(".runs.live [role=status].count", has_text="run").wait_for()

    def names(self) -> list[str]:
        return list(self.page.locator(".runs tbody tr:not(.space) th").all_inner_texts())

    def numbers(self) -> list[int]:
        return [int(name.removeprefix("run ")) for name in self.names()]

    def head(self, name: str) -> Any:
        return self.page.locator(".runs thead button", has=self.page.get_by_text(name, exact=True))

    def sorts(self) -> dict[str, str]:
        heads = self.page.locator(".runs thead th[aria-sort]")
        found = heads.evaluate_all(
            "heads => heads.map(head => [head.querySelector('bdi').textContent, head.ariaSort])"
        )
        return {name: way for name, way in found if way != "none"}

    def count(self) -> str:
        return str(self.page.locator(".count").inner_text())

    def filter(self, where: str) -> None:
        box = self.page.get_by_role("searchbox", name="Only runs for which this holds")
        box.fill(where)
        box.press("Enter")

    def state(self) -> dict[str, str]:
        found = parse_qs(urlsplit(self.page.url).fragment)
        return {key: value for key, (value,) in found.items()}

    def told(self) -> Any:
        # The table tells in a timer; one that is set after it ends after it.
        return self.page.evaluate(
            "() => new Promise((done) => setTimeout(() => done({rows: told.rows,"
            " selected: told.selected, of: told.data.rows, colours: told.rows.map(told.colour)})))"
        )

    def active(self) -> str:
        return str(self.page.locator("#at").inner_text())


@pytest.fixture
def table(site: Path, browser: Any) -> Iterator[Table]:
    with visit(browser) as seen:
        yield Table(seen, site)
        assert seen.complaints == []


# --- order -----------------------------------------------------------------------------------


def test_the_newest_comes_first(table: Table) -> None:
    assert table.numbers()[:3] == [29, 28, 27]
    assert table.count() == "30 runs"
    assert table.told()["rows"] == list(range(30)) and table.told()["of"] == 30
    assert table.state() == {}


def test_a_click_sorts_and_the_next_turns_around_and_the_third_leaves(table: Table) -> None:
    table.head("rmse").click()
    assert table.numbers()[:4] == [20, 10, 0, 21]
    assert table.sorts() == {"rmse": "ascending"}
    assert table.state() == {"sort": "metrics.rmse"}
    table.head("rmse").click()
    assert table.numbers()[:2] == [29, 19]
    table.page.locator(".live .scroll").evaluate("scroll => scroll.scrollTop = 1e6")
    table.page.locator("[aria-rowindex='31']").wait_for()
    assert table.numbers()[-2:] == [8, 7]  # NaN and what is absent come last either way
    table.head("rmse").click()
    assert table.sorts() == {} and table.state() == {}


def test_shift_and_click_sorts_by_several(table: Table) -> None:
    table.head("model").click()
    table.head("depth").click(modifiers=["Shift"])
    table.head("depth").click(modifiers=["Shift"])
    assert table.state() == {"sort": "params.model,-params.depth"}
    assert table.sorts() == {"model": "ascending", "depth": "descending"}
    assert table.numbers()[:3] == [19, 4, 28]  # forest by depth: 4, 4, 3, …
    assert table.told()["rows"][:3] == [10, 25, 1]


# --- conditions ------------------------------------------------------------------------------


def test_a_condition_filters_while_it_is_typed(table: Table) -> None:
    box = table.page.get_by_role("searchbox", name="Only runs for which this holds")
    box.press_sequentially("params.model = gbr and metrics.rmse < 5", delay=5)
    table.page.locator(".count", has_text="5 of 30 runs").wait_for()
    assert table.numbers() == [24, 21, 12, 3, 0]
    assert table.state() == {"where": "params.model = gbr and metrics.rmse < 5"}
    assert len(table.told()["rows"]) == 5
    box.press("Escape")
    assert table.count() == "30 runs" and table.state() == {}


def test_a_mistake_is_shown_where_it_is_and_the_rows_stay(table: Table) -> None:
    table.filter("metrics.rmse < 2")
    assert table.count() == "6 of 30 runs"
    table.filter("metrics.rmse < 2 an params.depth = 1")
    alert = table.page.get_by_role("alert")
    assert "at column 18: 'and' or 'or' is expected" in alert.inner_text()
    assert alert.locator("mark").inner_text() == "an"
    box = table.page.get_by_role("searchbox", name="Only runs for which this holds")
    assert box.get_attribute("aria-invalid") == "true"
    assert table.count() == "6 of 30 runs"
    box.fill("")
    alert.wait_for(state="hidden")
    assert box.get_attribute("aria-invalid") == "false"


def test_what_is_said_of_a_mistake_is_all_that_is_said(table: Table) -> None:
    table.filter("params.depth =")  # for which there is no hint
    said = table.page.get_by_role("alert").inner_text().split("\n")
    assert [line for line in said if line.strip()] == [
        "params.depth = ",
        "cannot read the condition at column 15: a value is expected after '='",
    ]


def test_a_bare_word_can_be_looked_for_in_names(table: Table) -> None:
    table.filter("run 2")
    table.page.get_by_role("button", name="Runs whose name contains “run 2”").click()
    assert table.state() == {"where": "name like '%run 2%'"}
    assert table.count() == "11 of 30 runs"


def test_a_field_that_no_run_has_is_told(table: Table) -> None:
    table.filter("params.nothing is null")
    assert table.count() == "30 runs; none has params.nothing"


@pytest.fixture
def many(repo: Path, tmp_path: Path) -> Path:
    """The site of three hundred runs, run 299 the newest."""
    params = [{"depth": number % 50, "width": number % 4} for number in range(300)]
    add_runs(
        repo,
        *(
            make_run(DAY + number * 60_000, experiment="taxi", name=f"run {number}", params=each)
            for number, each in enumerate(params)
        ),
    )
    return built(tmp_path / "site")


def test_what_is_found_is_seen_wherever_the_table_was_scrolled_to(many: Path, browser: Any) -> None:
    """So is what is sorted to the front, and the end of a table of which a group is closed."""
    with visit(browser) as seen:
        table = Table(seen, many)

        def scroll_to(place: int) -> None:
            table.page.locator(".live .scroll").evaluate("(of, at) => (of.scrollTop = at)", place)

        scroll_to(5000)
        table.page.locator("[aria-rowindex='2']").wait_for(state="detached")
        table.filter("params.depth = 7")
        assert table.numbers() == [257, 207, 157, 107, 57, 7]
        table.filter("params.width = 1")
        scroll_to(1500)
        table.page.locator("[aria-rowindex='2']").wait_for(state="detached")
        table.head("depth").click()
        assert table.numbers()[0] == 201  # depth 1
        table.filter("")
        table.page.evaluate("location.hash = 'group=params.width'")
        table.page.locator(".count", has_text="in 4 groups").wait_for()
        table.page.locator("tr.group").last.locator("th").click()
        scroll_to(1000)
        table.page.locator("[aria-rowindex='2']").wait_for(state="detached")
        scroll_to(2000)
        table.page.locator("[aria-rowindex='79']").wait_for()
        table.page.evaluate("location.hash = 'group=params.width&where=params.depth+%3D+7'")
        table.page.locator(".count", has_text="6 of 300").wait_for()
        assert table.page.locator("tr.group").count() == 2
    assert seen.complaints == []


# --- columns, groups, parts, colours -----------------------------------------------------------


def test_columns_are_chosen_and_pinned(table: Table) -> None:
    assert "lr" in table.page.locator(".runs thead").inner_text()
    table.page.get_by_role("button", name="Columns").click()
    table.page.get_by_role("searchbox", name="Find a column").fill("mod")
    assert table.page.locator(".sheet li:visible").count() == 1
    table.page.get_by_role("checkbox", name="model").uncheck()
    assert "params.model" not in table.state()["cols"]
    assert table.head("model").count() == 0
    table.page.get_by_role("button", name="Keep model at the left").click()
    assert table.state()["pin"] == "params.model"
    assert heads(table)[:2] == ["name", "model"]
    table.page.keyboard.press("Escape")
    assert table.page.locator(".sheet:visible").count() == 0
    table.page.set_viewport_size({"width": 700, "height": 800})
    cell = table.page.locator(".runs tbody tr:not(.space) td").nth(1)  # model, after the check box
    before = cell.bounding_box()
    table.page.locator(".live .scroll").evaluate("scroll => scroll.scrollLeft = 300")
    assert cell.bounding_box() == before


def heads(table: Table) -> list[str]:
    return list(table.page.locator(".runs thead bdi").all_inner_texts())


def test_columns_change_places_in_their_menu(table: Table) -> None:
    page = table.page
    fixed = ["name", "status", "started", "took"]
    assert heads(table) == [*fixed, "rmse", "depth", "lr", "model"]

    def listed() -> list[str]:
        items = page.locator(".sheet section:first-of-type li")
        keys = [text.split()[-1] for text in items.locator("label").all_inner_texts()]
        return ["name", *(key.replace("duration", "took") for key in keys)]

    def move(key: str, side: str) -> Any:
        return page.get_by_role("button", name=f"Move {key} to the {side}", exact=True)

    page.get_by_role("button", name="Columns").click()
    assert listed() == heads(table)
    move("lr", "left").click()
    assert heads(table) == [*fixed, "rmse", "lr", "depth", "model"]
    assert listed() == heads(table)
    # By keyboard: the button stays where the keyboard is, also where there is no way on.
    page.keyboard.press("Enter")
    assert heads(table) == [*fixed, "lr", "rmse", "depth", "model"]
    assert page.locator(".sheet [role=status]").inner_text() == "lr is column 5 of 8"
    for _ in range(9):
        page.keyboard.press("Space")
    assert heads(table) == ["name", "lr", *fixed[1:], "rmse", "depth", "model"]
    assert move("lr", "left").get_attribute("aria-disabled") == "true"
    assert page.evaluate("document.activeElement.ariaLabel") == "Move lr to the left"
    # One that is added can be moved at once; pinned ones among themselves.
    page.get_by_role("checkbox", name="team").check()
    move("team", "left").click()
    assert heads(table)[-2:] == ["team", "model"]
    page.get_by_role("button", name="Keep model at the left").click()
    page.get_by_role("button", name="Keep depth at the left").click()
    assert heads(table)[:4] == ["name", "model", "depth", "lr"]
    assert move("depth", "right").get_attribute("aria-disabled") == "true"
    move("depth", "left").click()
    assert heads(table)[:4] == ["name", "depth", "model", "lr"]
    state, shown = table.state(), heads(table)
    assert state["pin"] == "params.depth,params.model"
    assert state["cols"].startswith("name,params.lr,status")
    page.reload()
    table.ready()
    assert (heads(table), table.state()) == (shown, state)
    # Back in their places they are no longer worth a word in the address.
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("button", name="Show those that vary").click()
    move("lr", "left").click()
    assert "cols" in table.state()
    move("lr", "right").click()
    assert table.state() == {}


def test_a_column_moves_by_keyboard_where_it_is(table: Table) -> None:
    press = table.page.keyboard.press
    table.page.get_by_role("checkbox", name="Select all runs shown").press("Shift+Tab")
    press("End")
    press("Shift+ArrowLeft")
    press("Shift+ArrowLeft")
    assert heads(table)[-3:] == ["model", "depth", "lr"]
    assert "model" in table.active()
    assert table.state()["cols"].endswith("params.model,params.depth,params.lr")
    press("Home")
    press("Shift+ArrowRight")  # the name stays
    assert heads(table)[0] == "name" and table.active() == "name"
    press("ArrowDown")
    press("Shift+ArrowRight")  # among the rows it is but an arrow
    assert table.active() == "finished" and heads(table)[1] == "status"


def test_groups_tell_count_and_spread(table: Table) -> None:
    table.page.get_by_role("button", name="View").click()
    table.page.get_by_label("Group by").select_option(label="model")
    assert table.count() == "30 runs in 3 groups"
    assert table.state() == {"group": "params.model"}
    rows = table.page.locator("tr.group")
    assert rows.locator("th bdi").all_inner_texts() == sorted(MODELS)
    assert rows.locator("th small").all_inner_texts() == ["10 runs"] * 3
    # Forest: 1, 4, 7 (none), 10, 13, … as the last digits 1 4 0 3 6 9 2 5 8, and a half.
    place = table.page.locator(".runs thead bdi").all_inner_texts().index("rmse")
    cell = rows.first.locator("td").nth(place)
    assert cell.locator("bdi").inner_text() == "4.722"
    assert cell.locator("small").inner_text() == "0.5 to 9.5"
    rows.first.locator("th").click()
    assert table.page.locator("[role=treegrid] tr[aria-level='2']").count() == 10
    assert rows.first.get_attribute("aria-expanded") == "true"
    table.head("rmse").click()
    assert rows.locator("th bdi").all_inner_texts() == ["ridge", "forest", "gbr"]  # by the mean


def test_metrics_show_their_lowest_or_highest(table: Table) -> None:
    place = table.page.locator(".runs thead bdi").all_inner_texts().index("rmse")
    cell = table.page.locator(".runs tbody tr[aria-rowindex='2'] td").nth(place)
    assert cell.inner_text() == "9.5"
    table.page.get_by_role("button", name="View").click()
    table.page.get_by_label("lowest").check()
    assert (cell.inner_text(), table.state()) == ("4.8", {"part": "min"})
    table.head("rmse").click()
    assert table.state()["sort"] == "metrics.rmse.min"


def test_colours_are_by_a_column(table: Table) -> None:
    assert len(set(table.told()["colours"])) == 10
    table.page.get_by_role("button", name="View").click()
    table.page.get_by_label("Colour by").select_option(label="model")
    assert table.state() == {"colour": "params.model"}
    colours = table.told()["colours"]
    assert len(set(colours)) == 3 and colours[0] == colours[3]
    assert table.page.locator(".runs > .legend").inner_text().split() == ["model", *sorted(MODELS)]
    table.page.get_by_label("Colour by").select_option(label="rmse")
    colours = table.told()["colours"]
    assert colours[0] == colours[10] != colours[1]
    assert table.page.locator(".ramp").count() == 1
    before = colours
    table.page.keyboard.press("Escape")
    table.page.get_by_role("button", name="Switch between light and dark").click()
    assert table.told()["colours"] != before


def cells(table: Table, head: str) -> list[str]:
    """Returns the texts of a column."""
    place = table.page.locator(".runs thead bdi").all_inner_texts().index(head)
    found = table.page.locator(f".runs tbody tr:not(.space) > :nth-child({place + 2})")
    return list(found.all_inner_texts())


def test_null_is_told_from_what_is_absent(repo: Path, tmp_path: Path, browser: Any) -> None:
    """It is shown as itself, but counts as absent, as in the terminal: in conditions and order."""
    given: list[dict[str, Any]] = [
        *({"text": "x", "most": 1}, {"text": None, "most": None}, {}, {"text": "null", "most": 3}),
        *({"text": name} for name in "xxxyyy"),
    ]
    runs = [
        make_run(DAY + number, experiment="taxi", name=f"run {number}", params=params)
        for number, params in enumerate(given)
    ]
    add_runs(repo, *runs)
    conditions = (
        *("params.text", "params.text is null", "params.text = null", "params.text != x"),
        *("params.text in (x, null)", "not params.most > 1", "params.text = 'null'"),
    )
    with Ledger() as ledger:
        found = {
            where: [run.name for run in saved.select(ledger, where, "params.most, name")]
            for where in conditions
        }
    with visit(browser) as seen:
        site = built(tmp_path / "site")
        still = (site / "experiments" / "taxi.html").read_text("utf-8")
        assert still.count('<td class="null">null</td>') == 1
        assert still.count('<td class="null n">null</td>') == 1
        table = Table(seen, site, "#sort=params.most,name")
        assert cells(table, "text")[:4] == ["x", "null", "null", "-"]
        assert cells(table, "most")[:4] == ["1", "3", "null", "-"]
        of = table.page.locator("td.null")
        assert of.count() == 2 and set(of.all_inner_texts()) == {"null"}
        for where, names in found.items():
            table.filter(where)
            assert table.count() == f"{len(names)} of 10 runs"
            assert table.names() == names, where
        table.filter("")
        table.page.get_by_role("button", name="View").click()
        table.page.get_by_label("Group by").select_option(label="text")
        groups = table.page.locator("tr.group th").all_inner_texts()
        assert sorted(groups) == ["▸none 2 runs", "▸null 1 run", "▸x 4 runs", "▸y 3 runs"]
        table.page.get_by_label("Group by").select_option(label="nothing")
        table.page.keyboard.press("Escape")
        table.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        for number in range(4):
            table.page.get_by_role("checkbox", name=f"Select run {number}").click()
        table.page.get_by_role("button", name="Copy as CSV").click()
        table.page.get_by_text("Copied").wait_for()
        copied = table.page.evaluate("navigator.clipboard.readText()")
    rows = [[row[key] for key in ("params.text", "params.most")] for row in read_csv(copied)]
    assert rows == [["x", "1"], ["null", "3"], ["null", "null"], ["", ""]]
    whole = read_csv((site / "data/experiments/taxi.csv").read_text("utf-8"))
    told = [[row["params.text"], row["params.most"]] for row in whole[-4:]]  # the oldest are last
    assert sorted(told) == sorted(rows)
    assert seen.complaints == []


def test_null_takes_no_more_room_than_what_is_absent() -> None:
    def size(nulls: frozenset[int], values: list[Any]) -> int:
        column = tables.Column(Field("param", "p"), values, None, False, None, True, nulls)
        return len(tables.data(tables.Table(list(range(40)), [column], [0], 0)))

    for values in ([1.5, *[None] * 39], ["x"] * 20 + [None] * 20):
        nulls = frozenset(place for place, value in enumerate(values) if value is None)
        assert size(nulls, values) <= size(frozenset(), values)


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# --- selection -------------------------------------------------------------------------------


def test_runs_are_selected_and_copied_as_csv(table: Table) -> None:
    table.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    assert table.page.locator(".picked:visible").count() == 0
    table.page.get_by_role("checkbox", name="Select run 29").click()
    table.page.get_by_role("checkbox", name="Select run 27").click(modifiers=["Shift"])
    assert table.page.locator(".picked p").inner_text() == "3 selected"
    chosen = table.told()["selected"]
    assert len(chosen) == 3 and table.state() == {"sel": ",".join(chosen)}
    table.head("rmse").click()
    table.page.get_by_role("button", name="Copy as CSV").click()
    table.page.get_by_text("Copied").wait_for()
    copied = table.page.evaluate("navigator.clipboard.readText()")
    rows = read_csv(copied)
    assert [row["name"] for row in rows] == ["run 27", "run 28", "run 29"]
    assert [row["metrics.rmse"] for row in rows] == ["7.5", "8.5", "9.5"]
    assert sorted(row["id"] for row in rows) == sorted(chosen)
    table.page.get_by_role("button", name="Clear").click()
    assert table.told()["selected"] == [] and "sel" not in table.state()


def test_a_range_begins_at_the_run_that_was_ticked(table: Table) -> None:
    """Not where it stood before the table was sorted or filtered."""
    table.page.get_by_role("checkbox", name="Select run 29").click()
    table.filter("params.depth = 4 or params.depth = 2")  # 29, 27, 24, 22, …
    table.head("name").click()  # 12, 14, 17, 19, 2, 22, 24, 27, 29, 4, …
    table.page.get_by_role("checkbox", name="Select run 24").click(modifiers=["Shift"])
    names = table.page.locator("tr[aria-selected=true] th").all_inner_texts()
    assert names == ["run 24", "run 27", "run 29"]
    # If it is not there any more, the range is but the run itself.
    table.filter("params.depth = 4 and name != 'run 24'")
    table.page.get_by_role("checkbox", name="Select run 19").click(modifiers=["Shift"])
    assert len(table.told()["selected"]) == 4


def test_thousands_of_selected_runs_are_found_again_at_once(many: Path, browser: Any) -> None:
    with visit(browser) as seen:
        table = Table(seen, many)
        table.page.get_by_role("checkbox", name="Select all runs shown").check()
        table.page.reload()
        table.ready()
        assert table.page.locator(".picked p").inner_text() == "300 selected"
        sets = table.page.evaluate(
            """() => {
              let made = 0;
              window.Set = class extends Set { constructor(of) { super(of); made += 1; } };
              dispatchEvent(new Event("hashchange"));
              return made;
            }"""
        )
        assert sets < 10  # not one for each, of all that come before it
        assert len(table.told()["selected"]) == 300


def test_all_runs_that_pass_the_filter_are_selected(table: Table) -> None:
    table.filter("params.depth = 3")
    table.page.get_by_role("checkbox", name="Select all runs shown").check()
    assert len(table.told()["selected"]) == 6
    assert table.page.locator("tr[aria-selected=true]").count() == 6


def test_everything_is_in_the_address(table: Table) -> None:
    table.filter("metrics.rmse > 2")
    table.head("depth").click()
    table.page.get_by_role("checkbox", name="Select run 25").click()
    table.page.get_by_role("button", name="View").click()
    table.page.get_by_label("highest").check()
    table.page.get_by_label("Colour by").select_option(label="lr")
    rows, told, url = table.names(), table.told(), table.page.url
    table.page.reload()
    table.ready()
    assert table.page.url == url
    assert table.names() == rows
    assert table.told() == told
    assert table.sorts() == {"depth": "ascending"}
    assert "max" in table.page.locator(".runs thead").inner_text()
    # And nothing of it comes from anywhere else.
    table.page.goto(url.partition("#")[0])
    table.page.reload()
    table.ready()
    assert table.numbers()[:2] == [29, 28] and table.told()["selected"] == []


def test_an_address_may_say_anything(table: Table) -> None:
    url = table.page.url
    state = "#where=rmse+%3C&sort=)(&cols=%22&pin=x&group=params.no&colour=%00&part=mean&sel=1,2"
    table.page.goto(url + state)
    table.page.reload()
    table.ready()
    assert table.numbers()[:2] == [29, 28]
    assert "there is no field 'rmse'" in table.page.get_by_role("alert").inner_text()


def test_a_column_that_is_named_twice_stands_once(table: Table) -> None:
    where = table.page.url.partition("#")[0]
    table.page.goto(f"{where}#pin=name,params.lr&cols=params.depth,params.lr,params.depth")
    table.page.locator(".runs thead th").nth(4).wait_for(state="detached")
    assert heads(table) == ["name", "lr", "depth"]


def test_a_link_on_the_page_sets_the_state(table: Table) -> None:
    table.page.evaluate("location.hash = 'where=params.depth+%3D+2&sort=name'")
    table.page.locator(".count", has_text="6 of 30").wait_for()
    assert table.numbers() == [12, 17, 2, 22, 27, 7]


def test_the_way_back_to_an_address_without_a_state(table: Table) -> None:
    table.page.evaluate("location.hash = 'where=params.depth+%3D+2&sort=name'")
    table.page.locator(".count", has_text="6 of 30").wait_for()
    table.page.go_back()
    table.page.locator(".count", has_text=re.compile("^30 runs")).wait_for()
    assert table.numbers()[:2] == [29, 28] and table.sorts() == {}
    assert table.page.get_by_role("searchbox").first.input_value() == ""
    table.page.go_forward()
    table.page.locator(".count", has_text="6 of 30").wait_for()


def test_a_link_to_a_place_of_the_page_leaves_the_state(table: Table) -> None:
    table.filter("params.depth = 2")
    state = table.state()
    table.page.locator("a.skip").press("Enter")
    assert table.state() == state
    assert table.page.evaluate("document.activeElement.id") == "main"
    assert table.count() == "6 of 30 runs"
    # Where nothing is set it goes into the address, and is no part of what is set afterwards.
    table.filter("")
    table.page.locator("a.skip").press("Enter")
    assert table.page.url.endswith("#main")
    table.head("depth").click()
    assert table.state() == {"sort": "params.depth"}


def test_saved_views_are_links(site: Path, browser: Any) -> None:
    def run(*words: str) -> str:
        return str(CliRunner().invoke(cli, words, catch_exceptions=False).output)

    odd = '<b>"it\'s" & more'
    run("view", "save", odd, "taxi", "--where", "params.model = gbr and name like '%2%'")
    run("view", "save", "deep", "taxi", "--sort=-params.depth", "--columns", "name,params.depth")
    run("view", "save", "gone", "taxi", "--where", "status = failed")
    assert "Removed" in run("view", "rm", "gone", "taxi")
    with visit(browser) as seen:
        table = Table(seen, built(site))
        links = table.page.locator(".views a")
        assert links.all_inner_texts() == [odd, "deep"]
        links.first.click()
        table.page.locator(".count", has_text="4 of 30 runs").wait_for()
        assert table.numbers() == [27, 24, 21, 12]
        assert links.first.get_attribute("aria-current") == "true"
        links.last.click()
        table.page.locator(".count", has_text=re.compile("^30 runs")).wait_for()
        assert table.state() == {"sort": "-params.depth", "cols": "name,params.depth"}
        assert table.page.locator(".runs thead bdi").all_inner_texts() == ["name", "depth"]
        # The page gives the command for what it shows, which does just that.
        table.filter("name like '%1' and params.depth = 1")
        table.page.get_by_role("button", name="View").click()
        table.page.get_by_role("textbox", name="Name of the view").fill("it's mine")
        command = table.page.locator(".saving code").inner_text()
    program, *words = shlex.split(command)
    assert program == "mlgit"
    assert run(*words) == 'Saved the view "it\'s mine" of taxi.\n'
    (view,) = [
        view
        for view in json.loads(run("view", "ls", "--json"))["mlgit.view.ls/v1"]
        if view["name"] == "it's mine"
    ]
    assert view == {
        "name": "it's mine",
        "experiment": "taxi",
        "where": "name like '%1' and params.depth = 1",
        "sort": "-params.depth",
        "columns": ["name", "params.depth"],
        **{"pins": [], "group": "", "colour": "", "part": ""},
    }
    assert seen.complaints == []


def test_a_view_keeps_all_that_is_set(site: Path, browser: Any, tmp_path: Path) -> None:
    """What a person sets, the page's command saves, and the link of the next site shows."""
    with visit(browser) as seen:
        table = Table(seen, site)
        table.filter("metrics.rmse > 1")
        table.head("rmse").click()
        table.page.get_by_role("button", name="Columns").click()
        table.page.get_by_role("checkbox", name="model").uncheck()
        table.page.get_by_role("button", name="Keep lr at the left").click()
        table.page.get_by_role("button", name="Keep depth at the left").click()
        table.page.keyboard.press("Escape")
        table.page.get_by_role("button", name="View").click()
        table.page.get_by_role("textbox", name="Name of the view").fill("all of it")
        # The command follows what is set while it stands there.
        table.page.get_by_label("Group by").select_option(label="model")
        table.page.get_by_label("Colour by").select_option(label="depth")
        table.page.get_by_label("highest").check()
        program, *words = shlex.split(table.page.locator(".saving code").inner_text())
        state, told = table.state(), table.told()
        columns = heads(table)
    assert program == "mlgit" and "lr" in columns[:2]
    assert {*state} == {"where", "sort", "cols", "pin", "group", "colour", "part"}
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.output == "Saved the view 'all of it' of taxi.\n"
    with visit(browser) as seen:
        table = Table(seen, built(tmp_path / "next"))
        link = table.page.locator(".views a")
        link.click()
        table.page.locator(".count", has_text="in 3 groups").wait_for()
        assert table.state() == state
        assert table.told() == told
        assert heads(table) == columns
        assert link.get_attribute("aria-current") == "true"
    assert seen.complaints == []


# --- keyboard and screen reader ------------------------------------------------------------------


def test_a_walk_by_keyboard(table: Table) -> None:
    press = table.page.keyboard.press
    table.page.get_by_role("checkbox", name="Select all runs shown").press("Shift+Tab")
    assert table.page.evaluate("document.activeElement.role") == "grid"
    press("ArrowDown")
    assert table.active() == "run 29"
    press("ArrowRight")
    assert table.active() == "finished"
    press("ArrowDown")
    press("Space")
    press("ArrowDown")
    press("Shift+Space")
    assert len(table.told()["selected"]) == 2
    press("Control+End")
    assert table.page.locator("tr:has(#at)").get_attribute("aria-rowindex") == "31"
    assert table.page.locator("#at").evaluate(
        "cell => cell.getBoundingClientRect().right <= innerWidth"
    )
    press("Control+Home")
    press("ArrowUp")
    press("End")
    press("Enter")
    assert len(table.sorts()) == 1
    press("Control+a")
    assert len(table.told()["selected"]) == 30
    press("Home")
    press("ArrowDown")
    name = table.active()
    press("Enter")
    table.page.wait_for_url("**/runs/*.html")
    assert name in table.page.locator("h1").inner_text()


def test_the_keyboard_goes_on_from_a_heading_that_was_clicked(table: Table) -> None:
    table.head("rmse").click()
    assert table.page.evaluate("document.activeElement.role") == "grid"
    assert "rmse" in table.active()
    table.page.keyboard.press("ArrowDown")
    assert table.active() == "0.5"


def test_what_a_screen_reader_is_told(table: Table) -> None:
    grid = table.page.get_by_role("grid", name="Runs")
    assert grid.get_attribute("aria-rowcount") == "31"
    assert table.page.locator(".count").get_attribute("role") == "status"
    indices = table.page.locator(".runs tbody tr:not(.space)").evaluate_all(
        "rows => rows.map(row => Number(row.getAttribute('aria-rowindex')))"
    )
    assert indices == list(range(2, len(indices) + 2))
    table.filter("params.depth = 3")
    assert grid.get_attribute("aria-rowcount") == "7"
    order = table.page.locator(".runs > .sr[role=status]")
    assert order.text_content() == ""
    table.head("lr").click()
    table.head("rmse").click(modifiers=["Shift"])
    table.head("rmse").click(modifiers=["Shift"])
    said = "Sorted by params.lr, ascending, then by metrics.rmse, descending"
    assert order.text_content() == said


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("state", ["", "#group=params.model&colour=params.lr&where=rmse"])
def test_axe_finds_no_fault(site: Path, browser: Any, theme: str, state: str) -> None:
    context = browser.new_context(color_scheme=theme, bypass_csp=True)
    seen = Visit(context.new_page())
    table = Table(seen, site, state)
    table.page.get_by_role("checkbox", name="Select").nth(1).click()
    for opened in ("Columns", "View"):
        table.page.get_by_role("button", name=opened).click()
        table.page.add_script_tag(path=AXE)
        faults = [
            (fault["impact"], fault["id"], fault["nodes"][0]["html"][:300])
            for fault in table.page.evaluate("axe.run()")["violations"]
        ]
        assert faults == []
        table.page.keyboard.press("Escape")
    context.close()


def test_on_a_phone_all_of_it_is_there(site: Path, browser: Any) -> None:
    with visit(browser, 390) as seen:
        table = Table(seen, site, "#colour=params.lr&where=params.depth+%3E+0")
        for opened in ("Columns", "View"):
            table.page.get_by_role("button", name=opened).click()
            box = table.page.locator(".sheet:visible").bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390
            table.page.keyboard.press("Escape")
        assert table.page.evaluate("document.documentElement.scrollWidth") == 390
    assert seen.complaints == []


@pytest.mark.parametrize("width", [390, 1280])
def test_the_bar_of_the_selected_hides_no_tool(site: Path, browser: Any, width: int) -> None:
    """Wherever the page is scrolled to, it stands over rows, and where rows are it is seen."""
    with visit(browser, width) as seen:
        table = Table(seen, site)
        table.page.get_by_role("checkbox", name="Select run 29").click()
        found = table.page.evaluate(
            """() => {
              const box = (name) => document.querySelector(name).getBoundingClientRect();
              const end = document.documentElement.scrollHeight - innerHeight;
              return Array.from({ length: 41 }, (_, step) => {
                scrollTo(0, (end * step) / 40);
                const [bar, tools, rows] = [".picked", ".tools", ".live .scroll"].map(box);
                const isOver = bar.top < tools.bottom && bar.bottom > tools.top;
                const isNeeded = rows.top + 2 * bar.height < innerHeight && rows.bottom > 0;
                return [isOver, isNeeded, bar.bottom <= innerHeight && bar.top >= 0];
              });
            }"""
        )
    assert not any(is_over for is_over, _, _ in found)
    assert any(is_needed for _, is_needed, _ in found)
    assert all(is_seen for _, is_needed, is_seen in found if is_needed)


# --- hostile, large, and without the data ----------------------------------------------------


def test_hostile_values_never_become_markup(repo: Path, tmp_path: Path, browser: Any) -> None:
    texts = [attack[:200].replace("\n", " ").strip() for attack in ATTACKS]
    runs = [
        make_run(
            experiment="taxi",
            name=text,
            params={"p": text, text[:80]: "x"},
            tags={"t": text, text[:80]: text},
            metrics={text[:80]: metric(1.0)},
        )
        for text in texts
    ]
    add_runs(repo, *runs)
    with visit(browser) as seen:
        table = Table(seen, built(tmp_path / "site"))
        for state in ("", "#group=params.p", "#group=tags.t&colour=params.p", "#where=<script>"):
            table.page.evaluate(f"location.hash = {json.dumps(state)}")
            for opened in ("Columns", "View"):
                table.page.get_by_role("button", name=opened).click()
                table.page.keyboard.press("Escape")
            strange = table.page.locator(
                ".runs :is(script, img, iframe, style, meta, svg, base, a[href^=javascript])"
            )
            assert strange.count() == 0
            assert "\u202e" not in table.page.locator(".runs").inner_text()
        table.page.evaluate("location.hash = 'sort=name'")
        assert len(table.names()) > 10
    assert seen.complaints == []
    assert {url.partition(":")[0] for url in seen.requests} == {"file"}


def test_ten_thousand_runs_of_thirty_columns(site: Path, browser: Any) -> None:
    rows = range(10_000)

    def column(kind: str, key: str, values: list[Any], digits: int | None) -> tables.Column:
        return tables.Column(Field(kind, key), values, None, digits is not None, digits, True)

    columns = [
        column("attribute", "id", [f"{row:026}" for row in rows], None),
        column("attribute", "name", [f"run {row}" for row in rows], None),
        *(column("param", f"p{c}", [row * c % 997 / 8 for row in rows], 3) for c in range(28)),
    ]
    large = tables.Table(list(rows), columns, list(range(1, 20)), 0)
    script = common.script("experiment/taxi", tables.data(large))
    (site / "data" / "experiments" / "taxi.js").write_bytes(script)
    with visit(browser) as seen:
        table = Table(seen, site)
        assert table.count() == "10,000 runs"
        assert table.page.locator(".runs tr").count() < 100
        (ready,) = table.page.evaluate(
            "performance.getEntriesByName('mlgit:table').map(entry => entry.duration)"
        )
        times = {"ready": ready}
        table.filter("params.p5 > 0")
        for act, call in {
            "filter": "mlgit.state.set('where', 'params.p3 < 50'), "
            "dispatchEvent(new Event('hashchange'))",
            "select": f"mlgit.state.set('sel', {','.join(columns[0].values)!r}), "
            "dispatchEvent(new Event('hashchange'))",
            "sort": "[...document.querySelectorAll('thead button')][3].click()",
            "scroll": "document.querySelector('.live .scroll').scrollTop = 60000",
        }.items():
            times[act] = table.page.evaluate(
                f"() => {{ const began = performance.now(); {call};"
                " return performance.now() - began; }"
            )
        table.page.locator("[aria-rowindex='2']").wait_for(state="detached")
        assert table.page.locator(".runs tr").count() < 100
        assert table.count().endswith(" of 10,000 runs")
    print("10,000 x 30, ms:", {act: round(ms, 1) for act, ms in times.items()})
    assert times["select"] < 3000  # each run for itself, not beside all others: ten seconds
    assert seen.complaints == []


def test_without_its_data_the_table_of_the_page_stays(site: Path, browser: Any) -> None:
    (site / "data" / "experiments" / "taxi.js").unlink()
    with visit(browser) as seen:
        seen.page.goto(f"{site.as_uri()}/experiments/taxi.html")
        seen.page.locator(".runs.still").wait_for()
        assert seen.page.locator(".runs tbody tr").count() == 30
        assert seen.page.locator(".tools").count() == 0
