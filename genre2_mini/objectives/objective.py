"""What the training loop asks of an objective."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

Losses = Iterator[tuple[Tensor, dict[str, Tensor]]]


class Objective(Protocol):
    """Turns a batch into one or more losses; each gets one optimiser step.

    Cross-entropy yields one loss a batch. A method that reuses its rollouts for
    several epochs yields several. An objective may also have ``companions(model)``:
    modules that are trained, saved and resumed with the model, such as PPO's critic;
    ``losses`` then gets them after the generator.
    """

    def losses(
        self, model: nn.Module, x: Tensor, z: Tensor, generator: torch.Generator
    ) -> Losses:
        """Yield (scalar loss, detached scalars to report) for x (N, …), z (N,).

        With D targets, one string after another, z is (N, D).
        """
        ...


def check_at_least(smallest: float, **arguments: float) -> None:
    """Refuse an argument below ``smallest``, or NaN, with a ValueError."""
    for name, value in arguments.items():
        if not value >= smallest:
            raise ValueError(f"{name}={value} must be at least {smallest}")


def companions_of(objective: Objective, model: nn.Module) -> tuple[nn.Module, ...]:
    """The objective's companions of ``model``; none for most."""
    make = getattr(objective, "companions", None)
    return tuple(make(model)) if make else ()
