"""Reports: which files are some, what blocks answer, and that wrong and hostile ones do no harm."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, visit
from conftest import add_runs, git, make_run
from showcase import metric, summaries
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
            assert set(keys) == {"boosted", "diverged"}  # the others have no loss
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


SPREAD = """\
# Spread

```mlgit
chart: {kind: histogram, x: metrics.rmse, experiment: grid}
```

```mlgit
chart: {kind: histogram, x: params.model, experiment: grid}
```

```mlgit
chart: {kind: histogram, x: params.lr, experiment: grid}
```

```mlgit
chart: {kind: importance, metric: rmse, experiment: grid}
```

```mlgit
chart: {kind: importance, metric: rmse, experiment: taxi}
```
"""


def grid(repo: Path) -> None:
    """Saves thirty runs whose rmse follows their depth and nothing else."""
    add_runs(repo, *(
        make_run(
            experiment="grid",
            params={"lr": 10.0 ** -(n % 5), "depth": n, "model": ("gbr", "linear", "mlp")[n % 3]},
            metrics=summaries({"rmse": metric(5 + n / 10)}),
        )
        for n in range(30)
    ))  # fmt: skip


def test_how_values_spread_and_what_a_metric_depends_on(
    showcase: Path, tmp_path: Path, browser: Any
) -> None:
    grid(showcase)
    write("reports/a.md", SPREAD)
    out = tmp_path / "out"
    make(out)
    page = (out / "reports" / "a.html").read_text("utf-8")
    figures = page.split('<figure class="answer">')[1:]
    titles = [re.findall("<title>(.*?)</title>", figure) for figure in figures]
    assert titles[0][0] == "5 to 5.5: 5 runs" and len(titles[0]) == 6
    assert titles[1] == ["gbr: 10 runs", "linear: 10 runs", "mlp: 10 runs"]
    assert titles[2][:2] == ["0.0001: 6 runs", "0.001: 6 runs"] and len(titles[2]) == 5
    assert "What rmse depends on" in figures[3]
    told = re.findall('<th scope="row"><bdi>(.*?)</bdi></th><td>.*?class="n">(.*?) %', figures[3])
    assert told[0] == ("depth", "100") and len(told) == 3 and float(told[1][1]) < 10
    assert "+1.00" in figures[3]
    assert "it takes 5 runs or more" in figures[4]  # the two of taxi are too few
    assert all("<summary>" in figure and "</table>" in figure for figure in figures)
    for width, theme in ((1280, "light"), (390, "dark")):
        with visit(browser, width, theme) as seen:
            seen.page.goto(f"{out.as_uri()}/reports/a.html")
            for place in range(3):
                chart = seen.page.locator(f"[data-report-chart='{place}']")
                chart.scroll_into_view_if_needed()
                chart.locator("canvas").wait_for()
                assert chart.locator("svg.histogram").is_hidden()
            assert seen.page.locator("details[open]").count() == 0
            seen.page.emulate_media(media="print")
            seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
            assert seen.page.locator("svg.histogram:visible").count() == 3
            assert seen.page.locator("canvas:visible").count() == 0  # not over the still picture
            assert seen.page.locator("figure table:visible").count() == 6
            seen.page.evaluate("dispatchEvent(new Event('afterprint'))")
            seen.page.emulate_media(media="screen")
            assert seen.page.locator("details[open]").count() == 0
            box = seen.page.locator("[data-report-chart='0'] canvas").bounding_box()
            seen.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.6)
            seen.page.locator(".tip:visible").wait_for()
            assert re.search(
                r"rmse\s+\S+ to \S+\s+runs\s+5", seen.page.locator(".tip").inner_text()
            )
            assert seen.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert seen.complaints == []
    with visit(browser, java_script_enabled=False) as seen:
        seen.page.goto(f"{out.as_uri()}/reports/a.html")
        assert seen.page.locator("svg.histogram:visible").count() == 3
        assert seen.page.locator("figure table:visible").count() == 6
    with visit(browser, bypass_csp=True) as seen:
        seen.page.goto(f"{out.as_uri()}/reports/a.html")
        seen.page.add_script_tag(path=AXE)
        assert seen.page.evaluate("axe.run()")["violations"] == []


@pytest.mark.parametrize(
    ("block", "where", "words"),
    [
        ("table: {where: metrics.rmse <}", "4: table: where", "a value is expected"),
        ("table:\n  limit: 3\n  experiment: none", "6: table: experiment", "no experiment 'none'"),
        ("table:\n\n  colums: [name]", "6: table", "unknown key 'colums' (title, experiment, "),
        ("table:\n  limit: 100000", "5: table: limit", "it is from 1 to 500"),
        ("table:\n  limit: many", "5: table: limit", "a whole number is expected"),
        ("table:\n  experiment: 2024", "5: table: experiment", "a text is expected, in quotes"),
        ("table:\n  columns: name", "5: table: columns", "a list of fields is expected"),
        ("table:\n  columns: [nothing]", "5: table: columns", "write metrics.nothing or "),
        ("table:\n  sort: a\n  sort: b", "6: table: sort", "it stands here twice"),
        ("table:\n  ? [a]\n  : b", "5: table", "a key has to be a word"),
        ("chart:\n  title: x\n  kind: pie", "6: chart", "unknown kind 'pie' (scatter, parallel, "),
        ("chart:\n  kind: [pie]", "5: chart: kind", "a text is expected"),
        ("# all\nchart:\n  x: params.lr", "5: chart", "it has to say `kind:` (scatter, "),
        ("chart: {kind: scatter, x: params.lr}", "4: chart", "needs x and y"),
        ("chart: {kind: parallel, columns: [id]}", "4: chart: columns", "needs two or more"),
        ("chart: {kind: curves}", "4: chart", "needs metric"),
        ("chart: {kind: histogram, metric: rmse}", "4: chart", "needs x"),
        ("chart:\n  kind: histogram\n  x: params.l", "6: chart: x", "no run here has params.l"),
        ("chart:\n  kind: importance\n  metric: m", "6: chart: metric", "no run here has metrics"),
        ("{}", "4", "it has to say `table:` or `chart:`"),
        ("table:", "4: table", "it has to say of what"),
        ("table: {}\nchart: {}", "4", "it has to say `table:` or `chart:`"),
        ("table:\n  where: &a b\n  sort: *a", "6", "alias"),
        ("chart:\n  columns: [a, b\n  x: params.lr\n", "6", "cannot be read: while parsing a flow"),
        ("table:\n  limit: 3\n where: x\n", "6", "cannot be read"),
        ("table:\n  title: '\u2028\x85'\n  limit: [\n", "6", "cannot be read"),
        ("table:\n  title: \x07\n", "5", "cannot be read"),
        ("a: [" + "[" * 3000, "4", "cannot be read"),
        ("!!python/object/apply:os.system [true]", "4", "cannot be read"),
        ("table:\n  title: !!python/name:os.system x", "5: table: title", "a text is expected"),
        ("x" * 5000, "4", "longer than 4,000"),
    ],
)  # fmt: skip
def test_a_wrong_block_says_where_and_why(
    showcase: Path, tmp_path: Path, block: str, where: str, words: str
) -> None:
    write("reports/a.md", f"# A\n\n```mlgit\n{block}\n```\n\nAfter it.\n")
    with pytest.warns(MlgitWarning, match=re.escape(f"reports/a.md:{where}: ")) as told:
        make(tmp_path / "out")
    assert len(told) == 1
    page = (tmp_path / "out" / "reports" / "a.html").read_text("utf-8")
    assert "This block cannot be answered" in page and "After it." in page
    assert f"reports/a.md:{where}: " in page
    with pytest.raises(Invalid) as caught, Ledger() as ledger:
        blocks.answer(gather(ledger), blocks.parse(block))
    assert words in caught.value.message


def test_a_line_is_that_of_the_file_whatever_the_block_stands_in(
    showcase: Path, tmp_path: Path
) -> None:
    block = "```mlgit\nchart:\n  kind: pie\n```"
    quoted = "".join(f"> {line}\n" for line in block.splitlines())
    listed = "- a\n\n" + "".join(f"  {line}\n" for line in block.splitlines())
    text = f"# A\n\n{block}\n\n{quoted}\n{listed}"
    write("reports/a.md", text.replace("\n", "\r\n"))
    lines = [at for at, line in enumerate(text.splitlines(), 1) if "pie" in line]
    with pytest.warns(MlgitWarning) as told:
        make(tmp_path / "out")
    found = [str(each.message).partition(": ")[0] for each in told]
    assert found == [f"reports/a.md:{line}" for line in lines] and len(lines) == 3


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
