"""The study of code metrics: a program's text, its cost, and two kinds of unseen.

All methods of a cell share rows, split, encoder and number of batches, as in the main
study; all are scored on the logarithm of the count. The digits are of the logarithm
(eight binary ones), or the count's own, with an exponent, where the reward is that of
quantile space.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from genre2_mini.experiments.ablations import UNBOUNDED
from genre2_mini.experiments.budgets import Budget
from genre2_mini.experiments.programs import CELLS
from genre2_mini.experiments.study import Arm
from genre2_mini.experiments.tabular import arm_of, checkpoint_arm
from genre2_mini.experiments.text_rivals import TEXT_RIVALS

ENCODER = {"model": {"d_model": 32}, "batch_size": 64}
EXPERT_WEIGHT = 0.1  # the published one for programs
OBJECTIVES = {"genre2": {"expert_weight": EXPERT_WEIGHT}}
QUANTILE = {"reward": "quantile"}
EVERYWHERE = ("pointwise", "ce", "remax", "genre2")
ON_OPS = ("histogram", "ntl_mse", "ntl_was", "dist2", "expert")
WITH_EXPONENTS = ("ce", "genre2")
EXPONENT_CELLS = ("humaneval-ops-random", "stdlib-ops-random")


def code_metrics(cell: str, budget: Budget) -> Iterator[Arm]:
    """Every method on the digits of the logarithm; two on strings with an exponent."""
    start = labelled(checkpoint_arm(f"{cell}-log", budget, **ENCODER), cell, "log")
    yield start
    for rival in TEXT_RIVALS:
        spec = start.spec.but(method=rival, steps=0, keep_weights=False)
        yield Arm(start.labels | {"method": rival}, spec)
    for method in EVERYWHERE + (ON_OPS if "-ops-" in cell else ()):
        yield with_objective(arm_of(method, start, budget))
    for name in UNBOUNDED if cell in EXPONENT_CELLS else ():
        settings = ENCODER | {"tokenizer": UNBOUNDED[name]}
        start = checkpoint_arm(f"{cell}-raw", budget, **settings)
        yield (start := labelled(start, cell, name))
        for method in WITH_EXPONENTS:
            yield with_objective(arm_of(method, start, budget))


def labelled(arm: Arm, cell: str, tokens: str) -> Arm:
    """The arm with the columns of this study."""
    data, target, split = cell.split("-")
    about = {"task": cell, "data": data, "target": target, "split": split}
    return replace(arm, labels=about | {"tokens": tokens} | arm.labels | {"task": cell})


def with_objective(arm: Arm) -> Arm:
    """The arm with its method's arguments; raw counts have the quantile reward."""
    method = arm.labels["method"]
    arguments = OBJECTIVES.get(method, {})
    if method == "genre2" and arm.labels["tokens"] != "log":
        arguments = arguments | QUANTILE
    return replace(arm, spec=arm.spec.but(objective=arguments))


CODE_BUDGETS = {
    "smoke": Budget(
        ("stdlib-ops-random", "stdlib-ops-problem"),
        2,
        300,
        30,
        10,
        validate_every=5,
        rates=(2e-3,),
    ),
    "small": Budget(CELLS, 5, 3000, 300, 80, rates=(5e-4, 2e-3)),
    "full": Budget(CELLS, 5, None, 2000, 400, rates=(5e-4, 1e-3, 2e-3)),
}
