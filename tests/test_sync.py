"""Sharing over real bare remotes: what moves, what is refused, and that nothing is ever lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import git
from showcase import save_run

from mlgit import saved
from mlgit.errors import NotFound, RemoteFailed, Unreadable
from mlgit.ledger import Ledger, open_repository, snapshot, sync
from mlgit.ledger.objects import FILE, TREE, Entry, Reader, Store, format_tree
from mlgit.ledger.sync import Cargo, Exchange

Bare = Callable[..., Path]


def clone(remote: Path, *options: str) -> Path:
    path = remote.with_name(f"clone-{len(list(remote.parent.iterdir()))}")
    git("clone", "--quiet", *options, remote, path)
    return path


def tip(path: Path, ref: str = "refs/heads/mlgit") -> str:
    return git("for-each-ref", "--format=%(objectname)", ref, cwd=path).strip()


def tree(path: Path) -> str:
    return git("rev-parse", "mlgit^{tree}", cwd=path).strip()


def runs(path: Path) -> set[str | None]:
    with Ledger(path) as ledger:
        return {run.name for run in saved.select(ledger)}


def push(path: Path, remote: str | None = None) -> Exchange:
    return sync.push(open_repository(path), remote)


def pull(path: Path) -> Exchange:
    return sync.pull(open_repository(path))


def hook(path: Path, name: str, script: str) -> None:
    place = Path(git("rev-parse", "--absolute-git-dir", cwd=path).strip()) / "hooks" / name
    place.parent.mkdir(exist_ok=True)
    place.write_text(f"#!/bin/sh\n{script}\n")
    place.chmod(0o755)


@pytest.fixture
def remote(repo: Path, bare: Bare) -> Path:
    """The remote `origin` of `repo`, which has its code and a ledger with one run."""
    path = bare()
    git("remote", "add", "origin", path, cwd=repo)
    git("push", "--quiet", "origin", "main", cwd=repo)
    git("symbolic-ref", "HEAD", "refs/heads/main", cwd=path)
    save_run(repo, "first")
    assert push(repo) == Exchange("origin", received=0, sent=1)
    return path


# --- the usual ways -------------------------------------------------------------------


def test_first_push_makes_the_branch_and_the_second_sends_news_only(
    repo: Path, remote: Path
) -> None:
    assert tip(remote) == tip(repo) == tip(repo, "refs/remotes/origin/mlgit")
    save_run(repo, "second")
    assert sync.unpushed(open_repository(repo)) == 1
    assert push(repo) == Exchange("origin", received=0, sent=1)
    assert push(repo) == Exchange("origin")
    assert sync.unpushed(open_repository(repo)) == 0
    git("fsck", "--strict", cwd=remote)


def test_news_of_what_was_known_are_told_apart_from_new_runs(repo: Path, remote: Path) -> None:
    other = clone(remote)
    first = save_run(other, "second")
    here = open_repository(other)
    saved.annotate_experiment(here, "exp", "describe", {"text": "x"})
    saved.annotate_experiment(here, "planned", "describe", {"text": "x"})
    sync.push(here)
    saved.annotate(here, [first], "note", {"text": "x"})
    saved.annotate(here, [save_run(other, "third")], "note", {"text": "x"})
    saved.annotate_experiment(here, "exp", "describe", {"text": "y"})
    assert sync.unpushed(here) == 2
    assert push(other) == Exchange("origin", sent=1, sent_news={"runs": 1, "experiments": 1})
    assert pull(repo) == Exchange("origin", received=2, received_news={"experiments": 2})


def test_a_clone_follows_by_init(remote: Path) -> None:
    other = clone(remote)
    assert sync.init(open_repository(other)).how == "followed"
    assert sync.init(open_repository(other)).how == "present"
    assert tip(other) == tip(remote)


def test_a_fresh_clone_reads_and_writes_without_init(repo: Path, remote: Path) -> None:
    other = clone(remote)
    assert runs(other) == {"first"}
    assert tip(other) == ""
    save_run(other, "second")
    assert push(other) == Exchange("origin", received=0, sent=1)
    assert pull(repo) == Exchange("origin", received=1)
    assert tip(repo) == tip(other), "it was a fast-forward, which needs no merge"


def test_ledgers_born_apart_become_one(repo: Path, remote: Path) -> None:
    other = remote.with_name("other")
    git("init", "--quiet", other)
    save_run(other, "elsewhere")
    git("remote", "add", "origin", remote, cwd=other)
    assert push(other) == Exchange("origin", received=1, sent=1)
    assert pull(repo) == Exchange("origin", received=1)
    assert tree(repo) == tree(other) == tree(remote)
    assert runs(repo) == {"first", "elsewhere"}


def test_sync_brings_and_sends(repo: Path, remote: Path) -> None:
    other = clone(remote)
    save_run(other, "second")
    assert sync.sync(open_repository(other)) == Exchange("origin", received=0, sent=1)
    save_run(repo, "third")
    assert sync.sync(open_repository(repo)) == Exchange("origin", received=1, sent=1)
    assert sync.sync(open_repository(repo)) == Exchange("origin")
    assert sync.sync(open_repository(other)) == Exchange("origin", received=1)


def test_plain_git_shares_too(repo: Path, remote: Path) -> None:
    save_run(repo, "second")
    git("push", "--quiet", "origin", "mlgit", cwd=repo)
    assert sync.unpushed(open_repository(repo)) == 0
    other = clone(remote)
    git("fetch", "--quiet", "origin", "mlgit:mlgit", cwd=other)
    assert tip(other) == tip(repo)
    assert pull(other) == Exchange("origin")


def test_a_clone_of_one_branch_knows_what_was_pushed(remote: Path) -> None:
    other = clone(remote, "--single-branch")
    assert sync.init(open_repository(other)).how == "followed"
    save_run(other, "second")
    push(other)
    assert tip(other, "refs/remotes/origin/mlgit") == tip(remote)
    assert not (other / ".git" / "FETCH_HEAD").exists(), "that file is the user's"


# --- others at work ---------------------------------------------------------------------


def test_a_push_that_comes_second_merges_and_goes_on(repo: Path, remote: Path) -> None:
    other = clone(remote)
    save_run(other, "second")
    push(other)
    before = tip(remote)
    save_run(repo, "third")
    assert push(repo) == Exchange("origin", received=1, sent=1)
    git("merge-base", "--is-ancestor", before, tip(remote), cwd=remote)
    assert runs(repo) == {"first", "second", "third"}


def test_a_push_overtaken_on_the_server_goes_on(repo: Path, remote: Path) -> None:
    other = clone(remote)
    save_run(other, "second")
    git("push", "--quiet", "origin", "mlgit:refs/heads/waiting", cwd=other)
    # Between git's look at the branch and its writing there, the other one arrives.
    move = "env -u GIT_QUARANTINE_PATH git update-ref refs/heads/mlgit refs/heads/waiting"
    hook(remote, "update", f"{move}; rm hooks/update")
    save_run(repo, "third")
    assert push(repo).sent == 1
    assert runs(remote) == {"first", "second", "third"}


def test_giving_up_after_many_attempts(
    repo: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "PUSHES", 2)
    # Somebody else's commit arrives each time, just before ours.
    later = "git commit-tree -p mlgit -m later mlgit^{tree}"
    move = f"env -u GIT_QUARANTINE_PATH git update-ref refs/heads/mlgit $({later})"
    hook(remote, "update", move)
    save_run(repo, "second")
    with pytest.raises(RemoteFailed, match=r"origin refused the ledger: .*, 2 times in a row"):
        push(repo)


def test_a_run_saved_during_the_push_is_not_taken_for_sent(repo: Path, remote: Path) -> None:
    save_run(repo, "second")
    later = "git commit-tree -p mlgit -m later mlgit^{tree}"
    hook(repo, "pre-push", f"git update-ref refs/heads/mlgit $({later})")
    push(repo)
    assert tip(repo, "refs/remotes/origin/mlgit") == tip(remote) != tip(repo)


def test_many_at_once(repo: Path, remote: Path) -> None:
    """As at the end of a sweep: several processes in each of two clones, all of them sharing."""
    other = clone(remote)
    script = """
import sys
from showcase import save_run
from mlgit.ledger import open_repository, sync
save_run(".", sys.argv[1])
sync.sync(open_repository())
"""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    started = [
        subprocess.Popen([sys.executable, "-c", script, f"run {number}"], cwd=cwd, env=env)
        for number, cwd in enumerate([repo, other] * 3)
    ]
    assert [process.wait() for process in started] == [0] * 6
    assert runs(remote) == {"first", *(f"run {number}" for number in range(6))}
    git("fsck", "--strict", cwd=remote)


def test_several_remotes(repo: Path, bare: Bare) -> None:
    save_run(repo, "first")
    for name in ("lab", "hub"):
        git("remote", "add", name, bare(f"{name}.git"), cwd=repo)
    with pytest.raises(NotFound, match="several git remotes and none is origin") as caught:
        push(repo)
    assert "git config mlgit.remote lab" in str(caught.value.hint)
    assert push(repo, "hub") == Exchange("hub", sent=1)
    git("config", "mlgit.remote", "lab", cwd=repo)
    assert push(repo) == Exchange("lab", sent=1)
    with pytest.raises(NotFound, match="there is no git remote 'nowhere'"):
        push(repo, "nowhere")


# --- what stops it ---------------------------------------------------------------------------


def test_a_remote_that_cannot_be_reached(repo: Path) -> None:
    git("remote", "add", "origin", "https://me:secret@127.0.0.1:1/x.git", cwd=repo)
    begun = sync.init(open_repository(repo))
    assert begun.how == "made"
    assert begun.unreachable
    for move in (push, pull):
        with pytest.raises(RemoteFailed, match="origin cannot be reached: unable to") as caught:
            move(repo)
        assert "secret" not in caught.value.message


def test_a_server_that_refuses_is_quoted(repo: Path, remote: Path) -> None:
    hook(remote, "pre-receive", "echo 'ask Grace first' >&2; exit 1")
    save_run(repo, "second")
    before = tip(repo), tip(remote), tip(repo, "refs/remotes/origin/mlgit")
    with pytest.raises(RemoteFailed) as caught:
        push(repo)
    assert caught.value.message == (
        "origin refused the ledger: pre-receive hook declined; it says: ask Grace first"
    )
    assert before == (tip(repo), tip(remote), tip(repo, "refs/remotes/origin/mlgit"))


def test_the_users_own_hook_is_run_and_may_refuse(repo: Path, remote: Path) -> None:
    hook(repo, "pre-push", "cat > pushed.txt")
    save_run(repo, "second")
    push(repo)
    assert "refs/heads/mlgit" in (repo / "pushed.txt").read_text()
    hook(repo, "pre-push", "echo 'not on Fridays' >&2; exit 1")
    save_run(repo, "third")
    with pytest.raises(RemoteFailed, match=r"the hook pre-push .* stopped the push: not on Fri"):
        push(repo)


def test_no_ledger_to_push(repo: Path, bare: Bare) -> None:
    git("remote", "add", "origin", bare(), cwd=repo)
    assert pull(repo) == Exchange("origin")
    for move in (sync.push, sync.sync):
        with pytest.raises(NotFound, match="no ledger here to push"):
            move(open_repository(repo))


def test_settings_for_other_pushes_do_not_apply(repo: Path, remote: Path) -> None:
    git("tag", "-a", "v1", "-m", "v1", cwd=repo)
    for key in ("push.followTags", "fetch.prune", "fetch.pruneTags"):
        git("config", key, "true", cwd=repo)
    save_run(repo, "second", code=git("rev-parse", "HEAD", cwd=repo).strip())
    push(repo)
    assert git("tag", cwd=remote) == ""
    git("branch", "-D", "mlgit", cwd=remote)
    pull(repo)
    assert tip(repo, "refs/remotes/origin/mlgit"), "perhaps the only copy that is left"
    assert push(repo).sent == 2


# --- shallow clones ------------------------------------------------------------------------


def test_a_shallow_clone_can_push_where_its_code_is(repo: Path, remote: Path, bare: Bare) -> None:
    for number in range(3):
        git("commit", "--quiet", "--allow-empty", "-m", f"work {number}", cwd=repo)
    git("push", "--quiet", "origin", "main", cwd=repo)
    other = remote.with_name("shallow")
    git("clone", "--quiet", "--depth", "1", f"file://{remote}", other)
    sync.init(open_repository(other))
    head = git("rev-parse", "HEAD", cwd=other).strip()
    save_run(other, "second", code=head)
    assert push(other) == Exchange("origin", sent=1)
    assert pull(repo) == Exchange("origin", received=1)
    git("remote", "add", "empty", bare("empty.git"), cwd=other)
    with pytest.raises(RemoteFailed, match="shallow update not allowed") as caught:
        push(other, "empty")
    assert "git fetch --unshallow" in str(caught.value.hint)


# --- ledgers that somebody tampered with ------------------------------------------------------


def change(path: Path, edit: Callable[[Store, dict[str, Entry], str], None]) -> None:
    """Puts a commit on a remote's ledger, made without asking git whether that is a good idea."""
    repository = open_repository(path)
    store, reader = Store(repository), Reader(repository)
    root = reader.tree(tree(path))
    (day,) = git("ls-tree", "-d", "-r", "--name-only", "mlgit", cwd=path).split()[3:4]
    edit(store, root, day)
    reader.close()
    new = store.put("tree", format_tree(root))
    commit = git("commit-tree", "-p", "mlgit", "-m", "hostile", new, cwd=path).strip()
    git("update-ref", "refs/heads/mlgit", commit, cwd=path)


def put(mode: int, name: str) -> Callable[[Store, dict[str, Entry], str], None]:
    def edit(store: Store, root: dict[str, Entry], day: str) -> None:
        content = store.put("blob", b"../../etc/passwd")
        folder = store.put("tree", format_tree({"x": Entry(FILE, content)}))
        root[name] = Entry(mode, folder if mode == TREE else content)

    return edit


def later_format(store: Store, root: dict[str, Entry], day: str) -> None:
    root["mlgit.json"] = Entry(FILE, store.put("blob", b'{"format": 99}'))


def no_mark(store: Store, root: dict[str, Entry], day: str) -> None:
    del root["mlgit.json"]


def altered_file(store: Store, root: dict[str, Entry], day: str) -> None:
    root["experiments"] = Entry(FILE, store.put("blob", b"not the tree we have"))


HOSTILE = {
    "a link": (put(0o120000, "link"), "'link' is not a plain file"),
    "a submodule": (put(0o160000, "module"), "'module' is not a plain file"),
    "a program": (put(0o100755, "run.sh"), "'run.sh' is not a plain file"),
    "a way out": (put(TREE, ".."), "would climb out of its folder"),
    "a hook": (put(TREE, ".GIT"), "would climb out of its folder"),
    "a later format": (later_format, "was written by a later mlgit"),
    "no ledger": (no_mark, "is not a ledger of mlgit"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_ledger_is_refused_and_ours_stays(repo: Path, remote: Path, what: str) -> None:
    other = clone(remote)
    edit, sentence = HOSTILE[what]
    change(remote, edit)
    save_run(repo, "second")
    before = tip(repo), tip(remote)
    for path, move in (
        (repo, sync.pull),
        (repo, sync.push),
        (other, sync.init),
        (other, sync.pull),
    ):
        with pytest.raises(Unreadable) as caught:
            move(open_repository(path))
        assert caught.value.message.startswith("the ledger of origin")
        assert sentence in caught.value.message
        assert (tip(repo), tip(remote), tip(other)) == (*before, "")


def test_a_run_that_was_altered_is_named(repo: Path, remote: Path) -> None:
    path = git("ls-tree", "-r", "--name-only", "mlgit", "runs", cwd=repo).split()[0]
    other = clone(remote)
    git("checkout", "--quiet", "mlgit", cwd=other)
    altered = (other / path).read_text().replace('"first"', '"best"')
    (other / path).write_text(altered)
    git("commit", "--quiet", "-am", "better", cwd=other)
    git("push", "--quiet", "origin", "mlgit", cwd=other)
    before = tip(repo)
    with pytest.raises(Unreadable) as caught:
        pull(repo)
    assert f"{path!r} has two contents" in caught.value.message
    assert tip(repo) == before


def test_runs_that_were_dropped_elsewhere_stay_and_come_back(repo: Path, remote: Path) -> None:
    other = clone(remote)
    git("checkout", "--quiet", "mlgit", cwd=other)
    git("rm", "-r", "--quiet", "runs", cwd=other)
    git("commit", "--quiet", "-m", "tidy up", cwd=other)
    git("push", "--quiet", "origin", "mlgit", cwd=other)
    pull(repo)
    assert runs(repo) == {"first"}
    push(repo)
    assert runs(remote) == {"first"}


def test_a_history_that_was_rewritten_loses_nothing(repo: Path, remote: Path) -> None:
    other = remote.with_name("other")
    git("init", "--quiet", other)
    save_run(other, "elsewhere")
    git("push", "--quiet", "--force", remote, "mlgit", cwd=other)
    assert pull(repo) == Exchange("origin", received=1)
    push(repo)
    assert runs(remote) == {"first", "elsewhere"}


# --- code that travels along --------------------------------------------------------------------


def test_cargo_counts_the_code_that_is_not_there_yet(repo: Path, bare: Bare) -> None:
    path = bare()
    git("remote", "add", "origin", path, cwd=repo)
    git("commit", "--quiet", "--allow-empty", "-m", "second", cwd=repo)
    head = git("rev-parse", "HEAD", cwd=repo).strip()
    (repo / "train.py").write_text("LR = 2\n")
    kept = snapshot.capture(open_repository(repo)).snapshot
    assert sync.cargo(open_repository(repo)) == Cargo(first=True, code=0, snapshots=0)
    save_run(repo, "clean", code=head)
    save_run(repo, "changed", code=kept)
    assert sync.cargo(open_repository(repo)) == Cargo(first=True, code=2, snapshots=1)
    push(repo)
    assert sync.cargo(open_repository(repo)) == Cargo(first=False, code=0, snapshots=0)
    assert git("show", f"{kept}:train.py", cwd=path) == "LR = 2\n"


def test_with_code_sha_no_code_travels(repo: Path, bare: Bare) -> None:
    path = bare()
    git("remote", "add", "origin", path, cwd=repo)
    git("config", "mlgit.code", "sha", cwd=repo)
    script = "import mlgit\nwith mlgit.start_run(name='x'): mlgit.log_metric('a', 1)\n"
    (repo / "train.py").write_text(script)
    head = git("rev-parse", "HEAD", cwd=repo).strip()
    subprocess.run([sys.executable, "train.py"], cwd=repo, check=True, env=dict(os.environ))
    assert sync.cargo(open_repository(repo)) == Cargo(first=True, code=0, snapshots=0)
    push(repo)
    assert "README.md" not in git("log", "--all", "--name-only", "--format=", "-m", cwd=path)
    with Ledger(path) as ledger:
        (run,) = saved.select(ledger)
    assert run.source.commit == head
    assert run.source.snapshot is None
    with pytest.raises(AssertionError):
        git("cat-file", "-e", head, cwd=path)
