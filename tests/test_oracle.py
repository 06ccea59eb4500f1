"""Every estimator's gradient against the exact one, from the ground up.

The oracle is checked against an enumeration that shares no code with it and against
finite differences. Then each estimator's *expected* gradient is computed exactly, by
giving it every group of samples that can occur, weighted by its chance. Last, gradients
of real rollouts must agree with the oracle within their own Monte-Carlo error.
"""

import itertools
import math
import statistics
from collections import Counter
from unittest.mock import patch

import pytest
import torch
from conftest import TINY_TOKENIZERS, make_policy
from scipy import stats
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from genre2_mini.objectives import (
    GRPO,
    PPO,
    REINFORCE,
    RLOO,
    ExactPolicyGradient,
    ReMax,
)
from genre2_mini.objectives.objective import companions_of
from genre2_mini.objectives.ratio import kl_k3
from genre2_mini.prefix_tree import score_strings
from genre2_mini.rewards import ClippedReward, squared_error_reward
from genre2_mini.rollouts import Rollout
from genre2_mini.tokenizers import NormalizedTokenizer

# Squared errors of the floating-point formats reach 10⁶, and so would the noise.
REWARDS = {
    "normalised": squared_error_reward,
    "scientific": ClippedReward(4.0),
    "ieee": ClippedReward(4.0),
}
FAR = torch.tensor([-1.0, 0.0, 8.0], dtype=torch.float64)  # errors of unlike size


def one_step_ppo(num_samples, **settings):
    """PPO with one step a batch and A = r − V."""
    return PPO(num_samples, epochs=1, gae_lambda=1.0, **settings)


def dr_grpo(num_samples, **settings):
    return GRPO(num_samples, divide_by_std=False, **settings)


@pytest.fixture
def z():
    """One target for each row of ``x``."""
    return torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64)


@pytest.fixture(params=list(TINY_TOKENIZERS))
def case(request):
    """A tiny policy of each tokenizer and a reward that suits its range."""
    kind = request.param
    return make_policy(TINY_TOKENIZERS[kind]()), REWARDS[kind]


@pytest.fixture
def binary():
    """A policy of 8 strings: there are 8³ ordered groups of three samples."""
    return make_policy(NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0))


def gradient(policy, loss):
    """The policy's gradient of ``loss`` as one vector."""
    grads = torch.autograd.grad(loss, list(policy.parameters()))
    return torch.cat([g.flatten() for g in grads])


def relative_error(estimate, truth):
    return ((estimate - truth).norm() / truth.norm()).item()


def cosine(a, b):
    return torch.cosine_similarity(a, b, dim=0).item()


def oracle(policy, x, z, reward=squared_error_reward):
    """The gradient of −E[r] that the package computes."""
    [(loss, _)] = ExactPolicyGradient(reward).losses(policy, x, z)
    return gradient(policy, loss)


def all_strings(tokenizer):
    return torch.tensor(list(itertools.product(*map(range, tokenizer.vocab_sizes))))


def log_probs(policy, x):
    """log π of all strings (N, V), each string read on its own: no tree."""
    return policy.log_prob(x, all_strings(policy.tokenizer).expand(len(x), -1, -1))


def rewards(policy, z, reward=squared_error_reward):
    """The reward of all strings (N, V)."""
    values = policy.tokenizer.decode(all_strings(policy.tokenizer))
    return reward(values.expand(len(z), -1), z)


def expected_reward(policy, x, z, reward):
    probability = log_probs(policy, x).exp()
    return (probability * rewards(policy, z, reward)).sum(dim=1).mean()


# The oracle itself.


def test_the_oracle_is_autograd_through_an_independent_enumeration(case, x, z):
    """1e-12: rounding of some hundred float64 terms, each of relative size 1e-16."""
    policy, reward = case
    independent = gradient(policy, -expected_reward(policy, x, z, reward))
    assert relative_error(oracle(policy, x, z, reward), independent) < 1e-12


def test_the_oracle_is_the_slope_that_finite_differences_measure(case, x, z):
    """Central differences along 6 random directions of length 1, without autograd.

    Theory at h = 1e-5: rounding of E[r] leaves about 2e-16·|E[r]|/h, truncation h²
    times a third derivative, 1e-10 each where |g| is 1 to 40 and a slope |g|/√7000.
    """
    policy, reward = case
    exact = oracle(policy, x, z, reward)
    h, theta = 1e-5, parameters_to_vector(policy.parameters()).detach()
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(6, len(theta), dtype=theta.dtype, generator=generator)

    @torch.no_grad()
    def loss_at(parameters):
        vector_to_parameters(parameters, policy.parameters())
        return -expected_reward(policy, x, z, reward).item()

    for d in directions / directions.norm(dim=1, keepdim=True):
        slope = (loss_at(theta + h * d) - loss_at(theta - h * d)) / (2 * h)
        assert slope == pytest.approx((exact @ d).item(), rel=1e-7)


@pytest.mark.parametrize("kind", list(TINY_TOKENIZERS))
def test_expected_squared_error_is_squared_bias_plus_variance(kind, x, z):
    """For every input: E(ẑ − z)² = (Eẑ − z)² + Var ẑ, to 1e-12 of its size."""
    policy = make_policy(TINY_TOKENIZERS[kind]())
    values = policy.tokenizer.decode(all_strings(policy.tokenizer))
    for n in range(len(x)):
        row = slice(n, n + 1)
        [(_, report)] = ExactPolicyGradient().losses(policy, x[row], z[row])
        probability = log_probs(policy, x[row])[0].exp()
        mean = probability @ values
        variance = probability @ (values - mean).square()
        parts = ((mean - z[n]).square() + variance).item()
        assert -report["reward"].item() == pytest.approx(parts, rel=1e-12)


# Expected gradients, exactly.


def every_group(policy, x, z, size):
    """All groups of ``size`` samples, each a copy of its input: x, z and a rollout.

    A group is a multiset of strings; its counts are multiplied by its multinomial
    chance. What averages over this rollout averages over all that could be drawn. The
    greedy string rides along with count 0, as in a real rollout.
    """
    strings, greedy = all_strings(policy.tokenizer), policy.greedy(x)
    chance_of = log_probs(policy, x).detach().exp()
    groups = list(itertools.combinations_with_replacement(range(len(strings)), size))
    picked, owner, count, best = [], [], [], []
    for copy, (n, group) in enumerate(itertools.product(range(len(x)), groups)):
        drawn, likeliest = Counter(group), strings.tolist().index(greedy[n].tolist())
        orders = math.factorial(size) / math.prod(map(math.factorial, drawn.values()))
        chance = orders * math.prod(chance_of[n, t].item() for t in group)
        for t in sorted({*drawn, likeliest}):
            if t == likeliest:
                best.append(len(picked))
            picked.append(t)
            owner.append(copy)
            count.append(drawn[t] * chance)
    copies, targets = (part.repeat_interleave(len(groups), dim=0) for part in (x, z))
    tokens, owner = strings[picked], torch.tensor(owner)

    def roll(*_, **__):
        read = score_strings(policy, copies, tokens, owner)
        weight = torch.tensor(count, dtype=read.log_probs.dtype)
        parts = read.tokens, read.owner, read.node, read.log_probs
        return Rollout(*parts, weight, torch.tensor(best))

    return copies, targets, roll


def expected_losses(objective, policy, x, z, *companions):
    """The objective's losses, averaged over all rollouts it could have drawn."""
    copies, targets, roll = every_group(policy, x, z, objective.num_samples)
    with patch("genre2_mini.objectives.reinforce.tree_rollout", roll):
        yield from objective.losses(
            policy, copies, targets, torch.Generator(), *companions
        )


def expected_gradient(objective, policy, x, z):
    """E[gradient of one batch's loss], without sampling."""
    companions = companions_of(objective, policy)
    [(loss, _)] = expected_losses(objective, policy, x, z, *companions)
    return gradient(policy, loss)


def group_gradient(policy, x, z, size, advantages, reward=squared_error_reward):
    """The same from the definition: loops over all ordered groups of samples.

    −E[ mean_s A_s ∇log π(t_s) ], where ``advantages`` maps S rewards to S advantages.
    """
    log_prob, r = log_probs(policy, x), rewards(policy, z, reward).tolist()
    probability = log_prob.detach().exp().tolist()
    weight = torch.zeros_like(log_prob)
    for n, p in enumerate(probability):
        for group in itertools.product(range(len(p)), repeat=size):
            chance = math.prod(p[t] for t in group)
            for t, a in zip(group, advantages([r[n][t] for t in group]), strict=True):
                weight[n, t] += chance * a / size
    return gradient(policy, -(weight * log_prob).sum(dim=1).mean())


def standardised(group):
    """(r − r̄)/(std + 10⁻⁶) with the standard deviation of the group itself."""
    mean, std = statistics.fmean(group), statistics.pstdev(group)
    return [(r - mean) / (std + 1e-6) for r in group]


def name(objective):
    """A test's id: the objective and S."""
    if isinstance(objective, REINFORCE):
        return f"{type(objective).__name__}-{objective.num_samples}"
    return None


UNBIASED = [REINFORCE(1), REINFORCE(2), ReMax(1), ReMax(2), RLOO(2), RLOO(3)]
UNBIASED += [one_step_ppo(1), one_step_ppo(2)]


@pytest.mark.parametrize("objective", UNBIASED, ids=name)
def test_on_average_the_gradient_is_that_of_minus_the_expected_reward(
    binary, x, z, objective
):
    estimate = expected_gradient(objective, binary, x, z)
    assert relative_error(estimate, oracle(binary, x, z)) < 1e-12


@pytest.mark.parametrize("size", [2, 3])
def test_dr_grpo_needs_the_factor_s_over_s_minus_1(binary, x, z, size):
    """Its baseline contains the sample itself, which costs 1/S of the signal."""
    estimate = expected_gradient(dr_grpo(size), binary, x, z) * size / (size - 1)
    assert relative_error(estimate, oracle(binary, x, z)) < 1e-12


@pytest.mark.parametrize("size", [2, 3])
def test_grpo_follows_its_standardised_groups_on_average(binary, x, size):
    """1e-10: a group of equal rewards has A = 0 but for rounding, divided by 10⁻⁶."""
    estimate = expected_gradient(GRPO(size), binary, x, FAR)
    by_hand = group_gradient(binary, x, FAR, size, standardised)
    assert relative_error(estimate, by_hand) < 1e-10


def test_grpo_points_elsewhere_where_inputs_have_unlike_errors(binary, x):
    """One input is off by 8, and has nearly all of the true gradient; two are not."""
    exact = oracle(binary, x, FAR)
    assert cosine(expected_gradient(dr_grpo(3), binary, x, FAR), exact) > 1 - 1e-12
    assert cosine(expected_gradient(GRPO(3), binary, x, FAR), exact) < 0.9


@pytest.mark.parametrize(
    ("objective", "power"),
    [
        (REINFORCE(2), 1),
        (ReMax(2), 1),
        (RLOO(2), 1),
        (one_step_ppo(2), 1),
        (dr_grpo(2), 1),
        (GRPO(2), 0),
    ],
    ids=name,
)
def test_only_grpo_is_blind_to_the_scale_of_rewards(binary, x, z, objective, power):
    """r -> a·r + b scales the expected gradient by a; GRPO's stays, to 10⁻⁶/std."""
    a, b = 100.0, -7.0

    def stretched(values, z):
        return a * squared_error_reward(values, z) + b

    settings = {**vars(objective), "reward": stretched}
    scaled = expected_gradient(type(objective)(**settings), binary, x, z)
    plain = expected_gradient(objective, binary, x, z)
    assert relative_error(scaled, a**power * plain) < (1e-12 if power else 1e-5)


# Gradients of real rollouts.

BATCHES, DIRECTIONS, FALSE_ALARM = 24, 5, 1e-4
# Student's t, two-sided, Bonferroni over the directions: 5.3 standard errors.
BOUND = float(stats.t.isf(FALSE_ALARM / (2 * DIRECTIONS), BATCHES - 1))


def batch_gradients(objective, policy, x, z, copies=1):
    """Gradients (BATCHES, P) of independent batches, each with ``copies`` of x."""
    generator = torch.Generator().manual_seed(0)
    companions = companions_of(objective, policy)
    x, z = (part.repeat_interleave(copies, dim=0) for part in (x, z))
    gradients = []
    for _ in range(BATCHES):
        [(loss, _)] = objective.losses(policy, x, z, generator, *companions)
        gradients.append(gradient(policy, loss))
    return torch.stack(gradients)


def standard_errors_off(gradients, truth):
    """How far the mean gradient is from ``truth``, in its own standard errors.

    The largest of DIRECTIONS: along ``truth`` and four random ones. Where the truth
    is right it exceeds BOUND once in 1/FALSE_ALARM seeds; the seed is fixed.
    """
    generator = torch.Generator().manual_seed(1)
    random = torch.randn(DIRECTIONS - 1, len(truth), generator=generator).to(truth)
    off = (gradients - truth) @ torch.cat([truth[None], random]).T  # (BATCHES, 5)
    return (off.mean(dim=0) / (off.std(dim=0) / BATCHES**0.5)).abs().max().item()


@pytest.mark.parametrize(
    "objective_of", [REINFORCE, RLOO, ReMax, one_step_ppo], ids=lambda f: f.__name__
)
def test_sampled_gradients_agree_with_the_oracle(case, x, z, objective_of):
    """24 · 500,000 strings an input: a gradient 5 % too long would be found out."""
    policy, reward = case
    exact = oracle(policy, x, z, reward)
    gradients = batch_gradients(objective_of(500_000, reward=reward), policy, x, z)
    assert cosine(gradients.mean(dim=0), exact) > 0.999
    assert standard_errors_off(gradients, exact) < BOUND
    assert standard_errors_off(gradients, 1.05 * exact) > BOUND


def test_rloo_groups_of_4_agree_with_the_oracle(binary, x, z):
    """14,400 groups: the baseline is noisy, and must not bias."""
    exact = oracle(binary, x, z)
    gradients = batch_gradients(RLOO(4), binary, x, z, copies=200)
    assert cosine(gradients.mean(dim=0), exact) > 0.999
    assert standard_errors_off(gradients, exact) < BOUND


def test_dr_grpo_groups_of_4_agree_with_three_quarters_of_the_oracle(binary, x, z):
    exact = oracle(binary, x, z)
    gradients = batch_gradients(dr_grpo(4), binary, x, z, copies=200)
    assert cosine(gradients.mean(dim=0), exact) > 0.999
    assert standard_errors_off(gradients * 4 / 3, exact) < BOUND
    assert standard_errors_off(gradients, exact) > BOUND


def test_grpo_groups_of_3_agree_with_the_mean_over_all_groups_not_the_oracle(binary, x):
    """Its limit is E over groups of the standardised, not of the raw, advantage."""
    limit = group_gradient(binary, x, FAR, 3, standardised)
    gradients = batch_gradients(GRPO(3), binary, x, FAR, copies=200)
    assert cosine(gradients.mean(dim=0), limit) > 0.999
    assert standard_errors_off(gradients, limit) < BOUND
    exact = oracle(binary, x, FAR)
    same_length = exact * limit.norm() / exact.norm()
    assert standard_errors_off(gradients, same_length) > BOUND


def test_a_baseline_lowers_the_variance_of_the_gradient(binary, x):
    """25 batches of S = 4, targets 8 to 12 off; measured 7 to 20 times, for six seeds.

    Far from 0 the reward is nearly the same for all strings, and Var(r ∇log π) about
    E[r]² E|∇log π|². A baseline near E[r] subtracts that: the greedy string's reward
    (ReMax), or the mean of the others (RLOO).
    """
    z = torch.full((3,), 10.0, dtype=torch.float64)
    variance = {}
    for objective in (REINFORCE(4), RLOO(4), ReMax(4)):
        generator, gradients = torch.Generator().manual_seed(0), []
        for _ in range(25):
            [(loss, _)] = objective.losses(binary, x, z, generator)
            gradients.append(gradient(binary, loss))
        total = torch.stack(gradients).var(dim=0).sum().item()
        variance[type(objective)] = total
    assert variance[REINFORCE] > 4 * variance[RLOO]
    assert variance[REINFORCE] > 4 * variance[ReMax]


# Divergences.


def other_policy():
    return make_policy(NormalizedTokenizer(2, 3, low=-2.0, high=2.0), seed=1)


def exact_kl(log_p, log_q):
    """KL(p ‖ q) over all strings, averaged over inputs."""
    return (log_p.exp() * (log_p - log_q)).sum(dim=1).mean().item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_k3_is_never_negative_and_zero_only_where_the_policies_agree(dtype):
    size = torch.logspace(-20, 1.5, 20_001, dtype=dtype)
    log_ratio = torch.cat([-size, torch.zeros(1, dtype=dtype), size])
    k3 = kl_k3(torch.zeros_like(log_ratio), log_ratio)
    assert (k3 >= 0).all()
    assert (k3[log_ratio.abs() > 1e-3] > 0).all()
    assert k3[log_ratio == 0] == 0


def test_k3_summed_over_tokens_is_the_kl_divergence_on_average(binary, x):
    """GRPO's penalty: Σ_t π(t) Σ_k k3 of token k, over every string of the policy."""
    other = other_policy()
    objective = GRPO(2, kl_weight=0.1)
    [(_, report)] = expected_losses(objective, binary, x, FAR, other)
    kl = exact_kl(log_probs(binary, x), log_probs(other, x))
    assert kl > 0.1
    assert report["kl"].item() == pytest.approx(kl, rel=1e-12)


def test_ppo_reports_the_kl_divergence_of_the_old_policy_from_the_new(binary, x, z):
    objective = PPO(1, epochs=2)
    companions = companions_of(objective, binary)
    losses = expected_losses(objective, binary, x, z, *companions)
    _, report = next(losses)
    assert report["approx_kl"].abs() < 1e-12
    old = log_probs(binary, x).detach()
    with torch.no_grad():  # a step of the optimiser
        vector_to_parameters(
            parameters_to_vector(other_policy().parameters()), binary.parameters()
        )
    _, report = next(losses)
    kl = exact_kl(old, log_probs(binary, x))
    assert kl > 0.1
    assert report["approx_kl"].item() == pytest.approx(kl, rel=1e-12)


def test_k3_as_a_penalty_pulls_towards_the_reference_at_every_prefix(binary, x, z):
    """Its value is KL(π ‖ reference), its gradient that of KL(reference ‖ π).

    The samples are not differentiated: what is left is E[(1 − π'/π) ∇log π], which
    descends the cross-entropy of the reference, prefix by prefix.
    """
    other = other_policy()
    no_reward = {"reward": lambda values, z: torch.zeros_like(values)}
    objective = GRPO(2, kl_weight=1.0, **no_reward)
    [(loss, _)] = expected_losses(objective, binary, x, z, other)
    strings = all_strings(binary.tokenizer).expand(len(x), -1, -1)
    chance = log_probs(binary, x).detach().exp()
    reference = other.logits(x, strings).softmax(dim=-1).detach()
    cross_entropy = -reference * binary.logits(x, strings).log_softmax(dim=-1)
    by_hand = (chance * cross_entropy.sum(dim=(2, 3))).sum(dim=1).mean()
    estimate, expected = gradient(binary, loss), gradient(binary, by_hand)
    assert relative_error(estimate, expected) < 1e-12
