"""Lineage in other people's formats, read back by their own programs; hostile names."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    assert "https#58;//x. address only" in formats.mermaid(made)
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


@pytest.mark.parametrize("name", HOSTILE)
def test_openlineage_is_what_its_own_client_writes(name: str) -> None:
    """The schema is in no package, so the classes generated from it are the judge."""
    pytest.importorskip("openlineage.client")
    from openlineage.client.serde import Serde

    for event in openlineage.events(graph(name), "https://example.org/ada/taxi"):
        assert json.loads(json.dumps(Serde.to_dict(_rebuilt(event)))) == event


def _tag(**tag: str) -> Any:
    """Makes a tag of a run or of a dataset: two classes with the same fields."""
    from openlineage.client import facet_v2

    assert vars(facet_v2.tags_run.TagsRunFacetFields).keys() <= {
        *vars(facet_v2.tags_dataset.TagsDatasetFacetFields)
    }
    return facet_v2.tags_dataset.TagsDatasetFacetFields(**tag)


def _rebuilt(event: dict[str, Any]) -> Any:
    """Makes the client's own objects of an event; they check types, times and ids."""
    from openlineage.client import event_v2, facet_v2

    known = {
        "tags": facet_v2.tags_run.TagsRunFacet,
        "parent": facet_v2.parent_run.ParentRunFacet,
        "jobType": facet_v2.job_type_job.JobTypeJobFacet,
        "sourceCodeLocation": facet_v2.source_code_location_job.SourceCodeLocationJobFacet,
        "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet,
        "inputStatistics": facet_v2.input_statistics_input_dataset.InputStatisticsInputDatasetFacet,
        "outputStatistics": (
            facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
        ),
    }
    inner = {
        "tags": lambda tags: [_tag(**tag) for tag in tags],
        "run": lambda run: facet_v2.parent_run.Run(**run, facets=None),
        "job": lambda job: facet_v2.parent_run.Job(**job, facets=None),
    }

    def facets(found: dict[str, Any]) -> dict[str, Any]:
        made = {}
        for key, content in found.items():
            plain = {name: inner.get(name, lambda value: value)(value)
                     for name, value in content.items() if not name.startswith("_")}  # fmt: skip
            is_data = "TagsDatasetFacet" in content["_schemaURL"]
            kind = facet_v2.tags_dataset.TagsDatasetFacet if is_data else known[key]
            facet = made[key] = kind(**plain, producer=content["_producer"])
            assert facet._schemaURL == content["_schemaURL"]
        return made

    def dataset(kind: Any, side: str, found: dict[str, Any]) -> Any:
        inside = {f"{side}Facets": facets(found[f"{side}Facets"])}
        return kind(found["namespace"], found["name"], facets=facets(found["facets"]), **inside)

    common = {
        "eventTime": event["eventTime"],
        "producer": event["producer"],
        "job": event_v2.Job(**{**event["job"], "facets": facets(event["job"]["facets"])}),
        "inputs": [dataset(event_v2.InputDataset, "input", each) for each in event["inputs"]],
        "outputs": [dataset(event_v2.OutputDataset, "output", each) for each in event["outputs"]],
    }
    if "run" not in event:
        return event_v2.JobEvent(**common)
    run = event_v2.Run(event["run"]["runId"], facets=facets(event["run"]["facets"]))
    return event_v2.RunEvent(run=run, eventType=event_v2.RunState(event["eventType"]), **common)
