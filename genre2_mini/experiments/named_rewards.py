"""Rewards by name, so that a run's settings are plain data."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from genre2_mini.rewards import (
    ClippedReward,
    GaussianKernelReward,
    QuantileReward,
    RankReward,
    RelativeErrorReward,
    ToleranceReward,
    absolute_error_reward,
    squared_error_reward,
)

Reward = Callable[[Tensor, Tensor], Tensor]
REWARDS: dict[str, Callable[[Tensor], Reward]] = {  # name -> reward, from train z (N,)
    "squared": lambda z_train: squared_error_reward,
    "absolute": lambda z_train: absolute_error_reward,
    "kernel": lambda z_train: GaussianKernelReward(),
    "clipped": lambda z_train: ClippedReward(),
    "clipped50": lambda z_train: ClippedReward(50.0),
    "relative": lambda z_train: RelativeErrorReward(),
    "quantile": QuantileReward.fit,
    "rank": RankReward.fit,
    "tolerance": lambda z_train: ToleranceReward(),
}


def named_reward(name: str, z_train: Tensor) -> Reward:
    """The reward of that name with its default settings, fitted where it needs that.

    Raises
    ------
    ValueError : there is none.
    """
    if name not in REWARDS:
        raise ValueError(f"unknown reward {name!r}; known: {', '.join(REWARDS)}")
    return REWARDS[name](z_train)
