"""The functions of `mlgit` that log to the active run; each is a method of `ActiveRun` too."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping
from typing import Any

from mlgit.records import Pointer
from mlgit.tracking.session import current


def log_artifact(file: str | os.PathLike[str], path: str | None = None) -> None:
    """Logs a file or folder as the artifact `path`, by default under its own name.

    Texts and images up to 64 KiB lie on the branch, all else in the data store, a
    folder as one thing. It is a copy: what happens to the file later changes nothing.

    Raises:
        Invalid: there is no such file, or it cannot be read.
        WriteFailed: it cannot be stored; nothing of it is left.
    """
    current().log_artifact(file, path)


def log_artifacts(
    files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], path: str | None = None
) -> None:
    """Logs several files, each under its own name, in the folder `path` if there is one.

    A folder is one artifact, as in `log_artifact`, with all that is in it.
    """
    current().log_artifacts(files, path)


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


def log_chart(chart: Any, path: str = "chart") -> None:
    """Logs an Altair chart with its data, as the artifact `path`.vl.json.

    A dict with a specification of Vega-Lite does as well. The site draws it.

    Raises:
        Invalid: it is no such chart, or holds what JSON has no word for.
    """
    current().log_chart(chart, path)


def log_dict(value: Any, path: str) -> None:
    """Logs a JSON value as the artifact `path`."""
    current().log_dict(value, path)


def log_figure(figure: Any, path: str) -> None:
    """Logs a figure as the artifact `path`, in the format of its suffix.

    matplotlib's go to .png, .svg or .pdf; plotly's and Altair's to .html or .json.
    """
    current().log_figure(figure, path)


def log_image(image: Any, path: str) -> None:
    """Logs a PIL image, an array or encoded bytes as the artifact `path`."""
    current().log_image(image, path)


def log_input(
    source: Any,
    role: str | None = None,
    name: str | None = None,
    *,
    keep: bool = True,
    fetch: bool = False,
) -> Pointer:
    """Logs what the run reads, by its exact content, and returns the pointer to it.

    Args:
        source: a file, a folder, a pattern such as "data/*.csv", an http(s) or S3
            address, a table (pandas, polars, Arrow) or an array (numpy, scipy.sparse).
        role: what it is used for, as "train" or "validation".
        name: what the dataset is called; otherwise its path.
        keep: store the bytes, so that they can be fetched later; False records
            nothing but the hash, and all views say so.
        fetch: of an address, also store the bytes; otherwise its ETag, version and
            time are recorded.

    Raises:
        Invalid: there is no such file, it cannot be read, or this can be no input.
        WriteFailed: it cannot be stored; nothing of it is left.
    """
    return current().log_input(source, role, name, keep=keep, fetch=fetch)


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


def log_model(model: str | os.PathLike[str], path: str = "model") -> None:
    """Logs the file or folder that a model was saved to, as the artifact `path`.

    It lies in the data store; its DVC hash is the model's identity.

    Raises:
        Invalid: this is no path, there is no such file, or it cannot be read.
        WriteFailed: it cannot be stored; nothing of it is left.
    """
    current().log_model(model, path)


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
    """Logs a data frame, list of dicts or dict of columns as CSV (or .json)."""
    current().log_table(table, path)


def log_text(text: str, path: str) -> None:
    """Logs a text as the artifact `path`."""
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
