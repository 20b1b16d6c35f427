"""`publish`: a site as the one commit of a branch that a host of pages shows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from mlgit.ledger import Ledger, orphan
from mlgit.ledger.orphan import There
from mlgit.ledger.walk import Problem
from mlgit.site import budget, write
from mlgit.site.budget import Budget
from mlgit.site.build import Progress, build, reading
from mlgit.site.choice import Choice
from mlgit.site.gather import Site
from mlgit.site.redact import Redactor, Rules
from mlgit.site.whole import Source
from mlgit.site.withheld import people
from mlgit.words import counted

BRANCH = "gh-pages"


class Plan(NamedTuple):
    """What is going to leave, and where to; nothing has left yet."""

    there: There
    tree: str
    title: str
    runs: int
    experiments: int
    people: list[str]
    """Whose names the site says, or the marks in their place."""
    size: Budget
    found: dict[str, Counter[str]]
    """What the rules of redaction know of, by kind; nothing if it has left already."""
    redacted: bool
    """Whether that is taken out; otherwise it leaves."""

    @property
    def is_there(self) -> bool:
        """Tells whether the branch has just these files already."""
        return self.there.tree == self.tree


def prepare(
    ledger: Ledger,
    out: Path,
    choice: Choice,
    rules: Rules,
    redact: bool,
    remote: str | None,
    branch: str,
    progress: Progress | None = None,
) -> Plan:
    """Builds the site in `out`, and says what publishing it means.

    Raises:
        NotFound: there is no such remote, or no ledger.
        RemoteFailed: the remote cannot be reached.
        WrongState: the branch was not made by `publish`, so it is not replaced.
        Invalid, Unreadable, WriteFailed: see `build`.
    """
    there = orphan.look(ledger.repository, remote, branch)
    build(ledger, out, choice, rules if redact else None, progress)
    tree = orphan.store_folder(ledger.repository, out, frozenset({write.IGNORE}))
    told = progress or (lambda what, done, total: None)
    found: dict[str, Counter[str]] = {}
    with reading(ledger, choice, rules if redact else None, told) as (site, source, redactor):
        if redactor and tree != there.tree:
            found = _survey(site, source, redactor, told)
        plan = Plan(
            there=there,
            tree=tree,
            title=site.title,
            runs=sum(not is_deleted for is_deleted in site.deleted),
            experiments=sum(bool(each.rows) for each in site.experiments),
            people=list(dict.fromkeys(name for name, _ in people(site))),
            size=budget.measure(out),
            found=found,
            redacted=redact,
        )
    if redact or plan.is_there:
        return plan
    with reading(ledger, choice, rules, told) as (site, source, redactor):
        return plan._replace(found=_survey(site, source, redactor, told) if redactor else {})


def _survey(
    site: Site, source: Source, redactor: Redactor, progress: Progress
) -> dict[str, Counter[str]]:
    """Returns what the rules find in all that pages are made from."""
    for done, folder in enumerate(site.folders, 1):
        whole = source.whole(folder)
        if not isinstance(whole, Problem):
            source.patch(whole.run)
        progress("looking through runs", done, len(site.folders))
    return redactor.found


def send(ledger: Ledger, plan: Plan, show: bool = False) -> str:
    """Sends what was prepared, and returns the commit that the branch is at.

    Raises:
        WrongState: somebody else has published meanwhile.
        RemoteFailed: the remote cannot be reached or refuses, or the hook pre-push does.
    """
    subject = f"site of {counted(plan.runs, 'run')}"
    commit = orphan.commit_of(ledger.repository, plan.tree, ledger.root, subject)
    orphan.send(ledger.repository, plan.there, commit, show)
    return commit
