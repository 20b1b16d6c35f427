"""An environment with the packages that a run recorded, kept for the next time.

Made by uv where it is installed, else by venv and pip, from whatever index they are set
up for. Every package is named with its version, so nothing is resolved.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
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
    python = folder / "bin" / "python"
    wanted = _wanted(recorded)
    version = str(recorded.get("python", {}).get("version") or "")
    notes = _python_note(version)
    if (folder / _DONE).is_file() and python.exists():
        left_out = (folder / _DONE).read_text("utf-8").split("\n")
        return Environment(python, notes + [line for line in left_out if line])
    say(f"making an environment with {len(wanted)} packages (kept for the next time)")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _make(folder, version)
        failed = _install(python, wanted)
        _bring_mlgit(python)
        lines = [f"{each} cannot be installed, and is left out" for each in failed]
        (folder / _DONE).write_text("\n".join(lines), "utf-8")
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise WriteFailed(
            f"no environment can be made: {_reason(error)}", "use this one: --env current"
        ) from error
    return Environment(python, notes + lines)


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
