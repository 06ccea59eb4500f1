"""What closes the gap to boosted trees? The same changes for heads and policies alike.

With periodic embeddings: three times the training, dropout in the gradient pass, and
two networks whose answers are averaged. All rates are the main study's, which has
the networks without periodic embeddings and the trees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import pandas as pd
import torch

from genre2_mini.experiments.ablations import COMPARED, changed, with_setting
from genre2_mini.experiments.budgets import Budget
from genre2_mini.experiments.common_scale import to_common
from genre2_mini.experiments.engine import Records
from genre2_mini.experiments.study import Arm, Study
from genre2_mini.experiments.tabular import arm_of, checkpoint_arm
from genre2_mini.experiments.trial import task_of
from genre2_mini.metrics import point_scores

PERIODIC = {"model": {"periodic": True}}
NETWORKS = 2  # what three and more would do follows from one and two (page 93)
LONGER = 3  # times the training


def gap(task: str, budget: Budget) -> Iterator[Arm]:
    """From networks with periodic embeddings to better ones, a change at a time."""
    for member in range(NETWORKS):
        start = checkpoint_arm(task, budget, member=member, **PERIODIC)
        start = replace(start, labels=start.labels | {"member": member})
        yield from with_setting("periodic", start, COMPARED, budget)
        if member == 0:
            genre2 = arm_of("genre2", start, budget)
            yield changed(genre2, "periodic, dropout", objective={"dropout": True})
    longer = replace(
        budget, ce_steps=LONGER * budget.ce_steps, rl_steps=LONGER * budget.rl_steps
    )
    start = checkpoint_arm(task, longer, **PERIODIC)
    yield from with_setting("periodic, longer", start, COMPARED, longer)


def ensemble_table(study: Study, records: Records) -> pd.DataFrame:
    """Test scores of the mean answer of some networks, averaged over all choices.

    Returns
    -------
    One row a (labels, seed, networks): ``r2`` and ``rmse`` in z units of the exact
    means, for every number of networks up to all; no rows where none has members.
    """
    arms: dict[tuple, list[Arm]] = {}
    for arm in study.arms:
        if arm.shown and arm.spec.member is not None:
            labels = {k: v for k, v in arm.labels.items() if k != "member"}
            arms.setdefault(tuple(labels.items()), []).append(arm)
    rows = []
    for labels, members in arms.items():
        for seed in study.seeds if len(members) > 1 else ():
            specs = [study.run(arm, seed) for arm in members]
            found = [records[spec.key] for spec in specs]
            if any("failed" in record for record in found):
                continue
            task = task_of(specs[0])
            z = to_common(task, task.test.z)
            means = [record["chosen"]["rmse_mean"]["means"] for record in found]
            for networks, scores in by_size(torch.tensor(means).double(), z):
                rows.append(
                    dict(labels) | {"seed": seed, "networks": networks} | scores
                )
    return pd.DataFrame(rows)


def ensemble_report(table: pd.DataFrame) -> str:
    """Of ``ensemble_table``: R² of every method by the number of networks."""
    means = table.pivot_table("r2", "method", "networks", sort=False)
    return (
        "Mean test R² of the exact means of so many networks, averaged\n"
        f"{means.to_string(float_format='{:.3f}'.format)}"
    )


def by_size(means: torch.Tensor, z: torch.Tensor) -> Iterator[tuple[int, dict]]:
    """(how many, scores of their average) of networks' answers (E, N)."""
    for size in range(1, len(means) + 1):
        found = [
            point_scores(means[list(some)].mean(dim=0), z)
            for some in combinations(range(len(means)), size)
        ]
        yield size, pd.DataFrame(found)[["r2", "rmse"]].mean().to_dict()
