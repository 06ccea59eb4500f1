"""Methods and rivals on equal terms: ``genre2-mini reproduce comparison``.

Within a task and a seed all share the split, and the networks also the encoder's size,
the batches and the number of steps. Whatever fine-tunes a policy starts from one
cross-entropy policy of ``ce_steps``; cross-entropy itself and the heads train
``ce_steps`` + ``rl_steps``. The RMSE of the mean on the validation rows chooses all
weights and the rivals' parameters; test rows are scored once.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from genre2_mini.evaluation import evaluate
from genre2_mini.experiments.processes import in_processes
from genre2_mini.experiments.resampling import bootstrap_interval
from genre2_mini.experiments.rivals import RIVALS, rival_scores, tuned_rival
from genre2_mini.methods import METHODS, build_model, find_method
from genre2_mini.stages import train
from genre2_mini.tasks import Task, describe_task, load_task

TASKS = ("concrete", "abalone", "house_sales")
NAMES = ("ce", "ntl_mse", "ntl_was", "dist2", "remax", "genre2", "expert")
NAMES += ("pointwise", "histogram")
LABELS = [*(METHODS[name].label for name in NAMES), *RIVALS]
SHOWN = {
    "r2_k1": "R² k=1",
    "r2_mean": "mean of 128",
    "r2_median": "median",
    "r2_exact": "exact mean",
    "crps": "CRPS",
    "seconds": "seconds",
}
SCORES = ["r2_k1", "r2_mean", "r2_median", "r2_exact", "rmse_mean", "mae_median"]
SCORES += ["spearman_mean", "crps"]
Result = tuple[str, float, dict[str, float]]


def run(
    name: str,
    seed: int = 0,
    max_rows: int | None = 4000,
    ce_steps: int = 500,
    rl_steps: int = 200,
) -> pd.DataFrame:
    """Train and test everything on one task; ``seed`` fixes all that is random.

    Returns
    -------
    One row a method: ``task``, ``seed``, ``method``, the test scores in z units (of 128
    samples, ``r2_exact`` of the exact mean) and ``seconds`` of training. These include
    the cross-entropy that a method starts from, and a rival's whole grid.
    """
    task = load_task(name, max_rows=max_rows, seed=seed)
    networks = train_networks(task, seed, ce_steps, rl_steps)
    results = [*networks, *train_rivals(task, seed)]
    rows = pd.DataFrame(
        {"task": name, "seed": seed, "method": label} | scores | {"seconds": seconds}
        for label, seconds, scores in results
    )
    return rows[["task", "seed", "method", *SCORES, "seconds"]]


def train_networks(
    task: Task, seed: int, ce_steps: int, rl_steps: int
) -> Iterator[Result]:
    """Every method of ``NAMES``: label, seconds, test scores."""
    common = {"seed": seed, "progress": False}
    ce = METHODS["ce"]
    policy = build_model(ce, task, seed=seed)
    history = train(policy, task, ce, ce_steps=ce_steps, rl_steps=0, **common)
    shared = history["seconds"].iloc[-1]
    for method in map(find_method, NAMES):
        if method.fine_tunes:
            model, first, seconds = copy.deepcopy(policy), 0, shared
        else:
            model, first, seconds = build_model(method, task, seed=seed), ce_steps, 0.0
        steps = {"ce_steps": first, "rl_steps": rl_steps}
        seconds += train(model, task, method, **steps, **common)["seconds"].iloc[-1]
        exact = evaluate(model, task.test, num_samples=None)["r2_mean"]
        yield method.label, seconds, evaluate(model, task.test) | {"r2_exact": exact}


def train_rivals(task: Task, seed: int) -> Iterator[Result]:
    """Both ensembles of trees: name, seconds of the whole grid, test scores."""
    for name in RIVALS:
        start = time.perf_counter()
        model, _ = tuned_rival(name, task, seed)
        seconds = time.perf_counter() - start
        scores = rival_scores(model, task.test)
        yield name, seconds, scores | {"r2_exact": scores["r2_mean"]}


def compare(
    tasks: Sequence[str] = TASKS, seeds: int = 3, jobs: int = 2, **settings
) -> pd.DataFrame:
    """``run`` for every task and seed 0, 1, …, in ``jobs`` processes of one thread.

    Parameters
    ----------
    settings : ``max_rows``, ``ce_steps`` and ``rl_steps`` of ``run``.

    Raises
    ------
    ValueError : a task that is unknown, before anything is trained.
    RuntimeError : a run failed; names it, and ends the others.
    """
    for name in tasks:
        describe_task(name)
    grid = list(itertools.product(tasks, range(seeds)))
    return in_processes(run, grid, jobs, **settings)


def differences(
    rows: pd.DataFrame, metrics: Sequence[str] = ("r2_k1", "r2_mean")
) -> pd.DataFrame:
    """Method − CE within each (task, seed): mean and 95% interval over the pairs.

    All pairs are drawn as one sample, as if a task's seeds were independent. They are
    not, where tasks differ: ``statistics.overall_differences`` draws the tasks first.

    Returns
    -------
    One row a metric and method: ``metric``, ``method``, ``mean``, ``low``, ``high``. A
    single pair shows no spread: ``low`` and ``high`` are NaN.

    Raises
    ------
    ValueError : a score that is missing or not finite, where there are several pairs.
    """
    found = []
    for metric in metrics:
        table = rows.pivot(index=["task", "seed"], columns="method", values=metric)
        for method in rows["method"].unique():
            if method != "CE":
                gap = (table[method] - table["CE"]).to_numpy()
                low = high = np.nan
                if len(gap) > 1:
                    low, high = bootstrap_interval(gap)
                found.append((metric, method, gap.mean(), low, high))
    return pd.DataFrame(found, columns=["metric", "method", "mean", "low", "high"])


def report(rows: pd.DataFrame) -> str:
    """Means over seeds of every task and method; below, the differences to CE."""
    means = rows.groupby(["task", "method"], sort=False)[list(SHOWN)].mean()
    table = means.rename(columns=SHOWN).to_string(
        float_format="{:.3f}".format, formatters={"seconds": "{:.1f}".format}
    )
    gaps = differences(rows)
    mean, low, high = (gaps[name].map("{:+.3f}".format) for name in gaps.columns[2:])
    text = mean + " [" + low + ", " + high + "]"
    gaps["text"] = text.where(gaps["low"].notna(), mean)
    wide = gaps.pivot(index="method", columns="metric", values="text")
    wide = wide.loc[gaps["method"].unique()].rename(columns=SHOWN)
    seeds, pairs = rows["seed"].nunique(), len(rows) // rows["method"].nunique()
    title = f"Means over {seeds} seeds, test rows"
    what = f"mean of {pairs} runs, 95% bootstrap interval" if pairs > 1 else "one run"
    return f"{title}\n{table}\n\nDifference to CE: {what}\n{wide.to_string()}"
