"""How much a study may cost: a minute, an evening, or all there is."""

from __future__ import annotations

from dataclasses import dataclass

TEN = ("concrete", "abalone", "house_sales", "houses", "cps1988")
TEN += ("diamonds", "co2", "fried", "planes2d", "mv")


@dataclass(frozen=True)
class Budget:
    """The size of a study.

    Attributes
    ----------
    tasks, seeds, max_rows : on which tables, how often, with how many rows at most.
    ce_steps, rl_steps : batches of cross-entropy, then of every method.
    validate_every : steps between the validations of the second stage.
    rates : learning rates to choose from.
    device : where the networks compute.
    """

    tasks: tuple[str, ...] = TEN
    seeds: int = 5
    max_rows: int | None = 4000
    ce_steps: int = 1000
    rl_steps: int = 300
    validate_every: int = 20
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    device: str = "cpu"


BUDGETS = {
    "smoke": Budget(
        ("concrete", "planes2d"), 2, 300, 60, 10, validate_every=5, rates=(1e-3,)
    ),
    "small": Budget(),
    "full": Budget(max_rows=10_000, ce_steps=3000, rl_steps=1000),
}
