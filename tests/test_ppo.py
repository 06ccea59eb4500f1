"""PPO: advantages by hand and against exact values, the clip, the critic, resuming."""

import copy
from unittest.mock import patch

import pandas as pd
import pytest
import torch
from conftest import make_policy, policy_for
from torch import nn

from genre2_mini.checkpoints import load_checkpoint
from genre2_mini.objectives import GRPO, PPO, ExactPolicyGradient
from genre2_mini.objectives.critic import Critic, generalised_advantage
from genre2_mini.objectives.objective import companions_of
from genre2_mini.objectives.ratio import clip_fraction, clipped_surrogate
from genre2_mini.prefix_tree import all_strings, score_strings
from genre2_mini.rewards import squared_error_reward
from genre2_mini.rollouts import Rollout, tree_rollout
from genre2_mini.tokenizers import NormalizedTokenizer
from genre2_mini.training import fit

FAST = {"batch_size": 8, "learning_rate": 3e-3, "validate_every": 4, "num_samples": 4}


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def z():
    return f64(-1.0, 0.0, 0.5)


@pytest.fixture
def binary():
    """A policy of 8 strings: 7 prefixes and 8 leaves for each of the three inputs."""
    return make_policy(NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0))


def gradient(module, loss):
    """The gradient of ``loss`` with respect to all of the module's parameters."""
    grads = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True)
    return torch.cat([g.flatten() for g in grads])


def relative_error(estimate, truth):
    return ((estimate - truth).norm() / truth.norm()).item()


def weights(module):
    return nn.utils.parameters_to_vector(module.parameters()).detach().clone()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def every_string(policy, x, *_, **__):
    """Instead of samples: all strings, each as often as it is likely."""
    tree = all_strings(policy, x)
    parts = tree.tokens, tree.owner, tree.node, tree.log_probs
    some_leaf = torch.arange(len(x)) * 8  # "greedy" is only reported
    return Rollout(*parts, tree.log_prob.detach().exp(), some_leaf)


def expected_losses(objective, policy, x, z, critic):
    """The objective's losses, averaged over all strings instead of samples."""
    with patch("genre2_mini.objectives.reinforce.tree_rollout", every_string):
        yield from objective.losses(policy, x, z, seeded(), critic)


class ExactValue(nn.Module):
    """V(prefix) = Σ π r / Σ π over the strings below it, plus ``error`` (8, K).

    Answers only for all 8 strings of ``x``, in order.
    """

    def __init__(self, policy, x, z, error=None):
        super().__init__()
        tree = all_strings(policy, x)
        p = tree.log_prob.detach().exp().reshape(-1, 8)
        values = policy.tokenizer.decode(tree.tokens)
        r = squared_error_reward(values, z[tree.owner]).reshape(-1, 8)
        columns = []
        for below in (8, 4, 2):  # strings that share a prefix of 0, 1, 2 tokens
            chance, worth = (f.unflatten(1, (-1, below)).sum(2) for f in (p, p * r))
            columns.append((worth / chance).repeat_interleave(below, dim=1).flatten())
        self.value, self.probability = torch.stack(columns, dim=1), p.flatten()
        self.reward = r.flatten()
        if error is not None:
            self.value = self.value + error.repeat(len(x), 1)

    def forward(self, x, tokens, owner):
        assert len(tokens) == len(self.value)
        return self.value


# Advantages.


def test_the_advantage_by_hand():
    """r = 1 at the end and V = (0.5, 0.2, 0.6): δ = (−0.3, 0.4, 0.4).

    With λ = ½: A₃ = 0.4, A₂ = 0.4 + ½·0.4 = 0.6, A₁ = −0.3 + ½·0.6 = 0.
    """
    reward, value = f64(1.0), f64([0.5, 0.2, 0.6])
    advantage = generalised_advantage(reward, value, 0.5)
    torch.testing.assert_close(advantage, f64([0.0, 0.6, 0.4]))


def test_lambda_1_is_the_reward_minus_the_value():
    reward, value = f64(1.0, -2.0), f64([0.5, 0.2, 0.6], [0.0, 3.0, -1.0])
    by_hand = f64([0.5, 0.8, 0.4], [-2.0, -5.0, -1.0])
    torch.testing.assert_close(generalised_advantage(reward, value, 1.0), by_hand)


def test_lambda_0_is_the_one_step_difference():
    reward, value = f64(1.0, -2.0), f64([0.5, 0.2, 0.6], [0.0, 3.0, -1.0])
    by_hand = f64([-0.3, 0.4, 0.4], [3.0, -4.0, -1.0])
    torch.testing.assert_close(generalised_advantage(reward, value, 0.0), by_hand)


def test_one_token_has_one_advantage_whatever_lambda():
    for lam in (0.0, 0.5, 1.0):
        advantage = generalised_advantage(f64(1.0), f64([0.25]), lam)
        assert advantage.tolist() == [[0.75]]


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_with_the_exact_value_the_advantage_has_mean_0_at_every_prefix(
    binary, x, z, lam
):
    exact = ExactValue(binary, x, z)
    advantage = generalised_advantage(exact.reward, exact.value, lam)
    assert advantage.abs().max() > 0.1
    weighted = (exact.probability[:, None] * advantage).reshape(-1, 8, 3)
    for k, below in enumerate((8, 4, 2)):
        at_prefix = weighted[:, :, k].unflatten(1, (-1, below)).sum(dim=2)
        assert at_prefix.abs().max() < 1e-13  # rounding of 8 terms


LAMBDAS = [0.0, 0.5, 0.95, 1.0]


@pytest.mark.parametrize("lam", LAMBDAS)
def test_with_the_exact_value_every_lambda_gives_the_exact_gradient(binary, x, z, lam):
    objective = PPO(1, epochs=1, gae_lambda=lam)
    critic = ExactValue(binary, x, z)
    [(loss, _)] = expected_losses(objective, binary, x, z, critic)
    [(exact, _)] = ExactPolicyGradient().losses(binary, x, z)
    expected = gradient(binary, exact)
    assert relative_error(gradient(binary, loss), expected) < 1e-12


@pytest.mark.parametrize("lam", LAMBDAS)
def test_a_wrong_value_biases_every_lambda_but_1(binary, x, z, lam):
    """V is off by 1 for one first token: below λ = 1, that token looks better."""
    error = torch.zeros(8, 3).double()
    error[:4, 1] = 1.0
    critic = ExactValue(binary, x, z, error)
    [(loss, _)] = expected_losses(
        PPO(1, epochs=1, gae_lambda=lam), binary, x, z, critic
    )
    [(exact, _)] = ExactPolicyGradient().losses(binary, x, z)
    off = relative_error(gradient(binary, loss), gradient(binary, exact))
    assert off < 1e-12 if lam == 1 else off > 0.3 * (1 - lam)


def test_normalised_advantages_have_mean_0_and_standard_deviation_1(binary, x, z):
    """From V = 0 and λ = 1: the gradient of −Σ π · (r − r̄)/std · log π."""
    objective = PPO(1, epochs=1, gae_lambda=1.0, normalise_advantage=True)
    [(loss, _)] = expected_losses(objective, binary, x, z, Critic(binary))
    tree = all_strings(binary, x)
    p = tree.log_prob.detach().exp() / 3
    values = binary.tokenizer.decode(tree.tokens)
    r = squared_error_reward(values, z[tree.owner])
    standardised = (r - p @ r) / (p @ (r - p @ r).square()).sqrt()
    by_hand = gradient(binary, -(p * standardised) @ tree.log_prob)
    assert relative_error(gradient(binary, loss), by_hand) < 1e-5  # 10⁻⁶ beside std


# The clip, ε = 0.2.


@pytest.mark.parametrize(
    ("ratio", "advantage", "gain", "slope"),
    [
        (1.1, 2.0, 2.2, 2.2),  # inside: ρA, whose derivative in log π is ρA
        (0.9, -2.0, -1.8, -1.8),
        (1.5, 2.0, 2.4, 0.0),  # likely enough: the gain ends at 1.2·A
        (0.5, 2.0, 1.0, 1.0),  # went the wrong way: the way back stays open
        (1.5, -2.0, -3.0, -3.0),
        (0.5, -2.0, -1.6, 0.0),  # unlikely enough: the gain ends at 0.8·A
        (1.0, 2.0, 2.0, 2.0),  # the first step: A ∇log π
        (1.0, -2.0, -2.0, -2.0),
    ],
)
def test_the_clipped_surrogate_by_hand(ratio, advantage, gain, slope):
    old = f64(-1.3)
    new = (old + f64(ratio).log()).requires_grad_()
    surrogate = clipped_surrogate(new, old, f64(advantage), clip=0.2)
    surrogate.sum().backward()
    torch.testing.assert_close(surrogate.detach(), f64(gain))
    torch.testing.assert_close(new.grad, f64(slope))


def test_the_clip_fraction_counts_ratios_beyond_epsilon():
    ratio = f64(0.5, 0.79, 0.81, 1.0, 1.19, 1.21, 3.0)
    clipped = clip_fraction(ratio.log(), torch.zeros_like(ratio), clip=0.2)
    assert clipped.tolist() == [1, 1, 0, 0, 0, 1, 1]


def trained_critic(policy):
    """A critic whose values are not 0."""
    critic = Critic(policy)
    torch.manual_seed(3)
    nn.init.normal_(critic.trunk.unembedding.weight)
    return critic


def test_before_the_first_step_the_gradient_is_that_of_reinforce(binary, x, z):
    """Nothing is clipped, and each token's log π is weighted by its own advantage."""
    critic = trained_critic(binary)
    objective = PPO(8, epochs=1, gae_lambda=0.5)
    [(loss, report)] = objective.losses(binary, x, z, seeded(), critic)
    rollout = tree_rollout(binary, x, 8, generator=seeded(), greedy=True)
    values = binary.tokenizer.decode(rollout.tokens)
    reward = squared_error_reward(values, z[rollout.owner])
    value = critic(x, rollout.tokens, rollout.owner).detach()
    advantage = generalised_advantage(reward, value, 0.5)
    reinforce = 0.0
    for m, count in enumerate(rollout.count.tolist()):
        conditionals = binary.logits(
            x[rollout.owner[m]][None], rollout.tokens[m][None, None]
        )[0, 0].log_softmax(-1)
        for k, token in enumerate(rollout.tokens[m].tolist()):
            reinforce -= count / 24 * advantage[m, k] * conditionals[k, token]
    assert report["clip_fraction"] == 0
    assert relative_error(gradient(binary, loss), gradient(binary, reinforce)) < 1e-12


def test_a_later_epoch_is_clipped_where_the_ratio_left_the_band(binary, x, z):
    """After a large step of the policy, by loops over strings and tokens."""
    objective = PPO(8, epochs=2, gae_lambda=1.0, value_weight=0.0)
    losses = objective.losses(binary, x, z, seeded(), Critic(binary))
    rollout = tree_rollout(binary, x, 8, generator=seeded(), greedy=True)
    old = rollout.token_log_prob.detach()
    values = binary.tokenizer.decode(rollout.tokens)
    reward = squared_error_reward(values, z[rollout.owner])
    first, _ = next(losses)
    step = 3e-4 * gradient(binary, first)
    with torch.no_grad():
        nn.utils.vector_to_parameters(weights(binary) - step, binary.parameters())
    second, report = next(losses)
    new = score_strings(binary, x, rollout.tokens, rollout.owner).token_log_prob
    gain, beyond = 0.0, 0.0
    for m, count in enumerate(rollout.count.tolist()):
        for k in range(3):
            ratio = (new[m, k] - old[m, k]).exp()
            clipped = min(max(ratio.item(), 0.8), 1.2)
            gain += count / 24 * min(ratio * reward[m], clipped * reward[m])
            beyond += count / 72 * (clipped != ratio.item())
    torch.testing.assert_close(second.detach(), -gain.detach())
    assert report["clip_fraction"].item() == pytest.approx(beyond)
    assert 0 < beyond < 1


# Epochs and minibatches.


@pytest.fixture
def five():
    """Five inputs, so that two minibatches are unequal."""
    x = torch.randn(5, 4, generator=seeded(2))
    return x, f64(-1.0, 0.0, 0.5, 1.0, 1.5)


@pytest.mark.parametrize(("epochs", "minibatches"), [(1, 1), (3, 1), (1, 4), (3, 2)])
def test_a_batch_yields_epochs_times_minibatches_losses(
    binary, five, epochs, minibatches
):
    objective = PPO(4, epochs=epochs, minibatches=minibatches)
    losses = list(objective.losses(binary, *five, seeded(), Critic(binary)))
    assert len(losses) == epochs * minibatches


def test_no_minibatch_is_empty(binary, five):
    objective = PPO(4, epochs=1, minibatches=8)
    losses = list(objective.losses(binary, *five, seeded(), Critic(binary)))
    assert len(losses) == 5


def test_minibatches_hold_every_input_once_in_an_epoch_and_in_a_new_order(binary, five):
    x, z = five
    seen = []
    critic = Critic(binary)
    critic.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    list(PPO(4, epochs=2, minibatches=2).losses(binary, x, z, seeded(), critic))
    _, *parts = seen  # the first call is the rollout's
    assert [len(part) for part in parts] == [3, 2, 3, 2]
    epochs = [[x.tolist().index(row) for p in pair for row in p.tolist()]
              for pair in (parts[:2], parts[2:])]  # fmt: skip
    assert sorted(epochs[0]) == sorted(epochs[1]) == [0, 1, 2, 3, 4]
    assert set(epochs[0][:3]) != set(epochs[1][:3])


def test_the_minibatches_of_an_epoch_add_up_to_the_whole_batch(binary, five):
    """3/5 of one loss and 2/5 of the other, all terms and reports included."""
    settings = {"epochs": 1, "entropy_weight": 0.1, "gae_lambda": 0.5}
    critic = trained_critic(binary)
    [(whole, report)] = PPO(4, **settings).losses(binary, *five, seeded(), critic)
    halves = PPO(4, minibatches=2, **settings).losses(binary, *five, seeded(), critic)
    (first, its_report), (second, other_report) = halves
    total = 0.6 * first + 0.4 * second
    torch.testing.assert_close(total, whole)
    for module in (binary, critic):
        error = relative_error(gradient(module, total), gradient(module, whole))
        assert error < 1e-12
    for name in report:
        added = 0.6 * its_report[name] + 0.4 * other_report[name]
        torch.testing.assert_close(added, report[name])


def test_the_loss_is_gain_value_error_and_entropy_bonus(binary, x, z):
    """value_weight and entropy_weight each scale one term; entropy in nats a string."""
    critic = trained_critic(binary)

    def loss(**weights):
        objective = PPO(1, epochs=1, **weights)
        [(loss, report)] = expected_losses(objective, binary, x, z, critic)
        return loss, report

    gain, report = loss(value_weight=0.0)
    with_value, _ = loss(value_weight=2.0)
    with_bonus, _ = loss(value_weight=0.0, entropy_weight=3.0)
    log_prob = all_strings(binary, x).log_prob
    entropy = -(log_prob.exp() @ log_prob) / 3
    torch.testing.assert_close(with_value - gain, 2 * report["value_loss"])
    torch.testing.assert_close(with_bonus - gain, -3 * entropy)
    torch.testing.assert_close(report["entropy"], entropy.detach())


def test_the_value_loss_is_half_the_mean_squared_error_over_sampled_prefixes(
    binary, x, z
):
    """λ = 1: the returns are the rewards, whatever the critic said."""
    critic = trained_critic(binary)
    objective = PPO(8, epochs=1, gae_lambda=1.0)
    [(_, report)] = objective.losses(binary, x, z, seeded(), critic)
    rollout = tree_rollout(binary, x, 8, generator=seeded(), greedy=True)
    values = binary.tokenizer.decode(rollout.tokens)
    reward = squared_error_reward(values, z[rollout.owner])
    value, by_hand = critic(x, rollout.tokens, rollout.owner), 0.0
    for m, count in enumerate(rollout.count.tolist()):
        for k in range(3):
            by_hand += count / 24 / 3 * 0.5 * (value[m, k] - reward[m]).item() ** 2
    assert report["value_loss"].item() == pytest.approx(by_hand)


# The critic.


def test_the_critic_starts_from_the_policys_weights_and_from_value_0(binary, x):
    critic, own = Critic(binary), dict(binary.named_parameters())
    for name, parameter in critic.trunk.named_parameters():
        if not name.startswith("unembedding"):
            assert torch.equal(parameter, own[name])
    tree = all_strings(binary, x)
    value = critic(x, tree.tokens, tree.owner)
    assert value.shape == (24, 3)
    assert value.abs().max() == 0


def test_the_critic_shares_no_weights(binary, x, z):
    """A step of either leaves the other as it was, bit for bit."""
    critic = trained_critic(binary)
    for trained, other in ((binary, critic), (critic, binary)):
        before, kept = weights(trained), weights(other)
        optimiser = torch.optim.Adam(trained.parameters())
        [(loss, _)] = PPO(4, epochs=1).losses(binary, x, z, seeded(), critic)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        assert not torch.equal(weights(trained), before)
        assert torch.equal(weights(other), kept)


def test_a_critic_of_a_frozen_policy_can_be_trained(binary):
    assert all(
        p.requires_grad for p in Critic(binary.requires_grad_(False)).parameters()
    )


def test_the_value_belongs_to_the_prefix_before_the_token(binary, x):
    """V_k of strings that share their first k − 1 tokens is one number."""
    tree = all_strings(binary, x)
    value = trained_critic(binary)(x, tree.tokens, tree.owner).reshape(3, 8, 3)
    for k, below in enumerate((8, 4, 2)):
        at_prefix = value[:, :, k].unflatten(1, (-1, below))
        assert torch.equal(at_prefix, at_prefix[:, :, :1].expand_as(at_prefix))
    assert value[0, :, 2].unique().numel() == 4
    assert value[:, 0, 0].unique().numel() == 3


def test_the_critic_learns_the_exact_value_of_a_fixed_policy(binary, x, z):
    """200 steps on one batch, all strings weighted by chance, end within 1 % of Var V.

    λ = 1, so that the returns are rewards, between −9 and 0. At this seed it is 0.1 %.
    """
    steps, policy = 200, binary.requires_grad_(False)
    policy.unembedding.weight.div_(4)  # no string is rarer than 1 in 100
    critic, exact = Critic(policy), ExactValue(policy, x, z)
    adam = torch.optim.Adam(critic.parameters(), lr=1e-2, betas=(0.9, 0.99))
    decay = torch.optim.lr_scheduler.LambdaLR(adam, lambda i: min(1, 2 - 2 * i / steps))
    objective = PPO(1, epochs=steps, gae_lambda=1.0)
    for loss, _ in expected_losses(objective, policy, x, z, critic):
        adam.zero_grad()
        loss.backward()
        adam.step()
        decay.step()
    tree, p = all_strings(policy, x), exact.probability / 3
    learned = critic(x, tree.tokens, tree.owner).detach()
    error = p @ (learned - exact.value).square()  # for each of the three positions
    variance = p @ (exact.value - p @ exact.value).square()
    assert (error < 0.01 * variance).all()


# Companions in ``fit``.


@pytest.mark.parametrize(
    "objective",
    [
        PPO(num_samples=4, epochs=2, minibatches=2),
        GRPO(num_samples=4, epochs=2, kl_weight=0.1),
    ],
    ids=["PPO", "GRPO with a reference"],
)
def test_a_resumed_run_with_a_companion_equals_an_uninterrupted_one(
    task, objective, tmp_path
):
    """Bit for bit: policy, companion, optimiser, best weights and history."""
    whole, halves = tmp_path / "whole.safetensors", tmp_path / "halves.safetensors"
    policy = policy_for(task, dropout=0.3)
    expected = fit(policy, task, objective, steps=8, checkpoint=whole, **FAST)
    first = policy_for(task, dropout=0.3)
    fit(first, task, objective, steps=4, checkpoint=halves, **FAST)
    fresh = policy_for(task, dropout=0.3, seed=5)  # its weights must not matter
    history = fit(fresh, task, objective, steps=8, checkpoint=halves, **FAST)
    assert torch.equal(weights(fresh), weights(policy))
    pd.testing.assert_frame_equal(
        history.drop(columns="seconds"), expected.drop(columns="seconds")
    )
    tensors, resumed = (load_checkpoint(file).tensors for file in (whole, halves))
    assert any(name.startswith("weights.1.") for name in tensors)  # the companion
    assert tensors.keys() == resumed.keys()
    assert all(torch.equal(tensors[name], resumed[name]) for name in tensors)


def companion_weights(file):
    """The companion's weights in a checkpoint."""
    tensors = load_checkpoint(file).tensors
    return {n: w for n, w in tensors.items() if n.startswith("weights.1.")}


def test_fit_trains_the_critic(task, tmp_path):
    file = tmp_path / "run.safetensors"
    policy = policy_for(task)
    before = Critic(policy).trunk.state_dict()
    fit(policy, task, PPO(num_samples=4, epochs=1), steps=5, checkpoint=file, **FAST)
    for name, weight in companion_weights(file).items():
        assert not torch.equal(weight, before[name.removeprefix("weights.1.trunk.")])


def test_fit_leaves_the_reference_policy_as_it_was_before_training(task, tmp_path):
    file = tmp_path / "run.safetensors"
    policy = policy_for(task)
    before = copy.deepcopy(policy.state_dict())
    objective = GRPO(num_samples=4, kl_weight=0.1)
    fit(policy, task, objective, steps=5, checkpoint=file, **FAST)
    reference = companion_weights(file)
    assert len(reference) == len(before)
    for name, weight in reference.items():
        assert torch.equal(weight, before[name.removeprefix("weights.1.")])


def test_objectives_without_a_companion_have_none(binary):
    assert companions_of(GRPO(2), binary) == ()
    [critic] = companions_of(PPO(), binary)
    assert isinstance(critic, Critic)
