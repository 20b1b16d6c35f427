"""The layers hold: imports go down only, and each outside thing has one door.

Read from the source, so that a forbidden import fails here even if nothing calls it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import mlgit

ROOT = Path(mlgit.__file__).parent

# From the ground up. Rooms on one floor do not know each other.
FLOORS = [
    ["errors", "words"],
    ["names"],
    ["tags"],
    ["records", "query"],
    ["ledger", "data"],
    ["saved", "remotes", "settings"],
    ["whereabouts"],
    ["transfer", "profiles"],
    ["artifacts", "versions"],
    ["registry"],
    ["tracking", "reading", "models", "lineage"],
    ["doctor", "gc", "verify", "site", "interop", "projects", "monitor"],
    ["cli"],
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# What only these rooms may import: the doors to the world outside.
DOORS = {
    "click": {"cli"},
    "gitdb": {"ledger"},
    "git": {"ledger"},
    "dvc": {"data"},
    "dvc_data": {"data"},
    "dvc_objects": {"data"},
    "jinja2": {"site"},
    "markdown_it": {"site"},
    "pygments": {"site"},
    "altair": {"site"},
    "vl_convert": {"site"},
}

# Imports inside functions, and why. They hide what a file depends on, so each is listed.
SLOW = "takes longer to import than most commands take, and few need it"
OPTIONAL = "need not be installed"
LAZY = "this package or program imports a room when it is first used"
INSIDE_FUNCTIONS = {
    ("mlgit", "importlib"): LAZY,
    ("mlgit.cli", "mlgit.cli.output"): LAZY,
    ("mlgit.cli", "mlgit.cli.place"): LAZY,
    ("mlgit.cli", "mlgit.tracking.finish"): SLOW,
    ("mlgit.cli.place", "mlgit.tracking"): SLOW,
    ("mlgit.cli.show", "mlgit.tracking"): SLOW,
    ("mlgit.cli.complete", "mlgit.saved"): SLOW,
    ("mlgit.cli.lazy", "difflib"): SLOW,
    ("mlgit.cli.absent", "difflib"): SLOW,
    ("mlgit.query", "difflib"): SLOW,
    ("mlgit.registry.find", "difflib"): SLOW,
    ("mlgit.saved", "difflib"): SLOW,
    ("mlgit.cli.table", "wcwidth"): SLOW,
    ("mlgit.ledger.objects", "gitdb"): SLOW,
    ("mlgit.reading", "pandas"): OPTIONAL,
    ("mlgit.cli.data", "mlgit.artifacts"): SLOW,
    ("mlgit.cli.share", "mlgit.data"): SLOW,
    ("mlgit.cli.share", "mlgit.remotes"): SLOW,
    ("mlgit.cli.share", "mlgit.transfer"): SLOW,
    ("mlgit.cli.show", "mlgit.artifacts"): SLOW,
    ("mlgit.cli.site", "mlgit.site.build"): OPTIONAL,
    ("mlgit.cli.site", "mlgit.site.check"): OPTIONAL,
    ("mlgit.cli.site_publish", "mlgit.site.publish"): OPTIONAL,
    ("mlgit.cli.site_serve", "mlgit.site.serve"): OPTIONAL,
    ("mlgit.data.address", "s3fs"): OPTIONAL,
    ("mlgit.lineage.versions", "mlgit.registry"): SLOW,
    ("mlgit.lineage.versions", "mlgit.registry.fold"): SLOW,
    ("mlgit.registry.api", "mlgit.artifacts"): SLOW,
    ("mlgit.registry.api", "mlgit.data"): SLOW,
    ("mlgit.registry.signatures", "cryptography.exceptions"): OPTIONAL,
    ("mlgit.registry.signatures", "cryptography.hazmat.primitives"): OPTIONAL,
    ("mlgit.registry.signatures", "cryptography.hazmat.primitives.asymmetric"): OPTIONAL,
    ("mlgit.cli.model_show", "mlgit.cli.diff"): SLOW,
    ("mlgit.cli.model_list", "mlgit.ledger.sync"): SLOW,
    ("mlgit.cli.model_list", "mlgit.registry.receive"): SLOW,
    ("mlgit.cli.model_change", "mlgit.ledger"): SLOW,
    ("mlgit.cli.model_change", "mlgit.remotes"): SLOW,
    ("mlgit.cli.model_change", "mlgit.tracking.session"): SLOW,
    ("mlgit.cli.model_change", "mlgit.transfer"): SLOW,
    ("mlgit.lineage.find", "mlgit.data"): SLOW,
    ("mlgit.lineage.find", "mlgit.registry"): SLOW,
    ("mlgit.reading", "mlgit.artifacts"): SLOW,
    (
        "mlgit.tracking.active",
        "mlgit.tracking",
    ): "the session makes runs; inputs load much",
    ("mlgit.site.pages.about", "mlgit.site"): SLOW,
    ("mlgit.site.pages.assets", "mlgit.site"): SLOW,
    ("mlgit.tracking.artifacts", "PIL"): OPTIONAL,
    ("mlgit.tracking.artifacts", "numpy"): OPTIONAL,
    ("mlgit.tracking.environment", "ctypes"): SLOW,
    ("mlgit.tracking.environment", "importlib"): SLOW,
    ("mlgit.tracking.environment", "platform"): SLOW,
    ("mlgit.tracking.system", "psutil"): SLOW,
    ("mlgit.tracking.system", "pynvml"): OPTIONAL,
    ("mlgit.data.copying", "ctypes"): SLOW,
    ("mlgit.data.dvc_repo", "pathspec"): OPTIONAL,
    ("mlgit.data.pointers", "yaml"): OPTIONAL,
    ("mlgit.data.remote", "fsspec"): OPTIONAL,
    ("mlgit.data.remote", "s3fs"): OPTIONAL,
    ("mlgit.data.remote", "sshfs"): OPTIONAL,
}


class Import(NamedTuple):
    """One imported module, as a file says it."""

    file: str
    """Dotted, as "mlgit.cli.log"."""
    module: str
    line: int
    in_function: bool

    @property
    def room(self) -> str:
        return room(self.file)


def room(module: str) -> str:
    """Returns the room a module of ours is in; "" for the package itself."""
    return [*module.split("."), ""][1]


def imports() -> Iterator[Import]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("mlgit", *path.relative_to(ROOT).with_suffix("").parts)
        name = ".".join(part for part in parts if part != "__init__")
        yield from _imports(ast.parse(path.read_text("utf-8")), name, False)


def _imports(node: ast.AST, file: str, inside: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(file, alias.name, child.lineno, inside)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, f"{file}:{child.lineno}: write the whole name"
            for alias in child.names:
                # "from mlgit import names" is the module, "from mlgit.names import key" is not.
                whole = f"{child.module}.{alias.name}"
                is_module = child.module == "mlgit" and alias.name in FLOOR_OF
                yield Import(file, whole if is_module else str(child.module), child.lineno, inside)
        else:
            deeper = inside or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
            yield from _imports(child, file, deeper)


ALL = list(imports())


def test_every_room_has_a_floor() -> None:
    found = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert found - {"__init__", "__main__", "__pycache__"} <= FLOOR_OF.keys()


def test_imports_go_down_only() -> None:
    wrong = [
        f"{each.file}:{each.line} imports {each.module}"
        for each in ALL
        if each.module.startswith("mlgit.")
        and each.room in FLOOR_OF
        and room(each.module) != each.room
        and FLOOR_OF[room(each.module)] >= FLOOR_OF[each.room]
    ]
    assert wrong == []


def test_each_outside_thing_has_one_door() -> None:
    wrong = [
        f"{each.file}:{each.line} imports {each.module}"
        for each in ALL
        if each.room not in DOORS.get(each.module.partition(".")[0], {each.room})
    ]
    assert wrong == []


def test_imports_inside_functions_are_listed() -> None:
    found = {(each.file, each.module) for each in ALL if each.in_function}
    assert found - INSIDE_FUNCTIONS.keys() == set(), "say why, or import at the top"
    files = {each.file for each in ALL}
    assert {each for each in INSIDE_FUNCTIONS if each[0] in files} - found == set(), "is no more"


def loaded(code: str) -> set[str]:
    """Returns the modules that a new process has loaded after some code."""
    show = "import sys; print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"], capture_output=True, text=True, check=True
    )
    return set(done.stderr.split())


def test_importing_mlgit_loads_nothing_else() -> None:
    assert {name for name in loaded("import mlgit") if name.startswith("mlgit.")} == set()


def test_log_loads_only_what_it_needs(showcase: Path) -> None:
    run = "from mlgit.cli import cli; cli.main(['log', '--json', '-n', '1'], standalone_mode=False)"
    unneeded = {"mlgit.tracking", "gitdb", "wcwidth", "psutil", "dvc", "pandas"}
    assert loaded(run) & unneeded == set()


def test_listing_models_loads_nothing_that_changes_them(showcase: Path) -> None:
    run = "from mlgit.cli import cli; cli.main(['model', 'ls'], standalone_mode=False)"
    found = loaded(run)
    assert "mlgit.registry.fold" in found
    unneeded = {"mlgit.cli.model_change", "mlgit.cli.model_show", "mlgit.registry.verbs"}
    assert found & unneeded == set()
