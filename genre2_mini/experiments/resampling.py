"""Bootstrap intervals for few runs: which runs are drawn, and which percentiles count.

A plain percentile interval over few values is too short: means of resampled values
spread √((n − 1)/n) times too little, and with normal tails. Hesterberg (2015, arXiv
1411.5279) moves the tails from 2.5% to Φ(−√(n/(n − 1)) · t), with Student's t at 97.5%
for n − 1 degrees of freedom. For five normal values it then holds the truth in 92% of
studies, not in 84%. More is out of reach: no resampled mean leaves the range of the
values. For three values the interval is that range, and holds the truth in 75%.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

RESAMPLES = 10_000


def choose_runs(
    num_tasks: int, num_seeds: int, resample_tasks: bool = False, seed: int = 0
) -> np.ndarray:
    """Run numbers (RESAMPLES, tasks · seeds): seeds drawn anew within each task.

    With ``resample_tasks`` the tasks themselves are drawn first.
    """
    rng = np.random.default_rng(seed)
    tasks = np.arange(num_tasks)[:, None]
    if resample_tasks:
        tasks = rng.integers(num_tasks, size=(RESAMPLES, num_tasks, 1))
    seeds = rng.integers(num_seeds, size=(RESAMPLES, num_tasks, num_seeds))
    return (tasks * num_seeds + seeds).reshape(RESAMPLES, -1)


def weights(chosen: np.ndarray) -> np.ndarray:
    """(runs, RESAMPLES): ``scores @ weights`` are the means of the chosen runs."""
    draws, runs = chosen.shape
    places = np.arange(draws)[:, None] * runs + chosen  # in a table of counts
    counts = np.bincount(places.ravel(), minlength=draws * runs)
    return counts.reshape(draws, runs).T / runs


def interval(draws: np.ndarray, size: int, strata: int = 1) -> np.ndarray:
    """Expanded percentiles over the last axis: (2, …). Strata have ``size`` values."""
    student = stats.t.ppf(0.975, strata * (size - 1))
    tail = stats.norm.sf(np.sqrt(size / (size - 1)) * student)
    return np.quantile(draws, [tail, 1 - tail], axis=-1)


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95% interval of the mean of N independent values, such as a difference a seed.

    The ends have the unit of the values and never leave their range: of five values
    the lower end is nearly the smallest. ``seed`` fixes the draws, so the same values
    have the same interval.

    Parameters
    ----------
    values : (N,), an array or a pandas Series of them, in any order.

    Raises
    ------
    ValueError : fewer than two values, NaN, infinity, or more than one axis.
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"an interval needs two or more finite values, not {values}")
    n = len(values)
    low, high = interval(values @ weights(choose_runs(1, n, seed=seed)), n)
    return float(low), float(high)
