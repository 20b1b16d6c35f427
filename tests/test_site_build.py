"""The site as files: what is made, made again, taken over, refused, and left whole."""

from __future__ import annotations

import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from browser import pages
from click.testing import CliRunner
from conftest import add_runs, git, make_run
from showcase import md5, metric, summaries
from test_hostile import plant

from mlgit import get_run, names, saved
from mlgit.cli import cli
from mlgit.data import put
from mlgit.data.hashing import manifest_md5
from mlgit.data.store import object_path
from mlgit.errors import Invalid, WriteFailed, WrongState
from mlgit.ledger import Ledger, open_repository
from mlgit.records import Pointer, Run
from mlgit.site import tables, urls, write
from mlgit.site.build import build
from mlgit.site.write import MANIFEST, Unit, Written

ROOT = Path(__file__).parent.parent


def make(out: Path, repository: Path | str = ".") -> Written:
    with Ledger(repository) as ledger:
        return build(ledger, out)


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src", "data-src") and value:
                self.targets.append(value)
            if name == "id" and value:
                assert value not in self.ids, f"the id {value} stands twice"
                self.ids.add(value)
            assert name != "style" and not name.startswith("on"), (tag, name)


def links(page: Path) -> Links:
    parser = Links()
    parser.feed(page.read_text("utf-8"))
    return parser


def check_links(site: Path) -> int:
    """Sees that every link of every page leads to a file of the site, and a place in it."""
    count = 0
    for url in pages(site):
        for target in links(site / url).targets:
            if target.startswith(("data:image/", "https:", "http:", "mailto:")):
                continue
            path, anchor = urldefrag(target)
            path = unquote(path.partition("?")[0])
            place = (site / url).parent / path if path else site / url
            assert place.resolve().is_relative_to(site.resolve()), target
            assert place.is_file(), f"{url} links to {target}"
            is_place = anchor and "=" not in anchor  # else it is what a person set on the page
            assert not is_place or anchor in links(place).ids, f"{url} links to {target}"
            count += 1
    return count


def test_every_record_has_a_page_and_every_link_resolves(showcase: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = make(out)
    assert written.made == written.units and written.files == len(content(out)) - 1  # .gitignore
    with Ledger() as ledger:
        every = [*saved.select(ledger), *saved.select(ledger, deleted=True)]
    assert {f"runs/{run.id}.html" for run in every} <= {*pages(out)}
    assert len(every) == 8
    assert check_links(out) > 150


def test_what_the_pages_say(showcase: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    home = (out / "index.html").read_text("utf-8")
    assert "7 runs in 3 experiments" in home and "nyc-taxi" in home
    # Renamed, it keeps its address.
    experiment = (out / "experiments" / "taxi.html").read_text("utf-8")
    assert "How long will a green taxi take?" in experiment and "Deleted" in experiment
    assert 'title="7.758715206809494">7.759<' in experiment
    with Ledger() as ledger:
        ids = {run.name: run.id for run in saved.select(ledger)}
    baseline = (out / "runs" / f"{ids['baseline']}.html").read_text("utf-8")
    assert "<strong>baseline</strong>" in baseline and "<li>kept simple</li>" in baseline
    trial = (out / "runs" / f"{ids['trial 1']}.html").read_text("utf-8")
    assert '<tr class="add"><td></td><td>1</td><td><code>LR = 0.01</code>' in trial
    assert "seems to hold a secret" in trial and "grid search" in trial
    gone = (out / "deleted.html").read_text("utf-8")
    assert "wrong data" in gone
    diverged = (out / "runs" / f"{ids['diverged']}.html").read_text("utf-8")
    assert ">nan<" in diverged


def test_the_best_has_finished(repo: Path, tmp_path: Path) -> None:
    def ran(experiment: str, name: str, loss: float, status: str = "finished") -> Run:
        metrics = summaries({"loss": metric(loss)})
        params = {"trees": 28} if status == "finished" else {}
        return make_run(
            experiment=experiment, name=name, metrics=metrics, status=status, params=params
        )

    runs = [
        ran("taxi", "crashed", 0.1, "failed"),
        ran("taxi", "stopped", 0.2, "interrupted"),
        ran("taxi", "diverged", -math.inf),
        ran("taxi", "better", 0.5),
        ran("taxi", "good", 0.75),
        ran("churn", "night", 0.1, "failed"),
    ]
    ids = dict(zip((run.name for run in runs), add_runs(repo, *runs), strict=True))
    make(tmp_path / "out")
    home = (tmp_path / "out/index.html").read_text("utf-8")
    cards = home.partition('id="experiments"')[2].partition("</section>")[0]
    assert re.findall('class="run" href="runs/(.*).html"', cards) == [ids["better"]]
    assert "no run has finished with a finite <bdi>loss</bdi>" in cards
    taxi = (tmp_path / "out/experiments/taxi.html").read_text("utf-8")
    leaders = taxi.partition('id="best"')[2].partition("</section>")[0]
    assert re.findall('class="run".*?<bdi>(.*?)</bdi>', leaders) == ["better", "good"]
    assert "trees" not in leaders  # which tells none of them from the others
    churn = (tmp_path / "out/experiments/churn.html").read_text("utf-8")
    assert "No run has finished with a finite <bdi>loss</bdi>, so none is the best." in churn


def test_two_clones_make_the_same_bytes(showcase: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    make(ours)
    clone = tmp_path / "a clone with another name"
    git("clone", "--quiet", showcase, clone)
    theirs = tmp_path / "theirs"
    make(theirs, clone)
    one, other = content(ours), content(theirs)
    assert one.keys() == other.keys()
    assert {url for url in one if one[url] != other[url]} == set()


def test_what_experiments_are_ranked_by_is_the_same_everywhere(repo: Path, tmp_path: Path) -> None:
    """One clone indexes runs one by one as they come, the other all of them at once."""
    out, theirs = tmp_path / "out", tmp_path / "theirs"
    for number, keys in enumerate((["rmse", "mae"], ["rmse", "mae"], ["rmse"], ["loss", "mae"])):
        history = {key: metric(6.5 - number) for key in keys}
        status = "interrupted" if number == 3 else "finished"
        run = make_run(metrics=summaries(history), status=status, params={f"p{9 - number}": 1})
        saved.save(open_repository(repo), run, history)
        make(out)
    assert "by <bdi>rmse</bdi>" in (out / "experiments" / "exp.html").read_text()
    git("clone", "--quiet", repo, tmp_path / "clone")
    make(theirs, tmp_path / "clone")
    assert content(theirs) == content(out)


def test_only_what_changed_is_made_again(showcase: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = make(out)
    before = content(out)
    again = make(out)
    assert again.made == 0 and again.files == first.files and again.bytes == first.bytes
    assert content(out) == before
    with Ledger() as ledger:
        run = saved.find(ledger, "boosted")
    saved.annotate(open_repository(), [run.id], "note", {"text": "Only this one."})
    later = make(out)
    changed = {url for url, data in content(out).items() if before.get(url) != data}
    assert f"runs/{run.id}.html" in changed
    assert {url for url in changed if url.startswith("runs/")} == {f"runs/{run.id}.html"}
    assert later.made == 5  # home, its experiment, all runs, about, itself
    # What was taken over is what a build from nothing makes.
    fresh = tmp_path / "fresh"
    make(fresh)
    assert content(fresh) == content(out)


def test_a_file_that_went_missing_is_made_again(showcase: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    before = content(out)
    (out / "index.html").unlink()
    (out / "assets" / "site.css").unlink()
    assert make(out).made == 2
    assert content(out) == before


def test_a_folder_of_something_else_is_refused(showcase: Path, tmp_path: Path) -> None:
    out = tmp_path / "precious"
    out.mkdir()
    (out / "thesis.txt").write_text("ten years")
    with pytest.raises(Invalid, match="was not made by mlgit"):
        make(out)
    assert content(out) == {"thesis.txt": b"ten years"}
    done = CliRunner().invoke(cli, ["site", "build", "--out", str(out)])
    assert done.exit_code == 1 and "Hint: name another folder" in done.output
    (out / "thesis.txt").unlink()
    assert make(out).files > 10  # an empty folder is fine
    with pytest.raises(Invalid, match="was not made by mlgit"):
        make(Path("/"))


def test_a_checkout_of_a_site_is_refused(showcase: Path, tmp_path: Path) -> None:
    out = tmp_path / "pages"
    make(out)
    git("init", "--quiet", out)
    with pytest.raises(Invalid, match="pages is a git checkout"):
        make(out)
    assert (out / ".git" / "HEAD").is_file()


def test_without_a_site_none_is_said_to_be_as_it_was(showcase: Path) -> None:
    with pytest.raises(WriteFailed, match="cannot be written") as caught:
        make(Path("/proc/site"))
    assert caught.value.hint is None


def test_a_damaged_manifest_makes_everything_again(showcase: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    before = content(out)
    (out / MANIFEST).write_text("{")
    assert make(out).made > 10
    assert content(out) == before


def test_an_unreadable_unit_leaves_the_old_site(showcase: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    before = content(out)

    def fails() -> list[tuple[str, bytes]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write.build(out, [Unit("a", "1", lambda: [("a.html", b"a")]), Unit("b", "1", fails)], "x")
    assert content(out) == before
    assert [path.name for path in tmp_path.glob(".out*")] == []


def test_two_builds_at_once(
    showcase: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def meanwhile() -> list[tuple[str, bytes]]:
        with pytest.raises(WrongState, match="another build"):
            make(out)
        # Were it killed now, what stays would be nothing to commit.
        assert (tmp_path / ".out.mlgit-new" / ".gitignore").read_text() == "*\n"
        return [("b.html", b"b")]

    units = [Unit("a", "1", lambda: [("a.html", b"a")]), Unit("b", "1", meanwhile)]
    write.build(out, units, "x")
    assert content(out).keys() == {"a.html", "b.html", MANIFEST, ".gitignore", ".nojekyll"}

    def remove(path: Path, ignore_errors: bool = False) -> None:
        with pytest.raises(WrongState, match="another build"):
            make(out)
        removed.append(path.name)
        rmtree(path, ignore_errors)

    removed: list[str] = []
    rmtree = shutil.rmtree
    monkeypatch.setattr("shutil.rmtree", remove)
    write.build(out, [Unit("c", "1", lambda: [("c.html", b"c")])], "x")
    assert "c.html" in content(out) and removed == [".out.mlgit-new"]


@pytest.mark.parametrize("exchange", [True, False])
def test_swapping_without_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(write, "_exchange", lambda one, other: False)
    out = tmp_path / "out"
    for text in (b"1", b"2"):
        write.build(out, [Unit("a", text.decode(), lambda text=text: [("a.html", text)])], "x")
        assert (out / "a.html").read_bytes() == text
    # Killed between two renames: the next build finds the old site put aside.
    out.rename(tmp_path / ".out.mlgit-old")
    write.build(out, [Unit("a", "2", lambda: [("a.html", b"never made")])], "x")
    assert (out / "a.html").read_bytes() == b"2"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_build_that_is_killed_leaves_the_old_site(repo: Path, tmp_path: Path) -> None:
    history = {"loss": metric(*(1 / (step + 1) for step in range(200)))}
    for number in range(12):
        run = make_run(1_767_225_600_000 + number, name=f"n{number}", metrics=summaries(history))
        saved.save(open_repository(), run, history)
    out = tmp_path / "out"
    make(out)
    for wait in (0.05, 0.3, 0.45, 0.6, 0.8):
        before = content(out)
        add_runs(repo, make_run())
        process = subprocess.Popen(
            [sys.executable, "-m", "mlgit", "site", "build", "--out", str(out)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        after = content(out)
        # The old one to the byte, or the new one with every link leading somewhere.
        assert after == before or check_links(out)
    make(out)
    fresh = tmp_path / "fresh"
    make(fresh)
    assert content(fresh) == content(out)


@pytest.mark.parametrize("runs", [1, 200])
def test_a_full_disk_leaves_the_old_site(showcase: Path, tmp_path: Path, runs: int) -> None:
    out = tmp_path / "out"
    make(out)
    before = content(out)
    add_runs(showcase, *(make_run(note="x" * 9000) for _ in range(runs)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, limits[1]))
    try:
        with pytest.raises(WriteFailed, match="the site cannot be written") as caught:
            make(out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.hint == "the site that was there is as it was"
    assert content(out) == before
    assert [path.name for path in tmp_path.glob(".out*")] == []
    make(out)
    fresh = tmp_path / "fresh"
    make(fresh)
    assert content(fresh) == content(out)


def test_a_damaged_branch_gives_a_site_that_says_so(showcase: Path, tmp_path: Path) -> None:
    with Ledger() as ledger:
        good = {run.id: run.name for run in saved.select(ledger)}
    begin = 1_767_225_600_000
    bad = [names.new_id(begin + number) for number in range(4)]
    boosted = next(run_id for run_id, name in good.items() if name == "boosted")
    garbage = [b"{", b'{"format": 1}', b"\x00\xff" * 500, b"[]"]
    planted = {
        names.run_file(run_id, names.RUN_FILE): data
        for run_id, data in zip(bad, garbage, strict=True)
    }
    plant({**planted, names.run_file(boosted, names.METRICS_FILE): b"no metrics"})
    out = tmp_path / "out"
    make(out)
    found = {*pages(out)}
    assert {f"runs/{run_id}.html" for run_id in good} <= found
    assert not {f"runs/{run_id}.html" for run_id in bad} & found
    about = (out / "about.html").read_text("utf-8")
    told = about.partition("What could not be read")[2]
    assert all(names.run_file(run_id, names.RUN_FILE) in told for run_id in bad)
    page = (out / "runs" / f"{boosted}.html").read_text("utf-8")
    assert "metrics.json" in page and "banner" in page
    assert check_links(out) > 150


def test_artifacts_are_shown_by_what_they_are(repo: Path, tmp_path: Path) -> None:
    import mlgit

    png = bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
    )
    with mlgit.start_run("exp", "shows") as run:
        mlgit.log_text("hello\n", "a.txt")
        mlgit.log_dict({"b": [1, 2]}, "b.json")
        mlgit.log_image(png, "c.png")
        mlgit.log_text("<svg onload='alert(1)'></svg>", "d.svg")
        mlgit.log_text("<script>alert(1)</script>", "e.html")
        mlgit.log_text("x,y\n1,2\n3,4\n", "f.csv")
    out = tmp_path / "out"
    make(out)
    page = (out / "runs" / f"{run.id}.html").read_text("utf-8")
    assert ">hello<" in page and '<th scope="col"><bdi>x</bdi></th>' in page
    assert "data:image/svg+xml;base64," in page and "<svg onload" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "<script>alert" not in page
    suffixes = {path.suffix for path in (out / "files").iterdir()}
    assert suffixes == {".txt", ".json", ".png"}


def test_a_folder_is_shown_as_a_list_of_its_files(repo: Path, tmp_path: Path) -> None:
    import mlgit

    (repo / "model").mkdir()
    for number in range(203):
        (repo / "model" / f"<b> {number:03}.bin").write_bytes(b"x" * 1500)
    with mlgit.start_run("exp", "folder", capture=()) as run:
        run.log_artifact("model")
    make(tmp_path / "one")
    page = (tmp_path / "one" / "runs" / f"{run.id}.html").read_text("utf-8")
    assert "&lt;b&gt; 000.bin" in page and "&lt;b&gt; 199.bin" in page and "200.bin" not in page
    assert "the first 200 of 203 files" in page and "1.5 kB" in page and "relpath" not in page
    assert not (tmp_path / "one" / "files").exists()
    # Where only the list is here, the sizes are not known; without it there is a command.
    store = open_repository().data_store
    object_path(store, md5(b"x" * 1500)).unlink()
    make(tmp_path / "two")
    page = (tmp_path / "two" / "runs" / f"{run.id}.html").read_text("utf-8")
    assert "&lt;b&gt; 000.bin" in page and "1.5 kB" not in page
    [folder] = get_run(run.id).record.artifacts
    object_path(store, folder.md5).unlink()
    make(tmp_path / "three")
    page = (tmp_path / "three" / "runs" / f"{run.id}.html").read_text("utf-8")
    assert "000.bin" not in page and f"mlgit artifacts get {run.id[:10]} model" in page


@pytest.mark.parametrize(
    "listing",
    [
        b"[",
        b'[{"relpath": "../up", "md5": "0cc175b9c0f1b6a831c399e269772661"}]',
        b'[{"relpath": "a", "md5": "../../x"}]',
        b"[" * 100_000,
        b'[{"relpath": "a", "md5": "0cc175b9c0f1b6a831c399e269772661"}]' + b" " * 5_000_000,
    ],
    ids=["cut", "up", "no hash", "deep", "long"],
)
def test_a_folder_whose_list_is_not_one_has_a_page(
    repo: Path, tmp_path: Path, listing: bytes
) -> None:
    key = manifest_md5(listing)
    place = object_path(open_repository().data_store, key)
    place.parent.mkdir(parents=True)
    place.write_bytes(listing)
    pointer = Pointer(path="model", md5=key, size=9, files=1, stored="dvc")
    (run_id,) = add_runs(repo, make_run(outputs=[pointer]))
    make(tmp_path / "out")
    page = (tmp_path / "out" / "runs" / f"{run_id}.html").read_text("utf-8")
    assert f"mlgit artifacts get {run_id[:10]} model" in page and 'class="list files"' not in page


def test_runs_of_one_day_are_counted_in_words(repo: Path, tmp_path: Path) -> None:
    days = ["2026-11-20T08:00:00.000000Z", "2026-11-20T09:00:00.000000Z"]
    add_runs(repo, make_run(started=days[0]), make_run(started=days[1], status="failed"))
    make(tmp_path / "out")
    home = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "2 runs in 1 experiment, all on one day, 1 of them failed; the last" in home
    assert "Runs a day" not in home
    add_runs(repo, make_run(started="2026-11-23T08:00:00.000000Z"))
    make(tmp_path / "out")
    home = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert "3 runs in 1 experiment, the last" in home and "Runs a day" in home
    assert "<span>2 at most</span>" in home


def test_a_missing_artifact_says_how_to_fetch_it(repo: Path, tmp_path: Path) -> None:
    pointer = Pointer(path="model.txt", md5=md5(b"0 weights"), size=9, kind="model", stored="dvc")
    (run_id,) = add_runs(repo, make_run(outputs=[pointer]))
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    make(out)
    page = (out / "runs" / f"{run_id}.html").read_text("utf-8")
    assert f"mlgit artifacts get {run_id[:10]} model.txt" in page
    put(open_repository().data_store, b"0 weights")  # as a pull does
    assert make(out).made == 1
    assert "0 weights" in (out / "runs" / f"{run_id}.html").read_text("utf-8")
    make(fresh)
    assert content(fresh) == content(out)


def test_pages_are_small(repo: Path, tmp_path: Path) -> None:
    history = {
        f"metric {number}": metric(*(1 / (step + number + 1) for step in range(1000)))
        for number in range(10)
    }
    run = make_run(metrics=summaries(history), params={f"p{n}": n / 3 for n in range(40)})
    saved.save(open_repository(), run, history, {"packages": {f"p{n}": "1.0" for n in range(200)}})
    out = tmp_path / "out"
    make(out)
    assert (out / "runs" / f"{run.id}.html").stat().st_size < 60_000


def test_an_empty_ledger_and_one_without_a_branch(repo: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["site", "build"])
    assert done.exit_code == 1 and "no runs in this repository yet" in done.output
    assert not (repo / "_site").exists()
    assert CliRunner().invoke(cli, ["init"]).exit_code == 0
    done = CliRunner().invoke(cli, ["site", "build", "--json"])
    assert done.exit_code == 0 and '"mlgit.site.build/v1"' in done.output
    assert "No runs yet" in (repo / "_site" / "index.html").read_text("utf-8")
    assert git("status", "--porcelain", cwd=repo) == ""  # it is nothing to commit


def test_an_installed_wheel_makes_the_same_site(showcase: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("mlgit", "site", "templates"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path],
        cwd=source,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    shutil.unpack_archive(wheel, installed, "zip")
    shutil.rmtree(source)
    out = tmp_path / "out"
    program = f"import sys; sys.path[:0] = [{str(installed)!r}]; from mlgit.cli import main; main()"
    subprocess.run(
        [sys.executable, "-c", program, "site", "build", "--out", out],
        check=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ours = tmp_path / "ours"
    make(ours)
    assert content(out) == content(ours)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (float("nan"), ["n"]),
        (float("-inf"), ["-"]),
        (2**70, ["i", str(2**70)]),
        ({"b": 1, "a": [1.0]}, ["j", '{"a":[1.0],"b":1}']),
        (True, True),
        ("text", "text"),
    ],
)
def test_cells_that_json_has_no_word_for(value: object, cell: object) -> None:
    assert tables.encode(value) == cell


def test_names_become_addresses(repo: Path, tmp_path: Path) -> None:
    titles = ["Churn", "churn", "a/b", "..", "con", "größe 🚕", "x" * 200, "a~b", "%2e%2e"]
    add_runs(repo, *(make_run(experiment=names.experiment_name(title)) for title in titles))
    out = tmp_path / "out"
    make(out)
    found = [path.name for path in (out / "experiments").iterdir()]
    assert len({name.lower() for name in found}) == len(titles)
    assert all(re.fullmatch(r"[a-z0-9~.-]+\.html", name) for name in found), found
    assert check_links(out) > 50


def test_runs_at_both_ends_of_time(repo: Path, tmp_path: Path) -> None:
    first, last = "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"
    add_runs(repo, make_run(started=first, ended=last), make_run(started=last, ended=first))
    out = tmp_path / "out"
    with Ledger() as ledger:
        build(ledger, out)
    assert "0001-01-01" in (out / urls.HOME).read_text("utf-8")
