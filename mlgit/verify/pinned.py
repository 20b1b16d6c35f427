"""Git tags of ours: do version commits say what the branch says, are signatures good?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlgit import names, records
from mlgit.data import pointers
from mlgit.errors import MlgitError, Unreadable
from mlgit.ledger import Ledger, tagging
from mlgit.ledger.objects import Object
from mlgit.records import Run
from mlgit.registry import signatures
from mlgit.registry.signatures import Signature
from mlgit.verify.outcome import FAILED, OK, UNKNOWN, Outcome


def tags(ledger: Ledger, runs: Sequence[Run], whole: bool) -> Iterator[Outcome]:
    """Yields for each of our tags whether it stands for a run as the branch has it.

    With `whole` all tags are looked at; otherwise those whose commit is of one of the runs.
    """
    here = tagging.here(ledger.repository)
    ours = sorted(here)
    known = {run.id: run for run in runs}
    limit = records.SIZE_LIMITS["run"]
    found = ledger.reader.find_many((f"refs/tags/{tag}^{{}}:run.json" for tag in ours), limit)
    looked = []
    for tag, content in zip(ours, found, strict=True):
        if not isinstance(content, Object):
            if whole:
                yield Outcome("tag", tag, UNKNOWN, "not on a version commit of mlgit")
            continue
        try:
            run = records.load_run(content.data, f"{tag}:run.json")
        except Unreadable as error:
            yield Outcome("tag", tag, FAILED, error.message)
            continue
        if whole or run.id in known:
            reason = _difference(ledger, tag, run, content.data, known.get(run.id))
            yield Outcome("tag", tag, FAILED if reason else OK, reason)
            looked.append(tag)
    signed = signatures.check(ledger, [here[tag] for tag in looked])
    for tag in looked:
        if signature := signed.get(here[tag]):
            yield _signature(tag, signature)


def _difference(
    ledger: Ledger, tag: str, run: Run, content: bytes, known: Run | None
) -> str | None:
    path = names.run_file(run.id, names.RUN_FILE)
    stored = ledger.reader.find(f"{ledger.root}:{path}", records.SIZE_LIMITS["run"])
    if not isinstance(stored, Object):
        return f"the run {run.id} is not on the branch"
    if stored.data != content:
        return "its run.json is not the one on the branch"
    outputs = {pointer.md5 for pointer in (known or run).outputs}
    model = ledger.reader.find(f"refs/tags/{tag}^{{}}:model.dvc")
    if isinstance(model, Object):
        try:
            (tracked,) = pointers.read_pointer(model.data, "model.dvc")
        except (MlgitError, ValueError):
            return "its model.dvc is damaged"
        if tracked.hash.md5 not in outputs:
            return f"its model {tracked.hash.md5} is none that the run made"
    return None


def _signature(tag: str, found: Signature) -> Outcome:
    if found.state == "good":
        return Outcome("signature", tag, OK)
    if found.state == "unknown":
        return Outcome("signature", tag, UNKNOWN, "the signer's key is not known here")
    return Outcome("signature", tag, FAILED, "the signature is bad")
