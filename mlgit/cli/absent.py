"""What was asked for and no run has: most likely a slip of the keyboard, so it is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mlgit import saved
from mlgit.cli import output
from mlgit.cli.place import ledger as open_ledger
from mlgit.cli.place import live_runs
from mlgit.ledger.index import flat_params
from mlgit.query import Field
from mlgit.records import Run


def warn(fields: Iterable[Field], runs: Sequence[Run]) -> list[Field]:
    """Says which of the fields no run in this repository has, and which may be meant.

    `runs` are those that were found; only what none of them has is looked for among all.
    Returns the fields that nobody has.
    """
    suspects = [
        field
        for field in dict.fromkeys(fields)
        if field.kind != "attribute" and all(saved.value(run, field) is None for run in runs)
    ]
    known = _known() if suspects else set()
    absent = [field for field in suspects if field._replace(part="") not in known]
    for plain in dict.fromkeys(field._replace(part="") for field in absent):
        near = _nearest(plain, known)
        meant = f"; did you mean {' or '.join(map(str, near))}?" if near else ""
        output.warn(f"no run has {plain}{meant}")
    return absent


def _known() -> set[Field]:
    """Returns every key in use, in saved runs and in those that go on."""
    with open_ledger() as ledger:
        found = set()
        if ledger.exists:
            keys = ledger.index(output.progress("indexing")).keys()
            found = {Field(kind, key) for kind, key, _ in keys}
        for run in live_runs(ledger):
            found |= {Field("param", key) for key, _ in flat_params(run.params)}
            found |= {Field("metric", key) for key in run.metrics}
            found |= {Field("tag", key) for key in run.tags}
    return found


def _nearest(field: Field, known: Iterable[Field]) -> list[Field]:
    """Returns up to three fields that may be meant: the same key elsewhere before a like one."""
    import difflib  # only a mistake pays for it

    same = [other for other in known if other.key.lower() == field.key.lower()]
    of_kind = {other.key: other for other in known if other.kind == field.kind}
    close = difflib.get_close_matches(field.key, of_kind, 3)
    return list(dict.fromkeys([*sorted(same), *(of_kind[key] for key in close)]))[:3]
