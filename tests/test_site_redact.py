"""What does not leave the house: rules, values, and a site of secrets in which none is found."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from conftest import add_runs, git, make_run
from showcase import add_models, md5, metric, summaries
from test_site_build import check_links, content

from mlgit import names, registry, saved
from mlgit.errors import Invalid
from mlgit.ledger import Ledger, open_repository, snapshot, tagging
from mlgit.ledger.tagging import New
from mlgit.records import Person, Pointer, Source
from mlgit.site import markdown
from mlgit.site.build import build
from mlgit.site.redact import USUAL, Redactor, Rules, parse
from mlgit.tags import ApprovalName

ALL = Rules(redact=[*USUAL, "names"], hide=["Project Bluebird"], keep=["arxiv.org"])
PEOPLE = [("Ada Example", "ada@laptop"), ("Bob Li", "bob@x.example.org")]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/home/ada/My Documents/x.csv", "[path]"),
        ("see /home/ada/x.py:12, -I/home/ada/inc", "see [path]:12, -I[path]"),
        ("--data=/mnt/a b/c", "--data=[path]"),
        ("~/x", "[path]"),
        ("file:///srv/y.ipynb", "[path]"),
        ("C:\\Users\\ada\\x", "[path]"),
        ("\\\\server\\share\\x", "[path]"),
        ("{'a': '/opt/x/y'}", "{'a': '[path]'}"),
        ("(see /data/x).", "(see [path])."),
        ("git@hub.example.com:org/repo.git", "[remote]"),
        ("from https://hub.example.com/org/repo.git now", "from [remote] now"),
        ("s3://bucket/key/x.csv", "s3://[host]/key/x.csv"),
        ("http://user:pw@in.example:80/x", "http://[host]/x"),
        ("https://user:token@www.arxiv.org/x", "https://[host]/x"),  # though the host is kept
        ("10.1.2.3:5000 and gpu1.cluster.local", "[host] and [host]"),
        ("ada@laptop, bob@x.example.org, zed@y.example.", "[mail 1], [mail 2], [mail]."),
        ("tag of%20bob%40x.example.org@v1.0.0", "tag of [mail 2]@v1.0.0"),
        ("https://arxiv.org/x?at=%2Fhome%2Fada", "https://arxiv.org/x?at=[path]"),
        ("project bluebird is Ada Example's", "[hidden] is [name 1]'s"),
        # Lines of a note end anywhere, and the page shows them as one.
        ("of project\nbluebird, Ada\n  Example", "of [hidden], [name 1]"),
        ("No such file: '/home/ada/My Documents/x.csv'", "No such file: '[path]'"),
        ('open("C:\\\\Users\\\\Ada Li\\\\x") of `~/a b`', 'open("[path]") of `[path]`'),
        # As Markdown and HTML may spell them, which the page shows as they are meant.
        ("bob\\@x.example.org, bob&#64;x.example.org", "[mail 2], [mail 2]"),
        ("in a&amp;b of gpu\\_1.cluster.local", "in a&amp;b of [host]"),
        ("?to=%252Fhome%252Fada", "?to=[path]"),
    ],
)
def test_a_text_with_something_in_it(text: str, left: str) -> None:
    redactor = Redactor(ALL, PEOPLE)
    assert redactor.text(text) == left
    assert redactor.text(left) == left, "what was taken out is not taken out again"
    assert sum(sum(every.values()) for every in redactor.found.values()) == left.count("[")


@pytest.mark.parametrize(
    "text",
    [
        *("finished", "1/2", "text/plain", "./a", "../b", "a/b", "km/h", "</b>", "// note", "/ 2"),
        *("torch 2.3.1+cu121", "1.2.3.4", "2026-11-01T12:00:00.000000Z", "churn@v1.2.0"),
        *("http://localhost:5000/x", "https://arxiv.org/abs/1", "https://www.arxiv.org/abs/1"),
        *("metrics.rmse < 7", "http: //x", "a:b", "x@y", "feature/new", "loss=0.1;lr=1e-3"),
        *("50%20 a%2Fb", "of%20it@v1.0.0", "100%"),
    ],
)
def test_a_text_with_nothing_in_it(text: str) -> None:
    assert Redactor(ALL, PEOPLE).text(text) == text


def test_only_the_kinds_that_are_named() -> None:
    redactor = Redactor(Rules(redact=["mail"]), PEOPLE)
    assert (
        redactor.text("/home/ada of Bob Li <bob@x.example.org>") == "/home/ada of Bob Li <[mail 2]>"
    )
    person = Person(name="Bob Li", email="bob@x.example.org")
    assert redactor.value(person) == Person(name="Bob Li", email="[mail 2]")
    assert Redactor(Rules(redact=[])).value({"a": ["/home/x"]}) == {"a": ["/home/x"]}


def test_a_word_may_be_short_and_stands_alone() -> None:
    redactor = Redactor(Rules(redact=[], hide=["x9", "c++ (old)"]))
    assert redactor.text("X9, x99, _x9 and C++ (old)!") == "[hidden], x99, _x9 and [hidden]!"


def test_a_letter_with_an_accent_is_one_sign_or_two() -> None:
    redactor = Redactor(Rules(redact=[*USUAL, "names"], hide=["Größe"]), [("Jos\u00e9 Li", "j@x")])
    assert redactor.text("gro\u0308ße of Jose\u0301 Li") == "[hidden] of [name 1]"
    assert redactor.text("gr\u00f6ße of Jos\u00e9 Li") == "[hidden] of [name 1]"


@pytest.mark.parametrize(
    "text",
    [
        "http://",
        "a@b.",
        "~/,",
        "a.",
        "/",
        "\\\\a",
        "'/a ",
        "%41",
        "&#65;",
        "\\_",
        "git@a.b:1",
        "10.0.",
    ],
)
def test_long_texts_take_no_longer_a_character(text: str) -> None:
    redactor = Redactor(ALL, PEOPLE)

    def seconds(count: int) -> float:
        start = time.process_time()
        redactor.text(text * count + "\n")
        return time.process_time() - start

    seconds(1)
    assert seconds(40_000) < 40 * max(seconds(4_000), 0.005)


def test_keys_that_become_alike_stay_apart() -> None:
    found = Redactor(ALL).value({"/home/a": 1, "/home/b": 2, "c": {("metric", "/x/y"): 3}})
    assert found == {"[path]": 1, "[path] 2": 2, "c": {("metric", "[path]"): 3}}


def test_json_is_redacted_however_it_is_spelled() -> None:
    redactor = Redactor(ALL, PEOPLE)
    spelled = b'{"a": "\\u002fhome\\u002fada", "b": "\\/srv\\/x", "c": [1, null]}'
    left = json.loads(redactor.content(spelled))
    assert left == {"a": "[path]", "b": "[path]", "c": [1, None]}
    assert redactor.content(b'{"a" :1}') == b'{"a" :1}'
    assert redactor.content(b"[not json] of /home/ada") == b"[not json] of [path]"
    assert redactor.content(b"\xff/home/ada") == b"\xff/home/ada"
    lines = [{"by": "Bob Li"}, {"at": "/home"}, ["project bluebird"]]
    spelled = "\n".join(map(json.dumps, lines)).replace("e", "\\u0065").encode()
    assert [*map(json.loads, redactor.content(spelled).splitlines())] == [
        {"by": "[name 2]"}, {"at": "[path]"}, ["[hidden]"]
    ]  # fmt: skip
    assert redactor.content(b'{"a": "/home/ada", "a": 1}') == b'{"a": "[path]", "a": 1}'


def test_rules_are_read() -> None:
    assert parse(b"") == Rules() and "names" not in Rules().redact
    assert parse(b'[site]\nredact = ["mail"]\nhide = ["x y"]\n').hide == ["x y"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[site]\nredact = ["everything"]', "Invalid enum value 'everything'"),
        ("[site]\nredactt = []", "unknown field `redactt`"),
        ('[site]\nhide = [" "]', "an empty text"),
        ("[site", "cannot be read"),
        ("site = 1", "cannot be read"),
    ],
)
def test_rules_with_a_mistake_are_refused(text: str, reason: str) -> None:
    with pytest.raises(Invalid, match=reason) as refused:
        parse(text.encode())
    assert "mlgit.toml" in refused.value.message


# --- a whole site ------------------------------------------------------------------------------

CANARIES = [
    "canary-path", "canary-host", "canary-user", "canary-remote", "canary-patch",
    "canary-console", "canary-word", "Canary Person",
]  # fmt: skip
SECRET = (
    "/home/canary-path/x y, s3://canary-host/key, canary-user@mail.example.org, "
    "git@canary-host.example:org/canary-remote.git, Canary-Word, Canary Person"
)


def secretive(repo: Path) -> str:
    """Makes a run that has a secret wherever a text may stand; returns its id."""
    (repo / "train.py").write_text("print('canary-patch')\n")
    code = snapshot.capture(open_repository(), [])
    path = "/home/canary-path/data/my file.csv"
    files = {
        "console.txt": b"canary-console\n" + SECRET.encode(),
        "notes/a.md": SECRET.encode(),
        "b.csv": f"where,who\n{path},canary-user@mail.example.org\n".encode(),
        "c.json": b'{"\\u002fhome\\u002fcanary-path": "\\/home\\/canary-path"}',
        "d.svg": f"<svg><text>{SECRET}</text></svg>".encode(),
        "canary-user@mail.example.org.txt": b"plain",
    }
    outputs = [
        Pointer(path=name, kind="text", md5=md5(data), size=len(data), stored="git")
        for name, data in files.items()
    ]
    by = Person(name="Canary Person", email="canary-user@laptop")
    parent = make_run(experiment=f"of {SECRET}"[:120], name=SECRET[:60], by=by)
    (parent_id,) = add_runs(repo, parent)
    history = {f"loss {SECRET}": metric(3.0, 2.0, 1.0), "auc": metric(0.5, 0.7)}
    run = make_run(
        experiment="exp of canary-user@mail.example.org", name=f"run of {path}", by=by,
        parent=parent_id, status="failed", error=f"FileNotFoundError: {SECRET}",
        params={"data": path, path: 1, "deep": {"list": [SECRET], SECRET: SECRET}},
        tags={"where": path, SECRET: SECRET}, note=f"# Note\n\n{SECRET} <{SECRET}>\n",
        metrics=summaries(history), outputs=outputs,
        inputs=[
            Pointer(
                path="of canary-user@mail.example.org", md5="a" * 32, size=3,
                name=SECRET, role=SECRET, origin="file",
            ),
            Pointer(
                path="x", md5=None, size=None, url="s3://canary-host/x", etag=path, origin="url"
            ),
        ],
        source=Source(
            commit=code.commit, snapshot=code.snapshot, branch="canary-user@mail.example.org/b",
            remote="canary-host.example:org/canary-remote", entry=path,
            argv=[f"--data={path}", "--to", "canary-user@mail.example.org", SECRET],
            skipped=[{"path": path, "reason": SECRET}],
        ),
    )  # fmt: skip
    packages = {"x": f"@ file://{path}", path: "1", "canary-word": "2.0", "cufft": "10.9.0.58"}
    environment = {"python": {"version": "3.11"}, "packages": packages, "at": path}
    repository = open_repository()
    saved.save(repository, run, history, environment, files, code.snapshot)
    for kind, data in {
        "note": {"text": SECRET}, "tag": {"key": "later", "value": SECRET},
        "rename": {"name": SECRET[:60]}, "params": {"params": {"later": SECRET}},
        "other": {"text": SECRET},
    }.items():  # fmt: skip
        saved.annotate(repository, [run.id], kind, data)
    saved.annotate_experiment(repository, run.experiment, "describe", {"text": SECRET})
    return run.id


def found(site: Path) -> set[tuple[str, str]]:
    """Returns the canaries in names and bytes of a site's files, and where they are."""
    return {
        (canary, url)
        for url, data in content(site).items()
        for canary in CANARIES
        if canary.lower().encode() in data.lower()
        or canary.lower().replace(" ", "-") in url.lower()
    }


def test_a_site_of_secrets(repo: Path, tmp_path: Path) -> None:
    run_id = secretive(repo)
    rules = Rules(redact=[*USUAL, "names"], hide=["canary-word"])
    plain, out = tmp_path / "plain", tmp_path / "out"
    with Ledger() as ledger:
        build(ledger, plain)
        assert {canary for canary, _ in found(plain)} == set(CANARIES), "they are where one looks"
        build(ledger, out, rules=rules)
    assert found(out) == set()
    page = (out / "runs" / f"{run_id}.html").read_text("utf-8")
    for mark in ("[path]", "[host]", "[mail]", "[name 1]", "[remote]", "[patch]", "[console]"):
        assert mark in page, mark
    assert "10.9.0.58" in page
    assert check_links(out) > 20
    about = (out / "about.html").read_text("utf-8")
    assert "What is left out" in about and "Mail addresses" in about


def test_who_approved_stays_here(showcase: Path, tmp_path: Path) -> None:
    add_models(showcase)
    git("config", "user.name", "Canary Person")
    git("config", "user.email", "canary-user@mail.example.org")
    with Ledger() as ledger:
        (version, *_) = registry.load_model(ledger, "fare").versions
        name = ApprovalName("fare", version.version, "production", names.new_id())
        said = f"approved\n\nas {SECRET} did\n"
        tagging.make_all(ledger.repository, [New(str(name), version.commit, said, 1_767_225_600)])
        plain, usual, out = (tmp_path / name for name in ("plain", "usual", "out"))
        build(ledger, plain)
        build(ledger, usual, rules=Rules())
        build(ledger, out, rules=Rules(redact=[*USUAL, "names"], hide=["canary-word"]))
    own = f"models/fare/{version.short}.html"
    assert {("Canary Person", url) for url in ("index.html", "models/fare.html", own)} <= found(
        plain
    )
    assert {("canary-user", own), ("canary-path", own), ("canary-path", "index.html")} <= found(
        plain
    )
    assert {canary for canary, _ in found(usual)} == {"Canary Person", "canary-word"}
    assert found(out) == set()
    page = (out / own).read_text("utf-8")
    assert "[name 2]" in page and "[mail 2]" in page and "[name 1]" in page


def test_over_a_site_that_was_not_redacted(repo: Path, tmp_path: Path) -> None:
    secretive(repo)
    out, fresh = tmp_path / "out", tmp_path / "fresh"
    rules = Rules(redact=[*USUAL, "names"], hide=["canary-word"])
    with Ledger() as ledger:
        build(ledger, out)
        build(ledger, out, rules=rules)
        build(ledger, fresh, rules=rules)
    assert found(out) == set()
    assert content(out) == content(fresh)


def test_a_link_without_its_host_leads_nowhere() -> None:
    page = str(markdown.to_html("See [notes](https://[host]/x) and [us](https://arxiv.org/x)."))
    assert page.count("<a ") == 1 and 'href="https://arxiv.org/x"' in page
    assert "[notes](https://[host]/x)" in page
