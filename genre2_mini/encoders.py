"""From an input to the one vector that conditions the decoder."""

from __future__ import annotations

from itertools import pairwise

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


class RowEncoder(nn.Module):
    """A table row -> one vector: ReLU MLP with dropout, as in arXiv 2512.06533.

    Parameters
    ----------
    num_features : width of a row after preprocessing.
    d_model : width of the output vector.
    hidden, num_layers : width and number of the hidden layers.
    dropout : applied after each hidden layer, in training mode only.
    """

    def __init__(
        self,
        num_features: int,
        d_model: int = 64,
        hidden: int = 256,
        num_layers: int = 2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f"num_features={num_features}: a row needs a feature")
        self.config = {
            "type": "RowEncoder",
            "num_features": num_features,
            "d_model": d_model,
            "hidden": hidden,
            "num_layers": num_layers,
            "dropout": dropout,
        }
        self.num_features = num_features
        widths = [num_features] + [hidden] * num_layers
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
        return self.net(x.to(self.net[-1].weight.dtype))
