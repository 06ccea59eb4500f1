"""Chapter 4's checks accept a right answer and refuse the stub and the usual slips."""

import pytest
import torch

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


def is_refused(capsys, said):
    """The check has printed one line that says ``said`` and not that all is well."""
    printed = capsys.readouterr().out
    return printed.count("\n") == 1 and "not yet" in printed and said in printed


def nothing(*_):
    """An answer without a return."""


# Exercise 1


def ce_gradient(logits, true, pull=1.0, sign=1.0):
    gradient = logits.softmax(dim=0)
    gradient[true] -= pull
    return sign * gradient


def test_ce_gradient():
    assert check_ce_gradient(ce_gradient)


@pytest.mark.parametrize(
    "answer, said",
    [
        (nothing, "return a value"),
        (lambda logits, true: ce_gradient(logits, true, sign=-1.0), "other sign"),
        (lambda logits, true: ce_gradient(logits, true, pull=0.0), "pulls too"),
        (lambda logits, true: ce_gradient(logits, true)[true], "has shape ()"),
    ],
    ids=["stub", "descent", "no pull", "one number"],
)
def test_ce_gradient_refused(answer, said, capsys):
    assert not check_ce_gradient(answer)
    assert is_refused(capsys, said)


# Exercise 2


def error_range(p, values, true, root=False, all_strings=False):
    squared = (values - values[true]) ** 2
    wrong = squared[torch.arange(len(values)) != true]
    if all_strings:
        wrong = squared
    low, high = ((1 - p) * end for end in (wrong.min(), wrong.max()))
    return (low**0.5, high**0.5) if root else (low, high)


def test_error_range():
    assert check_error_range(error_range)


@pytest.mark.parametrize(
    "answer, said",
    [
        (nothing, "return low, high"),
        (lambda p, v, true: error_range(p, v, true, all_strings=True), "low is 0"),
        (lambda p, v, true: error_range(p, v, true, root=True), "low, of 8 strings"),
        (lambda p, v, true: error_range(1 - p, v, true), "low, of 8 strings"),
        (lambda p, v, true: error_range(p, v, true)[:1], "wanted two numbers"),
    ],
    ids=["stub", "the truth counted", "root", "p for 1 - p", "one number"],
)
def test_error_range_refused(answer, said, capsys):
    assert not check_error_range(answer)
    assert is_refused(capsys, said)


# Exercise 3


def likelier_and_worse(p, values, true, gain=0.01):
    q = torch.zeros_like(p)
    q[true] = p[true] + gain
    q[(values - values[true]).abs().argmax()] = 1 - q[true]
    return q


def test_likelier_and_worse():
    assert check_likelier_and_worse(likelier_and_worse)


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda p, v, true: p, "not lower"),
        (nothing, "return q"),
        (lambda p, v, true: 2 * likelier_and_worse(p, v, true), "no distribution"),
        (lambda p, v, true: likelier_and_worse(p, v, true, -0.1), "not lower"),
        (lambda p, v, true: torch.eye(8)[true], "is not above"),
        (lambda p, v, true: p[:4], "has shape (4,)"),
    ],
    ids=["stub", "nothing", "sum", "less likely", "only likelier", "shape"],
)
def test_likelier_and_worse_refused(answer, said, capsys):
    assert not check_likelier_and_worse(answer)
    assert is_refused(capsys, said)


# Exercise 4


def first_wrong_digit(strings, truth):
    return (strings == truth).long().cumprod(dim=1).sum(dim=1) + 1


def zero_for_the_truth(strings, truth):
    wrong = (strings != truth).long()
    return (wrong.argmax(dim=1) + 1) * wrong.amax(dim=1)


def test_first_wrong_digit():
    assert check_first_wrong_digit(first_wrong_digit)


@pytest.mark.parametrize(
    "answer, said",
    [
        (nothing, "return a value"),
        (lambda s, t: first_wrong_digit(s, t) - 1, "count from 1"),
        (lambda s, t: (s != t).sum(dim=1), "how many digits are wrong"),
        (zero_for_the_truth, "the truth itself"),
        (lambda s, t: (s == t).sum(dim=1) + 1, "first wrong digit"),
    ],
    ids=["stub", "from 0", "Hamming", "argmax of zeros", "no cumprod"],
)
def test_first_wrong_digit_refused(answer, said, capsys):
    assert not check_first_wrong_digit(answer)
    assert is_refused(capsys, said)


# Exercise 5


@pytest.fixture(scope="module")
def policy():
    """An untrained policy over 32 strings that is sure of itself."""
    torch.manual_seed(0)
    tokenizer = NormalizedTokenizer(base=2, num_digits=5, low=-2, high=2)
    policy = DecodingPolicy(RowEncoder(num_features=3), tokenizer).eval()
    with torch.no_grad():
        policy.unembedding.weight.mul_(3)
    return policy


@pytest.fixture(scope="module")
def rows():
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(20, *n, generator=generator) for n in ((3,), ())]


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


def test_scores_at(policy, rows):
    assert check_scores_at(scores_at, policy, *rows)


@pytest.mark.parametrize(
    "slip, said",
    [
        ({"power": True}, "at T = 0.5"),
        ({"per_token": True}, "sum over its tokens"),
        ({"root": False}, "take its root"),
    ],
    ids=["π to the power", "mean over tokens", "no root"],
)
def test_scores_at_refused(slip, said, policy, rows, capsys):
    def answer(*arguments):
        return scores_at(*arguments, **slip)

    assert not check_scores_at(answer, policy, *rows)
    assert is_refused(capsys, said)


def test_the_stub_of_scores_at_is_refused(policy, rows, capsys):
    assert not check_scores_at(nothing, policy, *rows)
    assert is_refused(capsys, "return nats, rmse")


def test_a_temperature_that_is_not_used_is_noticed(policy, rows, capsys):
    def ignores(policy, x, z, temperature):
        return scores_at(policy, x, z, 1.0)

    assert not check_scores_at(ignores, policy, *rows)
    assert is_refused(capsys, "nats at T = 0.5")
