"""Data on the site: the pages of datasets, lineage pictures, and the look-up."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from browser import Visit, chromium, pages, serving, visit
from click.testing import CliRunner
from conftest import add_runs, git, make_run
from test_site_build import check_links, content, make

import mlgit
from mlgit import profiles, saved
from mlgit.cli import cli
from mlgit.data.ingest import measure
from mlgit.data.state import State
from mlgit.ledger import Ledger, append
from mlgit.records import Pointer
from mlgit.site import neighbours, picture, profile, urls
from mlgit.site.gather import Site, gather
from mlgit.site.picture import Box

ROOT = Path(__file__).parent.parent
SHOTS = os.environ.get("MLGIT_SCREENSHOTS")  # a folder, for a person to look at
AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def type_(*command: str) -> None:
    done = CliRunner().invoke(cli, [*command], prog_name="mlgit")
    assert done.exit_code == 0, done.output


def table(rows: int, seed: int, columns: str = "distance,fare,borough,rain") -> str:
    dice = random.Random(seed)
    lines = [
        f"{dice.expovariate(0.3):.2f},{5 + dice.random() * 40:.2f},"
        f"{dice.choice(['Queens', 'Bronx', 'Manhattan'])},{dice.random() < 0.2}"
        for _ in range(rows)
    ]
    return "\n".join([columns, *lines]) + "\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for the repository that tests copy."""
    return tmp_path_factory.mktemp("taxi") / "project"


@pytest.fixture
def taxi(repo: Path) -> Path:
    """Raw data in two versions, cleaned by a run, a model trained on that and registered."""
    Path("data/zones").mkdir(parents=True)
    for name in ("a", "b", "c"):
        Path(f"data/zones/{name}.csv").write_text(f"zone {name}\n")

    def prepare(rows: int, seed: int, **more: str) -> None:
        Path("data/raw.csv").write_text(table(rows, seed, **more))
        with mlgit.start_run("taxi", "prepare", capture=["code"]) as run:
            run.log_input("data/raw.csv", name="trips", role="raw")
            run.log_input("data/zones", role="zones")
            Path("clean.csv").write_text(table(rows // 2, seed))
            run.log_artifact("clean.csv")

    def train(name: str) -> None:
        Path("model").mkdir(exist_ok=True)
        Path("model/weights.bin").write_bytes(name.encode())
        with mlgit.start_run("taxi", name, capture=["code"], params={"lr": 0.1}) as run:
            run.log_input("clean.csv", role="train")
            run.log_metric("rmse", 6.5)
            run.log_text("fine\n", "notes.txt")
            run.log_model("model")

    prepare(300, 1)
    train("linear")
    prepare(420, 2, columns="distance,fare_usd,borough,rain")
    train("boosted")
    with mlgit.start_run("taxi", "guess", capture=[]) as run:
        run.log_input("data/zones/b.csv", keep=False)
    type_("model", "register", "fares", "linear")
    type_("model", "register", "fares", "boosted", "-m", "lower error")
    type_("model", "promote", "fares@v2", "production", "-m", "good enough")
    return repo


def site_of(repository: Path | str = ".") -> Site:
    with Ledger(repository) as ledger:
        return gather(ledger)


def by_label(site: Site, label: str) -> list[str]:
    """Returns the hashes of the contents of this name, the last used first."""
    return [key for key, found in site.flow.contents.items() if found.label == label]


def run_named(site: Site, name: str) -> int:
    return site.table.attributes["name"].index(name)


def page_of(out: Path, key: str) -> str:
    return (out / urls.dataset(key)).read_text("utf-8")


def text_of(html: str) -> str:
    """Returns what a page says, without its tags."""
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


# --- pages of data -----------------------------------------------------------------------------


def test_pages_of_data(taxi: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    assert check_links(out) > 200
    site = site_of()
    new, old = by_label(site, "trips")
    listing = text_of((out / "data.html").read_text("utf-8"))
    assert "5 datasets" not in listing and "4 datasets in 6 versions" in listing
    assert "420 × 4" in listing and "300 × 4" in listing and "3 files" in listing
    said = text_of(page_of(out, new))
    assert "read by 1 run" in said and "420 × 4" in said
    assert "1 registered version came of it; in use is fares v2 (production)" in said
    assert f"Compared with {old[:10]} of trips" in said
    assert "rows 300 → 420 +120" in said and "fare_usd added (float64)" in said
    assert "fare removed" in said
    assert f"mlgit data pull {new}" in said and f"mlgit lineage {new}" in said
    assert "dvc get . data/raw.csv --rev run/" in said
    assert page_of(out, new).count('class="histogram"') == 4
    assert "fares v1" in text_of(page_of(out, old)) and "fares v2" not in text_of(page_of(out, old))


def test_a_dataset_that_a_run_made_tells_both(taxi: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    clean = by_label(site_of(), "clean.csv")[0]
    said = text_of(page_of(out, clean))
    assert "made by 1 run" in said and "read by 1 run" in said
    assert "prepare taxi wrote" in said and "boosted taxi read as train" in said


def test_a_folder_lists_its_files_and_a_hash_alone_says_so(taxi: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    site = site_of()
    (zones,) = by_label(site, "data/zones")
    assert zones.endswith(".dir")
    assert f"a.csv {md5(b'zone a' + bytes([10]))[:10]}" in text_of(page_of(out, zones))
    lone = md5(b"zone b\n")
    assert "Only its hash was kept" in page_of(out, lone)
    assert "mlgit data pull" not in page_of(out, lone)


def test_a_model_depends_on_a_folder_through_a_file_of_it(repo: Path) -> None:
    Path("parts").mkdir()
    Path("parts/x.csv").write_text("x\n")
    Path("raw").write_text("raw\n")
    with mlgit.start_run("e", "split", capture=[]) as run:
        run.log_input("raw")
        run.log_artifact("parts")
    Path("model").write_bytes(b"\0weights")
    with mlgit.start_run("e", "fit", capture=[]) as run:
        run.log_input("parts/x.csv")
        run.log_model("model")
    type_("model", "register", "m", "fit")
    site = site_of()
    (version,) = site.models[0].versions
    for label in ("raw", "parts/x.csv", "model"):
        (key,) = by_label(site, label)
        assert [found for _, found in site.flow.dependents[key]] == [version], label


def test_data_without_a_manifest_are_said_to_be_closed(taxi: Path, tmp_path: Path) -> None:
    git("clone", "--quiet", "--mirror", str(taxi), str(tmp_path / "clone"))
    out = tmp_path / "out"
    make(out, tmp_path / "clone")
    (zones,) = by_label(site_of(), "data/zones")
    assert "The list of its files was not on the machine" in page_of(out, zones)
    lookup = (out / "lookup.html").read_text("utf-8")
    assert "could not be looked into" in lookup and zones[:10] in lookup
    assert not list((out / "data/lookup").glob("file-*"))


def test_two_clones_make_the_same_pages_of_data(taxi: Path, tmp_path: Path) -> None:
    make(tmp_path / "one")
    git("clone", "--quiet", "--mirror", str(taxi), str(tmp_path / "clone"))
    store = tmp_path / "clone" / "mlgit"
    store.mkdir(exist_ok=True)
    (store / "data").symlink_to(taxi / ".git" / "mlgit" / "data")
    make(tmp_path / "two", tmp_path / "clone")
    one, two = content(tmp_path / "one"), content(tmp_path / "two")
    assert {name for name in one if one[name] != two.get(name)} == set() and len(one) == len(two)


def test_one_more_run_makes_only_what_it_touches(taxi: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    before = {path: path.stat().st_ino for path in out.rglob("*") if path.is_file()}
    with mlgit.start_run("taxi", "again", capture=[]) as run:
        run.log_input("clean.csv", role="train")
    make(out)
    fresh = {
        str(path.relative_to(out))
        for path in out.rglob("*")
        if path.is_file() and before.get(path) != path.stat().st_ino
    }
    site = site_of()
    clean = by_label(site, "clean.csv")[0]
    kinds = {name for name in fresh if name.startswith("data-sets/")}
    assert kinds == {urls.dataset(clean)}
    # The shard of the data it used, and the one of runs of these days.
    shards = {name for name in fresh if name.startswith("data/lookup/")}
    assert shards == {urls.lookup(clean[:2]), urls.lookup(f"run-{run.id[:4]}")}
    make(tmp_path / "anew")
    assert content(out) == content(tmp_path / "anew")


# --- what is hostile ----------------------------------------------------------------------------

EVIL = ["<script>alert('canary')</script>", "\u202egnp.exe", "x" * 60_000, "a\n\nb", "{{7*7}}"]
GARBAGE: list[dict[str, Any]] = [
    {"format": 1},
    {"format": 1, "rows": -1, "columns": "no"},
    {"format": 1, "rows": "many", "columns": [3, None, {"name": ["x"], "type": {}, "nulls": "-"}]},
    {
        "format": 1, "rows": 10, "notes": [1, "<b>"], "read": 2**70,
        "columns": [
            {"name": EVIL[0], "type": EVIL[1], "min": "NaN", "max": "Infinity", "mean": [1],
             "histogram": {"edges": [1, {}, "x"], "counts": [1, 2]}, "top": [[EVIL[0], 1], 3]},
            {"name": "h", "histogram": {"edges": [1], "counts": [-1]}},
            {"name": "i", "histogram": {"edges": ["NaN", 2], "counts": [5]}, "min": "9" * 400},
            {"name": "t", "top": [[EVIL[0], 9], [EVIL[1], 1], [None, "x"]], "distinct": 2},
        ],
    },
    {"format": 1, "rows": 1, "columns": [{"name": f"c{n}"} for n in range(5000)]},
]  # fmt: skip


@pytest.mark.parametrize("stored", GARBAGE)
def test_a_profile_is_not_believed(stored: dict[str, Any]) -> None:
    found = profile.parse(stored)
    assert len(found.columns) <= profile.COLUMNS
    for column in found.columns:
        assert "<script" not in column.picture and "\u202e" not in column.picture
        assert column.nulls is None or column.nulls >= 0
        assert len(column.low) < 120 and len(column.name) <= 100


def test_hostile_data_have_harmless_pages(repo: Path, tmp_path: Path) -> None:
    inputs = [
        Pointer(path=text[:200].replace("\n", " "), md5=md5(text.encode()), size=2**62,
                files=2**62, name=text, role=text, stored="dvc", kind=text[:20])
        for text in EVIL
    ]  # fmt: skip
    address = Pointer(
        path="x",
        md5=None,
        size=None,
        origin="url",
        url="https://x.example/'\"><script>",
        etag="<i>",
    )
    for _ in range(3):
        add_runs(repo, make_run(name=EVIL[0], inputs=[*inputs, address], outputs=inputs[:2]))
    with Ledger() as ledger:
        for pointer, found in zip(inputs, GARBAGE, strict=True):
            written = profiles.files(ledger, {str(pointer.md5): found})
            append(ledger.repository, written, "profiles\n")
    out = tmp_path / "out"
    make(out)
    assert site_of().problems == []
    check_links(out)
    for url in pages(out):
        said = (out / url).read_text("utf-8")
        assert "<script>alert" not in said and "\u202e" not in said and said != "49", url
        assert len(said) < 300_000, url
    wide = page_of(out, md5(EVIL[4].encode()))
    assert "These are the first 120 of 5,000 columns" in text_of(wide)
    stored = out / urls.dataset_profile(md5(EVIL[4].encode()))
    assert len(json.loads(stored.read_bytes())["columns"]) == 5000


# --- the picture ----------------------------------------------------------------------------------


def box(name: str) -> Box:
    return Box(name, "data", name, "", None)


def test_a_picture_reads_from_left_to_right() -> None:
    lines = [("a", "r"), ("b", "r"), ("r", "m"), ("r", "n"), ("m", "v"), ("late", "v")]
    names = ["a", "b", "r", "m", "n", "v", "late"]
    found = picture.draw([box(name) for name in names], lines)
    assert found is not None
    x = {each.box.id: each.x for each in found.boxes}
    assert x["a"] == x["b"] < x["r"] < x["m"] == x["n"] < x["v"]
    assert x["late"] == x["m"]  # right before what it leads to
    places = {(each.x, each.y) for each in found.boxes}
    assert len(places) == len(names)
    assert all(0 <= each.y <= found.height - picture.HEIGHT for each in found.boxes)
    assert max(each.x for each in found.boxes) + found.box_width <= found.width
    # A line begins where the template draws the edge of its box.
    edge = found.boxes[0].x + found.box_width
    assert found.paths[0].startswith(f"M{edge} ")
    assert ("r", ["m", "n"]) in [(a.id, [b.id for b in ends]) for a, ends in found.sentences]


def test_a_picture_of_a_circle_and_of_nothing() -> None:
    found = picture.draw([box("a"), box("b")], [("a", "b"), ("b", "a"), ("a", "a")])
    assert found and len({each.x for each in found.boxes}) == 2
    assert picture.draw([box("a")], [("a", "gone")]) is None


def test_lines_are_untangled() -> None:
    """Each thing leads to the one whose name is turned around: no line need cross another."""
    left, right = [f"l{n}" for n in range(6)], [f"r{n}" for n in range(6)]
    lines = [(f"l{n}", f"r{5 - n}") for n in range(6)]
    found = picture.draw([box(name) for name in left + right], lines)
    assert found is not None
    y = {each.box.id: each.y for each in found.boxes}
    assert all(y[a] == y[b] for a, b in lines)


@pytest.mark.parametrize(
    ("text", "is_path", "shown"),
    [
        ("short", False, "short"),
        ("x" * 1_000_000, False, "x" * 21 + "…"),
        ("data/" * 9 + "train.csv", True, "…/data/data/train.csv"[-23:]),
        ("客" * 30, False, "客" * 11 + "…"),
    ],
)
def test_texts_fit_into_boxes(text: str, is_path: bool, shown: str) -> None:
    assert picture.fitting(text, is_path).endswith(shown[-8:])
    assert len(picture.fitting(text, is_path)) <= picture.LETTERS


def labels(view: neighbours.View, kind: str) -> list[str]:
    return sorted(each.label for each in view.boxes if each.kind == kind)


def test_what_is_around_a_run(taxi: Path) -> None:
    site = site_of()
    view = neighbours.of_run(site, run_named(site, "boosted"))
    assert labels(view, "run") == ["boosted", "prepare"]
    assert labels(view, "version") == ["fares@v2"] and labels(view, "model") == ["model"]
    assert labels(view, "data") == ["clean.csv", "data/zones", "trips"]
    assert len(labels(view, "code")) == 1 and labels(view, "artifact") == ["notes.txt"]
    drawn = view.draw()
    assert drawn is not None
    x = {each.box.label: each.x for each in drawn.boxes}
    order = [x[name] for name in ("trips", "prepare", "clean.csv", "boosted", "model", "fares@v2")]
    assert order == sorted(order) and len(set(order)) == 6


def test_what_is_around_a_version(taxi: Path) -> None:
    site = site_of()
    (model,) = site.models
    view = neighbours.of_version(site, model, model.versions[0])
    assert labels(view, "run") == ["boosted", "prepare"] and labels(view, "model") == ["model"]
    assert labels(view, "data") == ["clean.csv"] and len(labels(view, "code")) == 1


def test_a_picture_is_never_crowded(repo: Path) -> None:
    raw = Pointer(path="raw", md5=md5(b"raw"), size=3, stored="dvc")
    many = [Pointer(path=f"f{n}", md5=md5(b"%d" % n), size=1, stored="dvc") for n in range(40)]
    runs = [make_run(name=f"r{n}", inputs=[raw], outputs=many[:n]) for n in range(40)]
    add_runs(repo, *runs)
    site = site_of()
    view = neighbours.of_data(site, str(raw.md5))
    assert len(view.boxes) <= neighbours.MOST + 1
    assert "and 33 more runs" in labels(view, "more")
    view = neighbours.of_run(site, run_named(site, "r39"))
    assert "and 32 more files" in labels(view, "more")
    assert len(view.boxes) <= neighbours.MOST + 2


def test_what_came_later_is_not_where_it_came_from(repo: Path) -> None:
    data = Pointer(path="d", md5=md5(b"d"), size=1, stored="dvc")
    early = make_run(1_793_534_400_000, name="user", inputs=[data])
    late = make_run(1_793_634_400_000, name="maker", outputs=[data])
    add_runs(repo, early, late)
    site = site_of()
    assert labels(neighbours.of_run(site, run_named(site, "user")), "run") == ["user"]
    assert labels(neighbours.of_run(site, run_named(site, "maker")), "run") == ["maker"]


# --- md5, and the look-up in a browser ----------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def lookup(taxi: Path, tmp_path: Path, browser: Any) -> Iterator[Any]:
    """The look-up of a site, opened from a folder."""
    out = tmp_path / "out"
    make(out)
    with visit(browser) as seen:
        seen.page.goto((out / "lookup.html").as_uri())
        yield seen
    assert seen.complaints == []
    assert {url.partition(":")[0] for url in seen.requests} == {"file"}


def ask(seen: Any, text: str) -> str:
    seen.page.get_by_role("searchbox").fill(text)
    seen.page.get_by_role("button", name="Look up").click()
    return said(seen)


def said(seen: Any) -> str:
    seen.page.locator(".answer").first.wait_for()
    return " ".join(seen.page.locator(".answers").inner_text().split())


def test_md5_is_that_of_hashlib(browser: Any) -> None:
    """All sizes around the blocks' ends, in pieces of any size, aligned or not."""
    dice = random.Random(5)
    sizes = [*range(0, 200), *(64 * n + d for n in (16, 64, 1000) for d in (-9, -8, -1, 0, 1, 8))]
    cases = []
    for size in sizes:
        cuts, left = [], size
        while left:
            cuts.append(min(left, dice.choice([1, 3, 55, 56, 63, 64, 65, 128, 5000])))
            left -= cuts[-1]
        cases.append([size, cuts])

    def byte(place: int) -> int:
        return (place * 167 + (place >> 8) * 13) & 255

    with visit(browser) as seen:
        seen.page.evaluate("window.mlgit = {}")
        seen.page.add_script_tag(path=ROOT / "site" / "md5.js")
        found = seen.page.evaluate(
            """(cases) => cases.map(([size, cuts]) => {
                const bytes = new Uint8Array(size + 3).subarray(size % 4 ? 1 : 0);
                for (let n = 0; n < size; n++) bytes[n] = (n * 167 + (n >> 8) * 13) & 255;
                const digest = new mlgit.Md5();
                let at = 0;
                for (const cut of cuts) { digest.update(bytes.subarray(at, at + cut)); at += cut; }
                return digest.hex();
            })""",
            cases,
        )
    assert found == [md5(bytes(map(byte, range(size)))) for size in sizes]


def test_md5_of_more_bits_than_a_word_counts(browser: Any) -> None:
    """From 512 MiB on the length in bits is more than 32 bits hold."""
    piece, count = bytes(4 * 1024 * 1024), 129
    expected = hashlib.md5(usedforsecurity=False)
    for _ in range(count):
        expected.update(piece)
    expected.update(b"abc")
    with visit(browser) as seen:
        seen.page.evaluate("window.mlgit = {}")
        seen.page.add_script_tag(path=ROOT / "site" / "md5.js")
        found = seen.page.evaluate(
            """(count) => {
                const digest = new mlgit.Md5(), piece = new Uint8Array(4 * 1024 * 1024);
                for (let n = 0; n < count; n++) digest.update(piece);
                return digest.update(new Uint8Array([97, 98, 99])).hex();
            }""",
            count,
        )
    assert found == expected.hexdigest()


def test_a_hash_is_looked_up(lookup: Any, taxi: Path) -> None:
    site = site_of()
    trips = by_label(site, "trips")[0]
    answer = ask(lookup, trips)
    assert "This is a dataset of" in answer and "read by the run prepare" in answer
    assert "1 registered version came of it: fares v2 production" in answer
    assert lookup.page.url.endswith(f"#q={trips}")
    assert "This is a dataset" in ask(lookup, f"  {trips[:6].upper()} ")
    run = site.table.ids[run_named(site, "linear")]
    answer = ask(lookup, run)
    assert "This is a run of taxi, finished" in answer and "fares v1" in answer
    commit = git("rev-parse", "HEAD").strip()
    answer = ask(lookup, commit[:12])
    assert "a commit of the code" in answer and "4 runs" in answer
    version = site.models[0].versions[0].commit
    assert "the commit of a registered version" in ask(lookup, version)


def test_what_is_not_known_is_said(lookup: Any) -> None:
    assert "Nothing that is recorded here begins with 0123456789abcdef" in ask(
        lookup, "0123456789abcdef"
    )
    assert "Write at least 6 characters" in ask(lookup, "abc")
    answer = ask(lookup, "<img src=x onerror=alert(1)>")
    assert "<img" in answer or "Write" in answer


def test_the_address_holds_the_question(lookup: Any, taxi: Path) -> None:
    trips = by_label(site_of(), "trips")[0]
    base = lookup.page.url.split("#")[0]
    lookup.page.goto("about:blank")
    lookup.page.goto(f"{base}#q={trips[:8]}")
    assert "This is a dataset" in said(lookup)
    assert lookup.page.get_by_role("searchbox").input_value() == trips[:8]
    lookup.page.locator("a.skip").press("Enter")  # to a place of the page, which is no question
    assert lookup.page.url.endswith(f"#q={trips[:8]}") and "a dataset" in said(lookup)
    # The way back to where nothing was asked leads there.
    lookup.page.goto("about:blank")
    lookup.page.goto(base)
    lookup.page.evaluate(f"location.hash = 'q={trips}'")
    assert "This is a dataset" in said(lookup)
    lookup.page.go_back()
    lookup.page.locator(".answers:empty").wait_for(state="attached")
    assert lookup.page.get_by_role("searchbox").input_value() == ""


def test_a_file_is_hashed_and_found(lookup: Any, taxi: Path, tmp_path: Path) -> None:
    chooser = lookup.page.get_by_label("Files")
    chooser.set_input_files(taxi / "clean.csv")
    answer = said(lookup)
    assert "clean.csv" in answer
    assert "made by the run prepare, and read by the run boosted" in answer
    inner = tmp_path / "renamed.txt"
    inner.write_text("zone a\n")
    chooser.set_input_files(inner)
    lookup.page.get_by_text("It is the file").wait_for()
    answer = said(lookup)
    assert "It is the file a.csv of this folder: data/zones" in answer and "in 3 files" in answer
    inner.write_bytes(b"of nobody")
    chooser.set_input_files(inner)
    lookup.page.get_by_text("Nothing that is recorded").wait_for()
    assert md5(b"of nobody") in said(lookup)


def test_a_file_is_dropped(lookup: Any, taxi: Path) -> None:
    lookup.page.evaluate(
        """(text) => {
            const data = new DataTransfer();
            data.items.add(new File([text], "dropped.csv"));
            const options = {dataTransfer: data, bubbles: true, cancelable: true};
            document.body.dispatchEvent(new DragEvent("drop", options));
        }""",
        (taxi / "clean.csv").read_text(),
    )
    assert "dropped.csv" in (answer := said(lookup)) and "This is a dataset" in answer


# Names that JavaScript puts in another order, that JSON spells out, and in both of Unicode's forms.
ODD_NAMES = [
    "\uff5e",
    "\U0001f600",
    "a\u0301",
    "\u00e1",
    'q"\\',
    "tab\t",
    "del\x7f",
    "b/c/d",
    "b.c",
]


def folder_of(place: Path, names: Iterable[str]) -> Path:
    """Makes a folder of files that say their own names."""
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(name, "utf-8")
    return place


@pytest.fixture
def served_lookup(taxi: Path, tmp_path: Path, browser: Any) -> Iterator[Visit]:
    """The look-up of a site that is served, where Chromium lets a page read a dropped folder."""
    make(tmp_path / "out")
    with serving(tmp_path / "out") as address, visit(browser) as seen:
        seen.page.goto(f"{address}/lookup.html")
        yield seen
    assert seen.complaints == []
    assert all(url.startswith(f"{address}/") for url in seen.requests)


def drop(seen: Any, *paths: Path) -> None:
    """Drops files and folders on the page, as a person does from a file manager."""
    session = seen.page.context.new_cdp_session(seen.page)
    files = list(map(str, paths))
    data = {"items": [], "files": files, "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})
    session.detach()


def give(seen: Any, folder: Path, way: str) -> None:
    if way == "drop":
        drop(seen, folder)
    else:
        seen.page.get_by_label("A folder").set_input_files(folder)


@pytest.mark.parametrize("way", ["drop", "choose"])
def test_a_folder_has_the_hash_that_python_gives_it(
    served_lookup: Visit, tmp_path: Path, way: str
) -> None:
    folder = folder_of(tmp_path / "fold er", [*ODD_NAMES, *(f"many/{n}.txt" for n in range(230))])
    # What DVC passes over: repositories, its own and others within, and empty folders.
    folder_of(folder, [".dvc/config", "x/.git/config", "sub/.dvc/config", "sub/inside", "y/.git"])
    (folder / "empty").mkdir()
    expected = measure(folder, State())
    assert expected.files == len(ODD_NAMES) + 230
    give(served_lookup, folder, way)
    answer = said(served_lookup)
    assert expected.md5 in answer and "fold er" in answer
    assert "Nothing that is recorded here begins with" in answer
    assert "None of its 239 files is known." in answer
    assert served_lookup.page.url.endswith(f"#q={expected.md5}")


def test_a_folder_is_told_as_a_dataset_and_by_its_files(
    lookup: Any, taxi: Path, tmp_path: Path
) -> None:
    give(lookup, taxi / "data" / "zones", "choose")
    answer = said(lookup)
    assert "This is a dataset" in answer and "in 3 files" in answer
    assert "Each of its 3 files is known. 3 are in the folder data/zones" in answer
    other = tmp_path / "mine"
    shutil.copytree(taxi / "data" / "zones", other)
    (other / "a.csv").write_text("changed")
    shutil.copy(taxi / "clean.csv", other / "copy.csv")
    give(lookup, other, "choose")
    lookup.page.get_by_text("Of its 4 files").wait_for()
    answer = said(lookup)
    assert "Of its 4 files 3 are known. 2 are in the folder data/zones" in answer
    assert "copy.csv is a dataset, " in answer and "Not known: a.csv" in answer


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "b/.dvcignore"], "b/.dvcignore lies in it, and DVC takes no folder with an ignore"),
        ([".dvc/x"], "There is no file in it that counts"),
        ([str(n) for n in range(31)], "It has more than 30 files, which is too much for a page"),
    ],
)
def test_a_folder_that_cannot_be_hashed_says_why(
    taxi: Path, tmp_path: Path, browser: Any, names: list[str], words: str
) -> None:
    out = tmp_path / "out"
    make(out)
    script = out / "assets" / "folders.js"
    script.write_text(script.read_text().replace("MOST = 50_000", "MOST = 30"))
    folder = folder_of(tmp_path / "folder", names)
    with serving(out) as address, visit(browser) as seen:
        seen.page.goto(f"{address}/lookup.html")
        for way in ("drop", "choose"):
            give(seen, folder, way)
            note = seen.page.locator(".hashing p", has_text=words)
            note.wait_for()
            assert note.inner_text().startswith("folder: ")
            seen.page.reload()
        drop(seen, *([taxi / "clean.csv"] * 21))
        seen.page.get_by_text("These are 21 files; at most 20 are taken at once").wait_for()
    assert seen.complaints == []


def test_a_large_folder_does_not_freeze_the_page(served_lookup: Visit, tmp_path: Path) -> None:
    page = served_lookup.page
    folder = folder_of(tmp_path / "large", [f"{n % 20}/{n}" for n in range(2000)])
    (folder / "big").write_bytes(bytes(40_000_000))
    page.evaluate("""() => {
        window.longest = 0;
        let last = performance.now();
        setInterval(() => {
            longest = Math.max(longest, performance.now() - last);
            last = performance.now();
        }, 10);
    }""")
    give(served_lookup, folder, "drop")
    page.locator(".hashing p", has_text=", file ").wait_for()
    assert "of 2,001: " in page.locator(".hashing p").inner_text()
    assert "None of its 2,001 files is known." in said(served_lookup)
    assert page.evaluate("longest") < 1000  # ms; all of it takes several times as long


def test_a_folder_dropped_on_a_page_of_a_folder(lookup: Any, tmp_path: Path) -> None:
    """Chromium does not let such a page read it, and the page says what else to do."""
    drop(lookup, folder_of(tmp_path / "folder", ["a"]))
    lookup.page.get_by_text(
        "does not let this page read a folder that is dropped; choose"
    ).wait_for()


def test_the_look_up_by_keyboard(lookup: Any, taxi: Path) -> None:
    trips = by_label(site_of(), "trips")[0]
    lookup.page.get_by_role("searchbox").focus()
    lookup.page.keyboard.type(trips[:10])
    lookup.page.keyboard.press("Enter")
    said(lookup)
    for _ in range(4):  # the button, both choosers, the first link of the answer
        lookup.page.keyboard.press("Tab")
    lookup.page.keyboard.press("Enter")
    lookup.page.wait_for_url(f"**/{urls.dataset(trips)}")


def test_the_look_up_without_javascript(taxi: Path, tmp_path: Path, browser: Any) -> None:
    out = tmp_path / "out"
    make(out)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((out / "lookup.html").as_uri())
    assert page.get_by_text("mlgit lineage FILE").is_visible()
    assert page.locator("form").is_hidden()
    page.goto((out / urls.dataset(by_label(site_of(), "trips")[0])).as_uri())
    assert page.locator("svg .run").count() == 2
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_of_data_look_right(taxi: Path, tmp_path: Path, browser: Any, theme: str) -> None:
    out = tmp_path / "out"
    make(out)
    site = site_of()
    seen_pages = {
        "data": "data.html",
        "lookup": f"lookup.html#q={by_label(site, 'clean.csv')[0]}",
        "trips": urls.dataset(by_label(site, "trips")[0]),
        "zones": urls.dataset(by_label(site, "data/zones")[0]),
        "clean": urls.dataset(by_label(site, "clean.csv")[0]),
        "run": urls.run(site.table.ids[run_named(site, "boosted")]),
        "version": urls.version("fares", "v2"),
    }
    for width in (1280, 390):
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=theme, bypass_csp=True)
        page = context.new_page()
        for name, url in seen_pages.items():
            page.goto(f"{out.as_uri()}/{url}")
            if "#" in url:
                page.locator(".answer").first.wait_for()
            overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert overflow <= 0, f"{url} is wider than {width}"
            if SHOTS:
                path = Path(SHOTS) / f"{name}-{width}-{theme}.png"
                page.screenshot(path=path, full_page=True)
            page.add_script_tag(path=AXE)
            faults = page.evaluate("axe.run()")["violations"]
            told = [(url, each["id"], each["nodes"][0]["html"][:200]) for each in faults]
            assert told == []
        context.close()


def test_a_run_on_a_phone_begins_with_what_it_was_about(
    taxi: Path, tmp_path: Path, browser: Any
) -> None:
    out = tmp_path / "out"
    make(out)
    site = site_of()
    url = urls.run(site.table.ids[run_named(site, "boosted")])
    for width in (390, 1280):
        with visit(browser, width) as shown:
            shown.open(f"{out.as_uri()}/{url}")
            metrics, params, artifacts = (
                shown.page.locator(f"#{name}").bounding_box()
                for name in ("metrics", "params", "artifacts")
            )
            assert metrics and params and artifacts
            assert metrics["y"] - 9 < params["y"] < artifacts["y"]
            assert (params["x"] > metrics["x"]) == (width == 1280)
            # The picture is wider than the phone: the run itself is to be seen, not where it began.
            picture, focus = (
                shown.page.locator(selector).bounding_box()
                for selector in (".lineage", ".lineage .focus")
            )
            assert picture and focus
            assert picture["x"] < focus["x"]
            assert focus["x"] + focus["width"] < picture["x"] + picture["width"]


def test_lists_on_a_phone_need_no_scrolling_sideways(
    taxi: Path, tmp_path: Path, browser: Any
) -> None:
    type_("rm", "guess")
    out = tmp_path / "out"
    make(out)
    site = site_of()
    ids = [run_id for run_id, gone in zip(site.table.ids, site.deleted, strict=True) if not gone]
    every = {
        "index.html", "data.html", "deleted.html", "models/fares.html", "models/fares/v2.html",
        f"compare.html#runs={','.join(ids)}",
        *(urls.dataset(key) for name in ("trips", "clean.csv") for key in by_label(site, name)),
        *(url for url in pages(out) if url.startswith("code/") and "-" not in url),
    }  # fmt: skip
    assert len(ids) == 4
    with visit(browser, 390) as shown:
        for url in sorted(every):
            shown.open(f"{out.as_uri()}/{url}")
            if "#" in url:
                shown.page.locator("table.compare").wait_for()
            wide = shown.page.evaluate(
                "[...document.querySelectorAll('.scroll:has(> table)')]"
                ".filter((each) => each.scrollWidth > each.clientWidth)"
                ".map((each) => each.ariaLabel)"
            )
            assert wide == [], url


def test_the_runs_of_a_page_are_all_in_its_csv(taxi: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    with Ledger() as ledger:
        every = saved.select(ledger)
    clean = by_label(site_of(), "clean.csv")
    lines = [
        line
        for key in clean
        for line in (out / urls.dataset_runs(key)).read_text("utf-8").splitlines()[1:]
    ]
    expected = [run.id for run in every if run.name in ("prepare", "linear", "boosted")]
    assert sorted(line[:26] for line in lines) == sorted(expected)
