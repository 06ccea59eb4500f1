"""Specification of the baselines study: exact variances, and their record."""

import itertools

import pandas as pd
import pytest
import torch
from conftest import make_policy
from torch.testing import assert_close

from genre2_mini.experiments import baselines, load_results
from genre2_mini.experiments.baselines import Survey
from genre2_mini.objectives import ExactPolicyGradient
from genre2_mini.rollouts import enumerate_strings
from genre2_mini.tokenizers import NormalizedTokenizer

Z = torch.tensor([-1.0, 0.5], dtype=torch.float64)
BASELINES = [
    "none",
    "one for all rows",
    "greedy",
    "greedy, wrong row",
    "mean reward",
    "best constant",
    *(f"leave one out, S = {s}" for s in baselines.SIZES),
]


@pytest.fixture(scope="module")
def policy():
    """Eight strings in float64."""
    return make_policy(NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0))


@pytest.fixture(scope="module")
def x():
    return torch.randn(2, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def found(policy, x):
    return baselines.survey(policy, x, Z)


@pytest.fixture(scope="module")
def scores(policy, x):
    """∇log π (N, V, weights), one backward pass a string."""
    log_prob = enumerate_strings(policy, x).log_prob
    rows = []
    for one in log_prob.flatten():
        parts = torch.autograd.grad(one, list(policy.parameters()), retain_graph=True)
        rows.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(rows).unflatten(0, log_prob.shape)


def brute_force(found, scores, n, advantage, num_samples):
    """S times the variance of the mean step of S strings, group by group."""
    steps, chances = [], []
    for group in itertools.product(range(8), repeat=num_samples):
        group = list(group)
        A = advantage(found.reward[n, group])
        steps.append((A[:, None] * scores[n, group]).mean(dim=0))
        chances.append(found.probability[n, group].prod())
    steps, chances = torch.stack(steps), torch.stack(chances)
    mean = chances @ steps
    return num_samples * (chances @ steps.square().sum(dim=1) - mean @ mean)


def test_a_survey_holds_the_size_of_every_score(found, scores):
    assert_close(found.size, scores.square().sum(dim=-1))


def test_its_signal_is_the_exact_gradients(found, policy, x):
    for n in range(2):
        [(loss, _)] = ExactPolicyGradient().losses(policy, x[n : n + 1], Z[n : n + 1])
        parts = torch.autograd.grad(loss, list(policy.parameters()))
        assert_close(found.signal[n], sum(part.square().sum() for part in parts))


def test_its_greedy_reward_is_that_of_the_greedy_string(found, policy, x):
    values = policy.tokenizer.decode(policy.greedy(x))
    assert_close(found.greedy, -(values - Z).square())


@pytest.mark.parametrize("baseline", [0.0, -1.5, 2.0])
def test_the_variance_of_a_number_is_that_of_all_strings(found, scores, baseline):
    got = found.variance(torch.full((2,), baseline, dtype=torch.float64))
    for n in range(2):
        want = brute_force(found, scores, n, lambda r: r - baseline, 1)
        assert_close(got[n], want)


@pytest.mark.parametrize("num_samples", [2, 3])
def test_the_variance_of_leave_one_out_is_that_of_all_groups(
    found, scores, num_samples
):
    def advantage(r):
        return r - (r.sum() - r) / (num_samples - 1)

    got = found.leave_one_out_variance(num_samples)
    for n in range(2):
        assert_close(got[n], brute_force(found, scores, n, advantage, num_samples))


def test_no_number_leaves_less_than_the_best_constant(found):
    best, weight = found.best_constant, found.probability * found.size
    for shift in (-0.3, -0.01, 0.01, 2.0):
        more = found.variance(best + shift) - found.variance(best)
        assert_close(more, shift**2 * weight.sum(dim=1))  # a parabola


def test_the_table_is_relative_to_no_baseline(found):
    table = baselines.variances(found).set_index("baseline")
    assert table.index.tolist() == BASELINES
    assert table.loc["none", ["variance", "noisier"]].tolist() == [1, 0]
    ratio = found.variance(found.value).mean() / found.variance(0 * found.value).mean()
    assert table.loc["mean reward", "variance"] == pytest.approx(ratio.item())
    assert table["variance"].idxmin() == "best constant"
    shares = table[["above", "equal", "below"]]
    assert shares.notna().all(axis=1).sum() == 6
    assert shares.dropna().sum(axis=1).tolist() == pytest.approx([1] * 6)
    assert table.loc["none", "above"] == 0


def test_the_share_of_equal_rewards_is_the_greedy_strings():
    """Three strings, of which the greedy one has probability ½ or ¼."""
    p = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.35, 0.4]]).double()
    reward = torch.tensor([[-1.0, -4.0, 0.0]] * 2).double()
    ones = torch.ones_like(p)
    found = Survey(p, reward, ones, torch.zeros(2), torch.tensor([-1.0, -1.0]))
    row = baselines.variances(found).set_index("baseline").loc["greedy"]
    assert row["equal"] == pytest.approx(0.375)
    assert row["above"] == pytest.approx(0.325)


def test_the_recipe_surveys_every_state():
    rows = baselines.run_seed("concrete", 1, ce_steps=2, steps=[1], rows=2)
    states = ["untrained", "cross-entropy", "ReMax 1"]
    assert rows["state"].unique().tolist() == states
    assert rows["baseline"].tolist() == BASELINES * 3
    assert set(rows["task"]) == {"concrete"} and set(rows["seed"]) == {1}
    assert rows.drop(columns=["above", "equal", "below"]).notna().all(axis=None)


def test_the_record_has_every_run_once():
    recorded = load_results("baselines")
    index = recorded.set_index(["task", "seed", "state", "baseline"]).index
    states = ["untrained", "cross-entropy", "ReMax 20", "ReMax 100"]
    expected = pd.MultiIndex.from_product(
        [["concrete"], range(5), states, BASELINES], names=index.names
    )
    assert index.is_unique and set(index) == set(expected)
    shares = ["above", "equal", "below"]
    assert recorded.drop(columns=shares).notna().all(axis=None)
    loo = recorded["baseline"].str.startswith("leave")
    assert recorded.loc[~loo, shares].notna().all(axis=None)
    assert (recorded["variance"] > 0).all()
