"""Figures of a study: differences on every task, average ranks, profiles."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from genre2_mini.experiments.statistics import AverageRanks
from genre2_mini.experiments.study_table import METRICS
from genre2_mini.methods import METHODS
from genre2_mini.plotting import PALETTE

LABELS = {name: method.label for name, method in METHODS.items()}
LABELS["forest"] = "Random forest"
NEUTRAL = "#7A8794"
INK = "#52606D"
METRIC_LABELS = {
    "r2": "R²",
    "spearman": "Spearman's ρ",
    "rmse": "RMSE",
    "mae": "MAE",
    "crps": "CRPS",
    "seconds": "training time",
}
UNITS = {"seconds": "(s)"} | dict.fromkeys(("rmse", "mae", "crps"), "(std. dev.)")
AGGREGATOR_LABELS = {
    "k1": "one sample",
    "mean128": "mean of 128",
    "median128": "median of 128",
    "exact_mean": "exact mean",
    "exact_median": "exact median",
}


def label_of(method: str) -> str:
    """A method's name in figures: ``ce_greedy`` is "CE greedy"."""
    if method in LABELS:
        return LABELS[method]
    first, *rest = method.split("_")
    return " ".join([LABELS.get(first, first.capitalize()), *rest])


def color_of(method: str) -> str:
    """A method's colour in the book, or grey."""
    return PALETTE.get(label_of(method), NEUTRAL)


def _pick(table: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """The rows with these values. ValueError names the ones that there are."""
    for column, value in wanted.items():
        if value not in (known := table[column].unique().tolist()):
            raise ValueError(f"{column}={value!r} must be one of {known}")
        table = table[table[column] == value]
    return table


def draw_differences(
    differences: pd.DataFrame,
    overall: pd.DataFrame,
    methods: Sequence[str],
    aggregator: str = "mean128",
    ax: Axes | None = None,
) -> Axes:
    """Forest plot: a point with its interval a task, and a diamond over all tasks.

    Parameters
    ----------
    differences, overall : of ``paired_differences`` and ``overall_differences``.
    methods : up to three stay legible on one Axes; at 0.35 inch a task.

    Raises
    ------
    ValueError : a method or an aggregator that the tables lack.
    """
    ax = ax if ax is not None else plt.gca()
    tasks = differences["task"].unique().tolist()
    rows = len(tasks) - np.arange(len(tasks))
    for i, method in enumerate(methods):
        color, shift = color_of(method), 0.26 * ((len(methods) - 1) / 2 - i)
        found = _pick(differences, aggregator=aggregator, method=method)
        found = found.set_index("task").loc[tasks]
        ax.hlines(rows + shift, found["low"], found["high"], color=color, lw=1.8)
        ax.plot(found["mean"], rows + shift, "o", ms=5, color=color)
        total = _pick(overall, aggregator=aggregator, method=method).iloc[0]
        _diamond(ax, total, shift, 0.13 if len(methods) > 1 else 0.3, color)
        ax.plot([], [], "o-", color=color, label=label_of(method))
    ax.axvline(0, color="black", lw=0.8, zorder=0)
    ax.axhline(0.5, color=INK, lw=0.6, ls=":", zorder=0)
    ax.set_yticks([*rows, 0], [*tasks, "all tasks"])
    ax.set(ylim=(-0.6, len(tasks) + 0.6), title=_aggregator_label(aggregator))
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(_difference_label(overall, methods))
    if len(methods) > 1:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.08), ncols=3)
    return ax


def _difference_label(overall: pd.DataFrame, methods: Sequence[str]) -> str:
    """Whose score minus whose, the unit, and which side is better."""
    metric, baseline = overall["metric"].iloc[0], label_of(overall["baseline"].iloc[0])
    score, better = METRIC_LABELS[metric], "better →"
    if METRICS[metric] < 0:
        better = "← better"
    whose = f" of {label_of(methods[0])}" if len(methods) == 1 else ""
    below = f"{UNITS.get(metric, '')} {better}".strip()
    return f"{score}{whose} − {score} of {baseline}\n{below}"


def _diamond(ax: Axes, row: pd.Series, y: float, half: float, color: str) -> None:
    """From ``low`` to ``high``, widest at ``mean``; a point without an interval."""
    if np.isnan(row["low"]):
        ax.plot(row["mean"], y, "D", color=color)
        return
    x = [row["low"], row["mean"], row["high"], row["mean"]]
    ax.fill(x, [y, y + half, y, y - half], color=color, lw=0)


def _aggregator_label(aggregator: str) -> str:
    return AGGREGATOR_LABELS.get(aggregator, aggregator.replace("_", " "))


def draw_critical_difference(ranks: AverageRanks, ax: Axes | None = None) -> Axes:
    """Average ranks, a row a method; a bar spans each clique that is not separated.

    The diagram of Demšar (2006, figure 1), turned upright: sorted methods that are not
    separated are neighbours, and long names stay legible. At 0.25 inch a method.
    """
    ax = ax if ax is not None else plt.gca()
    names, values = ranks.ranks.index.tolist(), ranks.ranks.to_numpy()
    count, rows = len(names), np.arange(1, len(names) + 1)
    colors = [color_of(name) for name in names]
    ax.hlines(rows, 1, values, color="#D5DCE3", lw=1, zorder=0)
    ax.scatter(values, rows, s=42, color=colors, zorder=3)
    step = 0.03 * count
    for i, clique in enumerate(ranks.cliques):
        first, last = names.index(clique[0]) + 1, names.index(clique[-1]) + 1
        x = count + (i + 1.5) * step
        ax.plot([x, x], [first, last], color=INK, lw=3.5, solid_capstyle="round")
    cd, y = ranks.critical_difference, -0.1
    ax.errorbar(1 + cd / 2, y, xerr=cd / 2, color="black", capsize=4, lw=1.4)
    text = f"critical difference {cd:.1f}"
    ax.annotate(text, (1 + cd, y), (6, 0), textcoords="offset points", va="center")
    right = count + (len(ranks.cliques) + 1.5) * step
    ax.set(xlim=(1 - step, right), ylim=(count + 0.6, -0.8))
    ax.set_yticks(rows, [label_of(name) for name in names])
    ax.set_xticks(np.arange(1, count + 1, -(-count // 6)))
    ax.tick_params(axis="y", length=0)
    ax.set_title(f"{_aggregator_label(ranks.aggregator)}, {ranks.num_tasks} tasks")
    ax.set_xlabel(f"average rank by {METRIC_LABELS[ranks.metric]}\n← better")
    return ax


def draw_profiles(
    profiles: pd.DataFrame,
    methods: Sequence[str],
    aggregator: str = "mean128",
    ax: Axes | None = None,
) -> Axes:
    """Share of runs beyond each threshold, with its pointwise band.

    Parameters
    ----------
    profiles : of ``performance_profile``.
    methods : those to draw; bands of more than four hide each other.

    Raises
    ------
    ValueError : a method or an aggregator that the table lacks.
    """
    ax = ax if ax is not None else plt.gca()
    dashes = cycle(["--", ":", "-."])  # tells those in grey apart
    for method in methods:
        found = _pick(profiles, aggregator=aggregator, method=method)
        color, label = color_of(method), label_of(method)
        style = "-" if label in PALETTE else next(dashes)
        tau = found["threshold"]
        ax.fill_between(tau, found["low"], found["high"], color=color, alpha=0.18, lw=0)
        ax.plot(tau, found["share"], style, color=color, lw=1.8, label=label)
    metric = profiles["metric"].iloc[0]
    score, unit = METRIC_LABELS[metric], UNITS.get(metric, "")
    sign = ">" if METRICS[metric] > 0 else "<"
    ax.set(ylim=(-0.02, 1.02), title=_aggregator_label(aggregator))
    ax.set(
        xlabel=f"threshold τ {unit}".strip(),
        ylabel=f"share of runs with {score} {sign} τ",
    )
    ax.legend()
    return ax
