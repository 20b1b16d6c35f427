"""`mlgit verify`: does what the ledger says hold?"""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence

import click

from mlgit.cli import output, table
from mlgit.cli.place import ledger as open_ledger
from mlgit.errors import NotFound
from mlgit.lineage.collect import LedgerSource
from mlgit.lineage.find import find
from mlgit.names import shown
from mlgit.verify import FAILED, OK, UNKNOWN, Outcome, verify

_CHECKS = {
    "record": "records read, each in its place",
    "environment": "environments, by their hash",
    "artifact": "runs whose small artifacts are as recorded",
    "metrics": "runs whose summaries are those of their points",
    "history": "commits that only add",
    "signature": "signatures of commits and git tags",
    "code": "code commits, whole and reachable",
    "data": "contents that can be had",
    "tag": "git tags that agree with the branch",
}
_MOST = 50  # lines of what does not hold; --json has all


@click.command(
    "verify",
    epilog="""\b
Examples:
  mlgit verify
  mlgit verify @best:metrics.rmse --rehash
  mlgit verify data/train.csv --json

\b
X is a run, or data as for 'mlgit lineage': then the runs that used or made it are looked
at. Without X it is the whole ledger. Exit code 1 if something does not hold. What could
not be checked here (a shallow clone, an unknown signer) is said and is no failure.""",
)
@click.argument("thing", metavar="[X]", required=False)
@click.option("--rehash", is_flag=True, help="Read the bytes of all data on this machine, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def verify_command(ctx: click.Context, thing: str | None, rehash: bool, as_json: bool) -> None:
    """Check every link from runs to code, data and environment."""
    with open_ledger() as ledger:
        run_ids = None if thing is None else _runs_of(LedgerSource(ledger), thing)
        progress = output.progress("Reading records")
        found = list(verify(ledger, run_ids, rehash, progress, _note()))
    failed = [each for each in found if each.answer == FAILED]
    if as_json:
        counts = {check: _counts(found, check) for check in _CHECKS}
        rest = [each._asdict() for each in found if each.answer != OK]
        output.envelope("verify", {"holds": not failed, "checks": counts, "outcomes": rest})
    else:
        _print(found, failed)
    if failed:
        ctx.exit(1)


def _runs_of(source: LedgerSource, thing: str) -> list[str]:
    nodes = find(source, thing)
    runs = [node.key for node in nodes if node.kind == "run"]
    hashes = [node.key for node in nodes if node.id.startswith("data:")]
    uses = source.pointers.find("hash", hashes, "input", "output") if hashes else []
    found = list(dict.fromkeys([*runs, *(use.run for use in uses)]))
    if not found:  # nothing would be checked, and all of it would hold
        hint = f"which runs have to do with it: mlgit lineage {shlex.quote(thing)}"
        raise NotFound(f"no run used or made {shown(thing)} itself", hint)
    return found


def _note() -> output.Note:
    return output.note_on_terminal() if sys.stderr.isatty() else (lambda line: None)


def _counts(found: Sequence[Outcome], check: str) -> dict[str, int]:
    counts = Counter(each.answer for each in found if each.check == check)
    return {answer: counts[answer] for answer in (OK, FAILED, UNKNOWN)}


def _print(found: Sequence[Outcome], failed: Sequence[Outcome]) -> None:
    rows = []
    for check, what in _CHECKS.items():
        counts = _counts(found, check)
        if any(counts.values()):
            rows.append([*(f"{count:,}" if count else "" for count in counts.values()), what])
    table.echo(("HOLD", "FAIL", "UNKNOWN", "WHAT"), rows, (True, True, True, False))
    if failed:
        click.echo()
        headings = ("CHECK", "OF", "DOES NOT HOLD")
        lines = [[e.check, output.clean(e.subject), output.clean(e.reason or "")] for e in failed]
        table.echo(headings, lines[:_MOST], (False, False, False))
        if len(lines) > _MOST:
            click.echo(f"… and {len(lines) - _MOST:,} more; all: --json", err=True)
    reasons = Counter((e.check, e.reason) for e in found if e.answer == UNKNOWN)
    for (check, reason), count in sorted(reasons.items(), key=lambda item: -item[1])[:_MOST]:
        things = f"{count:,} × " if count > 1 else ""
        click.echo(f"Not checked: {things}{check}: {output.clean(reason or '')}", err=True)
    if not failed:
        click.echo("Everything that could be checked holds.", err=True)
