"""REINFORCE as it is, with a constant added to its rewards, and with two silent bugs.

``python -m genre2_mini.experiments.reinforce_slips`` records the learning curves. A
constant changes no expected gradient, only its noise. The two bugs run without an
error and change the expected gradient; only the exact one tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pandas as pd
import typer
from torch import Tensor

from genre2_mini.experiments.learning_curves import SCORES, checkpoint, curve
from genre2_mini.experiments.options import CeSteps, Every, Jobs, Out, Seeds, TaskName
from genre2_mini.experiments.processes import in_processes
from genre2_mini.experiments.results import record
from genre2_mini.objectives import REINFORCE
from genre2_mini.objectives.objective import Losses
from genre2_mini.objectives.reinforce import report
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rollouts import Rollout
from genre2_mini.tasks import load_task


@dataclass(frozen=True)
class OffsetReward(REINFORCE):
    """REINFORCE with A = r + offset: the same gradient on average, other noise."""

    offset: float = 0.0

    def advantage(self, rollout: Rollout, reward: Tensor) -> Tensor:
        """A (M,) of each distinct string, from its reward (M,)."""
        return reward + self.offset


@dataclass(frozen=True)
class DroppedDigit(REINFORCE):
    """A bug: the first token's log-probability is left out of the sum.

    The habit of a language model, whose first token is given and not written.
    """

    def losses(self, model: DecodingPolicy, x, z, generator=None) -> Losses:
        """Yield one loss for a batch x (N, …), z (N,)."""
        rollout, reward = self.roll(model, x, z, generator)
        log_prob = rollout.token_log_prob[:, 1:].sum(dim=1)
        loss = -rollout.mean(log_prob * reward.to(log_prob.dtype))
        yield loss, report(rollout, reward, reward)


@dataclass(frozen=True)
class ForgottenCounts(REINFORCE):
    """A bug: a string that was drawn ten times weighs as much as one drawn once."""

    def losses(self, model: DecodingPolicy, x, z, generator=None) -> Losses:
        """Yield one loss for a batch x (N, …), z (N,)."""
        rollout, reward = self.roll(model, x, z, generator)
        drawn = rollout.count > 0  # a greedy string may ride along undrawn
        loss = -(rollout.log_prob * reward.to(rollout.log_prob.dtype))[drawn].mean()
        yield loss, report(rollout, reward, reward)


VARIANTS = {
    "r": REINFORCE(),
    "r + 1": OffsetReward(offset=1.0),
    "r + 10": OffsetReward(offset=10.0),
    "first digit dropped": DroppedDigit(),
    "counts forgotten": ForgottenCounts(),
}


def run_seed(
    name: str, seed: int, ce_steps: int, steps: int, every: int
) -> pd.DataFrame:
    """Every variant's curve for one seed: split, initial weights and batches vary."""
    task = load_task(name, max_rows=4000, seed=seed)
    policy = checkpoint(task, seed, ce_steps)
    rows = [
        {"task": name, "seed": seed, "variant": variant} | row
        for variant, objective in VARIANTS.items()
        for row in curve(policy, task, objective, steps, every, seed)
    ]
    keep = ["task", "seed", "variant", "step", "reward", "entropy", "distinct_leaves"]
    return pd.DataFrame(rows).reindex(columns=[*keep, *SCORES])


def main(
    task: TaskName = "concrete",
    seeds: Seeds = 5,
    ce_steps: CeSteps = 300,
    steps: Annotated[int, typer.Option(min=1, help="steps of each variant")] = 150,
    every: Every = 15,
    jobs: Jobs = 2,
    out: Out = None,
) -> None:
    """Record the learning curves of REINFORCE and its slips."""
    grid = [(task, seed) for seed in range(seeds)]
    settings = {"ce_steps": ce_steps, "steps": steps, "every": every}
    rows = in_processes(run_seed, grid, jobs, **settings)
    record(rows, "reinforce_slips", out)


if __name__ == "__main__":
    typer.run(main)
