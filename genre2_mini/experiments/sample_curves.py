"""How good is the mean, the median or the best of k samples? Exactly, for every k.

Nothing is drawn. A row's samples come from ``values`` (N, V) with probabilities
``weights`` (N, V), independently; each function returns an expected squared error (N,)
against z (N,), in squared units of z.
"""

from __future__ import annotations

import torch
from scipy.special import betainc, gammaln
from torch import Tensor

from genre2_mini.metrics import weighted_mean


def mean_of_k(values: Tensor, weights: Tensor, z: Tensor, k: int) -> Tensor:
    """E(mean − z)² = (E ẑ − z)² + Var ẑ / k: averaging divides the spread."""
    mean = weighted_mean(values, weights)
    spread = (weights * (values - mean[:, None]).square()).sum(dim=-1)
    return (mean - z).square() + spread / k


def median_of_k(values: Tensor, weights: Tensor, z: Tensor, k: int) -> Tensor:
    """E(median − z)² for the middle sample, or the mean of the two middle ones.

    The i-th smallest of k samples lies at or below v with the chance that a binomial
    of k trials and success F(v) reaches i. For even k with middles a ≤ b,
    ((a + b)/2 − z)² = ½ (a − z)² + ½ (b − z)² − ¼ (b − a)². For k up to a thousand.
    """
    values, order = values.sort(dim=-1)
    cdf = weights.gather(-1, order).cumsum(dim=-1).clamp(max=1)
    squared = (values - z[:, None]).square()
    middle = (k + 1) // 2
    low = (smallest(cdf, middle, k) * squared).sum(dim=-1)
    if k % 2:
        return low
    high = (smallest(cdf, middle + 1, k) * squared).sum(dim=-1)
    return (low + high) / 2 - middle_gap(values, cdf, k) / 4


def smallest(cdf: Tensor, i: int, k: int) -> Tensor:
    """Probability (N, V) that the i-th smallest of k samples is each sorted value."""
    reached = torch.from_numpy(betainc(i, k - i + 1, cdf.numpy()))
    reached[:, -1] = 1
    return reached.diff(dim=-1, prepend=torch.zeros_like(reached[:, :1]))


def middle_gap(values: Tensor, cdf: Tensor, k: int) -> Tensor:
    """E(b − a)² (N,) of the two middle samples a ≤ b of k, k even.

    (b − a)² is twice the area of the pairs u < v in [a, b], and a ≤ u, v < b says that
    half of the samples lie at or below u, the others above v: in all
    C(k, k/2) F(u)^{k/2} (1 − F(v))^{k/2}, a product, summed over u < v.
    """
    half = k // 2
    ways = torch.tensor(gammaln(k + 1) - 2 * gammaln(half + 1)).double()
    step, below = values.diff(dim=-1), cdf[:, :-1]
    # The root of the number of ways on each side keeps both finite.
    left = (half * below.log() + ways / 2).exp() * step
    right = (half * (1 - below).log() + ways / 2).exp() * step
    later = right.flip(-1).cumsum(dim=-1).flip(-1) - right
    return 2 * (left * (later + right / 2)).sum(dim=-1)


def best_of_k(values: Tensor, weights: Tensor, z: Tensor, k: int) -> Tensor:
    """E min (ẑ − z)² over k samples: an oracle picks the closest, no prediction.

    The smallest error exceeds e with probability Pr(|ẑ − z| > e)^k.
    """
    error, order = (values - z[:, None]).square().sort(dim=-1)
    above = 1 - weights.gather(-1, order).cumsum(dim=-1).clamp(max=1)
    above[:, -1] = 0
    above = torch.cat([torch.ones_like(above[:, :1]), above], dim=-1)
    return (error * -above.pow(k).diff(dim=-1)).sum(dim=-1)


AGGREGATORS = {"mean": mean_of_k, "median": median_of_k, "best": best_of_k}


def sample_curves(
    values: Tensor, weights: Tensor, z: Tensor, ks: tuple[int, ...]
) -> list[dict]:
    """One row an aggregator and k: ``rmse`` and ``r2`` of the expected squared error.

    R² is 1 − MSE / Var z over these rows.
    """
    variance = z.var(correction=0).item()
    rows = []
    for name, expected in AGGREGATORS.items():
        for k in ks:
            mse = expected(values, weights, z, k).mean().item()
            scores = {"rmse": mse**0.5, "r2": 1 - mse / variance}
            rows.append({"aggregator": name, "k": k, **scores})
    return rows
