"""Rivals of the policy on the same encoder: heads that do not write digits."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from genre2_mini.encoders import check_width, one_vector
from genre2_mini.transformer import evaluating

TAIL_SCALE = 0.5  # of the half-normal that stands for what lies beyond the last bin


class PointwiseHead(nn.Module):
    """One number a target: a linear map of the encoder's vector.

    Trained on squared error it is ordinary regression, the method to beat.

    Parameters
    ----------
    encoder : module (N, …) -> (N, d_model), or (N, P, d_model), whose mean is read.
    d_model : width of the encoder's vector.
    num_targets : D, numbers predicted for each input.

    Raises
    ------
    ValueError : ``num_targets`` < 1, or an encoder of another width.
    """

    def __init__(
        self, encoder: nn.Module, d_model: int = 64, num_targets: int = 1
    ) -> None:
        super().__init__()
        check_width(encoder, d_model)
        if num_targets < 1:
            raise ValueError(f"num_targets={num_targets}: predict at least one number")
        self.encoder = encoder
        self.d_model, self.num_targets = d_model, num_targets
        self.out = nn.Linear(d_model, num_targets)

    @property
    def config(self) -> dict:
        """JSON types that rebuild this head (without its weights)."""
        return {
            "type": "PointwiseHead",
            "encoder": self.encoder.config,
            "d_model": self.d_model,
            "num_targets": self.num_targets,
        }

    def forward(self, x: Tensor) -> Tensor:
        """Predicted z of every input: (N, …) -> (N,), or (N, D) for D > 1 targets."""
        return self.out(one_vector(self.encoder(x))).squeeze(-1)

    @torch.no_grad()
    def predict_distribution(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The prediction as a distribution of one value.

        Returns values (N, 1), or (N, 1, D) for D > 1 targets, and weights (N, 1).
        """
        with evaluating(self):
            values = self(x).double()[:, None]
        return values, values.new_ones(len(values), 1)


class HistogramHead(nn.Module):
    """A histogram of z an input: equal bins on [−bound, bound], a tail on each side.

    A predictive distribution without digits, whose prediction is its expectation. All
    of a bin's mass counts at its centre, a tail's at the mean of a half-normal of scale
    0.5 beyond the bound, bound + 0.5·√(2/π). Source: the Riemann distribution of
    Müller et al. (arXiv 2112.10510).

    Parameters
    ----------
    encoder : module (N, …) -> (N, d_model), or (N, P, d_model), whose mean is read.
    d_model : width of the encoder's vector.
    num_bins : bins between the tails.
    bound : where the tails begin, in z units.

    Raises
    ------
    ValueError : ``num_bins`` < 1, a ``bound`` that is not positive and finite, or an
        encoder of another width.
    """

    def __init__(
        self,
        encoder: nn.Module,
        d_model: int = 64,
        num_bins: int = 256,
        bound: float = 3.0,
    ) -> None:
        super().__init__()
        check_width(encoder, d_model)
        if num_bins < 1:
            raise ValueError(f"num_bins={num_bins}: a histogram needs a bin")
        if not 0 < bound < math.inf:
            raise ValueError(f"bound={bound} must be positive and finite")
        self.encoder = encoder
        self.d_model, self.num_bins, self.bound = d_model, num_bins, bound
        self.out = nn.Linear(d_model, num_bins + 2)

    @property
    def config(self) -> dict:
        """JSON types that rebuild this head (without its weights)."""
        return {
            "type": "HistogramHead",
            "encoder": self.encoder.config,
            "d_model": self.d_model,
            "num_bins": self.num_bins,
            "bound": self.bound,
        }

    @property
    def edges(self) -> Tensor:
        """Edges (num_bins + 1,) of the inner bins, float64, from −bound to bound."""
        steps = self.num_bins + 1
        return torch.linspace(-self.bound, self.bound, steps, dtype=torch.float64)

    @property
    def centres(self) -> Tensor:
        """The value (num_bins + 2,) of each bin, float64, left tail first."""
        inner = (self.edges[1:] + self.edges[:-1]) / 2
        tail = inner.new_tensor([self.bound + TAIL_SCALE * math.sqrt(2 / math.pi)])
        return torch.cat([-tail, inner, tail])

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every bin, left tail first: (N, …) -> (N, num_bins + 2)."""
        return self.out(one_vector(self.encoder(x)))

    @torch.no_grad()
    def predict_distribution(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Bin values and their probabilities, both (N, num_bins + 2) float64."""
        with evaluating(self):
            weights = self(x).double().softmax(dim=-1)
        return self.centres.to(weights.device).expand_as(weights), weights
