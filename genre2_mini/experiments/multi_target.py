"""Two numbers as one string: chained or apart, in which order, and under a reward.

``genre2-mini reproduce multi-target`` runs it. Within a task and a seed
every network gets the same number of batches and is scored after the last one: no
weights are chosen. Of three base-4 digits a number, a pair has 4,096 strings, so each
score is exact: nothing is drawn.
"""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from genre2_mini.experiments.expert_weight import go_on
from genre2_mini.experiments.pair_laws import (
    Grid,
    chained_law,
    dependence,
    energy_score,
    grid_of,
    product_law,
    shuffled,
)
from genre2_mini.experiments.rivals import tuned_rival
from genre2_mini.experiments.vector_rewards import (
    HandReward,
    VectorKernelReward,
    VectorReMax,
    hand_of,
)
from genre2_mini.methods import METHODS, build_model
from genre2_mini.metrics import nll
from genre2_mini.objectives import (
    CrossEntropy,
    ExpertSupervision,
    GenRe2,
    Objective,
    ReMax,
)
from genre2_mini.policy import DecodingPolicy
from genre2_mini.tasks import Split, Task
from genre2_mini.tasks.vectors import PAIRS, load_pair
from genre2_mini.tokenizers import NormalizedTokenizer

DIGITS = NormalizedTokenizer(base=4, num_digits=3)
SCORES = ["nll", "energy", "dependence", "miss", "miss_mean", "rmse_k1", "rmse_mean"]
COLUMNS = ["task", "seed", "method", *SCORES, "rmse_first", "rmse_second"]


class Judge:
    """Scores of laws and points on the test rows of a pair, in its own order."""

    def __init__(self, task: Task, grid: Grid) -> None:
        self.task, self.grid, self.z = task, grid, task.test.z
        if task.name == "places":
            rows = torch.cat([task.train.z, task.valid.z, task.test.z])
            full = grid.law(rows[None], rows.new_ones(1, len(rows)))[0] > 0
            self.empty = ~full

    def missed(self, values: Tensor) -> Tensor:
        """How wrong pairs (N, …, 2) are *as pairs*, (N, …).

        ``arm``: from the hand to where it should be, in link lengths. ``places``: 1
        where no house of the whole table is in the pair's cell, else 0.
        """
        if self.task.name == "places":
            first, second = self.grid.cells(values).unbind(-1)
            return self.empty[first, second].double()
        wanted = hand_of(self.z, self.task.schema)
        wanted = wanted.reshape(len(wanted), *[1] * (values.ndim - 2), 2)
        return (hand_of(values, self.task.schema) - wanted).norm(dim=-1)

    def of_law(self, law: Tensor) -> dict[str, float]:
        """Exact scores of probabilities (N, C₁, C₂)."""
        values, z = self.grid.values, self.z
        mean = torch.einsum("nij,ijk->nk", law, values)
        wrong = self.missed(values.expand(len(z), *values.shape))
        error = (values - z[:, None, None]).square().mean(dim=-1)
        found = {
            "energy": energy_score(law, self.grid, z),
            "dependence": dependence(law),
            "miss": (law * wrong).sum(dim=(1, 2)),
        }
        found = {name: score.mean().item() for name, score in found.items()}
        one = (law * error).sum(dim=(1, 2)).mean().sqrt().item()
        return found | self._of_mean(mean) | {"rmse_k1": one}

    def of_points(self, points: Tensor) -> dict[str, float]:
        """Scores of one pair a row, (N, 2): its energy score is its mean distance."""
        scores = self._of_mean(points)
        energy = (points - self.z).norm(dim=-1).mean().item()
        same = {"miss": scores["miss_mean"], "rmse_k1": scores["rmse_mean"]}
        return scores | same | {"energy": energy}

    def _of_mean(self, mean: Tensor) -> dict[str, float]:
        square = (mean - self.z).square().mean(dim=0)
        return {
            "miss_mean": self.missed(mean).mean().item(),
            "rmse_mean": square.mean().sqrt().item(),
            "rmse_first": square[0].sqrt().item(),
            "rmse_second": square[1].sqrt().item(),
        }


@torch.no_grad()
def nll_of(policy: DecodingPolicy, split: Split) -> float:
    """−log π of the true strings, in nats a row: a sum over all that it writes."""
    truth = policy.tokenizer.encode(split.z)
    return nll(policy.eval().log_prob(split.x, truth).double())


def objectives(task: Task) -> dict[str, Objective]:
    """What goes on from the cross-entropy checkpoint, by name."""
    found = {
        "CE": CrossEntropy(),
        "ReMax": ReMax(),
        "GenRe²": GenRe2(),
        "Expert alone": ExpertSupervision(),
        "ReMax, kernel": VectorReMax(reward=VectorKernelReward()),
    }
    if task.name == "arm":
        found["ReMax, hand"] = VectorReMax(reward=HandReward(task.schema))
    return found


def run(name: str, seed: int, max_rows: int, ce_steps: int, steps: int) -> pd.DataFrame:
    """One task and seed: rows, split, initial weights and batches vary.

    Returns
    -------
    One row a method: ``nll`` in nats a row, ``energy`` and ``rmse_*`` in z, the mutual
    information ``dependence`` in nats, ``miss`` of one draw and of the mean pair as in
    :class:`Judge`. What a point does not have is NaN.
    """
    task = load_pair(name, max_rows=max_rows, seed=seed)
    start = go_on(
        build_model(METHODS["ce"], task, DIGITS, seed=seed),
        *(task, CrossEntropy(), ce_steps, seed),
    )
    judge, rows = Judge(task, grid_of(start)), {}
    for label, objective in objectives(task).items():
        policy = go_on(start, task, objective, steps, seed)
        law = chained_law(policy, task.test.x)
        rows[label] = judge.of_law(law) | {"nll": nll_of(policy, task.test)}
        if label == "CE":
            rows["CE, shuffled"] = judge.of_law(shuffled(law))
            truth = judge.grid.cells(task.test.z).T
            chance = shuffled(law)[torch.arange(len(law)), truth[0], truth[1]]
            rows["CE, shuffled"]["nll"] = -chance.clamp(min=1e-9).log().mean().item()
    rows |= rivals(judge, name, seed, max_rows, ce_steps + steps)
    found = [{"task": name, "seed": seed, "method": m} | row for m, row in rows.items()]
    return pd.DataFrame(found).reindex(columns=COLUMNS)


def rivals(
    judge: Judge, name: str, seed: int, max_rows: int, steps: int
) -> dict[str, dict[str, float]]:
    """The other order, a policy for each target, and two that predict one pair."""
    task, found, first, second = judge.task, {}, *PAIRS[name]

    def trained(method: str, *targets: str):
        part = load_pair(name, targets, max_rows=max_rows, seed=seed)
        model = build_model(METHODS[method], part, DIGITS, seed=seed)
        return go_on(model, part, METHODS[method].objective(), steps, seed), part

    policy, swapped = trained("ce", second, first)
    law = chained_law(policy, task.test.x).transpose(1, 2)
    found["CE, other order"] = judge.of_law(law) | {"nll": nll_of(policy, swapped.test)}
    alone = [trained("ce", first), trained("ce", second)]
    law = product_law([policy for policy, _ in alone], task.test.x)
    apart = sum(nll_of(policy, part.test) for policy, part in alone)
    found["Independent"] = judge.of_law(law) | {"nll": apart}
    head, _ = trained("pointwise", first, second)
    values, _ = head.predict_distribution(task.test.x)  # (N, 1, 2)
    found["Pointwise"] = judge.of_points(values[:, 0])
    trees = [tuned_rival("boosting", part, seed)[0] for _, part in alone]
    points = [torch.from_numpy(tree.predict(task.test.x.numpy())) for tree in trees]
    found["Boosting"] = judge.of_points(torch.stack(points, dim=1))
    return found
