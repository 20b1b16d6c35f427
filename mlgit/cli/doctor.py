"""`mlgit doctor`: what is well here, and what is not."""

from __future__ import annotations

import click

from mlgit import doctor
from mlgit.cli import output
from mlgit.cli.place import repository

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "problem": ("PROBLEM", "red")}


@click.command("doctor", epilog="\b\nExamples:\n  mlgit doctor\n  mlgit doctor --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def doctor_command(ctx: click.Context, as_json: bool) -> None:
    """Check the repository and every record.

    Reads everything and changes nothing. Exit code 1 if there is a problem.
    """
    findings = []
    for finding in doctor.examine(repository()):
        findings.append(finding)
        if not as_json:
            word, colour = _MARKS[finding.level]
            mark = click.style(f"{word:>7}", fg=colour)
            hint = f"\n         {output.clean(finding.hint)}" if finding.hint else ""
            click.echo(f"{mark}  {output.clean(finding.what)}{hint}")
    if as_json:
        output.envelope("doctor", [finding._asdict() for finding in findings])
    if any(finding.level == "problem" for finding in findings):
        ctx.exit(1)
