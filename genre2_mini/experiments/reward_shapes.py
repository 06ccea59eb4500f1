"""One checkpoint, four rewards, heavy tails: does each reward win its own score?

``python -m genre2_mini.experiments.reward_shapes`` records ReMax on wages (cps1988)
under four shapes of the reward. All runs of a seed start from the same cross-entropy
policy and see the same batches; nothing is chosen by a score, and no weights are
restored. Scores are those of all strings: nothing is drawn.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Annotated

import pandas as pd
import torch
import typer
from torch import Tensor

from genre2_mini.evaluation import predict_distribution
from genre2_mini.experiments.learning_curves import OPTIMISER, checkpoint
from genre2_mini.experiments.options import (
    CeSteps,
    Every,
    Jobs,
    MaxRows,
    Out,
    Seeds,
    TaskName,
)
from genre2_mini.experiments.processes import in_processes
from genre2_mini.experiments.results import record
from genre2_mini.metrics import distribution_scores
from genre2_mini.objectives import ReMax
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rewards import (
    ClippedReward,
    QuantileReward,
    absolute_error_reward,
    squared_error_reward,
)
from genre2_mini.runs import Run, average
from genre2_mini.tasks import Split, Task, load_task

Reward = Callable[[Tensor, Tensor], Tensor]
LIMIT = 1.0  # squared units of z
SCORES = [
    *("rmse_k1", "mae_k1", "clipped_k1", "quantile_k1", "bias", "below"),
    *("rmse_mean", "mae_mean", "mae_median", "spearman_mean", "spearman_median"),
]


def shapes(z_train: Tensor) -> dict[str, Reward]:
    """The rewards compared, by name; the quantile one is fitted on train targets."""
    return {
        "squared": squared_error_reward,
        "absolute": absolute_error_reward,
        "clipped": ClippedReward(LIMIT),
        "quantile": QuantileReward.fit(z_train),
    }


def scores(
    policy: DecodingPolicy, split: Split, rewards: dict[str, Reward]
) -> dict[str, float]:
    """Exact scores ``SCORES`` on the rows of a split, in z units unless said.

    ``rmse_k1``, ``mae_k1``, ``clipped_k1`` and ``quantile_k1`` (normal scores) are each
    what one of the four rewards asks for, expected of one string a row. ``bias`` is
    the mean of ẑ − z, and ``below`` the share of targets that lie below ẑ, ties half:
    0.5 where the answers are medians.
    """
    values, weights = predict_distribution(policy, split.x, num_samples=None)
    z = split.z[:, None]

    def expected(f: Tensor) -> float:
        return (weights * f).sum(dim=1).mean().item()

    found = distribution_scores(values, split.z, weights)
    found["clipped_k1"] = -expected(rewards["clipped"](values, split.z))
    squared_ranks = -expected(rewards["quantile"](values, split.z))
    found["quantile_k1"] = squared_ranks**0.5
    found["bias"] = expected(values - z)
    found["below"] = expected((z < values).double() + 0.5 * (z == values).double())
    return {name: found[name] for name in SCORES}


def curve(
    policy: DecodingPolicy,
    task: Task,
    rewards: dict[str, Reward],
    shape: str,
    steps: int,
    every: int,
    seed: int,
) -> Iterator[dict[str, float]]:
    """Train a copy with ReMax; yield test scores every ``every`` steps, 0 included.

    ``reward`` and ``entropy`` are means over the steps since the row before.
    """
    model = copy.deepcopy(policy)
    objective = ReMax(reward=rewards[shape])
    with torch.random.fork_rng(devices=[]):
        run = Run(model, task, objective, OPTIMISER | {"seed": seed}, checkpoint=None)
        while True:
            reports = average(run.reports)
            run.reports.clear()
            yield {"step": run.step} | reports | scores(model, task.test, rewards)
            if run.step >= steps:
                return
            for _ in range(min(every, steps - run.step)):
                run.train_one_batch()


def run_seed(
    name: str, seed: int, max_rows: int, ce_steps: int, steps: int, every: int
) -> pd.DataFrame:
    """Every shape's curve for one seed: split, initial weights and batches vary."""
    task = load_task(name, max_rows=max_rows, seed=seed)
    policy = checkpoint(task, seed, ce_steps)
    rewards = shapes(task.train.z)
    rows = [
        {"task": name, "seed": seed, "shape": shape} | row
        for shape in rewards
        for row in curve(policy, task, rewards, shape, steps, every, seed)
    ]
    keep = ["task", "seed", "shape", "step", "reward", "entropy", *SCORES]
    return pd.DataFrame(rows).reindex(columns=keep)


def main(
    task: TaskName = "cps1988",
    seeds: Seeds = 5,
    max_rows: MaxRows = 2000,
    ce_steps: CeSteps = 300,
    steps: Annotated[int, typer.Option(min=1, help="ReMax steps")] = 150,
    every: Every = 50,
    jobs: Jobs = 2,
    out: Out = None,
) -> None:
    """Record ReMax under four shapes of the reward."""
    grid = [(task, seed) for seed in range(seeds)]
    settings = {"max_rows": max_rows, "ce_steps": ce_steps}
    rows = in_processes(run_seed, grid, jobs, steps=steps, every=every, **settings)
    record(rows, "reward_shapes", out)


if __name__ == "__main__":
    typer.run(main)
