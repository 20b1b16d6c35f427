"""The frozen samples: what was stored once is read for ever. Samples are only ever added."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import git

from mlgit import names, profiles, records, remotes, saved, tags
from mlgit.data.remote import Remote
from mlgit.ledger import Ledger, open_repository, walk
from mlgit.records import Metric, Person, Pointer, Run, Source
from mlgit.records.history import dump, load, rows
from mlgit.registry import approvals, events, signatures
from mlgit.registry.fold import fold
from mlgit.tracking import finish, journal

V1 = Path(__file__).parent / "formats" / "v1"
FILES = {
    path.relative_to(V1 / "ledger").as_posix(): path
    for path in (V1 / "ledger").rglob("*")
    if path.is_file()
}

FULL = "01kb2q6v6r8m3x0c5t1w9y7zab"
MINIMAL = "01kb2tmptrn08ya8w390xamvdt"
REDUCED = "01kb2y2jerefxx00qd2t9e92ew"
DELETED = "01kb31ge2rhjr2kdq1sykc37c8"
HIDDEN, SHOWN = "01kb31phcrjrebepgmhy3sr0ye", "01kbaed06rrfjs7vx2nn10ww03"
DATA, VALIDATION = "01kcgngse09tm9ec9q996h16z0", "01kcgq7q80wnnbybdrewffen76"
RESUMED = "01kcxcbk00gs8tn4bn3qzej9me"
DIED = "01kc8s9x0fr8m3x0c5t1w9y7zq"
DIED_WITH_DATA = "01kck66jm0bdx42rzhzma29gkq"
DIED_AGAIN = "01kd2h5100d4p0j5457zznbjam"

ADA = Person(name="Ada Example", email="ada@example.org")
BO = Person(name="Bo Beispiel", email="bo@example.org")
ENVIRONMENT = "0b8f266f8101bec4008c8fe10ce395feb2f2a44bda797291c2b59a0ee88a718c"
CODE = "e6fb06210fafc02fd7479ddbed2d042cc3a5155e"

inf, nan = math.inf, math.nan

EXPECTED = {
    FULL: Run(
        id=FULL,
        experiment="nyc-taxi",
        name="baseline",
        status="failed",
        started="2025-11-27T13:14:27.666000Z",
        ended="2025-11-27T13:15:36.420211Z",
        parent="01kb2q50krbraab1vnhcxcx75y",
        by=ADA,
        params={
            "$home": "~",
            "alpha": 0.1,
            "clip": inf,
            "early": True,
            "empty": {},
            "features": ["PU_DO", "distance"],
            "größe": "XL",
            "none": None,
            "optim": {
                "$schedule": {"$int": "7", "warmup": 5},
                "betas": [0.9, 0.999],
                "name": "adam",
            },
            "seed": 2**65,
        },
        metrics={
            "grad/norm": Metric(last=inf, min=-inf, max=inf, step=0, count=3),
            "hash": Metric(last=2**64 + 1, min=2**64 + 1, max=2**64 + 1, step=0, count=1),
            "rmse": Metric(last=6.81, min=6.74, max=9.1, step=10, count=4),
            "rows": Metric(last=76520, min=76518, max=76520, step=1, count=2),
        },
        tags={"reviewed": "", "team": "growth"},
        note="First try with **distance**.\n\nSee `reports/`.",
        error="ValueError: Input contains NaN.",
        source=Source(
            commit=CODE,
            snapshot="e94025be336b1f89159af64b1f6eda5d470ac8d6",
            branch="main",
            remote="https://example.org/taxi.git",
            entry="train.py",
            argv=["--alpha", "0.1", "--token", "***"],
            skipped=[{"path": "data/raw.bin", "reason": "larger than 1 MiB"}],
        ),
        environment=ENVIRONMENT,
        inputs=[
            Pointer(
                path="data/2021-01.parquet",
                md5="58f7d1a04b2bd3a38b0d6a2a7c3cb6ab",
                size=1333519,
                name="train",
                role="train",
                origin="file",
            ),
            Pointer(
                path="data/holdout",
                md5="0c1f8c1c2b9f3bd5a9d1e6a4e1f3a0bb.dir",
                size=91234,
                files=5,
                name="holdout",
                role="validation",
                origin="dvc",
            ),
        ],
        outputs=[
            Pointer(
                path="reports/importance.csv",
                kind="table",
                md5="416fe2a8b0b91628dd5a211debc3890b",
                size=32,
                stored="git",
            ),
            Pointer(
                path="console.txt",
                kind="text",
                md5="bfae3cae7519381979a79313df4a83d3",
                size=33,
                stored="git",
            ),
            Pointer(
                path="model",
                kind="model",
                md5="9d5ed678fe57bcca610140957afab571.dir",
                size=5242880,
                files=3,
                stored="dvc",
            ),
        ],
    ),
    MINIMAL: Run(
        id=MINIMAL,
        experiment="nyc-taxi",
        status="interrupted",
        started="2025-11-27T14:14:27.416000Z",
        by=Person(name="Bo Beispiel", email=""),
    ),
    REDUCED: Run(
        unknown={"energy": {"kwh": 0.02}},
        id=REDUCED,
        experiment="team/churn",
        name="sweep #1",
        status="finished",
        started="2025-11-27T15:14:27.416000Z",
        ended="2025-11-27T15:14:33.416000Z",
        by=Person(
            unknown={"orcid": "0000-0002-1825-0097"}, name="Bo Beispiel", email="bo@example.org"
        ),
        metrics={
            "loss": Metric(unknown={"unit": "nats"}, last=0.2, min=0.1, max=5.0, step=5, count=6)
        },
        source=Source(unknown={"dirty": False}),
        outputs=[
            Pointer(
                unknown={"rows": 6},
                path="metrics.json",
                kind="history",
                md5="0a21a09025d7c8416f73ff11965f3385",
                size=143,
                stored="dvc",
            )
        ],
    ),
}

TRAIN = Pointer(
    path="data/2021-01.parquet",
    md5="58f7622b863151fc9f4d51eff826db50",
    size=1333519,
    role="train",
    origin="dvc",
    stored="dvc",
    profile={"rows": 76518, "columns": 20},
)
MODEL = Pointer(
    path="model",
    kind="model",
    md5="a3cca2b2aa1e3b5b3b5aad99a8529074.dir",
    size=91234,
    files=5,
    stored="dvc",
)
EXPECTED[DATA] = Run(
    id=DATA,
    experiment="nyc-taxi",
    name="with data",
    status="finished",
    started="2025-12-15T09:30:00.000000Z",
    ended="2025-12-15T09:31:00.000000Z",
    by=ADA,
    inputs=[
        TRAIN,
        Pointer(
            path="images",
            name="images/*.png",
            md5="0f1a8f2c5b9f3bd5a9d1e6a4e1f3a0bb.dir",
            size=52,
            files=2,
            origin="glob",
            stored="dvc",
        ),
        Pointer(
            path="zones.csv",
            name="zones",
            md5=None,
            size=12322,
            origin="url",
            url="https://example.org/zones.csv",
            etag='"5f-1"',
            modified="Sun, 22 Nov 2025 20:00:00 GMT",
        ),
        Pointer(
            path="trips.parquet",
            md5=None,
            size=None,
            origin="url",
            url="s3://example/trips.parquet",
            version="3/L4kqtJlcpXroDTDmJ",
        ),
        Pointer(
            path="table",
            md5="9e107d9d372bb6826bd81d3542a419d6",
            size=None,
            role="validation",
            origin="memory",
            content="9e107d9d372bb6826bd81d3542a419d6",
            profile={"rows": 61921, "columns": 3},
        ),
    ],
    outputs=[
        MODEL,
        Pointer(
            path="predictions.parquet",
            kind="file",
            md5="d41d8cd98f00b204e9800998ecf8427e",
            size=0,
            stored="dvc",
        ),
    ],
)
EXPECTED[RESUMED] = Run(
    id=RESUMED,
    experiment="nyc-taxi",
    name="took long",
    status="failed",
    started="2025-12-20T08:00:00.000000Z",
    ended="2025-12-20T12:00:00.500000Z",
    paused=5400.25,
    by=ADA,
    error="MemoryError:",
    source=Source(commit=CODE, entry="train.py"),
)

# What the facts of FULL make of it, oldest first.
FOLDED = {
    "name": "baseline, longer",
    "status": "finished",
    "ended": "2025-11-28T13:14:47.916000Z",
    "paused": 86331.995789,
    "error": None,
    "note": "Overfits after epoch 40.",
    "deleted": None,
    "tags": {"team": "pricing"},
    "params": {**EXPECTED[FULL].params, "beta": 2, "cap": -(2**53) - 1},
    "metrics": {
        **EXPECTED[FULL].metrics,
        "rmse": Metric(last=nan, min=6.5, max=9.1, step=12, count=6),
        "mae": Metric(last=3, min=3, max=3, step=0, count=1),
    },
}
CHECK = Pointer(
    path="reports/check.txt",
    kind="text",
    md5="eff5bc1ef8ec9d03e640fc4370f5eacd",
    size=3,
    stored="git",
)


@pytest.fixture(scope="module")
def branch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which plain git has put the sample ledger on its branch."""
    path = tmp_path_factory.mktemp("frozen") / "project"
    shutil.copytree(V1 / "ledger", path)
    identity = ("-c", "user.name=Ada Example", "-c", "user.email=ada@example.org")
    git("init", "--quiet", "--initial-branch", "mlgit", path)
    git("add", "--all", cwd=path)
    git(*identity, "commit", "--quiet", "--message", "a ledger", cwd=path)
    git("symbolic-ref", "HEAD", "refs/heads/main", cwd=path)
    return path


@pytest.fixture
def ledger(branch: Path) -> Iterator[Ledger]:
    with Ledger(branch) as opened:
        yield opened


# --- file by file --------------------------------------------------------------------------


@pytest.mark.parametrize("run_id", EXPECTED)
def test_run_json_is_read(run_id: str) -> None:
    data = FILES[names.run_file(run_id, names.RUN_FILE)].read_bytes()
    run = records.load_run(data)
    assert run == EXPECTED[run_id]


def test_every_record_is_still_written_so() -> None:
    for name, path in FILES.items():
        data = path.read_bytes()
        if name.endswith("run.json") and MINIMAL not in name:
            assert records.dump_run(records.load_run(data, name)) == data
        elif "/facts/" in name and name.endswith(".json"):
            assert records.dump_fact(records.load_fact(data, name)) == data
        elif name.endswith("metrics.json"):
            assert dump(load(data, name)) == data
    assert FILES[names.MARK].read_bytes() == records.MARK_BYTES


def test_there_is_a_fact_of_every_kind() -> None:
    kinds = Counter(
        (name.partition("/")[0], records.load_fact(path.read_bytes()).kind)
        for name, path in FILES.items()
        if "/facts/" in name and name.endswith(".json")
    )
    assert {kind for above, kind in kinds if above == "runs"} == {
        *records.folding._RUN_FACTS,
        "applaud",
    }
    assert {kind for above, kind in kinds if above == "experiments"} == {
        *("describe", "rename", "tag", "untag", "delete", "restore", "applaud"),
        *("view", "unview"),
    }


def test_remotes_are_read(ledger: Ledger) -> None:
    assert remotes.list_remotes(ledger) == [
        Remote("box", "ssh://ada@example.org:2222/srv/mlgit", {}),
        Remote("share", "local:", {}),
        Remote("storage", "s3://example/data/mlgit", {"region": "eu-west-1"}, is_default=True),
    ]


def test_models_are_read(ledger: Ledger, branch: Path) -> None:
    found = []
    for file in sorted((V1 / "tags").glob("[0-9]*")):
        raw = file.read_text("utf-8")
        name = re.search("^tag (.*)$", raw, re.MULTILINE)
        assert name and tags.parse(name[1])
        event = events.read(name[1], "0" * 40, raw)
        assert event is not None
        found.append(event)
    facts = walk.named_facts(ledger.reader, ledger.root, "models")
    (model,) = fold(found, facts).models.values()
    assert (model.name, model.title, model.former) == ("größe/2", "leaving", ["größe/2"])
    assert (model.description, model.tags) == ("Who leaves.", {"team": "growth"})
    second, first = model.versions
    assert (second.version, second.stage, second.aliases) == ("v2.0.0", "production", ["champion"])
    assert (first.withdrawn, first.run, first.hash) == (True, DATA, MODEL.md5)
    assert (first.description, first.tags) == ("Without postcodes.", {"audited": "yes"})
    assert (first.reason, first.time) == ("the first", "2025-12-17T19:33:20.123456Z")
    assert found[3].reason == "because\nof two lines"
    assert second.time == "2025-12-17T19:35:00.000000Z"  # the tag's own
    assert model.problems == []


def test_approvals_are_read(repo: Path) -> None:
    git("config", "gpg.ssh.allowedSignersFile", V1 / "approvals" / "allowed_signers")
    said, shas = [], {}
    for file in sorted((V1 / "approvals").glob("[0-9]*")):
        raw = file.read_text("utf-8")
        name = re.search("^tag (.*)$", raw, re.MULTILINE)
        sha = git("hash-object", "-t", "tag", "-w", "--stdin", "--literally", input=raw).strip()
        approval = name and approvals.read(name[1], sha, raw)
        assert approval
        said.append(approval)
        shas[sha] = approval.tag
    first, second = said
    assert (first.name.model, first.name.version, first.name.stage) == (
        *("größe/2", "v1.0.0", "production"),
    )
    assert (first.reason, first.by, first.commit) == ("checked on May", "Bo Beispiel", CODE)
    assert (first.time, first.name.withdrawn) == ("2025-12-17T19:35:50.000000Z", False)
    assert (second.name.withdrawn, second.is_signed) == (True, True)
    with Ledger() as ledger:
        signed = signatures.check(ledger, shas)
    assert {found.signer.who for found in signed.values() if found.signer} == {"bo@example.org"}
    assert [found.state for found in signed.values()] == ["good", "good"]


def test_metrics_json_is_read() -> None:
    history = load(FILES[names.run_file(FULL, names.METRICS_FILE)].read_bytes())
    assert repr({key: list(rows(points)) for key, points in history.items()}) == repr(
        {
            "grad/norm": [(-1, -3, -inf), (0, 5, 1e-300), (0, 5, inf)],
            "hash": [(0, 9010, 2**64 + 1)],
            "rmse": [(0, 72, 9.1), (1, 1080, nan), (2, 2093, 6.74), (10, 9007, 6.81)],
            "rows": [(0, 70, 76518), (1, 1071, 76520)],
        }
    )
    reduced = load(FILES[names.run_file(REDUCED, names.METRICS_FILE)].read_bytes())["loss"]
    assert reduced.reduced
    assert list(rows(reduced)) == [(0, 0, 0.9), (2, 2000, 5.0), (3, 3000, 0.1), (5, 5000, 0.2)]


def test_an_environment_is_named_by_its_bytes() -> None:
    data = FILES[names.environment_file(ENVIRONMENT)].read_bytes()
    assert hashlib.sha256(data).hexdigest() == ENVIRONMENT


# --- the ledger as a whole -----------------------------------------------------------------


def test_the_ledger_lists_its_runs(ledger: Ledger) -> None:
    problems: list[str] = []
    found = saved.select(ledger, warn=problems.append)
    assert [run.id for run in found] == [RESUMED, DATA, SHOWN, REDUCED, MINIMAL, FULL]
    assert problems == []
    assert [run.id for run in saved.select(ledger, deleted=True)] == [HIDDEN, DELETED]
    assert [run.id for run in saved.select(ledger, limit=9)] == [run.id for run in found]
    where = "params.seed = 36893488147419103232 and metrics.rmse.min = 6.5"
    assert [run.id for run in saved.select(ledger, where)] == [FULL]


def test_later_facts_are_folded_in(ledger: Ledger) -> None:
    run = saved.find(ledger, FULL)
    for field, value in FOLDED.items():
        assert repr(getattr(run, field)) == repr(value), field
    assert run.outputs == [*EXPECTED[FULL].outputs, CHECK]
    assert saved.find(ledger, DELETED).deleted == "2025-11-28T13:14:57.416000Z"


def test_a_run_has_the_inputs_that_facts_add(ledger: Ledger) -> None:
    *first, added = saved.find(ledger, DATA).inputs
    assert first == EXPECTED[DATA].inputs
    assert saved.find(ledger, DATA).missing == [MODEL.md5]
    assert (added.path, added.role, added.stored) == ("data/2021-02.parquet", "validation", None)


def test_a_run_that_was_taken_up_again_ran_in_stretches(ledger: Ledger) -> None:
    run = saved.find(ledger, RESUMED)
    assert (run.status, run.error, run.ended) == ("finished", None, "2025-12-21T10:00:00.000000Z")
    # 20 h until it was taken up and 600.5 s in that stretch; the last two overlap.
    assert run.paused == 5400.25 + 20 * 3600 - 0.5 + 600.5
    assert run.duration == 26 * 3600 - run.paused
    first, second, third = saved.stretches(ledger, run)
    assert (first.status, first.error, first.duration) == ("failed", "MemoryError:", 9000.25)
    assert (second.status, second.environment, second.duration) == (
        *("interrupted", ENVIRONMENT),
        5400 - 600.5,
    )
    assert (third.started, third.source.argv) == ("2025-12-21T09:00:00.000000Z", ["--resume"])
    (only,) = saved.stretches(ledger, saved.find(ledger, MINIMAL))
    assert (only.status, only.ended, only.duration) == ("interrupted", None, None)


def test_a_profile_is_read(ledger: Ledger) -> None:
    profile = profiles.find(ledger, str(TRAIN.md5))
    assert profile and (profile["rows"], profile["later"]) == (76518, {"field": 1})
    assert profile["columns"][1]["max"] == "9223372036854775807"
    assert profiles.find(ledger, str(MODEL.md5)) is None


def test_a_history_goes_on_where_facts_say(ledger: Ledger) -> None:
    history = saved.history(ledger, saved.find(ledger, FULL))
    assert history["rmse"].step == [0, 1, 2, 10, 11, 12]
    assert repr(history["rmse"].value) == repr([9.1, nan, 6.74, 6.81, 6.5, nan])
    assert list(rows(history["mae"])) == [(0, 86401500, 3)]


def test_artifacts_are_read(ledger: Ledger) -> None:
    assert saved.artifacts(ledger, saved.find(ledger, FULL)) == {
        "console.txt": "epoch 1\nepoch 2\nfertig: größer\n".encode(),
        "reports/importance.csv": b"rank,feature\n1,distance\n2,PU_DO\n",
        "reports/check.txt": b"ok\n",
    }


def test_the_environment_is_read(ledger: Ledger) -> None:
    environment = saved.environment(ledger, saved.find(ledger, FULL))
    assert environment == {
        "python": {"implementation": "CPython", "version": "3.11.7"},
        "platform": {"machine": "x86_64", "release": "6.8.0-45-generic", "system": "Linux"},
        "hardware": {
            "cores": 8,
            "cpu": "AMD EPYC 7B13",
            "gpus": [{"memory": 42949672960, "name": "NVIDIA A100-SXM4-40GB"}],
            "memory": 33659973632,
        },
        "packages": {"mlgit": "0.1.0", "numpy": "2.1.0", "scikit-learn": "1.5.2"},
    }


def test_experiments_are_read(ledger: Ledger) -> None:
    found = saved.experiments(ledger)
    taxi = records.Experiment(
        name="nyc-taxi",
        title="taxi",
        description="Trip duration, New York 2021.",
        tags={"owner": "ada"},
        views={
            "best": records.View(
                "metrics.rmse < 7", "metrics.rmse,-started", ("name", 'metrics."val loss".min')
            ),
            "by model": records.View(
                columns=('params."batch size"', "name", "metrics.rmse"),
                pins=("metrics.rmse", "params.lr"),
                group="params.model",
                colour="params.lr",
                part="min",
            ),
        },
    )
    assert found.pop("nyc-taxi") == taxi
    assert found.pop("team/churn") == records.Experiment(name="team/churn", title="team/churn")
    assert found.pop("größe .5").hidden == "01kb59ms8ryvjxarzs85mnwb9e"
    assert not found


# --- what lies below the git directory --------------------------------------------------------


@pytest.fixture
def died(tmp_path: Path) -> Path:
    """The journal of the run that died, where mlgit would find it."""
    return shutil.copytree(V1 / "live", tmp_path / "live") / f"{DIED}.jsonl"


def test_a_journal_is_read(died: Path) -> None:
    run = finish.record(journal.read(died), touched=1_765_526_400.0)
    assert (run.id, run.experiment, run.name, run.parent) == (DIED, "nyc-taxi", "died", FULL)
    assert (run.status, run.error) == ("interrupted", None)
    assert run.started == "2025-12-12T07:57:00.750000Z"
    assert run.ended == "2025-12-12T08:00:00.000000Z"
    assert run.by == ADA
    assert run.params == {"alpha": 0.1, "seed": 2**65}
    assert run.tags == {"team": "pricing"}
    assert run.note == "größer"
    assert run.metrics == {
        "rmse": Metric(last=6.74, min=6.74, max=9.1, step=2, count=3),
        "rows": Metric(last=2**64 + 1, min=76518, max=2**64 + 1, step=1, count=2),
    }
    assert run.source == Source(entry="train.py", argv=["--alpha", "0.1"])


def test_a_journal_can_be_recovered(repo: Path) -> None:
    state = open_repository(repo).state
    shutil.copytree(
        V1 / "live",
        state / "live",
        ignore=shutil.ignore_patterns(f"{DIED_WITH_DATA}*", f"{DIED_AGAIN}*"),
    )
    finish.recover(open_repository(repo), state / "live" / f"{DIED}.jsonl")
    with Ledger(repo) as opened:
        run = saved.find(opened, DIED)
        assert saved.artifacts(opened, run) == {"curve.csv": b"epoch,rmse\n0,9.1\n"}
        environment = {"python": {"version": "3.11.7", "implementation": "CPython"}}
        assert saved.environment(opened, run) == environment
    assert list((state / "live").iterdir()) == []


def test_a_journal_with_data_is_read(died: Path) -> None:
    story = journal.read(died.with_name(f"{DIED_WITH_DATA}.jsonl"))
    run = finish.record(story, touched=1_765_526_400.0)
    assert [pointer.role for pointer in run.inputs] == ["train"]
    assert run.outputs == [MODEL]
    assert [*story.profiles] == [TRAIN.md5] and story.cut == 1


def test_a_journal_of_a_run_that_died_twice_is_read(died: Path) -> None:
    story = journal.read(died.with_name(f"{DIED_AGAIN}.jsonl"))
    run = finish.record(story, touched=1_766_401_200.0)
    assert (story.header.resumed, story.cut) == ("2025-12-22T10:00:00.000000Z", 0)
    assert (run.ended, run.paused) == ("2025-12-22T11:00:00.000000Z", 3600.5 + 2400)
    assert run.duration == 3 * 3600 - 6000.5


def test_the_samples_need_nothing_but_git(branch: Path) -> None:
    text = git("show", f"mlgit:{names.run_file(FULL, names.RUN_FILE)}", cwd=branch)
    assert json.loads(text)["params"]["alpha"] == 0.1


# --- the page that promises it -----------------------------------------------------------------

PAGE = (Path(__file__).parents[1] / "docs" / "format.md").read_text("utf-8")


def test_the_examples_of_the_page_are_what_mlgit_writes(tmp_path: Path) -> None:
    run, metrics, fact, lines = (
        example.encode() for example in re.findall(r"```jsonl?\n(.*?)```", PAGE, re.DOTALL)
    )
    assert records.dump_run(records.load_run(run)) == run
    assert dump(load(metrics)) == metrics
    assert records.dump_fact(records.load_fact(fact)) == fact
    path = tmp_path / "01m8319f1c4msym58q0ma0f7b0.jsonl"
    path.write_bytes(lines)
    assert journal.read(path).cut == 0


def test_the_page_tells_limits_and_kinds() -> None:
    for limit in {*records.SIZE_LIMITS.values(), 2**16}:
        assert f"{limit:,}" in PAGE
    for kind in records.folding._RUN_FACTS:
        assert f"| `{kind}` |" in PAGE
    for status in records.STATUSES:
        assert f"`{status}`" in PAGE
