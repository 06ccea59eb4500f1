"""The checks of the quickstart's exercises: right answers pass, usual slips do not."""

import math

import pytest
import torch
from judged import judged, stub

from genre2_mini.exercises.chapter_00 import (
    check_bias_and_spread,
    check_coverage,
    check_leave_one_out,
    check_samples_needed,
)
from genre2_mini.metrics import weighted_quantile


def bias_and_spread(values, z, correction=0):
    bias = (values.mean(dim=1) - z).square().mean()
    return bias, values.var(dim=1, correction=correction).mean()


def coverage(values, z, level=0.9):
    tail = (1 - level) / 2
    low, high = weighted_quantile(values, [tail, 1 - tail]).T
    return ((low <= z) & (z <= high)).double().mean()


def leave_one_out(reward):
    others = reward.sum(dim=1, keepdim=True) - reward
    return reward - others / (reward.shape[1] - 1)


def samples_needed(bias, spread, mse, whole=math.ceil):
    return max(1, whole(spread / (mse - bias))) if mse > bias else math.inf


RIGHT = [
    (check_bias_and_spread, bias_and_spread),
    (check_coverage, coverage),
    (check_leave_one_out, leave_one_out),
    (
        check_leave_one_out,
        lambda r: r.shape[1] / (r.shape[1] - 1) * (r - r.mean(1, keepdim=True)),
    ),
    (check_samples_needed, samples_needed),
]
WRONG = [
    (check_bias_and_spread, stub, "returned None"),
    (
        check_bias_and_spread,
        lambda v, z: bias_and_spread(v, z, correction=1),
        "divide the variance by S",
    ),
    (
        check_bias_and_spread,
        lambda v, z: ((v.mean(1) - z).mean() ** 2, v.var(1, correction=0).mean()),
        "squared before rows are averaged",
    ),
    (
        check_bias_and_spread,
        lambda v, z: ((v - z[:, None]).square().mean(), 0.0),
        "bias² of two toy rows",
    ),
    (check_coverage, stub, "is None"),
    (check_coverage, lambda v, z: coverage(v, z, level=1.0), "wanted 0.5"),
    (
        check_coverage,
        lambda v, z: coverage(v.reshape(1, -1).expand(len(v), -1), z),
        "wanted 0.5",
    ),
    (check_leave_one_out, stub, "returned None"),
    (
        check_leave_one_out,
        lambda r: r - r.mean(dim=1, keepdim=True),
        "leave the sample itself out",
    ),
    (check_leave_one_out, lambda r: -leave_one_out(r), "the sign"),
    (check_leave_one_out, lambda r: leave_one_out(r.T).T, "advantage of two"),
    (check_samples_needed, stub, "is None"),
    (
        check_samples_needed,
        lambda *a: samples_needed(*a, whole=float),
        "a whole number",
    ),
    (check_samples_needed, lambda b, s, m: max(1, math.ceil(s / (m - b))), "math.inf"),
    (
        check_samples_needed,
        lambda b, s, m: math.ceil(s / m) if m > b else math.inf,
        "samples for 0.5 + 8/S",
    ),
]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)


def test_coverage_is_what_it_says_for_an_honest_distribution():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2000, 200, generator=generator, dtype=torch.float64)
    z = torch.randn(2000, generator=generator, dtype=torch.float64)
    assert coverage(values, z) == pytest.approx(0.9, abs=0.03)
