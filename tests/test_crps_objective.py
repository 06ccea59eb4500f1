"""The CRPS objective: what it pays a string, and that its gradient is that of CRPS.

The oracle is the CRPS of all strings, differentiated by autograd. The objective's
expected gradient is computed exactly, from every group of samples that can occur.
"""

import dataclasses
import itertools
import math
import statistics

import pytest
import torch
from conftest import make_policy
from test_objectives import groups_of, only_loss
from test_oracle import (
    BOUND,
    all_strings,
    batch_gradients,
    cosine,
    expected_gradient,
    gradient,
    log_probs,
    relative_error,
    standard_errors_off,
)

from genre2_mini.encoders import RowEncoder
from genre2_mini.metrics import crps
from genre2_mini.objectives import CRPS
from genre2_mini.policy import DecodingPolicy
from genre2_mini.tokenizers import ConcatenatedTokenizer, NormalizedTokenizer


@pytest.fixture
def z():
    return torch.tensor([-1.0, 0.0, 0.7], dtype=torch.float64)


@pytest.fixture
def binary():
    """8 strings, worth −2, −1.5, …, 1.5."""
    return make_policy(NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0))


def exact_crps(policy, x, z, shrink=1.0):
    """E|ẑ − z| − ½ · shrink · E|ẑ − ẑ'| over all strings, mean over rows."""
    p = log_probs(policy, x).exp()
    values = policy.tokenizer.decode(all_strings(policy.tokenizer))
    error = (p * (values - z[:, None]).abs()).sum(dim=1)
    apart = torch.einsum("nv,nw,vw->n", p, p, (values[:, None] - values).abs())
    return (error - 0.5 * shrink * apart).mean()


def score(values, z, pairs):
    """U of some samples, with S(S−1) or, as a plug-in, S² pairs."""
    if len(values) < 2:
        return 0.0
    apart = sum(abs(a - b) for a in values for b in values)
    return apart / (2 * pairs(len(values))) - statistics.fmean(
        abs(v - z) for v in values
    )


def fair(size):
    return size * (size - 1)


def plug_in(size):
    return size**2


def credits(values, z, pairs=fair):
    """S (U − U_{−s}) of each sample, from the definition."""
    size, whole = len(values), score(values, z, pairs)
    others = (values[:s] + values[s + 1 :] for s in range(size))
    return [size * (whole - score(rest, z, pairs)) for rest in others]


def group_gradient(policy, x, z, size, pairs):
    """E[−mean_s A_s ∇log π(t_s)] by loops over all ordered groups of samples."""
    log_prob = log_probs(policy, x)
    p = log_prob.detach().exp().tolist()
    values = policy.tokenizer.decode(all_strings(policy.tokenizer)).tolist()
    weight = torch.zeros_like(log_prob)
    for n, target in enumerate(z.tolist()):
        for group in itertools.product(range(len(values)), repeat=size):
            chance = math.prod(p[n][t] for t in group)
            paid = credits([values[t] for t in group], target, pairs)
            for t, a in zip(group, paid, strict=True):
                weight[n, t] += chance * a / size
    return gradient(policy, -(weight * log_prob).sum(dim=1).mean())


# The oracle


def test_the_oracle_is_the_crps_of_all_strings(binary, x, z):
    weights = log_probs(binary, x).exp()
    values = binary.tokenizer.decode(all_strings(binary.tokenizer))
    found = crps(values.expand(3, -1), z, weights)
    assert exact_crps(binary, x, z).item() == pytest.approx(found.mean().item())


# The gradient, exactly


@pytest.mark.parametrize("size", [3, 4])
def test_on_average_the_gradient_is_that_of_crps(binary, x, z, size):
    """To 1e-12, over all multisets of samples."""
    estimate = expected_gradient(CRPS(size), binary, x, z)
    exact = gradient(binary, exact_crps(binary, x, z))
    assert relative_error(estimate, exact) < 1e-12


def test_the_expected_gradient_is_that_of_the_definition(binary, x, z):
    estimate = expected_gradient(CRPS(3), binary, x, z)
    by_hand = group_gradient(binary, x, z, 3, fair)
    assert relative_error(estimate, by_hand) < 1e-12


def test_the_plug_in_score_would_train_too_sharp_a_law(binary, x, z):
    """Its pairs include each sample with itself: the spread counts (S−1)/S."""
    found = group_gradient(binary, x, z, 3, plug_in)
    shrunk = gradient(binary, exact_crps(binary, x, z, shrink=2 / 3))
    assert relative_error(found, shrunk) < 1e-12
    assert relative_error(found, gradient(binary, exact_crps(binary, x, z))) > 0.01


def test_sampled_gradients_agree_with_the_oracle(binary, x, z):
    """14,400 groups of four: the pairs are noisy, and must not bias."""
    exact = gradient(binary, exact_crps(binary, x, z))
    gradients = batch_gradients(CRPS(4), binary, x, z, copies=200)
    assert cosine(gradients.mean(dim=0), exact) > 0.99
    assert standard_errors_off(gradients, exact) < BOUND


# The credit of a sample


def test_each_sample_is_paid_what_the_score_loses_without_it(binary, x, z):
    loss, report = only_loss(CRPS(6), binary, x, z)
    groups, terms, scores, paid = groups_of(binary, x, z, 6), [], [], []
    for group, target in zip(groups, z.tolist(), strict=True):
        values = [binary.tokenizer.decode(t).item() for t in group.tokens]
        scores.append(-score(values, target, fair))
        paid += credits(values, target)
        pairs = zip(credits(values, target), group.log_prob, strict=True)
        terms += [a * log_prob for a, log_prob in pairs]
    by_hand = -sum(terms) / len(terms)
    torch.testing.assert_close(loss, by_hand)
    torch.testing.assert_close(gradient(binary, loss), gradient(binary, by_hand))
    assert report["crps"].item() == pytest.approx(statistics.fmean(scores))
    assert report["advantage_std"].item() == pytest.approx(statistics.pstdev(paid))


def test_equal_samples_teach_nothing(binary, x):
    with torch.no_grad():
        binary.unembedding.bias.copy_(torch.tensor([1e4, 0.0]))
    loss, report = only_loss(CRPS(8), binary, x, torch.zeros(3).double())
    assert report["advantage_std"] == 0
    assert gradient(binary, loss).abs().max() == 0
    assert report["crps"] == 2  # all strings are 000, worth −2


def test_of_two_targets_the_scores_add_up(x):
    """A string of two numbers: each is scored on its own."""
    part = NormalizedTokenizer(base=2, num_digits=2, low=-2.0, high=2.0)
    torch.manual_seed(0)
    encoder = RowEncoder(4, d_model=16, hidden=16)
    both = ConcatenatedTokenizer([part, part])
    policy = DecodingPolicy(encoder, both, 16, 2, 1).double().eval()
    z = torch.tensor([[-1.0, 0.2], [0.0, 1.0], [0.7, -0.4]]).double()
    _, report = only_loss(CRPS(5), policy, x, z)
    generator = torch.Generator().manual_seed(0)
    rollout, _ = CRPS(5).roll(policy, x, z, generator)
    strings = rollout.tokens.repeat_interleave(rollout.count, dim=0)
    values = both.decode(strings).unflatten(0, (3, 5)).tolist()
    by_hand = [
        -score([v[d] for v in row], target[d], fair)
        for row, target in zip(values, z.tolist(), strict=True)
        for d in range(2)
    ]
    assert report["crps"].item() == pytest.approx(2 * statistics.fmean(by_hand))


def test_fewer_than_three_samples_are_refused():
    with pytest.raises(ValueError, match="num_samples=2 must be at least 3"):
        CRPS(2)
    with pytest.raises(ValueError, match="num_samples=1"):
        dataclasses.replace(CRPS(), num_samples=1)


# What it teaches


def test_its_student_is_the_law():
    """One input, truths drawn anew from a law of two lumps: a proper score finds it."""
    tokenizer = NormalizedTokenizer(base=2, num_digits=2, low=0.0, high=4.0)
    torch.manual_seed(0)
    policy = DecodingPolicy(RowEncoder(1, 16, 16), tokenizer, 16, 2, 1)
    law = torch.tensor([0.5, 0.1, 0.1, 0.3])
    values = tokenizer.decode(all_strings(tokenizer))
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(policy.parameters(), lr=8e-3)
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1, 0.05, 120)
    nothing = torch.zeros(256, 1)
    for _ in range(120):
        truth = values[torch.multinomial(law, 256, True, generator=generator)]
        [(loss, _)] = CRPS(8).losses(policy, nothing, truth, generator)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
    learnt = log_probs(policy.eval(), nothing[:1])[0].exp().detach()
    torch.testing.assert_close(learnt, law, atol=0.06, rtol=0)
