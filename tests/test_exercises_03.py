"""Chapter 3's checks: each takes a right answer, and tells typical wrong ones why."""

from functools import cache

import torch
from judged import judged, stub
from torch.nn import functional as F

from genre2_mini.exercises.chapter_03 import (
    check_best_temperature,
    check_best_under_pinball,
    check_shifted_logits,
    check_string_nll,
    check_two_hot,
)
from genre2_mini.methods import METHODS, build_model
from genre2_mini.metrics import weighted_quantile
from genre2_mini.tasks import load_task


@cache
def task():
    return load_task("concrete", max_rows=200, seed=0)


@cache
def policy():
    """An untrained policy that is too sure of itself: its best temperature is high."""
    policy = build_model(METHODS["ce"], task(), seed=0).eval()
    with torch.no_grad():
        policy.unembedding.weight.mul_(5)
    return policy


def check_temperature(answer):
    return check_best_temperature(answer, policy(), task().valid)


def check_shifted(answer):
    return check_shifted_logits(answer, policy(), task().valid.x[:3])


def string_nll(logits, tokens):
    log_probs = logits.log_softmax(dim=-1)
    return -log_probs.gather(-1, tokens[..., None]).squeeze(-1).sum(dim=-1)


def logits_not_normalised(logits, tokens):
    return -logits.gather(-1, tokens[..., None]).sum((1, 2))


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


RIGHT = [
    (check_string_nll, string_nll),
    (check_best_under_pinball, quantile),
    (check_temperature, best_temperature),
    (check_two_hot, two_hot),
    (check_shifted, shifted),
]
WRONG = [
    (check_string_nll, stub, "return one number a string"),
    (check_string_nll, lambda *a: -string_nll(*a), "the sign"),
    (check_string_nll, lambda *a: string_nll(*a) / 5, "the sum over"),
    (check_string_nll, lambda *a: string_nll(*a).mean(), "keep the rows"),
    (check_string_nll, logits_not_normalised, "−log π of four strings is"),
    (check_best_under_pinball, stub, "return one of the values"),
    (check_best_under_pinball, lambda v, w, q: (v * w).sum(), "the best answer at q"),
    (check_best_under_pinball, lambda v, w, q: quantile(v, w, 1 - q), "saying too"),
    (check_best_under_pinball, lambda v, w, q: v.quantile(q), "the best answer at q"),
    (check_temperature, stub, "return one of the temperatures"),
    (check_temperature, lambda *_: 1.0, "the temperature is 1.0, wanted"),
    (check_temperature, lambda *a: best_temperature(*a, max), "worst"),
    (check_temperature, lambda *_: 2.0, "among the temperatures that are given"),
    (check_two_hot, stub, "return the target"),
    (check_two_hot, lambda z, centres: z, "its shape is (4,), wanted (4, 4)"),
    (check_two_hot, nearest, "the mean of each row"),
    (check_two_hot, lambda *a: 2 * two_hot(*a), "the sum of each row"),
    (check_two_hot, on_four_centres, "the two nearest centres"),
    (check_two_hot, lambda *a: two_hot(*a).flip(1), "the mean of each row"),
    (check_shifted, stub, "return logits"),
    (check_shifted, unshifted, "position 1 still knows token 1"),
    (check_shifted, shifted_the_wrong_way, "still knows token"),
    (check_shifted, without_the_row, "the logits"),
]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
