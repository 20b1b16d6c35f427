"""Experiment tracking and a model registry that live inside the git repository.

    import mlgit

    with mlgit.start_run(experiment="churn", name="baseline"):
        mlgit.log_params({"lr": 0.1, "depth": 6})
        for step in range(100):
            mlgit.log_metric("loss", loss, step=step)

The functions that log write to the active run, the one started last in this
context; each is a method of `ActiveRun` too. What reads takes the git repository
that the working directory lies in. Importing this module loads nothing else: each
name is fetched from its room when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from mlgit.errors import (
        Invalid,
        MlgitError,
        MlgitWarning,
        NotARepository,
        NotFound,
        QueryError,
        RemoteFailed,
        Unreadable,
        WriteFailed,
        WrongState,
    )
    from mlgit.lineage.api import (
        Lineage,
        get_lineage,
    )
    from mlgit.reading import (
        Runs,
        SavedRun,
        experiments,
        get_run,
        runs,
    )
    from mlgit.tracking.active import (
        ActiveRun,
    )
    from mlgit.tracking.api import (
        log_artifact,
        log_artifacts,
        log_batch,
        log_chart,
        log_dict,
        log_figure,
        log_image,
        log_input,
        log_metric,
        log_metrics,
        log_model,
        log_param,
        log_params,
        log_table,
        log_text,
        set_note,
        set_tag,
        set_tags,
    )
    from mlgit.tracking.session import (
        active_run,
        end_run,
        start_run,
    )

_ROOMS = {
    "mlgit.errors": (
        "Invalid MlgitError MlgitWarning NotARepository NotFound QueryError RemoteFailed "
        "Unreadable WriteFailed WrongState"
    ),
    "mlgit.lineage.api": ("Lineage get_lineage"),
    "mlgit.reading": ("Runs SavedRun experiments get_run runs"),
    "mlgit.tracking.active": ("ActiveRun"),
    "mlgit.tracking.api": (
        "log_artifact log_artifacts log_batch log_chart log_dict log_figure log_image log_input "
        "log_metric log_metrics log_model log_param log_params log_table log_text "
        "set_note set_tag set_tags"
    ),
    "mlgit.tracking.session": ("active_run end_run start_run"),
}
_ROOM_OF = {name: room for room, listed in _ROOMS.items() for name in listed.split()}

__all__ = [
    "ActiveRun",
    "Invalid",
    "Lineage",
    "MlgitError",
    "MlgitWarning",
    "NotARepository",
    "NotFound",
    "QueryError",
    "RemoteFailed",
    "Runs",
    "SavedRun",
    "Unreadable",
    "WriteFailed",
    "WrongState",
    "active_run",
    "end_run",
    "experiments",
    "get_lineage",
    "get_run",
    "log_artifact",
    "log_artifacts",
    "log_batch",
    "log_chart",
    "log_dict",
    "log_figure",
    "log_image",
    "log_input",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_param",
    "log_params",
    "log_table",
    "log_text",
    "runs",
    "set_note",
    "set_tag",
    "set_tags",
    "start_run",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'mlgit' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_ROOM_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF})
