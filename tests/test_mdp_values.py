"""Exact V, Q and V* of the digit tree, against their definitions."""

import itertools
import math

import pytest
import torch
from conftest import TINY_TOKENIZERS, make_policy

from genre2_mini.mdp import exact_values
from genre2_mini.objectives import ExactPolicyGradient
from genre2_mini.rewards import absolute_error_reward, squared_error_reward

Z = torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64)


def law_of(policy, x):
    """Every string with its probability and value, by brute force."""
    strings = torch.tensor(list(itertools.product(*map(range, sizes_of(policy)))))
    log_prob = policy.log_prob(x, strings.expand(len(x), -1, -1)).detach()
    return strings, log_prob.exp(), policy.tokenizer.decode(strings)


def sizes_of(policy):
    return policy.tokenizer.vocab_sizes


def place(prefix, sizes):
    """The mixed-radix number of a prefix."""
    number = 0
    for token, size in zip(prefix, sizes, strict=False):
        number = number * size + token
    return number


def test_value_is_the_expected_reward_of_the_completions(policy, x):
    """At every prefix: Σ π r / Σ π over the strings that begin with it."""
    exact = exact_values(policy, x, Z, absolute_error_reward)
    strings, probability, values = law_of(policy, x)
    reward = absolute_error_reward(values.expand(3, -1), Z)
    for k in range(len(sizes_of(policy)) + 1):
        for prefix in itertools.product(*map(range, sizes_of(policy)[:k])):
            below = (strings[:, :k] == torch.tensor(prefix, dtype=torch.int64)).all(1)
            mass = probability[:, below]
            expected = (mass * reward[:, below]).sum(1) / mass.sum(1)
            found = exact.value[k][:, place(prefix, sizes_of(policy))]
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
            best = exact.optimal[k][:, place(prefix, sizes_of(policy))]
            assert torch.equal(best, reward[:, below].amax(1))


def test_action_value_is_the_value_of_the_state_it_leads_to(policy, x):
    exact = exact_values(policy, x, Z)
    for q, after in zip(exact.action_value, exact.value[1:], strict=True):
        assert torch.equal(q.flatten(1), after)


def test_levels_have_the_shapes_of_the_tree(policy, x):
    exact, sizes = exact_values(policy, x, Z), sizes_of(policy)
    for k in range(len(sizes) + 1):
        assert exact.value[k].shape == (3, math.prod(sizes[:k]))
        assert exact.optimal[k].shape == (3, math.prod(sizes[:k]))
    for k, size in enumerate(sizes):
        assert exact.action_value[k].shape == (3, math.prod(sizes[:k]), size)


def test_the_root_has_the_value_that_the_exact_objective_maximises(policy, x):
    [(loss, _)] = ExactPolicyGradient(absolute_error_reward).losses(policy, x, Z)
    root = exact_values(policy, x, Z, absolute_error_reward).value[0]
    torch.testing.assert_close(root.mean(), -loss.detach())


def test_the_optimal_value_is_an_upper_bound_and_reached_by_some_string(policy, x):
    exact = exact_values(policy, x, Z)
    for value, optimal in zip(exact.value, exact.optimal, strict=True):
        assert (value <= optimal + 1e-9 * optimal.abs()).all()
    nearest = policy.tokenizer.decode(policy.tokenizer.encode(Z))
    torch.testing.assert_close(exact.optimal[0][:, 0], squared_error_reward(nearest, Z))


def test_a_prefix_the_policy_never_writes_still_has_a_value(x):
    """Conditional probabilities, not quotients of zeros."""
    policy = make_policy(TINY_TOKENIZERS["normalised"]())
    with torch.no_grad():
        policy.unembedding.bias.copy_(torch.tensor([1e5, 0.0, 0.0]))
    exact = exact_values(policy, x, Z)
    assert all(level.isfinite().all() for level in exact.value)


def test_too_many_strings_are_refused_by_name(policy, x):
    with pytest.raises(ValueError, match="limit=5"):
        exact_values(policy, x, Z, limit=5)
