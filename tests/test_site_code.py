"""The pages of code: which there are, what they say, and what is too large or hostile for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, visit
from conftest import add_runs, git, make_run
from showcase import metric, summaries
from test_site_browser import AXE
from test_site_build import check_links, content

from mlgit import records, saved
from mlgit.ledger import Ledger
from mlgit.site import urls
from mlgit.site.build import build
from mlgit.site.pages import code
from mlgit.site.redact import Rules


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def make(out: Path, repository: Path | str = ".", **how: Any) -> None:
    with Ledger(repository) as ledger:
        build(ledger, out, **how)


def commit(path: Path, content: str | bytes, message: str, name: str = "train.py") -> str:
    data = content if isinstance(content, bytes) else content.encode()
    (path / name).write_bytes(data)
    git("add", ".", cwd=path)
    git("commit", "--quiet", "--allow-empty", "--message", message, cwd=path)
    return git("rev-parse", "HEAD", cwd=path).strip()


def tree(commit: str) -> str:
    return git("rev-parse", f"{commit}^{{tree}}").strip()


def ran(commit: str | None, place: int, value: float = 1.0, **fields: Any) -> records.Run:
    """Returns a run of a commit; the later `place`, the newer."""
    history = {"loss": metric(value)}
    return make_run(
        1_767_225_600_000 + 1000 * place,
        source=records.Source(commit=commit),
        metrics=summaries(history),
        **fields,
    )


def differences(site: Path) -> set[str]:
    return {path.name for path in (site / "code").glob("*-*.html")}


def test_pages_are_shared_by_runs_of_the_same_code(repo: Path, tmp_path: Path) -> None:
    first = commit(repo, "LR = 0.1\n", "first model")
    again = commit(repo, "LR = 0.1\n", "only words")
    second = commit(repo, "LR = 0.05\n", "slower steps")
    third = commit(repo, "LR = 0.01\n", "much slower")
    add_runs(
        repo,
        *(ran(sha, place, 9 - place) for place, sha in enumerate([first, again, first])),
        ran(second, 10, 0.1),  # the best
        *(ran(third, 20 + place, 5) for place in range(30)),
        ran(None, 60),
        ran("f" * 40, 70),  # not in this repository
    )
    out = tmp_path / "out"
    make(out)
    trees = [tree(sha) for sha in (first, second, third)]
    assert tree(again) == trees[0]
    assert {path.stem for path in (out / "code").iterdir() if "-" not in path.name} == {*trees}
    # Older code first; nothing of the third against the first, which nobody asks for.
    pairs = [(trees[0], trees[1]), (trees[1], trees[2])]
    assert differences(out) == {urls.difference(*pair).partition("/")[2] for pair in pairs}
    page = (out / urls.difference(trees[0], trees[1])).read_text("utf-8")
    assert "first model" in page and "slower steps" in page
    assert "<code>LR = 0.1</code>" in page and "<code>LR = 0.05</code>" in page
    assert f"git diff {first[:12]} {second[:12]}" in page
    state = (out / urls.code(trees[2])).read_text("utf-8")
    assert "30 runs" in state and "best of exp" in state
    assert check_links(out) > 100


def test_what_the_pages_of_runs_say(showcase: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out)
    with Ledger() as ledger:
        runs = {run.name: run for run in saved.select(ledger)}
    trees = {name: tree(run.source.snapshot or run.source.commit or "") for name, run in
             runs.items() if run.source.commit}  # fmt: skip

    def page(name: str) -> str:
        return (out / urls.run(runs[name].id)).read_text("utf-8")

    change = urls.difference(trees["baseline"], trees["boosted"])
    assert f'<a href="../{change}">since the run before</a>' in page("boosted")
    assert "nothing since the run before" in page("diverged")
    assert urls.code(trees["diverged"]) in page("diverged")
    # Uncommitted work is code like other code.
    change = urls.difference(trees["grid search"], trees["trial 1"])
    assert change in page("trial 1")
    assert "with uncommitted work" in (out / change).read_text("utf-8")
    assert "since the run before" not in page("Süßes 🍭 模型")


def test_only_what_changed_is_made_again(repo: Path, tmp_path: Path) -> None:
    first, second = commit(repo, "a\n", "a"), commit(repo, "b\n", "b")
    add_runs(repo, ran(first, 1), ran(second, 2))
    out = tmp_path / "out"
    make(out)
    before = content(out)
    add_runs(repo, ran(second, 3))
    make(out)
    changed = {url for url, data in content(out).items() if before.get(url) != data}
    assert {url for url in changed if url.startswith("code/")} == {urls.code(tree(second))}
    clone = tmp_path / "clone"
    git("clone", "--quiet", repo, clone)
    make(tmp_path / "theirs", clone)
    assert content(tmp_path / "theirs") == content(out)


def test_there_are_not_too_many(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "MOST", 5)
    shas = [commit(repo, f"{number}\n", f"v{number}") for number in range(12)]
    add_runs(repo, *(ran(sha, place, place + 1) for place, sha in enumerate(shas)))
    out = tmp_path / "out"
    make(out)
    assert len(differences(out)) == 5
    newest = urls.difference(tree(shas[-2]), tree(shas[-1])).partition("/")[2]
    assert newest in differences(out)
    assert check_links(out) > 50


def test_large_and_strange_differences_are_cut(repo: Path, tmp_path: Path) -> None:
    first = commit(repo, "a\n", "a")
    commit(repo, b"\0" + b"x" * 100, "binary", "model.bin")
    commit(repo, "line\n" * 9_000_000, "large", "large.csv")
    second = commit(repo, "".join(f"{n}\n" for n in range(3000)), "<b>long</b> \u202e", "long.txt")
    for number in range(300):
        (repo / f"f{number}.txt").write_text("x\n")
    third = commit(repo, "a\n", "many")
    add_runs(repo, ran(first, 1), ran(second, 2), ran(third, 3))
    out = tmp_path / "out"
    make(out)
    page = (out / urls.difference(tree(first), tree(second))).read_text("utf-8")
    assert "2,400 more lines" in page and "&lt;b&gt;long&lt;/b&gt; \ufffd" in page
    assert page.count("binary") >= 2 and len(page) < 200_000
    page = (out / urls.difference(tree(second), tree(third))).read_text("utf-8")
    assert "100 more files" in page and page.count("<details") == 200


def test_they_do_not_depend_on_what_git_is_told(showcase: Path, tmp_path: Path) -> None:
    plain, told = tmp_path / "plain", tmp_path / "told"
    make(plain)
    for name, value in (
        *(("suppressBlankEmpty", "true"), ("indentHeuristic", "false"), ("renameLimit", "1")),
        *(("noprefix", "true"), ("context", "9"), ("algorithm", "patience"), ("renames", "false")),
        *(("external", "false"), ("orderFile", "train.py"), ("wsErrorHighlight", "all")),
    ):
        git("config", f"diff.{name}", value)
    git("config", "color.ui", "always")
    (showcase / ".gitattributes").write_text("*.py -diff\n")
    git("add", ".gitattributes")
    make(told)
    assert differences(plain)
    assert content(told) == content(plain)


def test_a_site_that_leaves_the_house_has_none(showcase: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(out, rules=Rules())
    assert differences(out) == set()
    assert len([*(out / "code").iterdir()]) == 3
    assert check_links(out) > 100
    make(tmp_path / "kept", rules=Rules(redact=["hosts"], hide=["LR = 0.05"]))
    shown = "".join(
        path.read_text("utf-8") for path in (tmp_path / "kept" / "code").glob("*-*.html")
    )
    assert "[hidden]" in shown and "LR = 0.05" not in shown


def test_the_comparison_leads_to_it(showcase: Path, tmp_path: Path, browser: Any) -> None:
    out = tmp_path / "out"
    make(out)
    with Ledger() as ledger:
        ids = {run.name: run.id for run in saved.select(ledger)}
    names = ("boosted", "baseline", "diverged", "trial 1")
    with visit(browser) as seen:
        page = seen.page
        page.goto(f"{out.as_uri()}/{urls.comparison(*(ids[name] for name in names))}")
        cells = page.locator("tr.changed td")
        cells.first.wait_for()
        assert cells.all_inner_texts() == ["", "the difference", "nothing", "the difference"]
        # The curves come as they are scrolled to.
        page.locator("section[aria-label=Curves] .plot").first.scroll_into_view_if_needed()
        page.locator("section[aria-label=Curves] .plot canvas, .plot svg").first.wait_for()
        assert page.locator(".runs-legend li").all_inner_texts() == [*names]
        cells.get_by_role("link").first.click()
        assert page.locator("tr.add").count() == 1
        page.get_by_role("link", name="first model").click()
        assert page.get_by_role("heading", level=1).inner_text() == "first model"
        # Of others it says the command.
        page.goto(f"{out.as_uri()}/{urls.comparison(ids['baseline'], ids['trial 1'])}")
        page.locator("tr.changed code").wait_for()
        short = ids["baseline"][:10], ids["trial 1"][:10]
        assert (
            page.locator("tr.changed code").inner_text()
            == f"mlgit diff {short[0]} {short[1]} --code"
        )
    assert seen.complaints == []
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    for path in sorted((out / "code").iterdir()):
        page.goto(path.as_uri())
        page.add_script_tag(path=AXE)
        assert page.evaluate("axe.run()")["violations"] == []
    context.close()


def test_a_commit_that_is_none(repo: Path, tmp_path: Path) -> None:
    blob = git("hash-object", "-w", "README.md").strip()
    broken = git(
        "hash-object", "-t", "commit", "-w", "--stdin", "--literally", input="tree ../x\n\n"
    )
    add_runs(repo, ran(blob, 1), ran(broken.strip(), 2), ran(commit(repo, "a\n", "a"), 3))
    out = tmp_path / "out"
    make(out)
    assert len([*(out / "code").iterdir()]) == 1
