"""Chapter 15's checks: each takes a right answer, and tells typical wrong ones why."""

import math

import torch
from judged import judged

from genre2_mini.exercises import chapter_15 as checks


def strings_for(bias2, spread, error):
    return None if bias2 >= error else math.ceil(spread / (error - bias2))


def without_the_bias(bias2, spread, error):
    return math.ceil(spread / error)


def not_whole(bias2, spread, error):
    return None if bias2 >= error else max(1.0, spread / (error - bias2))


def one_more(bias2, spread, error):
    right = strings_for(bias2, spread, error)
    return right and right + 1


def different(p, size):
    return (1 - (1 - p) ** size).sum()


def middle(p):
    F = p.cumsum(0)
    reached = 3 * F**2 - 2 * F**3
    return torch.cat([reached[:1], reached.diff()])


def middle_reached(p):
    return middle(p).cumsum(0)


def at_least_once(p):
    """Of one sample or more below v: the smallest of three, not the middle."""
    reached = 1 - (1 - p.cumsum(0)) ** 3
    return torch.cat([reached[:1], reached.diff()])


def leave_one_out(values, z, pairs=1):
    size = len(values)
    near = -(values - z).abs()
    m = (values[:, None] - values).abs().sum(dim=1) / (size - pairs)
    first = size / (size - 1) * (near - near.mean())
    return first + size / (size - 2) * (m - m.mean())


def plug_in(values, z):
    return checks._credit(values, z, checks._plug_in)


RIGHT = [
    (checks.check_strings_for, strings_for),
    (checks.check_different_strings, different),
    (checks.check_middle_of_three, middle),
    (checks.check_leave_one_out, leave_one_out),
    (checks.check_fooled, torch.tensor([0.2, 0.0, 0.4, 0.0, 0.4])),
    (checks.check_fooled, [0.15, 0.2, 0.15, 0.1, 0.4]),
]
WRONG = [
    (checks.check_strings_for, lambda b, s, e: 0, "return None"),
    (checks.check_strings_for, without_the_bias, "return None"),
    (checks.check_strings_for, lambda b, s, e: None, "some number is enough"),
    (checks.check_strings_for, not_whole, "whole strings"),
    (checks.check_strings_for, one_more, "fewer than 5 are enough"),
    (checks.check_different_strings, lambda p, n: None, "returned None"),
    (
        checks.check_different_strings,
        lambda p, n: n * (p > 0).sum(),
        "there or not",
    ),
    (checks.check_different_strings, lambda p, n: n * (1 - p @ p), "counts samples"),
    (checks.check_different_strings, lambda p, n: (p > 0).sum(), "different strings"),
    (checks.check_middle_of_three, lambda p: p, "that is one sample"),
    (checks.check_middle_of_three, lambda p: None, "returned None"),
    (checks.check_middle_of_three, middle_reached, "take its differences"),
    (checks.check_middle_of_three, at_least_once, "the median's probabilities"),
    (checks.check_middle_of_three, lambda p: p.sum(), "one probability a number"),
    (checks.check_leave_one_out, lambda v, z: None, "returned None"),
    (checks.check_leave_one_out, plug_in, "no pair with itself"),
    (
        checks.check_leave_one_out,
        lambda v, z: leave_one_out(v, z) / len(v),
        "S times that",
    ),
    (checks.check_leave_one_out, lambda v, z: -leave_one_out(v, z), "the sign"),
    (
        checks.check_leave_one_out,
        lambda v, z: leave_one_out(v, z, pairs=0),
        "the credits of 3 samples",
    ),
    (checks.check_fooled, None, "it is None"),
    (checks.check_fooled, torch.tensor([0, 0, 0.6, 0.4, 0]), "spread it out"),
    (checks.check_fooled, torch.tensor([0.5, 0, 0, 0, 0.5]), "the score is 0.160"),
    (checks.check_fooled, torch.ones(5), "sum to one"),
    (checks.check_fooled, torch.ones(4) / 4, "five probabilities"),
]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
