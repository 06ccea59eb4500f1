"""Rivals of the policy on the same encoder: heads that do not write digits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genre2_mini.encoders import check_width
from genre2_mini.transformer import evaluating


class PointwiseHead(nn.Module):
    """One number an input: a linear map of the encoder's vector.

    Trained on squared error it is ordinary regression, the method to beat.
    """

    def __init__(self, encoder: nn.Module, d_model: int = 64) -> None:
        super().__init__()
        check_width(encoder, d_model)
        self.encoder = encoder
        self.d_model = d_model
        self.out = nn.Linear(d_model, 1)

    @property
    def config(self) -> dict:
        """JSON types that rebuild this head (without its weights)."""
        return {
            "type": "PointwiseHead",
            "encoder": self.encoder.config,
            "d_model": self.d_model,
        }

    def forward(self, x: Tensor) -> Tensor:
        """Predicted z of every input: (N, …) -> (N,)."""
        return self.out(self.encoder(x)).squeeze(-1)

    @torch.no_grad()
    def sample_values(self, x: Tensor, num_samples: int = 1, generator=None) -> Tensor:
        """The prediction as a distribution of one value: (N, 1) float64.

        ``num_samples`` and ``generator`` are there to be called like a policy;
        a point has nothing to draw.
        """
        with evaluating(self):
            return self(x).double()[:, None]
