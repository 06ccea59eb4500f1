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
    def predict_distribution(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The prediction as a distribution of one value: values, weights (N, 1)."""
        with evaluating(self):
            values = self(x).double()[:, None]
        return values, torch.ones_like(values)
