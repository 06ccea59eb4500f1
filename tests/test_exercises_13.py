"""The checks of chapter 13: right answers pass, stubs and usual slips are told why."""

import torch
from judged import judged, stub
from scipy import stats

from genre2_mini.exercises.chapter_13 import (
    check_clipped_mean,
    check_digits_changed,
    check_gradient_noise,
    check_harm,
)

# The clipped mean


def clip_then_average(values, weights, low, high):
    inside = values.clamp(low, high)
    return (weights * inside).sum(dim=-1) / weights.sum(dim=-1)


def average_then_clip(values, weights, low, high):
    mean = (weights * values).sum(dim=-1) / weights.sum(dim=-1)
    return mean.clamp(low, high)


def weights_taken_as_shares(values, weights, low, high):
    return (weights * values.clamp(low, high)).sum(dim=-1)


def all_alike(values, weights, low, high):
    return values.clamp(low, high).mean(dim=-1)


def outside_dropped(values, weights, low, high):
    kept = weights * ((values >= low) & (values <= high))
    return (kept * values).sum(dim=-1) / kept.sum(dim=-1)


def one_end_only(values, weights, low, high):
    return clip_then_average(values, weights, -1e30, high)


# Harm


def at_least_one_and_more_than_half(p, num_samples):
    median = stats.binom.sf(num_samples // 2, num_samples, p)
    return 1 - (1 - p) ** num_samples, median


def half_is_enough(p, num_samples):
    median = stats.binom.sf(num_samples // 2 - 1, num_samples, p)
    return 1 - (1 - p) ** num_samples, median


def expected_number(p, num_samples):
    return p * num_samples, at_least_one_and_more_than_half(p, num_samples)[1]


def none_at_all(p, num_samples):
    return (1 - p) ** num_samples, at_least_one_and_more_than_half(p, num_samples)[1]


# Digits changed


def multiples(base, num_digits):
    cells = base**num_digits
    return (base * (cells - 1) / (base - 1) - num_digits) / (cells - 1)


def long_strings(base, num_digits):
    return base / (base - 1)


def around_the_corner(base, num_digits):
    return sum(base**-j for j in range(num_digits))


def the_last_digit(base, num_digits):
    return 1.0


# The noise of a gradient


def noise(p, r, b):
    score = torch.eye(len(p), dtype=p.dtype) - p
    estimate = (r - b)[:, None] * score
    g = p @ estimate
    return g, p @ estimate.square().sum(dim=1) - g @ g


def of_the_loss(p, r, b):
    g, variance = noise(p, r, b)
    return -g, variance


def strings_alike(p, r, b):
    score = torch.eye(len(p), dtype=p.dtype) - p
    return ((r - b)[:, None] * score).sum(dim=0), noise(p, r, b)[1]


def second_moment(p, r, b):
    g, variance = noise(p, r, b)
    return g, variance + g @ g


def no_baseline(p, r, b):
    return noise(p, r, 0.0)


def a_variance_each(p, r, b):
    return noise(p, r, b)[0], torch.ones_like(p)


RIGHT = [
    (check_clipped_mean, clip_then_average),
    (check_harm, at_least_one_and_more_than_half),
    (check_digits_changed, multiples),
    (check_gradient_noise, noise),
]
WRONG = [
    (check_clipped_mean, average_then_clip, "before they are averaged"),
    (check_clipped_mean, weights_taken_as_shares, "divide by their sum"),
    (check_clipped_mean, all_alike, "use the weights"),
    (check_clipped_mean, outside_dropped, "were dropped"),
    (check_clipped_mean, one_end_only, "the clipped means"),
    (check_harm, half_is_enough, "exactly half"),
    (check_harm, expected_number, "expected number"),
    (check_harm, none_at_all, "no slip at all"),
    (check_digits_changed, long_strings, "limit of long strings"),
    (check_digits_changed, around_the_corner, "back to the first"),
    (check_digits_changed, the_last_digit, "base 2, 3 digits"),
    (check_gradient_noise, of_the_loss, "the sign"),
    (check_gradient_noise, strings_alike, "with its probability"),
    (check_gradient_noise, second_moment, "second moment"),
    (check_gradient_noise, no_baseline, "depend on the baseline"),
    (check_gradient_noise, a_variance_each, "one number"),
]
WRONG += [(check, stub, "None") for check, _ in RIGHT]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
