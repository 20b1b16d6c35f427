"""What every test stands on: a home, a git configuration and an environment of its own.

Nothing of the person or machine that runs the tests reaches them. Tests take the
fixtures below, or import the plain functions: `from conftest import git, needs`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from peers import free_port, running

from mlgit import names, records
from mlgit.data.remote import Remote
from mlgit.ledger import append, open_repository
from mlgit.records import Run

ON_CI = os.environ.get("CI") == "true"

# A deadline measures the machine, not the code. The same examples on every CI run: a
# failure there can be repeated, and new examples are found where somebody can look.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if ON_CI else "here")

GITCONFIG = """\
[user]
    name = Ada Example
    email = ada@example.org
[init]
    defaultBranch = main
[commit]
    gpgsign = false
[tag]
    gpgsign = false
[advice]
    detachedHead = false
"""

FIRST_COMMIT = "2026-01-01T12:00:00+00:00"
_FOREIGN = ("GIT_", "MLGIT_", "XDG_", "SSH_", "GPG_")
_FOREIGN_NAMES = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PAGER", "EDITOR")


GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the expected texts anew; then read them"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compares a text with the file that keeps it, or writes it with --update-golden."""

    def check(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(text, "utf-8")
        assert text == path.read_text("utf-8"), "if that is better: pytest --update-golden"

    return check


@pytest.fixture(autouse=True)
def hermetic(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replaces home, git configuration and environment; returns the empty home."""
    home = tmp_path_factory.mktemp("home")
    (home / ".gitconfig").write_text(GITCONFIG)
    for name in list(os.environ):
        if name.startswith(_FOREIGN) or name in _FOREIGN_NAMES:
            monkeypatch.delenv(name)
    for name, value in {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        # Outside a test's own repository there is none, wherever the temporary folder lies.
        "GIT_CEILING_DIRECTORIES": str(tmp_path_factory.getbasetemp()),
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "100",
        "MPLBACKEND": "agg",
    }.items():
        monkeypatch.setenv(name, value)
    time.tzset()
    return home


def git(
    *args: str | os.PathLike[str],
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    input: str | None = None,
) -> str:
    """Runs real git and returns what it printed; `env` is added to the environment.

    Raises:
        AssertionError: git failed; the message holds its stderr.
    """
    done = subprocess.run(
        ["git", *map(os.fspath, args)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        input=input or "",  # never the terminal's
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
    )
    command = " ".join(map(str, args))
    assert done.returncode == 0, f"git {command} (exit {done.returncode}): {done.stderr}"
    return done.stdout


@pytest.fixture(name="git")
def _git() -> Callable[..., str]:
    return git


def needs(program: str, install: str) -> str:
    """Returns the path of a program; without it the test is skipped, or fails on CI.

    `install` is what a person does about it, as in "apt install openssh-client".
    """
    found = shutil.which(program)
    if found:
        return found
    sentence = f"this test runs {program}: {install}"
    if ON_CI:
        pytest.fail(sentence)
    pytest.skip(sentence)


@pytest.fixture(name="needs")
def _needs() -> Callable[[str, str], str]:
    return needs


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit (README.md, train.py), as working directory.

    The commit's date is fixed, so its id is the same in every run of the tests.
    """
    path = tmp_path / "project"
    git("init", "--quiet", path)
    (path / "README.md").write_text("# A project\n")
    (path / "train.py").write_text('print("training")\n')
    git("add", ".", cwd=path)
    when = {"GIT_AUTHOR_DATE": FIRST_COMMIT, "GIT_COMMITTER_DATE": FIRST_COMMIT}
    git("commit", "--quiet", "--message", "first", cwd=path, env=when)
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def bare(tmp_path: Path) -> Callable[..., Path]:
    """A factory of empty bare repositories, which stand for remotes."""

    def make(name: str = "remote.git") -> Path:
        path = tmp_path / name
        git("init", "--quiet", "--bare", path)
        return path

    return make


@pytest.fixture
def showcase(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the showcase (see showcase.py), as working directory."""
    from showcase import build

    made = tmp_path_factory.getbasetemp() / "showcase"
    if not made.exists():
        build(made)
    path = shutil.copytree(made, tmp_path / "showcase")
    monkeypatch.chdir(path)
    return path


def users_own(path: Path) -> dict[str, object]:
    """Returns everything in a repository that is the user's, to be compared before and after."""
    git_dir = Path(git("rev-parse", "--absolute-git-dir", cwd=path).rstrip("\n"))
    look = {"GIT_OPTIONAL_LOCKS": "0"}
    index = git_dir / "index"
    refs = git("for-each-ref", cwd=path).splitlines()
    files = [file for file in path.rglob("*") if ".git" not in file.parts and file.is_file()]
    own: dict[str, object] = {
        "HEAD": (git_dir / "HEAD").read_bytes(),
        "index": index.read_bytes() if index.exists() else None,
        "refs": [ref for ref in refs if "\trefs/heads/mlgit" not in ref and "mlgit/" not in ref],
        "files": {file: file.is_symlink() or file.read_bytes() for file in files},
    }
    if git_dir != path:  # not bare
        own["status"] = git("status", "--porcelain=v2", "--branch", cwd=path, env=look)
        own["stash"] = git("stash", "list", cwd=path)
    return own


def make_run(ms: int | None = None, **fields: Any) -> Run:
    """Returns a record with an id of its own, of the time given or of now."""
    run_id = names.new_id(ms)
    started = names.timestamp(names.id_ms(run_id) / 1000)
    by = records.Person(name="Ada Example", email="ada@example.org")
    fixed: dict[str, Any] = {"id": run_id, "experiment": "exp", "status": "finished"}
    return Run(**(fixed | {"started": started, "ended": started, "by": by} | fields))


def add_runs(path: Path, *runs: Run) -> list[str]:
    """Adds runs to the ledger in one commit, which is quicker than saving each."""
    files = {names.run_file(run.id, names.RUN_FILE): records.dump_run(run) for run in runs}
    append(open_repository(path), files, f"import {len(runs)} runs\n")
    return [run.id for run in runs]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A real S3 server with a bucket, `data`; its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    with running(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], tmp_path
    ) as is_alive:
        while True:
            try:
                urllib.request.urlopen(
                    urllib.request.Request(f"{url}/data", method="PUT"), timeout=5
                ).close()
                break
            except urllib.error.HTTPError:
                raise
            except OSError:
                assert is_alive()
                time.sleep(0.05)
        yield url


def new_key(path: Path) -> Path:
    """Makes an SSH key without a passphrase, its public half beside it, and returns its path."""
    keygen = needs("ssh-keygen", "apt install openssh-client")
    subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def sign_with(key: Path, *what: str) -> None:
    """Has git sign with an SSH key from now on: "commit", "tag", or both."""
    for name in what:
        git("config", f"{name}.gpgsign", "true")
    git("config", "gpg.format", "ssh")
    git("config", "user.signingkey", key)


def allow(place: Path, **keys: Path) -> None:
    """Tells git whose keys are good: `ada=key` is that of ada@example.org."""
    lines = (f"{who}@example.org {Path(f'{key}.pub').read_text()}" for who, key in keys.items())
    place.write_text("".join(lines))
    git("config", "gpg.ssh.allowedSignersFile", place)


@pytest.fixture
def ssh(tmp_path: Path, hermetic: Path) -> Iterator[Remote]:
    """A real SSH server that knows the key of this home; a remote behind it."""
    # It must be called by its whole path, which is on few people's PATH.
    sshd = needs(shutil.which("sshd") or "/usr/sbin/sshd", "apt install openssh-server")
    server, home = tmp_path / "sshd", hermetic / ".ssh"
    server.mkdir()
    home.mkdir(mode=0o700)
    for key in (server / "host_key", home / "id_ed25519"):
        new_key(key)
    keys = server / "authorized_keys"
    keys.write_bytes((home / "id_ed25519.pub").read_bytes())
    port = free_port()
    host_key = (server / "host_key.pub").read_text()
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    config = server / "config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {server}/host_key\nPidFile none\n"
        f"AuthorizedKeysFile {keys}\nStrictModes no\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nUsePAM no\nSubsystem sftp internal-sftp\n"
        "MaxStartups 100\nMaxSessions 100\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd asks for it
    with running([sshd, "-D", "-e", "-f", str(config)], tmp_path) as is_alive:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
                break
            assert is_alive()
            time.sleep(0.02)
        yield Remote("server", f"ssh://127.0.0.1:{port}{tmp_path}/behind ssh/mlgit", {})
