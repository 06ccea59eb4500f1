"""The checks of chapter 5: right answers pass, stubs and usual slips are told why."""

import torch
from judged import judged, stub
from scipy.optimize import brentq
from scipy.stats import wasserstein_distance

from genre2_mini.exercises.chapter_05 import (
    check_best_for_dist2,
    check_false_minimum,
    check_place_value,
    check_was_by_sums,
    check_was_optimum,
)

# NTL-WAS by running sums


def was_by_sums(p, g):
    below = p[:g].cumsum(0).sum()
    above = p[g + 1 :].flip(0).cumsum(0).sum()
    return below + above


def was_by_a_library(p, g):
    return wasserstein_distance(range(len(p)), [g], p)


def squared_steps(p, g):
    truth = (torch.arange(len(p)) >= g).double()
    return (p.cumsum(0) - truth).square().sum()


def signed_steps(p, g):
    truth = (torch.arange(len(p)) >= g).double()
    return (truth - p.cumsum(0)).sum()


# The widest distribution with the right mean


def ends(g):
    return [1 - g / 9, 0, 0, 0, 0, 0, 0, 0, 0, g / 9]


def neighbours(g):
    return [0.5 * (abs(j - g) == 1) for j in range(10)]


def half_at_each_end(g):
    return [0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0.5]


def the_truth(g):
    return [float(j == g) for j in range(10)]


# The optimum of DIST²


def mixed(g, base, tau, weight):
    gap = torch.arange(base).double() - g
    q = (-gap.square() / tau).softmax(0)
    truth = (gap == 0).double()
    return (truth + weight * q) / (1 + weight)


def the_soft_label(g, base, tau, weight):
    gap = torch.arange(base).double() - g
    return (-gap.square() / tau).softmax(0)


def not_divided(g, base, tau, weight):
    return mixed(g, base, tau, weight) * (1 + weight)


def tau_as_a_deviation(g, base, tau, weight):
    return mixed(g, base, 2 * tau**2, weight)


# Digits by their worth


def by_place(truth, written, base):
    return sum(
        abs(a - b) * base**-k
        for k, (a, b) in enumerate(zip(truth, written, strict=True), 1)
    )


def first_digit_worth_one(truth, written, base):
    return base * by_place(truth, written, base)


def signed(truth, written, base):
    pairs = zip(truth, written, strict=True)
    return abs(sum((a - b) * base**-k for k, (a, b) in enumerate(pairs, 1)))


def from_the_right(truth, written, base):
    return by_place(truth[::-1], written[::-1], base)


# The optimum of NTL-WAS


def costs(q):
    digits = torch.arange(len(q)).double()
    return (digits[:, None] - digits).abs() @ q


def by_root(q, weight):
    c = weight * costs(q)
    lowest = 1e-9 - c.min().item()
    nu = brentq(lambda v: (q / (v + c)).sum().item() - 1, lowest, 1.0)
    return q / (nu + c)


def unchanged(q, weight):
    return q


def scaled_at_the_end(q, weight):
    p = q / (1 + weight * costs(q))
    return p / p.sum()


def all_on_the_median(q, weight):
    p = torch.full_like(q, 1e-6)
    p[costs(q).argmin()] = 1 - 1e-6 * (len(q) - 1)
    return p


RIGHT = [
    (check_was_by_sums, was_by_sums),
    (check_was_by_sums, was_by_a_library),
    (check_false_minimum, ends),
    (check_best_for_dist2, mixed),
    (check_place_value, by_place),
    (check_was_optimum, by_root),
]
WRONG = [
    (check_was_by_sums, stub, "is None"),
    (check_was_by_sums, squared_steps, "the distance of"),
    (check_was_by_sums, signed_steps, "the distance of"),
    (check_false_minimum, stub, "return ten probabilities"),
    (check_false_minimum, lambda g: [1.0], "wanted (10,)"),
    (check_false_minimum, lambda g: [2, -1] + [0] * 8, "negative"),
    (check_false_minimum, half_at_each_end, "the mean digit"),
    (check_false_minimum, the_truth, "still has some probability"),
    (check_false_minimum, neighbours, "is off by more"),
    (check_best_for_dist2, stub, "is None"),
    (check_best_for_dist2, the_soft_label, "the best p for g = 8"),
    (check_best_for_dist2, not_divided, "the best p for g = 8"),
    (check_best_for_dist2, tau_as_a_deviation, "the best p for g = 8"),
    (check_place_value, stub, "is None"),
    (check_place_value, first_digit_worth_one, "the price of"),
    (check_place_value, signed, "the price of [0, 1, 1]"),
    (check_place_value, from_the_right, "the price of"),
    (check_was_optimum, stub, "return a probability"),
    (check_was_optimum, lambda q, weight: q[:1], "wanted (2,)"),
    (check_was_optimum, lambda q, weight: q / 2, "the sum of p"),
    (check_was_optimum, unchanged, "at the optimum all are equal"),
    (check_was_optimum, scaled_at_the_end, "at the optimum all are equal"),
    (check_was_optimum, all_on_the_median, "at the optimum all are equal"),
]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
