"""What is running: script, module or notebook, its arguments, its sources."""

from __future__ import annotations

import compileall
import importlib.util
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mlgit.tracking import program

SCRIPT = """
import json, sys
sys.path.insert(0, {mlgit!r})
from mlgit.tracking import program
print(json.dumps([str(program.entry()), program.arguments()]))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path.resolve() / "train.py"
    path.write_text(SCRIPT.format(mlgit=str(Path(program.__file__).parents[2])))
    return path


def run(cwd: Path, *arguments: str, **environ: str) -> Any:
    command = [sys.executable, *arguments]
    return json.loads(
        subprocess.check_output(command, cwd=cwd, env=os.environ | environ, text=True)
    )


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A `__main__` with nothing in it, as a prompt has it."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    monkeypatch.setattr(sys, "argv", [""])
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return module


def test_entry_of_a_script(script: Path) -> None:
    assert run(script.parent, "train.py", "--lr", "0.1") == [str(script), ["--lr", "0.1"]]


def test_entry_of_a_module(script: Path) -> None:
    package = script.parent / "pkg"
    package.mkdir()
    script.rename(package / "__main__.py")
    assert run(script.parent, "-m", "pkg", "x") == [str(package / "__main__.py"), ["x"]]


def test_entry_under_a_profiler_is_the_script(script: Path, tmp_path: Path) -> None:
    found = run(script.parent, "-m", "cProfile", "-o", str(tmp_path / "profile"), "train.py", "x")
    assert found == [str(script), ["x"]]


def test_entry_of_a_command_is_none(script: Path) -> None:
    assert run(script.parent, "-c", script.read_text(), "x") == ["None", ["x"]]


def test_a_script_started_from_a_notebook_is_not_the_notebook(script: Path) -> None:
    (script.parent / "nb.ipynb").touch()
    notebook = str(script.parent / "nb.ipynb")
    assert run(script.parent, "train.py", JPY_SESSION_NAME=notebook)[0] == str(script)
    assert run(script.parent, "-c", script.read_text(), JPY_SESSION_NAME=notebook)[0] == "None"


def test_entry_at_a_prompt_is_none(main: ModuleType) -> None:
    assert program.entry() is None


@pytest.mark.parametrize("folder", ["stdlib", "purelib", "scripts"])
def test_an_installed_program_is_no_entry(
    main: ModuleType, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    installed = Path(sysconfig.get_path(folder))
    file = next(path for path in installed.rglob("*") if path.is_file())
    main.__file__ = str(file)  # 3.13.0 has its prompt's own file here
    assert program.entry() is None
    del main.__file__
    monkeypatch.setattr(sys, "argv", [str(file)])
    assert program.entry() is None


@pytest.mark.parametrize("where", ["__vsc_ipynb_file__", "__session__", "JPY_SESSION_NAME"])
def test_entry_of_a_notebook(
    main: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str
) -> None:
    notebook = tmp_path / "nb.ipynb"
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setattr(
        sys, "argv", ["/x/site-packages/ipykernel_launcher.py", "-f", "kernel.json"]
    )
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook)) if where.isupper() else vars(main).update(
        {where: str(notebook)}
    )
    assert program.entry() is None  # renamed since, or a session that is no file
    notebook.touch()
    assert program.entry() == notebook
    assert program.arguments() == []  # the kernel's, which name a home directory


@pytest.mark.parametrize("file", [None, 3, b"x", "", "\0", "/no/such/file.py"])
def test_entry_bears_anything(main: ModuleType, file: object) -> None:
    main.__file__ = file
    assert program.entry() is None


def test_no_main_and_no_argv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "__main__")
    monkeypatch.delattr(sys, "argv")
    assert program.entry() is None
    assert program.arguments() == []


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("--password hunter2 --lr 0.1", "--password *** --lr 0.1"),
        ("--password=hunter2", "--password=***"),
        ("-token abc", "-token ***"),
        ("--hf_token abc --hf-token=abc", "--hf_token *** --hf-token=***"),
        ("--apiKey abc --API_KEY abc --apikey=a=b", "--apiKey *** --API_KEY *** --apikey=***"),
        ("--aws-secret-access-key abc", "--aws-secret-access-key ***"),
        ("--client-secret abc --credentials x", "--client-secret *** --credentials ***"),
        ("db.password=abc +wandb.api_key=abc", "db.password=*** +wandb.api_key=***"),
        ("https://host/x?token=abc", "https://host/x?token=***"),
        ("--db postgresql://me:hunter2@host/db", "--db ***"),
        ("--db=postgresql://me:hunter2@host/db", "--db=***"),
        ("ghp_" + "a" * 36, "***"),
        ("--use-auth-token --lr 0.1", "--use-auth-token --lr 0.1"),
        ("--token --password p x", "--token --password *** x"),
    ],
)
def test_secrets_are_hidden(monkeypatch: pytest.MonkeyPatch, given: str, shown: str) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *given.split()])
    assert program.arguments() == shown.split()


@pytest.mark.parametrize(
    "plain",
    [
        "--lr 0.1 --data train.csv -v",
        "--tokenizer bert --max-tokens 512 --max_tokens=512",
        "--pad-token <pad> --eos_token=</s> tokenizer.padToken=x",
        "--password-file secrets/pw.txt --token-limit=5",
        "--key id --key-column id --sort-key=x --keyboard us",
        "--compass north --author me --bypass x",
        "--secretary Ann",
        "model=resnet optimizer.lr=0.1 https://host/x?page=2",
        "password hunter2",  # no option: a word of the program's own
        "== = --=x - --",
    ],
)
def test_other_arguments_are_kept(monkeypatch: pytest.MonkeyPatch, plain: str) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *plain.split()])
    assert program.arguments() == plain.split()


def test_arguments_need_not_be_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", 3, "--token", "\udcff", "\udcff"])
    assert program.arguments() == ["3", "--token", "***", "\udcff"]


class Project:
    """A folder of sources, and `sys.modules` with nothing but what the test puts there."""

    def __init__(self, root: Path, modules: dict[str, Any]) -> None:
        self.root = root
        self.modules = modules

    def add(self, path: str, file: object = ..., write: bool = True) -> ModuleType:
        source = self.root / path
        if write:
            source.parent.mkdir(parents=True, exist_ok=True)
            source.touch()
        module = self.modules[path] = ModuleType(path)
        module.__file__ = str(source) if file is ... else file
        return module

    def imported(self, *exclude: str) -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "modules", self.modules)
            files = program.imported_files(self.root, [self.root / name for name in exclude])
        return [str(file.relative_to(self.root)) for file in files]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "project").mkdir()
    return Project(tmp_path / "project", {})


def test_imported_sources_are_sorted_and_once(project: Project) -> None:
    project.add("pkg/b.py")
    project.add("pkg/a.py")
    project.modules["__mp_main__"] = project.modules["pkg/a.py"]
    project.add("../elsewhere.py")
    project.add("../project-2/other.py")
    assert project.imported() == ["pkg/a.py", "pkg/b.py"]


def test_what_is_not_the_projects_is_left_out(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(project.root / "env"))
    for path in (
        "mine.py",
        "env/lib/python3.11/site-packages/numpy/core.py",
        "env/src/editable/module.py",
        ".venv-2/lib64/python3/dist-packages/gi.py",
        "data/generated.py",
        "data2/mine.py",
        "native.so",
    ):
        project.add(path)
    project.add("gone.py", write=False)
    assert project.imported("data") == ["data2/mine.py", "mine.py"]


def test_an_environment_that_is_the_root_itself_hides_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(project.root))
    project.add("mine.py")
    assert project.imported() == ["mine.py"]


def test_the_standard_library_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.__file__
    library = Path(sysconfig.get_path("stdlib"))
    assert program.imported_files(library.parent.parent) == []


def test_symlinks_lead_to_the_project_and_out_of_it(project: Project, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project.root)
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "common.py").touch()
    project.add("src/a.py")
    (project.root / "common").symlink_to(tmp_path / "shared")
    (project.root / "lib").symlink_to("src")
    project.add("b", file=str(tmp_path / "link" / "src" / "a.py"))
    project.add("c", file=str(project.root / "lib" / "a.py"))
    project.add("d", file=str(project.root / "common" / "common.py"))
    assert project.imported() == ["src/a.py"]
    project.root = tmp_path / "link"
    assert project.imported() == ["src/a.py"]


def test_compiled_modules_stand_for_their_sources(project: Project) -> None:
    project.add("cached.py", file=importlib.util.cache_from_source(str(project.root / "cached.py")))
    project.add("beside.py", file=str(project.root / "beside.pyc"))
    project.add("lost.py", file=str(project.root / "lost.pyc"), write=False)
    assert compileall.compile_dir(project.root, quiet=2)
    assert project.imported() == ["beside.py", "cached.py"]


def test_lazy_modules_stay_lazy(project: Project) -> None:
    class Lazy(ModuleType):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"{name} was asked for")

    class Lazier(ModuleType):
        @property
        def __dict__(self) -> Any:
            raise AssertionError("the namespace was asked for")

    class Lying:
        @property
        def __class__(self) -> Any:
            raise AssertionError("the class was asked for")

    for number, kind in enumerate((Lazy, Lazier)):
        module = project.add(f"lazy{number}.py")
        sleeping = kind.__new__(kind)
        ModuleType.__init__(sleeping, "lazy")
        ModuleType.__dict__["__dict__"].__get__(sleeping)["__file__"] = module.__file__
        project.modules[f"lazy{number}.py"] = sleeping
    project.modules["lying"] = Lying()
    assert project.imported() == ["lazy0.py", "lazy1.py"]


@pytest.mark.parametrize(
    "strange",
    [None, 3, "text", object(), int, SimpleNamespace(__file__="/x.py"), ModuleType("new")],
)
def test_anything_may_be_among_the_modules(project: Project, strange: object) -> None:
    project.add("mine.py")
    project.modules["strange"] = strange
    assert project.imported() == ["mine.py"]


@pytest.mark.parametrize("file", [None, 3, b"/x.py", "", "x.py", "\0", "<frozen>", Path("/x.py")])
def test_a_modules_file_may_be_anything(project: Project, file: object) -> None:
    project.add("strange", file=file, write=False)
    assert project.imported() == []
