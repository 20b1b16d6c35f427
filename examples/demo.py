"""Shows mlgit at work, from an empty repository to a second clone; `make demo` runs it.

Everything happens in a scratch folder that is removed at the end, unless it was given
by name or --keep is said. The first step that fails ends the demo with exit code 1.
The taxi part needs two months of trips (see taxi/README.md) in the folder that
MLGIT_TAXI_DATA names; without them it is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SITE = HERE.parent / "build" / "demo-site"
MARK = ".mlgit-demo"  # tells a scratch folder of ours, which may be emptied, from any other
TAXI_MONTHS = ("green_tripdata_2021-01.parquet", "green_tripdata_2021-02.parquet")
STYLED = sys.stdout.isatty() and "NO_COLOR" not in os.environ


class Failed(Exception):
    """A step did not do what the demo says it does."""


class Shell:
    """Runs commands as a person would type them, and shows them with their output."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.cwd = scratch
        config = scratch / "gitconfig"
        config.write_text(
            "[user]\n\tname = Ada Example\n\temail = ada@example.org\n"
            "[init]\n\tdefaultBranch = main\n"
        )
        # Nothing of the caller's git takes part: no hooks, no signing, no GIT_DIR.
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        self.env = kept | {
            "GIT_CONFIG_GLOBAL": str(config),
            "GIT_CONFIG_NOSYSTEM": "1",
            "DVC_NO_ANALYTICS": "true",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")]),
            "PYTHONUNBUFFERED": "1",  # the lines of a training appear as they are printed
            "COLUMNS": str(shutil.get_terminal_size((110, 40)).columns),
        }

    def cd(self, folder: str) -> None:
        self.cwd = (self.cwd / folder).resolve()
        show_command(f"cd {folder}")

    def __call__(self, line: str, most: int | None = None, fails: bool = False) -> str:
        """Returns what `line` printed, after showing it, at most `most` lines of it.

        Raises:
            Failed: it ended with another exit code than 0, or with 0 if it `fails`.
        """
        show_command(line)
        lines = []
        process = subprocess.Popen(
            shlex.split(line),
            cwd=self.cwd,
            env=self.env,
            stdin=subprocess.DEVNULL,  # nobody is there to answer a question
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for text in process.stdout:
            lines.append(text)
            if most is None or len(lines) <= most:
                print(text, end="", flush=True)
        if most is not None and len(lines) > most:
            print(f"… {len(lines) - most} more lines")
        if (process.wait() != 0) is not fails:
            raise Failed(f"`{line}` ended with exit code {process.returncode}")
        return "".join(lines)


def show_command(line: str) -> None:
    print(f"\n\033[1m$ {line}\033[0m" if STYLED else f"\n$ {line}", flush=True)


def heading(text: str) -> None:
    rule = "─" * max(0, 76 - len(text))
    line = f"── {text} {rule}"
    print(f"\n\n\033[1;36m{line}\033[0m" if STYLED else f"\n\n{line}", flush=True)


def taxi_data() -> Path | None:
    """Returns the folder with both months of taxi trips, if there is one."""
    beside = HERE.parents[1] / "shared" / "data" / "nyc-taxi"
    folder = Path(os.environ.get("MLGIT_TAXI_DATA", beside))
    return folder if all((folder / month).is_file() for month in TAXI_MONTHS) else None


def make_project(project: Path) -> None:
    """Copies the examples into a folder, with the taxi data where there are some."""
    ours = shutil.ignore_patterns("__pycache__")
    for name in ("diabetes", "taxi"):
        shutil.copytree(HERE / name, project / name, ignore=ours)
    (project / ".gitignore").write_text("__pycache__/\n")
    (project / "data").mkdir()
    if folder := taxi_data():
        for month in TAXI_MONTHS:
            shutil.copyfile(folder / month, project / "data" / month)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    if old not in text:
        raise Failed(f"{path.name} does not hold {old}")
    path.write_text(text.replace(old, new))
    show_command(f"sed -i 's/{old}/{new}/' {path.parent.name}/{path.name}   # and no commit")


def demo(scratch: Path, site: Path) -> None:
    sh = Shell(scratch)
    project = scratch / "project"
    make_project(project)
    begin(sh)
    train(sh, project)
    here = look(sh)
    register(sh)
    share(sh)
    audit(sh, scratch, here)
    heading("It is an ordinary branch: one commit per run")
    sh.cd("../project")
    sh("git log mlgit --first-parent --oneline", most=25)
    heading("All of it as pages, which open by double click")
    sh(f"mlgit site build --title 'Two models' --out {shlex.quote(str(site))}")
    if not (site / "index.html").is_file():
        raise Failed("there is no first page")


def begin(sh: Shell) -> None:
    heading("A project in git whose data DVC tracks, as it was before")
    sh.cd("project")
    sh("git init --quiet")
    sh("python diabetes/prepare.py")
    sh("dvc init --quiet")
    months = " ".join(f"data/{month}" for month in TAXI_MONTHS) if has_taxi(sh) else ""
    sh(f"dvc add --quiet data/diabetes.csv {months}")
    sh("git add .")
    sh("git commit --quiet --message 'two models to train'")
    sh("mlgit init")


def has_taxi(sh: Shell) -> bool:
    return (sh.cwd / "data" / TAXI_MONTHS[0]).is_file()


def train(sh: Shell, project: Path) -> None:
    heading("Four models on real data: 442 diabetes patients")
    sh("python diabetes/train.py")
    sh(
        "python diabetes/train.py --model boosting --max-depth 2 --learning-rate 0.05"
        " --name boosting-slow"
    )

    heading("A change that nobody committed is kept too")
    edit(project / "diabetes" / "train.py", '"min_samples_leaf": 5', '"min_samples_leaf": 10')
    sh("python diabetes/train.py --model forest --name forest-leaf10")
    sh("mlgit diff forest forest-leaf10 --code")
    sh("git checkout --quiet -- diabetes")

    if has_taxi(sh):
        heading("Three models on 74,000 taxi trips, judged on the next month's 62,000")
        months = f"--train data/{TAXI_MONTHS[0]} --valid data/{TAXI_MONTHS[1]}"
        for model in ("linear", "lasso", "gbr"):
            sh(f"python taxi/train.py {months} --model {model}")
    else:
        heading("Taxi trips: left out, MLGIT_TAXI_DATA names no folder with the two months")


def look(sh: Shell) -> str:
    heading("What was tried, and what came of it")
    here = sh("mlgit log")
    sh("mlgit log --experiment diabetes --where 'metrics.rmse < 53.5' --sort metrics.rmse")
    sh("mlgit show boosting-slow")
    sh("mlgit diff boosting boosting-slow")
    found = sh("mlgit log --where 'params.model = boosting' --json", most=30)
    if len(json.loads(found)["mlgit.log/v1"]) != 2:
        raise Failed("--json did not print the two runs of that model")
    return here


def register(sh: Shell) -> None:
    heading("Two versions of a model; one is fit for production")
    sh("mlgit remote add store ../store")
    sh("mlgit model register diabetes ridge -m 'a first try'")
    sh("mlgit model register diabetes boosting-slow -m 'lower error'")
    policy = (
        "[registry.stage.production]\n"
        'require = ["metrics.rmse < 53", "metrics.rmse <= current.metrics.rmse"]\n'
        "clean_code = true\nversioned_inputs = true\nreason = true\n"
    )
    (sh.cwd / "mlgit.toml").write_text(policy)
    sh("cat mlgit.toml")
    sh("mlgit model promote diabetes@v1 production -m 'something has to run'", fails=True)
    sh("mlgit model promote diabetes@v1 staging")
    sh("mlgit model promote diabetes@v2 production -m 'beats v1 by 2 %'")
    sh("mlgit model history diabetes")
    sh("mlgit model diff diabetes@v1 diabetes@v2")
    sh("git tag -n")
    sh("gto show")


def share(sh: Shell) -> None:
    heading("Shared through git and a folder: push, clone, read")
    sh("git init --quiet --bare ../remote.git")
    sh("git remote add origin ../remote.git")
    sh("git push --quiet origin main")
    sh("mlgit push")
    sh("git clone --quiet ../remote.git ../clone")
    sh.cd("../clone")
    sh("git config mlgit.data.store.url ../store/mlgit")
    sh("mlgit pull")


def audit(sh: Shell, scratch: Path, here: str) -> None:
    if sh("mlgit log") != here:
        raise Failed("the clone's table is not the same as the first repository's")
    print("\nThe same table, line by line.")

    heading("With git and DVC alone: the model in production, and the data that trained it")
    store = f"--remote-config url={scratch / 'store' / 'mlgit'}"
    sh(f"dvc get ../remote.git model --rev diabetes@v2.0.0 --out ../model {store}")
    data = "data/patients.csv"
    sh(f"dvc get ../remote.git {data} --rev diabetes@v2.0.0 --out ../patients.csv {store}")
    if (scratch / "patients.csv").read_bytes() != (
        scratch / "project/data/diabetes.csv"
    ).read_bytes():
        raise Failed("DVC fetched other bytes than the model was trained on")
    print("\nThe very bytes that the model was trained on.")

    heading("Two years later: which models did this file train, does the record hold?")
    sh("mlgit lineage ../patients.csv --down")
    sh("mlgit lineage run:boosting-slow --up")
    sh("mlgit verify --rehash")
    sh("mlgit reproduce diabetes@production --env current")


def make_scratch(path: Path | None) -> Path:
    """Returns an empty marked folder: a new temporary one, or `path`, emptied if ours.

    Raises:
        Failed: `path` holds something that no demo made.
    """
    if path is None:
        path = Path(tempfile.mkdtemp(prefix="mlgit-demo-"))
    elif path.exists():
        if not path.is_dir() or (any(path.iterdir()) and not (path / MARK).exists()):
            raise Failed(f"{path} holds something else; name an empty or a new folder")
        shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)
    (path / MARK).touch()
    return path.resolve()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", type=Path, help="scratch folder to use, and to keep")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder")
    args = parser.parse_args()
    try:
        scratch = make_scratch(args.path)
        print(f"Scratch folder: {scratch}")
        # The site outlives the scratch folder: it is what one looks at afterwards.
        site = scratch / "site" if args.keep or args.path else SITE
        demo(scratch, site)
    except Failed as error:
        # The scratch folder stays, to look at what went wrong.
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    if args.keep or args.path:
        print(f"\nKept, to go on playing: {scratch / 'project'}")
    else:
        shutil.rmtree(scratch)
        print(f"\nRemoved {scratch}; ARGS=--keep keeps it.")
    print(f"The site: {site / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
