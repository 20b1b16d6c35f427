"""Data remotes on the branch: the fold of facts, no secrets, no machine's paths."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from conftest import git
from hypothesis import given
from hypothesis import strategies as st
from peers import dvc

from mlgit import names, records, remotes
from mlgit.data.remote import Remote, check_shared
from mlgit.errors import Invalid, NotFound
from mlgit.ledger import Ledger, append, open_repository
from mlgit.ledger.repository import Repository
from mlgit.records import Fact, Person

ADA = Person(name="Ada", email="ada@example.org")
STAMP = "2026-01-01T12:00:00.000000Z"


@pytest.fixture
def repository(repo: Path) -> Repository:
    return open_repository(repo)


def listed(repository: Repository) -> list[Remote]:
    with Ledger(repository) as ledger:
        return remotes.list_remotes(ledger)


def fact(kind: str, **data: object) -> Fact:
    return Fact(id=names.new_id(), time=STAMP, by=ADA, kind=kind, data=data)


def test_the_life_of_remotes(repository: Repository) -> None:
    with pytest.raises(NotFound, match="no data remote"), Ledger(repository) as ledger:
        remotes.find(ledger)
    first = remotes.add(repository, "cloud", "s3://data/dvc/", {"region": "eu-west-1"})
    assert first == Remote("cloud", "s3://data/dvc/mlgit", {"region": "eu-west-1"}, True)
    second = remotes.add(repository, "lab", "ssh://ada@host:2222/data", shared=True)
    assert second.url == "ssh://ada@host:2222/data"
    assert listed(repository) == [first, second]
    remotes.set_default(repository, "lab")
    remotes.add(repository, "cloud", "s3://other")  # a change leaves nothing of before
    cloud, lab = Remote("cloud", "s3://other/mlgit", {}), second._replace(is_default=True)
    assert listed(repository) == [cloud, lab]
    with Ledger(repository) as ledger:
        assert remotes.find(ledger) == lab
        assert remotes.find(ledger, "cloud") == cloud
        with pytest.raises(NotFound, match="'clout'") as caught:
            remotes.find(ledger, "clout")
        assert caught.value.hint == "there is cloud, lab"
    remotes.remove(repository, "lab")
    assert listed(repository) == [cloud._replace(is_default=True)]  # the only one
    with pytest.raises(NotFound):
        remotes.remove(repository, "lab")
    paths = git("ls-tree", "-r", "--name-only", "mlgit").split()
    kinds = [names.place(path) for path in paths if "/" in path]
    assert {place.kind for place in kinds} == {"remote"}
    assert {place.owner for place in kinds} == {"cloud", "lab"}
    assert len(kinds) == 6


def test_a_folder_is_each_machines_own_business(repository: Repository, tmp_path: Path) -> None:
    remote = remotes.add(repository, "nas", "../shelf")
    assert remote == Remote("nas", "local:", {}, True)
    assert listed(repository) == [remote]
    assert remotes.here(repository, remote).url == str(tmp_path / "shelf" / "mlgit")
    assert str(tmp_path) not in git("log", "-p", "mlgit")
    git("config", "mlgit.data.nas.url", "~/elsewhere")
    again = open_repository(repository.start)
    assert remotes.here(again, remote).url == str(Path.home() / "elsewhere")


def test_a_machines_own_settings_win(repository: Repository) -> None:
    remote = remotes.add(repository, "lab", "ssh://host/data", {"user": "ada", "port": "22"})
    git("config", "mlgit.data.lab.user", "eve")
    git("config", "mlgit.data.lab.keyfile", "~/.ssh/lab")
    found = remotes.here(open_repository(repository.start), remote)
    assert found.options == {"user": "eve", "port": "22", "keyfile": "~/.ssh/lab"}
    assert listed(repository) == [remote]


SECRET = {"s3": "secret_access_key", "ssh": "password"}


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("ssh://ada:secret@host/data", {}, "no password, key or query"),
        ("s3://data/x?X-Amz-Signature=abc", {}, "no password, key or query"),
        ("s3://data/x#abc", {}, "no password, key or query"),
        ("s3://data", {"secret_access_key": "abc"}, "is a secret"),
        ("ssh://host/data", {"password": "abc"}, "is a secret"),
        ("s3://data/AKIAIOSFODNN7EXAMPLE", {}, "holds a credential"),
        ("s3://data", {"profile": "ghp_0123456789abcdefghijABCDEFGHIJ456789"}, "a credential"),
        ("s3://data", {"endpointurl": "https://ada:secret@host"}, "is no endpointurl"),
        ("ssh://host/data", {"keyfile": "/home/ada/.ssh/key"}, "no option 'keyfile'"),
        ("shelf", {"region": "eu"}, "no option 'region'"),
        ("s3://data/x\n[core]\n    remote = evil", {}, "not a URL"),
        ("s3://da\tta/x", {}, "not a URL"),
        ("gs://bucket/x", {}, "not a place for data"),
        ("https://host/x", {}, "not a place for data"),
        ("ssh://-oProxyCommand=x/data", {}, "not a URL"),
        ("ssh:///data", {}, "not a URL"),
        ("ssh://host:99999/data", {}, "not a URL"),
        ("ssh://a;b@host/data", {}, "not a URL"),
        ("s3://bucket:80/data", {}, "not a URL"),
        ("s3://data/../../x", {}, "not a URL"),
        ('s3://data/a"b', {}, "not a URL"),
        ("ssh://host/data", {"port": "0"}, "is no port"),
        ("ssh://host/data", {"port": 22}, "is no port"),
        ("s3://data", {"region": "eu\n[core]"}, "is no region"),
    ],
)
def test_what_everybody_reads_is_checked(
    repository: Repository, url: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        remotes.add(repository, "it", url, options)
    with Ledger(repository) as ledger:
        assert not ledger.exists
    assert "mlgit.data" not in git("config", "--list")


@pytest.mark.parametrize("name", ["", "a b", "a.b", "../x", "-x", 'a"]', "ünï", "a" * 101, "a\n"])
def test_names_that_no_remote_has(repository: Repository, name: str) -> None:
    with pytest.raises(Invalid, match="cannot be called"):
        remotes.add(repository, name, "s3://data")
    assert names.place(f"remotes/{names.encode(name)}/facts/x.json").kind == "other"


KINDS = st.sampled_from(["add", "change", "remove", "default", "later-kind"])
NAMES = st.sampled_from(["a", "b", "c"])


@given(st.lists(st.tuples(NAMES, KINDS, st.integers(0, 3)), max_size=12), st.randoms())
def test_the_order_of_arrival_does_not_matter(
    said: list[tuple[str, str, int]], chance: random.Random
) -> None:
    present: dict[str, str] = {}
    facts: list[tuple[str, Fact]] = []
    for name, kind, number in said:
        url = f"s3://bucket/{number}"
        facts.append((name, fact(kind, url=url, options={})))
        if kind in ("add", "change"):
            present[name] = url
        elif kind == "remove":
            present.pop(name, None)
    chance.shuffle(facts)
    folded = remotes.fold(
        {name: [said for whose, said in facts if whose == name] for name in "cab"}
    )
    assert {remote.name: remote.url for remote in folded} == present
    assert sum(remote.is_default for remote in folded) <= 1


def test_facts_made_by_hand_do_no_harm(repository: Repository) -> None:
    good = remotes.add(repository, "cloud", "s3://data")
    injected = "s3://data/x\n[core]\n    remote = evil"
    for data in (
        {},
        {"url": 3},
        {"url": injected},
        {"url": "ssh://ada:secret@host/x"},
        {"url": "/etc"},
        {"url": "s3://x", "options": [1]},
        {"url": "s3://x", "options": {"access_key_id": "x"}},
        {"url": "s3://x", "options": {"region": {}}},
    ):
        bad = fact("change", **data)
        path = names.remote_fact_file("cloud", bad.id)
        append(repository, {path: records.dump_fact(bad)}, "by hand\n")
    for path in (names.remote_fact_file("cloud", names.new_id()), "remotes/..%2F/facts/x.json"):
        append(repository, {path: b"{}"}, "by hand\n")
    misplaced = records.dump_fact(fact("remove"))
    append(repository, {names.remote_fact_file("cloud", names.new_id()): misplaced}, "by hand\n")
    append(repository, {"remotes/cloud/readme": b"", "remotes/readme": b""}, "by hand\n")
    assert listed(repository) == [good]


def test_dvc_reads_the_config(repository: Repository) -> None:
    remotes.add(repository, "nas", "/some/shelf")
    remotes.add(repository, "cloud", "s3://data/a b", {"endpointurl": "http://host:9000/x"})
    remotes.add(repository, "lab", "ssh://ada@host:2222/data")
    remotes.set_default(repository, "cloud")
    config = remotes.dvc_config(listed(repository))
    assert b"/some/shelf" not in config
    folder = repository.start / ".dvc"
    folder.mkdir()
    (folder / "config").write_bytes(config)
    said = dvc("config", "--list", cwd=repository.start).splitlines()
    assert sorted(said) == [
        "core.remote=cloud",
        "remote.cloud.endpointurl=http://host:9000/x",
        "remote.cloud.url=s3://data/a b/mlgit",
        "remote.lab.url=ssh://ada@host:2222/data/mlgit",
    ]
    for remote in listed(repository):
        check_shared(remote.url, remote.options)
