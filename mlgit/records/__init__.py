"""What is stored: runs, facts, metric histories, and their JSON; no git, no files.

schema.py says what a record consists of, canonical.py how JSON is spelled and
distrusted, history.py keeps metric points, folding.py adds later facts.
"""

from mlgit.records.canonical import canonical, pack, parse, unpack
from mlgit.records.folding import Experiment, Stretch, View, fold, fold_experiment, stretches
from mlgit.records.history import History, Points
from mlgit.records.schema import (
    FORMAT,
    MARK_BYTES,
    SIZE_LIMITS,
    STATUSES,
    Fact,
    Metric,
    Person,
    Pointer,
    Run,
    Source,
    dump_fact,
    dump_run,
    load_fact,
    load_mark,
    load_pointer,
    load_run,
    run_document,
)

__all__ = [
    "FORMAT",
    "MARK_BYTES",
    "SIZE_LIMITS",
    "STATUSES",
    "Experiment",
    "Fact",
    "History",
    "Metric",
    "Person",
    "Pointer",
    "Points",
    "Run",
    "Source",
    "Stretch",
    "View",
    "canonical",
    "dump_fact",
    "dump_run",
    "fold",
    "fold_experiment",
    "load_fact",
    "load_mark",
    "load_pointer",
    "load_run",
    "pack",
    "parse",
    "run_document",
    "stretches",
    "unpack",
]
