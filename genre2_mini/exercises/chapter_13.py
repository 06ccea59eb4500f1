"""The checks of chapter 13: base and length, and what to do about outliers."""

from __future__ import annotations

import math

import torch

from genre2_mini.exercises import exercise, require, require_close

__all__ = [
    "check_clipped_mean",
    "check_digits_changed",
    "check_gradient_noise",
    "check_harm",
]
DOUBLE = torch.float64


@exercise
def check_clipped_mean(answer):
    """``answer(values (N, L), weights (N, L), low, high)`` -> (N,): clip, then mean."""
    values = torch.tensor([[0.5, 1.0, 1e12], [-1.5, 0.0, -40.0]], dtype=DOUBLE)
    weights = torch.tensor([[2, 1, 1], [3, 4, 1]], dtype=DOUBLE)
    low, high = -1.0, 2.0
    inside, total = values.clamp(low, high), weights.sum(dim=1)
    want = (weights * inside).sum(dim=1) / total
    given = answer(values.clone(), weights.clone(), low, high)
    if torch.is_tensor(given) and given.shape == want.shape:
        mean = (weights * values).sum(dim=1) / total
        require(
            not torch.allclose(given, mean.clamp(low, high)),
            "the mean was clipped: clip each string, before they are averaged",
        )
        require(
            not torch.allclose(given, want * total),
            "the weights need not sum to one: divide by their sum",
        )
        require(
            not torch.allclose(given, inside.mean(dim=1)),
            "all strings counted alike: use the weights",
        )
        kept = weights * ((values >= low) & (values <= high))
        dropped = (kept * values).sum(dim=1) / kept.sum(dim=1)
        require(
            not torch.allclose(given, dropped),
            "the strings outside were dropped: each counts, at the end of the range",
        )
    require_close(given, want, "the clipped means")


@exercise
def check_harm(answer):
    """``answer(p, num_samples)`` -> (P(mean harmed), P(lower median harmed))."""
    for p, samples in ((0.01, 128), (0.3, 4), (0.5, 5)):
        given = answer(p, samples)
        require(given is not None, "it returned None: return two probabilities")
        mean, median = (float(v) for v in given)
        case = f"p = {p:g}, S = {samples}"
        require(
            not math.isclose(mean, p * samples, rel_tol=1e-6),
            f"{case}: p S is the expected number of slips, not the chance of one",
        )
        require(
            not math.isclose(mean, (1 - p) ** samples, rel_tol=1e-6) or p == 0.5,
            f"{case}: that is the chance of no slip at all",
        )
        require_close(mean, 1 - (1 - p) ** samples, f"{case}: the mean's")
        more_than = _at_least(samples // 2 + 1, samples, p)
        half = _at_least(samples // 2, samples, p)
        require(
            samples % 2 or not math.isclose(median, half, rel_tol=1e-6),
            f"{case}: with exactly half of them slips the lower median is none",
        )
        require_close(median, more_than, f"{case}: the median's", 1e-9)


def _at_least(least: int, samples: int, p: float) -> float:
    """P(at least so many of the samples are slips)."""
    return sum(
        math.comb(samples, k) * p**k * (1 - p) ** (samples - k)
        for k in range(least, samples + 1)
    )


@exercise
def check_digits_changed(answer):
    """``answer(base, num_digits)``: mean number of digits that one step up changes."""
    for base, digits in ((2, 3), (2, 1), (10, 3), (6, 4), (10, 9)):
        given = answer(base, digits)
        require(given is not None, "it returned None: return a number")
        given, steps = float(given), base**digits - 1
        changes = sum(base ** (digits - j) - 1 for j in range(digits))
        case = f"base {base}, {digits} digits"
        require(
            not math.isclose(given, base / (base - 1), rel_tol=1e-12),
            f"{case}: B/(B − 1) is the limit of long strings",
        )
        around = sum(base**-j for j in range(digits))
        require(
            digits < 2 or not math.isclose(given, around, rel_tol=1e-12),
            f"{case}: there are B^K − 1 steps; the one from the last string back to "
            "the first is none",
        )
        require_close(given, changes / steps, case, 1e-10)


@exercise
def check_gradient_noise(answer):
    """``answer(p (V,), r (V,), b)`` -> gradient of E[r] (V,) and total variance."""
    p = torch.tensor([0.6, 0.3, 0.1], dtype=DOUBLE)
    r = torch.tensor([0.0, -1.0, -20.0], dtype=DOUBLE)
    score = torch.eye(3, dtype=DOUBLE) - p
    for b in (0.0, -2.3):
        given = answer(p.clone(), r.clone(), b)
        require(given is not None, "it returned None: return gradient and variance")
        g, variance = given
        want = p * (r - p @ r)
        estimate = (r - b)[:, None] * score
        second = p @ estimate.square().sum(dim=1)
        if torch.is_tensor(g) and g.shape == want.shape:
            require(
                not torch.allclose(g, -want),
                "the sign: that is the gradient of −E[r]",
            )
            require(
                not torch.allclose(g, estimate.sum(dim=0)),
                "each string counts with its probability",
            )
        require_close(g, want, f"the gradient with baseline {b:g}")
        variance = torch.as_tensor(variance).double()
        require(
            variance.shape == (),
            "the variance is one number: the sum over the logits",
        )
        require(
            not torch.allclose(variance, second),
            "that is the second moment: subtract the square of the mean",
        )
        without = (p @ (r[:, None] * score).square().sum(dim=1)) - want @ want
        require(
            b == 0 or not torch.allclose(variance, without),
            "the variance does not depend on the baseline yet",
        )
        require_close(variance, second - want @ want, f"the variance, baseline {b:g}")
