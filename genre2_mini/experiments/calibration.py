"""Exact predictive distributions, what one answer to give, and whether they are honest.

A predictive distribution is ``values`` (N, V) in z units with ``weights`` (N, V) that
sum to one in each row.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from genre2_mini.metrics import weighted_quantile
from genre2_mini.policy import DecodingPolicy
from genre2_mini.prefix_tree import all_strings


@torch.no_grad()
def exact_distribution(
    policy: DecodingPolicy, x: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Values of all V strings and their probabilities, both (N, V) float64.

    Every token is drawn from softmax(logits / ``temperature``). Unlike
    ``predict_distribution`` it leaves out no unlikely branch.
    """
    strings = all_strings(policy, x)
    tempered = (strings.log_probs.double() / temperature).log_softmax(dim=-1)
    log_prob = replace(strings, log_probs=tempered).log_prob
    values = policy.tokenizer.decode(strings.tokens)
    return values.unflatten(0, (len(x), -1)), log_prob.exp().unflatten(0, (len(x), -1))


def point_answers(values: Tensor, weights: Tensor) -> dict[str, Tensor]:
    """Mean, median and mode (N,) of each row's distribution."""
    mode = values.gather(1, weights.argmax(dim=1, keepdim=True))[:, 0]
    median = weighted_quantile(values, 0.5, weights)
    return {"mean": (weights * values).sum(-1), "median": median, "mode": mode}


def probability_below(
    values: Tensor, weights: Tensor, z: Tensor, width: float
) -> Tensor:
    """F(z) (N,) for z (N,), each value standing for a cell of ``width`` filled evenly.

    The probability integral transform: for an honest distribution it is uniform on
    [0, 1], also where single cells hold much of the mass, and where z lies beside the
    value that spells it.
    """
    share = ((z[:, None] - values) / width + 0.5).clamp(0, 1)
    return (weights * share).sum(dim=-1)


def coverage(below: Tensor, level: float) -> float:
    """Share of rows inside their central interval, from F(z) (N,); level in (0, 1)."""
    return ((below - 0.5).abs() <= level / 2).double().mean().item()


def central_width(values: Tensor, weights: Tensor, width: float, level: float) -> float:
    """Mean width of the rows' central intervals, for cells of ``width`` filled evenly.

    The interval's ends are the (1 ∓ ``level``)/2 quantiles, inverse to
    ``probability_below``; coverage without the width is cheap.
    """
    values, order = values.sort(dim=-1)
    weights = weights.gather(-1, order)
    upper = weights.cumsum(dim=-1)
    ends = []
    for q in ((1 - level) / 2, (1 + level) / 2):
        goal = torch.full_like(upper[:, :1], q)
        cell = torch.searchsorted(upper, goal).clamp(max=upper.shape[1] - 1)
        share = weights.gather(-1, cell)
        inside = (goal - upper.gather(-1, cell)) / share + 1  # from the cell's low end
        ends.append(values.gather(-1, cell) + width * (inside.clamp(0, 1) - 0.5))
    return (ends[1] - ends[0]).mean().item()
