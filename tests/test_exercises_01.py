"""The checks of chapter 1's exercises: right answers pass, usual slips do not."""

import math

import torch
from judged import judged, stub

from genre2_mini.exercises.chapter_01 import (
    check_changes,
    check_digits_needed,
    check_fit_robust,
    check_value_of,
)
from genre2_mini.tokenizers import NormalizedTokenizer


def check_range(answer):
    """On the chapter's targets, one of which is an outlier."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(4000, generator=generator, dtype=torch.float64)
    z[0] = 300.0
    return check_fit_robust(answer, z)


def value_of(digits, base):
    return sum(d * base ** -(i + 1) for i, d in enumerate(digits))


def digits_needed(base, span, rmse, whole=math.ceil):
    return whole(math.log(span / (rmse * math.sqrt(12)), base))


def changes(base, num_digits, steps=None):
    cells = base**num_digits
    grid = NormalizedTokenizer(base, num_digits, low=0, high=cells)
    strings = grid.encode(torch.arange(cells))
    return (strings[1:] != strings[:-1]).sum().item() / (steps or cells - 1)


def inner(share):
    """A fit to the inner ``share`` of the targets."""

    def fit(z, base, num_digits):
        ends = torch.tensor([(1 - share) / 2, (1 + share) / 2]).double()
        low, high = z.quantile(ends).tolist()
        return NormalizedTokenizer(base, num_digits, low=low, high=high)

    return fit


RIGHT = [
    (check_value_of, value_of),
    (check_value_of, lambda d, b: int("".join(map(str, d)), b) / b ** len(d)),
    (check_digits_needed, digits_needed),
    (check_changes, changes),
    (check_changes, lambda b, k: sum(b**i - 1 for i in range(1, k + 1)) / (b**k - 1)),
    (check_range, inner(0.995)),
    (check_range, inner(0.992)),
]
WRONG = [
    (check_value_of, stub, "is None"),
    (check_value_of, lambda d, b: int("".join(map(str, d)), b), "wanted 0.625"),
    (check_value_of, lambda d, b: value_of(d[::-1], b), "value_of([2, 5], 10)"),
    (check_value_of, lambda d, b: value_of(d, 10), "value_of([1, 0, 1], 2)"),
    (check_digits_needed, stub, "returned None"),
    (
        check_digits_needed,
        lambda *a: digits_needed(*a, whole=float),
        "only whole digits",
    ),
    (check_digits_needed, lambda *a: digits_needed(*a, whole=int), "wanted 8"),
    (
        check_digits_needed,
        lambda b, s, r: math.ceil(math.log(s / r, b)),
        "digits_needed(2, 8, 0.01) is 10",
    ),
    (check_changes, stub, "is None"),
    (check_changes, lambda b, k: changes(b, k, steps=b**k), "from 00, 01, 10, 11"),
    (check_changes, lambda b, k: b / (b - 1), "changes(2, 2"),
    (check_range, stub, "return a fitted NormalizedTokenizer"),
    (
        check_range,
        lambda z, b, k: NormalizedTokenizer(b, k).fit(z),
        "0.0% of the rows clip",
    ),
    (
        check_range,
        lambda z, b, k: NormalizedTokenizer(b, k, -3.5, 3.5),
        "targets around 20",
    ),
    (check_range, inner(0.9), "10.0% of the rows clip"),
    (
        check_range,
        lambda z, b, k: inner(0.995)(z, b, 16),
        "use the base and num_digits given",
    ),
]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
