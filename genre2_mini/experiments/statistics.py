"""What a study's table says: paired differences, ranks, quartile means, profiles.

Every function takes ``rows``, one a (task, method, seed, aggregator), in which every
method ran on every task with every seed, and names what is missing (``read_scores``).

Intervals are at 95%, from resampled runs, which are the same for all methods; their
percentiles are those for few runs (``resampling``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from genre2_mini.experiments.resampling import choose_runs, interval, weights
from genre2_mini.experiments.study_table import METRICS, Scores, read_scores


def _table(axes: dict[str, Sequence], **columns: object) -> pd.DataFrame:
    """One row a combination of the axes' names; arrays are of the axes' shape."""
    index = pd.MultiIndex.from_product(axes.values(), names=list(axes))
    flat = {k: v.ravel() if np.ndim(v) else v for k, v in columns.items()}
    return pd.DataFrame(flat, index).reset_index()


def _gaps(scores: Scores, baseline: str) -> tuple[np.ndarray, list[str]]:
    """Method − baseline (aggregators, others, tasks, seeds), and the others' names."""
    if baseline not in scores.methods:
        raise ValueError(f"baseline={baseline!r} must be one of {scores.methods}")
    others = [name for name in scores.methods if name != baseline]
    kept = [scores.methods.index(name) for name in others]
    base = scores.values[:, [scores.methods.index(baseline)]]
    return scores.values[:, kept] - base, others


def paired_differences(
    rows: pd.DataFrame, baseline: str = "ce", metric: str = "r2"
) -> pd.DataFrame:
    """Method − baseline on each task: (1/n) Σ_seed (score − baseline's score).

    Returns
    -------
    One row an aggregator, task and method: ``mean``, ``low``, ``high`` in the metric's
    unit (the interval resamples seeds), ``n`` seeds, ``metric``, ``baseline``.

    Raises
    ------
    ValueError : an unknown baseline, a single seed, or what ``read_scores`` refuses.
    """
    scores = read_scores(rows, metric, min_seeds=2)
    gaps, others = _gaps(scores, baseline)
    gaps, n = gaps.swapaxes(1, 2), len(scores.seeds)
    low, high = interval(gaps @ weights(choose_runs(1, n)), n)
    axes = {"aggregator": scores.aggregators, "task": scores.tasks, "method": others}
    found = {"mean": gaps.mean(axis=-1), "low": low, "high": high, "n": n}
    return _table(axes, **found, metric=metric, baseline=baseline)


def overall_differences(
    rows: pd.DataFrame, baseline: str = "ce", metric: str = "r2"
) -> pd.DataFrame:
    """Method − baseline over tasks: the mean of each task's mean difference.

    The interval is of a two-level bootstrap: tasks are drawn, then seeds within them.
    It speaks of tasks like these, and errs on the wide side, for the spread of seeds
    enters at both levels. ``p`` is of Wilcoxon's signed-rank test on the tasks' means:
    two-sided, not corrected for the number of methods, and never below 0.05 for fewer
    than six tasks. One task shows no spread: ``low``, ``high`` and ``p`` are NaN.

    Returns
    -------
    One row an aggregator and method: ``mean``, ``low``, ``high``, ``p``, ``wins`` and
    ``losses`` (tasks with a better and a worse mean; lower is better for errors), ``n``
    tasks, ``metric``, ``baseline``.

    Raises
    ------
    ValueError : an unknown baseline, a single seed, or what ``read_scores`` refuses.
    """
    scores = read_scores(rows, metric, min_seeds=2)
    gaps, others = _gaps(scores, baseline)
    means, n = gaps.mean(axis=-1), len(scores.tasks)
    low = high = p = np.full(means.shape[:-1], np.nan)
    if n > 1:
        chosen = choose_runs(n, len(scores.seeds), resample_tasks=True)
        flat = gaps.reshape(*gaps.shape[:2], -1)
        low, high = interval(flat @ weights(chosen), n)
        with np.errstate(invalid="ignore"):  # a method that equals the baseline
            # One by one: a tie in one of them would make scipy permute all of them.
            p = np.apply_along_axis(lambda m: stats.wilcoxon(m).pvalue, -1, means)
        p = np.where(means.any(axis=-1), p, 1.0)
    found = {"mean": means.mean(axis=-1), "low": low, "high": high, "p": p}
    gains = METRICS[metric] * means
    found |= {"wins": (gains > 0).sum(axis=-1), "losses": (gains < 0).sum(axis=-1)}
    axes = {"aggregator": scores.aggregators, "method": others}
    return _table(axes, **found, n=n, metric=metric, baseline=baseline)


@dataclass(frozen=True)
class AverageRanks:
    """Methods ranked over tasks.

    Attributes
    ----------
    ranks : mean rank of each method, the best (lowest) first.
    friedman_p : of the hypothesis that all methods rank alike.
    critical_difference : Nemenyi's, at 5% over all pairs together.
    cliques : the largest groups of methods whose ranks are all closer than that.
    num_tasks, metric, aggregator : what was ranked.
    """

    ranks: pd.Series
    friedman_p: float
    critical_difference: float
    cliques: list[list[str]]
    num_tasks: int
    metric: str
    aggregator: str


def average_ranks(
    rows: pd.DataFrame, metric: str = "r2", aggregator: str = "mean128"
) -> AverageRanks:
    """Rank the methods' means over seeds on each task, 1 the best; average over tasks.

    The critical difference is q √(k (k + 1) / (6 N)) for k methods on N tasks; q is the
    5% point of the studentised range of k, with infinite degrees of freedom, over √2
    (Demšar 2006, section 3.2.2). A rank depends on which methods take part.

    Raises
    ------
    ValueError : an unknown aggregator, fewer than three methods (two: Wilcoxon), a
        single task, or what ``read_scores`` refuses.
    """
    scores = read_scores(rows, metric)
    if aggregator not in scores.aggregators:
        known = scores.aggregators
        raise ValueError(f"aggregator={aggregator!r} must be one of {known}")
    values = scores.values[scores.aggregators.index(aggregator)].mean(axis=-1)
    (k, n), names = values.shape, scores.methods
    if k < 3 or n < 2:
        raise ValueError(
            f"ranks need 3 methods and 2 tasks, not {names}, {scores.tasks}"
        )
    ranks = stats.rankdata(-METRICS[metric] * values, axis=0).mean(axis=1)
    with np.errstate(invalid="ignore"):  # all methods alike: p is NaN
        friedman_p = float(stats.friedmanchisquare(*values).pvalue)
    q = stats.studentized_range.isf(0.05, k, np.inf) / np.sqrt(2)
    cd = float(q * np.sqrt(k * (k + 1) / (6 * n)))
    ordered = pd.Series(ranks, names, name="rank").sort_values(kind="stable")
    return AverageRanks(
        ordered, friedman_p, cd, _cliques(ordered, cd), n, metric, aggregator
    )


def _cliques(ranks: pd.Series, cd: float) -> list[list[str]]:
    """The largest runs of sorted ranks whose ends are less than ``cd`` apart."""
    values, cliques, end = ranks.to_numpy(), [], 0
    for start in range(len(values)):
        stop = int(np.searchsorted(values, values[start] + cd))
        if stop > end and stop - start > 1:
            cliques.append(ranks.index[start:stop].tolist())
        end = max(end, stop)
    return cliques


def interquartile_mean(rows: pd.DataFrame, metric: str = "r2") -> pd.DataFrame:
    """Mean of the middle half of all runs' scores, tasks and seeds pooled.

    The worst and the best quarter do not count (Agarwal et al. 2021, arXiv 2108.13264,
    section 4.3). The interval resamples seeds within each task, so it speaks of these
    tasks. It ignores the pairing: compare methods by their differences.

    Returns
    -------
    One row an aggregator and method: ``mean``, ``low``, ``high``, ``metric``.

    Raises
    ------
    ValueError : a single seed, or what ``read_scores`` refuses.
    """
    scores = read_scores(rows, metric, min_seeds=2)
    tasks, seeds = len(scores.tasks), len(scores.seeds)
    chosen, runs = choose_runs(tasks, seeds), scores.runs
    draws = [
        [stats.trim_mean(run[chosen], 0.25, axis=1) for run in methods]
        for methods in runs
    ]
    low, high = interval(np.array(draws), seeds, tasks)
    mean = stats.trim_mean(runs, 0.25, axis=-1)
    axes = {"aggregator": scores.aggregators, "method": scores.methods}
    return _table(axes, mean=mean, low=low, high=high, metric=metric)


def performance_profile(
    rows: pd.DataFrame, thresholds: Sequence[float], metric: str = "r2"
) -> pd.DataFrame:
    """Share of the (task, seed) runs that score better than each threshold τ.

    (1/TN) Σ_task Σ_seed 1[score > τ], for errors 1[score < τ] (Agarwal et al. 2021,
    arXiv 2108.13264, section 4.2). The band is pointwise; seeds are resampled within
    each task.

    Returns
    -------
    One row an aggregator, method and threshold: ``share``, ``low``, ``high``,
    ``metric``.

    Raises
    ------
    ValueError : thresholds that are no list of finite numbers, a single seed, or
        what ``read_scores`` refuses.
    """
    tau = np.asarray(thresholds, float)
    if tau.ndim != 1 or not tau.size or not np.isfinite(tau).all():
        raise ValueError(f"thresholds={thresholds!r} must be finite numbers, in a list")
    scores, sign = read_scores(rows, metric, min_seeds=2), METRICS[metric]
    tasks, seeds = len(scores.tasks), len(scores.seeds)
    means_of, runs = weights(choose_runs(tasks, seeds)), scores.runs
    better = (sign * runs[..., None, :] > sign * tau[:, None]).astype(float)
    bands = [
        [interval(b @ means_of, seeds, tasks) for b in methods] for methods in better
    ]
    low, high = np.moveaxis(bands, 2, 0)
    axes = {"aggregator": scores.aggregators, "method": scores.methods}
    axes |= {"threshold": tau.tolist()}
    share = better.mean(axis=-1)
    return _table(axes, share=share, low=low, high=high, metric=metric)
