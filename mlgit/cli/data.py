"""`mlgit data`: datasets as things, with their versions and who used them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from mlgit import profiles, whereabouts
from mlgit.cli import output, table
from mlgit.cli.place import ledger as open_ledger
from mlgit.data import checkout
from mlgit.ledger.pointers import Use, Version
from mlgit.lineage import datasets
from mlgit.lineage.collect import LedgerSource
from mlgit.lineage.datasets import Dataset, Difference, Shown
from mlgit.lineage.graph import SHORT, Node, brief, kept, only
from mlgit.whereabouts import Place

_MOST = 20  # runs, files or fields that are shown; --json has all
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@click.group(
    "data",
    epilog="""\b
Examples:
  mlgit data ls
  mlgit data show data/train.csv
  mlgit data diff 58f7a0c1 9a0cc4d2""",
)
def data_command() -> None:
    """List, show, compare and fetch datasets."""


@data_command.command("ls", epilog="\b\nExamples:\n  mlgit data ls --json")
@_json
def list_command(as_json: bool) -> None:
    """List the datasets, the last used first."""
    with open_ledger() as ledger:
        found = datasets.list_datasets(ledger.index().pointers)
    if as_json:
        content = [
            {"name": each.name, "versions": [_version(version) for version in each.versions]}
            for each in found
        ]
        output.envelope("data.ls", content)
    elif found:
        headings = ("DATASET", "VERSIONS", "LATEST", "SIZE", "FILES", "RUNS", "LAST USED", "AS")
        rows = [_row(each) for each in found]
        table.echo(headings, rows, (False, True, False, True, True, True, False, False))
    else:
        click.echo("No run has recorded an input yet.", err=True)


def _row(dataset: Dataset) -> list[str]:
    short, *counts, _, last, roles = _cells(dataset.latest)
    return [output.clean(dataset.name), f"{len(dataset.versions):,}", short, *counts, last, roles]


def _cells(version: Version) -> list[str]:
    return [
        _short(version.hash),
        output.ABSENT if version.size is None else output.size(version.size),
        output.text(version.files),
        f"{version.runs:,}",
        output.moment(version.first),
        output.moment(version.last),
        output.clean(", ".join([*version.roles, *([] if version.kept else [only(version.hash)])]))
        or output.ABSENT,
    ]


def _short(key: str) -> str:
    return output.clean(brief(key)) or output.ABSENT


def _version(version: Version) -> dict[str, Any]:
    found = version._asdict()
    return {"md5": found.pop("hash"), **found}


@data_command.command(
    "show",
    epilog="""\b
Examples:
  mlgit data show data/train.csv
  mlgit data show 58f7a0c1 --json

\b
DATA is a name or path that runs recorded, an md5 or the beginning of one (6 digits or
more), or a file here, which is found by its content; data:NAME means what was recorded,
also where a file lies here.""",
)
@click.argument("data")
@_json
def show_command(data: str, as_json: bool) -> None:
    """Show a dataset: its versions, and the runs that used or made them."""
    with open_ledger() as ledger:
        source = LedgerSource(ledger)
        found = datasets.show(source, data)
        runs = source.runs({use.run for each in found for use in (*each.used, *each.made)})
        places = whereabouts.look(ledger, [each.node.key for each in found])
    if as_json:
        content = [_document(each, places.get(each.node.key)) for each in found]
        output.envelope("data.show", content)
        return
    if len(found) == 1:
        click.echo("\n".join(_lines(found[0], places.get(found[0].node.key))))
    else:
        headings = ("VERSION", "SIZE", "FILES", "RUNS", "FIRST USED", "LAST USED", "AS", "WHERE")
        rows = [
            [*_cells(version), _where(places.get(version.hash))]
            for each in found
            for version in each.versions
        ]
        if rows:
            table.echo(headings, rows, (False, True, True, True, False, False, False, False))
    _print_uses("Used by", [use for each in found for use in each.used], runs)
    _print_uses("Made by", [use for each in found for use in each.made], runs)
    if len(found) == 1 and found[0].profile:
        _print_columns(found[0].profile)


def _where(place: Place | None) -> str:
    """Returns where the bytes are, as a cell of a table."""
    if place is None:
        return output.ABSENT
    if place.here and place.remote:
        return f"here, {place.remote}"
    return "here" if place.here else place.remote or "missing"


def _bytes(md5: str, place: Place) -> str:
    """Returns where the bytes are, as a sentence that says what can be done."""
    if place.here:
        return f"here, and on {place.remote}" if place.remote else "here only (share: mlgit push)"
    if place.remote:
        return f"on {place.remote}, as far as is known (mlgit data pull {_short(md5)})"
    return "missing: not here, and on no data remote that is known (who made it: mlgit push)"


def _document(each: Shown, place: Place | None) -> dict[str, Any]:
    facts = {"md5": each.node.key, "size": None, "files": None, **each.node.facts}
    return {
        "path": each.node.label,
        **facts,
        **(place or Place(here=False, remote=None))._asdict(),
        "versions": [_version(version) for version in each.versions],
        "used": [_use(use) for use in each.used],
        "made": [_use(use) for use in each.made],
        "profile": each.profile,
    }


def _use(use: Use) -> dict[str, Any]:
    told: dict[str, Any] = {"run": use.run, "path": use.path, "name": use.name, "role": use.role}
    told["kept"] = use.stored is not None
    return {key: value for key, value in told.items() if value is not None}


def _lines(each: Shown, place: Place | None) -> Iterator[str]:
    node = each.node
    names = dict.fromkeys([node.label, *(version.dataset for version in each.versions)])
    yield click.style(_short(node.key), fg="yellow") + "  " + output.clean(", ".join(names))
    yield f"Hash:  {output.clean(node.key)}"
    if node.facts.get("size") is not None:
        files = node.facts.get("files")
        inside = "" if files is None else f" in {output.counted(files, 'file')}"
        yield f"Size:  {output.size(node.facts['size'])}{inside}"
    if each.profile and (rows := datasets.rows(each.profile)) is not None:
        yield f"Rows:  {rows:,}"
    if told := kept(node):
        yield f"Kept:  {told}"
    if place:
        yield f"Bytes: {_bytes(node.key, place)}"
    if each.versions:
        first = min(version.first for version in each.versions)
        last = max(version.last for version in each.versions)
        count = output.counted(len({use.run for use in each.used}), "run")
        yield f"Used:  {count}, {output.moment(first)} to {output.moment(last)}"
    for dataset, others in each.others.items():
        whole = shlex.quote(f"data:{output.clean(dataset)}")
        yield f"Also:  {output.counted(others, 'other version')} (mlgit data show {whole})"


def _print_uses(title: str, uses: Sequence[Use], runs: dict[str, Node]) -> None:
    if not uses:
        return
    uses = sorted(uses, key=lambda use: use.run, reverse=True)
    rows = []
    for use in uses[:_MOST]:
        facts = runs[use.run].facts
        status = facts["status"] + " (deleted)" * facts["deleted"]
        told = (runs[use.run].label, status, output.moment(facts["started"]))
        role = output.clean(use.role or "") or output.ABSENT
        rows.append([use.run[:SHORT], *map(output.clean, told), role, _short(use.hash)])
    click.echo("\n" + click.style(title, bold=True))
    table.echo(("RUN", "NAME", "STATUS", "STARTED", "AS", "VERSION"), rows)
    if len(uses) > _MOST:
        click.echo(f"… and {len(uses) - _MOST:,} more; all: --json", err=True)


def _print_columns(profile: dict[str, Any]) -> None:
    columns = profiles.columns(profile)
    if not columns:
        return
    read = profile.get("read")
    part = f" of the first {read:,} rows" if isinstance(read, int) else ""
    click.echo("\n" + click.style("Columns", bold=True) + part)
    told = ("name", "type", "nulls", "distinct", "min", "max", "mean")
    rows = [[output.text(column.get(key)) for key in told] for column in columns[:_MOST]]
    table.echo([key.upper() for key in told], rows, (False, False, True, True, *[False] * 3))
    if len(columns) > _MOST:
        click.echo(f"… and {len(columns) - _MOST:,} more; all: --json", err=True)


@data_command.command(
    "diff",
    epilog="""\b
Examples:
  mlgit data diff 58f7a0c1 9a0cc4d2
  mlgit data diff 58f7a0c1 data/train --json    # with the version that was used last""",
)
@click.argument("old")
@click.argument("new")
@_json
def diff_command(old: str, new: str, as_json: bool) -> None:
    """Compare two versions: size, files, rows and columns."""
    with open_ledger() as ledger:
        source = LedgerSource(ledger)
        found = datasets.compare(source, old, new)
    if as_json:
        output.envelope("data.diff", _difference(found))
    elif found.old.key == found.new.key:
        click.echo("These are the same bytes.", err=True)
    else:
        click.echo("\n".join(_told(found)))
    for folder in sorted(source.folders.missing):
        output.warn(f"cannot look inside {folder}: its list of files is not on this machine")
    for message in source.folders.damaged.values():
        output.warn(message)


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "old": {"path": found.old.label, **found.old.facts},
        "new": {"path": found.new.label, **found.new.facts},
        "files": found.files and found.files._asdict(),
        "rows": list(found.rows),
        "columns": [each._asdict() for each in found.columns],
    }


def _told(found: Difference) -> Iterator[str]:
    for sign, node in (("-", found.old), ("+", found.new)):
        size = node.facts.get("size")
        told = output.ABSENT if size is None else output.size(size)
        yield f"{sign} {_short(node.key)}  {output.clean(node.label)}  {told}"
    old, new = (node.facts.get("size") for node in (found.old, found.new))
    if old is not None and new is not None:
        yield f"size: {new - old:+,} bytes"
    for title, paths in (found.files._asdict() if found.files else {}).items():
        if paths:
            yield f"{output.counted(len(paths), 'file')} {title}:"
            yield from (f"  {output.clean(path)}" for path in paths[:_MOST])
            if len(paths) > _MOST:
                yield f"  … and {len(paths) - _MOST:,} more; all: --json"
    old, new = found.rows
    if old is not None and new is not None and old != new:
        yield f"rows: {old:,} → {new:,}"
    yield from (f"column {output.clean(str(each))}" for each in found.columns[:_MOST])
    if len(found.columns) > _MOST:
        yield f"… and {len(found.columns) - _MOST:,} more; all: --json"


@data_command.command(
    "pull",
    epilog="""\b
Examples:
  mlgit data pull baseline                        # all that the run used and made
  mlgit data pull data/train.csv -o restored.csv
  mlgit data pull 58f7a0c1 -o train.parquet

\b
X is a run, a registered version (churn@v2, churn@production), or data as in 'mlgit data
show': of a name or path the version that was used last. With -o the data are written
there too, as a copy of your own.""",
)
@click.argument("things", metavar="X...", nargs=-1, required=True)
@click.option("-o", "--output", "target", metavar="PATH", help="Write one dataset there.")
def pull_command(things: tuple[str, ...], target: str | None) -> None:
    """Fetch data from the data remote."""
    from mlgit import artifacts

    with open_ledger() as ledger:
        source = LedgerSource(ledger)
        md5s = [md5 for thing in things for md5 in datasets.meant(source, thing)]
        if target is not None and len(md5s) != 1:
            raise click.UsageError("-o takes one dataset, and this is several")
        artifacts.fetch(ledger, md5s, output.transfer("Fetching"))
        if target is None:
            click.echo(f"{output.counted(len(md5s), 'dataset')} on this machine.", err=True)
            return
        store = ledger.repository.data_store
        is_new = checkout.checkout(store, md5s[0], Path(target))
        click.echo(f"{'Wrote' if is_new else 'There already:'} {output.clean(target)}", err=True)
