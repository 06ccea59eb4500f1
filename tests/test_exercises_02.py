"""Chapter 2's checks accept a right answer and refuse the stub and the usual slips."""

from functools import cache

import torch
from judged import judged, stub
from torch.nn.functional import pad

from genre2_mini.encoders import RowEncoder
from genre2_mini.exercises.chapter_02 import (
    check_beam,
    check_block_parameters,
    check_leaks,
    check_previous_token,
    check_safe_softmax,
    check_tempered,
)
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rollouts import enumerate_strings
from genre2_mini.tokenizers import NormalizedTokenizer

X = 3 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0))


@cache
def policy():
    """An untrained policy over 64 strings that is sure of itself."""
    torch.manual_seed(1)
    tokenizer = NormalizedTokenizer(base=2, num_digits=6, low=0, high=1)
    policy = DecodingPolicy(RowEncoder(num_features=3), tokenizer).eval()
    with torch.no_grad():
        policy.unembedding.weight.mul_(3)
    return policy


# Softmax


def less_the_largest(scores):
    weights = (scores - scores.max()).exp()
    return weights / weights.sum()


def as_defined(scores):
    return scores.exp() / scores.exp().sum()


def not_summing_to_one(scores):
    return (scores - scores.mean()).exp()


def capped(scores):
    weights = scores.clamp(-50, 50).exp()
    return weights / weights.sum()


# The parameters of a block


def parameters(d, ff, maps=4, biases=True, norms=True):
    matrices = maps * d**2 + 2 * d * ff
    return matrices + biases * ((maps + 1) * d + ff) + norms * 4 * d


def without_biases(d, ff):
    return parameters(d, ff, biases=False)


def without_norms(d, ff):
    return parameters(d, ff, norms=False)


def matrices_alone(d, ff):
    return parameters(d, ff, biases=False, norms=False)


def without_the_map_out(d, ff):
    return parameters(d, ff, maps=3)


# A head that looks one token back


def one_back(length, strength=100):
    return strength * torch.ones(length - 1).diag(-1)


def transposed(length):
    return one_back(length).T


def too_weak(length):
    return one_back(length, strength=8)


# Leaks


def first_that_changes(model, starts):
    """Whether outputs before k change with inputs from k on, for one of the starts."""
    h = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))
    for k in starts:
        changed = h.clone()
        changed[:, k:] += 1
        if not torch.allclose(model(h)[:, :k], model(changed)[:, :k]):
            return True
    return False


def every_later_input_changed(model):
    return first_that_changes(model, range(1, 6))


def only_the_last_changed(model):
    return first_that_changes(model, [5])


# Temperature


def check_tempered_here(answer):
    return check_tempered(answer, policy(), X[:3])


@torch.no_grad()
def tempered(policy, x, temperature):
    tokens = enumerate_strings(policy, x).tokens.expand(len(x), -1, -1)
    log_p = (policy.logits(x, tokens) / temperature).log_softmax(dim=-1)
    return log_p.gather(-1, tokens[..., None]).squeeze(-1).sum(dim=-1).exp()


@torch.no_grad()
def powers(policy, x, temperature):
    return (enumerate_strings(policy, x).log_prob / temperature).softmax(dim=1)


# Beams


@torch.no_grad()
def greedy_misses():
    listed = enumerate_strings(policy(), X)
    likeliest = listed.tokens[listed.log_prob.argmax(dim=1)]
    return (policy().greedy(X) != likeliest).any(dim=1)


def check_all_rows(answer):
    return check_beam(answer, policy(), X)


def check_missed_rows(answer):
    return check_beam(answer, policy(), X[greedy_misses()])


def check_other_rows(answer):
    return check_beam(answer, policy(), X[~greedy_misses()])


@torch.no_grad()
def beam(policy, x, width, forget=False):
    """The likeliest string of a beam; ``forget`` drops the prefix's own probability."""
    prefixes, score = torch.empty(1, 0, dtype=torch.long), torch.zeros(1)
    for _ in range(policy.tokenizer.num_tokens):
        log_p = policy.logits(x, pad(prefixes, (0, 1))[None])[0, :, -1].log_softmax(-1)
        sums = (score[:, None] * (not forget) + log_p).flatten()
        score, best = sums.topk(min(width, len(sums)))
        parent, token = best // log_p.shape[1], best % log_p.shape[1]
        prefixes = torch.cat([prefixes[parent], token[:, None]], dim=1)
    return prefixes[0]


def too_narrow(policy, x, width):
    return beam(policy, x, 1 if width < 64 else 64)


RIGHT = [
    (check_safe_softmax, less_the_largest),
    (check_block_parameters, parameters),
    (check_previous_token, one_back),
    (check_leaks, every_later_input_changed),
    (check_tempered_here, tempered),
    (check_all_rows, beam),
]
WRONG = [
    (check_safe_softmax, as_defined, "the weights of [1000.0, 1001.0] are [nan"),
    (check_safe_softmax, not_summing_to_one, "softmax of [0.0, 1.0, 2.0] is"),
    (check_safe_softmax, stub, "is None"),
    (check_safe_softmax, capped, "softmax of [1000.0, 1001.0] is [0.5, 0.5]"),
    (check_block_parameters, stub, "is None"),
    (check_block_parameters, matrices_alone, "each linear map also adds a bias"),
    (check_block_parameters, without_biases, "each linear map also adds a"),
    (check_block_parameters, without_norms, "the two norms have"),
    (check_block_parameters, without_the_map_out, "wanted 49984"),
    (check_previous_token, torch.eye, "position 1 gives position 0 the weight"),
    (check_previous_token, transposed, "position 1 gives position 0"),
    (check_previous_token, too_weak, "with length 8, position 7 gives"),
    (check_previous_token, torch.ones, "W has shape (2,), wanted (2, 2)"),
    (check_previous_token, stub, "return a matrix W"),
    (check_leaks, lambda model: False, "“no mask” sees the future, you say False"),
    (check_leaks, lambda model: True, "“causal” does not see the future, you say True"),
    (
        check_leaks,
        only_the_last_changed,
        "“only the first position looks ahead” sees the future",
    ),
    (check_leaks, stub, "return True or False"),
    (check_tempered_here, powers, "that is π to the power 1/T"),
    (
        check_tempered_here,
        lambda p, x, t: tempered(p, x, 1.0),
        "the probabilities at T = 0.5 is",
    ),
    (
        check_tempered_here,
        lambda *a: tempered(*a).log(),
        "the probabilities at T = 0.5 is",
    ),
    (
        check_tempered_here,
        lambda *a: tempered(*a)[0],
        "has shape (64,), wanted (3, 64)",
    ),
    (check_tempered_here, stub, "is None"),
    (
        check_missed_rows,
        lambda p, x, n: p.greedy(x)[0],
        "does not end with the likeliest",
    ),
    (check_missed_rows, lambda p, x, n: p.greedy(x), "has shape (1, 6), wanted (6,)"),
    (check_missed_rows, lambda *a: beam(*a, forget=True), "rank by the sum"),
    (check_missed_rows, too_narrow, "width 32 finds 0"),
    (check_missed_rows, lambda p, x, n: beam(p, x, 32), "a beam of width 1 is greedy"),
    (check_missed_rows, stub, "is None"),
    (check_other_rows, beam, "take another policy or more rows"),
]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
