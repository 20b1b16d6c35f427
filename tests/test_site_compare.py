"""The comparison of runs in the browser: that `mlgit diff` says the same, and how it is used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from browser import Visit, chromium, visit
from click.testing import CliRunner
from conftest import add_runs, make_run
from showcase import add_models, metric, summaries
from test_site_browser import ATTACKS

from mlgit import query, records, saved
from mlgit.cli import cli
from mlgit.errors import NotFound
from mlgit.ledger import Ledger
from mlgit.registry import api
from mlgit.site import urls
from mlgit.site.build import build

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def site(showcase: Path, tmp_path: Path) -> Path:
    with Ledger() as ledger:
        build(ledger, tmp_path / "site")
    return tmp_path / "site"


@pytest.fixture
def ids(showcase: Path) -> dict[str, str]:
    with Ledger() as ledger:
        return {run.name or "": run.id for run in saved.select(ledger)}


def compare(seen: Visit, site: Path, *runs: str, state: str = "") -> None:
    """Opens the comparison, from an empty page, and waits for it."""
    seen.page.goto("about:blank")
    seen.page.goto(f"{site.as_uri()}/{urls.comparison(*runs)}{state}")
    seen.page.locator("[role=status]", has_text="").wait_for()
    seen.page.wait_for_function("document.querySelector('[role=status]').textContent !== ''")


def shown(seen: Visit) -> dict[str, list[str]]:
    """Returns the rows of the page by field, with the whole values of their cells."""
    script = """rows => Object.fromEntries(rows.map(row => [row.dataset.field,
        [...row.querySelectorAll("td")].map(td =>
            td.querySelector("[title]:not(.delta)")?.title || td.textContent)]))"""
    found: dict[str, list[str]] = seen.page.locator("tr[data-field]").evaluate_all(script)
    return found


def field(name: str) -> str:
    """Returns a field of `mlgit diff` as the page names it: without quotes around odd keys."""
    kind, _, rest = name.partition(".")
    if kind in ("params", "metrics", "tags"):
        return f"{kind}.{query.parse_field(name).key}"
    return f"{kind}.{rest}" if rest else kind


def address(name: str, url: str) -> records.Pointer:
    return records.Pointer(path="a", name=name, md5=None, size=None, url=url, origin="url")


def test_a_difference_is_what_diff_says(site: Path, ids: dict[str, str], browser: Any) -> None:
    groups = [*combinations(ids, 2), ("baseline", "boosted", "diverged"), tuple(ids)]
    with visit(browser) as seen:
        for names in groups:
            runs = [ids[name] for name in names]
            for option, state in (([], ""), (["--all"], "&all=1")):
                done = CliRunner().invoke(cli, ["diff", *runs, "--json", *option])
                assert done.exit_code == 0, done.output
                fields = json.loads(done.stdout)["mlgit.diff/v1"]["fields"]
                expected = {
                    field(name)
                    for name, values in fields.items()
                    if name.startswith("params.") or any(value is not None for value in values)
                } - {"name"}  # stands in the head
                compare(seen, site, *runs, state=state)
                assert set(shown(seen)) == expected, (names, option)
    assert seen.complaints == []


def test_equal_means_the_same_on_both_sides(repo: Path, tmp_path: Path, browser: Any) -> None:
    long = "x" * 5000
    one, other = (
        make_run(
            params={
                "whole": whole, "nan": float("nan"), "big": 2**70, "long": long + end, "flag": flag,
                "list": [1, {"b": 2}], "lists": [long, end], "__proto__": end, "constructor": 1,
            },
            inputs=[address("u", f"https://x.example/{end}")],
        )
        for whole, end, flag in ((1, "a", 1), (1.0, "b", True))
    )  # fmt: skip
    add_runs(repo, one, other)
    with Ledger() as ledger:
        build(ledger, tmp_path / "site")
    done = CliRunner().invoke(cli, ["diff", one.id, other.id, "--json"])
    assert done.exit_code == 0, done.output
    fields = json.loads(done.stdout)["mlgit.diff/v1"]["fields"]
    differing = ["params.long", "params.flag", "params.lists", "params.__proto__", "inputs.u"]
    with visit(browser) as seen:
        compare(seen, tmp_path / "site", one.id, other.id)
        assert set(shown(seen)) == {field(name) for name in fields} == {*differing}
        assert shown(seen)["inputs.u"] == ["https://x.example/a", "https://x.example/b"]
    assert seen.complaints == []


def test_null_is_no_absence_on_either_side(repo: Path, tmp_path: Path, browser: Any) -> None:
    """A param that is None is one that was recorded, so a run without it is another."""
    one, other = (
        make_run(params=params)
        for params in (
            {"both": None, "only": None, "inner": {"x": None}, "text": "null", "b": 1},
            {"both": None, "text": None, "b": None},
        )
    )
    add_runs(repo, one, other)
    with Ledger() as ledger:
        build(ledger, tmp_path / "site")
    done = CliRunner().invoke(cli, ["diff", one.id, other.id])
    lines = [line.split() for line in done.stdout.splitlines()[1:]]
    assert {field(name): values for name, *values in lines} == {
        "params.only": ["null", "-"],
        "params.inner.x": ["null", "-"],
        "params.text": ["null", "null"],
        "params.b": ["1", "null"],
    }
    everything = CliRunner().invoke(cli, ["diff", one.id, other.id, "--all"]).stdout
    assert ["params.both", "null", "null"] in [line.split() for line in everything.splitlines()]
    with visit(browser) as seen:
        compare(seen, tmp_path / "site", one.id, other.id)
        assert shown(seen) == {field(name): values for name, *values in lines}
        assert seen.page.locator("td.null").count() == 4  # the text "null" is another
        compare(seen, tmp_path / "site", one.id, other.id, state="&all=1")
        assert shown(seen)["params.both"] == ["null", "null"]
        assert seen.page.locator("tr[data-field='params.both'] td.same").count() == 1
    assert seen.complaints == []


def test_the_heads_stay_in_view_and_so_does_the_focus(
    site: Path, ids: dict[str, str], browser: Any
) -> None:
    with visit(browser) as seen:
        page = seen.page
        page.set_viewport_size({"width": 1280, "height": 700})
        compare(seen, site, ids["baseline"], ids["boosted"], ids["typo"], state="&all=1")
        head, region = page.locator("thead th").first, page.get_by_role("region", name="Comparison")
        top = head.bounding_box()["y"]
        region.evaluate("region => (region.scrollTop = 300)")
        assert head.bounding_box()["y"] == top
        # As with large letters: room for rows.
        page.set_viewport_size({"width": 640, "height": 360})
        assert region.evaluate("region => region.scrollHeight === region.clientHeight")

        def pressed(name: str) -> str:
            page.get_by_role("button", name=name).first.press("Enter")
            page.locator("thead th a", has_text="boosted").first.wait_for()
            page.wait_for_timeout(100)
            return str(page.evaluate("document.activeElement.ariaLabel"))

        assert pressed("make it the baseline") == "Comparison"
        assert pressed("Take typo out") == "Comparison"
        assert pressed("Take baseline out") == "Comparison"
        assert pressed("+ the one before") == "Comparison"
    assert seen.complaints == []


def test_values_the_best_and_by_how_much(site: Path, ids: dict[str, str], browser: Any) -> None:
    with visit(browser) as seen:
        page = seen.page
        compare(seen, site, ids["baseline"], ids["boosted"], ids["diverged"])
        assert shown(seen)["metrics.rmse"] == ["7.758715206809494", "6.741", "nan"]
        cells = page.locator("tr[data-field='metrics.rmse'] td")
        assert cells.all_inner_texts()[0] == "7.759" and cells.all_inner_texts()[2] == "nan"
        assert cells.nth(1).locator(".best").text_content() == "6.741 the best"
        assert cells.nth(1).locator(".delta.better").inner_text() == "−1.018"
        assert cells.nth(1).locator(".delta").get_attribute("title") == (
            "better than the first run by 1.0177, 13.1 %"
        )
        assert page.locator(".best").count() == 2  # nothing is the best by loss: nan is beside it
        took = page.locator("tr[data-field=duration] td").nth(1)
        assert took.locator(".delta").inner_text() == "+1 min 11 s"
        # The other way round it is worse.
        page.get_by_role("button", name="make it the baseline").first.click()
        page.locator(".delta.worse").first.wait_for()
        assert page.locator("thead th a").all_inner_texts() == ["boosted", "baseline", "diverged"]
        assert f"runs={ids['boosted']}%2C{ids['baseline']}" in page.url
        assert page.locator("tr[data-field='params.model'] td.same").all_inner_texts() == ["gbr"]
        assert page.locator("thead th .dot").count() == 3
    assert seen.complaints == []


def test_runs_come_and_go(site: Path, ids: dict[str, str], browser: Any) -> None:
    with visit(browser) as seen:
        page = seen.page
        compare(seen, site)
        assert "Choose the runs" in page.locator(".tally [role=status]").inner_text()
        box = page.get_by_role("combobox")
        box.fill("TAXI boo")
        page.get_by_role("option").wait_for()
        box.press("Enter")
        page.locator(".tally [role=status]").filter(has_text="Add a second run").wait_for()
        page.get_by_role("button", name="+ the one before").click()
        page.locator(".tally [role=status]").filter(has_text="recorded fields differ").wait_for()
        assert page.locator("thead th a").all_inner_texts() == ["boosted", "baseline"]
        box.fill(ids["typo"][:12])
        box.press("ArrowDown")
        box.press("Enter")
        page.locator("thead th a", has_text="typo").wait_for()
        box.press("ArrowDown")
        page.get_by_role("option").first.wait_for()
        assert page.get_by_role("option").count() == 4  # those that are not there yet
        box.press("Escape")
        assert page.get_by_role("option").count() == 0
        before = len(shown(seen))
        page.get_by_label("show equal fields too").check()
        page.wait_for_function(
            "n => document.querySelectorAll('tr[data-field]').length > n", arg=before
        )
        address = page.url
        assert address.endswith("&all=1")
        page.get_by_role("button", name="Take baseline out").click()
        page.wait_for_function("document.querySelectorAll('thead th').length === 2")
        # What was on the page is in its address.
        page.goto("about:blank")
        page.goto(address)
        page.locator("thead th a", has_text="typo").wait_for()
        assert page.locator("thead th a").all_inner_texts() == ["boosted", "baseline", "typo"]
        assert page.get_by_label("show equal fields too").is_checked()
    assert seen.complaints == []


def test_names_the_best_and_what_is_not_there(
    site: Path, ids: dict[str, str], browser: Any
) -> None:
    with visit(browser) as seen:
        page = seen.page
        page.goto(f"{site.as_uri()}/{urls.run(ids['baseline'])}")
        page.get_by_role("link", name="the best", exact=True).click()
        page.locator("thead th a").first.wait_for()
        assert page.locator("thead th a").all_inner_texts() == ["boosted", "baseline"]
        assert (
            ids["boosted"] in page.url and "@best" not in page.url and "%40" not in page.url
        )  # the address stays good
        compare(seen, site, "@best", ids["boosted"])
        assert (
            "is the best of nyc-taxi by rmse" in page.locator(".tally [role=status]").inner_text()
        )
        compare(seen, site, "trial 1", ids["boosted"][:8], "../../etc/passwd", "<b>x</b>")
        assert page.locator("thead th a").all_inner_texts() == ["trial 1", "boosted"]
        assert (
            "There is no run ../../etc/passwd on"
            in page.locator(".tally [role=status]").inner_text()
        )
        assert "There is no run <b>x</b> on" in page.locator(".tally [role=status]").inner_text()
        assert seen.complaints == []
        compare(seen, site, "7zzzzzzzzzzzzzzzzzzzzzzzzz", ids["boosted"])
        assert "7zzzzzzzzz is not on this site" in page.locator(".tally [role=status]").inner_text()
        compare(seen, site, ids["baseline"], ids["boosted"], ids["baseline"])
        assert page.locator("thead th a").count() == 2


SAID = [
    *("v1", "2", "V2", "v3.0.0", "3.0.0", "v3.0", "3.0.1", "v9", "v01", "latest", "LATEST", "none"),
    *("production", "Production", "staging", "archived", "champion", "Champion", "", "a@v1"),
    "constructor",
]


def test_the_run_behind_a_version_is_the_one_that_the_terminal_means(
    showcase: Path, tmp_path: Path, browser: Any
) -> None:
    add_models(showcase)
    with Ledger() as ledger:
        build(ledger, tmp_path / "site")
        names = [model.title for model in api.load(ledger).models.values()]
        texts = [f"{name}@{said}" for name in (*names, "nobody") for said in SAID]
        texts += [f"models:/{name}{said}" for name in names for said in ("/2", "/Staging", "@v1")]
        expected: dict[str, str | None] = {}
        for text in texts:
            with suppress(NotFound):
                expected[text] = api.meant(ledger, text)[1].run
    assert len(expected) > 15 and len(names) == 3
    with visit(browser) as seen:
        compare(seen, tmp_path / "site", *texts[:1])
        for text in texts:
            seen.page.evaluate(
                "text => { location.hash = new URLSearchParams({runs: text}) }", text
            )
            seen.settle()
            heads = seen.page.locator("thead th a").evaluate_all("all => all.map(a => a.href)")
            found = [url.rpartition("/")[2].removesuffix(".html") for url in heads]
            assert found == ([expected[text]] if text in expected else []), text
        told = seen.page.locator(".tally [role=status]")
        for text, words in (
            ("nobody@v1", "There is no model nobody on this site."),
            ("fare@v9", "The model fare has no version, stage or alias v9 that stands."),
        ):
            compare(seen, tmp_path / "site", text)
            assert words in told.inner_text()
    assert seen.complaints == []


def test_the_best_has_finished(repo: Path, tmp_path: Path, browser: Any) -> None:
    def ran(name: str, loss: float, status: str = "finished", experiment: str = "exp") -> str:
        metrics = summaries({"loss": metric(loss)})
        run = make_run(name=name, metrics=metrics, status=status, experiment=experiment)
        return add_runs(repo, run)[0]

    crashed, good, worse = ran("crashed", 0.1, "failed"), ran("good", 0.5), ran("worse", 0.7)
    alone = ran("night", 0.1, "interrupted", "other")
    with Ledger() as ledger:
        build(ledger, tmp_path / "site")
    with visit(browser) as seen:
        page = seen.page
        compare(seen, tmp_path / "site", "@best", crashed, worse)
        assert page.locator("thead th a").all_inner_texts() == ["good", "crashed", "worse"]
        assert page.locator("td .best").all_inner_texts() == ["0.5\nthe best"]
        compare(seen, tmp_path / "site", "@best", alone)
        said = page.locator(".tally [role=status]").inner_text()
        assert "No run of other has finished with a finite loss, so none is the best." in said
        page.get_by_role("link", name="night").wait_for()
        assert page.get_by_role("button", name="the best by").count() == 0
        compare(seen, tmp_path / "site", crashed)
        page.get_by_role("button", name="+ the best by loss").click()
        page.locator("thead th a", has_text="good").wait_for()
        assert good in page.url
    assert seen.complaints == []


def test_a_run_page_leads_to_comparisons(site: Path, ids: dict[str, str]) -> None:
    trial = (site / urls.run(ids["trial 1"])).read_text("utf-8")
    for other in (ids["grid search"], "@best"):
        assert f'href="../compare.html#runs={other},{ids["trial 1"]}"' in trial
    alone = (site / urls.run(ids["Süßes 🍭 模型"])).read_text("utf-8")
    assert "compare.html" not in alone


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_and_width(site: Path, ids: dict[str, str], browser: Any, theme: str) -> None:
    context = browser.new_context(color_scheme=theme, bypass_csp=True)
    seen = Visit(context.new_page())
    for runs in ([], [ids["boosted"]], [*ids.values()]):
        for width in (1280, 390):
            seen.page.set_viewport_size({"width": width, "height": 900})
            compare(seen, site, *runs, state="&all=1")
            assert seen.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        seen.page.get_by_role("combobox").focus()
        if len(runs) < 7:
            seen.page.get_by_role("option").first.wait_for()
        seen.page.add_script_tag(path=AXE)
        faults = seen.page.evaluate("axe.run()")["violations"]
        assert [(fault["id"], fault["nodes"][0]["html"]) for fault in faults] == []
    context.close()


def test_without_javascript_it_says_how(site: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.as_uri()}/{urls.COMPARE}")
    assert "mlgit diff RUN RUN" in page.locator("main").inner_text()
    context.close()


def test_hostile_runs_are_only_compared(repo: Path, tmp_path: Path, browser: Any) -> None:
    runs = []
    for attack in ATTACKS:
        text = attack[:2000].replace("\n", " ").strip()
        key = "".join(filter(str.isprintable, text))[:80].strip() or "x"
        history = {key: metric(1.0, float("nan"))}
        runs.append(
            make_run(
                name=text[:200], params={key: text}, tags={key: text}, metrics=summaries(history),
                by=records.Person(name=text, email=text), status="finished",
                source=records.Source(branch=text, argv=[text], entry=text),
                inputs=[address(key, text)],
            )
        )  # fmt: skip
    add_runs(repo, *runs, make_run(name=ATTACKS[0]))
    with Ledger() as ledger:
        build(ledger, tmp_path / "site")
    with visit(browser) as seen:
        compare(seen, tmp_path / "site", *(run.id for run in runs), state="&all=1")
        assert seen.complaints == []
        assert seen.page.locator("thead th a").count() == 20
        assert "Only the first 20 of 21" in seen.page.locator(".tally [role=status]").inner_text()
        seen.page.get_by_role("combobox").focus()
        assert ATTACKS[0] in seen.page.get_by_role("option").inner_text()
        assert seen.page.evaluate("[...document.scripts].filter(s => !s.src).length") == 0
        assert seen.page.locator("iframe, object, base, main img").count() == 0
    assert seen.complaints == []
    assert {url.partition(":")[0] for url in seen.requests} <= {"file", "about"}
