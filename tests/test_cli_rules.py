"""What holds for every command: exit codes, envelopes, pipes, terminals, completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import git
from showcase import ENVIRONMENT, Builder, code_of, metric, save_run, start_journal, stopped_clock
from terminal import on_terminal

from mlgit.cli import cli, output
from mlgit.ledger import open_repository

PROGRAM = str(Path(sys.executable).parent / "mlgit")


def mlgit(*arguments: str) -> Result:
    """Runs a command in this process; a bug keeps its traceback."""
    done = CliRunner().invoke(cli, arguments, prog_name="mlgit")
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture
def shared(showcase: Path, bare: Callable[..., Path]) -> Path:
    """The showcase with an empty remote."""
    git("remote", "add", "origin", bare(), cwd=showcase)
    return showcase


# --- scripts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("log", "log"),
        ("log --group-by status", "log.groups"),
        ("log --live", "log"),
        ("log --where id=nothing", "log"),
        ("show boosted", "show"),
        ("show diverged --metric loss", "show.metric"),
        ("diff baseline diverged --all", "diff"),
        ("experiment ls --deleted", "experiment.ls"),
        ("doctor", "doctor"),
        ("recover --dry-run", "recover"),
        ("recover", "recover"),
        ("init", "init"),
        ("push", "push"),
        ("pull", "pull"),
        ("sync", "sync"),
    ],
)
def test_json_is_one_named_envelope(shared: Path, command: str, name: str) -> None:
    def no_constant(text: str) -> None:
        raise AssertionError(f"{text} is not JSON")

    done = mlgit(*command.split(), "--json")
    assert done.exit_code == 0
    (found,) = json.loads(done.stdout, parse_constant=no_constant)
    assert found == f"mlgit.{name}/v1"


def test_json_lines_are_objects(showcase: Path) -> None:
    for options in ((), ("--group-by", "params.lr")):
        lines = mlgit("log", "--jsonl", *options).stdout.splitlines()
        assert len(lines) > 3
        assert all(type(json.loads(line)) is dict for line in lines)


def test_output_is_data_and_talk_goes_to_stderr(showcase: Path) -> None:
    nothing = mlgit("log", "--where", "id = nothing")
    assert (nothing.stdout, nothing.stderr) == ("", "No run matches.\n")
    failed = mlgit("show", "nothing")
    assert failed.stdout == ""
    assert failed.stderr == (
        "Error: there is no run 'nothing'\n"
        "Hint: list them: mlgit log; a run is saved when it ends, one that died by: mlgit recover\n"
    )


def test_a_reader_that_stops_reading_is_no_error(showcase: Path) -> None:
    long = "{{ id }}" + "x" * 100_000  # more than a pipe holds
    process = subprocess.Popen(
        [PROGRAM, "log", "--format", long], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    process.stdout.read(1)
    process.stdout.close()
    with process:
        assert process.stderr.read() == b""


def test_an_old_locale_gets_escapes_instead_of_a_traceback(showcase: Path) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([PROGRAM, "log", "-n", "1"], env=env, capture_output=True)
    assert done.returncode == 0
    assert b"gr\xf6\xdfe/\\u5ba2\\u6237 \\U0001f695" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        (["log", "-h"], 0),
        ([], 2),
        (["note", "boosted", "-m", "text", "-F", "-"], 2),
        (["nonsense"], 2),
        (["log", "--nonsense"], 2),
        (["experiment"], 2),
        (["show"], 2),
        (["show", "nothing"], 1),
        (["log", "--where", "="], 1),
        (["-C", "/nowhere", "log"], 2),
        (["completion", "tcsh"], 2),
    ],
)
def test_exit_codes(showcase: Path, arguments: Sequence[str], code: int) -> None:
    assert mlgit(*arguments).exit_code == code


def test_a_misspelt_command_of_models(showcase: Path) -> None:
    done = mlgit("model", "promot")
    assert (done.exit_code, "Did you mean 'promote'?" in done.stderr) == (2, True)


@pytest.mark.parametrize("command", ["log", "show x", "doctor", "recover", "push", "init", "tag x"])
def test_outside_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = mlgit(*command.split())
    assert done.exit_code == 1
    assert f"Error: {tmp_path} is not in a git repository\nHint: run 'git init'" in done.stderr


@pytest.mark.parametrize("command", ["log", "show x", "experiment ls", "diff a b", "note x -m y"])
def test_before_the_first_run(repo: Path, command: str) -> None:
    done = mlgit(*command.split())
    assert done.exit_code == 1
    assert "there are no runs in this repository yet\nHint: run 'mlgit init'" in done.stderr
    assert mlgit("doctor").exit_code == 0
    mlgit("init")
    assert mlgit("log").stderr == "No runs yet.\n"
    assert mlgit("experiment", "ls").stderr == "No experiments yet.\n"


def test_a_folder_to_work_in(showcase: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(showcase.parent)
    assert mlgit("-C", str(showcase), "log", "-n", "1").exit_code == 0


def test_dead_runs_are_offered_once_and_never_in_data(showcase: Path) -> None:
    start_journal(showcase, ['["p","lr",0.1]']).close()
    done = mlgit("log", "--json")
    assert "mlgit.log/v1" in json.loads(done.stdout)
    assert done.stderr == "1 run ended without being saved; save: mlgit recover\n"
    assert "mlgit recover" not in mlgit("recover").stderr


def test_a_run_taken_up_again_is_shown_once_and_whole(showcase: Path) -> None:
    lines = ['["m","loss",5,1000,0.25]', '["p","new",1]', '["t","night",""]', '["n","more"]']
    journal = start_journal(showcase, lines, resumed="01m6dsg8d80000000000000002")
    (run,) = json.loads(mlgit("log", "--live", "--json").stdout)["mlgit.log/v1"]
    assert run["id"] == "01m6dsg8d80000000000000002"
    assert (run["status"], run["ended"], run["note"]) == ("running", None, "more")
    assert (run["params"]["lr"], run["params"]["new"]) == (0.05, 1)
    assert {"team", "night"} <= run["tags"].keys()
    assert run["metrics"]["loss"] == {"last": 0.25, "min": 0.25, "max": 0.9, "step": 5, "count": 6}
    names = "{{ name }} {{ status }}"
    assert mlgit("log", "--format", names).stdout.count("boosted") == 1
    assert "boosted" not in mlgit("log", "--status", "finished", "--format", names).stdout
    assert mlgit("show", "boosted", "--metric", "loss").stdout.split()[-3:] == ["5", "1.0", "0.25"]
    journal.close()


def test_the_newest_runs_are_complete_while_some_go_on(showcase: Path) -> None:
    journal = start_journal(showcase, ['["p","lr",1]'])
    shown = mlgit("log", "-n", "3", "--format", "{{ name }}").stdout.splitlines()
    assert shown == ["night", "Süßes 🍭 模型", "trial 1"]
    sort = mlgit("log", "-n", "2", "--sort", "-params.lr", "--format", "{{ name }}").stdout
    assert sort.splitlines() == ["diverged", "night"]
    journal.close()


def test_notes_from_files(showcase: Path) -> None:
    done = CliRunner().invoke(cli, ["note", "typo", "-F", "-"], input="one\n\ntwo\n")
    assert done.exit_code == 0
    assert "Note\n  one\n\n  two\n" in mlgit("show", "typo").stdout
    (showcase / "plot.png").write_bytes(b"\x89PNG\xff")
    assert (
        mlgit("note", "typo", "-F", "plot.png").stderr == "Error: plot.png is not a text in UTF-8\n"
    )
    (showcase / "long.md").write_text("x" * 70_000)
    assert "65,536 are allowed" in mlgit("note", "typo", "-F", "long.md").stderr


def test_since_is_in_local_time(showcase: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def since(text: str) -> list[str]:
        return mlgit("log", "--since", text, "--format", "{{ name }}").stdout.split("\n")[:-1]

    assert since("2026-11-05 08:00") == ["Süßes 🍭 模型"]
    monkeypatch.setenv("TZ", "America/New_York")  # five hours behind
    time.tzset()
    assert since("2026-11-05 03:00") == ["Süßes 🍭 模型"]
    assert since("2026-11-05 04:00") == since("2026-11-05T09:00Z") == []
    assert "2026-11-05 03:00" in mlgit("log", "-n", "1").stdout
    with stopped_clock("2026-11-06 08:00:00"):
        assert since("24h") == since("1d") == ["Süßes 🍭 模型"]
        assert since("90m") == []


# --- what others wrote ------------------------------------------------------------------------

NASTY = "a\x1b[31m\x07b\nc\r\x9b2J\u202ed\u2028e\x7f"


def test_nothing_stored_can_act_on_the_terminal(repo: Path) -> None:
    text = NASTY
    with stopped_clock("2026-11-01 12:00:00") as clock:
        make = Builder(open_repository(repo), clock)
        for name in (text, "other"):
            make.run(
                "2026-11-01 12:00:00", 1, "exp", name,
                params={text: text, "list": [text], "object": {text: text}, "null": None},
                metrics={text: metric(1, 2), f"system/{text}": metric(3)},
                tags={text: text}, note=text, status="failed", error=text,
                source=code_of(None, text, branch=text, remote=text, entry=text,
                    skipped=[{"path": text, "reason": text}]),
                environment={**ENVIRONMENT, "python": {"version": text}, text: text},
            )  # fmt: skip
    run = "@latest"
    shown = [
        mlgit(*command)
        for command in (
            ("log",),
            ("log", "--group-by", "name"),
            ("log", "--format", "{{ name }}{{ note }}"),
            ("log", "--columns", "name,note,branch"),
            ("log", "--json"),
            ("log", "--jsonl"),
            ("show", run),
            ("show", run, "--json"),
            ("show", run, "--metric", "x"),
            ("diff", run, "@best:-started", "--all"),
            ("diff", "other", "@best:started"),
            ("tag", run),
            ("doctor",),
            ("experiment", "ls"),
            ("rm", run),
        )
    ]
    for done in shown:
        assert {char for char in done.output if not char.isprintable()} <= {"\n"}, done.output
    table, groups, lines = (done.stdout.splitlines() for done in shown[:3])
    assert (len(table), len(groups), len(lines)) == (3, 3, 2)
    assert json.loads(shown[6 + 1].stdout)["mlgit.show/v1"]["note"] == text


@pytest.mark.parametrize("acting", ["\x7f", "\x9b", "\u202e", "\ud800"])
def test_json_escapes_each_character_that_acts(acting: str) -> None:
    written = output.as_json({"key": f"a{acting}"})
    assert written == f'{{"key": "a\\u{ord(acting):04x}"}}'


def test_a_long_value_does_not_hold_up_the_table(repo: Path) -> None:
    save_run(repo, "long", params={"text": "x" * 500_000, "wide": "宽" * 200_000, "other": 1})
    _, row = mlgit("log").stdout.splitlines()
    assert row.count("…") == 2
    assert len(row) < 500
    assert "x" * 500_000 in mlgit("show", "long").stdout


# --- on a terminal --------------------------------------------------------------------------


def test_a_table_fits_the_terminal_and_says_what_it_left_out(showcase: Path) -> None:
    shown, code = on_terminal(PROGRAM, "log", size=(80, 40))
    assert code == 0
    assert "\x1b[31mfailed\x1b[0m" in shown
    assert "(no room for started, duration, metrics.loss, metrics.mae" in shown
    plain, _ = on_terminal(PROGRAM, "log", size=(80, 40), NO_COLOR="1")
    assert "\x1b" not in plain
    heading = plain.splitlines()[0].split()
    assert heading == ["RUN", "EXPERIMENT", "NAME", "STATUS", "rmse", "auc"]
    wide, _ = on_terminal(PROGRAM, "log", size=(300, 40))
    assert "no room" not in wide


def test_a_long_table_is_paged(showcase: Path) -> None:
    shown, _ = on_terminal(PROGRAM, "log", size=(80, 6), PAGER="cat -n", NO_COLOR="1")
    assert "     1\tRUN" in shown


def test_code_is_shown_as_git_shows_it(showcase: Path) -> None:
    arguments = ("diff", "boosted", "trial 1", "--code")
    shown, code = on_terminal(PROGRAM, *arguments, GIT_PAGER="cat")
    assert code == 0
    assert "\x1b[31m-LR = 0.05\x1b[m\n" in shown
    plain, _ = on_terminal(PROGRAM, *arguments, GIT_PAGER="cat", NO_COLOR="1")
    assert "\n-LR = 0.05\n" in plain


def test_bytes_are_not_thrown_at_a_terminal(showcase: Path) -> None:
    content = {"plot.png": b"\x89PNG\xff", "log.txt": b"\x1b[2Jone\rtwo\n"}
    with stopped_clock("2026-11-09 12:00:00") as clock:
        make = Builder(open_repository(showcase), clock)
        make.run("2026-11-09 12:00:00", 1, "exp", "files", files=content)
    shown, code = on_terminal(PROGRAM, "show", "files", "--artifact", "plot.png")
    assert (code, "--artifact plot.png > FILE" in shown) == (1, True)
    shown, code = on_terminal(PROGRAM, "show", "files", "--artifact", "log.txt")
    assert (code, shown) == (0, "\ufffd[2Jone\ntwo\n")
    done = subprocess.run(
        [PROGRAM, "show", "files", "--artifact", "plot.png"], capture_output=True, check=True
    )
    assert done.stdout == content["plot.png"]


@pytest.mark.parametrize(
    ("keys", "code", "told"),
    [
        ("\x03", 130, "Stopped."),
        ("n\n", 1, "Nothing was sent."),
        ("\n", 0, "Sent 8 runs to origin."),
    ],
)
def test_the_question_before_code_travels(shared: Path, keys: str, code: int, told: str) -> None:
    shown, exit_code = on_terminal(PROGRAM, "push", keys=keys, after="Go on? [Y/n]: ")
    assert "2 commits and 1 snapshot of uncommitted work will go to origin" in shown
    assert (exit_code, told in shown) == (code, True), shown
    arrived = git("ls-remote", "origin", "mlgit", cwd=shared) != ""
    assert arrived is (code == 0)


def test_an_empty_remote_is_no_failure_to_watch(shared: Path) -> None:
    shown, code = on_terminal(PROGRAM, "pull")
    assert (code, shown) == (0, "Everything is up to date with origin.\n")


def test_nobody_is_asked_with_yes_or_without_a_terminal(shared: Path) -> None:
    shown, code = on_terminal(PROGRAM, "push", "--yes")
    assert (code, "Go on?" in shown) == (0, False)
    save_run(shared, "more", code=git("rev-parse", "HEAD", cwd=shared).strip())
    assert mlgit("sync").stdout == "Sent 1 run to origin.\n"
    assert mlgit("push").stdout == "Everything is up to date with origin.\n"


def test_news_of_runs_that_are_there_already_are_told(shared: Path) -> None:
    mlgit("push", "--yes")
    mlgit("note", "baseline", "-m", "later")
    assert mlgit("push").stdout == "Sent news of 1 run to origin.\n"
    for run in ("baseline", "boosted"):
        mlgit("tag", run, "seen")
    mlgit("experiment", "describe", "churn", "-m", "text")
    save_run(shared, "more")
    done = mlgit("sync")
    assert done.stdout == "Sent 1 run, and news of 2 others and 1 experiment to origin.\n"
    mlgit("experiment", "describe", "churn", "-m", "other")
    (told,) = json.loads(mlgit("push", "--json").stdout).values()
    assert (told["sent"], told["sent_news"]) == (0, {"experiments": 1})


def test_what_is_not_there_is_said(showcase: Path) -> None:
    assert mlgit("artifacts", "get", "baseline").stderr == "The run has no artifacts.\n"
    mlgit("restore", "wrong data")
    assert mlgit("log", "--deleted").stderr == "No run is deleted.\n"
    done = mlgit("show", "@best:metrics.rsme.min")
    assert done.stderr == ("Error: no run has metrics.rsme.min\nHint: did you mean rmse?\n")


def test_a_name_that_others_have_is_told(showcase: Path) -> None:
    assert mlgit("rename", "boosted", "boosted").stderr == ""
    done = mlgit("rename", "boosted", "baseline")
    assert (done.exit_code, done.stderr) == (
        0,
        "Warning: 1 other run has this name too; by it alone none of them can be meant\n",
    )
    assert "2 runs are named 'baseline'" in mlgit("show", "baseline").stderr
    assert "2 other runs have this name" in mlgit("rename", "typo", "baseline").stderr


def test_a_note_is_written_in_gits_editor(showcase: Path) -> None:
    git("config", "core.editor", "sh -c 'echo edited >> \"$1\"' --", cwd=showcase)
    shown, code = on_terminal(PROGRAM, "note", "baseline")
    assert (code, shown) == (0, "Wrote the note of 01m6bfp6f8 nyc-taxi/baseline.\n")
    assert "  - no outliers removed\n  edited\n" in mlgit("show", "baseline").stdout
    git("config", "core.editor", "true", cwd=showcase)
    assert on_terminal(PROGRAM, "note", "baseline")[0] == "The note was not changed.\n"


# --- the Tab key ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("mlgit lo", ["log"]),
        ("mlgit experiment re", ["rename", "restore"]),
        ("mlgit log --gr", ["--group-by"]),
        ("mlgit show bo", ["boosted"]),
        ("mlgit diff baseline @l", ["@latest"]),
        ("mlgit rm 01m6b", ["01m6bfp6f80000000000000001"]),
        ("mlgit log --experiment n", ["nyc-taxi"]),
        ("mlgit push o", ["origin"]),
    ],
)
def test_tab(shared: Path, words: str, offered: list[str]) -> None:
    count = str(len(words.split()) - 1)
    env = {"_MLGIT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count}
    done = CliRunner().invoke(cli, prog_name="mlgit", env=env)
    assert done.output.split() == [f"plain,{word}" for word in offered]


def test_tab_outside_a_repository_is_silent(tmp_path: Path) -> None:
    env = {"_MLGIT_COMPLETE": "bash_complete", "COMP_WORDS": "mlgit show x", "COMP_CWORD": "2"}
    done = subprocess.run([PROGRAM], cwd=tmp_path, env={**os.environ, **env}, capture_output=True)
    assert (done.stdout.strip(), done.stderr) == (b"", b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    assert "_MLGIT_COMPLETE" in mlgit("completion", shell).stdout


# --- runs that are not saved yet --------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    ["note night -m text", "tag night a=b", "rename night day", "rm night", "restore night",
     "diff night boosted", "artifacts ls night", "artifacts get night -o x", "pin night"],
)  # fmt: skip
def test_what_cannot_be_done_yet_says_when(showcase: Path, command: str) -> None:
    held = start_journal(showcase, ['["p","lr",0.1]'])
    run_id = held.path.stem
    for name in ("night", run_id, run_id[:10].upper()):
        done = mlgit(*command.replace("night", name).split())
        assert done.exit_code == 1
        assert f"Error: the run {run_id}, taxi/night, is still running\n" in done.stderr
        assert f"'mlgit show {run_id[:10]}' shows it" in done.stderr
    assert mlgit("show", run_id[:10].upper()).exit_code == 0
    held.close()
    done = mlgit(*command.split())
    assert done.exit_code == 1
    assert "taxi/night, ended without being saved\nHint: save it: mlgit recover" in done.stderr
    assert "ended without being saved" in mlgit("show", "night").stderr


def test_a_name_that_a_running_and_a_saved_run_have(showcase: Path) -> None:
    save_run(showcase, "night")
    held = start_journal(showcase, [])
    done = mlgit("show", "night")
    assert "2 runs are named 'night'" in done.stderr and held.path.stem in done.stderr
    assert mlgit("note", "night", "-m", "text").exit_code == 0, "only the saved one can be meant"
    held.close()
