"""What a person means by X: a file here, a hash, a dataset's name or path, a run, a version."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mlgit import saved
from mlgit.data import dvc_state, ingest, pointers
from mlgit.data.hashing import Hash
from mlgit.data.state import open_state
from mlgit.errors import NotFound
from mlgit.ledger import Repository
from mlgit.lineage.collect import LedgerSource
from mlgit.lineage.graph import SHORT, Node
from mlgit.names import shown

PREFIX = 6  # hex digits that a hash must be given with, at least
_HASH = re.compile(rf"[0-9a-f]{{{PREFIX},32}}(\.(d(ir?)?)?)?")
_FILE = re.compile(r"[0-9a-f]{32}")


def find(source: LedgerSource, text: str) -> list[Node]:
    """Returns the node that is meant, or of a name or path all versions, newest first.

    What lies on the disk under this name is meant before what is only recorded, and
    is looked for by its content. An id as the graph shows it ("run:…", "data:…",
    "code:…", "stage:…") is always understood. Of a file, whose md5 is given or which
    lies here, nothing need be recorded: a folder may hold it.

    Raises:
        NotFound: nothing is meant, or more than one thing is.
    """
    kind, colon, key = text.partition(":")
    if colon and kind in _KINDS:
        return _KINDS[kind](source, key)
    if text and (measured := _measure(source, Path(text))):
        return _on_disk(source, text, measured)
    kinds = ("run",) if text.startswith("@") else ("data", "run")
    meant = {kind: found for kind in kinds if (found := _KINDS[kind](source, text, True))}
    is_version = ("@" in text or colon) and "://" not in text and not text.startswith("@")
    if not meant and (is_version or text.startswith("models:")):
        return _version(source, text)
    if len(meant) > 1:
        choices = " or ".join(f"{kind}:{text}" for kind in meant)
        raise NotFound(f"{shown(text)} is the name of data and of a run", f"write {choices}")
    for found in meant.values():
        return found
    if _FILE.fullmatch(text.lower()):
        return [_file(text.lower())]
    raise NotFound(
        f"no data and no run is called {shown(text)}", "list them: mlgit data ls, mlgit log"
    )


def _run(source: LedgerSource, text: str, quiet: bool = False) -> list[Node]:
    if quiet and not text.startswith("@") and not source.pointers.is_run(text):
        return []
    return list(source.runs([saved.find(source.ledger, text).id]).values())


def _data(source: LedgerSource, text: str, quiet: bool = False) -> list[Node]:
    if known := source.data([text]):
        return [known[text]]
    md5 = text.lower()
    if _HASH.fullmatch(md5):
        found = source.beginning(md5)
        if len(found) > 1:
            raise NotFound(
                f"{len(found)} hashes begin with {text}",
                "write more of it: " + ", ".join(found[:5]),
            )
        if found:
            return list(source.data(found).values())
    path = _from_root(source.ledger.repository, text)
    if found := source.called(_without_secrets(text), path):
        nodes = source.data(found)
        return [nodes[each] for each in found]
    if inside := source.within(path):
        return inside
    if quiet:
        return []
    if _FILE.fullmatch(md5):
        return [_file(md5)]
    raise NotFound(f"no run used or made {shown(text)}", "list what they used: mlgit data ls")


def _without_secrets(text: str) -> str:
    """Returns an address as runs record it, and all else as it is."""
    if "://" not in text:
        return text
    from mlgit.data import address  # loads what speaks http

    return address.without_secrets(text)


def _file(md5: str) -> Node:
    return Node(f"data:{md5}", "dataset", md5, {"md5": md5})


def _code(source: LedgerSource, text: str, quiet: bool = False) -> list[Node]:
    commit = source.commit(text)
    if commit is None:
        raise NotFound(f"there is no commit {shown(text)} in this repository")
    return [Node(f"code:{commit}", "code", commit[:SHORT])]


def _stage(source: LedgerSource, text: str, quiet: bool = False) -> list[Node]:
    stages = source.pipelines.stages
    found = [stage for stage in stages.values() if stage.id == text or stage.name == text]
    if not found:
        raise NotFound(f"there is no stage {shown(text)} in the pipelines of the runs")
    return [source.stage(stage) for stage in found]


_KINDS = {"run": _run, "data": _data, "code": _code, "stage": _stage}


def _version(source: LedgerSource, text: str) -> list[Node]:
    """Returns the bytes of a registered version, as "churn@v2" or "models:/churn/2" names it."""
    from mlgit.registry import api

    _, version = api.meant(source.ledger, text)
    if version.hash is None:
        raise NotFound(f"the git tag of {version.name} names no data")
    known = source.data([version.hash])
    facts = {"md5": version.hash, "name": version.name}
    return [known.get(version.hash) or Node(f"data:{version.hash}", "artifact", "model", facts)]


def _from_root(repository: Repository, text: str) -> str:
    """Returns a path as runs record it: relative to the work tree, POSIX style."""
    root = repository.work_tree
    if root is None:
        return text
    return os.path.relpath(os.path.abspath(text), root).replace(os.sep, "/")


def _on_disk(source: LedgerSource, text: str, found: Hash) -> list[Node]:
    if known := source.data([found.md5]):
        return [known[found.md5]]
    if run := _run(source, text, quiet=True):
        return run
    label = _from_root(source.ledger.repository, text)
    return [Node(f"data:{found.md5}", "dataset", label, found._asdict())]


def _measure(source: LedgerSource, path: Path) -> Hash | None:
    """Returns the hash of what lies here, or of what a `.dvc` file says should."""
    if not os.path.isfile(path) and not os.path.isdir(path):
        return pointers.tracked_as(path)
    file = source.ledger.repository.common_dir / "mlgit" / "state.sqlite"
    with dvc_state.recalling(path) as recall, open_state(file, recall) as state:
        found, manifest = ingest.listed(path, state)
    if manifest is not None:
        source.folders.add(found.md5, manifest)
    return found
