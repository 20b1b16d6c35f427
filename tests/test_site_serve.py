"""The served site: a real server and a real browser, live runs, and requests from elsewhere."""

from __future__ import annotations

import http.client
import json
import math
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urlsplit

import pytest
from browser import chromium, pages, visit
from conftest import add_runs, git, make_run, users_own
from peers import free_port
from showcase import metric, summaries
from terminal import CTRL_C, on_terminal
from test_site_browser import ATTACKS, AXE, SHOTS, TARGETS, WHOLE

import mlgit
from mlgit.ledger import open_repository
from mlgit.site import tables
from mlgit.site.live import METRICS, POINTS, told


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


class Served:
    """A server of the site, and what it said on stderr."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        assert process.stdout is not None
        self.url = process.stdout.readline().strip()
        self.log = log
        assert self.url.startswith("http://127.0.0.1:"), log.read_text()
        self.port = urlsplit(self.url).port or 0

    def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        return reply.status, dict(reply.getheaders()), content

    def live(self) -> dict[str, Any]:
        _, _, content = self.ask("/live.js?curves")
        text = re.fullmatch(rb"mlgit\.put\(\"live\",\n'(.*)'\);\n", content, re.DOTALL)
        assert text
        value = json.loads(text[1].replace(b"\\'", b"'").replace(b"\\\\", b"\\"))
        assert isinstance(value, dict)
        return value

    def wait(self, text: str) -> None:
        """Waits until it has said something."""
        self.wait_until(lambda: text in self.log.read_text())

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not is_so():
            assert time.monotonic() < end and self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)


@contextmanager
def serving(tmp_path: Path, *words: str) -> Iterator[Served]:
    log = tmp_path / "serve.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlgit", "site", "serve", "--port", "0", *words],
            stdout=subprocess.PIPE,
            stderr=file,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        try:
            yield Served(process, log)
        finally:
            process.kill()
            process.communicate()


@pytest.fixture
def served(showcase: Path, tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as found:
        yield found


# --- in a browser ------------------------------------------------------------------------------


def test_a_live_run_appears_grows_and_ends(
    showcase: Path, served: Served, browser: Any, tmp_path: Path
) -> None:
    own = users_own(showcase)
    with visit(browser) as seen:
        page = seen.page
        page.goto(f"{served.url}live.html")
        page.get_by_text("Nothing is running").wait_for()
        run = mlgit.start_run("nyc-taxi", "going <b>on</b>")
        mlgit.log_params({"lr": 0.125, "data": {"path": "</script>"}})
        for step in range(50):
            mlgit.log_metric("loss", 1 / (step + 1), step=step)
        card = page.locator(f"article[data-run='{run.id}']")
        card.wait_for()
        page.get_by_text("1 run is going on.").wait_for()
        assert "going <b>on</b>" in card.inner_text() and "0.02" in card.inner_text()
        assert "</script>" in card.inner_text()
        assert len(card.locator("polyline").get_attribute("points").split()) == 50
        mlgit.log_metric("loss", 0.5, step=50)
        card.get_by_text("step 50").wait_for()
        assert page.locator("a.live-link").inner_text() == "1 live"
        mlgit.end_run()
        card.get_by_text("ended").wait_for()
        served.wait("made again")
        page.get_by_role("button", name="Reload").wait_for()
        card.get_by_role("link", name="its page").click()
        page.get_by_role("heading", name="going <b>on</b>").wait_for()
        assert seen.complaints == []
        assert {urlsplit(url).netloc for url in seen.requests} == {f"127.0.0.1:{served.port}"}
    assert users_own(showcase) == own


@contextmanager
def hostile_runs() -> Iterator[list[str]]:
    """Keeps runs going whose names, params and metrics attack who looks at them."""
    words = [" ".join(attack.split())[:200] for attack in ATTACKS]
    words = [word for word in words if word.isprintable()]
    ids = []
    for word in words:
        run = mlgit.start_run("attacks", word, nested=bool(ids))
        run.log_params({word[:100]: word, "list": [word], "huge": 10**400, "nan": math.nan})
        for step, value in enumerate((1.0, 10**400, -math.inf, 2**60, -1.7e308, 1.7e308, 0.5)):
            run.log_metric(word[:100], value, step=step)
        ids.append(run.id)
    assert len(ids) > 15
    try:
        yield ids
    finally:
        for _ in ids:
            mlgit.end_run()


def test_every_page_with_what_the_server_adds(showcase: Path, served: Served, browser: Any) -> None:
    every = pages(open_repository().state / "served")
    assert "live.html" in every and len(every) > 20
    answered: set[str] = set()
    with hostile_runs() as ids, visit(browser) as seen:
        for url in every:
            seen.open(f"{served.url}{url}")
            seen.page.locator("a.live-link", has_text=f"{len(ids)} live").wait_for()
            if url == "live.html":
                seen.page.get_by_text(f"{len(ids)} runs are going on.").wait_for()
            for said, target in seen.page.evaluate(TARGETS):
                address = urldefrag(target).url
                if target.startswith(("data:image/", "mailto:", "https://")):
                    continue
                assert address.startswith(served.url), f"{url} leads to {said}"
                if address not in answered:
                    path = address.removeprefix(served.url.rstrip("/"))
                    assert served.ask(path)[0] == 200, f"{url} leads to {said}"
                    answered.add(address)
            assert seen.page.evaluate(WHOLE) == [True, 0, 0], url
            assert seen.complaints == [], url
    elsewhere = [
        url for url in seen.requests if not url.startswith((served.url, "about:", "data:"))
    ]
    assert elsewhere == []
    assert len(answered) > 60


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_the_live_page_is_accessible_and_fits(
    showcase: Path, served: Served, browser: Any, tmp_path: Path, width: int, theme: str
) -> None:
    with hostile_runs() as ids, visit(browser, width, theme, bypass_csp=True) as seen:
        page = seen.page
        page.goto(f"{served.url}live.html")
        page.locator("article[data-run]").nth(len(ids) - 1).wait_for()
        assert page.locator("article[data-run]").count() == len(ids)
        assert "nan" in page.locator("article[data-run]").first.inner_text()
        # A long value leaves the name of its param on one line.
        name = page.locator("article[data-run] dt bdi", has_text="huge").first
        assert name.bounding_box()["height"] < 30
        git("tag", "something", "mlgit")
        page.get_by_role("button", name="Reload").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        page.add_script_tag(path=AXE)
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"live-{width}-{theme}.png", full_page=True)


def test_an_open_page_says_that_there_is_something_new(
    showcase: Path, served: Served, browser: Any
) -> None:
    with visit(browser, width=390) as seen:
        page = seen.page
        page.goto(served.url)
        page.locator("a.live-link").wait_for()
        assert page.locator(".news").count() == 0
        (run_id,) = add_runs(showcase, make_run(name="brand new"))
        page.get_by_role("button", name="Reload").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        page.get_by_role("button", name="Reload").click()
        page.get_by_role("link", name="brand new").first.wait_for()
        assert page.locator(".news").count() == 0
        page.goto(f"{served.url}runs/{run_id}.html")
        assert seen.complaints == []


def test_a_report_is_made_again_as_it_is_written(showcase: Path, served: Served) -> None:
    report = Path("reports") / "draft.md"
    report.parent.mkdir()
    report.write_text("# First\n", "utf-8")
    served.wait("made again")
    assert b"<h1>First</h1>" in served.ask("/reports/draft.html")[2]
    report.write_text("# Second\n\n```mlgit\nchart:\n  kind: pie\n```\n", "utf-8")
    served.wait("reports/draft.md:5: chart: unknown kind 'pie'")
    served.wait_until(lambda: b"<h1>Second</h1>" in served.ask("/reports/draft.html")[2])


def test_what_goes_wrong_again_is_said_again(showcase: Path, served: Served) -> None:
    report, settings = Path("reports") / "draft.md", Path("mlgit.toml")
    report.parent.mkdir()
    for count in (1, 2):
        settings.write_text("[site")
        served.wait_until(lambda count=count: served.log.read_text().count("stays as it") == count)
        settings.unlink()
        report.write_text("#" * count)
        served.wait_until(lambda count=count: served.log.read_text().count("made again") == count)


def test_a_new_git_tag_is_something_new(showcase: Path, served: Served) -> None:
    before = served.live()["state"]
    git("tag", "-a", "-m", "v1", "some-tag")
    served.wait("made again")
    end = time.monotonic() + 10
    while served.live()["state"] == before:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_the_built_site_asks_nobody(showcase: Path, served: Served, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlgit", "site", "build", "--out", tmp_path / "out"],
        capture_output=True,
    )
    assert done.returncode == 0
    names = {path.name for path in (tmp_path / "out").rglob("*")}
    assert not names & {"live.html", "live.js", "serve.js", "serve.css"}
    assert b"live.html" not in (tmp_path / "out" / "index.html").read_bytes()
    assert b"serve.js" in served.ask("/")[2]


# --- requests of all kinds ---------------------------------------------------------------------


def test_pages_and_their_types(served: Served) -> None:
    for path, kind in {
        "/": "text/html; charset=utf-8",
        "/index.html": "text/html; charset=utf-8",
        "/assets/site.css": "text/css; charset=utf-8",
        "/assets/base.js?x": "text/javascript; charset=utf-8",
        "/assets/icon.svg": "image/svg+xml",
        "/data/runs.csv": "text/csv; charset=utf-8",
        "/live.js": "text/javascript; charset=utf-8",
    }.items():
        code, headers, content = served.ask(path)
        assert (code, headers["Content-Type"]) == (200, kind), path
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert content and int(headers["Content-Length"]) == len(content)
        assert "Python" not in headers["Server"]
    code, headers, content = served.ask("/", "HEAD")
    assert code == 200 and int(headers["Content-Length"]) > 1000 and content == b""


@pytest.mark.parametrize(
    "path",
    [
        *("/nowhere.html", "/runs", "/runs/", "//etc/passwd", "/.nojekyll", "/.gitignore"),
        *("/../config", "/%2e%2e/config", "/runs/..%2f..%2fconfig", "/runs/%2e%2e/index.html"),
        *("/..%5cconfig", "/index.html%00", "/%2fetc/passwd", "/assets/.././index.html"),
    ],
)
def test_paths_that_lead_nowhere(served: Served, path: str) -> None:
    code, _, content = served.ask(path)
    assert code == 404 and b"core" not in content


def test_a_link_out_of_the_site_is_not_followed(showcase: Path, served: Served) -> None:
    folder = showcase / ".git" / "mlgit" / "served"
    (folder / "out.html").symlink_to(showcase / "train.py")
    assert served.ask("/out.html")[0] == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "", "localhost:1"]
)
def test_another_name_for_us(served: Served, host: str) -> None:
    code, _, content = served.ask("/data/runs.js", Host=host)
    assert code == 403 and b"boosted" not in content
    assert served.ask("/", Host=f"localhost:{served.port}")[0] == 200


def test_pages_of_other_sites_get_nothing(served: Served) -> None:
    for path in ("/data/runs.js", "/live.js", "/index.html"):
        for site in ("cross-site", "same-site"):
            got = served.ask(path, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors")
            assert got[0] == 403
            framed = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}
            assert served.ask(path, Sec_Fetch_Site=site, **framed)[0] == 403
    visit = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert served.ask("/index.html", Sec_Fetch_Site="cross-site", **visit)[0] == 200
    assert served.ask("/data/runs.js", Sec_Fetch_Site="same-origin")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_only_reading(served: Served, method: str) -> None:
    assert served.ask("/", method)[0] in (405, 501)


def test_only_this_machine_and_only_one(served: Served) -> None:
    with socket.socket() as other:  # no place for it, if that one took every address
        other.bind(("127.0.0.2", served.port))
    done = subprocess.run(
        [sys.executable, "-m", "mlgit", "site", "serve", "--port", str(served.port)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and f"the port {served.port} is taken" in done.stderr
    assert "--port 0" in done.stderr


# --- beginning and end -------------------------------------------------------------------------


def test_ctrl_c_ends_it(showcase: Path) -> None:
    words = [sys.executable, "-m", "mlgit", "site", "serve", "--port", str(free_port())]
    said, code = on_terminal(*words, keys=CTRL_C, after="Ctrl-C ends it.")
    assert code == 0 and "ended" in said and "Traceback" not in said


def test_nothing_to_serve(repo: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlgit", "site", "serve", "--port", "0"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and "no runs in this repository yet" in done.stderr


def test_a_run_that_dies_is_live_no_more(showcase: Path, served: Served) -> None:
    script = (
        "import mlgit, os, signal\n"
        "run = mlgit.start_run('nyc-taxi', 'dies')\n"
        "mlgit.log_metric('loss', 1.0)\n"
        "print(run.id, flush=True)\n"
        "signal.pause()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    try:
        assert [run["id"] for run in served.live()["runs"]] == [run_id]
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    end = time.monotonic() + 20
    while served.live()["count"]:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_what_is_told_of_a_run_is_bounded() -> None:
    history = {f"m{number}": metric(*map(float, range(1000))) for number in range(40)}
    history["system/cpu"] = metric(1.0, float("nan"))
    run = make_run(metrics=summaries(history), params={f"p{n}": "x" * 500 for n in range(100)})
    (found,) = told([(run, history)], time.time())
    assert len(found["metrics"]) == METRICS and found["more"] == 41 - METRICS
    assert "system/cpu" not in [each["key"] for each in found["metrics"]]
    assert all(len(each["points"]) <= POINTS for each in found["metrics"])
    assert all(len(value) <= 80 for _, value in found["params"])
    (few,) = told([(make_run(metrics=summaries(history)), {})], time.time())
    assert all(each["points"] == [] for each in few["metrics"])
    nothing = tables.encode(float("nan"))
    (odd,) = told([(make_run(metrics=summaries({"x": metric(float("nan"))})), {})], time.time())
    assert odd["metrics"][0]["last"] == nothing
