"""Chapter 12's checks: each takes a right answer, and tells typical wrong ones why."""

import numpy as np
from judged import judged, stub
from scipy import stats

from genre2_mini.exercises.chapter_12 import (
    check_average_rank,
    check_best_of_many,
    check_paired_interval,
    check_r2_of_samples,
    check_split_gain,
)


def r2_of_samples(r2_mean, num_samples):
    return r2_mean - (1 - r2_mean) / num_samples


def average_rank(scores):
    beaten = (scores[None] > scores[:, None]).sum(axis=1)
    equal = (scores[None] == scores[:, None]).sum(axis=1)
    return (0.5 + beaten + 0.5 * equal).mean(axis=1)


def ranked(method, sign=-1):
    return lambda s: stats.rankdata(sign * s, method, axis=0).mean(axis=1)


def interval(d, n, quantile=None, ddof=1, error=None):
    error = d.std(axis=-1, ddof=ddof) / np.sqrt(n) if error is None else error
    half = (quantile or stats.t.ppf(0.975, n - 1)) * error
    return d.mean(axis=-1), d.mean(axis=-1) - half, d.mean(axis=-1) + half


def paired(method, baseline, **slip):
    return interval(method - baseline, method.shape[-1], **slip)


def unpaired(a, b):
    n = a.shape[-1]
    error = np.hypot(a.std(axis=-1, ddof=1), b.std(axis=-1, ddof=1)) / np.sqrt(n)
    return interval(a - b, n, error=error)


def of_one_seed(a, b):
    return interval(a - b, a.shape[-1], error=(a - b).std(axis=-1, ddof=1))


def split(before, after, z, ddof=0):
    def parts(values):
        bias2 = ((values.mean(axis=1) - z) ** 2).mean()
        return np.array([values.var(axis=1, ddof=ddof).mean(), bias2])

    return tuple((parts(before) - parts(after)) / z.var())


def cancelled(before, after, z):
    """Bias² of the mean over all rows: errors of different rows cancel."""
    bias2 = [(values.mean() - z.mean()) ** 2 for values in (before, after)]
    sharper, _ = split(before, after, z)
    return sharper, (bias2[0] - bias2[1]) / z.var()


def false_wins(gaps, two_sided=False):
    d = np.moveaxis(gaps, 1, -1)
    _, low, high = interval(d, d.shape[-1])
    won = (low > 0) | (high < 0) if two_sided else low > 0
    return won[:, 0].mean(), won.any(axis=1).mean()


def mean_over_ways(gaps):
    d = np.moveaxis(gaps, 1, -1)
    _, low, _ = interval(d, d.shape[-1])
    return (low > 0)[:, 0].mean(), (low > 0).mean()


RIGHT = [
    (check_r2_of_samples, r2_of_samples),
    (check_average_rank, average_rank),
    (check_average_rank, ranked("average")),
    (check_paired_interval, paired),
    (check_split_gain, split),
    (check_best_of_many, false_wins),
]
WRONG = [
    (check_r2_of_samples, lambda r2, s: r2 / s, "added spread"),
    (check_r2_of_samples, lambda r2, s: 1 - (1 - r2) / s, "noise of the"),
    (check_r2_of_samples, lambda r2, s: 2 * r2 - 1, "R² for"),
    (check_average_rank, lambda s: s.mean(axis=0), "one average for each"),
    (check_average_rank, ranked("average", sign=1), "rank 1 is the best"),
    (check_average_rank, ranked("min"), "ties or not"),
    (check_average_rank, ranked("max"), "ties or not"),
    (check_average_rank, ranked("ordinal"), "a tie of two"),
    (check_paired_interval, lambda a, b: paired(b, a), "minus baseline"),
    (check_paired_interval, lambda a, b: paired(a, b)[:2], "return three"),
    (check_paired_interval, unpaired, "vary together"),
    (check_paired_interval, of_one_seed, "for one seed"),
    (check_paired_interval, lambda a, b: paired(a, b, ddof=0), "divides by n − 1"),
    (check_paired_interval, lambda a, b: paired(a, b, quantile=1.959964), "Student"),
    (
        check_paired_interval,
        lambda a, b: paired(a, b, quantile=stats.t.ppf(0.95, 4)),
        "2.5% at each end",
    ),
    (check_split_gain, lambda *a: split(*a)[::-1], "comes first"),
    (check_split_gain, lambda b, a, z: split(a, b, z), "the sign"),
    (
        check_split_gain,
        lambda b, a, z: np.multiply(split(b, a, z), z.var()),
        "variance of z",
    ),
    (check_split_gain, lambda *a: split(*a, ddof=1), "divide by S"),
    (check_split_gain, cancelled, "each row's bias"),
    (check_best_of_many, lambda g: false_wins(g)[:1], "two shares"),
    (check_best_of_many, lambda g: false_wins(g, True), "is a loss"),
    (check_best_of_many, mean_over_ways, "any way of a study"),
]
WRONG += [(check, stub, "returned None") for check in dict(RIGHT)]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
