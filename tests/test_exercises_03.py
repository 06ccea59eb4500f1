"""Chapter 3's checks: each takes a right answer, and tells typical wrong ones why."""

import pytest
import torch
from torch.nn import functional as F

from genre2_mini.exercises import chapter_03 as checks
from genre2_mini.methods import METHODS, build_model
from genre2_mini.metrics import weighted_quantile
from genre2_mini.tasks import load_task


@pytest.fixture(scope="module")
def task():
    return load_task("concrete", max_rows=200, seed=0)


@pytest.fixture(scope="module")
def policy(task):
    """An untrained policy that is too sure of itself: its best temperature is high."""
    policy = build_model(METHODS["ce"], task, seed=0).eval()
    with torch.no_grad():
        policy.unembedding.weight.mul_(5)
    return policy


def string_nll(logits, tokens):
    log_probs = logits.log_softmax(dim=-1)
    return -log_probs.gather(-1, tokens[..., None]).squeeze(-1).sum(dim=-1)


def quantile(values, weights, q):
    return weighted_quantile(values[None], q, weights)[0]


def best_temperature(policy, split, temperatures, pick=min):
    tokens = policy.tokenizer.encode(split.z)
    with torch.no_grad():
        logits = policy.logits(split.x, tokens[:, None])[:, 0]
    return pick(temperatures, key=lambda t: string_nll(logits / t, tokens).mean())


def two_hot(z, centres):
    right = torch.searchsorted(centres, z).clamp(1, len(centres) - 1)
    left = right - 1
    share = (z - centres[left]) / (centres[right] - centres[left])
    target = z.new_zeros(len(z), len(centres))
    target.scatter_(1, left[:, None], 1 - share[:, None])
    return target.scatter_(1, right[:, None], share[:, None])


def nearest(z, centres):
    index = (z[:, None] - centres).abs().argmin(dim=1)
    return F.one_hot(index, len(centres)).double()


def on_four_centres(z, centres):
    """The right mean, half of the mass on the outermost centres."""
    share = (z - centres[0]) / (centres[-1] - centres[0])
    ends = z.new_zeros(len(z), len(centres))
    ends[:, 0], ends[:, -1] = 1 - share, share
    return (ends + two_hot(z, centres)) / 2


def shifted(policy, x, tokens):
    return policy.logits(x, tokens[:, None])[:, 0]


def unshifted(policy, x, tokens):
    """Position k reads token k, which it has to predict."""
    read = policy.token_embedding(tokens)
    first = policy.encoder(x)[:, None]
    h = policy.transformer(read + first + policy.position_embedding.weight)
    return policy.unembedding(h)


def shifted_the_wrong_way(policy, x, tokens):
    return unshifted(policy, x, tokens.roll(-1, dims=1))


def without_the_row(policy, x, tokens):
    return shifted(policy, torch.zeros_like(x), tokens)


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda logits, tokens: None, "return one number a string"),
        (lambda logits, tokens: -string_nll(logits, tokens), "the sign"),
        (lambda logits, tokens: string_nll(logits, tokens) / 5, "the sum over"),
        (lambda logits, tokens: string_nll(logits, tokens).mean(), "keep the rows"),
        (
            lambda logits, tokens: -logits.gather(-1, tokens[..., None]).sum((1, 2)),
            "−log π of four strings is",
        ),
    ],
)
def test_the_log_likelihood_of_strings(answer, said, capsys):
    assert checks.check_string_nll(string_nll)
    capsys.readouterr()
    assert not checks.check_string_nll(answer)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda values, weights, q: None, "return one of the values"),
        (lambda values, weights, q: (values * weights).sum(), "the best answer at q"),
        (lambda values, weights, q: quantile(values, weights, 1 - q), "saying too"),
        (lambda values, weights, q: values.quantile(q), "the best answer at q"),
    ],
)
def test_the_best_answer_under_the_pinball_loss(answer, said, capsys):
    assert checks.check_best_under_pinball(quantile)
    capsys.readouterr()
    assert not checks.check_best_under_pinball(answer)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda policy, split, ts: None, "return one of the temperatures"),
        (lambda policy, split, ts: 1.0, "the temperature is 1.0, wanted"),
        (lambda policy, split, ts: best_temperature(policy, split, ts, max), "worst"),
        (lambda policy, split, ts: 2.0, "among the temperatures that are given"),
    ],
)
def test_the_temperature_of_least_cross_entropy(answer, said, policy, task, capsys):
    assert checks.check_best_temperature(best_temperature, policy, task.valid)
    capsys.readouterr()
    assert not checks.check_best_temperature(answer, policy, task.valid)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda z, centres: None, "return the target"),
        (lambda z, centres: z, "its shape is (4,), wanted (4, 4)"),
        (nearest, "the mean of each row"),
        (lambda z, centres: 2 * two_hot(z, centres), "the sum of each row"),
        (on_four_centres, "the two nearest centres"),
        (lambda z, centres: two_hot(z, centres).flip(1), "the mean of each row"),
    ],
)
def test_a_two_hot_target(answer, said, capsys):
    assert checks.check_two_hot(two_hot)
    capsys.readouterr()
    assert not checks.check_two_hot(answer)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda policy, x, tokens: None, "return logits"),
        (unshifted, "position 1 still knows token 1"),
        (shifted_the_wrong_way, "still knows token"),
        (without_the_row, "the logits"),
    ],
)
def test_teacher_forcing_that_does_not_leak(answer, said, policy, task, capsys):
    x = task.valid.x[:3]
    assert checks.check_shifted_logits(shifted, policy, x)
    capsys.readouterr()
    assert not checks.check_shifted_logits(answer, policy, x)
    assert said in capsys.readouterr().out
