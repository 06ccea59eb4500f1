"""Checks of chapter 5: token-level repairs.

Distributions over digits are sequences of probabilities, one a digit, 0 first.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genre2_mini.exercises import exercise, require, require_close

__all__ = [
    "check_best_for_dist2",
    "check_false_minimum",
    "check_place_value",
    "check_was_by_sums",
    "check_was_optimum",
]
DOUBLE = torch.float64


@exercise
def check_was_by_sums(answer: Callable) -> None:
    """``answer(p, g)``: NTL-WAS of p (B,) for the true digit g, by running sums."""
    cases = [
        ([1.0, 0.0, 0.0], 2),
        ([0.5, 0.25, 0.25], 1),
        ([0.1, 0.2, 0.3, 0.4], 0),
        ([0.1, 0.2, 0.3, 0.4], 3),
        ([0.05, 0.0, 0.2, 0.3, 0.1, 0.0, 0.15, 0.0, 0.0, 0.2], 4),
    ]
    for shares, g in cases:
        p = torch.tensor(shares, dtype=DOUBLE)
        want = (p * (torch.arange(len(p)) - g).abs()).sum()
        require_close(answer(p, g), want, f"the distance of {shares} to digit {g}")


@exercise
def check_false_minimum(answer: Callable) -> None:
    """``answer(g)``: the widest p (10,) of mean g that never writes g."""
    digits = torch.arange(10, dtype=DOUBLE)
    for g in range(1, 9):
        p = answer(g)
        require(p is not None, "p is None: return ten probabilities")
        p = torch.as_tensor(p, dtype=DOUBLE)
        require(p.shape == (10,), f"p has shape {tuple(p.shape)}, wanted (10,)")
        require((p >= 0).all(), f"g = {g}: a probability is negative")
        require_close(p.sum(), 1.0, f"g = {g}: the sum of p")
        require_close(p @ digits, float(g), f"g = {g}: the mean digit")
        require(p[g] < 1e-9, f"g = {g}: the true digit still has some probability")
        cost, most = p @ (digits - g).abs(), 2 * g * (9 - g) / 9
        require(
            cost > most - 1e-6,
            f"g = {g}: a sampled digit is off by {cost:.3f} on average, and some other "
            "p with this mean is off by more",
        )


def soft_label(g: int, base: int, tau: float) -> Tensor:
    """q (B,) ∝ exp(−(j − g)²/τ)."""
    gap = torch.arange(base, dtype=DOUBLE) - g
    return (-gap.square() / tau).softmax(-1)


@exercise
def check_best_for_dist2(answer: Callable) -> None:
    """``answer(g, base, tau, weight)``: the p (B,) where CE + weight · KL is least."""
    for g, base, tau, weight in [(8, 10, 1.0, 0.1), (0, 2, 1.0, 0.1), (3, 5, 4.0, 2.0)]:
        q = soft_label(g, base, tau)
        truth = torch.zeros(base, dtype=DOUBLE)
        truth[g] = 1
        what = f"the best p for g = {g}, base {base}, tau {tau:g}, weight {weight:g}"
        require_close(
            answer(g, base, tau, weight), (truth + weight * q) / (1 + weight), what
        )


@exercise
def check_place_value(answer: Callable) -> None:
    """``answer(truth, written, base)``: wrong digits priced by what they are worth."""
    cases = [
        ([2, 0, 0], [3, 0, 0], 10, 0.1),
        ([2, 0, 0], [2, 0, 7], 10, 0.007),
        ([1, 0, 1], [0, 1, 1], 2, 0.75),
        ([2, 0, 0, 0], [1, 9, 9, 9], 10, 0.1999),
    ]
    for truth, written, base, want in cases:
        what = f"the price of {written} for {truth} in base {base}"
        require_close(answer(truth, written, base), want, what)


@exercise
def check_was_optimum(answer: Callable) -> None:
    """``answer(f, weight)``: the p (B,) where E_g[CE + weight · NTL-WAS] is least.

    f is how often each digit is the true one. At the optimum p_j (ν + weight · c_j) is
    f_j, where c_j is the mean distance of j to the truth and ν the same for all j.
    """
    for shares, weight in [
        ([0.25, 0.75], 0.3),
        ([0.2, 0.5, 0.3], 3.0),
        ([0.01, 0.04, 0.15, 0.3, 0.2, 0.08, 0.04, 0.03, 0.1, 0.05], 30.0),
    ]:
        q = torch.tensor(shares, dtype=DOUBLE)
        p = answer(q, weight)
        require(p is not None, "p is None: return a probability for each digit")
        p = torch.as_tensor(p, dtype=DOUBLE)
        require(p.shape == q.shape, f"p has shape {tuple(p.shape)}, wanted {(len(q),)}")
        require_close(p.sum(), 1.0, "the sum of p")
        require((p > 0).all(), "every digit that may be true keeps some probability")
        digits = torch.arange(len(q), dtype=DOUBLE)
        c = (digits[:, None] - digits).abs() @ q
        slope = weight * c - q / p
        spread = (slope.max() - slope.min()).item()
        require(
            spread < 1e-3 * weight,
            f"weight {weight:g}: the slopes −f_j/p_j + weight · c_j differ by "
            f"{spread:.3g}; at the optimum all are equal",
        )
