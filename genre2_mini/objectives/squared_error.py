"""Squared error, the objective of the pointwise head."""

from __future__ import annotations

from dataclasses import dataclass

from genre2_mini.heads import PointwiseHead


@dataclass(frozen=True)
class SquaredError:
    """mean (f(x) − z)², in z units squared; minimised by f(x) = E[z | x]."""

    def losses(self, model: PointwiseHead, x, z, generator=None):
        """Yield one loss for a batch x (N, …), z (N,)."""
        loss = (model(x) - z).square().mean()
        yield loss, {"squared_error": loss.detach()}
