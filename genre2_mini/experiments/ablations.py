"""Studies that change one thing: tokenizer, reward, expert, rows, or the network.

Each labels its arms with a ``setting``; all else is as in the main study.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from genre2_mini.experiments.budgets import Budget
from genre2_mini.experiments.named_rewards import REWARDS
from genre2_mini.experiments.study import Arm
from genre2_mini.experiments.tabular import TUNED, arm_of, checkpoint_arm
from genre2_mini.objectives import GenRe2

# An unset setting is the main study's, and so are then its runs.
TOKENIZERS = {"(2, 8)": None} | {
    f"({base}, {digits})": {
        "type": "NormalizedTokenizer",
        "base": base,
        "num_digits": digits,
    }
    for base, digits in ((4, 4), (6, 4), (8, 3), (10, 3))
}
# Without bounds one slip of an exponent outweighs everything. The limit is the paper's
# for programs, whose strings are such.
UNBOUNDED = {
    "scientific": {"type": "ScientificTokenizer"},
    "ieee": {"type": "IEEETokenizer"},
}
BOUNDED_REWARD = {"reward": "clipped50"}
EXPERT_WEIGHTS = (GenRe2.expert_weight, 0.2, 0.5, 1.0, 2.0)  # first the paper's
WITH_DROPOUT = (GenRe2.expert_weight, 0.5)
TRAIN_ROWS = (250, 500, 1000, 2000)
PAPER = {"d_model": 256, "hidden": 1024, "num_layers": 3, "encoder_layers": 3}
COMPARED = ("pointwise", "ce", "genre2")


def tokenisation(task: str, budget: Budget) -> Iterator[Arm]:
    """Cross-entropy and GenRe² under every tokenizer."""
    for name, tokenizer in (TOKENIZERS | UNBOUNDED).items():
        start = checkpoint_arm(task, budget, tokenizer=tokenizer)
        yield from with_setting(name, start, ("ce",), budget)
        objective = BOUNDED_REWARD if name in UNBOUNDED else {}
        genre2 = arm_of("genre2", start, budget)
        yield changed(genre2, name, objective=objective)


def reward(task: str, budget: Budget) -> Iterator[Arm]:
    """ReMax under every reward."""
    start = checkpoint_arm(task, budget)
    yield from with_setting("none", start, ("ce",), budget)
    remax = arm_of("remax", start, budget)
    for name in REWARDS:
        arguments = {} if name == "squared" else {"reward": name}
        yield changed(remax, name, objective=arguments)


def expert(task: str, budget: Budget) -> Iterator[Arm]:
    """GenRe² at every weight of the expert, and the expert alone; also with dropout."""
    start = checkpoint_arm(task, budget)
    yield from with_setting("none", start, ("ce",), budget)
    yield changed(arm_of("remax", start, budget), "0")
    alone, both = (arm_of(name, start, budget) for name in ("expert", "genre2"))
    for dropout, word, weights in (
        ({}, "", EXPERT_WEIGHTS),
        ({"dropout": True}, ", dropout", WITH_DROPOUT),
    ):
        yield changed(alone, f"alone{word}", objective=dropout)
        for weight in weights:
            paper = weight == GenRe2.expert_weight
            arguments = dropout if paper else dropout | {"expert_weight": weight}
            yield changed(both, f"{weight:g}{word}", objective=arguments)


def data_size(task: str, budget: Budget) -> Iterator[Arm]:
    """From 250 training rows to all, with the same validation and test rows."""
    budget = replace(budget, max_rows=2 * budget.max_rows)
    for rows in (*TRAIN_ROWS, None):
        start = checkpoint_arm(task, budget, train_rows=rows)
        yield from with_setting(str(rows or "all"), start, COMPARED, budget)


def periodic(task: str, budget: Budget) -> Iterator[Arm]:
    """The methods again, with periodic embeddings of the numeric features."""
    start = checkpoint_arm(task, budget, model={"periodic": True})
    yield from with_setting("periodic", start, (*COMPARED, TUNED), budget)


def scale(task: str, budget: Budget) -> Iterator[Arm]:
    """The methods again, at the sizes of arXiv 2512.06533: 25 times the weights."""
    start = checkpoint_arm(task, budget, model=PAPER)
    yield from with_setting("paper", start, COMPARED, budget)


def with_setting(
    name: str, start: Arm, methods: tuple[str, ...], budget: Budget
) -> Iterator[Arm]:
    """A checkpoint and the methods after it, labelled by a setting."""
    yield start
    for method in methods:
        yield changed(arm_of(method, start, budget), name)


def changed(arm: Arm, setting: str, **changes: object) -> Arm:
    """The arm, labelled by its setting, with other settings of its run."""
    labels = arm.labels | {"setting": setting}
    group = arm.group and f"{arm.group} {setting}"
    return replace(arm, labels=labels, group=group, spec=arm.spec.but(**changes))
