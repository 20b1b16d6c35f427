"""Writing a site: only what changed is made, beside the old one, and swapped in at once.

A site is made of units: files that are made together and depend on the same inputs. The
manifest in the site's folder tells each unit's key, a digest of those inputs, so that the next
build takes the files of a unit that did not change as they are (by hard link, which costs
nothing). A build that is interrupted leaves nothing but a folder that the next one empties.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mlgit import __version__
from mlgit.errors import Invalid, NotFound, Unreadable, WriteFailed, WrongState

MANIFEST = "mlgit-site.json"
IGNORE = ".gitignore"  # in a work tree the site is nothing to commit
FORMAT = 1

Progress = Callable[[int, int], None]  # units done, units in all


class Unit(NamedTuple):
    """Files of a site that are made together."""

    name: str
    key: str
    """What they depend on, as a digest."""
    make: Callable[[], Iterable[tuple[str, bytes]]]
    """Yields their URLs and bytes; a URL may come from several units, with the same bytes."""


class Written(NamedTuple):
    files: int
    bytes: int
    units: int
    made: int
    """Units that had to be made; the others were taken over."""


class _Manifest(msgspec.Struct, frozen=True):
    format: int
    about: str
    ledger: str
    units: dict[str, tuple[str, list[str]]]
    mlgit: str = ""
    """The version that made it."""
    choice: Any = None
    """What of the ledger it shows, see `choice`."""
    tags: str = ""
    """The registry's git tags, as a digest."""


class Made(NamedTuple):
    """What a site was made from, as its manifest tells."""

    ledger: str
    mlgit: str
    choice: Any
    tags: str


def made_from(out: Path) -> Made:
    """Returns what the site in a folder was made from.

    Raises:
        NotFound: there is none.
        Unreadable: its manifest is damaged.
    """
    try:
        found = msgspec.json.decode((out / MANIFEST).read_bytes(), type=_Manifest)
    except OSError as error:
        raise NotFound(f"there is no site in {out}", "make one: mlgit site build") from error
    except msgspec.DecodeError as error:
        raise Unreadable(f"{out / MANIFEST} is damaged", "mlgit site build") from error
    return Made(found.ledger, found.mlgit, found.choice, found.tags)


def build(
    out: Path,
    units: Sequence[Unit],
    ledger: str,
    progress: Progress | None = None,
    choice: Any = None,
    tags: str = "",
    alone: bool = False,
) -> Written:
    """Brings the site in the folder `out` to these units.

    `ledger` names the state of the ledger, `tags` that of the registry and `choice` what is
    shown of them, for who wants to know later. `alone` keeps to this process, which must not
    fork where other threads are at work: the locks that they hold would stay so for ever.

    Raises:
        Invalid: `out` is there and is no site of ours, or a repository too.
        WrongState: another build of it is going on.
        WriteFailed: the disk is full or read-only; the old site is as it was.
    """
    out = out.resolve()
    try:
        _see_that_it_is_ours(out)
        with _beside(out) as new:
            old = _old(out)
            made = Made(ledger, __version__, choice, tags)
            written = _fill(new, out, units, old, made, progress, alone)
            _swap(new, out)
    except OSError as error:
        raise WriteFailed(
            f"the site cannot be written to {out}: {error.strerror or error}",
            "the site that was there is as it was" if os.path.isfile(out / MANIFEST) else None,
        ) from error
    return written


def _see_that_it_is_ours(out: Path) -> None:
    """Lets only a folder through that is a site, empty or not there: it is replaced whole.

    Raises:
        Invalid: something else is there.
    """
    if not out.exists():
        return
    if not out.is_dir() or (any(out.iterdir()) and not (out / MANIFEST).is_file()):
        reason = "is there and was not made by mlgit, so it is not replaced"
    elif os.path.lexists(out / ".git"):  # of a published site, say
        reason = "is a git checkout, which would be replaced with all its history"
    else:
        return
    raise Invalid(f"{out} {reason}", "name another folder: mlgit site build --out FOLDER")


def _old(out: Path) -> dict[str, tuple[str, list[str]]]:
    """Returns the units of the site that is there; none if there is no site."""
    try:
        found = msgspec.json.decode((out / MANIFEST).read_bytes(), type=_Manifest)
    except (FileNotFoundError, msgspec.DecodeError):
        return {}  # no site, or the manifest of a later mlgit: everything is made anew
    return found.units if found.format == FORMAT else {}


@contextlib.contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """Makes an empty folder beside `out` that no other build uses; removes it in the end."""
    new = out.with_name(f".{out.name}.mlgit-new")
    new.mkdir(parents=True, exist_ok=True)
    with _locked(new, out):
        _recover(out)
        # After the swap the old site has the other name, and goes.
        with _locked(out, out) if out.exists() else contextlib.nullcontext():
            try:
                _empty(new)
                yield new
            finally:
                shutil.rmtree(new, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path, out: Path) -> Iterator[None]:
    """Keeps other builds of `out` from a folder.

    Raises:
        WrongState: one has it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = os.path.samestat(os.fstat(handle), os.stat(folder))
        except (BlockingIOError, FileNotFoundError):
            is_there = False
        if not is_there:  # or one had it, and has swapped or removed it just now
            raise WrongState(f"another build of {out} is going on", "wait until it has ended")
        yield
    finally:
        os.close(handle)


def _empty(folder: Path) -> None:
    """Removes what an interrupted build left."""
    for path in list(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _fill(
    new: Path,
    out: Path,
    units: Sequence[Unit],
    old: dict[str, tuple[str, list[str]]],
    made: Made,
    progress: Progress | None,
    alone: bool,
) -> Written:
    # What a killed build leaves is nothing to commit either; it is no part of the site.
    (new / IGNORE).write_bytes(b"*\n")
    files = _Files(new)
    urls: dict[str, list[str]] = {}
    changed = []
    for unit in units:
        key, known = old.get(unit.name, ("", []))
        if key == unit.key and files.take_over(out, known):
            urls[unit.name] = known
        else:
            changed.append(unit)
    kept = len(units) - len(changed)
    for done, (name, found) in enumerate(_made(changed, files, alone), kept + 1):
        urls[name] = found
        if progress:
            progress(done, len(units))
    files.write(".nojekyll", b"")  # GitHub Pages would leave out what begins with "_"
    listing = {unit.name: (unit.key, urls[unit.name]) for unit in units}
    files.write(MANIFEST, _manifest(listing, made))
    return Written(files.count, files.bytes, len(units), len(changed))


def _made(units: list[Unit], files: _Files, alone: bool) -> Iterator[tuple[str, list[str]]]:
    """Makes units and yields the name and URLs of each, in any order."""
    global _work
    workers = min(len(os.sched_getaffinity(0)), _WORKERS) if sys.platform == "linux" else 1
    if workers < 2 or len(units) < _MANY or alone:
        for unit in units:
            yield unit.name, files.make(unit)
        return
    # What is to be made is a thousand closures over one ledger; a fork takes them along.
    _work = units, files
    with multiprocessing.get_context("fork").Pool(workers, _ignore_interrupts) as pool:
        places = range(len(units))
        for place, urls, size in pool.imap_unordered(_make_one, places, chunksize=16):
            files.note(urls, size)
            yield units[place].name, urls


_WORKERS = 8
_MANY = 150  # units; fewer are made before a second process has started
_work: tuple[list[Unit], _Files]


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer


def _make_one(place: int) -> tuple[int, list[str], int]:
    units, files = _work
    before = files.bytes
    urls = files.make(units[place])
    return place, urls, files.bytes - before


def _manifest(units: dict[str, tuple[str, list[str]]], made: Made) -> bytes:
    about = "a site made by mlgit; this folder is replaced by the next build"
    found = _Manifest(FORMAT, about, made.ledger, units, made.mlgit, made.choice, made.tags)
    return msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n"


class _Files:
    """The files of the new site, counted."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._folders: set[str] = set()
        self._there: set[str] = set()
        self.bytes = 0

    @property
    def count(self) -> int:
        return len(self._there)

    def note(self, urls: Iterable[str], size: int) -> None:
        """Counts files that another process has written."""
        self._there.update(urls)
        self.bytes += size

    def make(self, unit: Unit) -> list[str]:
        """Makes a unit's files and returns their URLs."""
        urls = []
        for url, content in unit.make():
            self.write(url, content)
            urls.append(url)
        return urls

    def write(self, url: str, content: bytes) -> None:
        with contextlib.suppress(FileExistsError):  # of another unit, and just the same
            with open(self._place(url), "xb") as file:
                file.write(content)
            self.bytes += len(content)
        self._there.add(url)

    def take_over(self, out: Path, urls: Sequence[str]) -> bool:
        """Takes files of the old site; False, and none, if one is not there any more."""
        sources = [f"{out}/{url}" for url in urls]
        try:
            size = sum(os.lstat(source).st_size for source in sources)
        except FileNotFoundError:
            return False
        for url, source in zip(urls, sources, strict=True):
            with contextlib.suppress(FileExistsError):
                _link(source, self._place(url))
        self.note(urls, size)
        return True

    def _place(self, url: str) -> str:
        folder = url.rpartition("/")[0]
        if folder not in self._folders:
            os.makedirs(f"{self._folder}/{folder}", exist_ok=True)
            self._folders.add(folder)
        return f"{self._folder}/{url}"


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EEXIST, errno.ENOSPC, errno.EDQUOT):
            raise
        shutil.copy2(source, target)  # a file system without links


# --- swapping ------------------------------------------------------------------------------


def _swap(new: Path, out: Path) -> None:
    """Puts the new site in the place of the old one; there is no moment without a whole site.

    Where the system cannot exchange two folders there is one, between two renames; who finds
    it so (`_recover`) puts the old one back.
    """
    if not out.exists():
        new.rename(out)
    elif not _exchange(new, out):
        away = _away(out)
        out.rename(away)
        new.rename(out)
        shutil.rmtree(away, ignore_errors=True)


def _away(out: Path) -> Path:
    return out.with_name(f".{out.name}.mlgit-old")


def _recover(out: Path) -> None:
    """Puts an old site back that an interrupted swap moved away."""
    away = _away(out)
    if (away / MANIFEST).is_file():
        if out.exists():
            shutil.rmtree(away)
        else:
            away.rename(out)


_AT_FDCWD = -100 if sys.platform == "linux" else -2
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges two folders in one step; False where the system cannot."""
    function: Any = getattr(
        ctypes.CDLL(None, use_errno=True),
        "renameat2" if sys.platform == "linux" else "renameatx_np",
        None,
    )
    if function is None:
        return False
    paths = _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other)
    return bool(function(*paths, ctypes.c_uint(_EXCHANGE)) == 0)
