"""The small policies inside the live digit tree, at seven stages of their training.

``python -m genre2_mini.experiments.digit_tree_policies`` trains one policy on a made-up
task, by cross-entropy and then by GenRe², and writes its weights at each stage into one
file of the package. They are rounded to float16 first, so the page and the package
compute with the same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import torch
import typer
from safetensors.torch import save
from torch import Tensor

from genre2_mini.checkpoints import write_atomically
from genre2_mini.encoders import RowEncoder
from genre2_mini.exhibits.digit_tree import POLICIES
from genre2_mini.objectives import CrossEntropy, GenRe2, Objective
from genre2_mini.policy import DecodingPolicy
from genre2_mini.runs import Run
from genre2_mini.tasks import Task, task_from_frame
from genre2_mini.tokenizers import NormalizedTokenizer

DOTS = 150  # training rows that the exhibit draws
OPTIMISER = {"batch_size": 256, "weight_decay": 0.01, "max_grad_norm": 1.0}


class Law(NamedTuple):
    """y given x: one of two normal distributions. All (N,), in the unit of y."""

    share: np.ndarray  # of the upper branch
    lower: np.ndarray  # means
    upper: np.ndarray
    spread: np.ndarray  # standard deviation of each branch


def fork(x: np.ndarray) -> Law:
    """One noisy road for x < 0, which forks at 0; x (N,) in [−1, 1]."""
    lower = np.sin(3 * x) / 2
    right = np.maximum(x, 0)
    spread = 0.15 + 0.35 * np.maximum(-x, 0)
    return Law(np.full_like(x, 0.35), lower, lower + 2 * right, spread)


def fork_task(rows: int = 20_000, seed: int = 0) -> Task:
    """Rows of :func:`fork`: x even over [−1, 1], y drawn."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, rows)
    law = fork(x)
    mean = np.where(rng.uniform(size=rows) < law.share, law.upper, law.lower)
    y = mean + law.spread * rng.normal(size=rows)
    return task_from_frame(pd.DataFrame({"x": x, "y": y}), "y", "fork", seed)


class Phase(NamedTuple):
    """A part of the training, and the steps after which its weights are kept."""

    name: str
    objective: Objective
    learning_rate: float
    stops: tuple[int, ...]


PHASES = (
    Phase("CE", CrossEntropy(), 2e-3, (30, 150, 2000)),
    Phase("GenRe²", GenRe2(), 5e-4, (10, 40, 300)),
)


def new_policy(task: Task, seed: int = 0) -> DecodingPolicy:
    """Five binary digits, and a network of 8,386 weights without dropout."""
    tokenizer = NormalizedTokenizer(base=2, num_digits=5).fit(task.train.z)
    with torch.random.fork_rng(devices=[]):  # leaves the caller's generator alone
        torch.manual_seed(seed)
        encoder = RowEncoder(task.num_features, 16, hidden=32, dropout=0.0)
        return DecodingPolicy(encoder, tokenizer, 16, 2, 2, dropout=0.0)


def stages(
    policy: DecodingPolicy, task: Task, phases: tuple[Phase, ...], seed: int = 0
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Train ``policy``, phase after phase; name and float16 weights of each stage."""

    def rounded() -> dict[str, Tensor]:
        return {name: w.half() for name, w in policy.state_dict().items()}

    yield "untrained", rounded()
    for phase in phases:
        settings = {"learning_rate": phase.learning_rate, "seed": seed}
        run = Run(policy, task, phase.objective, OPTIMISER | settings, checkpoint=None)
        for stop in phase.stops:
            while run.step < stop:
                run.train_one_batch()
            yield f"{phase.name}, {stop:,} steps", rounded()


def record(
    path: Path, task: Task, phases: tuple[Phase, ...] = PHASES, seed: int = 0
) -> list[str]:
    """Train, write all stages to ``path``, and return their names.

    Each tensor of the safetensors file has the stages as its first axis; ``dots``
    (2, M) are x and z of some training rows.
    """
    policy = new_policy(task, seed)
    with torch.random.fork_rng(devices=[]):
        names, weights = zip(*stages(policy, task, phases, seed), strict=True)
    tensors = {n: torch.stack([stage[n] for stage in weights]) for n in weights[0]}
    mean, std = task.schema.numeric["x"]
    x, z = task.train.x[:DOTS, 0].double() * std + mean, task.train.z[:DOTS]
    header = {
        "config": policy.config,
        "stages": names,
        "preprocessing": task.schema.to_dict(),
    }
    tensors["dots"] = torch.stack([x, z]).half()
    write_atomically(path, save(tensors, {"header": json.dumps(header)}))
    return list(names)


def main(
    out: Annotated[
        Path, typer.Option(help="file to write (the exhibit's own by default)")
    ] = POLICIES,
) -> None:
    """Train the policies of the live digit tree."""
    names = record(out, fork_task())
    typer.echo(f"{len(names)} stages written to {out}")


if __name__ == "__main__":
    typer.run(main)
