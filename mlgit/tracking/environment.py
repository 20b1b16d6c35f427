"""Describes what a run needs to be rebuilt: interpreter, platform, hardware, packages.

The description is named by its content and shared by runs, so it holds nothing that
differs without meaning: no host, no user, no path, no clock. Making it costs tens of
milliseconds, nearly all of it `importlib.metadata`; `capture` therefore keeps the last few
beside a fingerprint of what they depend on, and a run in a known environment pays for
looking at the fingerprint only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from mlgit.tracking.system import devices

_FORMAT = 1  # raised when `describe` says more or says it otherwise: older caches are then missed
_KEPT = 8
_FIELDS = {"python", "platform", "hardware", "packages"}

_described: dict[str, str] = {}  # JSON by fingerprint, so that each caller gets a copy of its own


def capture(cache_file: Path) -> dict[str, object]:
    """Returns the description of this environment, from the cache if it is known there.

    The cache is a JSON object, fingerprint to description, of the last 8 environments met.
    It is replaced whole; one that is missing, damaged, locked or lost to another process
    costs a new description and is never an error.
    """
    key = fingerprint()
    if key not in _described:
        known = _read(cache_file)
        if key not in known:
            known[key] = describe()
            _write(cache_file, dict(list(known.items())[-_KEPT:]))
        if len(_described) >= _KEPT:
            _described.clear()
        _described[key] = json.dumps(known[key])
    description: dict[str, object] = json.loads(_described[key])
    return description


def describe() -> dict[str, object]:
    """Returns the description, read anew.

    `memory` is in bytes, `cores` are logical, `gpus` are NVIDIA's as far as NVML (the extra
    `gpu`) tells of them; frameworks are never asked, since asking starts CUDA. Packages are
    all distributions on sys.path, not only the imported ones; of two with one name, the
    first on the path counts, as it does for imports.
    """
    import platform

    return {
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
        },
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
        },
        "hardware": {
            "cpu": _cpu() or platform.machine(),
            "cores": os.cpu_count(),
            "memory": _memory(),
            "gpus": [{"name": gpu.name, "memory": gpu.memory} for gpu in devices()],
        },
        "packages": dict(sorted(_packages())),
    }


def fingerprint() -> str:
    """Returns a key that changes when the description may: 32 hex digits, no import needed.

    It stands for the interpreter, the machine since it started, and what is installed:
    installing touches the time of a site-packages folder. Any other folder on the path
    changes with each file a script writes there, so of those only the names count that
    importlib.metadata would look into.
    """
    parts: list[object] = [_FORMAT, sys.version, sys.executable, os.uname(), os.cpu_count()]
    with contextlib.suppress(OSError):  # Linux only; elsewhere the kernel's release must do
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"))
    with contextlib.suppress(OSError):  # a container may be given other cards of one machine
        parts.append(sorted(os.listdir("/proc/driver/nvidia/gpus")))
    for folder in sys.path:
        with contextlib.suppress(OSError, TypeError, ValueError):  # what importing ignores, too
            if os.path.basename(folder) in ("site-packages", "dist-packages"):
                parts.append((folder, os.stat(folder).st_mtime_ns))
            else:
                names = os.listdir(folder or os.curdir)
                infos = sorted(name for name in names if name.lower().endswith("-info"))
                parts.append((folder, infos) if infos else None)
    text = "\n".join(str(part) for part in parts if part is not None)
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=16).hexdigest()


def normalized(name: str) -> str:
    """Returns a package's name in the one spelling that all of its spellings share (PEP 503).

    >>> normalized("Ruamel__Yaml.clib")
    'ruamel-yaml-clib'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def _packages() -> Iterator[tuple[str, str]]:
    from importlib import metadata

    seen = set()
    # Two lines by regular expression: `.metadata` would parse each whole README as an e-mail,
    # at twenty times the cost.
    name_line = re.compile(r"^Name:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)
    version_line = re.compile(r"^Version:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)
    with contextlib.suppress(Exception):  # other people's finders take part in this
        for distribution in metadata.distributions():
            try:
                files = map(distribution.read_text, ("METADATA", "PKG-INFO", ""))
                text = next(filter(None, files), "")
            except (OSError, ValueError):  # ValueError: it is not UTF-8
                continue
            name, version = name_line.search(text), version_line.search(text)
            if name and version and (key := normalized(name[1])) not in seen:
                seen.add(key)
                yield key, version[1]


def _cpu() -> str | None:
    if sys.platform == "darwin":
        import ctypes

        value, size = ctypes.create_string_buffer(256), ctypes.c_size_t(256)
        sysctl = ctypes.CDLL(None).sysctlbyname
        sysctl(b"machdep.cpu.brand_string", value, ctypes.byref(size), None, ctypes.c_size_t(0))
        return value.value.decode("utf-8", "replace") or None
    else:
        with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
            # The kernel writes this as it is read, slowly: the first processor speaks for all.
            if model := re.search(r"^model name\s*:\s*(.+?)\s*$", file.read(4096), re.MULTILINE):
                return model[1]
        return None


def _memory() -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _read(cache_file: Path) -> dict[str, object]:
    try:
        known = json.loads(cache_file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {k: d for k, d in known.items() if isinstance(d, dict) and d.keys() == _FIELDS}


def _write(cache_file: Path, known: dict[str, object]) -> None:
    beside = cache_file.with_name(f"{cache_file.name}.{os.getpid()}-{threading.get_ident()}")
    with contextlib.suppress(OSError):
        try:
            cache_file.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(json.dumps(known), encoding="utf-8")
            os.replace(beside, cache_file)
        finally:
            beside.unlink(missing_ok=True)
