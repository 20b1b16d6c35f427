"""`mlgit init`: makes the branch, or follows the remote's."""

from __future__ import annotations

import click

from mlgit.cli import output
from mlgit.cli.place import repository
from mlgit.ledger import sync


@click.command(
    "init",
    epilog="""\b
Examples:
  mlgit init
  git config mlgit.branch runs && mlgit init     # another name for the branch""",
)
@click.option("--json", "as_json", is_flag=True, help="Say what was done as JSON.")
def init_command(as_json: bool) -> None:
    """Make the branch that holds the runs.

    Adds one branch and changes nothing else: no file, no index, no configuration.
    Where the remote has the branch already, follows it. Running it again is harmless.
    """
    place = repository()
    begun = sync.init(place)
    if begun.unreachable:
        output.warn(f"{begun.unreachable}; 'mlgit pull' joins the two ledgers later")
    if as_json:
        output.envelope("init", {"branch": place.branch, **begun._asdict()})
        return
    done = {
        "present": f"The branch {place.branch} is there already; nothing to do.",
        "followed": f"The branch {place.branch} now follows the one of {place.remote}.",
        "made": f"Made the branch {place.branch}. No file of yours was touched.",
    }
    click.echo(done[begun.how])
