"""Predicts how long a green taxi trip in New York takes, and keeps each attempt as a run.

    python train.py --train data/green_tripdata_2021-01.parquet \
                    --valid data/green_tripdata_2021-02.parquet --model gbr
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import Lasso, LinearRegression
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

import mlgit

PICKUP, DROPOFF = "lpep_pickup_datetime", "lpep_dropoff_datetime"
COLUMNS = [PICKUP, DROPOFF, "PULocationID", "DOLocationID", "trip_distance"]

MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "linear": (LinearRegression, {}),
    "lasso": (Lasso, {"alpha": 0.001}),
    "gbr": (
        GradientBoostingRegressor,
        {"n_estimators": 100, "learning_rate": 0.1, "max_depth": 3, "random_state": 42},
    ),
}


def read_trips(path: Path) -> pd.DataFrame:
    """Reads one month: trips of 1 to 60 minutes, with their duration and the pair of zones."""
    trips = pd.read_parquet(path, columns=COLUMNS)
    trips["duration"] = (trips[DROPOFF] - trips[PICKUP]).dt.total_seconds() / 60
    trips = trips[trips["duration"].between(1, 60)].copy()
    # A trip belongs to the pair: an airport run is not two zones that add up.
    trips["PU_DO"] = trips["PULocationID"].astype(str) + "_" + trips["DOLocationID"].astype(str)
    return trips


def features(trips: pd.DataFrame) -> list[dict[str, Any]]:
    return trips[["PU_DO", "trip_distance"]].to_dict(orient="records")


def narrow(matrix: Any) -> Any:
    """Returns a sparse matrix with 32-bit indices: several solvers refuse 64-bit ones."""
    matrix.indices = matrix.indices.astype(np.int32)
    matrix.indptr = matrix.indptr.astype(np.int32)
    return matrix


def scores(actual: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    return {
        "rmse": float(root_mean_squared_error(actual, predicted)),
        "mae": float(mean_absolute_error(actual, predicted)),
        "r2": float(r2_score(actual, predicted)),
    }


def residuals(actual: np.ndarray, predicted: np.ndarray) -> Figure:
    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.hist(np.clip(predicted - actual, -30, 30), bins=60)
    axes.set(xlabel="predicted minus actual, minutes", ylabel="trips")
    return figure


def by_duration(actual: np.ndarray, predicted: np.ndarray) -> dict[str, dict[str, float]]:
    """Returns the error for short and for long trips, which one number hides."""
    report = {}
    for low, high in ((1, 10), (10, 20), (20, 40), (40, 60)):
        # The last band has its end too: 60 minutes are kept.
        band = (actual >= low) & ((actual < high) | (high == 60))
        report[f"{low}-{high} min"] = {
            "trips": int(band.sum()),
            "rmse": float(root_mean_squared_error(actual[band], predicted[band])),
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True, help="a month of trips, Parquet")
    parser.add_argument("--valid", type=Path, required=True, help="a later month")
    parser.add_argument("--model", choices=MODELS, default="linear")
    parser.add_argument("--name", help="name of the run; by default the model's")
    args = parser.parse_args()

    kind, settings = MODELS[args.model]
    model = kind(**settings)
    with mlgit.start_run(experiment="taxi", name=args.name or args.model):
        mlgit.log_params({"model": args.model, **settings})
        mlgit.log_params({"train": args.train.name, "valid": args.valid.name})
        mlgit.set_tag("city", "nyc")

        mlgit.log_input(args.train, role="train")
        mlgit.log_input(args.valid, role="valid")
        train, valid = read_trips(args.train), read_trips(args.valid)
        vectorizer = DictVectorizer()
        x_train = narrow(vectorizer.fit_transform(features(train)))
        x_valid = narrow(vectorizer.transform(features(valid)))
        y_train, y_valid = train["duration"].to_numpy(), valid["duration"].to_numpy()
        mlgit.log_params({"train_rows": len(train), "valid_rows": len(valid)})

        model.fit(x_train, y_train)
        if args.model == "gbr":
            # How the error falls with each tree. The last point is the whole model's.
            stages = zip(model.staged_predict(x_train), model.staged_predict(x_valid), strict=True)
            for step, (on_train, on_valid) in enumerate(stages, start=1):
                mlgit.log_metrics(
                    {
                        "train_rmse": float(root_mean_squared_error(y_train, on_train)),
                        **scores(y_valid, on_valid),
                    },
                    step=step,
                )
            predicted = on_valid
        else:
            predicted = model.predict(x_valid)
            mlgit.log_metric(
                "train_rmse", float(root_mean_squared_error(y_train, model.predict(x_train)))
            )
            mlgit.log_metrics(scores(y_valid, predicted))

        result = scores(y_valid, predicted)
        mlgit.log_dict(by_duration(y_valid, predicted), "by-duration.json")
        mlgit.log_figure(residuals(y_valid, predicted), "residuals.png")
        with tempfile.TemporaryDirectory() as scratch:
            joblib.dump((vectorizer, model), Path(scratch, "model.joblib"))
            mlgit.log_model(Path(scratch, "model.joblib"))
        mlgit.set_note(
            f"**{args.model}** on {args.train.name}: off by {result['mae']:.1f} minutes on average "
            f"(RMSE {result['rmse']:.3f}) over {len(valid):,} trips of {args.valid.name}."
        )
        print(f"{args.model}: validation RMSE {result['rmse']:.6f} minutes")


if __name__ == "__main__":
    main()
