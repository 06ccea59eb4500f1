"""What the training loop asks of an objective."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn


class Objective(Protocol):
    """Turns a batch into one or more losses; each gets one optimiser step.

    Cross-entropy yields one loss a batch. A method that reuses its rollouts for
    several epochs yields several.
    """

    def losses(
        self, model: nn.Module, x: Tensor, z: Tensor, generator: torch.Generator
    ) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """Yield (scalar loss, detached scalars to report) for x (N, …), z (N,)."""
        ...
