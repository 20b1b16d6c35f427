"""What is said before a site leaves: all that the rules know of, wherever it was written down."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from conftest import git, make_run
from showcase import md5, metric, summaries
from test_site_build import content

from mlgit import names, profiles, records, registry, saved
from mlgit.cli import cli
from mlgit.data import store
from mlgit.errors import Unreadable
from mlgit.ledger import Ledger, append, open_repository, snapshot, tagging
from mlgit.ledger.tagging import New
from mlgit.records import Pointer, Run, Source
from mlgit.registry import verbs
from mlgit.site import publish, whole
from mlgit.site.build import build, reading
from mlgit.site.choice import Choice
from mlgit.site.pages import code
from mlgit.site.redact import USUAL, Rules
from mlgit.site.survey import survey
from mlgit.tags import ApprovalName

FORMS = ("/home/{}/x", "{}@mail.example.org")


class Sower:
    """Makes texts that the rules know, each with a word of its own, and keeps where each went."""

    def __init__(self) -> None:
        self.places: dict[str, str] = {}

    def text(self, where: str, form: str = FORMS[0]) -> str:
        word = f"canary{len(self.places):04}"
        self.places[word] = where
        return form.format(word)

    def mail(self, where: str) -> str:
        return self.text(where, FORMS[1])

    def words(self, text: str) -> set[str]:
        lower = text.lower()
        return {word for word in self.places if word in lower}


def leaves(kind: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the way to every place of a record in which a text may stand."""
    if isinstance(kind, msgspec.inspect.UnionType):
        kind = next(t for t in kind.types if not isinstance(t, msgspec.inspect.NoneType))
    if isinstance(kind, msgspec.inspect.StructType):
        for field in kind.fields:
            name = "of later" if field.name == "unknown" else field.encode_name
            known = msgspec.inspect.StrType() if field.name == "unknown" else field.type
            yield from leaves(known, (*at, name))
    elif isinstance(kind, msgspec.inspect.ListType):
        yield from leaves(kind.item_type, (*at, 0))
    elif isinstance(kind, msgspec.inspect.DictType):
        yield from leaves(kind.value_type, (*at, "key"))
        yield (*at, None)  # a key of its own
    elif isinstance(kind, msgspec.inspect.StrType | msgspec.inspect.AnyType):
        yield at


def put(document: Any, at: tuple[Any, ...], text: str) -> Any:
    """Returns a document of JSON with the text there; what is missing on the way is made."""
    step, *rest = at
    kind: Any = list if isinstance(step, int) else dict
    document = copy.deepcopy(document) if isinstance(document, kind) else kind()
    if step is None:
        document[text] = "a value"
    elif isinstance(step, int):
        inner = put(document[step] if document else None, tuple(rest), text) if rest else text
        document[step : step + 1] = [inner]
    else:
        document[step] = put(document.get(step), tuple(rest), text) if rest else text
    return document


def filled(sower: Sower, kind: type, valid: Any, load: Callable[[bytes], Any]) -> tuple[Any, Any]:
    """Returns a document with a text wherever one is taken, and those with one that is refused."""
    refused = []
    for at in leaves(msgspec.inspect.type_info(kind)):
        where = f"{kind.__name__}.{'.'.join(map(str, at))}"
        for form in FORMS:
            tried = put(valid, at, sower.text(where, form))
            try:
                load(records.canonical(tried))
            except Unreadable:
                refused.append(tried)
            else:
                valid = tried
                break
    return valid, refused


def sow(repo: Path) -> Sower:
    """Fills a repository with texts that the rules know, in all that a site is made from."""
    sower = Sower()
    repository = open_repository()
    data = repository.data_store
    text, mail = sower.text, sower.mail
    # Code, uncommitted work, a report.
    commits = []
    for number in range(2):
        (repo / "train.py").write_text(f"read({text('code')!r})\n")
        git("commit", "--quiet", "--all", "--message", f"read {text(f'subject {number}')}")
        commits.append(git("rev-parse", "HEAD").strip())
    (repo / "train.py").write_text(f"read({text('uncommitted work')!r})\n")
    work = snapshot.capture(repository, [])
    (repo / "reports").mkdir()
    report = repo / "reports" / f"of {mail('path of a report')}.md"
    report.write_text(f"# On {text('title of a report')}\n\n{text('report')} `{text('report')}`\n")
    # Artifacts on the branch and in the data store, a folder, a profile.
    small = {
        "console.txt": text("console").encode(),
        f"of {mail('path of an artifact')}.txt": text("small artifact").encode(),
        "c.json": json.dumps({text("key of JSON"): text("JSON")}).replace("/", "\\/").encode(),
        "d.csv": f"where\n{text('table')}\n".encode(),
        "e.svg": f"<svg><text>{text('drawing')}</text></svg>".encode(),
    }
    outputs = [
        Pointer(path=path, md5=md5(found), size=len(found), kind="text", stored="git")
        for path, found in small.items()
    ]
    large = text("large artifact").encode()
    outputs.append(
        Pointer(path="large.txt", md5=store.put(data, large), size=len(large), stored="dvc")
    )
    inputs = []
    for _ in range(2):
        inside = store.put(data, text("file in a folder").encode())
        member = {"relpath": f"of {mail('path in a folder')}", "md5": inside}
        folder = store.put(data, json.dumps([member]).encode(), ".dir")
        inputs.append(
            Pointer(path="data", md5=folder, size=5, files=1, stored="dvc", origin="file")
        )
        column = {"name": text("column"), "type": text("type"), "top": [[text("value"), 1]]}
        profile = {"format": 1, "columns": [column], text("key of a profile"): text("profile")}
        with Ledger() as ledger:
            written = profiles.files(ledger, {folder: profile})
        append(repository, written, "profile\n")
    environment = {
        "python": {"version": text("python")},
        "packages": {"x": text("version of a package"), text("name of a package"): "1"},
        text("key of an environment"): [text("environment")],
    }
    history = {f"loss of {text('metric')}": metric(3.0, 2.0), "auc": metric(0.5, 0.7)}
    # Runs: one with a text in every field; and one for each text that a field refuses.
    plain = make_run(
        1_767_225_600_000, experiment="exp", outputs=outputs, inputs=inputs[:1],
        source=Source(
            commit=commits[0],
            skipped=[{"path": text("file left out"), "reason": text("reason to leave out")}],
        ),
        metrics=summaries(history),
    )  # fmt: skip
    full, refused = filled(sower, Run, records.run_document(plain), records.load_run)
    run = records.load_run(records.canonical(full))
    saved.save(repository, run, history, environment, small)
    for number, document in enumerate(refused):
        run_id = names.new_id(1_767_225_600_001 + number)
        path = names.run_file(run_id, names.RUN_FILE)
        append(repository, {path: records.canonical({"id": run_id} | document)}, "damaged\n")
    for number, source in enumerate([
        Source(commit=commits[1], skipped=[{}]), Source(commit=work.commit, snapshot=work.snapshot),
    ]):  # fmt: skip
        later = make_run(
            1_767_225_700_000 + number, experiment=run.experiment, inputs=inputs[1:], source=source
        )
        saved.save(repository, later, {}, code=source.snapshot)
    # Facts of every kind, about each thing that has some.
    added = text("artifact of a fact").encode()
    pointer = {"path": "added.txt", "md5": md5(added), "size": len(added), "stored": "git"}
    told = {"note", "tag", "rename", "params", "artifact", "resume", "describe", "view", "else"}
    for kind in sorted(told):
        said = {
            key: text(f"{key} of a fact {kind}")
            for key in ("text", "key", "value", "name", "error", "sort", "of later")
        }
        fact = {
            **said, "status": "finished", "started": run.started, "ended": run.started,
            "params": {text(f"param of a fact {kind}"): text(f"param of a fact {kind}")},
            "columns": [text("column of a view")], "where": f"params.a = '{text('condition')}'",
            "base64": base64.b64encode(added).decode(), "pointer": pointer,
            "source": {"entry": text("entry of a fact")},
        }  # fmt: skip
        saved.annotate(repository, [run.id], kind, fact)
        saved.annotate_experiment(repository, run.experiment, kind, fact)
    git("config", "user.name", f"of {mail('name of a person')}")
    git("config", "user.email", mail("address of a person"))
    repository = open_repository()
    saved.annotate(repository, [run.id], text("kind of a fact"), {})
    # The registry.
    with Ledger() as ledger:
        model = f"of {mail('name of a model')}"
        verbs.register(
            ledger, registry.load(ledger), model, saved.find(ledger, run.id), "large.txt",
            description=text("description of a version"), reason=text("reason of a version"),
        )  # fmt: skip
    with Ledger() as ledger:
        found = registry.load_model(ledger, model)
        (version,) = found.versions
        verbs.promote(
            ledger, found, version, "production", text("reason of a promotion"),
            forced=text("force of a promotion"),
        )  # fmt: skip
        verbs.describe(ledger, found, text("description of a model"))
        verbs.tag(ledger, found, text("key of a model"), text("tag of a model"))
        verbs.rename(ledger, registry.load(ledger), found, f"now {mail('new name of a model')}")
        name = ApprovalName(found.name, version.version, "production", names.new_id())
        said = f"{text('subject of an approval')}\n\n{text('reason of an approval')}\n"
        tagging.make_all(repository, [New(str(name), version.commit, said, 1_767_225_600)])
    return sower


@pytest.fixture
def sown(repo: Path, bare: Callable[..., Path]) -> Sower:
    git("remote", "add", "origin", bare())
    return sow(repo)


def said_of(site: Path, sower: Sower) -> set[str]:
    """Returns the words that stand in names and bytes of a site's files."""
    files = content(site).items()
    return sower.words("\n".join(f"{url} {data.decode(errors='replace')}" for url, data in files))


def prepared(out: Path, rules: Rules, redact: bool, choice: Choice = Choice()) -> publish.Plan:  # noqa: B008
    with Ledger() as ledger:
        return publish.prepare(ledger, out, choice, rules, redact, None, "gh-pages")


def test_no_text_leaves_that_is_not_told(sown: Sower, tmp_path: Path) -> None:
    rules = Rules(redact=[kind for kind in USUAL if kind not in ("patches", "console")])
    plain, out = tmp_path / "plain", tmp_path / "out"
    as_it_is = prepared(plain, rules, redact=False).survey
    taken_out = prepared(out, rules, redact=True).survey
    leaving = said_of(plain, sown)
    # They stand where one looks; of what is never shown it does not matter whether it is told.
    places = {sown.places[word] for word in leaving}
    assert len(leaving) > 100
    assert {
        *("code", "uncommitted work", "report", "path of a report", "console", "large artifact"),
        *("small artifact", "path of an artifact", "JSON", "table", "path in a folder", "column"),
        *(
            "key of a profile",
            "environment",
            "metric",
            "error of a fact resume",
            "Run.source.argv.0",
        ),
        *("Run.inputs.0.name", "artifact of a fact", "kind of a fact", "name of a model"),
        *("reason of an approval", "force of a promotion", "subject 0"),
        *("address of a person", "name of a person", "Run.params.None", "condition"),
    } <= places
    for each in (as_it_is, taken_out):
        told = sown.words("\n".join(text for texts in each.found.values() for text in texts))
        assert {sown.places[word] for word in leaving - told} == set()
    assert {sown.places[word] for word in said_of(out, sown)} == set()


def test_patches_and_the_console_are_told_by_what_they_are_of(sown: Sower, tmp_path: Path) -> None:
    plain, out = tmp_path / "plain", tmp_path / "out"
    as_it_is = prepared(plain, Rules(), redact=False).survey.found
    taken_out = prepared(out, Rules(), redact=True).survey.found
    for found in (as_it_is, taken_out):
        assert len(found["patches"]) == len(found["console"]) == 1
    assert len(as_it_is["code"]) == len([*plain.glob("code/*-*.html")]) > 0
    assert "code" not in taken_out and [*out.glob("code/*-*.html")] == []
    assert {sown.places[word] for word in said_of(out, sown)} == set()


def test_the_survey_asks_for_all_that_pages_ask_for(
    sown: Sower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[tuple[str, str]] = set()

    def heard(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def answer(self: whole.Source, *words: Any) -> Any:
            told = [word.run.id if isinstance(word, whole.Whole) else word for word in words]
            asked.add(("whole" if name == "run" else name, repr(told)))
            return method(self, *words)

        return answer

    for name, method in [*vars(whole.Source).items()]:
        if not name.startswith("_") and name not in ("close", "here", "size"):  # no text in these
            monkeypatch.setattr(whole.Source, name, heard(name, method))
    with Ledger() as ledger:
        build(ledger, tmp_path / "out", alone=True)
        by_pages = {*asked}
        asked.clear()
        with reading(ledger, Choice(), None, lambda *_: None) as (site, source, redactor):
            survey(site, source, redactor, code.pairs(site).values(), lambda *_: None)
    assert {name for name, _ in by_pages} == {
        *("whole", "patch", "content", "members", "profile", "difference"),
    }
    assert by_pages - asked == set()


def test_pictures_are_told(repo: Path, bare: Callable[..., Path], tmp_path: Path) -> None:
    git("remote", "add", "origin", bare())
    files = {
        "roc.png": b"\x89PNG\r\n\x1a\n", "plots/a.svg": b"<svg><path d='M0 0'/></svg>",
        "notes.txt": b"no picture", "weights.bin": b"\0\1",
    }  # fmt: skip
    for number in range(2):
        found = files | {"roc.png": files["roc.png"] + bytes([number])}
        outputs = [
            Pointer(path=path, md5=md5(data), size=len(data), stored="git")
            for path, data in found.items()
        ]
        saved.save(open_repository(), make_run(outputs=outputs), {}, files=found)
    for redact in (True, False):
        told = prepared(tmp_path / "out", Rules(), redact).survey.pictures
        assert told == {"roc.png": 2, "plots/a.svg": 1}
    assert prepared(tmp_path / "out", Rules(redact=[]), True).survey.pictures == told
    assert not prepared(tmp_path / "out", Rules(), True, Choice(artifacts=False)).survey.pictures
    done = CliRunner().invoke(cli, ["site", "publish", "--dry-run"])
    said = "3 pictures leave, as roc.png, plots/a.svg; no rule sees what is drawn there"
    assert said in done.stderr and "--no-artifacts" in done.stderr
    done = CliRunner().invoke(cli, ["site", "publish", "--dry-run", "--no-artifacts"])
    assert done.exit_code == 0 and "pictures" not in done.output
