"""From a table's row to the one vector that conditions the decoder."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn


def check_width(encoder: nn.Module, d_model: int) -> None:
    """Refuse an encoder whose vectors its reader cannot take.

    Raises
    ------
    ValueError : the encoder says that it writes vectors of another width.
    """
    width = getattr(encoder, "config", {}).get("d_model", d_model)
    if width != d_model:
        raise ValueError(
            f"d_model={d_model}, but the encoder writes vectors of {width}: "
            "give both the same d_model"
        )


def one_vector(encoded: Tensor) -> Tensor:
    """What a head reads: the vector (N, d_model), of (N, P, d_model) the mean."""
    return encoded if encoded.ndim == 2 else encoded.mean(dim=1)


class PeriodicEmbedding(nn.Module):
    """Each number of a row -> waves of it: what an MLP learns too slowly from x alone.

    Feature x has frequencies f₁ … f_F and a linear map (W, b) of its own, all learned:

        v = (2πf₁x, …, 2πf_Fx),    ReLU(W·(cos v, sin v) + b)

    Source: the "PLR" embedding of Gorishniy et al. (arXiv 2203.05556, section 3.3).

    Parameters
    ----------
    num_features : numbers in a row.
    num_frequencies : F, for each feature.
    width : numbers that stand for a feature.
    sigma : the frequencies start as N(0, sigma²), in cycles per unit of x.
    """

    def __init__(
        self,
        num_features: int,
        num_frequencies: int = 16,
        width: int = 8,
        sigma: float = 0.1,
    ) -> None:
        super().__init__()
        waves = 2 * num_frequencies
        bound = waves**-0.5  # that of nn.Linear
        self.frequencies = nn.Parameter(
            sigma * torch.randn(num_features, num_frequencies)
        )
        self.weight = nn.Parameter(
            torch.empty(num_features, waves, width).uniform_(-bound, bound)
        )
        self.bias = nn.Parameter(
            torch.empty(num_features, width).uniform_(-bound, bound)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_features) -> (N, num_features · width), one feature after another."""
        v = 2 * math.pi * self.frequencies * x[:, :, None]
        waves = torch.cat([v.cos(), v.sin()], dim=-1)
        linear = torch.einsum("nfw,fwd->nfd", waves, self.weight) + self.bias
        return linear.relu().flatten(1)


class RowEncoder(nn.Module):
    """A table row -> one vector: ReLU MLP with dropout, as in arXiv 2512.06533.

    Parameters
    ----------
    num_features : width of a row after preprocessing.
    d_model : width of the output vector.
    hidden, num_layers : width and number of the hidden layers.
    dropout : applied after each hidden layer, in training mode only.
    num_periodic : the first features, so many, are read as they are and through a
        :class:`PeriodicEmbedding`; 0 is the paper's network.

    Raises
    ------
    ValueError : no feature, or ``num_periodic`` outside 0 … ``num_features``.
    """

    def __init__(
        self,
        num_features: int,
        d_model: int = 64,
        hidden: int = 256,
        num_layers: int = 2,
        dropout: float = 0.1,
        num_periodic: int = 0,
    ) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f"num_features={num_features}: a row needs a feature")
        if not 0 <= num_periodic <= num_features:
            raise ValueError(
                f"num_periodic={num_periodic} must lie between 0 and "
                f"num_features={num_features}"
            )
        self.config = {
            "type": "RowEncoder",
            "num_features": num_features,
            "d_model": d_model,
            "hidden": hidden,
            "num_layers": num_layers,
            "dropout": dropout,
        }
        self.num_features, self.num_periodic = num_features, num_periodic
        width = num_features
        if num_periodic:  # else the weights, their draws and the files are as ever
            self.config["num_periodic"] = num_periodic
            self.periodic = PeriodicEmbedding(num_periodic)
            width += self.periodic.bias.numel()
        widths = [width] + [hidden] * num_layers
        layers: list[nn.Module] = []
        for width_in, width_out in pairwise(widths):
            layers += [nn.Linear(width_in, width_out), nn.ReLU(), nn.Dropout(dropout)]
        self.net = nn.Sequential(*layers, nn.Linear(widths[-1], d_model))

    def forward(self, x: Tensor) -> Tensor:
        """(N, num_features) -> (N, d_model).

        Raises
        ------
        ValueError : ``x`` has another width or rank.
        """
        if x.ndim != 2 or x.shape[1] != self.num_features:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; this encoder reads rows of "
                f"{self.num_features} features: (N, {self.num_features})"
            )
        x = x.to(self.net[-1].weight.dtype)
        if self.num_periodic:
            x = torch.cat([x, self.periodic(x[:, : self.num_periodic])], dim=1)
        return self.net(x)
