"""Rewards that see the whole vector, where the package's own sum one for each target.

A sum over targets depends on each target's own law alone: it cannot tell a pair that
goes together from a pair that does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genre2_mini.objectives import ReMax
from genre2_mini.tasks import TableSchema


@dataclass(frozen=True)
class VectorKernelReward:
    """r = exp(−‖ẑ − z‖² / (2 width²)), in (0, 1]; ``width`` in units of z.

    Pulls to a mode of the *joint* density of z, smoothed by a Gaussian of that width.
    """

    width: float = 0.5

    def __call__(self, values: Tensor, z: Tensor) -> Tensor:
        """Vectors (M, D), twice -> rewards (M,)."""
        return (-(values - z).square().sum(dim=-1) / (2 * self.width**2)).exp()


@dataclass(frozen=True)
class HandReward:
    """r = −‖hand(ẑ) − hand(z)‖² in link lengths squared, for the task ``arm``.

    It never asks *which* angles: a robot could measure it without a teacher.
    """

    schema: TableSchema

    def __call__(self, values: Tensor, z: Tensor) -> Tensor:
        """Pairs of standardised angles (M, 2), twice -> rewards (M,)."""
        reached, wanted = (hand_of(angles, self.schema) for angles in (values, z))
        return -(reached - wanted).square().sum(dim=-1)


def hand_of(z: Tensor, schema: TableSchema) -> Tensor:
    """Where the hand is, (…, 2) in link lengths, for standardised angles (…, 2)."""
    shoulder, elbow = schema.unstandardise(z).unbind(-1)
    both = torch.stack([shoulder, shoulder + elbow], dim=-1)
    return torch.stack([both.cos().sum(dim=-1), both.sin().sum(dim=-1)], dim=-1)


@dataclass(frozen=True)
class VectorReMax(ReMax):
    """ReMax whose reward is given both whole vectors, (M, D), and not one target."""

    def score(self, values: Tensor, z: Tensor) -> Tensor:
        """r (M,) of vectors (M, D), twice."""
        return self.reward(values, z)
