"""`mlgit init`: makes the branch, or follows the remote's."""

from __future__ import annotations

import click

from mlgit.cli import output
from mlgit.ledger import open_repository


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
    from mlgit.ledger import sync

    repository = open_repository()
    begun = sync.init(repository)
    if as_json:
        output.envelope("init", {"branch": repository.branch, **begun._asdict()})
        return
    if begun.unreachable:
        output.warn(f"{begun.unreachable}; 'mlgit pull' joins the two ledgers later")
    done = {
        "present": f"The branch {repository.branch} is there already; nothing to do.",
        "followed": f"The branch {repository.branch} now follows the one of {repository.remote}.",
        "made": f"Made the branch {repository.branch}. No file of yours was touched.",
    }
    click.echo(done[begun.how])
