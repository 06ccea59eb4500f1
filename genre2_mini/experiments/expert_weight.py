"""How much expert? Its weight beside the reward, from none to nothing but the expert.

``python -m genre2_mini.experiments.expert_weight`` records it. Within a task and a seed
all start from the same cross-entropy policy, get the same batches and the same number
of steps, and are scored after the last one: no weights are chosen. The validation
scores are recorded beside the test scores, so that a weight can be chosen by them.
"""

from __future__ import annotations

import copy
from typing import Annotated

import pandas as pd
import torch
import typer

from genre2_mini.evaluation import evaluate
from genre2_mini.experiments.options import CeSteps, Jobs, MaxRows, Out, Seeds, Tasks
from genre2_mini.experiments.processes import in_processes
from genre2_mini.experiments.results import record
from genre2_mini.methods import METHODS, build_model
from genre2_mini.objectives import CrossEntropy, GenRe2, Objective
from genre2_mini.policy import DecodingPolicy
from genre2_mini.runs import Run
from genre2_mini.tasks import Split, Task, load_task
from genre2_mini.training import fit

TASKS = ("concrete", "abalone", "house_sales")
WEIGHTS = (0.05, 0.2, 1.0)
CONTROLS = ("ce", "remax", "expert")
START = "Checkpoint"
OPTIMISER = {  # the defaults of fit, with half its rows a batch
    "batch_size": 64,
    "learning_rate": 3e-4,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
}
SCORES = ["r2_k1", "r2_mean", "rmse_k1", "rmse_mean", "crps"]
VALID = ["valid_rmse_k1", "valid_rmse_mean"]


def objectives() -> list[tuple[str, float | None, Objective]]:
    """Label, weight of the expert, and objective of everything that is compared.

    More cross-entropy is the expert on the truth's own prefixes, ReMax has weight 0,
    and the expert alone has no reward for a weight to be relative to.
    """
    weight = {"remax": 0.0}
    rows = [
        (METHODS[name].label, weight.get(name), METHODS[name].objective())
        for name in CONTROLS
    ]
    label = METHODS["genre2"].label
    return rows + [(label, w, GenRe2(expert_weight=w)) for w in WEIGHTS]


def scores(policy: DecodingPolicy, split: Split) -> dict[str, float]:
    """``SCORES`` of the whole distribution over strings, none of them drawn."""
    found = evaluate(policy, split, num_samples=None)
    return {name: found[name] for name in SCORES}


def both_scores(policy: DecodingPolicy, task: Task) -> dict[str, float]:
    """The test ``SCORES``, and from the validation rows ``VALID``."""
    valid = {f"valid_{n}": v for n, v in scores(policy, task.valid).items()}
    return scores(policy, task.test) | {name: valid[name] for name in VALID}


def checkpoint(task: Task, seed: int, steps: int) -> DecodingPolicy:
    """The cross-entropy policy that all start from: eight binary digits."""
    policy = build_model(METHODS["ce"], task, seed=seed)
    options = OPTIMISER | {"metric": "rmse_k1", "seed": seed, "progress": False}
    fit(policy, task, CrossEntropy(), steps=steps, **options)
    return policy


def go_on(
    policy: DecodingPolicy, task: Task, objective: Objective, steps: int, seed: int
) -> DecodingPolicy:
    """A copy of ``policy`` after further steps, as it is after the last."""
    model = copy.deepcopy(policy)
    with torch.random.fork_rng(devices=[]):
        run = Run(model, task, objective, OPTIMISER | {"seed": seed}, checkpoint=None)
        for _ in range(steps):
            run.train_one_batch()
    return model


def run(
    name: str, seed: int, max_rows: int | None, ce_steps: int, steps: int
) -> pd.DataFrame:
    """One task and seed: split, initial weights and batches vary.

    Returns
    -------
    One row a method and weight (NaN where there is none), the checkpoint first: test
    ``SCORES`` and validation scores ``VALID``, in z units.
    """
    task = load_task(name, max_rows=max_rows, seed=seed)
    policy = checkpoint(task, seed, ce_steps)
    about = {"task": name, "seed": seed}
    rows = [about | {"method": START, "weight": None} | both_scores(policy, task)]
    for label, weight, objective in objectives():
        model = go_on(policy, task, objective, steps, seed)
        found = both_scores(model, task)
        rows.append(about | {"method": label, "weight": weight} | found)
    return pd.DataFrame(rows).astype({"weight": float})


def main(
    tasks: Tasks = None,
    seeds: Seeds = 5,
    max_rows: MaxRows = 1500,
    ce_steps: CeSteps = 400,
    steps: Annotated[int, typer.Option(min=1, help="steps of each method")] = 100,
    jobs: Jobs = 2,
    out: Out = None,
) -> None:
    """Record what each weight of the expert does to every score."""
    grid = [(task, seed) for task in tasks or TASKS for seed in range(seeds)]
    settings = {"max_rows": max_rows, "ce_steps": ce_steps, "steps": steps}
    rows = in_processes(run, grid, jobs, **settings)
    record(rows, "expert_weight", out)


if __name__ == "__main__":
    typer.run(main)
