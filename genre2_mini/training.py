"""The one training loop, for every objective and every head.

A run is a function of its arguments: each step's randomness is seeded by
(``seed``, step), so a run that stopped and resumed reaches the same weights as one
that never stopped, and no generator's state needs saving.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from genre2_mini.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from genre2_mini.evaluation import evaluate
from genre2_mini.objectives import Objective
from genre2_mini.tasks import Task

__all__ = ["evaluate", "fit"]

HIGHER_IS_BETTER = ("r2", "spearman")
BATCHES, DROPOUT, ROLLOUTS = range(3)  # a run's streams of random numbers


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
    num_samples : strings drawn for each validation row.
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
    for name, value in (counts | {"validate_every": validate_every}).items():
        if value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
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
    run = Run(model, task, settings, checkpoint)
    name = type(objective).__name__
    hide = None if progress is None else not progress
    cuda = [run.device] if run.device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=cuda),  # leaves the caller's generator alone
        tqdm(total=steps, initial=run.step, desc=name, disable=hide) as bar,
    ):
        run.validate()
        while run.step < steps and not run.out_of_patience(patience):
            run.train_one_batch(objective)
            bar.update()
            if run.step % validate_every == 0 or run.step == steps:
                score = run.validate()
                bar.set_postfix_str(f"valid {metric} {score:.4f}")
    return run.finish()


def describe(objective: Objective) -> str:
    """The objective's name and settings, the same text in every process."""
    settings = {f.name: getattr(objective, f.name) for f in fields(objective)}
    words = [f"{n}={getattr(v, '__name__', v)}" for n, v in settings.items()]
    return f"{type(objective).__name__}({', '.join(words)})"


def seed_of(*numbers: int) -> int:
    """One well-mixed seed of several integers, such as (seed, stream, step)."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def batches(num_rows: int, batch_size: int, seed: int, start: int) -> Iterator[Tensor]:
    """Row indices (B,) of step ``start``, ``start`` + 1, …: shuffled epochs.

    The last, smaller batch of an epoch is left out; fewer rows than
    ``batch_size`` make one batch.
    """
    per_epoch = max(1, num_rows // batch_size)
    order = None
    for step in itertools.count(start):
        epoch, i = divmod(step, per_epoch)
        if order is None or i == 0:
            shuffle = torch.Generator().manual_seed(seed_of(seed, BATCHES, epoch))
            order = torch.randperm(num_rows, generator=shuffle)
        yield order[i * batch_size : (i + 1) * batch_size]


@dataclass(eq=False)
class Run:
    """One run's state: all that a checkpoint must hold to go on from it."""

    model: nn.Module
    task: Task
    settings: dict
    checkpoint: str | Path | None
    step: int = 0
    seconds: float = 0.0
    best_step: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    records: list[dict] = field(default_factory=list)
    reports: list[dict] = field(default_factory=list)  # since the last validation

    def __post_init__(self) -> None:
        self.device = next(self.model.parameters()).device
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=self.settings["learning_rate"],
            weight_decay=self.settings["weight_decay"],
        )
        self.clipped = count_clipped(self.model, self.task)
        if self.checkpoint is not None and Path(self.checkpoint).exists():
            self.resume()
        train, seed = self.task.train, self.settings["seed"]
        self.x, self.z = train.x.to(self.device), train.z.to(self.device)
        self.rows = batches(len(train.z), self.settings["batch_size"], seed, self.step)
        self.started = time.perf_counter() - self.seconds

    def train_one_batch(self, objective: Objective) -> None:
        """One batch; one clipped optimiser step for each of its losses."""
        seed = self.settings["seed"]
        torch.manual_seed(seed_of(seed, DROPOUT, self.step))  # dropout has no other
        generator = torch.Generator(self.device)
        generator.manual_seed(seed_of(seed, ROLLOUTS, self.step))
        rows = next(self.rows).to(self.device)
        self.model.train()
        batch = self.x[rows], self.z[rows]
        for loss, report in objective.losses(self.model, *batch, generator):
            self.optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(
                self.model.parameters(), self.settings["max_grad_norm"]
            )
            if not torch.isfinite(norm):  # before NaN reaches the weights
                raise FloatingPointError(
                    f"step {self.step}: loss {loss.item():.3g}, gradient norm "
                    f"{norm.item():.3g}; lower learning_rate or bound the reward"
                )
            self.optimizer.step()
            self.reports.append(report)
        self.step += 1

    def validate(self) -> float:
        """Score, keep the best weights, record and save; once a step."""
        metric = self.settings["metric"]
        if self.records and self.records[-1]["step"] == self.step:  # just resumed
            return self.records[-1][f"valid_{metric}"]
        scores = evaluate(self.model, self.task.valid, self.settings["num_samples"])
        if metric not in scores:
            raise ValueError(f"metric={metric!r} must be one of {sorted(scores)}")
        self.seconds = time.perf_counter() - self.started
        self.records.append(
            {"step": self.step, "seconds": self.seconds}
            | average(self.reports)
            | {f"valid_{name}": score for name, score in scores.items()}
        )
        self.reports.clear()
        history = pd.DataFrame(self.records).set_index("step")[f"valid_{metric}"]
        higher = metric.startswith(HIGHER_IS_BETTER)
        self.best_step = int(history.idxmax() if higher else history.idxmin())
        if self.best_step == self.step:
            now = self.model.state_dict()
            self.best_weights = {name: w.clone() for name, w in now.items()}
        self.save()
        return scores[metric]

    def out_of_patience(self, patience: int | None) -> bool:
        """True after ``patience`` validations in a row without a better score."""
        since_best = sum(record["step"] > self.best_step for record in self.records)
        return patience is not None and since_best >= patience

    def finish(self) -> pd.DataFrame:
        """Put the best weights back and return the history."""
        self.model.load_state_dict(self.best_weights)
        self.model.eval()
        history = pd.DataFrame(self.records)
        history.attrs = {
            "best_step": self.best_step,
            "metric": self.settings["metric"],
            "clipped_targets": self.clipped,
        }
        return history

    def save(self) -> None:
        """Write the run to its checkpoint, whose model is the best one so far."""
        if self.checkpoint is None:
            return
        now = self.model.state_dict()
        tensors = {f"weights.{name}": value for name, value in now.items()}
        for i, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adamw.{i}.{name}": value for name, value in moments.items()}
        save_checkpoint(
            self.checkpoint,
            self.model,
            weights=self.best_weights,
            preprocessing=self.task.schema.to_dict(),
            training={
                "settings": self.settings,
                "step": self.step,
                "seconds": self.seconds,
                "best_step": self.best_step,
                "records": self.records,
            },
            tensors=tensors,
        )

    def resume(self) -> None:
        """Go on from the checkpoint, if it is this very run's."""
        saved = load_checkpoint(self.checkpoint, self.device)
        theirs = {"model": saved.model.config} | (saved.training or {}).get(
            "settings", {}
        )
        ours = {"model": self.model.config} | self.settings
        differing = [name for name in ours if theirs.get(name) != ours[name]]
        if differing:
            raise CheckpointError(
                f"{self.checkpoint} belongs to a run that differs in "
                f"{', '.join(differing)}; delete it or name another file"
            )
        self.best_weights = saved.model.state_dict()
        weights, adamw = {}, self.optimizer.state_dict()
        for name, tensor in saved.tensors.items():
            kind, _, name = name.partition(".")
            if kind == "weights":
                weights[name] = tensor
            else:
                i, _, moment = name.partition(".")
                adamw["state"].setdefault(int(i), {})[moment] = tensor
        self.model.load_state_dict(weights)
        self.optimizer.load_state_dict(adamw)
        for name in ("step", "seconds", "best_step", "records"):
            setattr(self, name, saved.training[name])


def count_clipped(model: nn.Module, task: Task) -> int:
    """Training targets outside the tokenizer's range; a warning if there are any."""
    if not hasattr(model, "tokenizer"):
        return 0
    clipped = int(model.tokenizer.out_of_range(task.train.z).sum())
    if clipped:
        warnings.warn(
            f"{clipped} training targets lie outside the tokenizer's range and clip "
            "to its ends; fit the tokenizer on task.train.z",
            stacklevel=4,
        )
    return clipped


def average(reports: list[dict[str, Tensor]]) -> dict[str, float]:
    """Mean of every reported scalar; nothing for no reports."""
    names = reports[0] if reports else {}
    return {
        n: torch.stack([r[n].double() for r in reports]).mean().item() for n in names
    }
