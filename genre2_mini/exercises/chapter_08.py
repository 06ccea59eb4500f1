"""Baselines: ReMax by hand, the best constant, an oracle for bias, a value a digit."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from genre2_mini.exercises import exercise, require, require_close
from genre2_mini.tokenizers import NormalizedTokenizer

BIASED = {"median of all", "first string"}
SUSPECTS = BIASED | {"median of the others", "best of the others", "next string"}


@exercise
def check_remax_advantage(answer: Callable) -> None:
    """``answer(policy, x, z, tokens)``: (N, S, K) -> r − r(greedy), (N, S)."""
    tokenizer = NormalizedTokenizer(base=2, num_digits=4, low=-2, high=2)
    z = torch.tensor([-1.5, 0.2, 1.6, 0.9])
    best = tokenizer.encode(torch.tensor([-1.1, 0.7, 1.0, 0.8]))
    policy = SimpleNamespace(tokenizer=tokenizer, greedy=lambda x: best)
    x = torch.zeros(4, 2)
    tokens = torch.randint(2, (4, 4, 4), generator=torch.Generator().manual_seed(1))
    got = answer(policy, x, z, tokens)
    require(got is not None, "it returned None: return the advantages (N, S)")
    values = tokenizer.decode(tokens)
    reward = -(values - z[:, None]).square()
    greedy = -(tokenizer.decode(policy.greedy(x)) - z).square()
    slips = {
        "these are rewards: subtract the greedy string's": reward,
        "row i needs the baseline of row i: line up rows with rows": reward - greedy,
        "each value is compared with the target of its row": _crossed(
            values, z, greedy
        ),
        "this subtracts the mean of the samples, as in RLOO": reward
        - reward.mean(dim=1, keepdim=True),
        "the sign: better than greedy is above 0": greedy[:, None] - reward,
        "subtract rewards, not values": values
        - tokenizer.decode(policy.greedy(x))[:, None],
    }
    for message, slip in slips.items():
        require(not _equal(got, slip), message)
    require_close(got, reward - greedy[:, None], "the advantage of 4 × 4 strings")


def _crossed(values: Tensor, z: Tensor, greedy: Tensor) -> Tensor:
    return -(values - z).square() - greedy[:, None]


@exercise
def check_best_constant(answer: Callable) -> None:
    """``answer(p, reward, score)``: (V,), (V,), (V, weights) -> b*."""
    p, reward, score, _ = _toy()
    size = score.square().sum(dim=1)
    got = answer(p, reward, score)
    require(got is not None, "it returned None: return a number")
    require(
        not _equal(got, p @ reward), "this is E[r]: weigh each string by ‖∇ log π‖²"
    )
    require(
        not _equal(got, size @ reward / size.sum()),
        "strings count as often as they are drawn: the weights are π ‖∇ log π‖²",
    )
    require(
        not _equal(got, (p * size.sqrt()) @ reward / (p @ size.sqrt())),
        "the length enters squared",
    )
    require(
        not _equal(got, (p * size) @ reward), "divide by E ‖∇ log π‖²: it is a mean"
    )
    require_close(got, (p * size) @ reward / (p @ size), "b* of a toy")


@exercise
def check_expected_gradient(answer: Callable) -> None:
    """``answer(p, reward, score, advantage, num_samples)``: the mean step."""
    p, reward, score, _ = _toy()
    exact = (p * reward) @ score
    plain = answer(p, reward, score, lambda r: r, 2)
    require(plain is not None, "it returned None: return the mean step (weights,)")
    count = len(p) ** 2
    require(
        not _equal(plain, reward @ score / len(p)),
        "groups are not equally likely: weigh each by the product of its strings' p",
    )
    require(not _equal(plain, 2 * exact), "a group's step is the mean over its strings")
    require(not _equal(plain, exact / count), "weigh the groups, then add them up")
    require_close(
        plain, exact, "without a baseline, S = 2: the exact gradient, and yours"
    )
    own = answer(p, reward, score, lambda r: r - r.mean(dim=1, keepdim=True), 3)
    require_close(own, exact * 2 / 3, "with the mean of all, S = 3, the step")


@exercise
def check_biased(answer: set) -> None:
    """The names of the biased baselines among the suspects."""
    require(answer is not None, "it is None: make it a set of names")
    named = {answer} if isinstance(answer, str) else set(answer)
    require(named, "the set is empty: at least one of the five is biased")
    unknown = named - SUSPECTS
    require(not unknown, f"{sorted(map(str, unknown))} are no suspects")
    innocent = sorted(named - BIASED)
    require(
        not innocent,
        f"{innocent}: does that baseline depend on the string it is subtracted from?",
    )
    require(named == BIASED, "one more is biased: compare lengths, not only directions")


@exercise
def check_with_values(answer: Callable) -> None:
    """``answer(p, reward, strings, scores)`` -> mean step (weights,), its variance."""
    p, reward, _, (strings, scores) = _toy()
    exact = (p * reward) @ scores.sum(dim=1)
    got = answer(p, reward, strings, scores)
    require(got is not None, "it returned None: return the mean step and the variance")
    require(len(got) == 2, f"it returned {len(got)} things, wanted two")
    mean, variance = got
    require(mean is not None and variance is not None, "one of the two is None")
    after = _steps(p, reward, strings, scores, seen=1)
    require(
        not _equal(mean, p @ after),
        "digit k is in its own baseline: V of the k − 1 digits before it",
    )
    require_close(mean, exact, "the mean step: the exact gradient, and yours")
    want = _steps(p, reward, strings, scores, seen=0)
    second = p @ want.square().sum(dim=1)
    require(
        not _equal(variance, second), "subtract the squared length of the mean step"
    )
    constant = (reward - p @ reward)[:, None] * scores.sum(dim=1)
    whole = p @ constant.square().sum(dim=1) - exact @ exact
    require(not _equal(variance, whole), "this is E[r] for all digits: V of the prefix")
    require_close(variance, second - exact @ exact, "the variance")


def _steps(
    p: Tensor, reward: Tensor, strings: Tensor, scores: Tensor, seen: int
) -> Tensor:
    """Each string's Σ_k (r − V(t_<k+seen)) ∇log π(t_k | ·): (V, weights)."""
    total = torch.zeros_like(scores[:, 0])
    for k in range(strings.shape[1]):
        prefix = strings[:, : k + seen]
        same = (prefix[:, None] == prefix).all(dim=-1).double()  # (V, V)
        value = same @ (p * reward) / (same @ p)
        total = total + (reward - value)[:, None] * scores[:, k]
    return total


def _toy() -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
    """p (8,), reward (8,), score (8, 14); strings (8, 3) and scores by digit."""
    strings = torch.cartesian_prod(*[torch.arange(2)] * 3)
    first, second, _ = strings.T
    node = torch.stack([0 * first, 1 + first, 3 + 2 * first + second], dim=1)
    theta = torch.randn(7, 2, generator=torch.Generator().manual_seed(3)).double()

    def by_digit(theta: Tensor) -> Tensor:
        return theta.log_softmax(dim=-1)[node, strings]  # (8, 3)

    scores = jacobian(by_digit, theta).flatten(2)
    p = by_digit(theta).sum(dim=1).exp()
    reward = -(torch.arange(8).double() - 2.5).square()
    return p, reward, scores.sum(dim=1), (strings, scores)


def _equal(got: object, want: Tensor) -> bool:
    got = torch.as_tensor(got).detach().double()
    return got.shape == want.shape and torch.allclose(got, want.double(), atol=1e-6)
