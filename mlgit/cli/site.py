"""`mlgit site`: the ledger as pages."""

from __future__ import annotations

import time
import webbrowser
from pathlib import Path

import click

from mlgit.cli import output
from mlgit.cli.place import ledger as open_ledger
from mlgit.cli.site_options import (
    budget_document,
    choice,
    choosing,
    needed,
    out_option,
    progress,
    rules,
    tell_budget,
)
from mlgit.cli.site_publish import publish_command
from mlgit.cli.site_serve import serve_command
from mlgit.site import budget

OUT = "_site"


@click.group(
    "site",
    epilog="""\b
Examples:
  mlgit site build --open
  mlgit site check
  mlgit site serve
  mlgit site publish --dry-run""",
)
def site_command() -> None:
    """Make pages of the ledger, to look at or to publish."""


@site_command.command(
    "build",
    epilog="""\b
Examples:
  mlgit site build                    # in _site; again: only what changed
  mlgit site build --open
  mlgit site build --out public --title "Demand forecast"
  mlgit site build --redact --since 2026-01-01 --experiment nyc-taxi --experiment churn

\b
The pages open by double click, from a zip, or from any web server and folder of it. The
same ledger gives the same bytes. Artifacts are shown if they are on this machine. What
--redact takes out is said in [site] of mlgit.toml: by default paths, hosts, mail
addresses, remotes, patches of uncommitted work, and the console.""",
)
@out_option(OUT, "Where; a folder of something else is refused.")
@choosing
@click.option(
    "--redact", "shall_redact", is_flag=True, help="Take out what should not leave the house."
)
@click.option("--open", "shall_open", is_flag=True, help="Show it in the browser.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def build_command(
    out: Path,
    title: str | None,
    since: str | None,
    experiments: tuple[str, ...],
    no_artifacts: bool,
    shall_redact: bool,
    shall_open: bool,
    as_json: bool,
) -> None:
    """Make the site, or bring it up to date."""
    with needed():
        from mlgit.site.build import build

    started = time.monotonic()
    chosen = choice(title, since, experiments, no_artifacts)
    with open_ledger() as ledger:
        written = build(ledger, out, chosen, rules(ledger) if shall_redact else None, progress())
    seconds = output.span(time.monotonic() - started)
    size = budget.measure(out)
    place = out.resolve() / "index.html"
    if as_json:
        document = {"index": str(place), **written._asdict(), **budget_document(size)}
        output.envelope("site.build", document)
    else:
        click.echo(f"{place}")
        made = f"{written.made:,} of {written.units:,} parts made in {seconds}"
        click.echo(made, err=True)
        tell_budget(size)
    if shall_open:
        webbrowser.open(place.as_uri())


# --- check ---------------------------------------------------------------------------------

_SHOWN = 20  # differences


@site_command.command(
    "check",
    epilog="""\b
Examples:
  mlgit site check                    # is _site what the ledger says?
  mlgit site check --out public --json

\b
Makes the site again, in a temporary folder, and compares the two byte for byte. Exit code 1
if they differ; then it says which files, and why that may be: the site's manifest names the
state of the ledger, the version of mlgit and the options that it was made with.""",
)
@out_option(OUT, "The site; a checkout of a published one will do.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def check_command(ctx: click.Context, out: Path, as_json: bool) -> None:
    """Make the site again and compare: has anybody altered it?"""
    with needed():
        from mlgit.site.check import check

    with open_ledger() as ledger:
        verdict = check(ledger, out, rules(ledger), progress())
    found = verdict.differences
    if as_json:
        document = {
            "same": not found,
            "files": verdict.files,
            "differences": [each._asdict() for each in found],
            "reasons": verdict.reasons,
        }
        output.envelope("site.check", document)
    elif not found:
        click.echo(f"{out} is what the ledger says: {output.counted(verdict.files, 'file')} alike.")
    else:
        for each in found[:_SHOWN]:
            click.echo(f"{each.how:<8} {output.clean(each.url)}")
        if len(found) > _SHOWN:
            click.echo(f"and {len(found) - _SHOWN:,} more; all of them: --json")
        unknown = "nothing tells why; it may have been altered"
        click.echo("; ".join(verdict.reasons) or unknown, err=True)
    if found:
        ctx.exit(1)


site_command.add_command(serve_command)
site_command.add_command(publish_command)
