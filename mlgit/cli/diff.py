"""`mlgit diff`: what differs between runs, or the git diff of their code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click

from mlgit import names, query, saved
from mlgit.cli import complete, output, table
from mlgit.cli.columns import short_ids
from mlgit.cli.place import find_run
from mlgit.cli.place import ledger as open_ledger
from mlgit.errors import NotFound
from mlgit.ledger import Ledger
from mlgit.ledger.pointers import identity
from mlgit.lineage.graph import only
from mlgit.query import Field
from mlgit.records import Pointer, Run

_ATTRIBUTES = ("experiment", "name", "status", "duration", "user", "branch", "commit")


class _WithPaths(click.Command):
    """A command that keeps what stands after `--` apart, as git does; click mixes the two."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            place = args.index("--")
            ctx.obj, args = args[place + 1 :], args[:place]
        return super().parse_args(ctx, args)


@click.command(
    "diff",
    cls=_WithPaths,
    epilog="""\b
Examples:
  mlgit diff baseline @latest
  mlgit diff @best:metrics.rmse 01kb2q6v 01kb2q7x --json
  mlgit diff baseline @latest --code          # a real git diff, uncommitted work included
  mlgit diff baseline @latest --code -- src/  # of these paths only""",
)
@click.argument(
    "runs",
    metavar="RUN RUN [RUN...] [-- PATH...]",
    nargs=-1,
    required=True,
    shell_complete=complete.runs,
)
@click.option("--code", is_flag=True, help="Show the git diff between the code of two runs.")
@click.option("--all", "everything", is_flag=True, help="Show what is equal too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def diff_command(
    ctx: click.Context, runs: tuple[str, ...], code: bool, everything: bool, as_json: bool
) -> None:
    """Compare runs: params, metrics, tags, code, environment."""
    if len(runs) < 2:
        raise click.UsageError("name two runs or more")
    paths: list[str] = ctx.obj or []
    if code and (len(runs) > 2 or as_json):
        raise click.UsageError("--code shows the git diff of two runs; paths go after --")
    if paths and not code:
        raise click.UsageError("paths go with --code")
    with open_ledger() as ledger:
        records = [find_run(ledger, run) for run in runs]
        if code:
            _print_code(ledger, records, paths)
            return
        rows = list(_rows(ledger, records, everything))
    if not everything:
        rows = [(field, values) for field, values in rows if not _all_equal(values)]
    ids = [run.id for run in records]
    if as_json:
        content = {field: [output.json_value(value) for value in values] for field, values in rows}
        output.envelope("diff", {"runs": ids, "fields": content})
    elif rows:
        table.echo(("", *short_ids(ids)), cells(rows, records))
    else:
        click.echo("The runs differ in nothing that was recorded.", err=True)


def compared(ledger: Ledger, runs: Sequence[Run]) -> list[tuple[str, Sequence[Any]]]:
    """Returns the fields in which runs differ, with the value of each."""
    return [row for row in _rows(ledger, runs, False) if not _all_equal(row[1])]


def cells(rows: Iterable[tuple[str, Sequence[Any]]], runs: Sequence[Run]) -> list[list[str]]:
    """Returns fields of these runs as lines of a table: the field, then the value of each run."""
    kept = {identity(pointer) for run in runs for pointer in run.inputs if pointer.stored}

    def shown(field: str, value: Any) -> str:
        told = _form(field)(value)
        is_bare = field.startswith("inputs.") and value is not None and value not in kept
        return f"{told} {only(value)}" if is_bare else told

    return [
        [output.clean(field), *(shown(field, each) for each in values)] for field, values in rows
    ]


def _rows(
    ledger: Ledger, runs: Sequence[Run], everything: bool
) -> Iterator[tuple[str, Sequence[Any]]]:
    """Yields the fields that one of the runs has, with the value of each run."""
    for name in _ATTRIBUTES:
        yield name, output.values_of(runs, Field("attribute", name))
    yield "snapshot", [run.source.snapshot for run in runs]
    yield "arguments", [" ".join(run.source.argv) or None for run in runs]
    params = {key for run in runs for key in output.leaves(run.params)}
    metrics = {key for run in runs for key in run.metrics}
    if not everything:
        metrics = {key for key in metrics if not key.startswith(saved.SYSTEM)}
    fields = [Field("param", key) for key in sorted(params)]
    fields += [Field("metric", key, "last") for key in sorted(metrics)]
    fields += [Field("tag", key) for key in sorted({key for run in runs for key in run.tags})]
    for field in fields:
        yield str(field), output.values_of(runs, field)
    for of, pointed in (("inputs", "inputs"), ("outputs", "artifacts")):
        pointers = _pointers([getattr(run, pointed) for run in runs])
        for path in sorted({path for each in pointers for path in each} - {names.CONSOLE_FILE}):
            yield f"{of}.{path}", [each.get(path) for each in pointers]
    environments = [output.leaves(saved.environment(ledger, run) or {}) for run in runs]
    known = [each for each in environments if each]
    if everything or 0 < len(known) < len(runs):
        yield "environment", [run.environment for run in runs]
    for key in sorted({key for each in known for key in each}):
        # A run that recorded no environment differs in that one thing, not in every package.
        if everything or not _all_equal([each.get(key) for each in known]):
            yield f"environment.{key}", [each.get(key) for each in environments]


def _pointers(runs: Sequence[Sequence[Pointer]]) -> list[dict[str, str | None]]:
    """Returns what each run used or made by its name, and by its role if there are several."""

    def name(pointer: Pointer) -> str:
        return pointer.name or pointer.path

    several = {
        each for found in runs for each, count in Counter(map(name, found)).items() if count > 1
    }
    return [
        {
            f"{name(p)} ({p.role})" if p.role and name(p) in several else name(p): identity(p)
            for p in found
        }
        for found in runs
    ]


def _all_equal(values: Sequence[Any]) -> bool:
    return len({_sameness(value) for value in values}) == 1


def _sameness(value: Any) -> Any:
    """Returns what equal values share: 1 and 1.0, or NaN and NaN; but not 1 and true."""
    if value is None or value is output.NULL:
        return output.text(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "nan" if value != value else ("number", value)
    return type(value).__name__, query.text_of(value)


def _form(field: str) -> Callable[[Any], str]:
    """Returns how values of a field are shown: hashes by their beginning, durations in words."""
    if field == "duration":
        return output.span
    if field in ("commit", "snapshot", "environment") or field.startswith(("inputs.", "outputs.")):
        return lambda value: output.text(value)[: None if "://" in str(value) else 12]
    return output.text


def _print_code(ledger: Ledger, runs: Sequence[Run], paths: Sequence[str]) -> None:
    """Hands over to git, which knows colours, pagers and the user's own settings."""
    commits: list[str] = []
    for run in runs:
        commit = run.source.snapshot or run.source.commit
        if commit is None:
            raise NotFound(f"the run {run.id} recorded no code commit")
        if not ledger.has_commit(commit):
            raise NotFound(
                f"the code of the run {run.id}, {output.clean(commit)[:12]}, "
                "is not in this repository",
                "fetch it where it is: git fetch; it was not kept if mlgit.code is 'sha'",
            )
        commits.append(commit)
    sys.stdout.flush()
    if _git_diff(ledger, commits, paths, "--quiet") == 0:
        where = "The code in these paths" if paths else "The code"
        click.echo(f"{where} is the same.", err=True)
    else:
        sys.exit(_git_diff(ledger, commits, paths))


def _git_diff(ledger: Ledger, commits: Sequence[str], paths: Sequence[str], *options: str) -> int:
    plain = ("-c", "color.ui=false") if os.environ.get("NO_COLOR") else ()
    command = ("git", *plain, "diff", *options, "--end-of-options", *commits, "--", *paths)
    return subprocess.run(command, cwd=ledger.repository.start, check=False).returncode
