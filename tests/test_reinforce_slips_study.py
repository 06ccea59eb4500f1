"""The study of REINFORCE's slips: each one is what it says, and recorded completely."""

import pytest
import torch
from conftest import make_policy

from genre2_mini.experiments import load_results
from genre2_mini.experiments.learning_curves import SCORES
from genre2_mini.experiments.reinforce_slips import (
    VARIANTS,
    DroppedDigit,
    ForgottenCounts,
    OffsetReward,
    run_seed,
)
from genre2_mini.objectives import REINFORCE
from genre2_mini.rollouts import tree_rollout
from genre2_mini.tokenizers import NormalizedTokenizer

S = 16


@pytest.fixture
def policy():
    return make_policy(NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0))


@pytest.fixture
def z():
    return torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64)


def loss_of(objective, policy, x, z):
    generator = torch.Generator().manual_seed(0)
    [(loss, _)] = objective.losses(policy, x, z, generator)
    return loss


def written(policy, x, z):
    """What ``loss_of`` draws: log π (3·S, K) and r (3·S,) of each, and the rollout."""
    generator = torch.Generator().manual_seed(0)
    rollout = tree_rollout(policy, x, S, generator=generator, greedy=True)
    error = policy.tokenizer.decode(rollout.tokens) - z[rollout.owner]
    times = rollout.count
    each = rollout.token_log_prob.repeat_interleave(times, dim=0)
    return each, -error.square().repeat_interleave(times), rollout


def test_an_offset_is_added_to_every_reward(policy, x, z):
    log_prob, reward, _ = written(policy, x, z)
    want = -(log_prob.sum(dim=1) * (reward + 10)).mean()
    torch.testing.assert_close(
        loss_of(OffsetReward(S, offset=10.0), policy, x, z), want
    )


def test_no_offset_is_reinforce(policy, x, z):
    plain = loss_of(REINFORCE(S), policy, x, z)
    torch.testing.assert_close(loss_of(OffsetReward(S), policy, x, z), plain)


def test_the_dropped_digit_is_the_first(policy, x, z):
    log_prob, reward, _ = written(policy, x, z)
    want = -(log_prob[:, 1:].sum(dim=1) * reward).mean()
    torch.testing.assert_close(loss_of(DroppedDigit(S), policy, x, z), want)


def test_forgotten_counts_weigh_each_distinct_drawn_string_once(policy, x, z):
    *_, rollout = written(policy, x, z)
    drawn = rollout.count > 0
    error = policy.tokenizer.decode(rollout.tokens) - z[rollout.owner]
    want = (rollout.log_prob * error.square())[drawn].mean()
    torch.testing.assert_close(loss_of(ForgottenCounts(S), policy, x, z), want)


def test_with_one_string_a_row_forgotten_counts_change_nothing(policy, x, z):
    """Which is why the bug is silent."""
    plain = loss_of(REINFORCE(1), policy, x, z)
    torch.testing.assert_close(loss_of(ForgottenCounts(1), policy, x, z), plain)


def test_every_variant_has_a_row_a_score_and_starts_alike():
    settings = {"ce_steps": 2, "steps": 2, "every": 2}
    rows = run_seed("concrete", 0, **settings)
    found = list(rows[["variant", "step"]].itertuples(index=False, name=None))
    assert found == [(variant, step) for variant in VARIANTS for step in (0, 2)]
    assert rows[rows["step"] == 0]["r2_k1"].nunique() == 1
    assert rows.loc[rows["step"] > 0].notna().all(axis=None)


def test_the_recorded_file_is_complete():
    rows = load_results("reinforce_slips")
    runs = rows.groupby(["variant", "seed"], sort=False)["step"]
    assert set(rows["variant"]) == set(VARIANTS)
    assert len(runs) == 5 * len(VARIANTS)
    for _, steps in runs:
        assert steps.tolist() == list(range(0, 151, 15))
    assert rows[SCORES].notna().all(axis=None)
