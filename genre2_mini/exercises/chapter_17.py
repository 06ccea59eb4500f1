"""Chapter 17: changes back to levels, pairs and their laws, credit, orders."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from genre2_mini.exercises import exercise, require, require_close


@exercise
def check_rebuild(answer: Callable) -> None:
    """``answer(past, changes, k)``: lists -> the levels that the changes lead to."""
    cases = [
        ([3.0, 5.0], [1.0, -2.0, 4.0], 1),
        ([1.0, 2.0, 3.0, 4.0], [10.0, 20.0, 30.0, 40.0, 5.0, 6.0], 4),
        ([7.0, 1.0, 9.0], [0.5, 0.25, 1.0], 2),
    ]
    for past, changes, k in cases:
        got = answer(list(past), list(changes), k)
        require(got is not None, "it returned None: return a list of levels")
        got, want = list(got), list(past)
        for change in changes:
            want.append(want[-k] + change)
        case = f"past {past}, changes {changes}, k={k}"
        require(
            len(got) == len(changes),
            f"one level for each change, {len(changes)}, not {len(got)} ({case})",
        )
        last = [past[-1] + change for change in changes]
        require(
            k == 1 or not np.allclose(got, last),
            f"each change counts from k values ago, not from the last one ({case})",
        )
        summed = (past[-1] + np.cumsum(changes)).tolist()
        require(
            k == 1 or not np.allclose(got, summed),
            f"the changes of another k do not add up one after another ({case})",
        )
        require(
            not np.allclose(got[: min(k, len(got))], changes[: min(k, len(got))]),
            f"these are the changes: add the level they count from ({case})",
        )
        require_close(got, want[len(past) :], f"the levels ({case})", 1e-9)


def _laws() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    laws = [torch.rand(3, 4, generator=generator).double() ** 3 for _ in range(3)]
    same = torch.eye(3, 4).double()
    return [law / law.sum() for law in [*laws, same]]


@exercise
def check_told_by_the_first(answer: Callable) -> None:
    """``answer(law)``: (C₁, C₂) -> nats that the first number tells of the second."""
    for law in _laws():
        got = answer(law.clone())
        require(got is not None, "it returned None: return a number of nats")
        first, second = law.sum(dim=1), law.sum(dim=0)
        joint = -torch.xlogy(law, law).sum()
        alone = -torch.xlogy(first, first).sum(), -torch.xlogy(second, second).sum()
        want = alone[0] + alone[1] - joint
        got = torch.as_tensor(got).double()
        require(got.ndim == 0, f"one number, not shape {tuple(got.shape)}")
        require(not got.isnan(), "a cell of probability 0 adds nothing, not NaN")
        require(
            not torch.isclose(got, -want) or want < 1e-9,
            "the sign: what is told is never below 0",
        )
        require(
            not torch.isclose(got, want / math.log(2)) or want < 1e-9,
            "these are bits; nats come from the natural logarithm",
        )
        require(
            torch.isclose(want, joint) or not torch.isclose(got, joint),
            "this is the entropy of the pair: H₁ + H₂ − it",
        )
        require_close(got, want, "what the first tells", 1e-6)


@exercise
def check_energy(answer: Callable) -> None:
    """``answer(draws, z)``: S equally likely points (S, D), truth (D,) -> a number."""
    generator = torch.Generator().manual_seed(0)
    for size, width in ((4, 1), (6, 2), (9, 3)):
        draws = torch.randn(size, width, generator=generator).double()
        z = torch.randn(width, generator=generator).double()
        got = answer(draws.clone(), z.clone())
        require(got is not None, "it returned None: return the score")
        got = torch.as_tensor(got).double()
        require(got.ndim == 0, f"one number, not shape {tuple(got.shape)}")
        near = (draws - z).norm(dim=1).mean()
        apart = (draws[:, None] - draws).norm(dim=-1).mean()
        require(
            not torch.isclose(got, near - apart),
            "half of the distance between two draws, not all of it",
        )
        require(
            not torch.isclose(got, near), "the distance between two draws is missing"
        )
        others = apart * size / (size - 1)
        require(
            not torch.isclose(got, near - others / 2),
            "all pairs of draws, a draw with itself too: these points are the law",
        )
        squares = (draws - z).square().sum(dim=1).mean()
        spread = (draws[:, None] - draws).square().sum(dim=-1).mean()
        require(
            not torch.isclose(got, squares - spread / 2),
            "distances, not their squares: squares see the mean alone",
        )
        require_close(got, near - apart / 2, f"the score of {size} draws", 1e-9)


@exercise
def check_rewards_to_go(answer: Callable) -> None:
    """``answer(rewards, lengths)``: (M, D), D lengths -> (M, K) for each token."""
    generator = torch.Generator().manual_seed(0)
    for lengths in ([3, 3], [1, 2, 4], [2]):
        rewards = -torch.rand(5, len(lengths), generator=generator).double()
        got = answer(rewards.clone(), list(lengths))
        require(got is not None, "it returned None: return a tensor (M, K)")
        got = torch.as_tensor(got).double()
        width = sum(lengths)
        require(
            got.shape == (5, width),
            f"shape (M, K) = (5, {width}), not {tuple(got.shape)}",
        )
        counts = torch.tensor(lengths)
        future = rewards.flip(-1).cumsum(-1).flip(-1)
        want = future.repeat_interleave(counts, dim=1)
        past = rewards.cumsum(-1).repeat_interleave(counts, dim=1)
        whole = rewards.sum(dim=1, keepdim=True).expand_as(want)
        own = rewards.repeat_interleave(counts, dim=1)
        if len(lengths) > 1:
            require(
                not torch.allclose(got, whole),
                "a token gets no reward of a number that was finished before it",
            )
            require(
                not torch.allclose(got, past),
                "the numbers still to come, not those already written",
            )
            require(
                not torch.allclose(got, own),
                "a token also changes the numbers after its own: they read it",
            )
        require_close(got, want, f"rewards to go for lengths {lengths}", 1e-9)


@exercise
def check_in_turn(answer: Callable) -> None:
    """``answer(tokens, targets)``: (…, D·K) -> the digits of all targets in turn."""
    for targets, digits, lead in ((2, 3, (4,)), (3, 2, (2, 5)), (1, 4, (3,))):
        size = targets * digits
        shape = (*lead, size)
        tokens = torch.arange(math.prod(shape)).reshape(shape)
        got = answer(tokens.clone(), targets)
        require(got is not None, "it returned None: return a tensor like tokens")
        got = torch.as_tensor(got)
        require(
            got.shape == tokens.shape,
            f"the shape stays {tuple(tokens.shape)}, got {tuple(got.shape)}",
        )
        want = tokens.unflatten(-1, (targets, digits)).transpose(-1, -2).flatten(-2)
        require(
            targets == 1 or not torch.equal(got, tokens),
            "nothing moved: the first digits of all targets come first",
        )
        back = tokens.unflatten(-1, (digits, targets)).transpose(-1, -2).flatten(-2)
        require(
            torch.equal(want, back) or not torch.equal(got, back),
            "this is the way back: the tokens come one target after another",
        )
        require(torch.equal(got, want), f"the order is off for {targets} targets")
