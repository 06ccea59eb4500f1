"""Bootstrap intervals for few runs: which runs are drawn, and which percentiles count.

A plain percentile interval over few values is too short: means of resampled values
spread √((n − 1)/n) times too little, and with normal tails. Hesterberg (2015, arXiv
1411.5279) moves the tails from 2.5% to Φ(−√(n/(n − 1)) · t), with Student's t at 97.5%
for n − 1 degrees of freedom. For five normal values it then holds the truth in 92% of
studies, not in 84%. More is out of reach: no resampled mean leaves the range of the
values. For three values the interval is that range, and holds the truth in 75%.
"""

from __future__ import annotations

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
    counts = np.zeros(chosen.shape)
    np.add.at(counts, (np.arange(len(chosen))[:, None], chosen), 1)
    return counts.T / chosen.shape[1]


def interval(draws: np.ndarray, size: int, strata: int = 1) -> np.ndarray:
    """Expanded percentiles over the last axis: (2, …). Strata have ``size`` values."""
    student = stats.t.ppf(0.975, strata * (size - 1))
    tail = stats.norm.sf(np.sqrt(size / (size - 1)) * student)
    return np.quantile(draws, [tail, 1 - tail], axis=-1)
