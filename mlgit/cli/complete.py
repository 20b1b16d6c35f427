"""What the Tab key offers where a run or an experiment is to be named."""

from __future__ import annotations

import contextlib

import click

from mlgit.errors import MlgitError
from mlgit.ledger import Ledger, open_repository
from mlgit.query import Field

_MOST = 100  # a longer list helps nobody


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Returns names of runs, newest first; ids once a beginning of one is typed."""
    with contextlib.suppress(MlgitError, OSError), Ledger() as ledger:
        ids, (titles,) = ledger.index().columns([Field("attribute", "name")])
        newest = sorted(zip(ids, titles, strict=True), reverse=True)
        names = dict.fromkeys([*(title for _, title in newest if title), "@latest", "@best:"])
        found = [name for name in names if name.startswith(incomplete)]
        return (found or [run_id for run_id in ids if run_id.startswith(incomplete)])[:_MOST]
    return []


def experiments(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Returns names of experiments, the latest used first."""
    from mlgit import saved

    with contextlib.suppress(MlgitError, OSError), Ledger() as ledger:
        known = saved.list_experiments(ledger, deleted=True)
        return [each.name for each in known if each.name.startswith(incomplete)][:_MOST]
    return []


def remotes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Returns the git remotes."""
    with contextlib.suppress(MlgitError, OSError):
        return [name for name in open_repository().remotes if name.startswith(incomplete)]
    return []
