"""What each objective computes, by hand: its loss, its reports, what it refuses."""

import itertools
import math
import statistics
from typing import NamedTuple

import pytest
import torch
from conftest import make_policy, policy_for

from genre2_mini import objectives
from genre2_mini.encoders import RowEncoder
from genre2_mini.heads import PointwiseHead
from genre2_mini.objectives import (
    DIST2,
    GRPO,
    NTLMSE,
    NTLWAS,
    PPO,
    REINFORCE,
    RLOO,
    CrossEntropy,
    ExactPolicyGradient,
    ExpertSupervision,
    GenRe2,
    HistogramCrossEntropy,
    ReMax,
    SquaredError,
)
from genre2_mini.objectives.objective import companions_of
from genre2_mini.rewards import ToleranceReward
from genre2_mini.rollouts import tree_rollout
from genre2_mini.tokenizers import NormalizedTokenizer, ScientificTokenizer

# Every exported objective, and those that see strings of the policy's own.
EXPORTED = [getattr(objectives, name) for name in objectives.__all__]
OBJECTIVES = [c for c in EXPORTED if hasattr(c, "losses") and c.__name__ != "Objective"]
TRUTH_ONLY = (CrossEntropy, NTLMSE, NTLWAS, DIST2, SquaredError, HistogramCrossEntropy)
ON_POLICY = [c for c in OBJECTIVES if c not in TRUTH_ONLY]
SAMPLED = [c for c in ON_POLICY if c is not ExactPolicyGradient]


@pytest.fixture
def z():
    """One target for each row of ``x``."""
    return torch.tensor([-1.0, 0.0, 0.7], dtype=torch.float64)


@pytest.fixture
def binary():
    """A tiny policy of 8 strings, whose values are −2, −1.5, …, 1.5."""
    return make_policy(NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0))


def gradient(module, loss):
    """All parameters' gradients of ``loss`` as one vector."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss, parameters, retain_graph=True)
    return torch.cat([g.flatten() for g in grads])


def only_loss(objective, model, x, z, seed=0):
    """The single loss and report of a batch."""
    generator = torch.Generator().manual_seed(seed)
    companions = companions_of(objective, model)
    [(loss, report)] = objective.losses(model, x, z, generator, *companions)
    return loss, report


def test_cross_entropy_is_minus_the_log_probability_of_the_true_string(policy, x, z):
    loss, report = only_loss(CrossEntropy(), policy, x, z)
    true = policy.tokenizer.encode(z)
    by_hand = 0.0
    for row, string in zip(x, true, strict=True):
        logits = policy.logits(row[None], string[None, None])[0, 0]
        for k, token in enumerate(string):
            by_hand -= logits[k].log_softmax(-1)[token] / 3
    torch.testing.assert_close(loss, by_hand)
    assert report["cross_entropy"] == loss


def test_squared_error_is_the_mean_squared_residual(x):
    head = PointwiseHead(RowEncoder(4, d_model=16), d_model=16).eval()
    z = torch.tensor([1.0, 2.0, -3.0], dtype=torch.float64)
    loss, _ = only_loss(SquaredError(), head, x, z)
    torch.testing.assert_close(loss, ((head(x) - z) ** 2).sum() / 3)


def test_targets_outside_the_range_train_towards_the_end_of_it(task):
    policy = policy_for(task)
    far = torch.tensor([10 * policy.tokenizer.high], dtype=torch.float64)
    end = torch.tensor([policy.tokenizer.high], dtype=torch.float64)
    x = task.train.x[:1]
    assert only_loss(CrossEntropy(), policy.eval(), x, far) == only_loss(
        CrossEntropy(), policy, x, end
    )


# Policy gradients by hand: a loop over samples, each string read on its own.


class Group(NamedTuple):
    """The S samples of one input, with repetitions."""

    tokens: list  # S tensors (K,)
    log_prob: list  # S differentiable numbers
    reward: list  # S floats, −(ẑ − z)²
    greedy_reward: float


def groups_of(policy, x, z, num_samples, seed=0):
    """The samples that an objective draws from this seed, one Group an input."""
    generator = torch.Generator().manual_seed(seed)
    rollout = tree_rollout(policy, x, num_samples, generator=generator, greedy=True)
    tokens = rollout.tokens.repeat_interleave(rollout.count, dim=0)
    tokens = tokens.unflatten(0, (len(x), num_samples))
    groups = []
    for n in range(len(x)):
        values = policy.tokenizer.decode(tokens[n]).tolist()
        best = policy.tokenizer.decode(policy.greedy(x[n : n + 1])).item()
        target = z[n].item()
        groups.append(
            Group(
                list(tokens[n]),
                [policy.log_prob(x[n : n + 1], t[None])[0] for t in tokens[n]],
                [-((value - target) ** 2) for value in values],
                -((best - target) ** 2),
            )
        )
    return groups


def raw(group):
    return group.reward


def above_the_greedy_string(group):
    return [r - group.greedy_reward for r in group.reward]


def above_the_mean_of_the_others(group):
    others = [group.reward[:s] + group.reward[s + 1 :] for s in range(6)]
    return [r - sum(o) / 5 for r, o in zip(group.reward, others, strict=True)]


def above_the_mean(group):
    return [r - statistics.fmean(group.reward) for r in group.reward]


def standardised(group):
    std = statistics.pstdev(group.reward) + 1e-6
    return [a / std for a in above_the_mean(group)]


BY_HAND = {
    REINFORCE(6): raw,
    ReMax(6): above_the_greedy_string,
    RLOO(6): above_the_mean_of_the_others,
    GRPO(6): standardised,
    GRPO(6, divide_by_std=False): above_the_mean,
    PPO(6, epochs=1, gae_lambda=1.0): raw,  # the critic starts from V = 0
}
IDS = ["REINFORCE", "ReMax", "RLOO", "GRPO", "Dr. GRPO", "PPO"]


def weighted_log_prob(groups, advantages):
    """−mean[ A log π ] over all samples of all inputs."""
    terms = [
        a * log_prob
        for group in groups
        for a, log_prob in zip(advantages(group), group.log_prob, strict=True)
    ]
    return -sum(terms) / len(terms)


@pytest.mark.parametrize(("objective", "advantages"), BY_HAND.items(), ids=IDS)
def test_the_gradient_weights_each_samples_score_by_its_advantage(
    binary, x, z, objective, advantages
):
    loss, report = only_loss(objective, binary, x, z)
    groups = groups_of(binary, x, z, 6)
    by_hand = weighted_log_prob(groups, advantages)
    torch.testing.assert_close(gradient(binary, loss), gradient(binary, by_hand))
    spread = statistics.pstdev(a for group in groups for a in advantages(group))
    assert report["advantage_std"].item() == pytest.approx(spread)


@pytest.mark.parametrize(
    ("objective", "advantages"), list(BY_HAND.items())[:3], ids=IDS[:3]
)
def test_the_loss_is_minus_the_mean_of_advantage_times_log_probability(
    binary, x, z, objective, advantages
):
    loss, _ = only_loss(objective, binary, x, z)
    by_hand = weighted_log_prob(groups_of(binary, x, z, 6), advantages)
    torch.testing.assert_close(loss, by_hand)


@pytest.mark.parametrize("size", [2, 16])
def test_the_value_of_grpos_loss_is_0_before_the_first_step(binary, x, z, size):
    """Σ_k A·ρ with ρ = 1: advantages of a group cancel, their gradients do not."""
    loss, report = only_loss(GRPO(size), binary, x, z)
    assert loss.abs() < 1e-12
    assert report["clip_fraction"] == 0
    assert gradient(binary, loss).norm() > 0.1


def test_a_later_epoch_of_grpo_compares_with_the_policy_that_sampled(binary, x, z):
    """After a step: −mean of Σ_k min(ρA, clip(ρ)A), by loops, with ε = 0.2."""
    generator = torch.Generator().manual_seed(0)
    losses = GRPO(6, epochs=2).losses(binary, x, z, generator)
    groups = groups_of(binary, x, z, 6)

    def token_log_probs():
        return [
            binary.logits(x[n : n + 1], torch.stack(group.tokens)[None])[0]
            .log_softmax(-1)
            .gather(-1, torch.stack(group.tokens)[..., None])[..., 0]
            .tolist()
            for n, group in enumerate(groups)
        ]

    first, _ = next(losses)
    old, step = token_log_probs(), 1e-2 * gradient(binary, first)
    vector = torch.nn.utils.parameters_to_vector(binary.parameters()) - step
    torch.nn.utils.vector_to_parameters(vector.detach(), binary.parameters())
    second, report = next(losses)
    terms, clipped = [], []
    for group, before, now in zip(groups, old, token_log_probs(), strict=True):
        for a, b, c in zip(standardised(group), before, now, strict=True):
            for ratio in (math.exp(q - p) for p, q in zip(b, c, strict=True)):
                terms.append(min(ratio * a, min(max(ratio, 0.8), 1.2) * a))
                clipped.append(abs(ratio - 1) > 0.2)
    assert second.item() == pytest.approx(-sum(terms) / 18)
    assert report["clip_fraction"].item() == pytest.approx(sum(clipped) / 54)
    assert 0 < sum(clipped) < 54


def test_the_kl_term_is_weight_times_k3_summed_over_tokens(binary, x, z):
    reference = make_policy(binary.tokenizer, seed=1)
    losses = {}
    for weight in (0.0, 0.1):
        objective = GRPO(6, kl_weight=weight)
        generator = torch.Generator().manual_seed(0)
        [(loss, report)] = objective.losses(binary, x, z, generator, reference)
        losses[weight] = loss
    k3 = 0.0
    for n, group in enumerate(groups_of(binary, x, z, 6)):
        for tokens in group.tokens:
            ours, theirs = (
                model.logits(x[n : n + 1], tokens[None, None])[0, 0].log_softmax(-1)
                for model in (binary, reference)
            )
            for k, token in enumerate(tokens):
                log_ratio = (theirs - ours)[k, token].item()
                k3 += (math.exp(log_ratio) - 1 - log_ratio) / 18
    assert report["kl"].item() == pytest.approx(k3)
    assert (losses[0.1] - losses[0.0]).item() == pytest.approx(0.1 * k3)


def expert_by_hand(tokenizer, tokens, k, target):
    """The k-th token of the completion of ``tokens[:k]`` that is closest to target."""
    ends = itertools.product(*map(range, tokenizer.vocab_sizes[k:]))
    strings = torch.tensor([[*tokens[:k].tolist(), *end] for end in ends])
    distance = (tokenizer.decode(strings) - target).abs()
    return strings[distance.argmin(), k]


def expert_loss_by_hand(policy, x, z, groups):
    """Mean over samples s and positions k of −log π(e_k | x, t_<k)."""
    terms = []
    for n, group in enumerate(groups):
        for tokens in group.tokens:
            logits = policy.logits(x[n : n + 1], tokens[None, None])[0, 0]
            for k in range(len(tokens)):
                expert = expert_by_hand(policy.tokenizer, tokens, k, z[n])
                terms.append(-logits[k].log_softmax(-1)[expert])
    return sum(terms) / len(terms)


def test_expert_supervision_is_cross_entropy_towards_the_expert(binary, x, z):
    loss, report = only_loss(ExpertSupervision(6), binary, x, z)
    by_hand = expert_loss_by_hand(binary, x, z, groups_of(binary, x, z, 6))
    torch.testing.assert_close(loss, by_hand)
    torch.testing.assert_close(gradient(binary, loss), gradient(binary, by_hand))
    assert report["expert"] == loss
    assert report["advantage_std"] == 0


def test_expert_supervision_does_not_look_at_the_reward(binary, x, z):
    plain, _ = only_loss(ExpertSupervision(6), binary, x, z)
    other, _ = only_loss(ExpertSupervision(6, ToleranceReward(1.0)), binary, x, z)
    assert plain == other


@pytest.mark.parametrize("weight", [0.0, 0.05, 2.0])
def test_genre2_is_remax_plus_weighted_expert_supervision(binary, x, z, weight):
    loss, report = only_loss(GenRe2(6, expert_weight=weight), binary, x, z)
    groups = groups_of(binary, x, z, 6)
    expert = expert_loss_by_hand(binary, x, z, groups)
    remax = weighted_log_prob(groups, above_the_greedy_string)
    by_hand = remax + weight * expert
    torch.testing.assert_close(loss, by_hand)
    torch.testing.assert_close(gradient(binary, loss), gradient(binary, by_hand))
    torch.testing.assert_close(report["expert"], expert.detach())


def test_the_exact_objective_reports_the_expected_reward_and_the_entropy(binary, x, z):
    loss, report = only_loss(ExactPolicyGradient(), binary, x, z)
    reward, entropy = 0.0, 0.0
    for string in itertools.product(range(2), repeat=3):
        tokens = torch.tensor(string)
        value = binary.tokenizer.decode(tokens)
        for n in range(3):
            log_prob = binary.log_prob(x[n : n + 1], tokens[None]).item()
            reward -= math.exp(log_prob) * (value - z[n]).item() ** 2 / 3
            entropy -= math.exp(log_prob) * log_prob / 3
    assert report["reward"].item() == pytest.approx(reward) == -loss.item()
    assert report["entropy"].item() == pytest.approx(entropy)


def test_the_exact_objective_refuses_more_strings_than_it_can_enumerate(x, z):
    policy = make_policy(ScientificTokenizer(num_digits=4, max_exponent=1))
    with pytest.raises(ValueError, match="60,000 strings, more than limit=20,000"):
        only_loss(ExactPolicyGradient(), policy, x, z)


# Reports.

by_class = pytest.mark.parametrize("sampled", SAMPLED, ids=lambda c: c.__name__)


def first_report(objective, policy, x, z):
    generator = torch.Generator().manual_seed(0)
    companions = companions_of(objective, policy)
    _, report = next(objective.losses(policy, x, z, generator, *companions))
    return {name: value.item() for name, value in report.items()}


@by_class
def test_reports_are_means_over_the_samples(policy, x, z, sampled):
    """Of the reward, and of the next token's entropy summed over the prefixes."""
    report = first_report(sampled(num_samples=6), policy, x, z)
    groups = groups_of(policy, x, z, 6)
    rewards = [r for group in groups for r in group.reward]
    assert report["reward"] == pytest.approx(statistics.fmean(rewards))
    greedy = statistics.fmean(group.greedy_reward for group in groups)
    assert report["reward_greedy"] == pytest.approx(greedy)
    distinct = [len({tuple(t.tolist()) for t in group.tokens}) for group in groups]
    assert report["distinct_leaves"] == pytest.approx(sum(distinct) / 3)
    entropy = 0.0
    for n, group in enumerate(groups):
        for tokens in group.tokens:
            logits = policy.logits(x[n : n + 1], tokens[None, None])[0, 0]
            for p in logits.softmax(-1).flatten().tolist():
                entropy -= p * math.log(p) / 18 if p > 0 else 0
    assert report["entropy"] == pytest.approx(entropy)


@by_class
def test_reports_of_a_uniform_policy(binary, x, z, sampled):
    """Entropy 3 log 2, 8 leaves; all ties: the greedy string is 000, worth −2.

    4000 draws miss one of 24 leaves with a chance below 10⁻²³⁰.
    """
    torch.nn.init.zeros_(binary.unembedding.weight)
    torch.nn.init.zeros_(binary.unembedding.bias)
    report = first_report(sampled(num_samples=4000), binary, x, z)
    assert report["entropy"] == pytest.approx(3 * math.log(2))
    assert report["distinct_leaves"] == 8
    # −(−2 + 1)², −(−2 − 0)², −(−2 − 0.7)²
    assert report["reward_greedy"] == pytest.approx(-(1 + 4 + 7.29) / 3)


@by_class
def test_reports_of_a_point_mass(binary, x, sampled):
    """Every sample is 000, whose value is −2: off by 2 from z = 0."""
    with torch.no_grad():
        binary.unembedding.bias.copy_(torch.tensor([1e4, 0.0]))
    report = first_report(sampled(num_samples=8), binary, x, torch.zeros(3).double())
    assert report["reward"] == report["reward_greedy"] == -4
    assert report["entropy"] == report["advantage_std"] == 0
    assert report["distinct_leaves"] == 1


def test_a_point_mass_policy_has_no_remax_gradient(binary, x):
    """Every sample is the greedy string: all advantages are zero."""
    with torch.no_grad():
        binary.unembedding.bias.copy_(torch.tensor([1e4, 0.0]))
    loss, report = only_loss(ReMax(8), binary, x, torch.zeros(3).double())
    assert report["advantage_std"] == 0
    assert gradient(binary, loss).abs().max() == 0


@pytest.mark.parametrize("num_samples", [3, 10, 16])
@pytest.mark.parametrize(
    "objective_class", [ReMax, RLOO, GRPO], ids=lambda c: c.__name__
)
def test_a_group_of_equal_rewards_teaches_nothing(objective_class, num_samples, x):
    """In float32, where the mean of equal numbers is not that number.

    GRPO divides that rounding by a standard deviation of the same rounding.
    """
    policy = make_policy(NormalizedTokenizer(2, 3, low=-2.0, high=2.0)).float()
    for level in (0.1, 3.3, 37.7):
        objective = objective_class(
            num_samples, reward=lambda values, z, r=level: torch.full_like(values, -r)
        )
        generator = torch.Generator().manual_seed(0)
        many = x.repeat_interleave(50, dim=0)
        rollout, reward = objective.roll(policy, many, torch.zeros(150), generator)
        assert objective.advantage(rollout, reward).abs().max() < 1e-6 * level


# Dropout.

MORE = [
    GRPO(epochs=2, kl_weight=0.1),
    GRPO(divide_by_std=False),
    PPO(minibatches=2, entropy_weight=0.1, normalise_advantage=True),
]


@pytest.mark.parametrize(
    "objective", [c() for c in ON_POLICY] + MORE, ids=lambda o: type(o).__name__
)
def test_neither_rollouts_nor_gradients_see_dropout(x, z, objective):
    """In training mode all losses, gradients and reports are those of evaluation."""
    tokenizer = NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0)
    policy = make_policy(tokenizer, dropout=0.5)
    results = {}
    for training in (False, True):
        policy.train(training)
        companions = companions_of(objective, policy)
        modules = torch.nn.ModuleList([policy, *companions])
        generator = torch.Generator().manual_seed(0)
        losses = objective.losses(policy, x, z, generator, *companions)
        results[training] = [
            (loss.item(), gradient(modules, loss).tolist(), report)
            for loss, report in losses
        ]
        assert policy.training is training, "the mode must come back"
    assert results[True] == results[False]


def test_the_dropout_test_would_notice_dropout(x, z):
    """Cross-entropy, as the one exception, is trained with dropout."""
    tokenizer = NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0)
    policy = make_policy(tokenizer, dropout=0.5)
    evaluated, _ = only_loss(CrossEntropy(), policy.eval(), x, z)
    trained, _ = only_loss(CrossEntropy(), policy.train(), x, z)
    assert trained != evaluated


@pytest.mark.parametrize("kind", [GenRe2, ExpertSupervision])
def test_dropout_of_the_gradient_leaves_the_strings_as_they_are(x, z, kind):
    """Where it is asked for, only the loss sees it: nothing that was drawn."""
    tokenizer = NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0)
    policy = make_policy(tokenizer, dropout=0.5).train()
    (without, plain), (with_it, report) = (
        only_loss(kind(dropout=dropout), policy, x, z) for dropout in (False, True)
    )
    assert with_it != without
    for drawn in ("reward", "reward_greedy", "distinct_leaves"):
        assert report[drawn] == plain[drawn]


@pytest.mark.parametrize("kind", [GenRe2, ExpertSupervision])
def test_without_a_rate_dropout_of_the_gradient_changes_nothing(x, z, kind):
    tokenizer = NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0)
    policy = make_policy(tokenizer, dropout=0.0).train()
    losses = [
        next(kind(dropout=d).losses(policy, x, z, torch.Generator().manual_seed(0)))[0]
        for d in (False, True)
    ]
    slopes = [gradient(policy, loss) for loss in losses]
    torch.testing.assert_close(*slopes)


# Refusals.


@by_class
@pytest.mark.parametrize("num_samples", [0, -3])
def test_no_samples_are_refused(sampled, num_samples):
    with pytest.raises(ValueError, match=f"num_samples={num_samples} must be at least"):
        sampled(num_samples=num_samples)


@pytest.mark.parametrize("grouped", [RLOO, GRPO])
def test_a_group_of_one_is_refused(grouped):
    with pytest.raises(ValueError, match="num_samples=1 must be at least 2"):
        grouped(num_samples=1)


@pytest.mark.parametrize(
    ("objective_class", "arguments", "named"),
    [
        (GenRe2, {"expert_weight": -0.1}, "expert_weight=-0.1 must be at least 0"),
        (GenRe2, {"expert_weight": math.nan}, "expert_weight=nan"),
        (GRPO, {"clip": -0.2}, "clip=-0.2 must be at least 0"),
        (GRPO, {"clip": math.nan}, "clip=nan"),
        (GRPO, {"epochs": 0}, "epochs=0 must be at least 1"),
        (GRPO, {"kl_weight": -1.0}, "kl_weight=-1.0 must be at least 0"),
        (GRPO, {"kl_weight": math.nan}, "kl_weight=nan"),
        (PPO, {"clip": -0.2}, "clip=-0.2 must be at least 0"),
        (PPO, {"clip": math.nan}, "clip=nan"),
        (PPO, {"epochs": 0}, "epochs=0 must be at least 1"),
        (PPO, {"minibatches": 0}, "minibatches=0 must be at least 1"),
        (PPO, {"gae_lambda": -0.1}, "gae_lambda=-0.1 must lie between 0 and 1"),
        (PPO, {"gae_lambda": 1.1}, "gae_lambda=1.1 must lie between 0 and 1"),
        (PPO, {"gae_lambda": math.nan}, "gae_lambda=nan"),
        (PPO, {"value_weight": -1.0}, "value_weight=-1.0 must be at least 0"),
        (PPO, {"value_weight": math.nan}, "value_weight=nan"),
        (PPO, {"entropy_weight": -1.0}, "entropy_weight=-1.0 must be at least 0"),
        (PPO, {"entropy_weight": math.nan}, "entropy_weight=nan"),
    ],
    ids=lambda part: "",
)
def test_an_argument_out_of_range_is_refused_by_name(objective_class, arguments, named):
    with pytest.raises(ValueError, match=named):
        objective_class(**arguments)
