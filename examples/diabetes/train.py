"""Compares models on the diabetes data, one run per model.

The data are real: 442 patients, ten measurements each, and the progression of the
disease one year later (Efron et al., "Least Angle Regression", 2004). No network.

    python prepare.py                                    writes data/diabetes.csv
    python train.py                                      all models, a few seconds
    python train.py --model boosting --max-depth 2 --name shallow
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import mlgit

SEED = 42
TREES = 100

# Why each is here goes into the run's note.
MODELS = {
    "mean": "Predicts the average. A model that does not beat it has learnt nothing.",
    "ridge": "Linear, with a *penalty* on large weights.",
    "forest": f"Random forest, measured after each ten of its {TREES} trees.",
    "boosting": f"Gradient boosting, measured after each of its {TREES} trees.",
}


def build(name: str, args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """Returns an untrained model and the settings that matter."""
    match name:
        case "mean":
            return DummyRegressor(), {}
        case "ridge":
            settings: dict[str, Any] = {"alpha": args.alpha}
            return Ridge(**settings), settings
        case "forest":
            settings = {"n_estimators": TREES, "min_samples_leaf": 5, "random_state": SEED}
            return RandomForestRegressor(**settings), settings
        case _:
            settings = {
                "n_estimators": TREES,
                "learning_rate": args.learning_rate,
                "max_depth": args.max_depth,
                "subsample": 0.8,
                "random_state": SEED,
            }
            return GradientBoostingRegressor(**settings), settings


def train(model: Any, x: np.ndarray, y: np.ndarray, test: np.ndarray) -> Iterator[Any]:
    """Trains, and yields (step, predictions for `test`) as the model grows."""
    if isinstance(model, RandomForestRegressor):
        model.set_params(warm_start=True)  # more trees are added to those that are there
        for trees in range(10, TREES + 1, 10):
            model.set_params(n_estimators=trees)
            yield trees, model.fit(x, y).predict(test)
    elif isinstance(model, GradientBoostingRegressor):
        yield from enumerate(model.fit(x, y).staged_predict(test), start=1)
    else:
        yield None, model.fit(x, y).predict(test)


def scatter(actual: np.ndarray, predicted: np.ndarray) -> Figure:
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.subplots()
    axes.scatter(actual, predicted, s=12)
    axes.axline((100, 100), slope=1, linewidth=1, color="grey")
    axes.set(xlabel="measured progression", ylabel="predicted")
    return figure


def save(model: Any, features: list[str], folder: Path) -> Path:
    """Writes the model as a folder: its own bytes, and what it expects."""
    folder.mkdir()
    joblib.dump(model, folder / "model.joblib")
    (folder / "features.txt").write_text("\n".join(features) + "\n")
    return folder


def run(name: str, args: argparse.Namespace) -> None:
    model, settings = build(name, args)
    with (
        mlgit.start_run(experiment="diabetes", name=args.name or name),
        tempfile.TemporaryDirectory() as scratch,
    ):
        mlgit.log_input(args.data, role="patients")
        data = pd.read_csv(args.data)
        target = data.pop("target")
        x, x_test, y, y_test = train_test_split(
            StandardScaler().fit_transform(data), target.to_numpy(), random_state=SEED
        )
        mlgit.log_params({"model": name, "test_rows": len(y_test), **settings})
        mlgit.set_note(MODELS[name])
        for step, predicted in train(model, x, y, x_test):
            scores = {
                "rmse": float(root_mean_squared_error(y_test, predicted)),
                "mae": float(mean_absolute_error(y_test, predicted)),
                "r2": float(r2_score(y_test, predicted)),
            }
            mlgit.log_metrics(scores, step=step)
        if hasattr(model, "feature_importances_"):
            pairs = zip(data.columns, model.feature_importances_, strict=True)
            mlgit.log_dict({key: round(float(share), 4) for key, share in pairs}, "features.json")
        mlgit.log_figure(scatter(y_test, predicted), "predicted.png")
        mlgit.log_model(save(model, list(data.columns), Path(scratch, "model")))
        print(f"{args.name or name}: test RMSE {scores['rmse']:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/diabetes.csv"))
    parser.add_argument("--model", choices=MODELS, help="only this one; by default all")
    parser.add_argument("--name", help="name of the run; by default the model's")
    parser.add_argument("--alpha", type=float, default=0.1, help="penalty of ridge")
    parser.add_argument("--learning-rate", type=float, default=0.1, help="of boosting")
    parser.add_argument("--max-depth", type=int, default=3, help="of a tree in boosting")
    args = parser.parse_args()
    if args.name and not args.model:
        parser.error("--name needs --model: two runs would have the same name")
    for name in [args.model] if args.model else MODELS:
        run(name, args)


if __name__ == "__main__":
    main()
