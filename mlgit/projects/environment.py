"""An environment with the packages that a run recorded, kept for the next time.

Made by uv where it is installed, else by venv and pip, from whatever index they are set
up for. Every package is named with its version, so nothing is resolved.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import mlgit
from mlgit.errors import WriteFailed
from mlgit.ledger.repository import Repository

_DONE = "mlgit-complete"  # stands in an environment that was made to the end
_OURS = {"mlgit", "pip", "setuptools", "wheel", "uv"}


class Environment(NamedTuple):
    """Something to run Python in."""

    python: Path
    notes: list[str]
    """What is not as it was recorded."""


def current() -> Environment:
    """Returns the interpreter that runs now, whatever was recorded."""
    return Environment(Path(sys.executable), [])


def editable(python: Path, root: Path) -> list[str]:
    """Returns the folders below `root` from which an interpreter imports what is installed.

    They stand in `.pth` files, or in the finder that setuptools makes for a package. On
    PYTHONPATH folders win over both.
    """
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-c", _PLACES], env=env, cwd="/", capture_output=True, text=True, check=False
    )
    places = dict.fromkeys(os.path.realpath(place) for place in done.stdout.split("\0") if place)
    return [
        place
        for place in places
        if Path(place).is_relative_to(root)
        and not _INSTALLED.search(place)
        and Path(place).is_dir()
    ]


_INSTALLED = re.compile(r"/(site|dist)-packages(/|$)|/lib/python3[^/]*(/|$)|\.zip$")
_PLACES = """\
import os, sys
found = sys.path[1:]
for name, module in [*sys.modules.items()]:
    if name.startswith("__editable__"):
        found += map(os.path.dirname, getattr(module, "MAPPING", {}).values())
print(*found, sep="\\0", end="")
"""


def build(
    repository: Repository,
    digest: str,
    recorded: Mapping[str, Any],
    say: Callable[[str], None],
) -> Environment:
    """Returns an environment with the recorded packages, made or made before.

    mlgit itself is the one that runs now. A package that cannot be installed is left out
    and noted.

    Raises:
        WriteFailed: it cannot be made at all.
    """
    folder = repository.state / "environments" / digest[:16]
    version = str(recorded.get("python", {}).get("version") or "")
    notes = _python_note(version)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder.with_suffix(".lock"), say):
            lines = _present(folder)
            if lines is None:
                lines = _build(folder, version, _wanted(recorded), say)
    except (OSError, subprocess.CalledProcessError) as error:
        raise WriteFailed(
            f"no environment can be made: {_reason(error)}", "use this one: --env current"
        ) from error
    return Environment(folder / "bin" / "python", notes + lines)


@contextlib.contextmanager
def _alone(lock: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Waits until nobody else makes the same environment."""
    with lock.open("a") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for the environment that somebody else is making")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _present(folder: Path) -> list[str] | None:
    """Returns the notes of an environment that was made to the end; None if there is none."""
    if not (folder / _DONE).is_file() or not (folder / "bin" / "python").exists():
        return None
    return [line for line in (folder / _DONE).read_text("utf-8").split("\n") if line]


def _build(folder: Path, version: str, wanted: list[str], say: Callable[[str], None]) -> list[str]:
    say(f"making an environment with {len(wanted)} packages (kept for the next time)")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _make(folder, version)
        python = folder / "bin" / "python"
        failed = _install(python, wanted)
        _bring_mlgit(python)
        lines = [f"{each} cannot be installed, and is left out" for each in failed]
        (folder / _DONE).write_text("\n".join(lines), "utf-8")
    except BaseException:  # Ctrl-C too: half an environment must not be taken for one
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return lines


def _wanted(recorded: Mapping[str, Any]) -> list[str]:
    packages = recorded.get("packages")
    found = packages if isinstance(packages, dict) else {}
    return [
        f"{name}=={version}"
        for name, version in sorted(found.items())
        if name not in _OURS
        and isinstance(version, str)
        # It may come from anybody, and must be no option and no address for pip.
        and _NAME.fullmatch(name)
        and _VERSION.fullmatch(version)
    ]


_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")  # as PEP 503 normalizes them
_VERSION = re.compile(r"[A-Za-z0-9][\w.!+-]*", re.ASCII)


def _python_note(version: str) -> list[str]:
    here = ".".join(map(str, sys.version_info[:3]))
    if not version or version.split(".")[:2] == here.split(".")[:2]:
        return []
    if _interpreter(version) != sys.executable:
        return []
    return [f"Python {version} was recorded, and this is {here}"]


def _interpreter(version: str) -> str:
    """Returns an interpreter of the recorded minor version, or the one that runs now."""
    minor = ".".join(version.split(".")[:2])
    if version and minor != ".".join(map(str, sys.version_info[:2])):
        return shutil.which(f"python{minor}") or sys.executable
    return sys.executable


def _make(folder: Path, version: str) -> None:
    interpreter = _interpreter(version)
    if uv := shutil.which("uv"):
        _run(uv, "venv", "--quiet", "--python", interpreter, str(folder))
    else:
        _run(interpreter, "-m", "venv", str(folder))


def _install(python: Path, wanted: list[str]) -> list[str]:
    """Installs packages, and returns those that cannot be."""
    try:
        _add(python, wanted)
        return []
    except subprocess.CalledProcessError:
        failed = []
        for package in wanted:  # to find those that stood in the way of the others
            try:
                _add(python, [package])
            except subprocess.CalledProcessError:
                failed.append(package)
        if wanted and len(failed) == len(wanted):
            raise
        return failed


def _add(python: Path, packages: list[str]) -> None:
    if not packages:
        return
    if uv := shutil.which("uv"):
        _run(uv, "pip", "install", "--quiet", "--no-deps", "--python", str(python), *packages)
    else:
        options = ("--quiet", "--no-deps", "--disable-pip-version-check", "--no-input")
        _run(str(python), "-m", "pip", "install", *options, *packages)


def _bring_mlgit(python: Path) -> None:
    """Copies the mlgit that runs now: one under development is on no index."""
    site = _run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    source = Path(mlgit.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source, Path(site, "mlgit"), ignore=ignored, dirs_exist_ok=True)


def _run(*command: str) -> str:
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=True)
    return done.stdout


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = [line for line in (error.stderr or "").splitlines() if line.strip()]
        return lines[-1][:300] if lines else f"{error.cmd[0]} failed"
    return str(error)
