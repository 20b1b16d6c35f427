"""What we read of the user's DVC repository: its root, what it ignores, its cache.

Read by hand, since the formats are small and importing DVC takes longer than
storing a model.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from mlgit import names
from mlgit.errors import Invalid

IGNORE_FILE = ".dvcignore"
_LEFT_OUT = {".git", ".hg", ".dvc"}

Ignores = Callable[[str, bool], bool]
"""Told an absolute path and whether it is a folder; tells whether DVC ignores it."""


class Found(NamedTuple):
    """A file of a folder: its path relative to it, POSIX style, and where it is."""

    name: str
    path: str


def find_root(path: Path) -> Path | None:
    """Returns the folder of the DVC repository that a path lies in, if it lies in one."""
    path = path.absolute()
    return next(
        (folder for folder in (path, *path.parents) if os.path.isdir(folder / ".dvc")), None
    )


def walk(folder: Path) -> Iterator[Found]:
    """Yields the files of a folder as DVC sees it.

    Repositories within it and what `.dvcignore` names are left out, unless the
    folder as a whole is ignored: then somebody asked for it all the same.

    Raises:
        Invalid: a part cannot be read or named in a manifest, or it has a `.dvcignore`.
    """
    top = os.path.abspath(folder)
    ignores = _ignores(top)
    for above, folders, files in os.walk(top, onerror=_refuse):
        folders[:] = [
            name
            for name in folders
            if name not in _LEFT_OUT
            and not os.path.exists(f"{above}/{name}/.dvc")
            and not (ignores and ignores(f"{above}/{name}", True))
        ]
        prefix = above[len(top) + 1 :] + "/" if above != top else ""
        for name in files:
            path = f"{above}/{name}"
            if name == ".git" or (ignores and ignores(path, False)):
                continue
            if name == IGNORE_FILE:
                hint = f"move it to {folder.absolute().parent / IGNORE_FILE}"
                if find_root(Path(top)) == Path(top):
                    hint = "this is the whole DVC repository: name the folders in it one by one"
                raise Invalid(
                    f"{path} is inside the folder, and DVC takes none with an ignore file in it",
                    hint,
                )
            yield Found(names.member_path(prefix + name), path)


def _refuse(error: OSError) -> None:
    raise Invalid(f"cannot read {error.filename}: {error.strerror}") from error


def _ignores(top: str) -> Ignores | None:
    """Returns what the `.dvcignore` files from the repository's root down to a folder say."""
    root = find_root(Path(top))
    if root is None:
        return None
    above = [folder for folder in Path(top).parents if folder.is_relative_to(root)]
    rules = [(folder, lines) for folder in reversed(above) if (lines := _patterns(folder))]
    if not rules:
        return None
    from pathspec import GitIgnoreSpec  # 20 ms, for those who have such patterns

    # DVC's reading of the patterns, which is not git's in every corner: of all that
    # match the last decides, and a final slash keeps one from matching files.
    patterns = [
        (len(os.path.join(folder, "")), pattern.regex, pattern.include, line.endswith("/"))
        for folder, lines in rules
        for pattern, line in zip(GitIgnoreSpec.from_lines(lines).patterns, lines, strict=True)
        if pattern.include is not None and pattern.regex is not None
    ]

    def ignores(path: str, is_folder: bool) -> bool:
        for start, regex, verdict, is_for_folders in reversed(patterns):
            if is_for_folders and not is_folder:
                continue
            if regex.match(path[start:]) or (is_folder and regex.match(path[start:] + "/")):
                return bool(verdict)
        return False

    return None if ignores(top, True) else ignores


def _patterns(folder: Path) -> list[str]:
    try:
        lines = (folder / IGNORE_FILE).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read {folder / IGNORE_FILE}: {error}") from error
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


def caches(path: Path) -> list[Path]:
    """Returns the cache of the DVC repository that a path lies in, if it has one."""
    return [cache for cache, _ in _configured(path)]


def lenders(path: Path) -> list[Path]:
    """Returns those of `caches` whose objects may be hard-linked into our store.

    A cache that links files into the work tree (`cache.type`) lends nothing: a change
    there would change what was lent.
    """
    return [cache for cache, types in _configured(path) if types <= {"reflink", "copy"}]


def _configured(path: Path) -> Iterator[tuple[Path, set[str]]]:
    root = find_root(path)
    if root is None:
        return
    folder, types = root / ".dvc" / "cache", "reflink,copy"
    for config in _configs(root):
        settings = _settings(config, "cache")
        types = settings.get("type", types)
        if "dir" in settings:
            folder = Path(config.parent, os.path.expanduser(settings["dir"]))
    if folder.is_dir():
        yield folder, {kind.strip(" \"'") for kind in types.split(",")}


def site_cache(root: Path) -> str | None:
    """Returns where the DVC repository at `root` is set to keep what it need not share."""
    found = None
    for config in _configs(root):
        found = _settings(config, "core").get("site_cache_dir", found)
    return found


def _configs(root: Path) -> list[Path]:
    """Returns the files of DVC's configuration; what a later one says counts."""
    return [*_user_configs(), root / ".dvc" / "config", root / ".dvc" / "config.local"]


def _user_configs() -> list[Path]:
    if sys.platform == "darwin":
        library = Path("Library", "Application Support", "dvc", "config")
        return [Path("/", library), Path.home() / library]
    system = os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)[0]
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return [Path(system, "dvc", "config"), Path(home, "dvc", "config")]


def remotes(path: Path) -> dict[str, str]:
    """Returns the URLs of the remotes of the DVC repository that a path lies in, by name.

    Of the shared configuration only; what `config.local` has is this machine's secret.
    """
    root = find_root(path)
    parser = _parse(root / ".dvc" / "config") if root else None
    found = {}
    for section in parser.sections() if parser else ():
        match = re.fullmatch(r"""'?remote "(.+)"'?""", section)
        if match and parser and (url := parser[section].get("url")):
            found[match[1]] = url.strip(" \"'")
    return found


def _settings(config: Path, section: str) -> dict[str, str]:
    parser = _parse(config)
    if parser is None or not parser.has_section(section):
        return {}
    return {key: value.strip(" \"'") for key, value in parser.items(section)}


def _parse(config: Path) -> configparser.RawConfigParser | None:
    parser = configparser.RawConfigParser(strict=False)
    try:
        # DVC indents, and configparser would take that for a continued line.
        text = config.read_text(encoding="utf-8")
        parser.read_string("\n".join(map(str.strip, text.splitlines())))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return None
    return parser
