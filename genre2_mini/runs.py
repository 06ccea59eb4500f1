"""One training run: its batches, its steps, its best weights, and how it resumes.

A run is a function of its arguments: each step's randomness is seeded by
(``seed``, step), so a run that stopped and resumed reaches the same weights as one
that never stopped, and no generator's state needs saving.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from genre2_mini.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from genre2_mini.evaluation import evaluate
from genre2_mini.objectives.objective import Objective, companions_of
from genre2_mini.rebuilding import INVALID, CheckpointError
from genre2_mini.tasks import Task

HIGHER_IS_BETTER = ("r2", "spearman")
BATCHES, DROPOUT, ROLLOUTS = range(3)  # a run's streams of random numbers


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
    objective: Objective
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
        self.companions = companions_of(self.objective, self.model)
        self.trained = nn.ModuleList([self.model, *self.companions])
        self.optimizer = torch.optim.AdamW(
            (p for p in self.trained.parameters() if p.requires_grad),
            lr=self.settings["learning_rate"],
            weight_decay=self.settings["weight_decay"],
            fused=True,  # one pass over all weights; a small model feels the difference
        )
        self.clipped = count_clipped(self.model, self.task)
        if self.checkpoint is not None and Path(self.checkpoint).exists():
            self.resume()
        train, seed = self.task.train, self.settings["seed"]
        self.x, self.z = train.x.to(self.device), train.z.to(self.device)
        self.rows = batches(len(train.z), self.settings["batch_size"], seed, self.step)
        self.started = time.perf_counter() - self.seconds

    def train_one_batch(self) -> None:
        """One batch; one clipped optimiser step for each of its losses."""
        seed = self.settings["seed"]
        torch.manual_seed(seed_of(seed, DROPOUT, self.step))  # dropout has no other
        generator = torch.Generator(self.device)
        generator.manual_seed(seed_of(seed, ROLLOUTS, self.step))
        rows = next(self.rows).to(self.device)
        self.model.train()
        batch = self.x[rows], self.z[rows], generator, *self.companions
        for loss, report in self.objective.losses(self.model, *batch):
            self.optimizer.zero_grad()
            loss.backward()
            self.clip_gradients(loss)
            self.optimizer.step()
            self.reports.append(report)
        self.step += 1

    def clip_gradients(self, loss: Tensor) -> None:
        """Bound each module's gradient, so that a critic's cannot drown a policy's."""
        for module in self.trained:
            norm = nn.utils.clip_grad_norm_(
                module.parameters(), self.settings["max_grad_norm"]
            )
            if not torch.isfinite(norm):  # before NaN reaches the weights
                raise FloatingPointError(
                    f"step {self.step}: loss {loss.item():.3g}, gradient norm "
                    f"{norm.item():.3g}; lower learning_rate or bound the reward"
                )

    def validate(self) -> float:
        """Score, keep the best weights, record and save; once a step."""
        metric = self.settings["metric"]
        if self.records and self.records[-1]["step"] == self.step:  # just resumed
            return self.records[-1][f"valid_{metric}"]
        samples = self.settings["num_samples"]
        scores = evaluate(self.model, self.task.valid, samples, seed=None)
        if metric not in scores:
            raise ValueError(f"metric={metric!r} must be one of {sorted(scores)}")
        if np.isnan(scores[metric]):
            raise ValueError(
                f"metric={metric!r} is undefined on {len(self.task.valid)} validation "
                "rows with one target value; choose rmse_mean or crps"
            )
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
        now = self.trained.state_dict()  # the model is module 0
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
        try:
            differing = self.restore(saved)
        except INVALID as error:
            raise CheckpointError(
                f"{self.checkpoint}: incomplete state of a run ({error!r}); delete it "
                "or name another file"
            ) from error
        if differing:
            raise CheckpointError(
                f"{self.checkpoint} belongs to a run that differs in "
                f"{', '.join(differing)}; delete it or name another file"
            )

    def restore(self, saved: Checkpoint) -> list[str]:
        """Take over what ``save`` wrote, or return the settings that differ."""
        state = saved.training or {}
        theirs = {"model": saved.model.config} | state.get("settings", {})
        ours = {"model": self.model.config} | self.settings
        if differing := [name for name in ours if theirs.get(name) != ours[name]]:
            return differing
        self.best_weights = saved.model.state_dict()
        weights, adamw = {}, self.optimizer.state_dict()
        for name, tensor in saved.tensors.items():
            kind, _, name = name.partition(".")
            if kind == "weights":
                weights[name] = tensor
            else:
                i, _, moment = name.partition(".")
                adamw["state"].setdefault(int(i), {})[moment] = tensor
        self.trained.load_state_dict(weights)
        self.optimizer.load_state_dict(adamw)
        self.step, self.best_step = int(state["step"]), int(state["best_step"])
        self.seconds, self.records = float(state["seconds"]), list(state["records"])
        return []


def count_clipped(model: nn.Module, task: Task) -> int:
    """Training targets outside the tokenizer's range; a warning if there are any.

    With D targets a row each counts. Raises ValueError where the tokenizer writes
    another number of targets.
    """
    if not hasattr(model, "tokenizer"):
        return 0
    z = task.train.z
    if model.tokenizer.encode(z[:0]).ndim != 2:  # (0, K): one string a row
        raise ValueError(
            f"the tokenizer writes one target a row, task.train.z is {tuple(z.shape)}: "
            f"use a ConcatenatedTokenizer of {z.shape[-1]} parts"
        )
    clipped = int(model.tokenizer.out_of_range(z).sum())
    if clipped:
        warnings.warn(
            f"{clipped} training targets lie outside the tokenizer's range: it clips "
            "or refuses them; fit it on task.train.z, or widen it",
            stacklevel=4,
        )
    return clipped


def average(reports: list[dict[str, Tensor]]) -> dict[str, float]:
    """Mean of every reported scalar; nothing for no reports."""
    names = reports[0] if reports else {}
    return {
        n: torch.stack([r[n].double() for r in reports]).mean().item() for n in names
    }
