"""Your own policy on your own rows, with a kernel behind it."""

from __future__ import annotations

import math

import torch
from ipywidgets import HTML, BoundedIntText, Dropdown, FloatSlider, HBox, VBox
from torch import Tensor

from genre2_mini.evaluation import ENUMERABLE, EXACT, SPREAD
from genre2_mini.exhibits.policy_report import AGGREGATORS, report
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rollouts import tree_rollout
from genre2_mini.tasks import Split, Task


def explore_policy(policy: DecodingPolicy, rows: Task | Split) -> VBox:
    """What a policy predicts for a row: ipywidgets for a live notebook.

    The reader chooses the row, the number of strings, their temperature, and what
    becomes of them. For normalised strings the digit tree is drawn, for others the
    share of the numbers up to each z.

    Parameters
    ----------
    policy : of one number; it is read anew at every change.
    rows : a task, whose part can be chosen, or one split of it.

    Raises
    ------
    TypeError : ``policy`` or ``rows`` is something else.
    ValueError : ``rows`` has none, or not such as the policy reads and writes.
    """
    parts, tokenizer = _checked(policy, rows), policy.tokenizer
    size = math.prod(tokenizer.vocab_sizes)
    every = f"all {size:,}" if size <= ENUMERABLE else f"{SPREAD:,}, evenly spread"
    counts = [(every, 0), *((str(n), n) for n in (1, 8, 32, 128, 512))]
    part = Dropdown(options=list(parts), description="part")
    row = BoundedIntText(0, 0, len(parts[part.value]) - 1, description="row")
    samples = Dropdown(options=counts, description="strings")
    seed = BoundedIntText(0, 0, 2**31 - 1, description="seed")
    temperature = FloatSlider(
        1.0,
        min=0.1,
        max=2.0,
        description="temperature",
        style={"description_width": "initial"},
        continuous_update=False,
    )
    aggregator = Dropdown(options=list(AGGREGATORS), description="prediction")
    shown = HTML()

    def show(_: object = None) -> None:
        split, i = parts[part.value], row.value
        values, share = predictive(
            policy, split.x[[i]], samples.value or None, temperature.value, seed.value
        )
        shown.value = report(
            tokenizer, values, share, split.z[i].item(), aggregator.value
        )

    def choose(_: object) -> None:
        row.max = len(parts[part.value]) - 1
        show()

    show()
    part.observe(choose, "value")
    controls = [part, row, samples, seed, temperature, aggregator]
    for control in controls[1:]:
        control.observe(show, "value")
    return VBox([HBox(controls, layout={"flex_flow": "row wrap"}), shown])


def _checked(policy: DecodingPolicy, rows: Task | Split) -> dict[str, Split]:
    """The splits by name that have rows."""
    if not isinstance(policy, DecodingPolicy):
        raise TypeError(
            f"policy must be a DecodingPolicy, got {type(policy).__name__}; "
            "a fitted DecodingRegressor has one: model_"
        )
    if isinstance(rows, Task):
        parts = {"valid": rows.valid, "test": rows.test, "train": rows.train}
    elif isinstance(rows, Split):
        parts = {"rows": rows}
    else:
        raise TypeError(f"rows must be a Task or a Split, got {type(rows).__name__}")
    parts = {name: split for name, split in parts.items() if len(split)}
    if not parts:
        raise ValueError("the split has no rows: there is nothing to explore")
    if hasattr(policy.tokenizer, "parts") or next(iter(parts.values())).z.ndim > 1:
        raise ValueError("policy and rows must have one target, not several")
    return parts


def predictive(
    policy: DecodingPolicy,
    x: Tensor,
    num_samples: int | None,
    temperature: float,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Different numbers (M,) that the policy writes for x (1, …), and their shares.

    At temperature 1 the distribution of
    :func:`genre2_mini.evaluation.predict_distribution`; None has its meaning there.
    """
    x = x.to(next(policy.parameters()).device)
    everything = math.prod(policy.tokenizer.vocab_sizes) <= ENUMERABLE
    count = num_samples or (EXACT if everything else SPREAD)
    generator = torch.Generator(x.device).manual_seed(seed)
    with torch.no_grad():
        rollout = tree_rollout(
            policy, x, count, temperature, generator, systematic=num_samples is None
        )
    values = policy.tokenizer.decode(rollout.tokens).cpu()
    values, same = values.unique(return_inverse=True)
    return values, torch.bincount(same, rollout.count.cpu().double() / count)
