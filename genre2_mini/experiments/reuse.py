"""What several epochs on one batch of strings buy: PPO, from one to eight of them.

``python -m genre2_mini.experiments.reuse`` records the learning curves. All variants
start from the same small cross-entropy policy and get the same batches; the controls
take the clip away, or give a single epoch a larger step instead of more steps.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from typing import Annotated, NamedTuple

import pandas as pd
import torch
import typer

from genre2_mini.encoders import RowEncoder
from genre2_mini.evaluation import evaluate
from genre2_mini.experiments.learning_curves import OPTIMISER, SCORES
from genre2_mini.experiments.options import CeSteps, Every, Jobs, Out, Seeds, TaskName
from genre2_mini.experiments.processes import in_processes
from genre2_mini.experiments.results import record
from genre2_mini.objectives import PPO, CrossEntropy
from genre2_mini.policy import DecodingPolicy
from genre2_mini.runs import Run, average
from genre2_mini.tasks import Task, load_task
from genre2_mini.tokenizers import NormalizedTokenizer
from genre2_mini.training import fit

RATE = 1e-3


class Variant(NamedTuple):
    """How a batch is used: passes over it, ε of the ratio, learning rate."""

    epochs: int
    clip: float = 0.2
    learning_rate: float = RATE


VARIANTS = {
    "1 epoch": Variant(1),
    "2 epochs": Variant(2),
    "4 epochs": Variant(4),
    "8 epochs": Variant(8),
    "8 epochs, no clip": Variant(8, clip=math.inf),
    "1 epoch, 2 × rate": Variant(1, learning_rate=2 * RATE),
    "1 epoch, 4 × rate": Variant(1, learning_rate=4 * RATE),
}
REPORTS = ["reward", "entropy", "clip_fraction", "approx_kl", "value_loss"]


def checkpoint(task: Task, seed: int, steps: int) -> DecodingPolicy:
    """Part II's small cross-entropy policy: 5,000 weights, six binary digits."""
    torch.manual_seed(seed)
    tokenizer = NormalizedTokenizer(base=2, num_digits=6).fit(task.train.z)
    encoder = RowEncoder(task.num_features, d_model=16, hidden=32)
    policy = DecodingPolicy(encoder, tokenizer, d_model=16, num_heads=2, num_layers=1)
    settings = {"learning_rate": 2e-3, "metric": "rmse_k1", "seed": seed}
    fit(policy, task, CrossEntropy(), steps=steps, validate_every=100, **settings)
    return policy


def curve(
    policy: DecodingPolicy,
    task: Task,
    variant: Variant,
    batches: int,
    every: int,
    seed: int,
) -> Iterator[dict[str, float]]:
    """Train a copy of ``policy``; yield scores every ``every`` batches, 0 included.

    ``cpu_seconds`` is the processor time of training so far, without the scoring. The
    reports are means over the optimiser steps since the row before.
    """
    model, seconds = copy.deepcopy(policy), 0.0
    objective = PPO(epochs=variant.epochs, clip=variant.clip)
    settings = OPTIMISER | {"learning_rate": variant.learning_rate, "seed": seed}
    with torch.random.fork_rng(devices=[]):
        run = Run(model, task, objective, settings, checkpoint=None)
        while True:
            scores = evaluate(model, task.test)
            reports = average(run.reports)
            run.reports.clear()
            about = {"batch": run.step, "cpu_seconds": seconds}
            yield about | reports | {name: scores[name] for name in SCORES}
            if run.step >= batches:
                return
            start = time.process_time()
            for _ in range(min(every, batches - run.step)):
                run.train_one_batch()
            seconds += time.process_time() - start


def run_seed(
    name: str, seed: int, ce_steps: int, batches: int, every: int
) -> pd.DataFrame:
    """Every variant's curve for one seed: split, initial weights and batches vary."""
    task = load_task(name, seed=seed)
    policy = checkpoint(task, seed, ce_steps)
    rows = [
        {"task": name, "seed": seed, "variant": label} | row
        for label, variant in VARIANTS.items()
        for row in curve(policy, task, variant, batches, every, seed)
    ]
    keep = ["task", "seed", "variant", "batch", "cpu_seconds"]
    return pd.DataFrame(rows).reindex(columns=[*keep, *REPORTS, *SCORES])


def main(
    task: TaskName = "concrete",
    seeds: Seeds = 5,
    ce_steps: CeSteps = 300,
    batches: Annotated[int, typer.Option(min=1, help="batches of each variant")] = 60,
    every: Every = 5,
    jobs: Jobs = 2,
    out: Out = None,
) -> None:
    """Record the learning curves of PPO by epochs a batch."""
    grid = [(task, seed) for seed in range(seeds)]
    settings = {"ce_steps": ce_steps, "batches": batches, "every": every}
    rows = in_processes(run_seed, grid, jobs, **settings)
    record(rows, "reuse", out)


if __name__ == "__main__":
    typer.run(main)
