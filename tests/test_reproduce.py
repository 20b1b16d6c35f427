"""`mlgit reproduce`: a run's code, data, packages and command again, and the comparison."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ON_CI, add_runs, git, make_run, users_own

import mlgit
from mlgit.errors import NotFound, WrongState
from mlgit.ledger import open_repository, worktrees
from mlgit.projects import environment
from mlgit.projects.comparison import compare
from mlgit.projects.reproduce import command_of
from mlgit.records import Metric, Source

SCRIPT = """\
import sys
from pathlib import Path
import mlgit

with mlgit.start_run("exp", "baseline", params={"lr": 0.1}) as run:
    data = Path(sys.argv[1])
    mlgit.log_input(data, role="train")
    numbers = [float(line) for line in data.read_text().split()]
    mlgit.log_metric("mean", sum(numbers) / len(numbers))
    Path("model.bin").write_bytes(b"\\0" + data.read_bytes())
    mlgit.log_model("model.bin")
    print("trained")
"""


def mlgit_(
    *args: str, code: int = 0, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "mlgit", *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, **env},
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr or code, done.stderr
    return done


def reproduce(*args: str, code: int = 0, cwd: Path | None = None, **env: str) -> dict[str, Any]:
    done = mlgit_("reproduce", *args, "--env", "current", "--json", code=code, cwd=cwd, **env)
    (content,) = json.loads(done.stdout).values()
    assert isinstance(content, dict)
    return content


@pytest.fixture
def project(repo: Path) -> Path:
    """A script with one run; data and model are ignored by git, and a change is uncommitted."""
    (repo / "train.py").write_text(SCRIPT)
    (repo / ".gitignore").write_text("data/\nmodel.bin\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "script")
    (repo / "train.py").write_text(SCRIPT.replace("0.1", "0.2"))
    (repo / "data").mkdir()
    (repo / "data/train.txt").write_text("1\n2\n")
    subprocess.run([sys.executable, "train.py", "data/train.txt"], check=True)
    return repo


def test_the_same_outcome_after_everything_has_changed(project: Path) -> None:
    (project / "train.py").write_text("raise SystemExit('other code')\n")
    (project / "data/train.txt").write_text("100\n")
    own = users_own(project)
    found = reproduce("baseline")
    assert found["same"] and found["notes"] == []
    assert users_own(project) == own
    rows = {row["field"]: (row["recorded"], row["again"], row["same"]) for row in found["rows"]}
    assert rows["metrics.mean"] == (1.5, 1.5, True)
    assert rows["outputs.model"][2]
    again = mlgit.get_run(found["again"])
    assert again.tags == {"mlgit.reproduces": found["recorded"]}
    assert again.params == {"lr": 0.2}  # the uncommitted change
    recorded = mlgit.get_run(found["recorded"])
    assert again.inputs[0].md5 == recorded.inputs[0].md5
    assert git("worktree", "list").count("\n") == 1
    done = mlgit_("reproduce", found["recorded"], "--env", "current")
    assert "The outcome is the same" in done.stdout and "trained" in done.stderr


def test_a_different_outcome(project: Path) -> None:
    text = SCRIPT.replace("sum(numbers)", "__import__('random').random() + sum(numbers)")
    (project / "train.py").write_text(text)
    subprocess.run([sys.executable, "train.py", "data/train.txt"], check=True)
    found = reproduce("@latest", code=1)
    assert [row["field"] for row in found["rows"] if row["counts"] and not row["same"]] == [
        "metrics.mean"
    ]
    done = mlgit_("reproduce", "@latest", "--env", "current", code=1)
    assert "1 value differ" in done.stdout or "DIFFERS" in done.stdout
    assert reproduce("@latest", "--atol", "9")["same"]


def test_a_second_clone_fetches_what_it_needs(
    project: Path, bare: Callable[..., Path], tmp_path: Path
) -> None:
    git("remote", "add", "origin", bare())
    git("push", "--quiet", "origin", "main")
    mlgit_("remote", "add", "store", str(tmp_path / "store"))
    mlgit_("pin", "baseline")
    mlgit_("model", "register", "churn", "baseline")
    mlgit_("push", "--yes")
    clone = tmp_path / "clone"
    git("clone", "--quiet", tmp_path / "remote.git", clone)
    git("config", "mlgit.data.store.url", tmp_path / "store" / "mlgit", cwd=clone)
    for thing in ("baseline", "run/baseline", "churn@v1", "models:/churn/1"):
        assert reproduce(thing, cwd=clone)["same"]
    naked = tmp_path / "naked.git"
    git("clone", "--quiet", "--bare", tmp_path / "remote.git", naked)
    git("config", "mlgit.data.store.url", tmp_path / "store" / "mlgit", cwd=naked)
    assert reproduce("baseline", cwd=naked)["same"]


def test_a_command_from_a_folder_and_a_module(repo: Path) -> None:
    (repo / "pkg").mkdir()
    (repo / "pkg/__init__.py").touch()
    (repo / "pkg/values.py").write_text("VALUE = 3\n")
    (repo / "pkg/train.py").write_text(
        "import mlgit\nfrom .values import VALUE\n"
        "with mlgit.start_run('exp', 'module') as run: run.log_metric('v', VALUE)\n"
    )
    (repo / "sub").mkdir()
    (repo / "sub/go.py").write_text(
        "import mlgit\nfrom pathlib import Path\n"
        "with mlgit.start_run('exp', 'folder') as run:\n"
        "    run.log_metric('v', len(Path('../README.md').read_text()))\n"
    )
    git("add", ".")
    git("commit", "--quiet", "--message", "package")
    subprocess.run([sys.executable, "-m", "pkg.train"], check=True)
    subprocess.run([sys.executable, "go.py"], cwd=repo / "sub", check=True)
    module, folder = (mlgit.get_run(name).record.source for name in ("module", "folder"))
    assert (module.module, module.cwd) == ("pkg.train", None)
    assert (folder.module, folder.cwd, folder.entry) == (None, "sub", "sub/go.py")
    assert reproduce("module")["same"] and reproduce("folder")["same"]


def test_what_is_gone_is_said_before_anything_runs(project: Path) -> None:
    run = mlgit.get_run("baseline")
    shutil.rmtree(project / ".git/mlgit/data")
    assert reproduce("baseline")["same"]  # the file in the work tree is still the same
    shutil.rmtree(project / ".git/mlgit/data")
    (project / "data/train.txt").unlink()
    done = mlgit_("reproduce", "baseline", "--env", "current", code=1)
    assert "not on this machine" in done.stderr and "$ python" not in done.stderr
    assert len(mlgit.runs()) == 2
    assert git("worktree", "list").count("\n") == 1
    assert "no run" in mlgit_("reproduce", "nothing", code=1).stderr
    assert run.id


def test_a_command_that_fails(project: Path) -> None:
    (project / "train.py").write_text(SCRIPT.replace("0.1", "0.3") + "\nraise SystemExit(7)\n")
    subprocess.run([sys.executable, "train.py", "data/train.txt"], check=False)
    done = mlgit_("reproduce", "@latest", "--env", "current", code=1)
    assert "the command ended with exit code 7" in done.stderr


SLEEPY = """\
import mlgit, os, pathlib, time
with mlgit.start_run('exp', 'slow'):
    pathlib.Path(os.environ['SAID']).write_text(f'{os.getpid()} {os.getcwd()}')
    time.sleep(float(os.environ['NAP']))
"""


@contextlib.contextmanager
def sleeping(repo: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int, Path]]:
    """Reproduces a run that sleeps, in a group of processes of its own.

    Gives the process of mlgit, the one of the command, and the work tree.
    """
    said = tmp_path / "said"
    (repo / "train.py").write_text(SLEEPY)
    env = {**os.environ, "SAID": str(said), "NAP": "0"}
    subprocess.run([sys.executable, "train.py"], check=True, env=env)
    said.unlink()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlgit", "reproduce", "slow", "--env", "current"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**env, "NAP": "600"},
    )
    end = time.monotonic() + 60
    while not (said.exists() and " " in said.read_text()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    pid, folder = said.read_text().split(" ", 1)
    try:
        yield process, int(pid), Path(folder)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ended(pid: int) -> bool:
    """Waits for a process that is nobody's child to end."""
    for _ in range(500):
        try:
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_ctrl_c_ends_the_command_and_leaves_no_work_tree(repo: Path, tmp_path: Path) -> None:
    with sleeping(repo, tmp_path) as (process, command, folder):
        assert folder.name == "code" and folder.is_dir()
        os.killpg(process.pid, signal.SIGINT)  # a terminal's Ctrl-C reaches the whole group
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 130 and "Stopped." in output
        assert ended(command)
        assert not folder.parent.exists()
        assert git("worktree", "list").count("\n") == 1
    assert mlgit.runs()[0].status == "interrupted"


def test_a_signal_to_mlgit_alone_ends_the_command_too(repo: Path, tmp_path: Path) -> None:
    with sleeping(repo, tmp_path) as (process, command, folder):
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130 and ended(command) and not folder.parent.exists()


def test_what_a_killed_reproduction_left_is_swept(repo: Path, tmp_path: Path) -> None:
    with sleeping(repo, tmp_path) as (process, command, folder):
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert worktrees.abandoned(open_repository()) == []  # the command goes on there
        assert reproduce("slow", NAP="0", SAID=os.devnull)["same"] and folder.is_dir()
        os.kill(command, signal.SIGKILL)
        assert ended(command)
    assert worktrees.abandoned(open_repository()) == [folder]
    (told,) = json.loads(mlgit_("doctor", "--json").stdout).values()
    assert f"a killed 'mlgit reproduce' left the work tree {folder}" in [
        each["what"] for each in told
    ]
    done = mlgit_("gc", "--dry-run")
    assert "1 work tree of a killed reproduce" in done.stderr and folder.is_dir()
    assert reproduce("slow", NAP="0", SAID=os.devnull)["same"]
    assert not folder.parent.exists()
    assert git("worktree", "list").count("\n") == 1


def test_gc_removes_a_work_tree_that_nobody_works_in(repo: Path) -> None:
    above = Path(tempfile.mkdtemp(prefix="mlgit-reproduce-"))
    (above / "owner").touch()
    git("worktree", "add", "--quiet", "--detach", above / "code")
    other = Path(tempfile.mkdtemp(prefix="mlgit-reproduce-"))  # of an earlier mlgit, or a person
    git("worktree", "add", "--quiet", "--detach", other / "code")
    mlgit_("gc", "--yes")
    assert not above.exists() and (other / "code").is_dir()
    git("worktree", "remove", other / "code")
    other.rmdir()


@pytest.mark.parametrize("layout", ["flat", "src"])
def test_an_editable_install_is_imported_as_it_was(repo: Path, tmp_path: Path, layout: str) -> None:
    """Of the user's own package; setuptools makes a finder for one layout, a path for the other."""
    package = repo / ("src/own" if layout == "src" else "own")
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("VALUE = 1\n")
    where = "where = ['src']" if layout == "src" else "include = ['own']"
    (repo / "pyproject.toml").write_text(
        "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n"
        "[project]\nname = 'own'\nversion = '1'\n"
        f"[tool.setuptools.packages.find]\n{where}\n"
    )
    (repo / "scripts").mkdir()
    (repo / "scripts/go.py").write_text(
        "import mlgit, own\nwith mlgit.start_run('exp', 'one'): mlgit.log_metric('m', own.VALUE)\n"
    )
    (repo / ".gitignore").write_text("build\n*.egg-info\n")
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    (site / "ours.pth").write_text(
        "".join(f"{place}\n" for place in sys.path if place.endswith("site-packages"))
    )
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--editable", repo]
    if subprocess.run(install, cwd=tmp_path, timeout=300).returncode:
        reason = "this test builds a package: it needs an index that pip can reach"
        pytest.fail(reason) if ON_CI else pytest.skip(reason)
    git("add", ".")
    git("commit", "--quiet", "--message", "a package")
    env = {**os.environ, "PYTHONPATH": str(Path(mlgit.__file__).parent.parent)}
    subprocess.run([python, "scripts/go.py"], check=True, env=env)
    (package / "__init__.py").write_text("VALUE = 2\n")
    again = [python, "-m", "mlgit", "reproduce", "one", "--env", "current", "--json"]
    done = subprocess.run(again, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["mlgit.reproduce/v1"]["notes"] == []
    assert mlgit.runs()[0].metrics == {"m": 1}


def test_one_environment_is_made_once_by_two_at_once(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "import sys\nfrom mlgit.ledger import open_repository\n"
        "from mlgit.projects import environment\n"
        "made = environment.build(open_repository(), 'cd' * 32, {'packages': {}}, print)\n"
        "print(made.python)\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in started]
    assert sum("making an environment" in each for each in said) == 1
    (python,) = {each.splitlines()[-1] for each in said}
    assert subprocess.run([python, "-c", "import mlgit"], env={}).returncode == 0


def trained(repo: Path, script: str, *args: str, **env: str) -> None:
    """Commits a script and runs it."""
    (repo / "train.py").write_text("import mlgit, os, random, sys\n" + script)
    git("add", ".")
    git("commit", "--quiet", "--message", "script")
    subprocess.run(
        [sys.executable, "train.py", *args], env={**os.environ, **env}, capture_output=True
    )


ONE = "with mlgit.start_run('exp', 'one'): mlgit.log_metric('m', 1.0)\n"


def test_nothing_is_written_through_a_link_that_leads_out(project: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "train.txt").write_text("mine\n")
    shutil.rmtree(project / "data")
    (project / "data").symlink_to(outside)
    git("add", "--force", "data")
    git("commit", "--quiet", "--message", "a link")
    run = mlgit.get_run("baseline").record
    code = Source(commit=git("rev-parse", "HEAD").strip(), entry="train.py", argv=run.source.argv)
    add_runs(project, make_run(name="hostile", source=code, inputs=run.inputs))
    done = mlgit_("reproduce", "hostile", "--env", "current", code=1)
    assert "behind a link that leads out of the code" in done.stderr
    assert (outside / "train.txt").read_text() == "mine\n"


@pytest.mark.parametrize("name", ["GIT_INDEX_FILE", "GIT_DIR"])
def test_what_git_tells_its_children_does_not_lead_to_the_users_index(
    repo: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    trained(repo, ONE)
    (repo / "train.py").write_text("staged = True\n")
    git("add", ".")
    own = users_own(repo)
    place = {"GIT_INDEX_FILE": repo / ".git/index", "GIT_DIR": repo / ".git"}[name]
    with monkeypatch.context() as patch:
        patch.setenv(name, str(place))
        assert reproduce("one")["same"]
    assert users_own(repo) == own


def test_a_work_tree_of_the_users_on_a_disk_that_is_away_is_kept(
    repo: Path, tmp_path: Path
) -> None:
    trained(repo, ONE)
    git("worktree", "add", "--quiet", "--detach", tmp_path / "usb")
    (tmp_path / "usb").rename(tmp_path / "unplugged")
    assert reproduce("one")["same"]
    assert [path.name for path in (repo / ".git/worktrees").iterdir()] == ["usb"]


def test_modules_come_from_the_recorded_code(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repo / "src").mkdir()
    (repo / "src/library.py").write_text("VALUE = 1\n")
    path = os.pathsep.join([str(repo / "src"), str(Path(mlgit.__file__).parent.parent)])
    script = "import library\n" + ONE.replace("1.0", "library.VALUE")
    trained(repo, script, PYTHONPATH=path)
    (repo / "src/library.py").write_text("VALUE = 2\n")
    monkeypatch.setenv("PYTHONPATH", path)
    assert reproduce("one")["same"]


def test_of_several_runs_the_one_with_the_same_params_is_compared(repo: Path) -> None:
    trained(
        repo,
        "for lr in (1, 2, 3):\n"
        "    with mlgit.start_run('exp', 'trial', params={'lr': lr}):\n"
        "        mlgit.log_metric('m', lr)\n",
    )
    first, _, _ = sorted(run.id for run in mlgit.runs())
    for _ in range(2):  # the runs of an earlier reproduction do not count
        assert reproduce(first)["same"]


def test_a_failed_run_fails_again(repo: Path) -> None:
    trained(repo, "with mlgit.start_run('exp', 'bad'):\n    mlgit.log_metric('m', 1)\n    1 / 0\n")
    command = [sys.executable, "-m", "mlgit", "reproduce", "bad", "--env", "current"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "ZeroDivisionError" in done.stderr
    assert "The outcome is the same" in done.stdout


def test_a_path_below_home_is_given_as_a_shell_would(repo: Path, hermetic: Path) -> None:
    (hermetic / "value").write_text("4")
    trained(repo, ONE.replace("1.0", "float(open(sys.argv[1]).read())"), str(hermetic / "value"))
    assert mlgit.get_run("one").record.source.argv == ["~/value"]
    assert reproduce("one")["same"]


def test_another_way_to_the_same_end_differs(repo: Path) -> None:
    two = "mlgit.log_metric('m', random.random()); mlgit.log_metric"
    trained(repo, ONE.replace("mlgit.log_metric", two).replace("'one'", "'noisy'"))
    rows = {row["field"]: row["same"] for row in reproduce("noisy", code=1)["rows"]}
    assert rows == {"metrics.m": True, "metrics.m.min": False}


def test_files_that_were_not_kept_are_named(repo: Path) -> None:
    (repo / "big.bin").write_bytes(bytes(2_000_000))
    trained(repo, "open('big.bin', 'ab').write(b'1')\n" + ONE)
    assert reproduce("one")["notes"] == ["big.bin was not kept with the code: larger than 1 MiB"]


def test_a_reproduction_does_not_add_to_its_origin(repo: Path) -> None:
    trained(repo, ONE.replace("'one'", "'one', resume=os.environ.get('RESUME')"))
    run = mlgit.get_run("one")
    os.environ["RESUME"] = run.id
    try:
        done = mlgit_("reproduce", "one", "--env", "current", code=1)
    finally:
        del os.environ["RESUME"]
    assert "must not add to it" in done.stderr
    assert mlgit.get_run("one").record.metrics == run.record.metrics


def test_packages_are_names_and_no_options() -> None:
    hostile = {"--index-url=http://x/#": "1", "a @ http://x/a.zip #": "1", "b": "1 --pre"}
    recorded = {"packages": {**hostile, "torch": "2.1.0+cu118", "ruamel-yaml": "0.18.6"}}
    assert environment._wanted(recorded) == ["ruamel-yaml==0.18.6", "torch==2.1.0+cu118"]


def test_a_kept_work_tree(project: Path, tmp_path: Path) -> None:
    reproduce("baseline", "--keep", str(tmp_path / "kept"))
    assert (tmp_path / "kept/data/train.txt").read_text() == "1\n2\n"
    assert (
        "is there already"
        in mlgit_(
            "reproduce", "baseline", "--env", "current", "--keep", str(tmp_path / "kept"), code=1
        ).stderr
    )
    git("worktree", "remove", "--force", tmp_path / "kept")


def test_commands_that_cannot_be_run_again() -> None:
    def run(**source: Any) -> Any:
        return make_run(source=Source(commit="0" * 40, **source))

    with pytest.raises(NotFound, match="recorded no script"):
        command_of(run())
    with pytest.raises(WrongState, match="is a notebook"):
        command_of(run(entry="a.ipynb"))
    with pytest.raises(WrongState, match="was a secret"):
        command_of(run(entry="a.py", argv=["--token=***"]))
    assert command_of(run(entry="a/b.py", argv=["x"], cwd="a")) == ["b.py", "x"]


def test_values_are_compared_within_tolerances() -> None:
    def metric(value: float) -> Metric:
        return Metric(last=value, min=value, max=value, step=0, count=1)

    one = make_run(
        params={"a": 1},
        metrics={"x": metric(1.0), "n": metric(math.nan), "system/cpu": metric(5.0)},
    )
    two = make_run(params={"a": 2}, metrics={"x": metric(1.01), "n": metric(math.nan)})
    rows = {row.field: row.same for row in compare(one, two, 0.001, 0.0)}
    assert rows == {"params.a": False, "metrics.x": False, "metrics.n": True}
    assert {row.field: row.same for row in compare(one, two, 0.1, 0.0)}["metrics.x"]
    assert not compare(one, make_run(), 1, 1)[1].same  # a metric that did not come


def test_an_environment_with_the_recorded_packages(project: Path) -> None:
    """Installs one small package from the configured index."""
    try:
        wanted = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "six==1.16.0"],
            cwd=project / "data",
            capture_output=True,
            timeout=120,
            check=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        reason = "this test installs packages: it needs an index that pip can reach"
        pytest.fail(reason) if ON_CI else pytest.skip(reason)
    assert wanted.returncode == 0
    said: list[str] = []
    recorded = {
        "python": {"version": ".".join(map(str, sys.version_info[:3]))},
        "packages": {"six": "1.16.0", "mlgit": "0.0.1", "no-such-package-of-mlgit": "1.0"},
    }
    for _ in range(2):
        made = environment.build(open_repository(), "ab" * 32, recorded, said.append)
        assert made.notes == ["no-such-package-of-mlgit==1.0 cannot be installed, and is left out"]
    assert len(said) == 1  # the second time it was there
    code = "import six, mlgit; print(six.__version__, mlgit.__file__)"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([made.python, "-c", code], capture_output=True, text=True, env=env)
    # mlgit is the one that runs now, in a copy.
    assert done.stdout.startswith("1.16.0 ") and "/mlgit/environments/" in done.stdout, done
