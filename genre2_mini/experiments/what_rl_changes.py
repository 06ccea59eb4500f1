"""What does reinforcement learning change: the mean, the spread, or the honesty?

From one cross-entropy policy a table and seed: more cross-entropy, three rewards of a
single number (GRPO, ReMax, GenRe²), the expert alone, and the CRPS of all samples.
Rates and weights are chosen as in the main study. Beside the scores, each run records
its predictive distributions: at every validation, and of the chosen weights on test
rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from genre2_mini.experiments.budgets import Budget
from genre2_mini.experiments.engine import Records
from genre2_mini.experiments.study import Arm, Study
from genre2_mini.experiments.tabular import arm_of, checkpoint_arm

METHODS = ("ce", "grpo", "remax", "expert", "genre2", "crps")
START, COOLED = "ce_start", "ce_cool"


def what_rl_changes(task: str, budget: Budget) -> Iterator[Arm]:
    """The policy that all start from, as it is, and six ways to go on from it."""
    start = checkpoint_arm(task, budget)
    yield start
    as_it_is = start.spec.but(steps=0, keep_weights=False, detail=True)
    yield Arm(start.labels | {"method": START}, as_it_is, start=start)
    for method in METHODS:
        arm = arm_of(method, start, budget)
        yield replace(arm, spec=arm.spec.but(detail=True))


def detail_tables(study: Study, records: Records) -> dict[str, pd.DataFrame]:
    """What the runs with ``detail`` recorded, as tidy tables; none for no such runs.

    A run that diverged has no rows. ``ce_cool`` are the cross-entropy runs at the
    temperature that the validation rows chose.

    Returns
    -------
    steps : one row a (labels, seed, step), of validation rows; the columns of ``shape``
        in ``distribution_detail``.
    laws : one row a (labels, seed, selection), of test rows and the weights that the
        validation score ``selection`` chose, ``"crps"`` among them: ``shape`` and
        ``honesty``.
    samples : one row a (labels, seed, selection, aggregator, k): ``rmse`` and ``r2`` of
        the mean, the median and the best of k samples.
    """
    steps, laws, samples = [], [], []
    for arm in study.arms:
        for seed in study.seeds if arm.spec.detail else ():
            record = records[study.run(arm, seed).key]
            about = arm.labels | {"seed": seed}
            for row in record.get("history", ()):
                seen = {n: v for n, v in row.items() if n.startswith("valid_")}
                steps.append(about | {"step": row["step"]} | seen)
            for labels, detail in details(about, record):
                curves = detail["curves"]
                laws.append(labels | {k: v for k, v in detail.items() if v != curves})
                samples += [labels | point for point in curves]
    tables = {"steps": steps, "laws": laws, "samples": samples}
    return {name: pd.DataFrame(rows) for name, rows in tables.items() if rows}


def details(about: dict, record: dict) -> Iterator[tuple[dict, dict]]:
    """Labels and detail of the weights under each selection, as they are and cooled."""
    for selection, chosen in record.get("chosen", {}).items():
        labels = about | {"selection": selection, "best_step": chosen["step"]}
        yield labels, chosen["detail"]
        if selection in chosen["detail_cooled"]:
            yield labels | {"method": COOLED}, chosen["detail_cooled"][selection]
