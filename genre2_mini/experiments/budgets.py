"""How much a study may cost: a minute, an evening, or all there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TEN = ("concrete", "abalone", "house_sales", "houses", "cps1988")
TEN += ("diamonds", "co2", "fried", "planes2d", "mv")
# What the main study chose of its grid; studies that change one thing keep the rate.
MAIN_RATES = dict.fromkeys(("checkpoint", "pointwise", "histogram"), 1e-3)
MAIN_RATES |= {"ce": 1e-4} | dict.fromkeys(("remax", "expert", "genre2"), 3e-4)
# Four times as wide: by a rule, for a choice of rates would cost hours.
WIDE_RATES = {method: round(0.3 * rate, 6) for method, rate in MAIN_RATES.items()}


@dataclass(frozen=True)
class Budget:
    """The size of a study.

    Attributes
    ----------
    tasks, seeds, max_rows : on which tables, how often, with how many rows at most.
    ce_steps, rl_steps : batches of cross-entropy, then of every method.
    validate_every : steps between the validations of the second stage.
    rates : learning rates to choose from.
    settled : method -> its learning rate, where there is nothing to choose.
    device : where the networks compute.
    """

    tasks: tuple[str, ...] = TEN
    seeds: int = 5
    max_rows: int | None = 4000
    ce_steps: int = 1000
    rl_steps: int = 300
    validate_every: int = 20
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    settled: Mapping[str, float] = field(default_factory=dict)
    device: str = "cpu"


BUDGETS = {
    "smoke": Budget(
        ("concrete", "planes2d"), 2, 300, 60, 10, validate_every=5, rates=(1e-3,)
    ),
    "small": Budget(),
    "full": Budget(max_rows=10_000, ce_steps=3000, rl_steps=1000),
}
# What differs where a study is not on all tables or has no rates to choose.
THREE = {"tasks": ("concrete", "abalone", "house_sales"), "settled": MAIN_RATES}
SMALLER = dict.fromkeys(("tokenisation", "reward", "expert", "what-rl-changes"), THREE)
SMALLER |= {
    "data-size": THREE | {"tasks": ("house_sales", "fried")},
    "gap": THREE | {"tasks": ("concrete", "house_sales", "houses")},
    "scale": {
        "tasks": ("concrete", "house_sales"),
        "seeds": 3,
        "settled": WIDE_RATES,
    },
}
