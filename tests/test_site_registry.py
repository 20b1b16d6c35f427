"""The registry on the site: it says what `mlgit model` says, now and as of any date."""

from __future__ import annotations

import cProfile
import html
import json
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from browser import chromium, pages, visit
from click.testing import CliRunner
from conftest import git, new_key, sign_with
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from showcase import add_models
from test_site_build import check_links, content, make

import mlgit
from mlgit import names, registry, tags
from mlgit.cli import cli
from mlgit.ledger import Ledger, open_repository
from mlgit.registry import Model, approvals, events, verbs
from mlgit.registry.events import Event
from mlgit.registry.fold import fold
from mlgit.registry.history import spans
from mlgit.site import svg_timeline, urls
from mlgit.site.build import build
from mlgit.site.choice import Choice
from mlgit.site.pages import models as page_of_models
from mlgit.site.redact import USUAL, Rules

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def models(showcase: Path) -> Path:
    """The showcase with models, as working directory."""
    add_models(showcase)
    return showcase


@pytest.fixture
def out(models: Path, tmp_path: Path) -> Path:
    """The site of it."""
    make(tmp_path / "out")
    return tmp_path / "out"


def type_(*command: str) -> None:
    done = CliRunner().invoke(cli, ["model", *command])
    assert done.exit_code == 0, done.output


def json_of(*command: str) -> Any:
    done = CliRunner().invoke(cli, ["model", *command, "--json"])
    assert done.exit_code == 0, done.output
    (content,) = json.loads(done.stdout).values()
    return content


def text_of(page: Path) -> str:
    """Returns the words of a page, a space between any two."""
    body = (
        page.read_text("utf-8")
        .partition('<main id="main"')[2]
        .partition(">")[2]
        .partition("</main>")[0]
    )
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


# --- what the pages say ----------------------------------------------------------------------


def test_pages_say_what_the_command_says(out: Path) -> None:
    for model in json_of("ls", "--all"):
        page = out / urls.model(model["git_name"])
        said = text_of(page)
        for version in model["versions"]:
            assert version["short"] in said and version["by"] in said
            own = text_of(out / urls.version(model["git_name"], version["short"]))
            assert f"{model['name']} {version['short']}" in own
            assert version["hash"] in own and version["commit"][:10] in own
            labels = [version["stage"], *version["aliases"]]
            head = own.partition("registered")[0]
            assert all(label in head for label in labels if label)
            assert ("withdrawn" in head) == version["withdrawn"]
            assert f"runs/{version['run']}.html" in page.read_text("utf-8")
        tagged = re.findall(r"<code title=\"\w{40}\">([^<]+)</code>", page.read_text("utf-8"))
        told = json_of("history", model["name"])
        assert sorted(map(html.unescape, tagged)) == sorted(event["tag"] for event in told)
    listed = text_of(out / urls.MODELS)
    assert "2 models with 3 versions, 1 in production" in listed
    assert "production v2 since" in listed and "Deprecated" in listed and "old rules" in listed


def test_a_versions_page_says_what_speaks_against_it(out: Path) -> None:
    own = text_of(out / "models/fare/v3.html")
    assert "withdrawn 2026-11-16 10:00 by Ada Example : trained on test data" in own
    assert "against the policy: metrics.rmse < 6.6 does not hold: metrics.rmse is 6.61" in own
    assert "mlgit model restore fare@v3" in own
    assert "Beside v2" in own and "6.61" in own and "6.58" in own
    assert "None of these git tags is signed" in own


def test_pages_say_how_to_get_a_version(out: Path, tmp_path: Path) -> None:
    page = (out / "models/fare/v2.html").read_text("utf-8")
    commands = [
        html.unescape(text) for text in re.findall(r'<code tabindex="0">(.*?)</code>', page)
    ]
    assert "mlgit model pull fare@v2 -o fare-v2" in commands
    assert "dvc get REPO model --rev fare@v2.0.0 -o fare-v2" in commands
    assert "--remote-config url=FOLDER" in page  # without it DVC does not find a folder
    assert not any("verify-tag" in text for text in commands)  # there is no signature
    assert "git worktree add ../fare-v2 'fare@v2.0.0^'" in commands
    (python,) = (text for text in commands if text.startswith("from mlgit"))
    exec(python)
    assert Path("fare-v2").read_bytes() == b"weights of gbr 2\n"
    assert git("show", "fare@v2.0.0^:train.py").startswith("LR = ")


def test_versions_are_compared_by_their_runs(out: Path, browser: Any) -> None:
    with visit(browser) as seen:
        seen.page.goto(f"{out.as_uri()}/models/fare/v2.html")
        seen.page.get_by_role("link", name="Compare the runs").click()
        seen.page.get_by_role("link", name="gbr 1").first.wait_for()
        ids = [json_of("show", f"fare@{short}")["run"] for short in ("v1", "v2")]
        assert seen.page.url.endswith(f"compare.html#runs={','.join(ids)}")
        assert "6.58" in seen.page.locator("main").inner_text()
    assert seen.complaints == []
    assert "Compare the runs" not in (out / "models/churn.html").read_text("utf-8")


def test_the_best_version_is_of_a_run_that_has_finished(models: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), mlgit.start_run("taxi", "stopped", capture=()) as run:
        run.log_metric("rmse", 1.5)
        run.log_text("weights", "model.txt")
        raise KeyboardInterrupt
    type_("register", "fare", "stopped:model.txt")
    make(tmp_path / "out")
    page = (tmp_path / "out/models/fare.html").read_text("utf-8")
    (row,) = re.findall(r"<tr><th scope=\"row\"><bdi>rmse</bdi>.*?</tr>", page, re.DOTALL)
    assert "1.5" in row
    assert re.findall(r'class="n best"><bdi>(.*?)</bdi>', row) == ["6.58"]


def test_first_page_and_the_runs_page_know_the_registry(out: Path) -> None:
    home = text_of(out / "index.html")
    assert "In production now" in home and "fare v2 since 2026-11-13 09:00 by Ada Example" in home
    assert "fare v3 withdrawn trained on test data" in home
    run = json_of("show", "fare@v2")["run"]
    page = text_of(out / "runs" / f"{run}.html")
    assert "Registered as fare v2 production champion" in page
    first = json_of("show", "fare@v1")["run"]
    assert "Registered as fare v1 archived old rules v1 (deprecated)" in text_of(
        out / f"runs/{first}.html"
    )


def test_the_first_page_tells_an_act_once(models: Path, tmp_path: Path) -> None:
    type_("promote", "fare@v1", "production", "-m", "v2 is slow")
    make(tmp_path / "out")
    home = text_of(tmp_path / "out/index.html").partition("What changed in the registry")[2]
    assert "fare v1 → production v2 is slow by Ada Example" in home
    assert "v2 leaves production" not in home and "v1 leaves archived" not in home
    assert "v2 leaves production" in text_of(tmp_path / "out/models/fare.html")


def test_a_site_without_models_says_nothing_of_them(showcase: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    assert not (out / "models.html").exists() and not (out / "models").exists()
    assert not (out / "data/registry.js").exists()
    for url in pages(out):
        assert "models.html" not in (out / url).read_text("utf-8")
        assert "registry" not in (out / url).read_text("utf-8").lower()
    before = content(out)
    add_models(showcase)
    make(out)
    # The navigation stands on every page, so every page was made again.
    assert [url for url in pages(out) if "models.html" not in (out / url).read_text("utf-8")] == []
    assert check_links(out) > 300
    assert before.keys() < content(out).keys()


def test_links_resolve_and_two_clones_make_the_same_bytes(models: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    make(ours)
    assert check_links(ours) > 300
    git("clone", "--quiet", models, tmp_path / "elsewhere")
    clone = open_repository(tmp_path / "elsewhere")
    shutil.copytree(open_repository(models).data_store, clone.data_store)
    make(theirs, tmp_path / "elsewhere")
    one, other = content(ours), content(theirs)
    assert one.keys() == other.keys()
    assert {url for url in one if one[url] != other[url]} == set()


def test_only_what_a_promotion_changed_is_made_again(out: Path, tmp_path: Path) -> None:
    before = content(out)
    assert make(out).made == 0
    type_("promote", "churn@v1", "production", "-m", "it is time")
    run = json_of("show", "churn@v1")["run"]
    make(out)
    after = content(out)
    changed = {url for url, data in after.items() if before.get(url) != data}
    shown_with_data = {url for url in changed if url.startswith(("data-sets/", "data/lookup/"))}
    assert len(shown_with_data) < 10
    # Pages of code say what is in production, and how it differs from that.
    code = {url for url in changed if url.startswith("code/")}
    assert len(code) < 5
    assert changed - shown_with_data - code == {
        *("index.html", "models.html", "data/registry.js", "mlgit-site.json"),
        *("models/churn.html", "models/churn/v1.html", f"runs/{run}.html", "about.html"),
        "data/compare.js",  # which tells the run in each stage
    }
    # Whatever happens, what was taken over is what a build from nothing makes.
    for number, command in enumerate(
        (
            ("archive", "fare@v2", "-m", "too old"),
            ("restore", "fare@v3"),
            ("unalias", "churn", "champion"),
            ("rm", "churn"),
            ("describe", "fare@v1", "-m", "the first"),
            ("rename", "fare", "green fare"),
        )
    ):
        type_(*command)
        make(out)
        fresh = tmp_path / f"fresh {number}"
        make(fresh)
        assert content(fresh) == content(out), command


def test_addresses_stay_when_names_change(out: Path) -> None:
    type_("rename", "fare", "Taxi Fare")
    make(out)
    page = text_of(out / "models/fare.html")
    assert page.startswith("Registry Taxi Fare") and "was called fare" in page
    assert "Taxi Fare v2" in text_of(out / "models/fare/v2.html")
    assert check_links(out) > 300


def test_a_version_with_hundreds_of_metrics(models: Path, tmp_path: Path) -> None:
    Path("model.bin").write_bytes(b"\0")
    with mlgit.start_run("exp", "wide", capture=()) as run:
        for number in range(300):
            run.log_metric(f"m{number:03}", number / 7)
        run.log_artifact("model.bin")
    type_("register", "wide", "wide:model.bin")
    make(tmp_path / "out")
    page = text_of(tmp_path / "out/models/wide/v1.html")
    assert "m199" in page and "m200" not in page and "Of 300 the first 200" in page


def test_a_signature_is_told_but_not_judged(models: Path, tmp_path: Path) -> None:
    sign_with(new_key(tmp_path / "key"), "tag")
    type_("promote", "churn@v1", "production")
    git("config", "tag.gpgsign", "false")
    type_("demote", "churn@v1", "-m", "-----BEGIN nothing")
    make(tmp_path / "out")
    page = text_of(tmp_path / "out/models/churn.html")
    assert "1 of 4 git tags are signed" in page and "signed (SSH)" in page
    assert "git verify-tag" in page
    # A command that can only fail is not offered: the tag of the latest version carries none.
    assert "git verify-tag churn@" not in page
    assert [event["signed"] for event in json_of("history", "churn")] == [False, False, True, False]


def test_approvals_are_told_but_not_counted(out: Path, tmp_path: Path) -> None:
    before = content(out)
    assert "Approvals" not in text_of(out / "models/fare/v1.html")
    sign_with(new_key(tmp_path / "key"), "tag")
    type_("approve", "fare@v1", "production", "-m", "as it was before")
    make(out)
    own = text_of(out / "models/fare/v1.html")
    assert "Ada Example approved for production as it was before signed (SSH)" in own
    assert "mlgit model show fare@v1 says on your machine" in own and "good" not in own
    assert "Approved for production by Ada Example" in text_of(out / "models/fare.html")
    changed = {url for url, data in content(out).items() if before.get(url) != data}
    assert changed == {
        *("models/fare/v1.html", "models/fare.html", "index.html", "mlgit-site.json"),
    }
    home = text_of(out / "index.html").partition("What changed in the registry")[2]
    assert "fare v1 approved for production as it was before by Ada Example" in home
    with Ledger() as ledger:
        (said,) = approvals.load(ledger.repository)
    # One that nobody signed, and one of another version's commit.
    git(
        "tag", "-a", str(said.name._replace(id=names.new_id())), said.commit, "-m", "x", "--no-sign"
    )
    stray = str(said.name._replace(id=names.new_id(), stage="staging"))
    git("tag", "-a", stray, "fare@v2.0.0^{commit}", "-m", "x")
    make(out)
    own = text_of(out / "models/fare/v1.html")
    assert own.count("approved for production") == 2 and "approved for staging" not in own
    home = text_of(out / "index.html").partition("What changed in the registry")[2]
    assert home.count("approved for production") == 2 and "approved for staging" not in home
    assert "Ada Example approved for production not signed" in own
    type_("unapprove", "fare@v1", "production", "-m", "leaks")
    make(out)
    page = (out / "models/fare/v1.html").read_text("utf-8")
    own = text_of(out / "models/fare/v1.html")
    assert page.count("<s>") == 2 and own.count("taken back since") == 2
    assert "took the approval back for production leaks signed (SSH)" in own
    home = text_of(out / "index.html").partition("What changed in the registry")[2]
    assert "fare v1 no longer approved for production leaks by Ada Example" in home
    assert "Approved for" not in text_of(out / "models/fare.html")
    type_("approve", "fare@v1", "production")
    make(out)
    assert (out / "models/fare/v1.html").read_text("utf-8").count("<s>") == 2
    assert "Approved for production by Ada" in text_of(out / "models/fare.html")
    assert check_links(out) > 300
    fresh = tmp_path / "fresh"
    make(fresh)
    assert content(fresh) == content(out)


def test_data_and_lineage_of_a_version(out: Path) -> None:
    page = (out / "models/fare/v2.html").read_text("utf-8")
    (own,) = set(re.findall(r'href="../../(data-sets/[^"]+)"', page))
    assert "rides" in text_of(out / own) and "fare" in text_of(out / own)
    words = text_of(out / "models/fare/v2.html")
    assert "Lineage" in words and "gbr 2 (run) led to" in words
    assert own in (out / "models/fare.html").read_text("utf-8")


# --- hostile tags ----------------------------------------------------------------------------

ATTACKS = [
    "<script>alert('canary')</script>",
    "<img src=x onerror=alert('canary')>",
    "[x](javascript:alert('canary'))",
    "');alert('canary');('",
    "\u202egnp.exe\u2066",
    "{{ 7*7 }}",
    "\u2028alert('canary')",
    "y" * 1_000_000,
]


def test_hostile_tags_are_only_shown(models: Path, tmp_path: Path, browser: Any) -> None:
    commit = git("rev-parse", "fare@v2.0.0^{commit}").strip()
    for number, attack in enumerate(ATTACKS):
        for place, tag in enumerate((f"fare#stage{number}#{100 + number}", f"bad{number}@v1.0.0")):
            who = attack[:300].replace("<", "(").replace(">", ")").replace("\n", " ")
            trailers = "".join(
                f"Mlgit-{key}: {' '.join(attack.split())}\n"
                for key in ("Time", "Run", "Path", "Hash", "Kind", "Forced", "From")
            )
            message = f"{attack}\n\n{attack}\n\n{trailers}"
            raw = (
                f"object {commit}\ntype commit\ntag {tag}\n"
                f"tagger {who} <{who}> {1_790_000_000 + place} +0000\n\n{message}"
            )
            sha = git("hash-object", "-t", "tag", "-w", "--literally", "--stdin", input=raw).strip()
            git("update-ref", f"refs/tags/{tag}", sha)
        with Ledger() as ledger:
            model = registry.load_model(ledger, "fare")
            verbs.describe(ledger, model, attack[:50_000], "v2.0.0" if number % 2 else None)
            verbs.tag(ledger, model, "key", attack[:50_000])
    type_("rename", "churn", "<b onclick=alert(1)>{{ 7*7 }}")
    out = tmp_path / "out"
    make(out)
    assert len(json_of("ls", "--all")) == 3 + len(ATTACKS)
    assert check_links(out) > 300
    assert max((out / url).stat().st_size for url in pages(out)) < 400_000
    with visit(browser) as seen:
        for url in pages(out):
            if url.startswith("models") or url == "index.html":
                seen.page.goto(f"{out.as_uri()}/{url}")
                overflow = "document.documentElement.scrollWidth - innerWidth"
                assert seen.page.evaluate(overflow) <= 0, url
                inline = "[...document.scripts].filter((script) => !script.src).length"
                assert seen.page.evaluate(inline) == 0, url
        seen.page.goto(f"{out.as_uri()}/models.html#as-of=2026-11-12")
        seen.page.get_by_text("As it stood at the end of 2026-11-12").wait_for()
    assert seen.complaints == []
    assert {url.partition(":")[0] for url in seen.requests} == {"file"}


# --- what is shown of it ---------------------------------------------------------------------


def test_secrets_of_the_registry_do_not_leave_the_house(models: Path, tmp_path: Path) -> None:
    secret = "canary-word of /home/canary-path/x, canary-mail@mail.example.org, Canary Person"
    git("config", "user.name", "Canary Person")  # who made no run
    git("config", "user.email", "canary-laptop@laptop")
    type_("promote", "churn@v1", "production", "-m", secret)
    sign_with(new_key(tmp_path / "key"), "tag")
    git("config", "user.name", "Canary Approver")  # who made nothing else
    git("config", "user.email", "canary-approver@laptop")
    type_("approve", "fare@v1", "production", "-m", secret)
    git("config", "tag.gpgsign", "false")
    type_("describe", "fare@v2", "-m", secret)
    type_("describe", "churn", "-m", secret)
    type_("tag", "fare", f"key={secret}")
    type_("alias", "fare@v2", "canary-word")
    type_("rename", "old rules", "canary-word rules")
    rules = Rules(redact=[*USUAL, "names"], hide=["canary-word"])
    with Ledger() as ledger:
        build(ledger, tmp_path / "out", rules=rules)
    told = {
        url: canary
        for url, data in content(tmp_path / "out").items()
        for canary in (b"canary", b"Canary")
        if canary in data or canary in url.encode()
    }
    assert told == {}
    assert check_links(tmp_path / "out") > 300
    assert "[hidden] of [path] [mail], [name 2]" in text_of(tmp_path / "out/models/churn.html")
    assert "[hidden] rules" in text_of(tmp_path / "out/models.html")
    own = text_of(tmp_path / "out/models/fare/v1.html")
    assert "[name 3] approved for production [hidden] of [path] [mail], [name 2] signed" in own


def test_a_site_of_one_experiment_shows_its_models(models: Path, tmp_path: Path) -> None:
    with Ledger() as ledger:
        build(ledger, tmp_path / "out", Choice(experiments=["churn"]))
    assert [*pages(tmp_path / "out/models")] == ["churn.html", "churn/v1.html"]
    assert "fare" not in (tmp_path / "out/data/registry.js").read_text("utf-8")
    with Ledger() as ledger:
        build(ledger, tmp_path / "late", Choice(since="2026-11-10"))
    page = text_of(tmp_path / "late/models/fare/v1.html")
    assert "which this site does not have" in page and "2026-11-13" in page
    assert check_links(tmp_path / "late") > 50


def test_a_check_says_that_the_registry_moved_on(out: Path) -> None:
    type_("promote", "churn@v1", "production")
    done = CliRunner().invoke(cli, ["site", "check", "--out", str(out)])
    assert done.exit_code == 1 and "the registry moved on" in done.output
    make(out)
    assert CliRunner().invoke(cli, ["site", "check", "--out", str(out)]).exit_code == 0


# --- as of a date ----------------------------------------------------------------------------


def test_as_of_in_the_page(out: Path, browser: Any) -> None:
    with visit(browser) as seen:
        page = seen.page
        page.goto(f"{out.as_uri()}/models.html")
        rows = page.locator("#models tbody tr")
        now = rows.all_inner_texts()
        assert rows.count() == 2
        page.get_by_label("As of").fill("2026-11-11")
        page.get_by_text("As it stood at the end of 2026-11-11").wait_for()
        assert page.url.endswith("#as-of=2026-11-11")
        fare = page.locator('tr[data-model="fare"]')
        assert page.locator("tr[data-model]:visible").count() == 1  # the others were not there
        assert "production v1 since 2026-11-10 by Ada Example" in " ".join(
            fare.inner_text().split()
        )
        assert "staging v2" in " ".join(fare.inner_text().split())
        assert page.locator("line.as-of-line").count() > 0
        # Of what came later, the timelines show nothing.
        assert page.locator(".timelines article:visible h3").all_inner_texts() == ["fare"]
        lane = page.locator('svg.lane[aria-label^="production:"]')
        assert "v2" not in lane.get_attribute("aria-label")  # nor do they tell of it
        edge = lane.locator(".as-of-line").bounding_box()["x"]
        cover = lane.locator(".later").bounding_box()
        later = lane.locator(".span").nth(1).bounding_box()
        assert edge < later["x"] and cover["x"] == pytest.approx(edge, abs=2)
        assert later["x"] + later["width"] <= cover["x"] + cover["width"]
        # What the page says is what the command says.
        told = json_of("show", "fare", "--as-of", "2026-11-11")
        held = {v["stage"]: v["short"] for v in told["versions"] if v["stage"]}
        assert held == {"production": "v1", "staging": "v2"}
        page.get_by_label("As of").fill("2026-11-01")
        page.get_by_text("there was no model yet").wait_for()
        assert page.locator(".timelines").is_hidden()
        page.get_by_role("button", name="Now").click()
        assert rows.all_inner_texts() == now
        assert "#" not in page.url and page.locator("line.as-of-line").count() == 0
        page.goto("about:blank")
        page.goto(f"{out.as_uri()}/models.html#as-of=2026-11-14")  # a link carries it
        page.get_by_text("As it stood at the end of 2026-11-14").wait_for()
        assert page.get_by_label("As of").input_value() == "2026-11-14"
        assert "production v2" in " ".join(fare.inner_text().split())
        page.goto("about:blank")
        page.goto(f"{out.as_uri()}/models.html#as-of=%3Cscript%3E")
        assert page.locator(".as-of-told").is_hidden()
    assert seen.complaints == []


NUMBERS = st.sampled_from(["v1.0.0", "v2.0.0", "v2.0.0-rc.1", "v2.0.0+a", "v2.0.0+b", "v10.0.0"])
ACTIONS = st.tuples(
    st.sampled_from(
        ["assign", "assign", "assign", "unassign", "withdraw", "register", "deprecate"]
    ),
    NUMBERS,
    st.sampled_from(["staging", "production", "archived", "champion", "canary"]),
    st.one_of(st.none(), st.integers(1, 12)),
    st.integers(0, 9),  # the day on which it was decided
    st.integers(0, 3),  # the commit
    st.sampled_from([None, None, "stage", "alias", "odd"]),
)


def told(action: Any, number: str, label: str, counter: Any, day: int, at: int, kind: Any) -> Event:
    """Returns an event as a tag would tell it."""
    version = number if action in ("register", "withdraw") else None
    name = tags.EventName(
        "m", action, version, label if action in ("assign", "unassign") else None, counter
    )
    stamp = names.timestamp(1_790_000_000 + 86400 * day)
    trailers = {"Kind": kind} if kind else {}
    return Event(
        name, str(name), "", f"{at:040x}", 10 - day, stamp, "A", "", "", "", trailers, None
    )


def stood(model: Model) -> list[Any]:
    """Returns what a script and the fold have to agree on."""
    return [
        [[v.version, v.stage, v.aliases, v.withdrawn] for v in model.versions],
        model.deprecated,
        model.latest.version if model.latest else None,
    ]


STOOD = """([models, asOf]) => models.map((model) => {
  const state = mlgit.registry.fold(model, asOf);
  if (!state) return null;
  const present = state.versions.filter((version) => !version.withdrawn);
  return [
    state.versions.map((each) => [each.number, each.stage, each.aliases, each.withdrawn]),
    state.deprecated,
    present.length ? present[0].number : null,
  ];
})"""


def test_the_script_folds_as_the_registry_does(out: Path, browser: Any) -> None:
    cases: list[list[Event]] = []

    @settings(max_examples=150, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(ACTIONS, min_size=1, max_size=16))
    def collect(said: list[Any]) -> None:
        found = [told(*each) for each in said]
        cases.append(list({event.tag: event for event in found}.values()))

    collect()
    assert len(cases) >= 100
    with Ledger() as ledger:
        real = events.load(ledger.repository)
    for name in sorted({event.name.model for event in real}):
        cases.append([event for event in real if event.name.model == name])
    moments = [None, *sorted({event.time for case in cases for event in case})]
    moments.append(names.timestamp(1_790_216_000))
    whole = [next(iter(fold(case, {}).models.values())) for case in cases]
    data = json.loads(page_of_models.data(whole))["models"]
    with visit(browser) as seen:
        seen.page.goto(f"{out.as_uri()}/models.html")
        for moment in moments:
            ours = [
                stood(next(iter(found.values()))) if found else None
                for case in cases
                for found in [fold(case, {}, as_of=moment).models]
            ]
            assert seen.page.evaluate(STOOD, [data, moment]) == ours, moment
    assert seen.complaints == []


# --- the timeline ----------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.lists(ACTIONS, max_size=16), st.randoms())
def test_spans_end_in_what_holds(said: list[Any], chance: random.Random) -> None:
    every = list({event.tag: event for event in (told(*each) for each in said)}.values())
    chance.shuffle(every)
    for model in fold(every, {}).models.values():
        found = spans(model)
        holding = sorted(span[:3] for span in found if span.until is None)
        stages = [(v.version, v.stage, True) for v in model.versions if v.stage]
        aliases = [(v.version, alias, False) for v in model.versions for alias in v.aliases]
        assert holding == sorted([*stages, *aliases])
        drawn = svg_timeline.timeline(model)
        assert (drawn is None) == (found == [])


def test_spans_take_no_longer_an_event_in_a_long_history() -> None:
    def calls(versions: int) -> int:
        """Returns how many functions the fold and the spans of a history call."""
        every = []
        for number in range(1, versions + 1):
            every.append(told("register", f"v{number}.0.0", "", None, 0, number, None))
            for place, label in enumerate(("staging", "archived", "champion")):
                counter = 3 * number + place
                every.append(told("assign", "", label, counter, 0, number, None))
        profile = cProfile.Profile()
        (model,) = profile.runcall(fold, every, {}).models.values()
        found = profile.runcall(spans, model)
        assert len(found) == 3 * versions
        return sum(each.callcount for each in profile.getstats())

    assert calls(200) < 5 * calls(50)


def test_a_name_in_a_timeline_is_whole_or_not_there() -> None:
    every = [told("assign", "", "staging", 9, 100, 1, None)]
    for number, day in enumerate((0, 1, 4), 1):
        every.append(told("register", f"v{number}.0.0", "", None, day, number, None))
        every.append(told("assign", "", "production", number, day, number, None))
    (model,) = fold(every, {}).models.values()
    drawn = svg_timeline.timeline(model)
    assert drawn is not None
    for lane in drawn.lanes[:2]:  # of a hundred days; a phone has no room for three of them
        assert re.findall("<text(.*?) x=.*?>(v.)</text>", lane.picture) == [
            (' class="tight"', "v2"),
            ("", "v3"),
        ]
        assert lane.picture.count("<title>") == 3


def test_a_timeline_has_a_lane_a_stage_and_a_bar_a_version(models: Path) -> None:
    with Ledger() as ledger:
        model = registry.load_model(ledger, "fare")
    assert [(span.version, span.label, span.until is None) for span in spans(model)] == [
        ("v1.0.0", "staging", False),
        ("v1.0.0", "production", False),
        ("v2.0.0", "staging", False),
        ("v2.0.0", "production", True),
        ("v1.0.0", "archived", True),
        ("v3.0.0", "staging", False),
        ("v2.0.0", "champion", True),
    ]
    drawn = svg_timeline.timeline(model)
    assert drawn is not None
    assert [(lane.label, lane.kind) for lane in drawn.lanes] == [
        ("registered", "versions"),
        ("production", "stage"),
        ("staging", "stage"),
        ("archived", "stage"),
        ("champion", "alias"),
    ]
    production = drawn.lanes[1].picture
    assert 'aria-label="production: v1 from 2026-11-10 to 2026-11-13; v2 since 2026-11-13"' in (
        production
    )
    assert production.count('class="span') == 2 and production.count("holds") == 1
    places = [float(x) for x in re.findall(r'class="span[^>]* x="([\d.]+)%"', production)]
    widths = [float(x) for x in re.findall(r'class="span[^>]* width="([\d.]+)%"', production)]
    assert places[0] + widths[0] == pytest.approx(places[1], abs=0.02)
    assert places[1] + widths[1] == pytest.approx(100, abs=0.02)


@pytest.mark.parametrize("days", [0, 1e-5, 0.3, 3, 40, 400, 4000, 400_000])
def test_a_timeline_of_any_length_has_a_few_dates(days: float) -> None:
    first = told("register", "v1.0.0", "", None, 0, 1, None)
    last = told("assign", "", "production", 1, 0, 1, None)._replace(
        time=names.timestamp(1_790_000_000 + 86400 * days)
    )
    (model,) = fold([first, last], {}).models.values()
    drawn = svg_timeline.timeline(model)
    assert drawn is not None and 2 <= drawn.axis.count("<text") <= 6
    assert drawn.begin < first.time <= last.time < drawn.end


@pytest.mark.parametrize(
    ("begin", "end", "within", "ticks", "words"),
    [
        (
            "2026-11-12T09:30:12.000000Z", "2026-11-12T10:00:00.000000Z", "2026-11-12 UTC",
            ["09:40", "09:50", "10:00"], "since 2026-11-12 10:00",
        ),
        (
            "2026-11-12T09:30:12.000000Z", "2026-11-12T09:30:41.000000Z", "2026-11-12 UTC",
            ["09:30:20", "09:30:40", "09:31:00"], "since 2026-11-12 09:30:41",
        ),
        (
            "2026-11-12T20:00:00.000000Z", "2026-11-13T08:30:00.000000Z", "2026-11-12 UTC",
            ["21:00", "11-13", "03:00", "06:00"], "since 2026-11-13 08:30",
        ),
        (
            "2026-11-10T09:00:00.000000Z", "2026-11-13T09:00:00.000000Z", "2026",
            ["11-11", "11-12", "11-13"], "since 2026-11-13",
        ),
        (
            "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z", "",
            ["2000", "4000", "6000", "8000"], "since 9999-12-31",
        ),
    ],
    ids=["half an hour", "half a minute", "overnight", "days", "all of time"],
)  # fmt: skip
def test_a_timeline_says_when_as_exactly_as_needed(
    begin: str, end: str, within: str, ticks: list[str], words: str
) -> None:
    first = told("register", "v1.0.0", "", None, 0, 1, None)._replace(time=begin)
    last = told("assign", "", "production", 1, 0, 1, None)._replace(time=end)
    (model,) = fold([first, last], {}).models.values()
    drawn = svg_timeline.timeline(model)
    assert drawn is not None and drawn.within == within
    assert re.findall(r"<text[^>]*>([^<]+)<", drawn.axis) == ticks
    assert f'aria-label="production: v1 {words}"' in drawn.lanes[1].picture


# --- looks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_fault_and_nothing_is_too_wide(out: Path, browser: Any, theme: str) -> None:
    urls_here = [url for url in pages(out) if url.startswith("models")]
    assert len(urls_here) == 1 + 3 + 5
    urls_here += ["index.html", "about.html", f"runs/{json_of('show', 'fare@v1')['run']}.html"]
    faults = []
    for width in (1280, 390):
        context = browser.new_context(
            color_scheme=theme, bypass_csp=True, viewport={"width": width, "height": 900}
        )
        page = context.new_page()
        for url in [*urls_here, "models.html#as-of=2026-11-13"]:
            page.goto("about:blank")
            page.goto(f"{out.as_uri()}/{url}")
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, url
            page.add_script_tag(path=AXE)
            for fault in page.evaluate("axe.run()")["violations"]:
                faults.append((url, fault["id"], fault["nodes"][0]["html"][:200]))
        context.close()
    assert faults == []


def test_pages_read_well_without_javascript(out: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{out.as_uri()}/models.html")
    assert page.locator("button:visible, input:visible").count() == 0
    page.get_by_role("row", name="fare").get_by_role("link", name="fare").click()
    lane = "production: v1 from 2026-11-10 to 2026-11-13; v2 since 2026-11-13"
    assert page.get_by_role("img", name=lane).is_visible()
    assert page.locator("table.history tbody tr").count() == 15
    context.close()
