"""Writes the diabetes data that ship with scikit-learn to data/diabetes.csv. No network.

python prepare.py [FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path

from sklearn.datasets import load_diabetes


def main() -> None:
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "data/diabetes.csv")
    target.parent.mkdir(parents=True, exist_ok=True)
    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame.to_csv(target, index=False, lineterminator="\n")
    print(f"{target}: {len(frame)} patients, {frame.shape[1] - 1} measurements")


if __name__ == "__main__":
    main()
