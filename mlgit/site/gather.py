"""Reads the ledger once, into one frozen value that all pages are made from.

What a page of one run says stays in the ledger until that page is made (`whole`): the
value holds what lists and tables need of every run, and the id of its folder, which
changes whenever anything about the run does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from mlgit import records, registry, saved
from mlgit.ledger import Ledger, walk
from mlgit.ledger.index import Table
from mlgit.ledger.walk import Folder, Problem
from mlgit.registry import Event, Model, approvals
from mlgit.registry.approvals import Approval
from mlgit.site import code, flow, reports, urls
from mlgit.site.choice import Choice, chosen
from mlgit.site.code import Code
from mlgit.site.flow import Flow
from mlgit.site.reports import Report

UNTITLED = "Experiments"


class Experiment(NamedTuple):
    """An experiment as it is shown."""

    title: str
    names: list[str]
    """As its runs store it; several after renames in two places at once."""
    description: str | None
    tags: dict[str, str]
    rows: list[int]
    """The positions of its runs in the table, newest first; deleted ones are left out."""
    gone: list[int]
    """The positions of its deleted runs."""
    hidden: str
    """Runs with ids below this were deleted with the experiment."""
    views: dict[str, records.View]

    @property
    def url(self) -> str:
        return urls.experiment(self.names[0])


@dataclass(frozen=True)
class Site:
    """All that the pages are made from."""

    root: str
    """The ledger's tree: whoever has this has the same records, in whatever order they came."""
    title: str
    table: Table
    """Every run that can be read, deleted ones among them, newest first."""
    folders: list[Folder]
    """Where each run of the table lies."""
    experiments: list[Experiment]
    """Those with runs or facts, the latest used first; deleted ones with no row."""
    of_row: list[int]
    """For each run of the table the position of its experiment."""
    deleted: list[bool]
    codes: dict[str, Code]
    """The code that the runs ran, by tree, in the order of first use."""
    reports: list[Report]
    problems: list[Problem]
    choice: Choice
    left_out: int
    """Runs that were not chosen."""
    models: list[Model]
    """The registry, as git tags and facts add up here, by title."""
    approvals: dict[str, list[Approval]]
    """What people said of the versions, by the name that git tags have; oldest first."""
    tags: str
    """All git tags of the registry, as a digest."""

    flow: Flow
    """What the runs used and made."""

    @property
    def absent(self) -> set[str]:
        """The pages of the navigation that this site has not, because nothing would be on them."""
        there = {urls.MODELS: self.models, urls.DATA: self.flow.datasets}
        return {url for url, things in there.items() if not things}

    @property
    def frame(self) -> list[Any]:
        """What every page shows around its content."""
        return [self.title, sorted(self.absent)]

    def experiment(self, row: int) -> Experiment:
        return self.experiments[self.of_row[row]]

    @cached_property
    def code_of(self) -> dict[int, Code]:
        """The code of each run whose code is in this repository; of no deleted one."""
        return {row: code for code in self.codes.values() for row in code.rows}

    @cached_property
    def _by_beginning(self) -> dict[str, int | None]:
        found: dict[str, int | None] = {}
        for row, run_id in enumerate(self.table.ids):
            found[run_id[:10]] = None if run_id[:10] in found else row
        return found

    def find(self, text: str) -> int | None:
        """Returns the run with this id, or whose id alone begins with these ten or more."""
        row = self._by_beginning.get(text[:10])
        return row if row is not None and self.table.ids[row].startswith(text) else None

    def label(self, row: int) -> str:
        """Returns what a run is called in a list: its name, else the beginning of its id."""
        return self.table.attributes["name"][row] or self.table.ids[row][:10]


def gather(
    ledger: Ledger,
    choice: Choice = Choice(),  # noqa: B008
    progress: Callable[[int, int], None] | None = None,
) -> Site:
    """Reads what all pages are made from.

    Raises:
        NotFound: there is no ledger yet, or no such experiment.
        Unreadable: the branch as a whole cannot be read.
    """
    index = ledger.index(progress)
    problems = {problem.path: problem for problem in index.problems()}
    known: dict[str, records.Experiment] = {}
    for found in walk.load_experiments(ledger.reader, ledger.root):
        if isinstance(found, Problem):
            problems[found.path] = found
        else:
            known[found.name] = found
    every = index.table()
    table = every
    if choice.is_part:
        table = chosen(every, choice, _stored_names(ledger, choice))
        present = {*table.attributes["experiment"]}
        known = {name: facts for name, facts in known.items() if name in present}
    every_model = [*registry.load(ledger).models.values()]
    said = approvals.load(ledger.repository)
    shas = dict(walk.run_folders(ledger.reader, ledger.root))
    experiments, of_row, deleted = _experiments(table, known)
    models = _models(every_model, choice, table)
    return Site(
        root=ledger.root,
        title=choice.title or _title(ledger, table),
        table=table,
        folders=[Folder(run_id, shas[run_id]) for run_id in table.ids],
        experiments=experiments,
        of_row=of_row,
        deleted=deleted,
        codes=code.read(ledger.reader, table, deleted),
        reports=reports.read(ledger),
        problems=[problems[path] for path in sorted(problems)],
        choice=choice,
        left_out=len(every.ids) - len(table.ids),
        models=models,
        approvals=_by_model(models, said),
        tags=_digest([event for model in every_model for event in model.events], said),
        flow=flow.gather(ledger, table, models),
    )


def _models(every: Sequence[Model], choice: Choice, table: Table) -> list[Model]:
    """Returns the models that are shown: with chosen experiments, those that they made."""
    here = {*table.ids}
    chosen = [
        model
        for model in every
        if not choice.experiments or any(version.run in here for version in model.versions)
    ]
    return sorted(chosen, key=lambda model: (model.title, model.name))


def _by_model(models: Sequence[Model], said: Iterable[Approval]) -> dict[str, list[Approval]]:
    found: dict[str, list[Approval]] = {model.name: [] for model in models}
    for each in said:
        if each.name.model in found:
            found[each.name.model].append(each)
    return found


def _digest(events: Iterable[Event], said: Iterable[Approval]) -> str:
    digest = hashlib.sha256()
    every: list[Event | Approval] = [*events, *said]
    for each in every:
        digest.update(f"{each.tag}\0{each.sha}\0".encode())
    return digest.hexdigest()[:40]


def _stored_names(ledger: Ledger, choice: Choice) -> set[str] | None:
    """Returns the chosen experiments as runs store them; None if all are chosen."""
    if not choice.experiments:
        return None
    return {name for title in choice.experiments for name in saved.find_experiment(ledger, title)}


def _experiments(
    table: Table, known: Mapping[str, records.Experiment]
) -> tuple[list[Experiment], list[int], list[bool]]:
    stored, gone = table.attributes["experiment"], table.attributes["deleted"]
    by_title: dict[str, Experiment] = {}
    for name in sorted({*stored, *known}):
        facts = known.get(name) or records.Experiment(name=name, title=name)
        found = by_title.get(facts.title) or Experiment(facts.title, [], None, {}, [], [], "", {})
        by_title[facts.title] = found._replace(
            names=[*found.names, name],
            description=found.description or facts.description,
            tags={**facts.tags, **found.tags},
            hidden=max(found.hidden, facts.hidden),
            views={**facts.views, **found.views},
        )
    title_of = {name: each.title for each in by_title.values() for name in each.names}
    limits = {name: known[name].hidden for name in known}
    deleted = [
        mark is not None or run_id < limits.get(name, "")
        for run_id, name, mark in zip(table.ids, stored, gone, strict=True)
    ]
    for row, name in enumerate(stored):
        experiment = by_title[title_of[name]]
        (experiment.gone if deleted[row] else experiment.rows).append(row)
    # The latest used first; those without runs last, by name.
    ordered = sorted(by_title.values(), key=lambda each: each.rows[:1] or [len(stored)])
    position = {each.title: index for index, each in enumerate(ordered)}
    return ordered, [position[title_of[name]] for name in stored], deleted


def _title(ledger: Ledger, table: Table) -> str:
    """Returns what the repository is called, as far as the ledger tells: by its remote."""
    for run in saved.load(ledger, table.ids[:1]):
        path = urlsplit(run.source.remote or "").path
        name = path.rstrip("/").rpartition("/")[2].removesuffix(".git")
        if name:
            return name
    return UNTITLED
