"""`import mlgit` costs next to nothing, and every name it promises is there."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import mlgit
from mlgit.tracking import api

HEAVY = (
    *("altair", "click", "dvc", "git", "gitdb", "jinja2", "markdown_it", "matplotlib", "msgspec"),
    *(
        "numpy",
        "pandas",
        "psutil",
        "pynvml",
        "sqlite3",
        "wcwidth",
        "yaml",
        "asyncio",
        "typing_extensions",
    ),
)


def loaded_by(code: str) -> set[str]:
    """Returns the modules that a bare interpreter has after some code."""
    program = f"{code}\nimport json, sys\nprint(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {*json.loads(done.stdout)}


PATH = f"import sys; sys.path[:0] = {sys.path!r}\n"


def test_import_loads_nothing_else() -> None:
    found = loaded_by(f"{PATH}import mlgit")
    assert not {name.partition(".")[0] for name in found} & {*HEAVY}
    assert {name for name in found if name.startswith("mlgit")} == {"mlgit"}


def test_the_errors_alone_load_nothing_either() -> None:
    found = loaded_by(f"{PATH}import mlgit; mlgit.MlgitError, dir(mlgit)")
    assert {name for name in found if name.startswith("mlgit")} == {"mlgit", "mlgit.errors"}


def test_logging_loads_no_library_that_only_others_need() -> None:
    found = loaded_by(f"{PATH}import mlgit; mlgit.start_run; mlgit.log_metric; mlgit.runs")
    heavy = {*HEAVY} - {"msgspec", "sqlite3", "typing_extensions"}
    assert not {name.partition(".")[0] for name in found} & heavy


def test_a_run_loads_nothing_but_the_object_store(repo: Path) -> None:
    code = "with mlgit.start_run(): mlgit.log_metric('loss', 1)"
    found = loaded_by(f"{PATH}import mlgit\n{code}")
    heavy = {*HEAVY} - {"msgspec", "sqlite3", "typing_extensions", "gitdb"}
    assert not {name.partition(".")[0] for name in found} & heavy
    assert "gitdb" in found


def test_every_name_is_there() -> None:
    assert [*mlgit.__all__] == sorted(mlgit.__all__)
    assert {*mlgit.__all__} == {*mlgit._ROOM_OF}
    assert {*mlgit.__all__} <= {*dir(mlgit)}
    for name in mlgit.__all__:
        found = getattr(mlgit, name)
        assert found.__name__ == name and found.__doc__
        assert found.__module__ == mlgit._ROOM_OF[name]
    with pytest.raises(AttributeError, match="module 'mlgit' has no attribute 'log_metrik'"):
        mlgit.log_metrik  # noqa: B018


def test_every_function_is_a_method_too() -> None:
    functions = {name: f for name, f in vars(api).items() if name.startswith(("log_", "set_"))}
    methods = {name for name in vars(mlgit.ActiveRun) if name.startswith(("log_", "set_"))}
    assert functions.keys() == methods <= {*mlgit.__all__}
    for name, function in functions.items():
        method = getattr(mlgit.ActiveRun, name)
        assert inspect.getdoc(function) == inspect.getdoc(method)
        of_method = inspect.signature(method)
        assert [*of_method.parameters.values()][1:] == [
            *inspect.signature(function).parameters.values()
        ]
