"""Which way is better for a metric, as far as its name tells.

The ledger does not say; a person reads it off the name, and so does this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_LOWER = (
    "loss", "error", "err", "rmse", "mse", "mae", "mape", "smape", "rmsle", "perplexity", "ppl",
    "wer", "cer", "fid", "nll", "bce", "crossentropy", "entropy", "deviance", "brier", "ece",
    "latency", "distance", "divergence", "kl", "misclassification", "logloss", "fpr", "fnr", "eer",
)  # fmt: skip
_HIGHER = (
    "accuracy", "acc", "auc", "auroc", "auprc", "roc", "f1", "fbeta", "precision", "recall", "r2",
    "score", "map", "ap", "ndcg", "mrr", "bleu", "rouge", "meteor", "iou", "miou", "dice", "psnr",
    "ssim", "reward", "return", "kappa", "mcc", "sensitivity", "specificity", "hit", "top1", "top5",
    "tpr", "em", "exact", "likelihood", "elo", "win", "jaccard", "spearman", "pearson",
)  # fmt: skip
_JUDGED = ("test", "val", "valid", "validation", "eval", "dev")


def goal(metric: str) -> str | None:
    """Returns "min" or "max", or None if the name does not tell.

    >>> goal("val/loss"), goal("test_accuracy"), goal("lr"), goal("log_loss"), goal("F1Score")
    ('min', 'max', None, 'min', 'max')
    """
    words = _words(metric)
    # "accuracy error" is an error, "loss score" is a loss.
    if any(word in _LOWER or word.endswith(("loss", "error")) for word in words):
        return "min"
    return "max" if any(word in _HIGHER for word in words) else None


def primary(metrics: Iterable[tuple[str, int]]) -> str | None:
    """Returns the metric that runs are ranked by: with a goal, judged on other data, common.

    `metrics` are keys with the number of runs that have them, in any order. Of those that
    equally many runs have it is the first by name.

    >>> primary([("train/loss", 9), ("val/loss", 9), ("lr", 9)])
    'val/loss'
    >>> primary([("rmse", 8), ("mae", 5)]), primary([("rmse", 8), ("mae", 8)])
    ('rmse', 'mae')
    """
    candidates = [(key, count) for key, count in metrics if goal(key)]
    if not candidates:
        return None
    most = max(count for _, count in candidates)
    common = [(-_is_judged(key), -count, key) for key, count in candidates if count * 2 >= most]
    return min(common)[-1]


def _is_judged(metric: str) -> int:
    words = _words(metric)
    if "train" in words or "training" in words:
        return 0
    return 2 if any(word in _JUDGED for word in words) else 1


def _words(metric: str) -> list[str]:
    parts = re.sub(r"([a-z])([A-Z])", r"\1 \2", metric)
    return re.findall(r"[a-z]+\d*|\d+", parts.lower())
