"""Publishing: one commit without history on a branch of a real remote, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from conftest import add_runs, git, make_run, new_key, sign_with, users_own
from terminal import on_terminal
from test_site_build import check_links, content
from test_site_redact import CANARIES, found, secretive

from mlgit import saved
from mlgit.cli import cli
from mlgit.data.remote import Remote
from mlgit.errors import WrongState
from mlgit.ledger import Ledger, open_repository, orphan
from mlgit.site.write import MANIFEST

PAGES = "refs/heads/gh-pages"


def publish(*words: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(cli, ["site", "publish", *map(str, words)])
    assert done.exit_code == code, done.output
    return done.output


def document(*words: str | Path) -> dict[str, Any]:
    done = CliRunner().invoke(cli, ["site", "publish", "--json", *map(str, words)])
    assert done.exit_code == 0, done.output
    value = json.loads(done.stdout)["mlgit.site.publish/v1"]
    assert isinstance(value, dict)
    return value


@pytest.fixture
def remote(showcase: Path, bare: Callable[..., Path]) -> Path:
    """The remote of the showcase: it has code and ledger."""
    path = bare()
    git("remote", "add", "origin", path)
    git("push", "--quiet", "origin", "main", "mlgit")
    return path


def refs(path: Path) -> dict[str, str]:
    lines = git("for-each-ref", "--format=%(refname) %(objectname)", cwd=path).splitlines()
    return dict(line.split(" ") for line in lines)


def published(remote: Path, folder: Path) -> dict[str, bytes]:
    """Returns the files of the branch."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", "gh-pages"], cwd=remote, capture_output=True)
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    return content(folder)


# --- what arrives, and what stays as it was ----------------------------------------------------


def test_twice(showcase: Path, remote: Path, tmp_path: Path) -> None:
    own, there = users_own(showcase), refs(remote)
    ledger = git("rev-parse", "mlgit")
    told = document("--yes")
    assert told["sent"] and refs(remote) == there | {PAGES: told["commit"]}
    assert git("rev-list", "--count", "gh-pages", cwd=remote) == "1\n"
    files = published(remote, tmp_path / "first")
    assert told["files"] == len(files) and told["bytes"] == sum(map(len, files.values()))
    assert ".nojekyll" in files and MANIFEST in files and ".gitignore" not in files
    assert check_links(tmp_path / "first") > 150
    done = CliRunner().invoke(cli, ["site", "check", "--out", str(tmp_path / "first")])
    assert done.exit_code == 0, done.output
    # The same again: nothing is sent, nothing is asked.
    again = document()
    assert not again["sent"] and again["unchanged"] and again["commit"] == told["commit"]
    # Something new: still one commit.
    with Ledger() as opened:
        run = saved.find(opened, "boosted")
    saved.annotate(open_repository(), [run.id], "note", {"text": "Only this one."})
    later = document("--yes")
    assert later["sent"] and later["commit"] != told["commit"]
    assert git("rev-list", "--count", "gh-pages", cwd=remote) == "1\n"
    page = published(remote, tmp_path / "second")[f"runs/{run.id}.html"]
    assert b"Only this one." in page
    assert ledger != git("rev-parse", "mlgit")  # the note
    assert refs(remote) == there | {PAGES: later["commit"]}
    mine = users_own(showcase)
    tracked = f"{later['commit']} commit\trefs/remotes/origin/gh-pages"
    assert mine.pop("refs") == sorted(
        [*own.pop("refs"), tracked], key=lambda line: line.split("\t")[1]
    )  # type: ignore[misc]
    assert mine == own
    git("fsck", "--strict", "--no-dangling", cwd=remote)


def test_whoever_publishes_the_same_makes_the_same(
    showcase: Path, remote: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    git("clone", "--quiet", remote, clone)
    git("-C", clone, "config", "user.name", "Somebody Else")
    sign_with(new_key(tmp_path / "key"), "commit")
    commits = []
    for place in (showcase, clone):
        done = CliRunner().invoke(cli, ["-C", str(place), "site", "publish", "--yes", "--json"])
        assert done.exit_code == 0, done.output
        commits.append(json.loads(done.stdout)["mlgit.site.publish/v1"]["commit"])
    assert commits[0] == commits[1]
    said = git("cat-file", "commit", "gh-pages", cwd=remote)
    assert "author mlgit <mlgit@localhost>" in said and "gpgsig" not in said
    assert "Ada" not in said and "example.org" not in said


def test_over_ssh(showcase: Path, ssh: Remote, tmp_path: Path) -> None:
    folder = tmp_path / "behind ssh" / "pages.git"
    git("init", "--quiet", "--bare", folder)
    where = ssh.url.removesuffix("/behind ssh/mlgit")
    git("remote", "add", "origin", f"{where}/behind%20ssh/pages.git")
    key = Path(os.environ["HOME"], ".ssh")
    git(
        "config",
        "core.sshCommand",
        f"ssh -i {key}/id_ed25519 -o UserKnownHostsFile={key}/known_hosts",
    )
    assert document("--yes")["sent"]
    assert git("rev-list", "--count", "gh-pages", cwd=folder) == "1\n"
    # From a clone that has not fetched what is there: it looks at the commit, no more.
    clone = tmp_path / "clone"
    shutil.copytree(showcase, clone)
    forget_pages(clone)
    done = CliRunner().invoke(cli, ["-C", str(clone), "site", "publish", "--json"])
    assert json.loads(done.stdout)["mlgit.site.publish/v1"]["unchanged"], done.output
    assert not (clone / ".git" / "shallow").exists()


def test_to_another_branch_and_remote(showcase: Path, bare: Callable[..., Path]) -> None:
    other = bare("other.git")
    git("remote", "add", "public", other)
    told = document("--remote", "public", "--branch", "docs/site", "--yes")
    assert refs(other) == {"refs/heads/docs/site": told["commit"]}


def test_a_relative_remote_from_a_folder_below(
    showcase: Path, bare: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare("near.git")
    git("remote", "add", "origin", "../near.git")
    assert document("--yes")["sent"]
    git("update-ref", "-d", "refs/remotes/origin/gh-pages")
    git("prune", "--expire=now")
    (showcase / "below").mkdir()
    monkeypatch.chdir(showcase / "below")
    assert document()["unchanged"]


# --- what is refused ---------------------------------------------------------------------------


def test_a_branch_of_somebody_else(showcase: Path, remote: Path) -> None:
    git("push", "--quiet", "origin", "main:gh-pages")
    before = refs(remote)
    said = publish("--yes", code=1)
    assert "was not made by mlgit" in said and "--branch NAME" in said
    assert refs(remote) == before
    assert publish("--branch", "main", "--yes", code=1).count("was not made by mlgit") == 1
    assert publish("--branch", "mlgit", "--yes", code=1).count("was not made by mlgit") == 1
    assert refs(remote) == before


Added = list[tuple[str, str | None]]


def add(remote: Path, folder: Path, added: Added) -> None:
    """Adds commits to the branch, each of a path and its text; without one it is removed."""
    git("clone", "--quiet", "--branch", "gh-pages", remote, folder)
    for path, text in added:
        place = folder / path
        place.parent.mkdir(exist_ok=True)
        if text is None:
            place.unlink()
        elif text.startswith("-> "):
            place.symlink_to(text[3:])
        else:
            place.write_text(text)
        git("-C", folder, "add", "--all")
        git("-C", folder, "commit", "--quiet", "--message", f"Update {path}")
    git("-C", folder, "push", "--quiet", "origin", "gh-pages")


def forget_pages(folder: Path) -> None:
    """Takes what a clone knows of the branch away, as if it had never been fetched."""
    git("-C", folder, "update-ref", "-d", "refs/remotes/origin/gh-pages")
    git("-C", folder, "reflog", "expire", "--expire=now", "--all")
    git("-C", folder, "prune", "--expire=now")


HOST = "runs.example.org"


def test_a_branch_that_somebody_added_to(showcase: Path, remote: Path, tmp_path: Path) -> None:
    publish("--yes")
    add(remote, tmp_path / "clone", [("CNAME", HOST), ("README.md", "Hello\n")])
    before = refs(remote)
    assert "somebody has added commits to it" in publish("--yes", code=1)
    assert refs(remote) == before and not (showcase / ".git" / "shallow").exists()


@pytest.mark.parametrize(
    "added",
    [
        [("README.md", "Hello\n")],
        [("CNAME", HOST), ("README.md", "Hello\n")],
        [("README.md", "Hello\n"), ("README.md", None), ("CNAME", HOST)],
        [("index.html", "Other\n"), ("CNAME", HOST)],
        [("data/CNAME", HOST)],
        [("CNAME", "-> index.html")],
        [("CNAME", f"{HOST}\nother.example.org\n")],
        [("CNAME", "a.b" * 100)],
        [("CNAME", f"https://{HOST}")],
        [("CNAME", "läufe.example.org")],
        [("CNAME", "")],
        [("CNAME", f"n{number}.example.org") for number in range(21)],
    ],
)
@pytest.mark.parametrize("is_here", [True, False])
def test_what_else_may_not_be_added(
    repo: Path, bare: Callable[..., Path], tmp_path: Path, added: Added, is_here: bool
) -> None:
    add_runs(repo, make_run())
    remote = bare()
    git("remote", "add", "origin", remote)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("A page\n")
    repository = open_repository()
    tree = orphan.store_folder(repository, tmp_path / "site", frozenset())
    with Ledger() as ledger:
        commit = orphan.commit_of(repository, tree, ledger.root, "site")
    orphan.send(repository, orphan.look(repository, None, "gh-pages"), commit)
    add(remote, tmp_path / "clone", added)
    if is_here:
        git("fetch", "--quiet", "origin", "gh-pages")
    else:
        git("config", "uploadpack.allowFilter", "true", cwd=remote)
    with pytest.raises(WrongState, match="somebody has added commits to it"):
        orphan.look(repository, None, "gh-pages")


@pytest.mark.parametrize("filters", ["true", "false"])
def test_a_domain_of_ones_own(showcase: Path, remote: Path, tmp_path: Path, filters: str) -> None:
    git("config", "uploadpack.allowFilter", filters, cwd=remote)
    publish("--yes")
    add(remote, tmp_path / "clone", [("CNAME", "old.example.org"), ("CNAME", HOST)])
    told = document("--yes")
    assert told["sent"] and told["domain"] == HOST
    assert git("rev-list", "--count", "gh-pages", cwd=remote) == "1\n"
    assert git("show", "gh-pages:CNAME", cwd=remote) == f"{HOST}\n"
    # It stays, also for those who have not fetched it, and is no difference.
    forget_pages(showcase)
    again = document()
    assert again["unchanged"] and again["commit"] == told["commit"] and again["domain"] == HOST
    assert published(remote, tmp_path / "site")["CNAME"] == f"{HOST}\n".encode()
    done = CliRunner().invoke(cli, ["site", "check", "--out", str(tmp_path / "site")])
    assert done.exit_code == 0, done.output
    add_runs(showcase, make_run())
    assert f"It is shown at {HOST}, by the file CNAME" in publish("--yes")
    assert git("show", "gh-pages:CNAME", cwd=remote) == f"{HOST}\n"
    # It changes, and goes, when it does there.
    add(remote, tmp_path / "other", [("CNAME", "other.example.org\n")])
    assert document("--dry-run")["domain"] == "other.example.org"
    add(remote, tmp_path / "gone", [("CNAME", None)])
    assert document("--yes")["domain"] is None
    assert "CNAME" not in git("ls-tree", "--name-only", "gh-pages", cwd=remote).split()
    assert not (showcase / ".git" / "shallow").exists()


def test_a_file_cname_that_names_no_host_is_a_difference(showcase: Path) -> None:
    done = CliRunner().invoke(cli, ["site", "build"])
    assert done.exit_code == 0, done.output
    for path, text in {"CNAME": "two.example.org one.example.org", "data/CNAME": HOST}.items():
        (showcase / "_site" / path).write_text(text)
        done = CliRunner().invoke(cli, ["site", "check", "--json"])
        (told,) = json.loads(done.stdout)["mlgit.site.check/v1"]["differences"]
        assert told == {"url": path, "how": "extra"}
        (showcase / "_site" / path).unlink()
    (showcase / "_site" / "CNAME").symlink_to("/dev/zero")
    done = CliRunner().invoke(cli, ["site", "check", "--json"])
    (told,) = json.loads(done.stdout)["mlgit.site.check/v1"]["differences"]
    assert told == {"url": "CNAME", "how": "extra"}


def test_somebody_else_is_faster(showcase: Path, remote: Path) -> None:
    repository = open_repository()
    looked = orphan.look(repository, None, "gh-pages")
    assert looked.commit is None
    told = document("--yes")
    with Ledger() as ledger:
        commit = orphan.commit_of(repository, ledger.root, ledger.root, "mine")
    with pytest.raises(WrongState, match="somebody else has published"):
        orphan.send(repository, looked, commit)
    assert refs(remote)[PAGES] == told["commit"]


@pytest.mark.parametrize("branch", ["a b", "-x..y", "x.lock"])
def test_a_branch_that_cannot_be(showcase: Path, remote: Path, branch: str) -> None:
    assert "git allows no branch" in publish(f"--branch={branch}", "--yes", code=1)


def test_no_remote(showcase: Path) -> None:
    assert "has no git remote" in publish("--yes", code=1)
    assert "there is no git remote 'upstream'" in publish("--remote", "upstream", code=1)


def test_a_remote_that_is_not_there(showcase: Path, tmp_path: Path) -> None:
    git("remote", "add", "origin", tmp_path / "nowhere")
    assert "cannot be reached" in publish("--yes", code=1)


def test_a_remote_that_refuses(showcase: Path, remote: Path) -> None:
    publish("--yes")
    git("config", "receive.denyNonFastForwards", "true", cwd=remote)
    add_runs(showcase, make_run())
    assert "refused the site" in publish("--yes", code=1)


def test_the_hook_has_its_say(showcase: Path, remote: Path) -> None:
    hook = showcase / ".git" / "hooks" / "pre-push"
    hook.parent.mkdir(exist_ok=True)
    heard = showcase / ".git" / "heard"
    hook.write_text(f"#!/bin/sh\ncat > '{heard}'\nexit 1\n")
    hook.chmod(0o755)
    before = refs(remote)
    assert "the hook pre-push of this repository stopped the push" in publish("--yes", code=1)
    assert refs(remote) == before
    assert PAGES in heard.read_text()
    hook.unlink()
    assert document("--yes")["sent"]


def test_interrupted(repo: Path, bare: Callable[..., Path]) -> None:
    add_runs(repo, *(make_run(1_767_225_600_000 + number) for number in range(40)))
    there = bare()
    git("remote", "add", "origin", there)
    for wait in (0.2, 0.6, 0.9, 1.2):
        process = subprocess.Popen(
            [sys.executable, "-m", "mlgit", "site", "publish", "--yes"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert refs(there).keys() <= {PAGES}
    assert document("--yes")["commit"] == refs(there)[PAGES]
    assert git("rev-list", "--count", "gh-pages", cwd=there) == "1\n"
    assert git("status", "--porcelain") == ""
    git("fsck", "--strict", "--no-dangling")


# --- asking, and what is said before -----------------------------------------------------------


def test_nobody_to_ask(showcase: Path, remote: Path) -> None:
    before = refs(remote)
    said = publish(code=1)
    assert "nobody is here to ask" in said and "Hint: --yes agrees" in said
    assert "Pages are public even if their repository is private" in said
    assert refs(remote) == before


def test_scripts_are_told_that_pages_are_public(showcase: Path, remote: Path) -> None:
    for more in ("--dry-run", "--yes"):
        done = CliRunner().invoke(cli, ["site", "publish", "--json", "--yes", more])
        assert done.exit_code == 0, done.output
        assert "Pages are public even if their repository is private" in done.stderr
        (told,) = json.loads(done.stdout)["mlgit.site.publish/v1"]["notes"]
        assert told.startswith("Pages are public even if their repository is private")
        assert "\n" not in told


@pytest.mark.parametrize("answer", ["n", "y"])
def test_somebody_to_ask(showcase: Path, remote: Path, answer: str) -> None:
    words = [sys.executable, "-m", "mlgit", "site", "publish"]
    said, code = on_terminal(*words, keys=f"{answer}\n", after="Publish?")
    assert "7 runs in 3 experiments" in said
    assert "Pages are public even if their repository is private" in said
    assert code == (0 if answer == "y" else 1)
    assert ("is now at" if answer == "y" else "Nothing was sent.") in said
    assert (PAGES in refs(remote)) == (answer == "y")


def test_only_looking(showcase: Path, remote: Path) -> None:
    before, mine = refs(remote), refs(showcase)
    told = document("--dry-run")
    assert not told["sent"] and told["commit"] is None and told["files"] > 20
    assert refs(remote) == before and refs(showcase) == mine
    assert told["people"] == ["Ada Example"]
    assert "ada@example.org" in told["found"]["mail"]
    assert len(told["found"]["patches"]) == 1 and len(told["found"]["console"]) == 1


def test_what_is_redacted_and_what_is_not(
    repo: Path, bare: Callable[..., Path], tmp_path: Path
) -> None:
    secretive(repo)
    (repo / "mlgit.toml").write_text(
        '[site]\nredact = ["paths", "hosts", "mail", "names", "remotes", "patches", "console"]\n'
        'hide = ["canary-word"]\n'
    )
    there = bare()
    git("remote", "add", "origin", there)
    said = publish("--yes")
    assert "Taken out:" in said and "canary-path" in said  # it is said here, not there
    assert published(there, tmp_path / "redacted") and found(tmp_path / "redacted") == set()
    assert b"canary" not in git("cat-file", "commit", "gh-pages", cwd=there).encode()
    assert "Leaves as it is, because of --no-redact" in publish("--yes", "--no-redact")
    published(there, tmp_path / "plain")
    assert {canary for canary, _ in found(tmp_path / "plain")} == set(CANARIES)


# --- workflows ---------------------------------------------------------------------------------


def test_a_workflow_for_github(showcase: Path) -> None:
    text = publish("--workflow", "github", "--title", 'A "title": {x} ${y}', "--experiment", "a b")
    loaded = yaml.safe_load(text)
    assert {*loaded[True]} == {"schedule", "workflow_dispatch", "push"}  # YAML 1.1 reads `on` so
    assert loaded["permissions"] == {"contents": "read"}
    build, deploy = loaded["jobs"]["build"], loaded["jobs"]["deploy"]
    assert deploy["permissions"] == {"pages": "write", "id-token": "write"}
    assert deploy["needs"] == "build" and deploy["environment"]["name"] == "github-pages"
    used = [step["uses"] for step in [*build["steps"], *deploy["steps"]] if "uses" in step]
    assert used == [
        *("actions/checkout@v4", "actions/setup-python@v5"),
        *("actions/upload-pages-artifact@v3", "actions/deploy-pages@v4"),
    ]
    assert build["steps"][0]["with"]["fetch-depth"] == 0
    fetch, _, make = [step["run"] for step in build["steps"] if "run" in step]
    assert "+refs/heads/mlgit:refs/remotes/origin/mlgit" in fetch
    assert "+refs/tags/*:refs/tags/*" in fetch
    assert make.startswith("mlgit site build --out _site --redact --title ")
    assert "--experiment 'a b'" in make


def test_what_a_workflow_runs_makes_the_site(showcase: Path, remote: Path, tmp_path: Path) -> None:
    git("config", "mlgit.branch", "mlgit")
    title = "It's größer 🚕\x85"
    job = yaml.safe_load(publish("--workflow", "gitlab", "--title", title))["pages"]
    assert job["artifacts"]["paths"] == ["public"] and job["variables"]["GIT_DEPTH"] == "0"
    fetch, install, make = job["script"]
    assert install.startswith("pip install ") and "mlgit[site]" in install
    clone = tmp_path / "clone"
    git("clone", "--quiet", "--single-branch", "--branch", "main", remote, clone)
    script = f"set -e\n{fetch}\n{make.replace('mlgit', f'{sys.executable} -m mlgit', 1)}\n"
    subprocess.run(["sh", "-c", script], cwd=clone, check=True, capture_output=True)
    assert "It&#39;s größer 🚕" in (clone / "public" / "index.html").read_text("utf-8")
    assert check_links(clone / "public") > 100


def test_a_workflow_is_written_where_it_is_asked_for(showcase: Path) -> None:
    place = showcase / ".github" / "workflows" / "mlgit-site.yml"
    assert "nobody is here to ask" in publish("--workflow", "github", "--out", place, code=1)
    assert not place.exists()
    publish("--workflow", "github", "--out", place, "--yes")
    assert yaml.safe_load(place.read_text("utf-8"))["name"] == "mlgit site"
