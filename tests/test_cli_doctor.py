"""What `mlgit doctor` finds: each thing that can be wrong, made wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import git
from showcase import start_journal

from mlgit import doctor, names, records, saved
from mlgit.doctor import Finding
from mlgit.ledger import append, open_repository
from mlgit.ledger.objects import FILE, Entry, Reader, Store, format_tree
from mlgit.records import Person

RUN = "01m6dsg8d80000000000000002"


def findings(level: str) -> list[Finding]:
    return [each for each in doctor.examine(open_repository()) if each.level == level]


def problem() -> str:
    (found,) = findings("problem")
    return found.what


def replace(path: str, content: bytes, mode: int = FILE) -> None:
    """Changes one file of the ledger, as nobody should."""
    repository = open_repository()
    reader, store = Reader(repository), Store(repository)

    def changed(tree: str, parts: list[str]) -> str:
        entries = reader.tree(tree)
        name, *rest = parts
        if rest:
            entries[name] = entries[name]._replace(sha=changed(entries[name].sha, rest))
        else:
            entries[name] = Entry(mode, store.put("blob", content))
        return store.put("tree", format_tree(entries))

    root = git("rev-parse", "mlgit^{tree}").strip()
    new = changed(root, path.split("/"))
    reader.close()
    git("update-ref", "refs/heads/mlgit", git("commit-tree", "-p", "mlgit", "-m", "x", new).strip())


def test_all_is_well(showcase: Path) -> None:
    assert findings("problem") == []
    assert Finding("ok", "8 runs can be read") in findings("ok")


def test_a_damaged_run(showcase: Path) -> None:
    path = names.run_file(RUN, names.RUN_FILE)
    replace(path, b'{"format": 1')
    assert problem().startswith(f"{path} is damaged: ")
    assert Finding("ok", "7 runs can be read") in findings("ok")


def test_a_run_of_a_later_mlgit(showcase: Path) -> None:
    path = names.run_file(RUN, names.RUN_FILE)
    replace(path, b'{"format": 2}')
    assert f"{path} was written by a later mlgit" in problem()


def test_damaged_facts(showcase: Path) -> None:
    about_run = git("ls-tree", "-r", "--name-only", "mlgit", "runs").splitlines()
    path = next(path for path in about_run if f"{RUN}/facts/" in path)
    replace(path, b"nonsense")
    assert problem().startswith(f"{path} is damaged")
    (about_experiment, *_) = git("ls-tree", "-r", "--name-only", "mlgit", "experiments").split()
    replace(about_experiment, b"nonsense")
    found = [each.what for each in findings("problem")]
    assert [what.partition(" ")[0] for what in found] == [path, about_experiment]


@pytest.mark.parametrize(
    ("path", "mode", "sentence"),
    [
        ("link", 0o120000, "'link' is a symbolic link where a plain file should be"),
        ("module", 0o160000, "'module' is a submodule where a plain file should be"),
        ("runs/x", FILE, "'runs/x' is not in the folder of a run"),
        ("git~1", FILE, "'git~1' the path would climb out of its folder"),
        ("runs", FILE, "'runs' is a file where a folder should be"),
    ],
)
def test_what_does_not_belong_there(showcase: Path, path: str, mode: int, sentence: str) -> None:
    replace(path, b"x", mode)
    assert problem() == sentence


def test_a_branch_that_is_no_ledger(repo: Path) -> None:
    git("branch", "mlgit")
    assert "is not a ledger of mlgit" in problem()


def test_a_person_git_does_not_know(showcase: Path, hermetic: Path) -> None:
    (hermetic / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    assert problem() == "git does not know who you are, and every run says who made it"


def test_journals(showcase: Path) -> None:
    live = start_journal(showcase, [])
    assert Finding("ok", "1 running now") in findings("ok")
    live.close()
    assert Finding(
        "note", f"the run {live.path.stem} ended without being saved", "mlgit recover"
    ) in (findings("note"))
    live.path.write_text("nonsense\n")
    assert problem() == f"the journal {live.path} cannot be read"


def test_what_is_not_pushed(showcase: Path) -> None:
    git("remote", "add", "origin", "../nowhere")
    git("update-ref", "refs/remotes/origin/mlgit", "mlgit")
    assert Finding("ok", "everything is pushed to origin") in findings("ok")
    saved.annotate(open_repository(), [RUN], "note", {"text": "new"})
    (waiting,) = findings("note")
    assert waiting == Finding(
        "note", "1 run is new or changed since the last push to origin", "mlgit push"
    )


def test_a_file_named_by_another_tool_is_left_alone(showcase: Path) -> None:
    append(open_repository(), {"future/thing.json": b"{}"}, "a later mlgit\n")
    assert findings("problem") == []


def test_the_record_of_another_run(showcase: Path) -> None:
    other = records.Run(
        id=names.new_id(), experiment="x", status="finished", started=names.timestamp(0),
        by=Person(name="a", email="b"),
    )  # fmt: skip
    replace(names.run_file(RUN, names.RUN_FILE), records.dump_run(other))
    assert problem().endswith("is damaged: it is the record of another run")
