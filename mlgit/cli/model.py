"""`mlgit model`: the registry.

model_list.py reads what git tags alone tell, model_show.py what needs runs or signatures
too, model_change.py changes it.
"""

from __future__ import annotations

import click

from mlgit.cli.lazy import Lazy

_COMMANDS = {
    "alias": "model_change",
    "approve": "model_change",
    "archive": "model_change",
    "check": "model_list",
    "demote": "model_change",
    "describe": "model_change",
    "diff": "model_show",
    "events": "model_list",
    "history": "model_show",
    "ls": "model_list",
    "promote": "model_change",
    "pull": "model_show",
    "register": "model_change",
    "rename": "model_change",
    "restore": "model_change",
    "rm": "model_change",
    "search": "model_show",
    "show": "model_show",
    "tag": "model_change",
    "unalias": "model_change",
    "unapprove": "model_change",
    "untag": "model_change",
}


@click.group(
    "model",
    cls=Lazy,
    modules=_COMMANDS,
    epilog="""\b
Examples:
  mlgit model register churn @best:metrics.rmse
  mlgit model promote churn@v2 production -m "beats v1 by 4 %"
  mlgit model history churn

\b
Versions and stages are annotated git tags: 'git tag -n -l "churn@*" "churn#*"' lists them,
'gto show' reads them. A version is named by churn@v2, churn@production (a stage),
churn@champion (an alias), churn@latest, or models:/churn/2 as in MLflow.""",
)
def model_command() -> None:
    """Register models, move them between stages, look them up."""
