"""Reports: which files are some, what blocks answer, and that wrong and hostile ones do no harm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, visit
from conftest import git
from test_site_browser import ATTACKS, AXE
from test_site_build import check_links, content

from mlgit.errors import Invalid, MlgitWarning
from mlgit.ledger import Ledger
from mlgit.site import blocks, urls
from mlgit.site.build import build
from mlgit.site.gather import gather

REPORT = """\
# How *good* is it?

See 01m6dsg8d80000000000000002.

```mlgit
table:
  title: The best
  experiment: nyc-taxi
  where: metrics.rmse > 0
  sort: -metrics.rmse
  columns: [name, params.model, metrics.rmse, metrics.loss.min]
```

## Across runs

```mlgit
chart: {kind: scatter, x: params.lr, y: metrics.rmse, experiment: taxi}
```

```mlgit
chart: {kind: curves, metric: loss}
```

```mlgit
chart: {kind: parallel, columns: [params.lr, params.model, metrics.rmse]}
```

```python
print("code")
```
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, "utf-8")


def make(out: Path, repository: Path | str = ".") -> None:
    with Ledger(repository) as ledger:
        build(ledger, out)


def test_a_report_is_a_page(showcase: Path, tmp_path: Path) -> None:
    write("reports/q3.md", REPORT)
    out = tmp_path / "out"
    make(out)
    page = (out / "reports" / "q3.html").read_text("utf-8")
    assert "<h1>How <em>good</em> is it?</h1>" in page and "<h2>Across runs</h2>" in page
    assert 'href="../runs/01m6dsg8d80000000000000002.html"' in page
    table = re.search("The best.*?</table>", page, re.DOTALL)
    assert table is not None
    cells = re.findall(r"<(?:td|th scope=.row)[^>]*>(.*?)</t[dh]>", table[0], re.DOTALL)
    texts = [re.sub("<[^>]+>", "", cell).strip() for cell in cells]
    assert texts == ["baseline", "linear", "7.759", "-", "boosted", "gbr", "6.741", "0.37"]
    assert "<figcaption><bdi>loss</bdi></figcaption>" in page  # whose curves, without a title too
    assert 'class="nb"' in page or "print" in page  # other code stays code
    home = (out / "index.html").read_text("utf-8")
    assert '<a href="reports/q3.html"><bdi>How good is it?</bdi></a>' in home
    assert check_links(out) > 150


def test_charts_are_drawn_and_read_without_javascript(
    showcase: Path, tmp_path: Path, browser: Any
) -> None:
    write("reports/q3.md", REPORT)
    out = tmp_path / "out"
    make(out)
    for width in (1280, 390):
        with visit(browser, width) as seen:
            page = seen.page
            page.goto(f"{out.as_uri()}/reports/q3.html")
            for place in range(3):
                chart = page.locator(f"[data-report-chart='{place}']")
                chart.scroll_into_view_if_needed()
                chart.locator("svg, canvas").first.wait_for()
            assert page.get_by_role("group", name="How curves are drawn").count() == 1
            # Whose curve is whose can be read, not only found with the pointer.
            keys = page.locator(".runs-legend a").all_inner_texts()
            assert "boosted" in keys
            assert page.locator("details[open]").count() == 0
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert seen.complaints == []
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{out.as_uri()}/reports/q3.html")
    assert page.locator("table:visible").count() == 4
    context.close()
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    page.goto(f"{out.as_uri()}/reports/q3.html")
    page.add_script_tag(path=AXE)
    assert page.evaluate("axe.run()")["violations"] == []
    context.close()


def test_which_files_are_reports(showcase: Path, tmp_path: Path) -> None:
    write("reports/a.md", "no heading")
    write("reports/deep/b.md", "# Deep")
    write("reports/c.txt", "# Text")
    write("reports/draft.md", "# Ignored")
    write("docs/Found it.md", "# Found")
    write(".gitignore", "draft.md\n")
    (tmp_path / "outside.md").write_text("# Outside")
    Path("reports/link.md").symlink_to(tmp_path / "outside.md")
    Path("linked").symlink_to(tmp_path)
    out = tmp_path / "out"
    make(out)
    assert [path.name for path in (out / "reports").iterdir()] == ["a.html"]
    write("mlgit.toml", '[site]\nreports = ["reports/**/*.md", "docs/*.md", "linked/*.md"]\n')
    make(out)
    found = {path.name for path in (out / "reports").iterdir()}
    assert found == {"a.html", *(
        urls.report(path).partition("/")[2] for path in ("reports/deep/b.md", "docs/Found it.md")
    )}  # fmt: skip
    # In a bare repository they are those of HEAD, which say the same.
    git("add", ".")
    git("commit", "--quiet", "--message", "reports")
    git("clone", "--quiet", "--bare", showcase, tmp_path / "bare")
    make(out)
    make(tmp_path / "theirs", tmp_path / "bare")
    ours, theirs = content(out), content(tmp_path / "theirs")
    assert {url for url in ours if url.startswith("reports/")} == {
        url for url in theirs if url.startswith("reports/")
    }
    assert all(ours[url] == theirs[url] for url in ours if url.startswith("reports/"))


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ("table: {where: metrics.rmse <}", "a value is expected"),
        ("table: {experiment: nowhere}", "there is no experiment 'nowhere'"),
        ("table: {colums: [name]}", "unknown field `colums`"),
        ("table: {limit: 100000}", "limit is from 1 to 500"),
        ("table: {columns: [nothing]}", "nothing"),
        ("chart: {kind: pie}", "Invalid enum value 'pie'"),
        ("chart: {kind: scatter, x: params.lr}", "needs x and y"),
        ("chart: {kind: curves}", "needs metric"),
        ("{}", "it has to say `table:` or `chart:`"),
        ("table: &a {where: *a}", "alias"),
        ("a: [" + "[" * 3000, "cannot be read"),
        ("!!python/object/apply:os.system [true]", "cannot be read"),
        ("x" * 5000, "longer than 4,000"),
    ],
)
def test_a_wrong_block_says_so(showcase: Path, tmp_path: Path, block: str, words: str) -> None:
    write("reports/a.md", f"# A\n\n```mlgit\n{block}\n```\n\nAfter it.\n")
    with pytest.warns(MlgitWarning, match="a block of reports/a.md"):
        make(tmp_path / "out")
    page = (tmp_path / "out" / "reports" / "a.html").read_text("utf-8")
    assert "This block cannot be answered" in page and "After it." in page
    with pytest.raises(Invalid) as caught, Ledger() as ledger:
        blocks.answer(gather(ledger), blocks.parse(block))
    assert words in caught.value.message


def test_a_hostile_report_is_only_shown(showcase: Path, tmp_path: Path, browser: Any) -> None:
    for number, attack in enumerate(ATTACKS):
        text = attack[:3000]
        quoted = text.replace("'", "''").replace("\n", " ")
        block = f"```mlgit\ntable: {{title: '{quoted}'}}\n```"
        write(f"reports/a{number}.md", f"# {text}\n\n{text}\n\n{block}\n\n```mlgit\n{text}\n```\n")
    write("reports/deep.md", "> " * 5000 + "x")
    with pytest.warns(MlgitWarning):
        make(tmp_path / "out")
    with visit(browser) as seen:
        for path in sorted((tmp_path / "out" / "reports").iterdir()):
            seen.page.goto(path.as_uri())
            assert seen.page.evaluate("[...document.scripts].filter(s => !s.src).length") == 0
            assert seen.page.locator("iframe, object, base, main img").count() == 0
        assert len(seen.requests) > len(ATTACKS)
    assert seen.complaints == []
    assert {url.partition(":")[0] for url in seen.requests} <= {"file", "data"}
