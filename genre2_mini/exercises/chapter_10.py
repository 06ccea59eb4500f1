"""The checks of chapter 10: what a reward asks for, and how one is found to fail."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from genre2_mini.exercises import exercise, require, require_close
from genre2_mini.rewards import (
    ToleranceReward,
    absolute_error_reward,
    squared_error_reward,
)

__all__ = [
    "check_best_answer",
    "check_huber_reward",
    "check_pinball_reward",
    "check_shaped_step",
    "check_suspicious",
]
DOUBLE = torch.float64


def _normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=DOUBLE)


@exercise
def check_best_answer(answer):
    """``answer(reward, grid (V,), targets (N,))``: the number that earns the most."""
    grid = torch.arange(0, 20, 0.25, dtype=DOUBLE)
    targets = torch.tensor([1, 1, 2, 6, 15], dtype=DOUBLE)
    cases = [
        ("the squared error", squared_error_reward, 5.0),
        ("the absolute error", absolute_error_reward, 2.0),
        ("a tolerance of 0.5", ToleranceReward(0.5), 1.5),
    ]
    for name, reward, want in cases:
        given = answer(reward, grid, targets)
        require(given is not None, "it returned None: return a number of the grid")
        given, earned = float(given), reward(grid.expand(5, -1), targets).mean(dim=0)
        require(
            given != grid[earned.argmin()],
            f"for {name} it is {given:g}, the answer that earns the least",
        )
        require(
            given != earned.argmax(),
            f"for {name} it is {given:g}, a place in the grid: return the number there",
        )
        require(
            given != earned.max(),
            f"for {name} it is {given:g}, what the best answer earns, not the answer",
        )
        require(given == want, f"for {name} it is {given:g}, wanted {want:g}")


@exercise
def check_pinball_reward(answer):
    """``answer(values, z, level)``: pulls to the quantile; (N, S) or (N,) with (N,)."""
    targets = torch.arange(1, 101, dtype=DOUBLE)
    grid = torch.arange(0.5, 100, 1, dtype=DOUBLE)  # as many values as rows
    for level in (0.1, 0.5, 0.9):
        given = answer(grid.expand(100, -1), targets, level)
        require(given is not None, "it returned None: return a reward for each value")
        require(
            given.shape == (100, 100),
            f"values (100, 100) and z (100,) gave shape {tuple(given.shape)}: "
            "z needs a trailing axis",
        )
        along_samples = bool((given == given[:1]).all())
        require(
            not along_samples,
            "every row got the same rewards: z (N,) was subtracted along the samples, "
            "it needs a trailing axis",
        )
        best = grid[given.mean(dim=0).argmax()].item()
        require(
            abs(best - (100 - 100 * level)) > 1 or level == 0.5,
            f"at level {level} it pulls to the quantile {1 - level:g}: which side is "
            "the dear one?",
        )
        require(
            abs(best - 100 * level) <= 1,
            f"at level {level} the best answer to 1 … 100 is {best:g}, wanted about "
            f"{100 * level:g}",
        )
    values = torch.tensor([0.0, 3.0, 1.0], dtype=DOUBLE)
    z = torch.ones(3, dtype=DOUBLE)
    want = torch.tensor([-0.9, -0.2, 0.0], dtype=DOUBLE)
    require_close(answer(values, z, 0.9), want, "the reward of 0, 3 and 1 for z = 1")


@exercise
def check_huber_reward(answer):
    """``answer(values, z, limit)``: −e²/2 near, −limit (|e| − limit/2) far."""
    values = torch.tensor([[0.0, 0.5, 1.0], [-1.0, 5.0, 30.0]], dtype=DOUBLE)
    z = torch.zeros(2, dtype=DOUBLE)
    error = values.abs()
    for limit in (1.0, 2.0):
        far = limit * (error - limit / 2)
        want = -torch.where(error <= limit, error.square() / 2, far)
        given = answer(values, z, limit)
        if given is not None and given.shape == want.shape:
            clipped = -error.square().clamp(max=limit**2) / 2
            require(
                not torch.allclose(given, clipped),
                "that is flat beyond the limit, as ClippedReward: the slope must stay",
            )
            broken = -torch.where(error <= limit, error.square() / 2, limit * error)
            require(
                not torch.allclose(given, broken),
                "the two pieces do not meet at the limit: there is a step",
            )
            require(
                not torch.allclose(given, -want),
                "the sign: that is a loss, and a reward is largest at the truth",
            )
        require_close(given, want, f"the reward with limit {limit:g}")


def _history(rewards, rmse, entropy, spread) -> pd.DataFrame:
    columns = {"reward": rewards, "valid_rmse_k1": rmse}
    return pd.DataFrame(columns | {"entropy": entropy, "spread": spread})


_HISTORIES = [  # name, history, is it suspicious
    (
        "where all is well and the policy sharpens",
        _history([-1.5, -0.6, -0.5], [1.2, 0.8, 0.7], [4, 1, 0.4], [0.6, 0.7, 0.7]),
        False,
    ),
    (
        "where the reward rises and the error with it",
        _history([-2.3, -0.9, -0.8], [1.1, 2.5, 3.6], [4, 1.5, 0.2], [0.5, 3, 2.8]),
        True,
    ),
    (
        "where the answers shrink to a point while the error grows",
        _history([-60, -8, -2], [0.86, 0.93, 0.98], [4, 1.2, 0.1], [0.5, 0.1, 0.02]),
        True,
    ),
    (
        "where the error wobbles by one percent",
        _history(
            [-0.55, -0.53, -0.52], [0.700, 0.702, 0.706], [1, 0.6, 0.4], [0.7] * 3
        ),
        False,
    ),
    (
        "where the reward falls and the error grows: bad, but no exploit",
        _history([-0.5, -0.8, -1.4], [0.7, 0.9, 1.2], [1, 1, 1], [0.7, 0.8, 0.9]),
        False,
    ),
    (
        "where reward and error first got better, then parted",
        _history([-2, -1, -0.5], [1.2, 0.8, 1.1], [4, 2, 0.3], [0.6, 0.7, 1.5]),
        True,
    ),
]


@exercise
def check_suspicious(answer):
    """``answer(history)``: whether the reward rose while the error grew by over 5%."""
    for name, history, want in _HISTORIES:
        given = answer(history.copy())
        require(given is not None, "it returned None: return True or False")
        said = "suspicious" if given else "fine"
        require(bool(given) == want, f"a history {name} was called {said}")


@exercise
def check_shaped_step(answer):
    """``answer(reward (V,), potential (V, K + 1), scores (V, K, W))`` -> (V, W).

    Each string's own step: Σ_k of the rewards from digit k on, times its score.
    """
    reward, scores = _normal(8), _normal(8, 3, 5, seed=1)
    start, one = _normal(1, seed=2), _normal(2, seed=3)
    two, end = _normal(4, seed=4), torch.zeros(8, dtype=DOUBLE)
    levels = [start.repeat(8), one.repeat_interleave(4), two.repeat_interleave(2), end]
    potential = torch.stack(levels, dim=1)
    to_go = reward[:, None] - potential[:, :-1]
    want = (to_go[..., None] * scores).sum(dim=1)
    given = answer(reward, potential, scores)
    if torch.is_tensor(given) and given.shape == want.shape:
        whole = (reward - potential[:, 0])[:, None] * scores.sum(dim=1)
        require(
            not torch.allclose(given, whole),
            "every digit got the sum over the whole string: digit k earns only what "
            "comes at k and after",
        )
        plain = reward[:, None] * scores.sum(dim=1)
        require(not torch.allclose(given, plain), "the potential is not used yet")
        paid = (
            potential.diff(dim=1).flip(1).cumsum(1).flip(1)[..., None] * scores
        ).sum(1)
        require(not torch.allclose(given, paid), "the final reward is paid as well")
        late = ((reward[:, None] - potential[:, 1:])[..., None] * scores).sum(dim=1)
        require(
            not torch.allclose(given, late),
            "what is paid for digit k itself belongs to digit k",
        )
    require_close(given, want, "the steps of eight strings")
