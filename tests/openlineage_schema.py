"""OpenLineage's schema, read back from the client's classes: no package holds the schema itself.

A program wrote those classes from spec/OpenLineage.json (2-0-2) and from the schemas of
the facets. They keep the names, the types, what is required, the allowed values and the
versions. What that program drops is put back here: the formats, that all events and
facets tell producer and schema, that null is no value. The true schema lets objects have
any further field; here what no schema names is an error. So an event that holds here
holds there.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import jsonschema
import msgspec

# The formats that the schema asks for, by the field.
_FORMATS_OF = {
    "eventTime": "date-time", "runId": "uuid", "producer": "uri", "schemaURL": "uri",
    "_producer": "uri", "_schemaURL": "uri", "url": "uri",
}  # fmt: skip
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:([A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")


def known_facets() -> dict[str, dict[str, Any]]:
    """Returns the facets that events may have: where they stand, name, class."""
    from openlineage.client import facet_v2 as known

    return {
        "RunFacet": {
            "tags": known.tags_run.TagsRunFacet,
            "parent": known.parent_run.ParentRunFacet,
        },
        "JobFacet": {
            "jobType": known.job_type_job.JobTypeJobFacet,
            "sourceCodeLocation": known.source_code_location_job.SourceCodeLocationJobFacet,
        },
        "DatasetFacet": {
            "tags": known.tags_dataset.TagsDatasetFacet,
            "version": known.dataset_version_dataset.DatasetVersionDatasetFacet,
        },
        "InputDatasetFacet": {
            "inputStatistics": known.input_statistics_input_dataset.InputStatisticsInputDatasetFacet
        },
        "OutputDatasetFacet": {
            "outputStatistics": (
                known.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet
            )
        },
    }


@functools.cache
def _judge() -> jsonschema.Draft202012Validator:
    """Returns the schema of the two kinds of events that we write."""
    from openlineage.client import event_v2

    places = known_facets()
    kinds = [event_v2.RunEvent, event_v2.JobEvent]
    kinds += [kind for facets in places.values() for kind in facets.values()]
    refs, parts = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    refs_of = dict(zip(kinds, (ref["$ref"] for ref in refs), strict=True))
    names = {ref.rpartition("/")[2]: kind for kind, ref in refs_of.items()}
    for name, part in parts.items():
        if "properties" not in part:
            continue  # the states of a run
        for key, value in part["properties"].items():
            told = [each for each in value.pop("anyOf", ()) if each != {"type": "null"}]
            value |= told[0] if told else {}
            value |= {"format": _FORMATS_OF[key]} if key in _FORMATS_OF else {}
            if "facets" in key.lower():
                facets = places[value.pop("additionalProperties")["$ref"].rpartition("/")[2]]
                value["properties"] = {key: {"$ref": refs_of[it]} for key, it in facets.items()}
                value["additionalProperties"] = False
        base = {"producer", "schemaURL", "_producer", "_schemaURL"} & part["properties"].keys()
        part["required"] += sorted(base)
        part["additionalProperties"] = False
        if name in names:
            (url,) = base & {"schemaURL", "_schemaURL"}
            part["properties"][url]["const"] = names[name]._get_schema()
    schema = {"$defs": parts, "if": {"required": ["run"]}, "then": refs[0], "else": refs[1]}
    jsonschema.Draft202012Validator.check_schema(schema)
    formats = jsonschema.FormatChecker(["date-time", "uuid"])
    formats.checks("uri")(lambda text: bool(_URI.fullmatch(text)))
    return jsonschema.Draft202012Validator(schema, format_checker=formats)


def faults(event: dict[str, Any]) -> list[str]:
    """Returns where an event breaks OpenLineage's schema, and how."""
    return [f"{error.json_path}: {error.message}" for error in _judge().iter_errors(event)]
