"""`mlgit gc`: space."""

from __future__ import annotations

import sys

import click

from mlgit import gc
from mlgit.cli import output
from mlgit.cli.place import repository


@click.command(
    "gc",
    epilog="""\b
Examples:
  mlgit gc --dry-run
  mlgit gc --yes

\b
Data are dropped that no run names, saved or running, deleted ones included, and that
were stored more than two weeks ago; and temporary files that killed processes left.
Nothing on a remote is touched. Git's own objects are git's: git gc.""",
)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would go.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Say what goes as JSON.")
@click.pass_context
def gc_command(ctx: click.Context, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Drop data on this machine that no run needs."""
    waste = gc.find(repository())
    count = len(waste.objects) + len(waste.files)
    found = count + len(waste.trees)
    if not found and not as_json:
        click.echo("There is nothing to drop.", err=True)
    elif not as_json:
        told = f"{output.counted(count, 'file')}, {output.size(waste.size)}"
        if waste.trees:
            told += f", {output.counted(len(waste.trees), 'work tree')} of a killed reproduce"
        click.echo(f"{'Would drop' if dry_run else 'To drop'}: {told}.", err=True)
    agreed = not dry_run and (yes or not found or _agreed())
    dropped = gc.drop(repository(), waste) if agreed and found else 0
    if as_json:
        files = {str(path): size for path, size in waste.files.items()}
        trees = [str(path) for path in waste.trees]
        content = {
            "objects": waste.objects,
            "files": files,
            "size": waste.size,
            "work_trees": trees,
        }
        output.envelope("gc", {**content, "dropped": agreed})
    elif agreed and found:
        click.echo(f"Dropped {output.size(dropped)}.")
    if not agreed and not dry_run:
        ctx.exit(1)


def _agreed() -> bool:
    asked = sys.stdin.isatty() and sys.stderr.isatty()
    if asked and click.confirm("Drop them?", default=False, err=True):
        return True
    click.echo("Nothing was dropped" + ("." if asked else "; to do it: --yes."), err=True)
    return False
