"""Lineage in other people's formats, read back by their own programs; hostile names."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openlineage_schema import faults, known_facets

from mlgit.lineage import formats, openlineage, prov
from mlgit.lineage.graph import Edge, Graph, Node

HOSTILE = [
    'quo"te', "back\\slash", "back\\", "new\nline", "</script>", "a & b &amp;", "x[y](z){}",
    "`code`", "#35;", "style:x#35;y", "end", "click n0", "%%{init}%%", "--> n1", "; DROP", "|pipe|",
    "größe 模型 🚕", "\x1b[31mred", "\u202egnirts", "half \ud800", "\\N \\G \\l", "<b>bold</b>", "",
]  # fmt: skip
RUN = "01kb2q6v6r8m3x0c5t1w9y7zab"
PARENT = "01kb2q6v6r8m3x0c5t1w9y7zaa"


def graph(name: str = "data/train.csv") -> Graph:
    """A graph with every kind of node and edge, in which all names are this one."""
    run = {
        "experiment": name, "name": name, "status": "failed", "user": name, "email": name,
        "started": "2026-11-01T12:00:00.000000Z", "ended": "2026-11-01T12:30:00.000000Z",
        "parent": PARENT, "deleted": False,
    }  # fmt: skip
    parent = {**run, "status": "finished", "ended": None, "parent": None}
    stage = {"lock": f"{name}/dvc.lock", "commit": "c" * 40, "time": "2026-11-01T00:00:00.000000Z"}
    folder = {"name": name, "type": "model", "size": 10, "files": 2, "md5": "d" * 32 + ".dir"}
    nodes = [
        Node(f"run:{RUN}", "run", name, run),
        Node(f"run:{PARENT}", "run", name, parent),
        Node("stage:abc", "stage", name, stage),
        Node("data:" + "a" * 32, "dataset", name, {"size": 5, "files": None, "kept": False}),
        Node(f"data:https://x.org/{name} etag", "dataset", name, {"size": None, "kept": False}),
        Node("data:" + "d" * 32 + ".dir", "artifact", name, folder),
        Node("code:" + "c" * 40, "code", "cccc", {"summary": name}),
        Node("environment:" + "e" * 64, "environment", "eeee", {"summary": None}),
    ]
    main, other, made, file, address, model, code, environment = (node.id for node in nodes)
    edges = [
        Edge(main, "used", file, name, name, name),
        Edge(main, "used", address, name),
        Edge(main, "generated", model, name),
        Edge(made, "generated", file, name),
        Edge(main, "ran", code, name),
        Edge(main, "ran-in", environment),
        Edge(main, "part-of", other),
        Edge(model, "contains", file, name),
        Edge(file, "same-as", address),
    ]
    return Graph([file], {node.id: node for node in nodes}, edges)


def shown(text: str) -> str:
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


# --- DOT and Mermaid -------------------------------------------------------------------------

# One statement a line; a string ends at a quote that no backslash precedes.
_STRING = r'"(?:[^"\\\n]|\\.)*"'
_DOT = re.compile(
    rf"  (n\d+ (-> n\d+ )?\[label={_STRING}(, \w+=\w+)*\]|rankdir=LR|node \[fontname={_STRING}\]);"
)


@pytest.mark.parametrize("name", HOSTILE)
def test_dot_keeps_names_as_text(name: str) -> None:
    first, *lines, last = formats.dot(graph(name)).split("\n")
    assert (first, last) == ("digraph lineage {", "}")
    assert len(lines) == 2 + 8 + 9
    assert [line for line in lines if not _DOT.fullmatch(line)] == []
    label = re.search(_STRING, lines[5])
    assert label
    read = re.sub(r"\\(.)", lambda found: found[1].replace("n", "\n"), label[0][1:-1])
    assert read.replace("&amp;", "&").split("\n")[: bool(name)] == [shown(name)] * bool(name)


_MERMAID = re.compile(
    r"  n\d+(\(\[|\[\(|\[)\"[^\"`<>]*(<br/>[^\"`<>]*)?\"(\]\)|\)\]|\])"
    r"|  n\d+ (-->|-\.->)(\|\"[^\"`<>|]*\"\|)? n\d+"
)


@pytest.mark.parametrize("name", HOSTILE)
def test_mermaid_keeps_names_as_text(name: str) -> None:
    first, *lines = formats.mermaid(graph(name)).split("\n")
    assert first == "flowchart LR" and len(lines) == 8 + 9
    assert [line for line in lines if not _MERMAID.fullmatch(line)] == []
    assert not any(":" in line for line in lines)
    text = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), "\n".join(lines))
    assert shown(name) in text


@given(st.text())
def test_any_name_is_one_label(name: str) -> None:
    assert len(formats.dot(graph(name)).split("\n")) == 21
    assert all(_MERMAID.fullmatch(line) for line in formats.mermaid(graph(name)).split("\n")[1:])


# --- JSON --------------------------------------------------------------------------------------


def test_the_document_has_every_node_and_edge() -> None:
    document = formats.document(graph(), ["a note"])
    assert document["roots"] == ["data:" + "a" * 32] and document["notes"] == ["a note"]
    assert document["nodes"][3] == {
        "id": "data:" + "a" * 32, "kind": "dataset", "label": "data/train.csv",
        "size": 5, "files": None, "kept": False,
    }  # fmt: skip
    assert document["edges"][5] == {
        "from": f"run:{RUN}", "kind": "ran-in", "to": "environment:" + "e" * 64
    }  # fmt: skip
    json.dumps(document, allow_nan=False)


# --- W3C PROV --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in HOSTILE if "\ud800" not in name])
def test_prov_is_read_by_the_prov_package(name: str) -> None:
    model = pytest.importorskip("prov.model")
    written = prov.document(graph(name))
    document = model.ProvDocument.deserialize(content=json.dumps(written), format="json")
    kinds = [type(record).__name__ for record in document.get_records()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "ProvEntity": 5, "ProvActivity": 3, "ProvAgent": 1, "ProvUsage": 4, "ProvGeneration": 2,
        "ProvMembership": 1, "ProvAssociation": 2, "ProvStart": 1, "ProvAlternate": 1,
    }  # fmt: skip
    (activity,) = document.get_record(f"mlgit:run-{RUN}")
    assert activity.get_startTime().isoformat() == "2026-11-01T12:00:00+00:00"
    assert activity.label == name
    again = model.ProvDocument.deserialize(content=document.serialize(format="json"), format="json")
    assert again == document
    assert document.get_provn()
    assert _plain(json.loads(document.serialize(format="json"))) == _plain(written)


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """Returns PROV-JSON with all that may be spelled in two ways spelled in one.

    Relations have no names of their own, a type is a list of one or itself, and a
    qualified name has an old and a new type.
    """
    text = json.dumps(document, sort_keys=True).replace("xsd:QName", "prov:QUALIFIED_NAME")
    text = re.sub(r"(T\d\d:\d\d:\d\d)(\.000000)?(Z|\+00:00)", r"\1Z", text)
    plain = {}
    for part, things in json.loads(text).items():
        for told in things.values():
            if "prov:type" in told and not isinstance(told["prov:type"], list):
                told["prov:type"] = [told["prov:type"]]
        is_relation = any(name.startswith("_:") for name in things)
        plain[part] = sorted(map(json.dumps, things.values())) if is_relation else things
    return plain


def test_all_that_prov_relates_is_described() -> None:
    written = prov.document(graph())
    described = {*written["entity"], *written["activity"], *written["agent"]}
    ends = {
        end
        for part, relations in written.items()
        for name, told in relations.items()
        if name.startswith("_:")
        for key, end in told.items()
        if key.startswith("prov:") and key != "prov:role"
    }
    assert ends and ends <= described


def test_prov_takes_kinds_that_are_yet_to_come() -> None:
    made = Graph([], {}, [Edge("version:churn@v2", "registered", "data:abc")])
    (influence,) = prov.document(made)["wasInfluencedBy"].values()
    assert influence["prov:influencer"] == "mlgit:data-abc"


# --- OpenLineage -------------------------------------------------------------------------------


def test_a_run_is_its_start_and_its_end() -> None:
    events = list(openlineage.events(graph(), "https://example.org/ada/taxi"))
    assert [event.get("eventType") for event in events] == [
        None, "START", "COMPLETE", "START", "FAIL"
    ]  # fmt: skip
    failed = events[-1]
    assert failed["eventTime"] == "2026-11-01T12:30:00.000000Z"
    assert failed["run"]["runId"] == openlineage.run_uuid(RUN)
    assert failed["run"]["facets"]["parent"]["run"]["runId"] == openlineage.run_uuid(PARENT)
    assert [each["facets"]["version"]["datasetVersion"] for each in failed["inputs"]] == [
        "a" * 32, "https://x.org/data/train.csv etag"
    ]  # fmt: skip
    (model,) = failed["outputs"]
    assert model["outputFacets"]["outputStatistics"]["fileCount"] == 2
    assert failed["job"]["facets"]["sourceCodeLocation"]["version"] == "c" * 40


def test_what_was_not_kept_is_said_in_every_format() -> None:
    made = graph()
    assert 'aaaaaaaaaa 5 bytes hash only"' in formats.dot(made)
    assert "etag address only" in formats.mermaid(made)
    entity = prov.document(made)["entity"]
    assert entity["mlgit:data-" + "a" * 32]["mlgit:kept"] is False
    assert "mlgit:kept" not in entity["mlgit:data-" + "d" * 32 + ".dir"]
    (failed, *_) = [each for each in openlineage.events(made) if each.get("eventType") == "FAIL"]
    assert [each["facets"]["tags"]["tags"][0]["value"] for each in failed["inputs"]] == [
        "hash only", "address only"
    ]  # fmt: skip
    assert "tags" not in failed["outputs"][0]["facets"]


def test_without_a_remote_no_place_is_claimed() -> None:
    for event in openlineage.events(graph()):
        assert event["job"]["namespace"] == "mlgit"
        assert "sourceCodeLocation" not in event["job"]["facets"]


def test_the_place_of_the_code_is_an_address() -> None:
    (event, *_) = [each for each in _events(remote="https://example.org/ada/größe 1.git")
                   if "sourceCodeLocation" in each["job"]["facets"]]  # fmt: skip
    place = event["job"]["facets"]["sourceCodeLocation"]
    assert place["url"] == "https://example.org/ada/gr%C3%B6%C3%9Fe%201.git"
    assert event["job"]["namespace"] == "https://example.org/ada/größe 1.git"


def _events(name: str = "data/train.csv", remote: str = "https://example.org/ada/taxi") -> Any:
    return json.loads(json.dumps([*openlineage.events(graph(name), remote)]))


@pytest.mark.parametrize("name", HOSTILE)
def test_events_hold_to_the_schema(name: str) -> None:
    for remote in (
        None,
        "host:a/b",
        *("https://x.org/" + path for path in ("a", "größe 1", "\udcff")),
    ):
        for event in openlineage.events(graph(name), remote):
            assert faults(json.loads(json.dumps(event))) == []


_JOB, _RUN = 0, 4  # among the events of `graph`
_DELETE = object()


@pytest.mark.parametrize(
    ("event", "path", "value"),
    [
        *((_RUN, [key], _DELETE) for key in ("eventTime", "producer", "schemaURL", "run", "job")),
        (_RUN, ["eventTime"], "yesterday"),
        (_RUN, ["eventTime"], "2026-11-01T12:00:00"),  # of which zone?
        (_RUN, ["eventTime"], 1793534400),
        (_RUN, ["eventType"], "DONE"),
        (_RUN, ["eventType"], None),
        (_RUN, ["producer"], "mlgit 0.1"),
        (_RUN, ["schemaURL"], "https://openlineage.io/spec/1-0-0/OpenLineage.json#/$defs/RunEvent"),
        (_RUN, ["more"], "a field of ours"),
        (_RUN, ["run", "runId"], RUN),
        (_RUN, ["run", "more"], {}),
        (_RUN, ["run", "facets", "ours"], {"_producer": "urn:a:b", "_schemaURL": "urn:a:b"}),
        (_RUN, ["run", "facets", "tags", "_producer"], _DELETE),
        (_RUN, ["run", "facets", "tags", "_schemaURL"], _DELETE),
        (_RUN, ["run", "facets", "tags", "tags", 0, "value"], 1),
        (_RUN, ["run", "facets", "tags", "tags", 0, "value"], _DELETE),
        (_RUN, ["job", "name"], _DELETE),
        (_RUN, ["job", "namespace"], None),
        (_RUN, ["job", "facets", "jobType", "processingType"], _DELETE),
        (_RUN, ["job", "facets", "jobType", "more"], "a field of ours"),
        (_RUN, ["inputs"], {}),
        (_RUN, ["inputs", 0, "name"], _DELETE),
        (_RUN, ["inputs", 0, "outputFacets"], {}),
        (_RUN, ["inputs", 0, "facets", "version", "datasetVersion"], 5),
        (_RUN, ["inputs", 0, "facets", "inputStatistics"], {}),
        (_RUN, ["inputs", 0, "inputFacets", "inputStatistics", "size"], "5"),
        (_JOB, ["eventType"], "COMPLETE"),
        (_JOB, ["run"], {"runId": openlineage.run_uuid(RUN)}),
    ],
)  # fmt: skip
def test_a_damaged_event_breaks_the_schema(event: int, path: list[Any], value: object) -> None:
    """What `test_events_hold_to_the_schema` can tell."""
    damaged = _events()[event]
    *way, last = path
    inside = functools.reduce(lambda found, key: found[key], way, damaged)
    if value is _DELETE:
        del inside[last]
    else:
        inside[last] = value
    assert faults(damaged)


@pytest.mark.parametrize("name", HOSTILE)
def test_openlineage_is_what_its_own_client_writes(name: str) -> None:
    """Its classes check what they are given: times, ids, types."""
    pytest.importorskip("openlineage.client")
    from openlineage.client.serde import Serde

    for event in openlineage.events(graph(name), "https://example.org/ada/taxi"):
        assert json.loads(json.dumps(Serde.to_dict(_rebuilt(event)))) == event


def _rebuilt(event: dict[str, Any]) -> Any:
    """Makes the client's own objects of an event."""
    from openlineage.client import event_v2

    made = msgspec.convert(event, event_v2.RunEvent if "run" in event else event_v2.JobEvent)
    holders = [("JobFacet", "facets", made.job, event["job"])]
    if "run" in event:
        holders.append(("RunFacet", "facets", made.run, event["run"]))
    for side in ("input", "output"):
        for each in zip(getattr(made, f"{side}s"), event[f"{side}s"], strict=True):
            holders.append(("DatasetFacet", "facets", *each))
            holders.append((f"{side.title()}DatasetFacet", f"{side}Facets", *each))
    for place, field, holder, told in holders:
        kinds = known_facets()[place]
        facets = {key: msgspec.convert(facet, kinds[key]) for key, facet in told[field].items()}
        if "parent" in facets:  # of which no facets are told, where the client tells an empty list
            facets["parent"].run.facets = facets["parent"].job.facets = None
        setattr(holder, field, facets)
    return made
