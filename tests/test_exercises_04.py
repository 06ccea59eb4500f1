"""Chapter 4's checks accept a right answer and refuse the stub and the usual slips."""

from functools import cache

import torch
from judged import judged, stub

from genre2_mini.encoders import RowEncoder
from genre2_mini.exercises.chapter_04 import (
    check_ce_gradient,
    check_error_range,
    check_first_wrong_digit,
    check_likelier_and_worse,
    check_scores_at,
)
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rollouts import enumerate_strings
from genre2_mini.tokenizers import NormalizedTokenizer

# Exercise 1


def ce_gradient(logits, true, pull=1.0, sign=1.0):
    gradient = logits.softmax(dim=0)
    gradient[true] -= pull
    return sign * gradient


# Exercise 2


def error_range(p, values, true, root=False, all_strings=False):
    squared = (values - values[true]) ** 2
    wrong = squared[torch.arange(len(values)) != true]
    if all_strings:
        wrong = squared
    low, high = ((1 - p) * end for end in (wrong.min(), wrong.max()))
    return (low**0.5, high**0.5) if root else (low, high)


# Exercise 3


def likelier_and_worse(p, values, true, gain=0.01):
    q = torch.zeros_like(p)
    q[true] = p[true] + gain
    q[(values - values[true]).abs().argmax()] = 1 - q[true]
    return q


def only_likelier(p, values, true):
    return torch.eye(8)[true]


# Exercise 4


def first_wrong_digit(strings, truth):
    return (strings == truth).long().cumprod(dim=1).sum(dim=1) + 1


def counted_from_0(strings, truth):
    return first_wrong_digit(strings, truth) - 1


def hamming(strings, truth):
    return (strings != truth).sum(dim=1)


def right_digits_plus_one(strings, truth):
    return (strings == truth).sum(dim=1) + 1


def zero_for_the_truth(strings, truth):
    wrong = (strings != truth).long()
    return (wrong.argmax(dim=1) + 1) * wrong.amax(dim=1)


# Exercise 5


@cache
def policy():
    """An untrained policy over 32 strings that is sure of itself."""
    torch.manual_seed(0)
    tokenizer = NormalizedTokenizer(base=2, num_digits=5, low=-2, high=2)
    policy = DecodingPolicy(RowEncoder(num_features=3), tokenizer).eval()
    with torch.no_grad():
        policy.unembedding.weight.mul_(3)
    return policy


def check_scores(answer):
    generator = torch.Generator().manual_seed(0)
    x, z = (torch.randn(20, *n, generator=generator) for n in ((3,), ()))
    return check_scores_at(answer, policy(), x, z)


@torch.no_grad()
def scores_at(policy, x, z, temperature, power=False, per_token=False, root=True):
    tokens, log_prob = enumerate_strings(policy, x)
    strings = tokens.expand(len(x), -1, -1)
    log_p = (policy.logits(x, strings) / temperature).log_softmax(dim=-1)
    log_p = log_p.gather(-1, strings[..., None]).squeeze(-1).sum(dim=-1)
    if power:
        log_p = (log_prob / temperature).log_softmax(dim=1)
    error = policy.tokenizer.decode(tokens) - z[:, None]
    true = (tokens == policy.tokenizer.encode(z)[:, None]).all(dim=-1)
    mse = (log_p.exp() * error**2).sum(dim=1).mean()
    nats = -log_p[true].mean()
    return nats / (5 if per_token else 1), mse**0.5 if root else mse


def at_temperature_one(policy, x, z, temperature):
    return scores_at(policy, x, z, 1.0)


RIGHT = [
    (check_ce_gradient, ce_gradient),
    (check_error_range, error_range),
    (check_likelier_and_worse, likelier_and_worse),
    (check_first_wrong_digit, first_wrong_digit),
    (check_scores, scores_at),
]
WRONG = [
    (check_ce_gradient, stub, "return a value"),
    (check_ce_gradient, lambda *a: ce_gradient(*a, sign=-1.0), "other sign"),
    (check_ce_gradient, lambda *a: ce_gradient(*a, pull=0.0), "pulls too"),
    (check_ce_gradient, lambda s, true: ce_gradient(s, true)[true], "has shape ()"),
    (check_error_range, stub, "return low, high"),
    (check_error_range, lambda *a: error_range(*a, all_strings=True), "low is 0"),
    (check_error_range, lambda *a: error_range(*a, root=True), "low, of 8 strings"),
    (check_error_range, lambda p, *a: error_range(1 - p, *a), "low, of 8 strings"),
    (check_error_range, lambda *a: error_range(*a)[:1], "wanted two numbers"),
    (check_likelier_and_worse, lambda p, v, true: p, "not lower"),
    (check_likelier_and_worse, stub, "return q"),
    (
        check_likelier_and_worse,
        lambda *a: 2 * likelier_and_worse(*a),
        "no distribution",
    ),
    (
        check_likelier_and_worse,
        lambda *a: likelier_and_worse(*a, gain=-0.1),
        "not lower",
    ),
    (check_likelier_and_worse, only_likelier, "is not above"),
    (check_likelier_and_worse, lambda p, v, true: p[:4], "has shape (4,)"),
    (check_first_wrong_digit, stub, "return a value"),
    (check_first_wrong_digit, counted_from_0, "count from 1"),
    (check_first_wrong_digit, hamming, "how many digits are wrong"),
    (check_first_wrong_digit, zero_for_the_truth, "the truth itself"),
    (check_first_wrong_digit, right_digits_plus_one, "first wrong digit"),
    (check_scores, stub, "return nats, rmse"),
    (check_scores, lambda *a: scores_at(*a, power=True), "at T = 0.5"),
    (check_scores, lambda *a: scores_at(*a, per_token=True), "sum over its tokens"),
    (check_scores, lambda *a: scores_at(*a, root=False), "take its root"),
    (check_scores, at_temperature_one, "nats at T = 0.5"),
]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
