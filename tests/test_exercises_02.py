"""Chapter 2's checks accept a right answer and refuse the stub and the usual slips."""

import pytest
import torch
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


@pytest.fixture(scope="module")
def policy():
    """An untrained policy over 64 strings that is sure of itself."""
    torch.manual_seed(1)
    tokenizer = NormalizedTokenizer(base=2, num_digits=6, low=0, high=1)
    policy = DecodingPolicy(RowEncoder(num_features=3), tokenizer).eval()
    with torch.no_grad():
        policy.unembedding.weight.mul_(3)
    return policy


@pytest.fixture(scope="module")
def x():
    return 3 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0))


def is_refused(capsys, said):
    """The check has printed one line that says ``said`` and not that all is well."""
    printed = capsys.readouterr().out
    return printed.count("\n") == 1 and "not yet" in printed and said in printed


# Exercise 1


def test_softmax_less_the_largest_score():
    def answer(scores):
        weights = (scores - scores.max()).exp()
        return weights / weights.sum()

    assert check_safe_softmax(answer)


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda s: s.exp() / s.exp().sum(), "the weights of [1000.0, 1001.0] are [nan"),
        (lambda s: (s - s.mean()).exp(), "softmax of [0.0, 1.0, 2.0] is"),
        (lambda s: None, "is None"),
    ],
    ids=["stub", "does not sum to one", "nothing"],
)
def test_softmax_refused(answer, said, capsys):
    assert not check_safe_softmax(answer)
    assert is_refused(capsys, said)


def test_softmax_that_only_caps_the_scores_is_refused(capsys):
    def answer(scores):
        weights = scores.clamp(-50, 50).exp()
        return weights / weights.sum()

    assert not check_safe_softmax(answer)
    assert is_refused(capsys, "softmax of [1000.0, 1001.0] is [0.5, 0.5]")


# Exercise 2


def test_parameters_of_a_block():
    assert check_block_parameters(lambda d, ff: 4 * d**2 + 2 * d * ff + 9 * d + ff)


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda d, ff: None, "is None"),
        (lambda d, ff: 4 * d**2 + 2 * d * ff, "each linear map also adds a bias"),
        (lambda d, ff: 4 * d**2 + 2 * d * ff + 4 * d, "each linear map also adds a"),
        (lambda d, ff: 4 * d**2 + 2 * d * ff + 5 * d + ff, "the two norms have"),
        (lambda d, ff: 3 * d**2 + 2 * d * ff + 8 * d + ff, "wanted 49984"),
    ],
    ids=["stub", "no biases, no norms", "no biases", "no norms", "no map out"],
)
def test_parameters_refused(answer, said, capsys):
    assert not check_block_parameters(answer)
    assert is_refused(capsys, said)


# Exercise 3


def test_a_head_that_looks_one_token_back():
    assert check_previous_token(lambda length: 100 * torch.ones(length - 1).diag(-1))


@pytest.mark.parametrize(
    "answer, said",
    [
        (torch.eye, "position 1 gives position 0 the weight"),
        (lambda n: 100 * torch.ones(n - 1).diag(1), "position 1 gives position 0"),
        (lambda n: 8 * torch.ones(n - 1).diag(-1), "with length 8, position 7 gives"),
        (lambda n: torch.ones(n), "W has shape (2,), wanted (2, 2)"),
        (lambda n: None, "return a matrix W"),
    ],
    ids=["stub", "transposed", "too weak", "a vector", "nothing"],
)
def test_previous_token_refused(answer, said, capsys):
    assert not check_previous_token(answer)
    assert is_refused(capsys, said)


# Exercise 4


def first_that_changes(model, starts):
    """Whether outputs before k change with inputs from k on, for one of the starts."""
    h = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0))
    for k in starts:
        changed = h.clone()
        changed[:, k:] += 1
        if not torch.allclose(model(h)[:, :k], model(changed)[:, :k]):
            return True
    return False


def test_every_later_input_changed():
    assert check_leaks(lambda model: first_that_changes(model, range(1, 6)))


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda model: False, "“no mask” sees the future, you say False"),
        (lambda model: True, "“causal” does not see the future, you say True"),
        (
            lambda model: first_that_changes(model, [5]),
            "“only the first position looks ahead” sees the future",
        ),
        (lambda model: None, "return True or False"),
    ],
    ids=["stub", "always", "only the last input changed", "nothing"],
)
def test_leaks_refused(answer, said, capsys):
    assert not check_leaks(answer)
    assert is_refused(capsys, said)


# Exercise 5


@torch.no_grad()
def tempered(policy, x, temperature):
    tokens = enumerate_strings(policy, x).tokens.expand(len(x), -1, -1)
    log_p = (policy.logits(x, tokens) / temperature).log_softmax(dim=-1)
    return log_p.gather(-1, tokens[..., None]).squeeze(-1).sum(dim=-1).exp()


@torch.no_grad()
def powers(policy, x, temperature):
    return (enumerate_strings(policy, x).log_prob / temperature).softmax(dim=1)


def test_every_token_at_its_temperature(policy, x):
    assert check_tempered(tempered, policy, x[:3])


@pytest.mark.parametrize(
    "answer, said",
    [
        (powers, "that is π to the power 1/T"),
        (lambda p, x, t: tempered(p, x, 1.0), "the probabilities at T = 0.5 is"),
        (lambda p, x, t: tempered(p, x, t).log(), "the probabilities at T = 0.5 is"),
        (lambda p, x, t: tempered(p, x, t)[0], "has shape (64,), wanted (3, 64)"),
        (lambda p, x, t: None, "is None"),
    ],
    ids=["stub", "at T = 1", "logarithms", "one row", "nothing"],
)
def test_tempered_refused(answer, said, policy, x, capsys):
    assert not check_tempered(answer, policy, x[:3])
    assert is_refused(capsys, said)


# Exercise 6


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


def test_a_beam(policy, x):
    assert check_beam(beam, policy, x)


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda p, x, width: p.greedy(x)[0], "does not end with the likeliest"),
        (lambda p, x, width: p.greedy(x), "has shape (1, 6), wanted (6,)"),
        (lambda p, x, width: beam(p, x, width, forget=True), "rank by the sum"),
        (lambda p, x, width: beam(p, x, 1 if width < 64 else 64), "width 32 finds 0"),
        (lambda p, x, width: beam(p, x, 32), "a beam of width 1 is greedy"),
        (lambda p, x, width: None, "is None"),
    ],
    ids=["stub", "row axis", "forgets the prefix", "too narrow", "too wide", "nothing"],
)
def test_beam_refused(answer, said, policy, x, capsys):
    missed = greedy_misses(policy, x)
    assert not check_beam(answer, policy, x[missed])
    assert is_refused(capsys, said)


@torch.no_grad()
def greedy_misses(policy, x):
    listed = enumerate_strings(policy, x)
    likeliest = listed.tokens[listed.log_prob.argmax(dim=1)]
    return (policy.greedy(x) != likeliest).any(dim=1)


def test_a_beam_needs_rows_on_which_greedy_misses(policy, x, capsys):
    assert not check_beam(beam, policy, x[~greedy_misses(policy, x)])
    assert is_refused(capsys, "take another policy or more rows")
