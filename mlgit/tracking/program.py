"""Tells what is running: the script or notebook, its arguments, the sources it imported.

All of it is read from the interpreter's own tables, and only read: a module may be lazy and
load itself, or others, when an attribute is asked for, so no attribute is.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from importlib.util import source_from_cache
from pathlib import Path
from types import ModuleType

from mlgit.ledger.secrets import find_secret

_HIDDEN = "***"
_SECRET_WORDS = {
    "apikey",
    "auth",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
}
_KINDS_OF_KEY = {"access", "account", "api", "auth", "encryption", "private", "secret", "signing"}
# What tokenizers call their special tokens: `--pad-token` hides nothing.
_PLAIN_TOKENS = {"bos", "cls", "end", "eos", "image", "mask", "pad", "sep", "start", "stop", "unk"}

# Lazy modules redefine __getattribute__, and some even __dict__; this asks neither.
_names_in = vars(ModuleType)["__dict__"].__get__
_SITES = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
_LIBRARY_AND_SCRIPTS = tuple(
    os.path.dirname(file) + os.sep for file in (os.__file__, sys.executable) if file
)


def entry() -> Path | None:
    """Returns the script, module or notebook this process runs, absolute, symlinks as typed.

    None at a prompt, under `-c`, and for a program that was installed, such as pytest.
    """
    main = _namespace(sys.modules.get("__main__"))
    candidates = [
        main.get("__file__"),
        main.get("__vsc_ipynb_file__"),  # Visual Studio Code
        main.get("__session__"),  # ipykernel, which has it from the variable below
        # A script started from a notebook inherits the variable, and is not the notebook.
        os.environ.get("JPY_SESSION_NAME") if "ipykernel" in sys.modules else None,
        *_argv()[:1],  # under a profiler __main__ is the profiler, but argv the script's
    ]
    for candidate in candidates:
        if isinstance(candidate, str) and os.path.isfile(candidate):
            path = os.path.abspath(candidate)
            if not _is_installed(path):
                return Path(path)
    return None


def module() -> str | None:
    """Returns the module that was run with `python -m`, None if none was."""
    main = _namespace(sys.modules.get("__main__"))
    name, file = getattr(main.get("__spec__"), "name", None), main.get("__file__")
    # Under a profiler the module is the profiler, and the script is another file.
    if not isinstance(name, str) or not isinstance(file, str):
        return None
    return name.removesuffix(".__main__") if entry() == Path(os.path.abspath(file)) else None


def arguments() -> list[str]:
    """Returns the arguments of the program, with what looks like a secret replaced by `***`.

    That is: the value of an option whose name ends like a secret's (`--hf-token X`,
    `--apiKey=X`, `db.password=X`), and any value in a format of known credentials. A
    notebook's kernel has arguments, but none that the user gave: the list is empty.
    """
    if "ipykernel" in sys.modules and "__file__" not in _namespace(sys.modules.get("__main__")):
        return []
    shown: list[str] = []
    secret_follows = False
    for argument in _argv()[1:]:
        name, equals, value = argument.partition("=")
        is_option = argument.startswith("-")
        if secret_follows and not is_option:
            shown.append(_HIDDEN)
            secret_follows = False
            continue
        secret_follows = is_option and not equals and _names_secret(name)
        if equals and (_names_secret(name) or _is_secret(value)):
            shown.append(f"{name}={_HIDDEN}")
        else:
            shown.append(_HIDDEN if _is_secret(argument) else argument)
    return shown


def imported_files(root: Path, exclude: Iterable[Path] = ()) -> list[Path]:
    """Returns the Python sources below `root` of the modules loaded now, sorted.

    Left out are installed packages, the standard library, a virtual environment inside
    `root`, the folders in `exclude`, and what is no longer there. Paths are spelled
    `root / …`, with symlinks below it resolved.
    """
    real_root = os.path.realpath(root)
    inside = real_root.rstrip(os.sep) + os.sep
    unwanted = tuple(os.path.realpath(folder) + os.sep for folder in exclude)
    prefix = os.path.realpath(sys.prefix) + os.sep
    if prefix.startswith(inside) and prefix != inside:  # `python -m venv .` makes them equal
        unwanted += (prefix,)
    real_folders: dict[str, str] = {}  # resolving is slow, and folders are few
    found = set()
    for module in sys.modules.copy().values():  # one atomic step; other threads may import
        file = _namespace(module).get("__file__")
        if not isinstance(file, str) or _is_installed(file):
            continue
        folder, name = os.path.split(_source(file))
        if folder not in real_folders:
            real_folders[folder] = os.path.realpath(folder)
        path = os.path.join(real_folders[folder], name)
        if path.startswith(inside) and not path.startswith(unwanted) and path.endswith(".py"):
            found.add(path)
    return [root / path[len(inside) :] for path in sorted(found) if os.path.isfile(path)]


def _source(file: str) -> str:
    if not file.endswith(".pyc"):
        return file
    try:
        return source_from_cache(file)
    except ValueError:  # it stands beside its source, as with `compileall -b`
        return file[:-1]


def _namespace(module: object) -> dict[str, object]:
    try:
        names: dict[str, object] = _names_in(module)
    except TypeError:  # anything may be put into sys.modules
        return {}
    return names


def _argv() -> list[str]:
    return [str(argument) for argument in getattr(sys, "argv", [])]  # not there when embedded


def _is_installed(path: str) -> bool:
    return path.startswith(_LIBRARY_AND_SCRIPTS) or _SITES[0] in path or _SITES[1] in path


def _names_secret(name: str) -> bool:
    """Tells whether the last words of an option's name promise a secret.

    >>> [_names_secret(n) for n in ("--hf_token", "apiKey", "--max-tokens", "--pad-token")]
    [True, True, False, False]
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
    *_, before, last = ["", "", *re.findall(r"[a-z0-9]+", spaced)]
    if last == "token":
        return before not in _PLAIN_TOKENS
    return last.removesuffix("s") in _SECRET_WORDS or (last == "key" and before in _KINDS_OF_KEY)


def _is_secret(value: str) -> bool:
    return find_secret(value.encode("utf-8", "backslashreplace")) is not None
