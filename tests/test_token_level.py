"""Specification of the token-level losses: by hand, by loops, against libraries."""

import math
import statistics

import numpy as np
import pytest
import torch
from conftest import TINY_TOKENIZERS, make_policy, policy_for
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import entropy, wasserstein_distance

from genre2_mini.evaluation import evaluate
from genre2_mini.objectives import DIST2, NTLMSE, NTLWAS, CrossEntropy
from genre2_mini.objectives.token_level import token_roles
from genre2_mini.tokenizers import (
    ConcatenatedTokenizer,
    IEEETokenizer,
    NormalizedTokenizer,
    ScientificTokenizer,
)
from genre2_mini.training import fit

TERMS = {NTLMSE: "ntl_mse", NTLWAS: "ntl_was", DIST2: "dist2"}
by_class = pytest.mark.parametrize("objective", TERMS, ids=lambda c: c.__name__)


@pytest.fixture
def z():
    """One target for each row of ``x``."""
    return torch.tensor([-1.0, 0.0, 0.7], dtype=torch.float64)


def only_loss(objective, model, x, z):
    """The single loss and report of a batch."""
    [(loss, report)] = objective.losses(model, x, z)
    return loss, report


def one_digit(p):
    """A policy that writes one digit, distributed by ``p`` whatever the input."""
    tokenizer = NormalizedTokenizer(len(p), 1, low=0.0, high=float(len(p)))
    policy = make_policy(tokenizer)
    with torch.no_grad():
        policy.unembedding.weight.zero_()
        log_p = torch.tensor(p, dtype=torch.float64).log()
        policy.unembedding.bias.copy_(log_p.clamp(min=-1e4))
    return policy


def term_of(objective, p, truth):
    """The number-token term of a digit distributed by ``p`` where ``truth`` is true."""
    z = torch.tensor([float(truth)], dtype=torch.float64)
    _, report = only_loss(objective, one_digit(p), torch.zeros(1, 4), z)
    return report[objective.name].item()


# --- Positions ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokenizer", "roles"),
    [
        (NormalizedTokenizer(base=2, num_digits=5), "ddddd"),
        (ScientificTokenizer(num_digits=3, max_exponent=4), "sddde"),
        (IEEETokenizer(num_exponent_digits=2, num_mantissa_digits=3), "sseeddd"),
        (
            ConcatenatedTokenizer(
                [NormalizedTokenizer(2, 3), ScientificTokenizer(2), IEEETokenizer()]
            ),
            "ddd" + "sdde" + "ssedddd",
        ),
    ],
)
def test_every_position_is_a_sign_a_digit_or_an_exponent(tokenizer, roles):
    assert token_roles(tokenizer) == roles
    assert len(roles) == tokenizer.num_tokens


# --- By hand ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "truth", "mse", "was"),
    [
        ([1.0, 0.0, 0.0], 0, 0.0, 0.0),
        ([1.0, 0.0, 0.0], 2, 4.0, 2.0),
        ([0.5, 0.25, 0.25], 0, 0.5625, 0.75),  # mean 0.75
        ([0.5, 0.25, 0.25], 1, 0.0625, 0.75),
        ([0.5, 0.25, 0.25], 2, 1.5625, 1.25),
        ([0.1, 0.2, 0.3, 0.4], 3, 1.0, 1.0),  # mean 2
        ([0.1, 0.2, 0.3, 0.4], 2, 0.0, 0.8),
    ],
)
def test_ntl_by_hand(p, truth, mse, was):
    assert term_of(NTLMSE(), p, truth) == pytest.approx(mse, abs=1e-12)
    assert term_of(NTLWAS(), p, truth) == pytest.approx(was, abs=1e-12)


def test_dist2_by_hand():
    """Three even digits, truth 0: q ∝ 1, 1/e, 1/e⁴, so Σ q log 3q."""
    weights = [1, math.exp(-1), math.exp(-4)]
    q = [weight / sum(weights) for weight in weights]
    kl = sum(share * math.log(3 * share) for share in q)
    assert term_of(DIST2(), [1 / 3] * 3, 0) == pytest.approx(kl, rel=1e-12)
    warm = [1, math.exp(-1 / 2), math.exp(-4 / 2)]  # temperature 2
    q = [weight / sum(warm) for weight in warm]
    kl = sum(share * math.log(3 * share) for share in q)
    assert term_of(DIST2(temperature=2.0), [1 / 3] * 3, 0) == pytest.approx(kl)


def test_a_wrong_digit_costs_more_the_further_it_lies():
    """The whole point: cross-entropy charges 3 and 9 the same where 2 is true."""
    near, far = [0.01] * 10, [0.01] * 10
    near[3] = far[9] = 0.91
    for objective in (NTLMSE(), NTLWAS(), DIST2()):
        assert term_of(objective, near, 2) < term_of(objective, far, 2)


def test_squared_error_of_the_mean_has_a_false_minimum():
    """Half 0, half 4 has mean 2: NTL-MSE is content, NTL-WAS and DIST² are not."""
    bimodal = [0.5, 0.0, 0.0, 0.0, 0.5]
    assert term_of(NTLMSE(), bimodal, 2) == 0
    assert term_of(NTLWAS(), bimodal, 2) == 2
    assert term_of(DIST2(), bimodal, 2) > 1000


# Each term's derivative by the logits of p, in closed form.


def slope_of_ntl_mse(p, truth):
    mean = sum(j * share for j, share in enumerate(p))
    return [2 * (mean - truth) * share * (j - mean) for j, share in enumerate(p)]


def slope_of_ntl_was(p, truth):
    cost = sum(abs(j - truth) * share for j, share in enumerate(p))
    return [share * (abs(j - truth) - cost) for j, share in enumerate(p)]


def slope_of_dist2(p, truth):
    weights = [math.exp(-((j - truth) ** 2)) for j in range(len(p))]
    return [share - w / sum(weights) for share, w in zip(p, weights, strict=True)]


@pytest.mark.parametrize("truth", [0, 1, 3])
@pytest.mark.parametrize(
    ("objective", "slope"),
    [
        (NTLMSE(0.7), slope_of_ntl_mse),
        (NTLWAS(0.7), slope_of_ntl_was),
        (DIST2(0.7), slope_of_dist2),
    ],
    ids=lambda part: "",
)
def test_the_gradient_by_hand(objective, slope, truth):
    """Of the logits: p − (1 at the truth) from cross-entropy, and weight · slope."""
    p = [0.1, 0.4, 0.3, 0.2]
    policy = one_digit(p)
    z = torch.tensor([float(truth)], dtype=torch.float64)
    loss, _ = only_loss(objective, policy, torch.zeros(1, 4), z)
    loss.backward()
    by_hand = [
        share - (j == truth) + 0.7 * extra
        for j, (share, extra) in enumerate(zip(p, slope(p, truth), strict=True))
    ]
    assert policy.unembedding.bias.grad.tolist() == pytest.approx(by_hand, rel=1e-9)


def test_dist2_is_content_with_some_probability_beside_the_truth():
    """q ∝ 1, 1/e: at p = (1 + 0.1 q)/1.1, 2.4 % off the truth, the gradient is zero."""
    q = [1 / (1 + math.exp(-1)), math.exp(-1) / (1 + math.exp(-1))]
    p = [(1 + 0.1 * q[0]) / 1.1, 0.1 * q[1] / 1.1]
    policy, z = one_digit(p), torch.zeros(1, dtype=torch.float64)
    loss, _ = only_loss(DIST2(), policy, torch.zeros(1, 4), z)
    loss.backward()
    assert policy.unembedding.bias.grad.abs().max() < 1e-15
    assert p[1] == pytest.approx(0.0244, abs=1e-4)


# --- Against libraries --------------------------------------------------------

distributions = st.lists(st.floats(1e-3, 1), min_size=2, max_size=12).map(
    lambda shares: [share / sum(shares) for share in shares]
)


@settings(deadline=None, max_examples=50)
@given(distributions, st.data())
def test_ntl_was_is_the_wasserstein_distance_to_the_truth(p, data):
    truth = data.draw(st.integers(0, len(p) - 1))
    distance = wasserstein_distance(range(len(p)), [truth], p)
    assert term_of(NTLWAS(), p, truth) == pytest.approx(distance, abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(distributions, st.floats(0.1, 10), st.data())
def test_dist2_is_the_relative_entropy_of_q_and_p(p, temperature, data):
    truth = data.draw(st.integers(0, len(p) - 1))
    q = np.exp(-((np.arange(len(p)) - truth) ** 2) / temperature)
    term = term_of(DIST2(temperature=temperature), p, truth)
    assert term == pytest.approx(entropy(q, p), abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(distributions, st.data())
def test_dist2_is_zero_for_p_equal_to_q_and_for_no_other(p, data):
    truth = data.draw(st.integers(0, len(p) - 1))
    q = np.exp(-((np.arange(len(p)) - truth) ** 2.0))
    q = q / q.sum()
    assert term_of(DIST2(), q.tolist(), truth) == pytest.approx(0, abs=1e-12)
    assume(abs(q - p).max() > 1e-3)
    # Pinsker's inequality: KL is at least half the squared L1 distance.
    assert term_of(DIST2(), p, truth) >= 0.5 * abs(q - p).sum() ** 2 - 1e-12


# --- Strings: which positions count, and how they are averaged ----------------

NUMBERS = {  # positions of digits and exponents, and of digits alone
    "normalised": ([0, 1, 2], [0, 1, 2]),
    "scientific": ([1, 2, 3], [1, 2]),
    "ieee": ([2, 3, 4], [3, 4]),
}


def squared_error_of_the_mean(p, truth):
    return (sum(j * share for j, share in enumerate(p)) - truth) ** 2


def mean_absolute_error(p, truth):
    return sum(abs(j - truth) * share for j, share in enumerate(p))


def relative_entropy(p, truth):
    return entropy([math.exp(-((j - truth) ** 2)) for j in range(len(p))], p)


COSTS = {
    NTLMSE: squared_error_of_the_mean,
    NTLWAS: mean_absolute_error,
    DIST2: relative_entropy,
}


def term_by_loops(objective, policy, x, z, positions):
    """Over the legal tokens alone, each row read on its own."""
    costs = []
    for row, string in zip(x, policy.tokenizer.encode(z), strict=True):
        logits = policy.logits(row[None], string[None, None])[0, 0]
        for k in positions:
            legal = logits[k, : policy.tokenizer.vocab_sizes[k]]
            p = legal.softmax(-1).tolist()
            costs.append(COSTS[objective](p, string[k].item()))
    return statistics.fmean(costs)


@by_class
@pytest.mark.parametrize("kind", TINY_TOKENIZERS)
def test_the_term_is_a_mean_over_rows_and_number_positions(x, z, kind, objective):
    policy = make_policy(TINY_TOKENIZERS[kind]())
    positions = NUMBERS[kind][objective is DIST2]
    _, report = only_loss(objective(), policy, x, z)
    by_hand = term_by_loops(objective, policy, x, z, positions)
    assert report[TERMS[objective]].item() == pytest.approx(by_hand)


@by_class
def test_several_targets_count_by_their_number_positions(x, z, objective):
    """Scientific, then normalised: 3 + 3 number positions, 2 + 3 for DIST²."""
    parts = [TINY_TOKENIZERS["scientific"](), TINY_TOKENIZERS["normalised"]()]
    policy, both = make_policy(ConcatenatedTokenizer(parts)), torch.stack([z, -z], 1)
    positions = [1, 2, 4, 5, 6] if objective is DIST2 else [1, 2, 3, 4, 5, 6]
    _, report = only_loss(objective(), policy, x, both)
    by_hand = term_by_loops(objective, policy, x, both, positions)
    assert report[TERMS[objective]].item() == pytest.approx(by_hand)


@by_class
def test_the_loss_is_cross_entropy_a_token_plus_the_weighted_term(
    policy, x, z, objective
):
    loss, report = only_loss(objective(0.7), policy, x, z)
    cross_entropy, _ = only_loss(CrossEntropy(), policy, x, z)
    assert report.keys() == {"cross_entropy", TERMS[objective]}
    assert report["cross_entropy"].item() == pytest.approx(cross_entropy.item())
    a_token = report["cross_entropy"] / policy.tokenizer.num_tokens
    torch.testing.assert_close(loss, a_token + 0.7 * report[TERMS[objective]])
    assert not any(value.requires_grad for value in report.values())


@by_class
def test_default_weights_are_those_of_the_papers(objective):
    assert objective().weight == (0.1 if objective is DIST2 else 0.3)
    assert objective() == objective(objective().weight)


# --- Illegal tokens -----------------------------------------------------------


@by_class
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_gradients_are_finite_beside_illegal_tokens(x, z, objective, dtype, scale):
    """2 signs, 10 digits, 13 exponents: logits −∞; at scale 10⁴ p underflows too."""
    policy = make_policy(ScientificTokenizer(2, max_exponent=6)).to(dtype)
    with torch.no_grad():
        policy.unembedding.weight.mul_(scale)
    loss, _ = only_loss(objective(), policy, x, z)
    loss.backward()
    gradients = [p.grad for p in policy.parameters() if p.grad is not None]
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert policy.unembedding.bias.grad.abs().max() > 0


# --- Against ntloss, the authors' package -------------------------------------


class Vocabulary:
    """What ntloss asks of a tokenizer: ids 0 … V − 1 are numbers, V is a word."""

    def __init__(self, size):
        self.words = {str(j): j for j in range(size)} | {"word": size}

    def __len__(self):
        return len(self.words)

    def get_vocab(self):
        return self.words


@pytest.mark.parametrize("kind", TINY_TOKENIZERS)
@pytest.mark.parametrize(
    ("objective", "theirs"), [(NTLMSE, "NTLossDotProduct"), (NTLWAS, "NTLoss")]
)
def test_the_terms_are_those_of_ntloss(x, z, kind, objective, theirs):
    """Signs are labelled −100, the label that ntloss passes over."""
    ntloss = pytest.importorskip("ntloss")
    policy = make_policy(TINY_TOKENIZERS[kind]())
    labels = policy.tokenizer.encode(z)
    logits = policy.logits(x, labels[:, None])[:, 0]
    word = logits.new_full((*labels.shape, 1), -torch.inf)
    labels[:, [k for k in range(labels.shape[1]) if k not in NUMBERS[kind][0]]] = -100
    vocabulary = Vocabulary(logits.shape[-1])
    loss = getattr(ntloss, theirs)(vocabulary, digit_level=False, reweigh=False)
    _, report = only_loss(objective(), policy, x, z)
    expected = loss(torch.cat([logits, word], dim=-1), labels)
    torch.testing.assert_close(report[TERMS[objective]], expected.detach())


# --- Learning -----------------------------------------------------------------


@by_class
def test_each_learns_an_easy_table(task, objective):
    policy = policy_for(task)
    fast = {"batch_size": 32, "learning_rate": 3e-3, "validate_every": 50}
    assert evaluate(policy, task.test)["r2_mean"] < 0.5
    fit(policy, task, objective(), steps=150, **fast)
    assert evaluate(policy, task.test)["r2_mean"] > 0.8


# --- Refusals -----------------------------------------------------------------


@by_class
@pytest.mark.parametrize("weight", [-0.1, math.nan])
def test_a_negative_weight_is_refused(objective, weight):
    with pytest.raises(ValueError, match=f"weight={weight} must be at least 0"):
        objective(weight)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_must_be_above_zero(temperature):
    with pytest.raises(ValueError, match=f"temperature={temperature} must be above 0"):
        DIST2(temperature=temperature)
