"""`publish`: a site as the one commit of a branch that a host of pages shows."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mlgit.ledger import Ledger, orphan
from mlgit.ledger.orphan import There
from mlgit.site import budget, write
from mlgit.site.budget import Budget
from mlgit.site.build import Progress, build, reading
from mlgit.site.choice import Choice
from mlgit.site.pages import code
from mlgit.site.redact import Rules
from mlgit.site.survey import NOTHING, Survey, survey
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
    survey: Survey
    """What the rules know of, and pictures; nothing if it has left already."""
    redacted: bool
    """Whether what the rules know of is taken out; otherwise it leaves."""

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
        WrongState: the branch was not made by `publish`, or somebody has added more to it
            than a domain, so it is not replaced.
        Invalid, Unreadable, WriteFailed: see `build`.
    """
    there = orphan.look(ledger.repository, remote, branch)
    build(ledger, out, choice, rules if redact else None, progress)
    tree = orphan.store_folder(ledger.repository, out, frozenset({write.IGNORE}), there.host)
    told = progress or (lambda what, done, total: None)
    with reading(ledger, choice, rules if redact else None, told) as (site, source, redactor):
        plan = Plan(
            there=there,
            tree=tree,
            title=site.title,
            runs=sum(not is_deleted for is_deleted in site.deleted),
            experiments=sum(bool(each.rows) for each in site.experiments),
            people=list(dict.fromkeys(name for name, _ in people(site))),
            size=budget.measure(out),
            survey=NOTHING,
            redacted=redact,
        )
        if plan.is_there:
            return plan
        differences = code.pairs(site).values()
        if redact:
            return plan._replace(survey=survey(site, source, redactor, differences, told))
    with reading(ledger, choice, rules, told) as (site, source, redactor):
        return plan._replace(survey=survey(site, source, redactor, differences, told))


def send(ledger: Ledger, plan: Plan, show: bool = False) -> str:
    """Sends what was prepared, and returns the commit that the branch is at.

    Raises:
        WrongState: somebody else has published meanwhile.
        RemoteFailed: the remote cannot be reached or refuses, or the hook pre-push does.
    """
    subject = f"site of {counted(plan.runs, 'run')}"
    commit = orphan.commit_of(ledger.repository, plan.tree, ledger.root, subject, plan.there.host)
    orphan.send(ledger.repository, plan.there, commit, show)
    return commit
