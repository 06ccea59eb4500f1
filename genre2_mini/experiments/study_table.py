"""A study's table, read as an array: full, finite, each run once.

``rows`` has one row a (task, method, seed, aggregator) and a column a metric. All
methods of a (task, seed) share the split, so their scores are paired there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

# The sign of what is better.
METRICS = {"r2": 1, "spearman": 1, "rmse": -1, "mae": -1, "crps": -1, "seconds": -1}
AXES = ["aggregator", "method", "task", "seed"]


@dataclass(frozen=True)
class Scores:
    """One metric of a full table: ``values`` (aggregators, methods, tasks, seeds)."""

    values: np.ndarray
    aggregators: list[str]
    methods: list[str]
    tasks: list[str]
    seeds: list[int]

    @property
    def runs(self) -> np.ndarray:
        """The same as (aggregators, methods, runs), task after task."""
        return self.values.reshape(*self.values.shape[:2], -1)


def read_scores(rows: pd.DataFrame, metric: str, min_seeds: int = 1) -> Scores:
    """The metric as an array; names keep the order in which they appear in ``rows``.

    Raises
    ------
    ValueError : an unknown metric, a column or a run that is missing, a run that is
        there twice, a score that is not finite, or fewer seeds than ``min_seeds``.
    """
    if metric not in METRICS or metric not in rows:
        known = [name for name in METRICS if name in rows]
        raise ValueError(f"metric={metric!r} must be one of {known}")
    if lacking := [axis for axis in AXES if axis not in rows]:
        raise ValueError(f"the table has no column {lacking}")
    found = pd.MultiIndex.from_frame(rows[AXES])
    _refuse("more than one run of", found[found.duplicated()].unique())
    names = {axis: rows[axis].unique().tolist() for axis in AXES}
    for axes in (AXES[1:], AXES):  # whole runs first, then single aggregators
        grid = pd.MultiIndex.from_product([names[axis] for axis in axes], names=axes)
        there = pd.MultiIndex.from_frame(rows[axes])
        _refuse("no run of", grid.difference(there, sort=False))
    values = pd.Series(rows[metric].to_numpy(float), found).reindex(grid)
    _refuse(f"{metric} is not finite in", grid[~np.isfinite(values)])
    if len(names["seed"]) < min_seeds:
        raise ValueError(
            f"only seed {names['seed']}: an interval over seeds needs {min_seeds}"
        )
    shape = [len(names[axis]) for axis in AXES]
    return Scores(values.to_numpy().reshape(shape), *names.values())


def _refuse(what: str, index: pd.MultiIndex) -> None:
    """ValueError with the first rows of an index, if there are any."""
    if len(index):
        shown = [", ".join(map("{}={}".format, index.names, key)) for key in index[:5]]
        more = f"; and {len(index) - 5} more" if len(index) > 5 else ""
        raise ValueError(f"{what} {'; '.join(shown)}{more}")
