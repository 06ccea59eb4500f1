"""Soft cross-entropy for histograms: bins that know which bins are near."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot, pad

from genre2_mini.heads import HistogramHead
from genre2_mini.objectives.objective import Losses, check_at_least


def histogram_target(z: Tensor, edges: Tensor, sigma: float) -> Tensor:
    """The distribution over bins that stands for each z, left tail first.

    HL-Gauss (Imani & White, arXiv 1806.04613): each bin gets its share of
    N(z, (sigma · bin width)²) between the outer edges. With sigma = 0 the bin of z gets
    everything, as the tail does where z lies beyond the edges. A bin includes its left
    edge, the last one both.

    Parameters
    ----------
    z : (N,), the targets.
    edges : (num_bins + 1,), float64, equally spaced and rising.
    sigma : standard deviation in bin widths, ≥ 0.

    Returns
    -------
    float64 (N, num_bins + 2), rows that sum to one.

    Raises
    ------
    ValueError : z is not one finite target a row.
    """
    z = z.double()
    if z.ndim != 1 or not z.isfinite().all():
        raise ValueError(
            f"z must be (N,) and finite, got shape {tuple(z.shape)}: a histogram has "
            "one target; drop or impute NaN and infinite values"
        )
    index = torch.bucketize(z, edges, right=True) - (z == edges[-1]).long()
    target = one_hot(index, len(edges) + 1).double()
    if sigma == 0:
        return target
    scale = math.sqrt(2) * sigma * (edges[1] - edges[0])
    mass = torch.erf((edges - z[:, None]) / scale).diff(dim=1)  # twice the probability
    inside = (z >= edges[0]) & (z <= edges[-1])
    mass = pad(mass / mass.sum(dim=1, keepdim=True), (1, 1))
    return torch.where(inside[:, None], mass, target)


@dataclass(frozen=True)
class HistogramCrossEntropy:
    """−Σ_j q_j log p_j averaged over rows (nats a row), q from HL-Gauss.

    The spread of q tells the head that a bin next to the true one is nearly right.
    ``sigma=0`` says nothing of the kind: the plain histogram.

    Parameters
    ----------
    sigma : spread of q in bin widths.

    Raises
    ------
    ValueError : ``sigma`` < 0.
    """

    sigma: float = 0.75

    def __post_init__(self) -> None:
        check_at_least(0, sigma=self.sigma)

    def losses(self, model: HistogramHead, x, z, generator=None) -> Losses:
        """Yield one loss for a batch x (N, …), z (N,)."""
        logits = model(x)
        target = histogram_target(z, model.edges.to(z.device), self.sigma)
        loss = cross_entropy(logits, target.to(logits.dtype))
        yield loss, {"cross_entropy": loss.detach()}
