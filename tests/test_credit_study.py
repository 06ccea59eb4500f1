"""Specification of the credit study: exact shares of one reward, and its record."""

import pandas as pd
import pytest
import torch
from conftest import TINY_TOKENIZERS, make_policy
from torch.testing import assert_close

from genre2_mini.experiments import credit, load_results
from genre2_mini.mdp import exact_values
from genre2_mini.rollouts import enumerate_strings

Z = torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64)


@pytest.fixture
def law(policy, x):
    """Exact values, probabilities (N, V) and strings (V, K) of a tiny policy."""
    strings, log_prob = enumerate_strings(policy, x)
    return exact_values(policy, x, Z), log_prob.detach().exp(), strings


def own_advantages(exact, strings):
    """A(s_k, t_k) of every string's tokens, string by string: (N, V, K)."""
    levels = credit.advantages(exact)
    columns = []
    for k, a in enumerate(levels):
        _, place = strings[:, : k + 1].unique(dim=0, return_inverse=True)
        columns.append(a.flatten(1)[:, place])
    return torch.stack(columns, dim=-1)


def test_a_strings_advantages_add_up_to_its_reward_minus_the_root_value(law):
    exact, _, strings = law
    total = own_advantages(exact, strings).sum(dim=-1)
    scale = exact.value[-1].abs().amax()
    assert_close(total, exact.value[-1] - exact.value[0], rtol=0, atol=1e-12 * scale)


def test_the_positions_variances_add_up_to_the_rewards(law):
    """Law of total variance: Var r = Σ_k E A_k², each part by brute force."""
    exact, probability, strings = law
    parts = credit.variance_by_position(exact, probability)
    own = own_advantages(exact, strings)
    brute_force = (probability[..., None] * own.square()).sum(dim=1)
    assert_close(parts, brute_force, rtol=1e-9, atol=1e-9)
    centred = exact.value[-1] - exact.value[0]
    assert_close(parts.sum(dim=1), (probability * centred.square()).sum(dim=1))


def test_the_wrong_sign_is_counted_string_by_string(law):
    exact, probability, strings = law
    whole = (exact.value[-1] - exact.value[0])[..., None]
    opposite = own_advantages(exact, strings).sign() * whole.sign() == -1
    expected = (probability[..., None] * opposite).sum(dim=1)
    assert_close(credit.wrong_sign(exact, probability), expected)


def test_the_cost_of_a_wrong_digit_is_a_difference_of_two_values():
    policy = make_policy(TINY_TOKENIZERS["normalised"]())
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    exact, truth = exact_values(policy, x, Z), policy.tokenizer.encode(Z)
    for levels in (exact.value, exact.optimal):
        cost = credit.cost_of_wrong_digit(levels, truth)
        for row, digits in enumerate(truth.tolist()):
            place = 0
            for k, digit in enumerate(digits):
                children = levels[k + 1][row, 3 * place : 3 * place + 3].tolist()
                right = children.pop(digit)
                assert cost[row, k] == pytest.approx(right - sum(children) / 2)
                place = 3 * place + digit


def test_no_policy_beats_the_one_that_knows_the_truth(task):
    policy = make_policy(TINY_TOKENIZERS["normalised"](), num_features=3).float()
    rewards = credit.policy_rewards(policy, task.test)
    assert max(rewards, key=rewards.get) == "knows_z"
    assert rewards["sampled"] == pytest.approx(
        exact_values(policy, task.test.x, task.test.z).value[0].mean().item(), rel=1e-5
    )


def test_the_recipe_takes_one_policy_apart_position_by_position():
    rows = credit.run_seed("concrete", 1, max_rows=120, steps=3)
    assert rows["position"].tolist() == list(range(1, 9))
    assert set(rows["task"]) == {"concrete"} and set(rows["seed"]) == {1}
    assert rows.notna().all(axis=None)
    rewards = [c for c in rows if c.startswith("reward_")]
    assert len(rewards) == 5 and (rows[rewards].nunique() == 1).all()


def test_the_record_has_every_run_and_position_once():
    rows = load_results("credit")
    index = rows.set_index(["task", "seed", "position"]).index
    expected = pd.MultiIndex.from_product(
        [credit.TASKS, range(5), range(1, 9)], names=index.names
    )
    assert index.is_unique and set(index) == set(expected)
    assert rows.notna().all(axis=None)
