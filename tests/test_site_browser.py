"""The pages in a real Chromium: from a folder and from a sub-path of a server, and under attack."""

from __future__ import annotations

import contextlib
import csv
import functools
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlencode

import axe_playwright_python
import pytest
import showcase
from browser import Visit, chromium, examples, kind, pages, serving, visit
from conftest import add_runs, git, make_run
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from showcase import md5, metric, summaries
from test_site_build import links

from mlgit import query, records, registry, saved
from mlgit.data import put
from mlgit.errors import Invalid, MlgitWarning
from mlgit.ledger import Ledger, open_repository
from mlgit.names import experiment_name
from mlgit.registry import api, verbs
from mlgit.site import urls
from mlgit.site.build import build

SHOTS = os.environ.get("MLGIT_SCREENSHOTS")  # a folder, for a person to look at
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """The showcase with all that can be added to it, as a site; in a folder that is served."""
    made = tmp_path_factory.getbasetemp() / "whole"
    if not made.exists():
        case = tmp_path_factory.mktemp("case") / "repository"
        showcase.build(case)
        showcase.add_models(case)
        showcase.add_looks(case)
        with Ledger(case) as ledger:
            build(ledger, made)
    out = tmp_path / "served" / "some folder" / "site"
    shutil.copytree(made, out)
    return out


@pytest.fixture
def known(site: Path) -> dict[str, str]:
    """The ids of its runs by their names."""
    rows = csv.DictReader((site / urls.RUNS_CSV).read_text("utf-8-sig").splitlines())
    return {row["name"]: row["id"] for row in rows}


def states(site: Path, known: dict[str, str]) -> dict[str, str]:
    """Returns pages as a person has set them, who leaves that in the address."""
    taxi = "experiments/taxi.html"
    md5 = min(path.stem for path in (site / "data-sets").iterdir())
    runs = [known[name] for name in ("baseline", "boosted", "with a chart")]
    return {
        "compare-runs": urls.comparison(*runs),
        "compare-code": urls.comparison(known["baseline"], known["boosted"]) + "&all=1",
        "lookup-hash": f"{urls.LOOKUP}#q={md5[:8]}",
        "lookup-run": f"{urls.LOOKUP}#q={runs[0]}+nothing0",
        "models-as-of": f"{urls.MODELS}#as-of=2026-11-10",
        "experiment-filtered": taxi + urls.view(records.View("metrics.rmse < 7", "-metrics.rmse")),
        "experiment-grouped": f"{taxi}#group=params.model&colour=metrics.rmse",
        "experiment-selected": f"{taxi}#sel={','.join(runs)}",
    }


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the folder `served`."""
    with serving(tmp_path / "served") as address:
        yield address


# Where links and sources of a page lead, those that its scripts made among them.
TARGETS = """[...document.querySelectorAll("[href], [src]")].map(element => {
    const said = element.getAttribute("href") ?? element.getAttribute("src");
    return [said, new URL(said, document.baseURI).href];
})"""


def check_targets(seen: Visit, base: str, site: Path) -> int:
    """Sees that every link of the page leads to a file of the site, and a place in it."""
    found = seen.page.evaluate(TARGETS)
    for said, target in found:
        if target.startswith(("data:image/", "mailto:", "https://")):
            continue
        url, anchor = urldefrag(target)
        assert url.startswith(f"{base}/"), f"{seen.page.url} links to {said}"
        place = site / unquote(url.removeprefix(f"{base}/").partition("?")[0])
        assert place.is_file(), f"{seen.page.url} links to {said}"
        is_place = anchor and "=" not in anchor  # else it is what a person set on the page
        if is_place and url == seen.page.url.partition("#")[0]:
            has = "id => document.getElementById(id) !== null"
            assert seen.page.evaluate(has, unquote(anchor)), f"{seen.page.url} links to {said}"
        elif is_place:
            assert anchor in links(place).ids, f"{seen.page.url} links to {said}"
    return len(found)


@pytest.mark.parametrize("place", ["a folder", "a server"])
def test_every_page_and_every_link(
    site: Path, known: dict[str, str], served: str, browser: Any, place: str
) -> None:
    base = site.as_uri() if place == "a folder" else f"{served}/some%20folder/site"
    width, theme = (1280, "light") if place == "a folder" else (390, "dark")
    every = [*pages(site), *states(site, known).values()]
    count = 0
    with visit(browser, width, theme) as seen:
        for url in every:
            seen.open(f"{base}/{url}")
            count += check_targets(seen, base, site)
            assert seen.complaints == [], url
    ours = (f"{base}/", "about:", "data:")
    assert [url for url in seen.requests if not url.startswith(ours)] == []
    assert len(every) > 45 and count > 1000


def test_there_is_a_page_of_every_kind(site: Path) -> None:
    top = {name.removesuffix(".html") for name in pages(site) if "/" not in name}
    assert top == {
        *("index", "runs", "deleted", "about", "compare", "data", "lookup", "models"),
    }
    assert {*examples(site)} - top == {
        *("experiments/page", "runs/page", "reports/page", "code/page", "code/difference"),
        *("data-sets/page", "models/page", "models/name/page"),
    }


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_kind_of_page_is_accessible_and_fits(
    site: Path, known: dict[str, str], browser: Any, theme: str, width: int
) -> None:
    named = {
        f"{name}-{size}": url
        for name, urls in examples(site).items()
        for size, url in zip(("", "large"), urls, strict=False)
    }
    faults = []
    with visit(browser, width, theme, bypass_csp=True) as seen:
        for name, url in {**named, **states(site, known)}.items():
            seen.open(f"{site.as_uri()}/{url}")
            seen.look_over()
            if SHOTS:
                file = f"{name.replace('/', '-').strip('-')}-{width}-{theme}.png"
                seen.page.screenshot(path=Path(SHOTS) / file, full_page=True)
            overflow = seen.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if overflow > 0:
                faults.append((url, f"is wider than {width}"))
            seen.page.add_script_tag(path=AXE)
            found = seen.page.evaluate("axe.run({resultTypes: ['violations']})")
            for fault in found["violations"]:
                faults.append((url, fault["impact"], fault["id"], fault["nodes"][0]["html"][:200]))
    assert faults == []


def test_script_of_the_page(site: Path, browser: Any) -> None:
    with visit(browser) as seen:
        page = seen.page
        page.goto(f"{site.as_uri()}/index.html")
        time = page.locator("table.recent time").first
        assert time.get_attribute("title").endswith(" UTC")
        page.get_by_role("button", name="Switch between light and dark").click()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.get_by_role("link", name="boosted").first.click()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        page.get_by_role("button", name="Copy the id").click()
        page.get_by_text("Copied").wait_for()
        assert page.evaluate("mlgit.number(7.758715206809494)") == "7.7587"
        assert page.evaluate("[1e-7, 12345678.9, 0.5, 100].map(v => mlgit.number(v, 6))") == [
            "1e-07", "12345679", "0.5", "100"
        ]  # fmt: skip
        assert page.evaluate("[0.0123, 59.94, 61, 10800, 200000].map(mlgit.span)") == [
            "12 ms", "59.9 s", "1 min 1 s", "3 h", "2 d 7 h"
        ]  # fmt: skip
        run = page.locator("[data-run]").get_attribute("data-run")
        source = page.locator("[data-run]").get_attribute("data-src")
        loaded = page.evaluate("([s, n]) => mlgit.load(s, n)", [source, f"run/{run}"])
        assert loaded["id"] == run and loaded["metrics"]["rmse"][0] == 6.741
    assert seen.complaints == []


def test_pages_read_well_without_javascript(site: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.as_uri()}/experiments/taxi.html")
    assert page.locator("table.runs-table tbody tr").count() == 8
    page.locator("table.runs-table").get_by_role("row", name="boosted").get_by_role("link").click()
    assert page.locator("svg.curve path").count() >= 1
    assert page.locator("button:visible").count() == 0  # nothing that would do nothing
    context.close()


def test_from_the_table_to_the_version_that_came_of_it(
    site: Path, known: dict[str, str], browser: Any
) -> None:
    """What a person does in an hour: sort, filter, select, compare, look up, go on."""
    with visit(browser) as seen:
        page = seen.page
        seen.open(f"{site.as_uri()}/experiments/taxi.html")
        page.get_by_role("searchbox", name="Only runs for which this holds").fill(
            "metrics.rmse < 7"
        )
        page.locator(".count", has_text="5 of 8 runs").wait_for()
        head = page.locator(".runs thead button", has=page.get_by_text("rmse", exact=True))
        head.click()
        rows = page.locator(".runs tbody tr:not(.space)")
        assert rows.locator("th").all_inner_texts() == [
            "gbr 2", "gbr 3", "with a chart", "boosted", "gbr 1"
        ]  # fmt: skip
        for name in ("gbr 2", "gbr 3"):
            rows.filter(has_text=name).get_by_role("checkbox").check()
        page.get_by_role("link", name="Compare", exact=True).click()
        page.locator("tr[data-field='metrics.rmse'] .best", has_text="6.58").wait_for()
        page.get_by_role("link", name="gbr 2").click()
        page.locator("#lineage, .lineage").first.wait_for()
        page.get_by_role("link", name="Look up").click()
        page.locator("#asked").fill(known["gbr 2"][:12])
        page.keyboard.press("Enter")
        page.locator(".answer").get_by_role("link", name="fare v2").click()
        page.get_by_role("heading", level=1, name="fare v2").wait_for()
        page.go_back()
        page.locator(".answer", has_text="fare v2").wait_for()  # it is kept in the address
    assert seen.complaints == []


def test_the_keyboard_is_enough(site: Path, browser: Any) -> None:
    with visit(browser) as seen:
        page, press = seen.page, seen.page.keyboard.press
        seen.open(f"{site.as_uri()}/experiments/taxi.html")
        press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        reached = set()
        for _ in range(60):
            press("Tab")
            reached.add(page.evaluate(STOP))
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            inside = page.evaluate("document.activeElement.matches('.runs-table')")
            assert outline != "none" or inside, page.evaluate(STOP)  # it shows its cell instead
            if inside:
                break
        assert {"Registry", "Look up", "Experiments", "Columns", "View"} <= reached
        press("ArrowDown")
        press("Space")
        press("ArrowDown")
        press("Space")
        page.locator(".picked", has_text="2 selected").wait_for()
        page.get_by_role("link", name="Compare", exact=True).focus()
        press("Enter")
        page.locator("table.compare").wait_for()
    assert seen.complaints == []


STOP = "(document.activeElement.textContent || document.activeElement.ariaLabel || '').trim()"


# --- hostile records ---------------------------------------------------------------------------

# Whatever of these runs, tells: an alert is a complaint, a request is seen.
ATTACKS = [
    "<script>alert('canary')</script>",
    "</script><script>alert('canary')</script>",
    "<img src=x onerror=alert('canary')>",
    "<svg/onload=alert('canary')>",
    "'\"><iframe src=javascript:alert('canary')>",
    "[x](javascript:alert('canary'))",
    "![x](https://canary.example/x.png)",
    "<https://canary.example>",
    "[x]: javascript:alert('canary')\n\n[x]",
    "{{ 7*7 }}{% raw %}",
    "');alert('canary');('",
    "\\');alert('canary');//",
    "</title><base href=https://canary.example/>",
    "<style>@import 'https://canary.example'</style>",
    "<meta http-equiv=refresh content='0;url=https://canary.example'>",
    "\u202egnp.exe\u2066\u200f",
    "\u2028alert('canary')\u2029",
    "]]><!--",
    "`a`" * 50,
    "[" * 5000,
    "x" * 60_000,
]
text = st.one_of(st.sampled_from(ATTACKS), st.text(max_size=40)).filter(
    lambda value: not any(0xD800 <= ord(char) < 0xE000 for char in value)
)
key = text.map(lambda value: " ".join(value.split())[:100].strip()).filter(
    lambda value: value and value.isprintable()
)
number = st.one_of(st.floats(), st.integers(-(2**70), 2**70), st.integers(-(10**400), 10**400))
hostile = st.fixed_dictionaries(
    {
        "experiment": key,
        "name": key,
        "note": text,
        "error": text,
        "params": st.dictionaries(key, st.one_of(text, number, st.lists(text)), max_size=3),
        "tags": st.dictionaries(key, text, max_size=2),
        "values": st.lists(number, min_size=2, max_size=5),
        "metric": key,
        "by": text,
        "argv": st.lists(text, max_size=2),
        "entry": text,
        "files": st.dictionaries(
            st.sampled_from(["a.html", "b.svg", "c.json", "d.csv", "<script>.txt"]), text
        ),
        "read": st.fixed_dictionaries({"name": key, "role": text, "kind": text}),
        "said": text,
    }
)


def save_hostile(plain: dict[str, Any], code: str) -> records.Run:
    try:
        experiment = experiment_name(plain["experiment"][:40].strip())
    except Invalid:
        experiment = "exp"
    history = {plain["metric"]: metric(*plain["values"])}
    files = {path: content.encode() for path, content in plain["files"].items()}
    files["chart.vl.json"] = json.dumps(hostile_chart(plain["said"])).encode()
    outputs = [
        records.Pointer(path=path, kind="text", md5=md5(data), size=len(data), stored="git")
        for path, data in files.items()
    ]
    repository = open_repository()
    weights = put(repository.data_store, b"model")
    outputs.append(records.Pointer(path="model", kind="model", md5=weights, size=5, stored="dvc"))
    read = plain["read"]
    inputs = [
        records.Pointer(
            path="a b.csv", **read, md5=md5(read["name"].encode()), size=9, stored="dvc"
        ),
        records.Pointer(
            path="x", md5=None, size=None, origin="url", url=f"x:{plain['said']}", etag="1"
        ),
    ]
    run = make_run(
        experiment=experiment,
        name=plain["name"],
        note=plain["note"],
        error=plain["error"],
        params=plain["params"],
        tags=plain["tags"],
        metrics=summaries(history),
        by=records.Person(name=plain["by"], email=plain["by"]),
        source=records.Source(
            commit=code, entry=plain["entry"], argv=plain["argv"], branch=plain["by"]
        ),
        inputs=inputs,
        outputs=outputs,
    )
    packages = {"packages": {plain["name"]: plain["by"]}}
    saved.save(repository, run, history, packages, files, code)
    saved.annotate(repository, [run.id], "note", {"text": plain["said"]})
    return run


def hostile_chart(said: str) -> dict[str, Any]:
    """Returns a chart of Vega-Lite that says `said` wherever it can."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "title": said,
        "data": {"values": [{"a": said, "b": 1}, {"a": "b", "b": 2}]},
        "mark": {"type": "bar", "tooltip": True, "href": said},
        "encoding": {
            "x": {"field": "a", "type": "nominal", "title": said},
            "y": {"field": "b", "type": "quantitative"},
        },
    }


def say_hostile(plain: dict[str, Any], run: records.Run, number: int) -> None:
    """Adds what people say of a run's experiment, a model of it, and a report."""
    repository = open_repository()
    where = f"params.{json.dumps(plain['metric'])} = 1"
    view = {"name": plain["name"], "where": where, "sort": "id", "columns": [plain["metric"]]}
    view |= {"pins": [where], "group": plain["said"], "colour": where, "part": plain["metric"]}
    saved.annotate_experiment(repository, run.experiment, "view", view)
    saved.annotate_experiment(repository, run.experiment, "describe", {"text": plain["said"]})
    with Ledger() as ledger:
        verbs.register(
            ledger, registry.load(ledger), f"m{number}", run, "model", reason=plain["said"]
        )
        model, version = api.meant(ledger, f"m{number}@v1")
        verbs.promote(ledger, model, version, "production", plain["said"])
        verbs.describe(ledger, model, plain["said"])
        verbs.describe(ledger, model, plain["note"], version.name)
        verbs.tag(ledger, model, plain["metric"], plain["by"])
        with contextlib.suppress(Invalid):  # not every name may be one of a model
            verbs.rename(ledger, registry.load(ledger), model, plain["name"])
    param = query.Field("param", next(iter(plain["params"]), "p"))
    charts = [
        {"kind": "scatter", "x": "id", "y": f"metrics.{json.dumps(plain['metric'])}"},
        {"kind": "histogram", "x": f"metrics.{json.dumps(plain['metric'])}"},
        {"kind": "histogram", "x": str(param)},
        {"kind": "importance", "metric": plain["metric"]},
    ]
    blocks = "".join(f"```mlgit\n{json.dumps({'chart': each})}\n```\n\n" for each in charts)
    text = f"# {plain['name']}\n\n{plain['said']}\n\n{blocks}"
    Path("reports").mkdir(exist_ok=True)
    Path(f"reports/r{number}.md").write_text(text, "utf-8")


@pytest.mark.parametrize("part", range(5))
def test_forty_of_two_hundred_hostile_records(
    repo: Path, tmp_path: Path, browser: Any, part: int
) -> None:
    made: list[dict[str, Any]] = []

    @seed(part)
    @settings(
        max_examples=40, derandomize=False, suppress_health_check=list(HealthCheck), database=None
    )
    @given(hostile)
    def collect(plain: dict[str, Any]) -> None:
        made.append(plain)

    collect()
    assert len(made) >= 40
    code = git("rev-parse", "HEAD").strip()
    runs = [save_hostile(plain, code) for plain in made[:40]]
    for number in range(0, 40, 8):
        say_hostile(made[number], runs[number], number)
    out = tmp_path / "out"
    with Ledger() as ledger, warnings.catch_warnings():
        warnings.simplefilter("ignore", MlgitWarning)  # of blocks that cannot be answered
        build(ledger, out)
    kinds = {kind(url) for url in pages(out)}
    assert {"models/page", "models/name/page", "data-sets/page", "reports/page"} <= kinds
    assert {urls.run(run.id) for run in runs} <= {*pages(out)}
    with visit(browser) as seen:
        for url in pages(out):
            seen.page.goto(f"{out.as_uri()}/{url}")
            assert seen.page.evaluate(WHOLE) == [True, 0, 0], url
        for url in hostile_states(out, made, runs):
            seen.open(f"{out.as_uri()}/{url}")
            assert seen.page.evaluate(WHOLE) == [True, 0, 0], url
            assert seen.page.url.startswith(out.as_uri()), url
            assert seen.complaints == [], url
    assert seen.complaints == []
    assert {url.partition(":")[0] for url in seen.requests} <= {"file", "data", "about"}
    assert len(pages(out)) > 40


def hostile_states(
    site: Path, made: list[dict[str, Any]], runs: list[records.Run]
) -> Iterator[str]:
    """Yields pages with hostile things in the address, and with answers full of them."""
    for begin in range(0, 40, 8):
        yield urls.comparison(*(run.id for run in runs[begin : begin + 8])) + "&all=1"
    for plain in made[:6]:
        yield f"{urls.LOOKUP}#q={md5(plain['read']['name'].encode())}"
        yield f"{urls.LOOKUP}#{urlencode({'q': plain['said'][:2000]})}"
        yield f"{urls.COMPARE}#{urlencode({'runs': plain['said'][:2000]})}"
        yield f"{urls.MODELS}#{urlencode({'as-of': plain['said'][:2000]})}"
        param = str(query.Field("param", next(iter(plain["params"]), plain["metric"])))
        for state in (
            {"group": param, "colour": param, "cols": param, "sort": param},
            {"where": f"{param} = 1 or name = {json.dumps(plain['name'])}"},
            dict.fromkeys(("where", "group", "sort", "cols", "sel"), plain["said"][:2000]),
        ):
            yield f"{urls.RUNS}#{urlencode(state)}"
    yield f"{urls.LOOKUP}#q={runs[0].id}"
    yield f"{urls.MODELS}#as-of=2100-01-01"
    for url in examples(site)["experiments/page"]:
        view = links(site / url).targets
        yield from (f"{url}#{urldefrag(each).fragment}" for each in view if "#where=" in each)


# The page is there to its end; scripts in it; elements that bring other pages in.
WHOLE = """[
    document.querySelector("footer").getBoundingClientRect().height > 0,
    [...document.scripts].filter((script) => !script.src).length,
    document.querySelectorAll("iframe, object, base").length,
]"""


def test_data_scripts_of_hostile_records_load(repo: Path, tmp_path: Path, browser: Any) -> None:
    names = [attack[:200].replace("\n", " ").strip() for attack in ATTACKS]
    runs = [make_run(params={"p": name}, tags={"t": name}) for name in names]
    add_runs(repo, *runs)
    out = tmp_path / "out"
    with Ledger() as ledger:
        build(ledger, out)
    with visit(browser) as seen:
        seen.page.goto(f"{out.as_uri()}/index.html")
        load: Callable[[list[str]], Any] = functools.partial(
            seen.page.evaluate, "([s, n]) => mlgit.load(s, n)"
        )
        table = load(["data/runs.js", "runs"])
        assert table["rows"] == len(runs)
        for run in runs:
            found = load([f"data/runs/{run.id}.js", f"run/{run.id}"])
            assert found["params"]["p"] == run.params["p"]
    assert seen.complaints == []
