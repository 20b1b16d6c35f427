"""The user's git repository: where it is, what its configuration says, running git.

Every git process of the project is started here: never through a shell, always in
the C locale so that messages can be recognised, and with optional locks off so
that merely looking never rewrites the user's index.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlgit import names
from mlgit.errors import Invalid, MlgitError, NotARepository, Unreadable, WriteFailed
from mlgit.records import Person

ZERO = "0" * 40
LISTING_LIMIT = 256 * 1024 * 1024  # bytes; the paths of 600,000 runs


class GitFailed(MlgitError):
    """A git command failed; `code` and `stderr` tell how. Translated before users see it."""

    def __init__(self, arguments: tuple[str, ...], code: int, stderr: str) -> None:
        reason = stderr.strip().removeprefix("fatal: ").removeprefix("error: ")
        super().__init__(f"git {' '.join(arguments[:2])} failed: {reason or f'exit code {code}'}")
        self.code = code
        self.stderr = stderr


@dataclass(frozen=True)
class Repository:
    """An opened git repository. All paths are absolute."""

    start: Path
    """Where it was opened from; git runs here, so that worktrees and pathspecs are right."""
    git_dir: Path
    common_dir: Path
    """What all worktrees share; mlgit's local state lies below it."""
    objects: Path
    work_tree: Path | None
    """None in a bare repository."""

    def git(
        self,
        *arguments: str,
        input: bytes | None = None,
        env: Mapping[str, str] | None = None,
    ) -> bytes:
        """Runs a git command and returns its standard output.

        Raises:
            GitFailed: it ended with another exit code than 0.
        """
        done = _run(arguments, self.start, input, env)
        if done.returncode:
            raise GitFailed(arguments, done.returncode, done.stderr.decode(errors="replace"))
        return done.stdout

    def line(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Runs a git command and returns its output as text, without the final newline."""
        return self.git(*arguments, env=env).decode(errors="surrogateescape").rstrip("\n")

    def try_line(self, *arguments: str) -> str | None:
        """Runs a git command as `line` does; None if it fails."""
        try:
            return self.line(*arguments)
        except GitFailed:
            return None

    def listing(self, *arguments: str) -> list[bytes]:
        """Runs a git command that lists, with `-z`, what is on a branch; returns the items.

        Raises:
            Unreadable: it fails, or is endless: a few hostile trees that hold each other
                several times make billions of paths.
        """
        process = self.start_git(*arguments)
        assert process.stdout is not None
        listing = process.stdout.read(LISTING_LIMIT)
        if len(listing) == LISTING_LIMIT:
            process.kill()
        process.communicate()
        if len(listing) == LISTING_LIMIT:
            raise Unreadable("there are more paths than a ledger can have")
        if process.returncode:
            raise Unreadable("git cannot list the paths", "run 'git fsck'")
        return listing.split(b"\0")[:-1]

    def talk(self, *arguments: str, show: bool) -> subprocess.CompletedProcess[str]:
        """Runs a git command whose exit code and stderr are the caller's to judge.

        With `show` its progress, and what the other side says, appear on our stderr
        meanwhile; what it complains of is left to the caller.
        """
        with _listening(show) as (pipe, heard):
            done = subprocess.run(
                ("git", *arguments),
                cwd=self.start,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=pipe,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        done.stderr = b"".join(heard).decode(errors="replace")
        return done

    def start_git(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a long-lived git process that is talked to through its pipes."""
        try:
            return subprocess.Popen(
                ("git", *arguments),
                cwd=self.start,
                env={**_environment(), **(env or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise _not_started(self.start, error) from error

    @cached_property
    def config(self) -> dict[str, str]:
        """The configuration git sees here; keys as git spells them, the last value wins."""
        listing = self.git("config", "--list", "-z").decode(errors="surrogateescape")
        entries = (entry.partition("\n") for entry in listing.split("\0") if entry)
        # A key without "=" is true in git's eyes.
        return {key: value if newline else "true" for key, newline, value in entries}

    def flag(self, key: str, default: bool) -> bool:
        """Returns a boolean configuration value by git's rules for spelling one."""
        value = self.config.get(key, "true" if default else "false").lower()
        return value not in ("false", "no", "off", "0", "")

    def number(self, key: str, default: int) -> int:
        """Returns a configured integer by git's rules for spelling one: 6700 or 7k."""
        match = _NUMBER.fullmatch(self.config.get(key, "").lower())
        return int(match[1]) * _UNITS[match[2]] if match else default

    @property
    def ref(self) -> str:
        """The full name of the ledger's branch."""
        return f"refs/heads/{self.branch}"

    @property
    def branch(self) -> str:
        """The short name of the ledger's branch.

        Raises:
            Invalid: `mlgit.branch` says one that git does not allow.
        """
        name = self.config.get("mlgit.branch", names.BRANCH)
        if not _BRANCH_NAME.fullmatch(name):
            raise Invalid(
                f"mlgit.branch is {names.shown(name)}, and git allows no branch of that name",
                f"git config mlgit.branch {names.BRANCH}",
            )
        return name

    @property
    def remotes(self) -> list[str]:
        """The names of the git remotes, in the order of the configuration."""
        found = (
            key.removeprefix("remote.").removesuffix(".url")
            for key in self.config
            if key.startswith("remote.") and key.endswith(".url")
        )
        return list(dict.fromkeys(found))

    @property
    def remote(self) -> str | None:
        """The remote that shares the ledger: `mlgit.remote`, else origin, else the only one."""
        remotes = self.remotes
        chosen = self.config.get("mlgit.remote")
        if chosen or "origin" in remotes:
            return chosen or "origin"
        return remotes[0] if len(remotes) == 1 else None

    def tracking_ref(self, remote: str) -> str:
        """Where the remote's ledger was last seen."""
        return f"refs/remotes/{remote}/{self.branch}"

    @property
    def state(self) -> Path:
        """The folder of local, unversioned state; made when first asked for.

        Raises:
            WriteFailed: it cannot be made.
        """
        folder = self.common_dir / "mlgit"
        if not folder.is_dir():
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise WriteFailed(f"cannot make {folder}: {error.strerror}") from error
            self.share(folder)
        return folder

    @property
    def data_store(self) -> Path:
        """Where the data store lies: `mlgit.data` keeps objects there. Need not exist."""
        return self.common_dir / "mlgit" / "data"

    def share(self, folder: Path) -> None:
        """Lets those write to a folder of ours who may write to git's: `git init --shared`."""
        shared = self.config.get("core.sharedrepository", "umask").lower()
        if shared not in ("umask", "false", "no", "off", "0"):
            with contextlib.suppress(OSError):  # it is somebody else's
                folder.chmod(stat.S_IMODE(self.objects.stat().st_mode))

    @cached_property
    def person(self) -> Person:
        """Who commits here, by git's own rules.

        Raises:
            NotARepository: git does not know.
        """
        try:
            # A name in another encoding than UTF-8 could not be stored.
            ident = self.line("var", "GIT_AUTHOR_IDENT").encode(errors="replace").decode()
        except GitFailed:
            raise NotARepository(
                "git does not know who you are, and every run says who made it",
                'git config --global user.name "Your Name" && '
                "git config --global user.email you@example.org",
            ) from None  # git's own words say the same at length
        name, _, rest = ident.partition(" <")
        return Person(name=name, email=rest.partition(">")[0])


@contextlib.contextmanager
def _listening(show: bool) -> Iterator[tuple[int, list[bytes]]]:
    """Gives a pipe for git's stderr, and a list of what went into it when the block has ended.

    With `show` all but complaints is passed on to our stderr meanwhile.
    """
    ours, theirs = os.pipe()
    heard: list[bytes] = []
    listener = threading.Thread(target=_listen, args=(ours, heard, show), daemon=True)
    listener.start()
    try:
        yield theirs, heard
    finally:
        os.close(theirs)
    listener.join()  # not after Ctrl-C: what git started may hold its end of the pipe for long


_COMPLAINTS = (b"fatal: ", b"error: ", b"hint: ")
# What would act on a terminal. git itself sends none into a pipe, and passes on the remote's.
_CONTROLS = re.compile(rb"[^\t\n\r\x20-\x7e\x80-\xff]|\xc2[\x80-\x9f]")


def _listen(pipe: int, heard: list[bytes], show: bool) -> None:
    rest = b""
    with open(pipe, "rb", buffering=0) as stream:
        while data := stream.read(4096):
            heard.append(data)
            if not show:
                continue
            *lines, rest = re.split(rb"(?<=[\r\n])", rest + data)
            if not any(rest.startswith(each) or each.startswith(rest) for each in _COMPLAINTS):
                lines, rest = [*lines, rest], b""  # a question, perhaps, that waits for an answer
            shown = b"".join(line for line in lines if not line.startswith(_COMPLAINTS))
            with contextlib.suppress(OSError):  # nobody is there to see it any more
                os.write(sys.stderr.fileno(), _CONTROLS.sub(b"", shown))


def open_repository(path: str | os.PathLike[str] = ".") -> Repository:
    """Opens the git repository that `path` lies in.

    Raises:
        NotARepository: there is none, git refuses it, or it has SHA-256 objects.
    """
    try:
        start = Path(path).absolute()
    except FileNotFoundError as error:
        raise NotARepository("the working directory was deleted", "change the folder") from error
    done = _run(
        (
            "rev-parse",
            "--show-object-format",
            "--is-bare-repository",
            "--absolute-git-dir",
            _NEXT,
            "--git-common-dir",
            _NEXT,
            "--git-path",
            "objects",
            _NEXT,
            "--show-cdup",
        ),
        start,
    )
    if done.returncode:
        raise _refusal(start, done.stderr.decode(errors="replace"))
    object_format, bare, paths = os.fsdecode(done.stdout).split("\n", 2)
    git_dir, common_dir, objects, up = paths.split(f"\n{_NEXT}\n")
    if object_format != "sha1":
        raise NotARepository(
            f"this repository names its objects by {object_format}, "
            "which GitPython's object database cannot write",
            "mlgit needs a repository with SHA-1 objects, git's default",
        )
    inside = start.resolve().is_relative_to(git_dir)
    return Repository(
        start=start,
        git_dir=Path(git_dir),
        common_dir=(start / common_dir).resolve(),
        objects=(start / objects).resolve(),
        work_tree=None if bare == "true" or inside else (start / up.removesuffix("\n")).resolve(),
    )


# git prints an option that it does not know; so paths that hold newlines can be told apart.
_NEXT = "--next"


def _refusal(start: Path, stderr: str) -> NotARepository:
    if match := re.search(r"git config --global --add safe\.directory .+", stderr, re.DOTALL):
        return NotARepository(
            f"git will not open the repository at {start}: it belongs to somebody else",
            f"if you trust it: {match[0].strip()}",
        )
    if "not a git repository" in stderr and "GIT_DIR" in os.environ:
        return NotARepository(
            f"git is told by GIT_DIR to look in {os.environ['GIT_DIR']}, "
            f"and from {start} there is no repository",
            "unset GIT_DIR, or set it to an absolute path",
        )
    if "not a git repository" in stderr:
        return NotARepository(
            f"{start} is not in a git repository", "run 'git init' first, or change the folder"
        )
    return NotARepository(f"git cannot open {start}: {stderr.strip().removeprefix('fatal: ')}")


_NUMBER = re.compile(r"\s*([+-]?\d+)([kmg]?)")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
# The rules of `git check-ref-format`, and of `git branch`, which knows "HEAD" and options.
_BRANCH_NAME = re.compile(
    r"(?!-|HEAD$|.*(?:^|/)(?:\.|/|$)|.*(?:\.\.|@\{|//)|.*\.lock(?:/|$)|.*\.$)"
    r"[^\x00-\x20\x7f~^:?*\[\\]+",
    re.DOTALL,
)


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}


def _run(
    arguments: tuple[str, ...],
    cwd: Path,
    input: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ("git", *arguments),
            cwd=cwd,
            env={**_environment(), **(env or {})},
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise _not_started(cwd, error) from error


def _not_started(cwd: Path, error: OSError) -> MlgitError:
    if not cwd.is_dir():
        return NotARepository(f"there is no folder {cwd}")
    if isinstance(error, FileNotFoundError):
        return NotARepository("git is not installed", "install git 2.34 or later")
    return NotARepository(f"git cannot be started in {cwd}: {error.strerror}")
