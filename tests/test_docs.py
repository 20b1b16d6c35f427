"""The documentation is the output of real code: it is made anew and compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from conftest import git
from showcase import stopped_clock
from transcript import run_blocks

from mlgit.cli import cli

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

_INTRO = """\
# Commands

What `--help` says. All reading commands take `--json` and print a named, versioned envelope,
`{"mlgit.log/v1": [...]}`; data goes to stdout, talk to stderr. Exit codes: 0 done, 1 an error
that `Error:` and `Hint:` explain, 2 wrong usage, 130 stopped by Ctrl-C. `NO_COLOR` is honoured.
"""


def commands(above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yields the words of every command, groups before what is in them."""
    command: click.Command | None = cli
    context = click.Context(cli, info_name="mlgit")
    for word in above:
        assert isinstance(command, click.Group)
        command = command.get_command(context, word)
    yield above
    if isinstance(command, click.Group):
        for word in command.list_commands(context):
            yield from commands((*above, word))


def help_of(words: tuple[str, ...]) -> str:
    done = CliRunner().invoke(cli, [*words, "--help"], prog_name="mlgit")
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_has_help_with_examples(words: tuple[str, ...]) -> None:
    text = help_of(words)
    if words:
        assert re.search(rf"^    mlgit {' '.join(words)}\b", text, re.MULTILINE), text
    assert max(map(len, text.splitlines())) <= 100
    assert "..." not in text.partition("Commands:")[2], "a summary is cut: make it shorter"


def test_commands_page(golden: Callable[[Path, str], None]) -> None:
    parts = [_INTRO]
    for words in commands():
        parts.append(f"## {' '.join(('mlgit', *words))}\n\n```text\n{help_of(words)}```\n")
    golden(DOCS / "commands.md", "\n".join(parts))


def test_readme_names_only_commands_that_exist() -> None:
    known = {words for words in commands() if words}
    for line in (ROOT / "README.md").read_text("utf-8").splitlines():
        for word in re.findall(r"(?:^|[`$(]|&& )\s*mlgit ([a-z]+)", line):
            coming = re.search(r"\b(coming|later|planned|not yet)\b", line, re.IGNORECASE)
            assert (word,) in known or coming, f"README: there is no `mlgit {word}`: {line}"


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda p: p.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text("utf-8")):
        file, _, anchor = target.partition("#")
        place = page.parent / file if file else page
        assert place.is_file(), target
        if not anchor:
            continue
        headings = re.findall(r"^#+ (.*)$", place.read_text("utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
        assert anchor in anchors, target


def check(page: str, folder: Path, golden: Callable[[Path, str], None]) -> None:
    path = DOCS / page
    golden(path, run_blocks(path.read_text("utf-8"), {str(folder.parent): "~"}))


def test_query_page(showcase: Path, golden: Callable[[Path, str], None]) -> None:
    check("query.md", showcase, golden)


def test_sharing_page(
    showcase: Path, bare: Callable[..., Path], golden: Callable[[Path, str], None]
) -> None:
    remote = bare()
    git("symbolic-ref", "HEAD", "refs/heads/main", cwd=remote)
    git("remote", "add", "origin", remote)
    git("push", "--quiet", "origin", "main")
    (showcase / "train.py").write_text(
        "import mlgit\n\nwith mlgit.start_run('churn', 'idea'): pass\n"
    )
    with stopped_clock("2026-11-08 12:00:00"):
        check("sharing.md", showcase, golden)


def test_tracking_page(repo: Path, golden: Callable[[Path, str], None]) -> None:
    text = (DOCS / "tracking.md").read_text("utf-8")
    scripts = re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(scripts) == text.count("```python"), "each block names its file"
    for name, script in scripts:
        (repo / name).write_text(script)
    check("tracking.md", repo, golden)
