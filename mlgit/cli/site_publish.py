"""`mlgit site publish`: the site on a branch that a host of pages shows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlgit.cli import complete, output
from mlgit.cli.place import ledger as open_ledger
from mlgit.cli.place import repository
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
from mlgit.errors import Invalid, WriteFailed
from mlgit.site.choice import Choice
from mlgit.site.workflow import PLACES, workflow

if TYPE_CHECKING:
    from mlgit.site.publish import Plan

_EXAMPLES = 2  # of what is taken out, of each kind
_PUBLIC = (
    "Pages are public even if their repository is private, unless your host keeps them back "
    "(GitHub: only with Enterprise)."
)


@click.command(
    "publish",
    epilog="""\b
Examples:
  mlgit site publish --dry-run        # what would leave, and what is taken out
  mlgit site publish
  mlgit site publish --remote public --experiment nyc-taxi --yes
  mlgit site publish --workflow github --out .github/workflows/mlgit-site.yml

\b
The site becomes the one commit of the branch, without history and by nobody; what was there
is replaced, if mlgit made it, and otherwise refused. Your branches, index and work tree are
not touched; a hook pre-push has its say. What is taken out is said in [site] of mlgit.toml.""",
)
@click.option(
    "--remote",
    metavar="NAME",
    shell_complete=complete.remotes,
    help="By default the one that shares the runs.",
)
@click.option("--branch", default="gh-pages", show_default=True, help="The branch of pages.")
@out_option(None, "Build there; by default below the git directory. With --workflow: the file.")
@choosing
@click.option("--no-redact", is_flag=True, help="Take nothing out.")
@click.option("--dry-run", is_flag=True, help="Only build, and say what would leave.")
@click.option(
    "--workflow", "host", type=click.Choice([*PLACES]), help="Print a file with which it builds."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def publish_command(
    ctx: click.Context,
    remote: str | None,
    branch: str,
    out: Path | None,
    title: str | None,
    since: str | None,
    experiments: tuple[str, ...],
    no_artifacts: bool,
    no_redact: bool,
    dry_run: bool,
    host: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Send the site to a branch that GitHub or GitLab Pages shows.

    Asks first, after it has said what will leave; without a terminal it wants --yes.
    """
    chosen = choice(title, since, experiments, no_artifacts)
    if host:
        _write(ctx, workflow(host, repository().branch, chosen, not no_redact), out, yes)
        return
    _publish(ctx, chosen, not no_redact, remote, branch, out, dry_run, yes, as_json)


def _publish(
    ctx: click.Context,
    chosen: Choice,
    redact: bool,
    remote: str | None,
    branch: str,
    out: Path | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    with needed():
        from mlgit.site.publish import prepare, send

    with open_ledger() as ledger:
        folder = out or ledger.repository.state / "site"
        plan = prepare(ledger, folder, chosen, rules(ledger), redact, remote, branch, progress())
        commit = plan.there.commit
        if not as_json or not yes:
            _tell(plan)
        if not plan.is_there:
            click.echo(_PUBLIC, err=True)
        is_sent = not plan.is_there and not dry_run
        if is_sent:
            _ask(ctx, yes, "Publish?", "Nothing was sent.")
            commit = send(ledger, plan, sys.stderr.isatty())
    if as_json:
        output.envelope("site.publish", _document(plan, commit, is_sent))
    elif plan.is_there:
        click.echo(f"{branch} of {plan.there.remote} has it already: {str(commit)[:10]}")
    elif is_sent:
        click.echo(f"{branch} of {plan.there.remote} is now at {str(commit)[:10]}")


def _tell(plan: Plan) -> None:
    """Says what leaves before it does."""
    runs = output.counted(plan.runs, "run")
    experiments = output.counted(plan.experiments, "experiment")
    where = f"{plan.there.ref.removeprefix('refs/heads/')} of {plan.there.remote}"
    click.echo(f"To {where}: {runs} in {experiments}, as “{output.clean(plan.title)}”", err=True)
    if plan.there.host:
        click.echo(f"It is shown at {plan.there.host}, by the file CNAME", err=True)
    tell_budget(plan.size)
    if plan.people:
        names = output.listed(map(output.clean, plan.people), 5)
        click.echo(f"It names {names}", err=True)
    found, pictures = plan.survey
    if found:
        said = "Taken out:" if plan.redacted else "Leaves as it is, because of --no-redact:"
        click.echo(said, err=True)
    for kind, texts in sorted(found.items()):
        click.echo(f"  {kind:<8} {_shown(kind, texts)}", err=True)
    if pictures:
        leave = "picture leaves" if pictures.total() == 1 else "pictures leave"
        click.echo(
            f"{pictures.total():,} {leave}, as {_examples(pictures)}; no rule sees what is drawn "
            "there: --no-artifacts leaves pictures out",
            err=True,
        )


def _shown(kind: str, texts: dict[str, int]) -> str:
    if kind in ("patches", "console"):
        return f"of {output.counted(len(texts), 'run')}"
    if kind == "code":
        return f"{output.counted(len(texts), 'difference')} between commits"
    told = _examples(texts)
    return f"{len(texts):,} different, as {told}" if len(texts) > _EXAMPLES else told


def _examples(texts: dict[str, int]) -> str:
    """Returns those that were met most."""
    most = sorted(texts, key=lambda text: (-texts[text], text))[:_EXAMPLES]
    return ", ".join(output.clean(text)[:60] for text in most)


def _document(plan: Plan, commit: str | None, is_sent: bool) -> dict[str, Any]:
    found, pictures = plan.survey
    return {
        "remote": plan.there.remote,
        "branch": plan.there.ref.removeprefix("refs/heads/"),
        "commit": commit,
        "sent": is_sent,
        "unchanged": plan.is_there,
        "domain": plan.there.host,
        "title": plan.title,
        "runs": plan.runs,
        "experiments": plan.experiments,
        "people": plan.people,
        "redacted": plan.redacted,
        "found": {kind: dict(sorted(texts.items())) for kind, texts in sorted(found.items())},
        "pictures": dict(sorted(pictures.items())),
        "notes": [_PUBLIC],
        "files": plan.size.files,
        "bytes": plan.size.bytes,
        **budget_document(plan.size),
    }


def _ask(ctx: click.Context, yes: bool, question: str, otherwise: str) -> None:
    """Goes on only if somebody says so, there or by --yes."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Invalid("this has to be agreed to, and nobody is here to ask", "--yes agrees")
    if not click.confirm(question, err=True):
        click.echo(otherwise, err=True)
        ctx.exit(1)


def _write(ctx: click.Context, content: str, out: Path | None, yes: bool) -> None:
    """Prints a file, or writes it where it was asked for."""
    if out is None:
        click.echo(content, nl=False)
        return
    is_there = out.exists()
    _ask(ctx, yes, f"{'Replace' if is_there else 'Write'} {out}?", "Nothing was written.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(content, "utf-8")
    except OSError as error:
        raise WriteFailed(f"cannot write {out}: {error.strerror}") from error
    click.echo(f"{out}")
