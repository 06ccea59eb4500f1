"""Pairs of numbers: two tasks, the law on a grid, scores against brute force."""

import math

import numpy as np
import pytest
import torch
from conftest import make_policy

from genre2_mini.experiments.pair_laws import (
    Grid,
    chained_law,
    dependence,
    energy_score,
    grid_of,
    product_law,
    shuffled,
)
from genre2_mini.experiments.vector_rewards import (
    HandReward,
    VectorKernelReward,
    VectorReMax,
    hand_of,
)
from genre2_mini.objectives import ReMax
from genre2_mini.rewards import squared_error_reward, summed_over_targets
from genre2_mini.rollouts import enumerate_strings, tree_rollout
from genre2_mini.tasks import load_frame
from genre2_mini.tasks.vectors import ANGLE_NOISE, arm, hand, load_pair
from genre2_mini.tokenizers import ConcatenatedTokenizer, NormalizedTokenizer

PARTS = (
    NormalizedTokenizer(base=2, num_digits=2, low=-1.0, high=1.0),
    NormalizedTokenizer(base=3, num_digits=1, low=0.0, high=6.0),
)
GRID = Grid(PARTS)  # −1, −0.5, 0, 0.5 by 0, 2, 4


@pytest.fixture
def law():
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(5, 4, 3, generator=generator).double() ** 3
    return weights / weights.sum(dim=(1, 2), keepdim=True)


# --- The tasks ----------------------------------------------------------------


def test_the_hand_of_a_straight_and_of_a_bent_arm():
    straight, square = hand(np.array([[0.0, 0.0], [0.0, math.pi / 2]]))
    assert straight == pytest.approx([2, 0])
    assert square == pytest.approx([1, 1])


def test_both_ways_reach_the_hand_and_their_mean_does_not():
    frame = arm(2000, seed=1)
    target = frame[["hand_x", "hand_y"]].to_numpy()
    angles = frame[["shoulder", "elbow"]].to_numpy()
    reached = np.linalg.norm(hand(angles) - target, axis=1)
    assert np.sqrt((reached**2).mean()) < 3 * ANGLE_NOISE
    elbow = angles[:, 1]
    assert 0.45 < (elbow > 0).mean() < 0.55
    # The other way: mirror the arm in the line to the hand.
    direction = np.arctan2(target[:, 1], target[:, 0])
    mirrored = np.stack([2 * direction - angles[:, 0], -elbow], axis=1)
    assert np.linalg.norm(hand(mirrored) - target, axis=1).max() < 6 * ANGLE_NOISE
    straight = (angles + mirrored) / 2
    assert np.linalg.norm(hand(straight) - target, axis=1).min() > 0.3


def test_the_houses_lose_both_coordinates_and_keep_the_rest():
    task = load_pair("places", max_rows=500, seed=3)
    frame, _ = load_frame("houses", seed=3)
    assert task.num_features == 7
    assert not {"longitude", "latitude"} & set(task.schema.columns)
    every = torch.cat([part.z for part in (task.train, task.valid, task.test)])
    found = np.sort(task.schema.unstandardise(every).numpy(), axis=0)
    wanted = frame.head(500)[["longitude", "latitude"]].to_numpy()
    assert found == pytest.approx(np.sort(wanted, axis=0))
    assert task.card["licence"]


@pytest.mark.parametrize("name", ["arm", "places"])
def test_the_order_of_targets_moves_columns_and_nothing_else(name):
    pair = load_pair(name, max_rows=300, seed=2)
    first = "shoulder" if name == "arm" else "longitude"
    second = "elbow" if name == "arm" else "latitude"
    other = load_pair(name, [second, first], max_rows=300, seed=2)
    assert torch.equal(other.test.z, pair.test.z.flip(-1))
    assert torch.equal(other.test.x, pair.test.x)
    alone = load_pair(name, [second], max_rows=300, seed=2)
    assert torch.equal(alone.test.z, pair.test.z[:, 1])
    assert torch.equal(alone.test.x, pair.test.x)


def test_unknown_pairs_and_targets_are_refused():
    with pytest.raises(ValueError, match=r"unknown pair 'leg'; known: \['arm', 'pl"):
        load_pair("leg")
    for targets in ([], ["wrist"]):
        with pytest.raises(ValueError, match="must be among"):
            load_pair("arm", targets)


# --- The law on a grid --------------------------------------------------------


def test_the_grid_holds_every_pair_where_its_cell_is():
    assert GRID.shape == (4, 3)
    assert GRID.values[1, 2].tolist() == [-0.5, 4.0]
    first, second = GRID.cells(GRID.values).unbind(-1)
    assert torch.equal(first, torch.arange(4)[:, None].expand(4, 3))
    assert torch.equal(second, torch.arange(3).expand(4, 3))


def test_a_chained_policy_has_the_law_that_enumeration_gives(x):
    """1e-6 is what a branch may be worth that the package leaves out."""
    policy = make_policy(ConcatenatedTokenizer(PARTS))
    _, log_prob = enumerate_strings(policy, x)
    wanted = log_prob.detach().exp().unflatten(1, (4, 3))
    assert torch.allclose(chained_law(policy, x), wanted, atol=2e-6)
    assert grid_of(policy) == GRID


def test_two_policies_make_a_product(x):
    policies = [make_policy(part, seed=i) for i, part in enumerate(PARTS)]
    laws = [enumerate_strings(p, x).log_prob.detach().exp() for p in policies]
    wanted = torch.einsum("na,nb->nab", *laws)
    assert torch.allclose(product_law(policies, x), wanted, atol=4e-6)
    assert dependence(wanted).abs().max() < 1e-12


def test_other_tokenizers_have_no_grid():
    with pytest.raises(ValueError, match="not two normalised targets"):
        grid_of(make_policy(PARTS[0]))


def test_shuffling_keeps_both_margins_and_ends_the_dependence(law):
    apart = shuffled(law)
    for axis in (1, 2):
        assert torch.allclose(apart.sum(dim=axis), law.sum(dim=axis))
    assert (dependence(law) > 0.01).all()
    assert dependence(apart).abs().max() < 1e-12


def test_dependence_of_two_numbers_that_are_one():
    same = torch.zeros(1, 4, 3).double()
    same[0, 0, 0] = same[0, 3, 2] = 0.5
    assert dependence(same).item() == pytest.approx(math.log(2))


def test_the_energy_score_is_the_double_sum_over_all_pairs_of_cells(law):
    z = torch.tensor([[0.3, 1.0], [-2.0, 3.0], [0.0, 2.0], [0.5, 9.0], [0.0, 0.0]])
    z = z.double()
    points, p = GRID.values.reshape(-1, 2), law.reshape(5, -1)
    near = (p * (points - z[:, None]).norm(dim=-1)).sum(dim=1)
    apart = torch.einsum("ni,ij,nj->n", p, torch.cdist(points, points), p)
    found = energy_score(law, GRID, z)
    assert torch.allclose(found, near - apart / 2, atol=1e-12)


def test_the_energy_score_is_least_on_average_for_the_true_law(law):
    """A proper score: Σ_z p(z) ES(q, z) against q = p, for other laws q."""
    points = GRID.values.reshape(-1, 2)
    truth, expected = law[0], []
    for q in law:
        scores = energy_score(q.expand(len(points), -1, -1), GRID, points)
        expected.append((truth.reshape(-1) * scores).sum().item())
    assert min(expected) == expected[0]


# --- Rewards of pairs ---------------------------------------------------------


def test_a_sum_of_rewards_cannot_tell_a_pair_from_its_shuffle(law):
    z = torch.tensor([[0.2, 3.0]] * 5).double()
    values = GRID.values.reshape(-1, 2).expand(5, -1, -1)
    reward = summed_over_targets(squared_error_reward, values, z)
    means = [(w.reshape(5, -1) * reward).sum(dim=1) for w in (law, shuffled(law))]
    assert torch.allclose(*means)
    joint = VectorKernelReward(0.7)(values, z[:, None].expand_as(values))
    means = [(w.reshape(5, -1) * joint).sum(dim=1) for w in (law, shuffled(law))]
    assert (means[0] - means[1]).abs().min() > 1e-4


def test_the_kernel_of_a_vector_is_that_of_its_length():
    reward = VectorKernelReward(2.0)(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
    assert reward.item() == pytest.approx(math.exp(-25 / 8))


def test_the_hand_reward_takes_either_elbow():
    task = load_pair("arm", max_rows=200)
    angles = torch.tensor([[0.3, 1.2]]).double()
    mirrored = torch.tensor([[0.3 + 1.2, -1.2]]).double()  # in the line to the hand
    z, other = (task.schema.standardise(a.numpy()) for a in (angles, mirrored))
    assert torch.allclose(
        hand_of(z, task.schema), torch.from_numpy(hand(angles.numpy()))
    )
    reward = HandReward(task.schema)
    assert reward(other, z).item() == pytest.approx(0, abs=1e-12)
    assert reward((z + other) / 2, z).item() < -0.05


def test_a_vector_reward_that_is_a_sum_is_the_packages_own(x):
    policy = make_policy(ConcatenatedTokenizer(PARTS))
    z = torch.tensor([[0.0, 2.0], [0.5, 4.0], [-1.0, 0.0]]).double()

    def total(values, z):
        return -(values - z).square().sum(dim=-1)

    losses = []
    for objective in (ReMax(8), VectorReMax(8, reward=total)):
        generator = torch.Generator().manual_seed(0)
        [(loss, report)] = objective.losses(policy, x, z, generator)
        losses += [loss, report["reward"]]
    assert torch.equal(losses[0], losses[2])
    assert torch.equal(losses[1], losses[3])


def test_a_vector_reward_sees_both_numbers_of_a_string(x):
    policy = make_policy(ConcatenatedTokenizer(PARTS))
    z = torch.zeros(3, 2).double()
    seen = []

    def spy(values, z):
        seen.append((values, z))
        return values.sum(dim=-1)

    VectorReMax(4, reward=spy).roll(policy, x, z, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    rollout = tree_rollout(policy, x, 4, generator=generator, greedy=True)
    assert torch.equal(seen[0][0], policy.tokenizer.decode(rollout.tokens))
    assert torch.equal(seen[0][1], z[rollout.owner])
