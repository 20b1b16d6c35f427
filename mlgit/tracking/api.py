"""The functions of `mlgit` that log to the active run; each is a method of `ActiveRun` too."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping
from typing import Any

from mlgit.tracking.session import current


def log_artifact(file: str | os.PathLike[str], path: str | None = None) -> None:
    """Logs a file as the artifact `path`, by default under its own name, up to 64 KiB.

    Raises:
        Invalid: there is no such file, it is a folder, or it is larger.
    """
    current().log_artifact(file, path)


def log_batch(
    metrics: Iterable[Any] = (),
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, object] | None = None,
) -> None:
    """Logs much at once, in one write each.

    `metrics` are (key, value), (key, value, step) or (key, value, step, time)
    tuples, or objects with those attributes and `timestamp` in milliseconds,
    as MLflow's `Metric`.
    """
    current().log_batch(metrics, params, tags)


def log_dict(value: Any, path: str) -> None:
    """Logs a JSON value as the artifact `path`, up to 64 KiB."""
    current().log_dict(value, path)


def log_figure(figure: Any, path: str) -> None:
    """Logs a figure as the artifact `path`, in the format of its suffix, up to 64 KiB.

    matplotlib's go to .png, .svg or .pdf; plotly's and Altair's to .html or .json.
    """
    current().log_figure(figure, path)


def log_image(image: Any, path: str) -> None:
    """Logs a PIL image, an array or encoded bytes as the artifact `path`, up to 64 KiB."""
    current().log_image(image, path)


def log_metric(
    key: str,
    value: Any,
    step: int | None = None,
    time: float | datetime.datetime | None = None,
) -> None:
    """Logs one measured value.

    `value` is a number, or what converts to one as numpy and torch scalars do;
    NaN and the infinities are kept. `step` is an integer; None counts on from
    the metric's last one, from 0. `time` is in seconds since 1970, None is now.

    Raises:
        Invalid: the value is not a number, or the step no integer.
    """
    current().log_metric(key, value, step, time)


def log_metrics(
    metrics: Mapping[str, Any],
    step: int | None = None,
    time: float | datetime.datetime | None = None,
) -> None:
    """Logs several metrics at one step and time, all or none. See `log_metric`."""
    current().log_metrics(metrics, step, time)


def log_param(key: str, value: Any) -> None:
    """Logs an input value, of any type JSON has. The same value may be logged again.

    Raises:
        Invalid: the param has another value already, or the value is not JSON.
    """
    current().log_param(key, value)


def log_params(params: Mapping[str, Any]) -> None:
    """Logs several params, all of them or, if one is refused, none. See `log_param`."""
    current().log_params(params)


def log_table(table: Any, path: str) -> None:
    """Logs a data frame, list of dicts or dict of columns as CSV (or .json), up to 64 KiB."""
    current().log_table(table, path)


def log_text(text: str, path: str) -> None:
    """Logs a text as the artifact `path`, up to 64 KiB."""
    current().log_text(text, path)


def set_note(text: str) -> None:
    """Sets the run's note, in Markdown; a later one replaces it."""
    current().set_note(text)


def set_tag(key: str, value: object = "") -> None:
    """Sets a label; a later value replaces an earlier one. Values are kept as text."""
    current().set_tag(key, value)


def set_tags(tags: Mapping[str, object]) -> None:
    """Sets several tags; see `set_tag`."""
    current().set_tags(tags)
