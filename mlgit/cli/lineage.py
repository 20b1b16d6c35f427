"""`mlgit lineage`: where a thing comes from, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import click

from mlgit.cli import complete, output
from mlgit.cli.place import ledger as open_ledger
from mlgit.lineage import formats, prov
from mlgit.lineage.api import events
from mlgit.lineage.graph import SHORT, Edge, Node, State, Walk, brief, kept
from mlgit.lineage.trace import Lineage, trace

_FORMATS = ("tree", "json", "dot", "mermaid", "prov", "openlineage")
_MANY = 20  # things of one kind below a line; more are counted
_DEEP = 50  # levels a tree is indented


@click.command(
    "lineage",
    epilog="""\b
Examples:
  mlgit lineage data/train.csv                # the file as it is here, found by its content
  mlgit lineage data/train.csv --down         # which models did this file train?
  mlgit lineage @latest --up                  # which data, code and environment made this run?
  mlgit lineage 58f7a0c1 --json
  mlgit lineage baseline --format mermaid

\b
X is a file or folder on disk, an md5 or the beginning of one, the name, path or address
of a dataset as runs recorded it (all its versions; also of a file inside a folder), a
run (id, beginning of one, name, @latest, @best:KEY), or an id as --json shows it:
data:…, run:…, code:…, stage:…. Contents are the same if their bytes are, tables if their
values are; names do not count. "hash only": the run did not keep the bytes. The depth is
in steps: from a file to the runs that used it is one.""",
)
@click.argument("x", metavar="X", shell_complete=complete.runs)
@click.option("--up", is_flag=True, help="Only what it was made from.")
@click.option("--down", is_flag=True, help="Only what was made from it.")
@click.option("--depth", type=click.IntRange(min=1), metavar="N", help="At most N steps away.")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="tree", help="How to write it."
)
@click.option("--json", "form", flag_value="json", help="One JSON document.")
def lineage_command(x: str, up: bool, down: bool, depth: int | None, form: str) -> None:
    """Show what X was made from, and what was made from it."""
    with open_ledger() as ledger:
        found = trace(ledger, x, up or not down, down or not up, depth)
        _print(found, form)
    if form != "json":
        for note in found.notes:
            output.warn(note)


def _print(found: Lineage, form: str) -> None:
    if form == "tree":
        click.echo("\n".join(_tree(found)))
    elif form == "json":
        output.envelope("lineage", formats.document(found.graph, found.notes))
    elif form == "dot":
        click.echo(formats.dot(found.graph))
    elif form == "mermaid":
        click.echo(formats.mermaid(found.graph))
    elif form == "prov":
        click.echo(output.as_json(prov.document(found.graph), indent=2))
    else:
        for event in events(found.graph, found.source):
            click.echo(output.as_json(event))


# --- the tree ------------------------------------------------------------------------------


def _tree(found: Lineage) -> Iterator[str]:
    for number, root in enumerate(found.graph.roots):
        if number:
            yield ""
        title, *details = _named(found.graph.nodes[root])
        yield "  ".join([click.style(title, fg="yellow"), *details])
        for walk in found.walks:
            yield ""
            heading = click.style("Made from" if walk.up else "Led to", bold=True)
            yield f"{heading}: {_summary(walk, root)}"
            yield from _Branches(found, walk).lines((root, 0))


def _summary(walk: Walk, root: str) -> str:
    """Returns the answer in a sentence: of what kinds, and how many."""
    reached = walk.nodes.keys() if len(walk.roots) == 1 else _reached(walk, root)
    kinds = Counter(
        "model" if node.facts.get("type") == "model" else node.kind
        for node_id, node in walk.nodes.items()
        if node_id in reached and node_id != root and node.kind not in _CIRCUMSTANCES
    )
    order = ["dataset", "model", "artifact", "stage", "run"]
    if not walk.up:
        order = ["model", "run", "artifact", "stage", "dataset"]
    ranked = sorted(kinds, key=[*order, *kinds].index)
    return ", ".join(output.counted(kinds[kind], kind) for kind in ranked) or "nothing recorded"


def _reached(walk: Walk, root: str) -> set[str]:
    found: set[State] = {(root, 0)}
    pending = [*found]
    while pending:
        for _, state in walk.steps.get(pending.pop(), ()):
            if state not in found:
                found.add(state)
                pending.append(state)
    return {node_id for node_id, _ in found}


class _Line(NamedTuple):
    text: str
    state: State | None = None


class _Branches:
    """Draws what a walk found below a node; what comes up again is not drawn again."""

    def __init__(self, found: Lineage, walk: Walk) -> None:
        self._nodes = found.graph.nodes
        self._walk = walk
        self._drawn: set[State] = set()

    def lines(self, root: State) -> Iterator[str]:
        pending = self._below(root, "")
        while pending:
            indent, is_last, (text, state) = pending.pop()
            again = state in self._drawn or (state and (state[0], 0) in self._drawn)
            mark = click.style("  (see above)", dim=True) if again and self._ahead(state) else ""
            yield indent + ("└─ " if is_last else "├─ ") + text + mark
            if state and not again:
                pending += self._below(state, indent + ("   " if is_last else "│  "))

    def _below(self, state: State, indent: str) -> list[tuple[str, bool, _Line]]:
        """Returns the lines right below a node, the last one first."""
        self._drawn.add(state)
        steps = self._ahead(state)
        if len(indent) // 3 > _DEEP and steps:
            rows = [_Line(click.style("… and on (all: --json)", dim=True))]
        else:
            rows = list(self._rows(sorted(steps, key=self._order)))
        return [
            (indent, number == len(rows), row) for number, row in reversed([*enumerate(rows, 1)])
        ]

    def _ahead(self, state: State | None) -> list[tuple[Edge, State]]:
        return self._walk.steps.get(state, []) if state else []

    def _order(self, step: tuple[Edge, State]) -> tuple[int, str]:
        """What matters first: data, models, runs from the newest; then the circumstances."""
        edge, state = step
        node = self._nodes[state[0]]
        model = edge.kind == "generated" and node.facts.get("type") == "model"
        leads_on = self._ahead(state) or (self._walk.up and edge.kind == "used")
        rank = 0 if model else 1 if leads_on else 2
        if edge.kind in _LAST:
            rank = 3 + _LAST.index(edge.kind)
        return rank, "" if node.kind == "run" else node.label  # runs stay as they came

    def _rows(self, steps: list[tuple[Edge, State]]) -> Iterator[_Line]:
        """Yields the steps as lines: what leads on or matters each, the rest in one."""
        shown = Counter[tuple[str, str]]()
        rest: list[str] = []
        for edge, state in steps:
            node = self._nodes[state[0]]
            kind = (edge.kind, node.kind)
            shown[kind] += 1
            minor = self._order((edge, state))[0] == 2 and not self._walk.up
            if minor and node.kind == "artifact":
                rest.append(output.clean(node.label))
            elif shown[kind] <= _MANY:
                yield _Line(self._text(edge, node), state)
        if len(rest) == 1:
            yield _Line(f"made {rest[0]}")
        elif rest:
            yield _Line(f"made {output.counted(len(rest), 'file')}: {output.listed(rest)}")
        for (_, thing), count in shown.items():
            if count > _MANY and thing != "artifact":
                more = f"… and {output.counted(count - _MANY, f'more {thing}')} (all: --json)"
                yield _Line(click.style(more, dim=True))

    def _text(self, edge: Edge, node: Node) -> str:
        title, *details = _named(node)
        if edge.kind == "contains":
            inside = edge.object == node.id
            verb = "holds " if inside else "lies in "
            details += [] if inside else [f"as {output.clean(edge.path or '')}"]
        elif edge.kind == "part-of":
            verb = "part of " if edge.object == node.id else "with its part "
        elif edge.kind == "same-as":
            verb = "the same as "
        else:
            verb = _VERBS.get((edge.kind, self._walk.up), "")
        if edge.role in ("snapshot", "base"):
            title = title.replace("code", _CODE[edge.role], 1)
        elif edge.role:
            details.append(f"as {output.clean(edge.role)}")
        return verb + "  ".join([title, *details])


_CIRCUMSTANCES = ("code", "environment")
_LAST = ("part-of", "ran", "ran-in")
_CODE = {"snapshot": "uncommitted work", "base": "on code"}
_VERBS = {
    ("generated", True): "made by ",
    ("generated", False): "made ",
    ("used", False): "used by ",
    ("ran", False): "run by ",
    ("ran-in", False): "seen by ",
}


def _named(node: Node) -> list[str]:
    """Returns how a node is called, and what else is told of it."""
    facts, label = node.facts, output.clean(node.label)
    if node.kind == "run":
        details = [label, f"{facts['status']} {output.moment(facts['started'])}"]
        return [f"run {node.key[:SHORT]}", *details, *["deleted"] * facts["deleted"]]
    if node.kind in ("dataset", "artifact"):
        prefix = "model " if facts.get("type") == "model" and label != "model" else ""
        called = facts.get("name")
        details = [f"({output.clean(called)})"] if called and called != node.label else []
        details += [output.size(facts["size"])] if facts.get("size") is not None else []
        details += [output.clean(each) for each in (brief(node.key), kept(node)) if each]
        return [prefix + label, *details, *map(output.clean, formats.registered(node))]
    if node.kind == "stage":
        return [f"stage {label}", f"{output.clean(facts['lock'])} at {facts['commit'][:SHORT]}"]
    summary = [output.clean(facts["summary"])] if facts.get("summary") else []
    when = [output.moment(facts["time"], "%Y-%m-%d")] if "time" in facts else []
    return [f"{node.kind} {label}", *summary, *when]
