"""What a scikit-learn user hands over, X and y of many kinds, as a checked task."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    validate_data,
)

from genre2_mini.tasks import Task
from genre2_mini.tasks.columns import target_values

MIN_ROWS = 5
FARTHEST = 1e18  # standard deviations: float32, the network's type, holds its square


def feature_table(estimator: BaseEstimator, X, reset: bool) -> pd.DataFrame:
    """X as a DataFrame; an array's columns are called x0, x1, …

    ``reset`` makes the estimator remember number and names of the features; without it
    X must have the same.

    Raises
    ------
    ValueError : no rows, duplicate or other names, what scikit-learn refuses.
    """
    if isinstance(X, pd.DataFrame):
        if not len(X):
            raise ValueError("X has 0 rows: at least one is needed")
        if duplicates := X.columns[X.columns.duplicated()].unique().tolist():
            raise ValueError(f"duplicate column names in X: {duplicates}")
        validate_data(estimator, X, reset=reset, skip_check_array=True)
        return X
    X = validate_data(estimator, X, reset=reset, ensure_all_finite="allow-nan")
    new = [f"x{i}" for i in range(X.shape[1])]
    names = new if reset else list(estimator.schema_.columns)
    return pd.DataFrame(X, columns=names, copy=False)


def target_table(
    estimator: BaseEstimator, y, num_rows: int
) -> pd.Series | pd.DataFrame:
    """y as a Series (N,) or, of D targets, a DataFrame (N, D).

    Raises
    ------
    ValueError : no y, another number of rows than X, fewer than 5 rows, targets that
        are missing, infinite or not numbers.
    """
    if y is None:
        name = type(estimator).__name__
        raise ValueError(f"{name} requires y to be passed, but the target y is None")
    if not isinstance(y, pd.Series | pd.DataFrame):
        y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y")
        y = pd.DataFrame(y) if y.ndim == 2 else pd.Series(y)
    check_consistent_length(range(num_rows), y)
    if num_rows < MIN_ROWS:
        raise ValueError(
            f"n_samples={num_rows}: at least {MIN_ROWS} rows are needed, some to train "
            "on and some to choose the weights"
        )
    target_values(y)  # counts offending rows over the whole table
    return y


def target_names(y: pd.Series | pd.DataFrame) -> list[str]:
    """The names of the targets as text; a Series without one is called y."""
    names = y.columns if y.ndim == 2 else ["y" if y.name is None else y.name]
    return [str(name) for name in names]


def training_task(
    frame: pd.DataFrame,
    target: pd.Series | pd.DataFrame,
    validation_fraction: float,
    seed: int,
) -> Task:
    """The table, shuffled and split into training and validation rows; no test rows.

    The task's name says which rows it holds: a run resumes on the very same ones only.

    Raises
    ------
    ValueError : ``validation_fraction`` outside (0, 1); what ``TableSchema`` refuses.
    """
    if not 0 < validation_fraction < 1:
        raise ValueError(
            f"validation_fraction={validation_fraction} must lie between 0 and 1"
        )
    rows = np.random.default_rng(seed).permutation(len(frame))
    held_out = min(max(1, round(validation_fraction * len(rows))), len(rows) - 2)
    valid, train = np.split(rows, [held_out])
    parts = {"train": train, "valid": valid, "test": rows[:0]}
    tables = {k: (frame.iloc[r], target.iloc[r]) for k, r in parts.items()}
    task = Task.from_parts("table", tables, card={})
    check_reach(task)
    content = hashlib.sha256()
    for split in (task.train, task.valid):
        content.update(split.x.numpy().tobytes())
        content.update(split.z.numpy().tobytes())
    return replace(task, name=f"table {content.hexdigest()[:16]}")


def check_reach(task: Task) -> None:
    """ValueError for validation rows too far from the training rows to be scored."""
    far = task.valid.x.abs().amax(dim=0) > FARTHEST
    names = [task.schema.feature_names[i] for i in far.nonzero()[:, 0]]
    names += ["the target"] if task.valid.z.abs().max() > FARTHEST else []
    if names:
        raise ValueError(
            f"{', '.join(names)}: a row lies more than {FARTHEST:.0e} standard "
            "deviations from the others; drop or repair it"
        )
