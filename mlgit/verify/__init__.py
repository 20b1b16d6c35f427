"""Is what the ledger says true? Every link from a run to its code, data and environment.

Each question is a named check of one subject (a run, a commit, an object), with one of
three answers: it holds, it does not, or it could not be checked, and why. `stored` reads
the records, `code` asks git, `data` looks for the bytes, `pinned` at git tags. Nothing is
changed and nothing is fetched but the lists of folders' files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mlgit.ledger import Ledger, walk
from mlgit.ledger.index import Progress
from mlgit.records import Run
from mlgit.verify import code, data, pinned, stored
from mlgit.verify.outcome import FAILED, OK, UNKNOWN, Outcome

__all__ = ["FAILED", "OK", "UNKNOWN", "Outcome", "verify"]


def verify(
    ledger: Ledger,
    run_ids: Sequence[str] | None = None,
    rehash: bool = False,
    progress: Progress | None = None,
    note: Callable[[str], None] | None = None,
) -> Iterator[Outcome]:
    """Yields what was found, check by check; of these runs, or of the whole ledger.

    With `rehash` the bytes of all data on this machine are read; otherwise their presence
    and size is all that is looked at. `note` is told what is being done.

    Raises:
        NotFound: there is no ledger.
        Unreadable: the branch as a whole cannot be read.
    """
    say = note or (lambda line: None)
    say("reading records")
    if run_ids is None:
        folders = list(walk.run_folders(ledger.reader, ledger.root))
    else:
        folders = list(walk.find_folders(ledger.reader, ledger.root, run_ids))
    runs: list[Run] = []
    for done, found in enumerate(walk.load_runs(ledger.reader, folders), 1):
        if isinstance(found, Run):
            runs.append(found)
            yield Outcome("record", found.id, OK)
        else:
            yield Outcome("record", found.path, FAILED, found.message)
        if progress and not done % 500:
            progress(done, len(folders))
    if run_ids is None:
        for problem in walk.stray(ledger.repository, ledger.root):
            yield Outcome("record", problem.path, FAILED, problem.message)
    yield from stored.environments(ledger, runs)
    yield from stored.artifacts(ledger, runs)
    yield from stored.metrics(ledger, runs)
    say("looking at the history of the branch")
    commits = code.ledger_commits(ledger)
    yield from code.history(ledger, commits, None if run_ids is None else {*run_ids})
    yield from code.signatures(ledger, commits)
    say("looking for code")
    yield from code.sources(ledger, runs, commits)
    say("looking for data")
    yield from data.objects(ledger, runs, rehash)
    yield from pinned.tags(ledger, runs, whole=run_ids is None)
