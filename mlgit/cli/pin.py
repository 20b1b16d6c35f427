"""`mlgit pin`: a run under a git tag, so that plain git and DVC fetch all of it."""

from __future__ import annotations

import click

from mlgit import saved, tags, versions
from mlgit.cli import complete, output
from mlgit.cli.place import find_run
from mlgit.cli.place import ledger as open_ledger
from mlgit.errors import MlgitError
from mlgit.ledger import tagging


@click.command(
    "pin",
    epilog="""\b
Examples:
  mlgit pin baseline                    # git tag run/baseline
  mlgit pin @best:metrics.rmse --name paper

\b
The tag names a small commit with DVC pointers to what the run used and made, on top of
its exact code. No mlgit is needed to fetch from it:
  git show run/baseline:
  dvc get REPO model --rev run/baseline
  dvc get REPO data/train.csv --rev run/baseline
'mlgit push' sends it. To let go of it: git tag -d run/baseline""",
)
@click.argument("run", shell_complete=complete.runs)
@click.option("--name", help="The tag's name after run/; otherwise the run's name or short id.")
@click.option("--json", "as_json", is_flag=True, help="Say what was made as JSON.")
def pin_command(run: str, name: str | None, as_json: bool) -> None:
    """Give a run a git tag that plain DVC can fetch from."""
    with open_ledger() as ledger:
        record = find_run(ledger, run)
        tag = tags.pin(name or record.name or record.id[:10])
        try:
            tagging.check_free(ledger.repository, tag)
        except MlgitError as error:
            raise type(error)(
                error.message, f"choose another: mlgit pin {run} --name NAME"
            ) from error
        title = f"{tag}: {record.id[:10]} {output.title(record)}"  # so that each pin has its own
        message = f"{title}\n\nMlgit-Run: {record.id}\n"
        commit = versions.build(ledger, record, versions.model_output(record), message)
        fact = saved.fact(ledger.repository, "pin", {"tag": tag, "commit": commit})
        saved.add_facts(
            ledger.repository, {record.id: [fact]}, f"pin run {record.id[:10]}: {tag}", commit
        )
        tagging.make(ledger.repository, tag, commit, message)
        paths = sorted(versions.contents(ledger, commit))
    if as_json:
        content = {"tag": tag, "commit": commit, "run": record.id, "files": paths}
        output.envelope("pin", content)
        return
    click.echo(f"Pinned {record.id[:10]} as {tag}. With plain DVC, from REPO:")
    for path in paths:
        if path.endswith(".dvc"):
            click.echo(f"  dvc get REPO {output.clean(path.removesuffix('.dvc'))} --rev {tag}")
