"""Evenly spread strings: a rollout without chance, and predictions that rest on it."""

import math

import pytest
import torch
from conftest import make_policy
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from genre2_mini import evaluation
from genre2_mini.evaluation import draw_samples, predict_distribution
from genre2_mini.metrics import weighted_mean, weighted_quantile
from genre2_mini.rollouts import divide_evenly, enumerate_strings, tree_rollout
from genre2_mini.tokenizers import NormalizedTokenizer

WHOLE = torch.tensor([[0.0, 1.0]]).double()
SHARES = st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any)


def rows(num_rows):
    return torch.randn(num_rows, 4, generator=torch.Generator().manual_seed(2)).double()


def by_input(tree, f, num_inputs):
    """Σ over each input's strings of f (M,)."""
    return torch.zeros(num_inputs).double().index_add(0, tree.owner, f)


# --- Dividing a count ---------------------------------------------------------


@given(SHARES, st.integers(1, 10**9))
def test_the_shares_are_whole_complete_and_less_than_one_off(shares, num_samples):
    p = torch.tensor([shares]).double() / sum(shares)
    [counts], _ = divide_evenly(WHOLE, p, num_samples)
    assert counts.sum() == num_samples
    assert (counts >= 0).all()
    assert (counts[p[0] == 0] == 0).all(), "an impossible token gets nothing"
    assert ((counts - num_samples * p[0]).abs() <= 1 + 1e-6).all()


@pytest.mark.parametrize(
    ("num_samples", "probabilities", "expected"),
    [
        (1, [0.4, 0.3, 0.3], [0, 1, 0]),  # the point 1/2
        (2, [0.4, 0.3, 0.3], [1, 0, 1]),  # 1/4, 3/4
        (4, [0.4, 0.3, 0.3], [2, 1, 1]),  # 1/8, 3/8, 5/8, 7/8
        (10, [0.25, 0.75], [3, 7]),  # 2.5 points: 0.05, 0.15, 0.25
        (5, [0.0, 1.0, 0.0], [0, 5, 0]),
    ],
)
def test_a_token_gets_the_points_in_its_span(num_samples, probabilities, expected):
    [counts], _ = divide_evenly(WHOLE, torch.tensor([probabilities]), num_samples)
    assert counts.tolist() == expected


def test_a_prefix_hands_its_own_span_down():
    span = torch.tensor([[0.25, 0.75]]).double()
    counts, spans = divide_evenly(span, torch.tensor([[0.5, 0.5]]), 4)
    assert counts.tolist() == [[1, 1]]  # 3/8 and 5/8
    assert spans.tolist() == [[[0.25, 0.5], [0.5, 0.75]]]


# --- Strings without chance ---------------------------------------------------


def test_every_input_gets_its_samples_and_every_string_about_its_share(policy, x):
    num_samples = 1000
    rollout = tree_rollout(policy, x, num_samples, systematic=True)
    assert by_input(rollout, rollout.count.double(), len(x)).tolist() == [1000.0] * 3
    expected = num_samples * rollout.log_prob.detach().exp()
    assert ((rollout.count - expected).abs() <= 1 + 1e-6).all()


@pytest.mark.parametrize("num_samples", [1, 7, 100])
def test_of_ordered_strings_they_are_the_quantiles(num_samples):
    """Normalised strings are in the order of their values."""
    policy = make_policy(NormalizedTokenizer(base=3, num_digits=3, low=-2.0, high=2.0))
    x = rows(5)
    rollout = tree_rollout(policy, x, num_samples, systematic=True)
    values = policy.tokenizer.decode(rollout.tokens).repeat_interleave(rollout.count)
    with torch.no_grad():
        tokens, log_prob = enumerate_strings(policy, x)
    levels = (torch.arange(num_samples).double() + 0.5) / num_samples
    all_values = policy.tokenizer.decode(tokens).expand(5, -1)
    expected = weighted_quantile(all_values, levels, log_prob.exp())
    torch.testing.assert_close(values.view(5, num_samples), expected)


def test_many_samples_become_all_strings(policy, x):
    num_samples = 10**12
    with torch.no_grad():
        rollout = tree_rollout(policy, x, num_samples, systematic=True)
        tokens, log_prob = enumerate_strings(policy, x)
    assert len(rollout.count) == len(x) * len(tokens)
    share = rollout.count.double().view(len(x), -1) / num_samples
    torch.testing.assert_close(share, log_prob.exp(), rtol=0, atol=2e-12)


def test_nothing_is_drawn(policy, x):
    state = torch.random.get_rng_state()
    first, again = (tree_rollout(policy, x, 50, systematic=True) for _ in range(2))
    assert torch.equal(first.tokens, again.tokens)
    assert torch.equal(first.count, again.count)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_mean_is_closer_than_that_of_drawn_samples():
    """Ten to one, on a policy that spreads over its 256 strings."""
    policy = make_policy(NormalizedTokenizer(base=2, num_digits=8, low=-2.0, high=2.0))
    x = rows(40)
    with torch.no_grad():
        policy.unembedding.weight.mul_(0.25)
        tokens, log_prob = enumerate_strings(policy, x)
    exact = log_prob.exp() @ policy.tokenizer.decode(tokens)

    def error(seed):
        values, weights = predict_distribution(policy, x, 128, seed)
        return (weighted_mean(values, weights) - exact).square().mean().sqrt()

    assert error(None) < 0.1 * error(0)


# --- Predictions --------------------------------------------------------------


def test_without_a_number_of_samples_the_distribution_is_exact(policy, x):
    values, weights = predict_distribution(policy, x, num_samples=None)
    with torch.no_grad():
        tokens, log_prob = enumerate_strings(policy, x)
    exact = log_prob.exp() @ policy.tokenizer.decode(tokens)
    spread = policy.tokenizer.decode(tokens).abs().max()
    error = weighted_mean(values, weights) - exact
    # Each of at most 256 strings is off by one rounding in 2^20.
    assert error.abs().max() < 256 * spread / 2**20


def test_where_strings_cannot_be_enumerated_1024_of_them_are_spread(monkeypatch):
    policy = make_policy(NormalizedTokenizer(base=10, num_digits=5, low=-2.0, high=2.0))
    assert math.prod(policy.tokenizer.vocab_sizes) > evaluation.ENUMERABLE
    expected = predict_distribution(policy, rows(3), 1024, seed=None)
    actual = predict_distribution(policy, rows(3), num_samples=None)
    assert all(torch.equal(*pair) for pair in zip(actual, expected, strict=True))


@pytest.mark.parametrize("num_samples", [None, 32])
def test_a_row_is_answered_alike_in_any_company(policy, num_samples):
    x = rows(9)
    together = weighted_mean(*predict_distribution(policy, x, num_samples, None))
    for rest in (x[:1], x[:4], x[4:]):
        mine = [i for i in range(9) if (rest == x[i]).all(dim=1).any()]
        alone = weighted_mean(*predict_distribution(policy, rest, num_samples, None))
        torch.testing.assert_close(alone, together[mine], rtol=0, atol=1e-12)


# --- Draws --------------------------------------------------------------------


def test_draws_follow_the_policys_law(policy):
    """Every draw of 4,000, at a false-alarm rate of 1e-4 and a fixed seed."""
    x, num_samples = rows(1), 4000
    drawn = draw_samples(policy, x, num_samples, seed=1)
    assert drawn.shape == (1, num_samples)
    with torch.no_grad():
        tokens, log_prob = enumerate_strings(policy, x)
    law = {}
    values = policy.tokenizer.decode(tokens).tolist()
    for value, p in zip(values, log_prob[0].exp().tolist(), strict=True):
        law[value] = law.get(value, 0.0) + p  # several strings may mean one number
    common = [v for v, p in law.items() if num_samples * p >= 5]
    observed = [(drawn == v).sum().item() for v in common]
    expected = [num_samples * law[v] for v in common]
    if (rest := num_samples - sum(expected)) > 5:
        observed.append(num_samples - sum(observed))
        expected.append(rest)
    else:
        expected = [e * sum(observed) / sum(expected) for e in expected]
    assert stats.chisquare(observed, expected).pvalue > 1e-4


def test_draws_come_in_random_order(policy):
    """Sorted, the first half would lie below the second."""
    drawn = draw_samples(policy, rows(200), 2)
    below = (drawn[:, 0] < drawn[:, 1]).sum().item()
    above = (drawn[:, 0] > drawn[:, 1]).sum().item()
    assert stats.binomtest(below, below + above).pvalue > 1e-4


def test_a_seed_fixes_the_draws(policy):
    first, again, other = (
        draw_samples(policy, rows(5), 20, seed) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_no_draws_are_refused(policy):
    with pytest.raises(ValueError, match="num_samples=0: draw at least one string"):
        draw_samples(policy, rows(2), 0)
