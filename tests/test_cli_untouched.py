"""No command touches what is the user's: work tree, index, HEAD, stash, configuration, refs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import git, users_own
from showcase import start_journal
from test_docs import commands

from mlgit import tags
from mlgit.cli import cli

COMMANDS = [
    "init",
    "log",
    "log --where metrics.rmse<7 --sort -params.lr",
    "log --group-by params.model --json",
    "show boosted",
    "show boosted --metric loss",
    "show boosted --artifact console.txt",
    "diff baseline boosted",
    "diff boosted diverged --code",
    "lineage train.py",
    "verify",
    "verify boosted --rehash",
    "reproduce boosted --env current",
    "artifacts ls boosted",
    "artifacts get boosted -o ../out",
    "data ls",
    "data show train.py",
    "data diff train.py new.py",
    "data pull boosted",
    "remote add store s3://bucket/data",
    "remote ls",
    "remote default store",
    "remote rm store",
    "gc --yes",
    "pin boosted",
    "note boosted -m text",
    "tag boosted a=b",
    "rename boosted best",
    "rm boosted",
    "restore wrong",
    "experiment ls",
    "experiment describe churn -m text",
    "experiment rename churn leaving",
    "experiment rm churn",
    "experiment restore churn",
    "view save best churn --sort name",
    "view ls",
    "view rm best churn",
    "model register churn train.py",
    "model register churn boosted",
    *(
        f"model {verb}"
        for verb in (
            *("promote churn@v1 production", "demote churn@v1", "archive churn@v1"),
            *("alias churn@v1 champion", "unalias churn champion", "rm churn@v1"),
            *("approve churn@v1 staging", "unapprove churn@v1 staging"),
            *("restore churn@v1", "describe churn -m x", "tag churn a=b", "untag churn a"),
            *("rename churn other", "ls", "search stage=production", "show churn"),
            *(
                "history churn",
                "events",
                "check",
                "diff churn@v1 churn@v1",
                "pull churn@v1 -o ../churn",
            ),
        )
    ),
    "push",
    "pull",
    "sync",
    "recover --dry-run",
    "recover",
    "doctor",
    "site build --out ../site",
    "site build --out ../site --redact --since 2026-11-02 --experiment churn",
    "site check --out ../site",
    "site serve --help",  # else it does not end; see test_site_serve
    "site publish --dry-run",
    "site publish --yes",
    "completion bash",
    "show nothing",
]


@pytest.fixture
def untidy(showcase: Path, bare: Callable[..., Path]) -> Path:
    """The showcase in the middle of work: staged, unstaged and untracked changes, and a stash."""
    git("remote", "add", "origin", bare(), cwd=showcase)
    git("tag", "-a", "v1", "-m", "v1", cwd=showcase)
    (showcase / "train.py").write_text("LR = 'stashed'\n")
    git("stash", "push", "--quiet", cwd=showcase)
    (showcase / "train.py").write_text("LR = 'staged'\n")
    (showcase / "new.py").write_text("staged = True\n")
    git("add", ".", cwd=showcase)
    (showcase / "train.py").write_text("LR = 'unstaged'\n")
    (showcase / "untracked.txt").write_text("untracked\n")
    start_journal(showcase, ['["p","lr",0.1]']).close()
    return showcase


def state(path: Path) -> dict[str, object]:
    """Returns everything that is not ours to change."""
    kept = ("config", "FETCH_HEAD", "ORIG_HEAD", "logs/HEAD", "info/exclude")
    files = [path / ".git" / name for name in kept]
    own = users_own(path)
    refs = own.pop("refs")
    assert isinstance(refs, list)
    return {
        **own,
        "refs": [
            ref
            for ref in refs
            # What git knows of a remote changes with every push.
            if not ref.endswith(("refs/remotes/origin/mlgit", "refs/remotes/origin/gh-pages"))
            and not tags.is_ours(ref.partition("refs/tags/")[2])
        ],
        "git's files": [file.read_bytes() if file.exists() else None for file in files],
        "hooks": sorted((path / ".git" / "hooks").iterdir()),
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_command(untidy: Path, command: str) -> None:
    before = state(untidy)
    done = CliRunner().invoke(cli, command.split(), prog_name="mlgit")
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert state(untidy) == before
    git("fsck", "--strict", "--no-dangling", "--no-progress", cwd=untidy)


def test_all_commands_are_among_them() -> None:
    every = {*commands()}
    groups = {words[:-1] for words in every if words}
    typed = {tuple(command.split()[:length]) for command in COMMANDS for length in (1, 2)}
    assert every - groups <= typed
