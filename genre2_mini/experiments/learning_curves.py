"""Learning curves of every objective from one cross-entropy checkpoint.

``python -m genre2_mini.experiments.learning_curves`` records them. All methods get the
same checkpoint, the same batches, the same number of sampled strings and the same
optimiser; nothing is chosen by a test score, and no weights are restored.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Annotated

import pandas as pd
import torch
import typer

from genre2_mini.encoders import RowEncoder
from genre2_mini.evaluation import evaluate
from genre2_mini.experiments.options import CeSteps, Every, Jobs, Out, Seeds, TaskName
from genre2_mini.experiments.processes import in_processes
from genre2_mini.experiments.results import record
from genre2_mini.methods import METHODS
from genre2_mini.objectives import CrossEntropy, Objective
from genre2_mini.policy import DecodingPolicy
from genre2_mini.runs import Run, average
from genre2_mini.tasks import Task, load_task
from genre2_mini.tokenizers import NormalizedTokenizer
from genre2_mini.training import fit

NAMES = ("reinforce", "rloo", "remax", "grpo", "dr_grpo", "ppo", "expert", "genre2")
SAMPLED = {METHODS[name].label: METHODS[name].objective() for name in NAMES}
# Draws nothing, so it has no budget to compare, and takes about ten times as long: it
# runs only where it is named.
OBJECTIVES = SAMPLED | {METHODS["exact"].label: METHODS["exact"].objective()}
OPTIMISER = {  # the defaults of fit
    "batch_size": 128,
    "learning_rate": 3e-4,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
}
SCORES = ["r2_k1", "r2_mean", "rmse_k1", "rmse_mean", "crps"]


def checkpoint(task: Task, seed: int, steps: int) -> DecodingPolicy:
    """The cross-entropy policy that all methods start from."""
    torch.manual_seed(seed)
    tokenizer = NormalizedTokenizer(base=2, num_digits=8).fit(task.train.z)
    policy = DecodingPolicy(RowEncoder(task.num_features), tokenizer)
    fit(policy, task, CrossEntropy(), steps=steps, metric="rmse_k1", seed=seed)
    return policy


def curve(
    policy: DecodingPolicy,
    task: Task,
    objective: Objective,
    steps: int,
    every: int,
    seed: int,
) -> Iterator[dict[str, float]]:
    """Train a copy of ``policy``; yield test scores every ``every`` steps, 0 included.

    ``reward``, ``entropy`` and ``distinct_leaves`` are means over the steps since the
    row before.
    """
    model = copy.deepcopy(policy)
    with torch.random.fork_rng(devices=[]):
        run = Run(model, task, objective, OPTIMISER | {"seed": seed}, checkpoint=None)
        while True:
            scores = evaluate(model, task.test)
            reports = average(run.reports)
            run.reports.clear()
            yield {"step": run.step} | reports | {n: scores[n] for n in SCORES}
            if run.step >= steps:
                return
            for _ in range(min(every, steps - run.step)):
                run.train_one_batch()


def run_seed(
    name: str, seed: int, methods: list[str], ce_steps: int, steps: int, every: int
) -> pd.DataFrame:
    """Every method's curve for one seed: split, initial weights and batches vary."""
    task = load_task(name, max_rows=4000, seed=seed)
    policy = checkpoint(task, seed, ce_steps)
    rows = [
        {"task": name, "seed": seed, "method": method} | row
        for method in methods
        for row in curve(policy, task, OBJECTIVES[method], steps, every, seed)
    ]
    keep = ["task", "seed", "method", "step", "reward", "entropy", "distinct_leaves"]
    return pd.DataFrame(rows).reindex(columns=[*keep, *SCORES])


def main(
    task: TaskName = "concrete",
    seeds: Seeds = 5,
    methods: Annotated[
        list[str] | None, typer.Option("--method", help="method; repeatable")
    ] = None,
    ce_steps: CeSteps = 500,
    steps: Annotated[int, typer.Option(min=1, help="steps of each method")] = 300,
    every: Every = 20,
    jobs: Jobs = 2,
    out: Out = None,
) -> None:
    """Record the learning curves of all objectives."""
    methods = methods or list(SAMPLED)
    if unknown := set(methods) - set(OBJECTIVES):
        raise typer.BadParameter(f"{sorted(unknown)}; known: {list(OBJECTIVES)}")
    settings = {"methods": methods, "ce_steps": ce_steps, "steps": steps}
    grid = [(task, seed) for seed in range(seeds)]
    rows = in_processes(run_seed, grid, jobs, every=every, **settings)
    record(rows, "learning_curves", out)


if __name__ == "__main__":
    typer.run(main)
