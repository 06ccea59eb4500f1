"""Squared error, the objective of the pointwise head."""

from __future__ import annotations

from dataclasses import dataclass

from genre2_mini.heads import PointwiseHead
from genre2_mini.objectives.objective import Losses


@dataclass(frozen=True)
class SquaredError:
    """mean (f(x) − z)² over rows and targets, in z units squared.

    Minimised by f(x) = E[z | x].
    """

    def losses(self, model: PointwiseHead, x, z, generator=None) -> Losses:
        """Yield one loss for a batch x (N, …), z (N,), or (N, D) for D > 1 targets.

        Raises
        ------
        ValueError : z and the prediction differ in shape.
        """
        prediction = model(x)
        if prediction.shape != z.shape:
            raise ValueError(
                f"z has shape {tuple(z.shape)}, the head predicts "
                f"{tuple(prediction.shape)}: give it as many num_targets as z has"
            )
        loss = (prediction - z).square().mean()
        yield loss, {"squared_error": loss.detach()}
