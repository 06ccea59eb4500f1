"""The one training loop, for every objective and every head."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from genre2_mini.evaluation import evaluate
from genre2_mini.objectives import Objective
from genre2_mini.objectives.objective import check_at_least
from genre2_mini.runs import Run
from genre2_mini.tasks import Task

__all__ = ["evaluate", "fit"]


def fit(
    model: nn.Module,
    task: Task,
    objective: Objective,
    *,
    steps: int = 1000,
    batch_size: int = 128,
    learning_rate: float = 3e-4,
    weight_decay: float = 0.01,
    max_grad_norm: float = 1.0,
    validate_every: int = 50,
    patience: int | None = None,
    metric: str = "rmse_mean",
    num_samples: int = 32,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Train ``model`` on ``task.train``; leave it with its best weights.

    Every ``validate_every`` steps, and before the first, the model is scored on
    ``task.valid``; the weights with the best ``metric`` are restored at the end.

    Parameters
    ----------
    model : a policy or head, on any device; changed in place.
    objective : turns each batch into losses; one AdamW step a loss.
    steps, batch_size, learning_rate, weight_decay, max_grad_norm : optimisation.
    validate_every : steps between validations.
    patience : stop after so many validations without a better score (None: never).
    metric : a key of :func:`evaluate`. Use one for all the methods you compare.
    num_samples : evenly spread strings that score each validation row.
    seed : fixes batches, dropout and rollouts.
    checkpoint : file to save to at each validation. Where it exists, training
        goes on from it; ``steps`` may be larger than before.
    progress : show a bar; None shows it on a terminal only.

    Returns
    -------
    history : one row a validation: ``step``, ``seconds``, the objective's reports
        averaged since the row before, ``valid_*`` scores. ``history.attrs`` holds
        ``best_step``, ``metric`` and ``clipped_targets`` (train targets outside
        the tokenizer's range).

    Raises
    ------
    ValueError : an argument out of range, or an unknown ``metric``.
    FloatingPointError : the loss or its gradient stopped being finite.
    CheckpointError : ``checkpoint`` is damaged or belongs to another run.
    """
    counts = {"steps": steps, "batch_size": batch_size, "num_samples": num_samples}
    check_at_least(1, **counts, validate_every=validate_every)
    check_rate("learning_rate", learning_rate)
    settings = {
        "task": [task.name, len(task.train.z), len(task.valid.z)],
        "objective": describe(objective),
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "max_grad_norm": max_grad_norm,
        "validate_every": validate_every,
        "metric": metric,
        "num_samples": num_samples,
        "seed": seed,
    }
    name = type(objective).__name__
    hide = None if progress is None else not progress
    cuda = range(torch.cuda.device_count())
    with (
        torch.random.fork_rng(devices=cuda),  # leaves the caller's generators alone
        tqdm(total=steps, desc=name, disable=hide) as bar,
    ):
        run = Run(model, task, objective, settings, checkpoint)
        bar.update(run.step)
        run.validate()
        while run.step < steps and not run.out_of_patience(patience):
            run.train_one_batch()
            bar.update()
            if run.step % validate_every == 0 or run.step == steps:
                score = run.validate()
                bar.set_postfix_str(f"valid {metric} {score:.4f}")
    return run.finish()


def check_rate(name: str, rate: float) -> None:
    """ValueError that names a learning rate which is negative, infinite or NaN."""
    if not 0 <= rate < math.inf:
        raise ValueError(f"{name}={rate} must be at least 0 and finite")


def describe(objective: Objective) -> str:
    """The objective's name and settings, the same text in every process."""
    settings = {f.name: getattr(objective, f.name) for f in fields(objective)}
    words = [f"{n}={getattr(v, '__name__', v)}" for n, v in settings.items()]
    return f"{type(objective).__name__}({', '.join(words)})"
