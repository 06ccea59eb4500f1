"""The main study: every method on every table, from one cross-entropy policy each.

Within a task and a seed all share the split, the encoder's size and the number of
batches: cross-entropy goes on from its own policy for as many steps as the others, and
the heads and token-level losses get both shares. Learning rates come from one small
grid, weights from the validation score of what is asked for; test rows are scored once.
Beside them, GenRe² with the rate and the expert's weight that suit each table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil

from genre2_mini.experiments.budgets import Budget
from genre2_mini.experiments.rivals import RIVALS
from genre2_mini.experiments.specs import RunSpec
from genre2_mini.experiments.study import Arm
from genre2_mini.methods import POLICY, find_method

HEADS = ("pointwise", "histogram")
FINE_TUNED = ("ntl_mse", "ntl_was", "dist2")
FINE_TUNED += ("reinforce", "rloo", "remax", "grpo", "dr_grpo", "ppo")
FINE_TUNED += ("expert", "genre2")
TUNED = "genre2_tuned"
METHODS = (*HEADS, "ce", *FINE_TUNED, TUNED, *RIVALS)
WEIGHTS = (0.5, 2.0)  # of the expert, for the validation rows to choose; else 0.05


def tabular(task: str, budget: Budget) -> Iterator[Arm]:
    """Every method on every table: does the reward beat cross-entropy?"""
    start = checkpoint_arm(task, budget)
    yield start
    for method in METHODS:
        yield arm_of(method, start, budget)


def checkpoint_arm(task: str, budget: Budget, **settings: object) -> Arm:
    """The cross-entropy policy of a task that the fine-tuned methods start from."""
    spec = RunSpec(
        task,
        "ce",
        max_rows=budget.max_rows,
        steps=budget.ce_steps,
        keep_weights=True,
        device=budget.device,
        **settings,
    )
    labels = {"task": task, "method": "checkpoint"}
    group = group_of("checkpoint", spec)
    choices = rates_of("checkpoint", budget)
    return Arm(labels, spec, choices, group=group, shown=False)


def arm_of(method: str, start: Arm, budget: Budget) -> Arm:
    """A method as it starts: from the checkpoint, or from scratch with both shares."""
    if method == TUNED:
        return tuned_arm(start, budget)
    labels = start.labels | {"method": method}
    spec = start.spec.but(method=method, keep_weights=False)
    choices, group = rates_of(method, budget), group_of(method, spec)
    if method in RIVALS:  # each has a grid of its own
        return Arm(labels, spec.but(steps=0))
    if find_method(method).model != POLICY:
        spec = spec.but(steps=budget.ce_steps + budget.rl_steps)
        return Arm(labels, spec, choices, group=group)
    # As many optimiser steps for all: what learns from a batch twice gets half of them.
    passes = getattr(find_method(method).objective(), "epochs", 1)
    spec = spec.but(
        steps=ceil(budget.rl_steps / passes),
        validate_every=ceil(budget.validate_every / passes),
    )
    return Arm(labels, spec, choices, start, group)


def tuned_arm(start: Arm, budget: Budget) -> Arm:
    """GenRe² as one tunes it who averages: each table chooses its rate and weight."""
    arm = arm_of("genre2", start, budget)
    weights = [{}, *({"objective": {"expert_weight": w}} for w in WEIGHTS)]
    return replace(
        arm,
        labels=arm.labels | {"method": TUNED},
        choices=[rate | weight for rate in arm.choices for weight in weights],
        group=None,
        chosen_by=("rmse_mean",),
    )


def group_of(method: str, spec: RunSpec) -> str:
    """All tasks of a method and a setting: they share a learning rate."""
    return f"{method} {spec.tokenizer} {spec.model} {spec.train_rows}"


def rates_of(method: str, budget: Budget) -> list[dict]:
    """A method's learning rates as an arm's choices: the settled one, or all."""
    settled = budget.settled.get(method)
    rates = budget.rates if settled is None else (settled,)
    return [{"learning_rate": rate} for rate in rates]
