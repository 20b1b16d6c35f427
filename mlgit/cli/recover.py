"""`mlgit recover`: saves the runs whose process died."""

from __future__ import annotations

import click

from mlgit.cli import output
from mlgit.cli.place import repository
from mlgit.errors import MlgitError
from mlgit.tracking import finish


@click.command(
    "recover",
    epilog="""\b
Examples:
  mlgit recover --dry-run
  mlgit recover

\b
Everything that was logged is in the run's journal, up to the last call before the
process died. A run may also be taken up again: mlgit.start_run(resume=ID).""",
)
@click.option("-n", "--dry-run", is_flag=True, help="Only list them.")
@click.option("--json", "as_json", is_flag=True, help="Say what was found as JSON.")
@click.pass_context
def recover_command(ctx: click.Context, dry_run: bool, as_json: bool) -> None:
    """Save runs whose process died."""
    found = []
    failed = False
    for path in finish.dead_runs(repository().common_dir):
        try:
            run = finish.peek(path) if dry_run else finish.recover(repository(), path)
        except MlgitError as error:
            click.echo(f"Error: {path.stem} is not saved: {output.clean(str(error))}", err=True)
            failed = True
            continue
        found.append(output.document(run))
        if not as_json:
            verb = "Would save" if dry_run else "Saved"
            told = f"{output.title(run)}, {run.status} after {output.span(run.duration)}"
            click.echo(f"{verb} {run.id} {told}")
    if as_json:
        output.envelope("recover", found)
    elif not found and not failed:
        click.echo("No run waits to be saved.", err=True)
    if failed:
        ctx.exit(1)
