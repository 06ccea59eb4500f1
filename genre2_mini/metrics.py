"""From weighted samples to one number, and from numbers to scores.

A predictive distribution is a row of ``values`` (N, S) with ``weights`` (N, S) or
(S,), which need not sum to one; without weights all S count alike. All in z.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch import Tensor


def _finite(name: str, x: Tensor) -> Tensor:
    x = torch.as_tensor(x).detach().double()
    if not x.isfinite().all():
        raise ValueError(f"{name} holds {(~x.isfinite()).sum().item()} NaN or infinity")
    return x


def _distribution(values: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Checked values (N, S) and weights (N, S) that sum to one in each row."""
    values = _finite("values", values)
    if values.ndim != 2 or values.shape[-1] == 0:
        raise ValueError(f"values must have shape (N, S), got {tuple(values.shape)}")
    weights = (
        torch.ones_like(values) if weights is None else _finite("weights", weights)
    )
    if weights.shape not in (values.shape, values.shape[-1:]):
        raise ValueError(
            f"weights must have shape {tuple(values.shape)} or {(values.shape[-1],)}, "
            f"got {tuple(weights.shape)}"
        )
    total = weights.sum(-1, keepdim=True)
    if (weights < 0).any() or (total <= 0).any():
        raise ValueError("weights must be ≥ 0 with a positive sum in every row")
    return values, (weights / total).expand_as(values)


def _targets(z: Tensor, num_rows: int) -> Tensor:
    z = _finite("z", z)
    if z.shape != (num_rows,):
        raise ValueError(f"z must have shape ({num_rows},), got {tuple(z.shape)}")
    return z


def weighted_mean(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean (N,) of each row of ``values`` (N, S)."""
    values, weights = _distribution(values, weights)
    return (weights * values).sum(-1)


def weighted_median(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Median (N,), the 0.5 quantile: the lower middle of an even number of samples."""
    return weighted_quantile(values, 0.5, weights)


def weighted_quantile(
    values: Tensor, q: float | Sequence[float] | Tensor, weights: Tensor | None = None
) -> Tensor:
    """Quantiles (N,) for a number q, (N, Q) for Q of them: the inverse of the CDF.

    The q quantile is the smallest value whose cumulative weight reaches q of the
    total; it is always one of the values. Cumulative weights are compared to within
    1e-12, so that rounding in the weights cannot move it. NumPy calls this method
    ``inverted_cdf``. Raises ValueError for q outside [0, 1].
    """
    values, weights = _distribution(values, weights)
    q = torch.as_tensor(q, dtype=torch.float64, device=values.device)
    if q.ndim > 1 or not ((q >= 0) & (q <= 1)).all():
        raise ValueError(f"q must be a number or a sequence within [0, 1], got {q}")
    values, order = values.sort(-1)
    cumulative = weights.gather(-1, order).cumsum(-1)
    # Above zero, so that q = 0 passes over values of no weight.
    level = (q.reshape(-1) - 1e-12).clamp(min=torch.finfo(q.dtype).tiny)
    level = level.repeat(len(values), 1)
    index = torch.searchsorted(cumulative, level).clamp(max=values.shape[-1] - 1)
    return values.gather(-1, index).reshape(len(values), *q.shape)


def crps(values: Tensor, z: Tensor, weights: Tensor | None = None) -> Tensor:
    """Continuous ranked probability score (N,) of each row against z (N,), ≥ 0.

    E|X − z| − ½ E|X − X'| (Gneiting & Raftery 2007, equation 21), computed in
    O(S log S) as the area ∫ (F(x) − 1[x ≥ z])² dx, which no cancellation can spoil.
    """
    values, weights = _distribution(values, weights)
    z = _targets(z, len(values))[:, None]
    values, order = torch.cat([values, z], dim=-1).sort(-1)
    weights = torch.cat([weights, torch.zeros_like(z)], dim=-1).gather(-1, order)
    left, step = values[:, :-1], values.diff(dim=-1)
    return ((weights.cumsum(-1)[:, :-1] - (left >= z).double()).square() * step).sum(-1)


def best_at_k(values: Tensor, z: Tensor, k: int) -> Tensor:
    """Expected smallest |ẑ − z| (N,) among k of the S samples, drawn without return.

    The i-th smallest error is the smallest of k with probability C(S−i, k−1)/C(S, k):
    an exact average over all subsets. Raises ValueError for k outside 1 … S.
    """
    values, _ = _distribution(values, None)
    errors = (values - _targets(z, len(values))[:, None]).abs().sort(-1).values
    size = values.shape[-1]
    if not 1 <= k <= size:
        raise ValueError(f"k must lie between 1 and the {size} samples, got {k}")
    i = torch.arange(1, size, dtype=torch.float64, device=values.device)
    ratio = ((size - i - k + 1) / (size - i)).clamp(min=0)  # weight i+1 over weight i
    return errors @ torch.cat([ratio.new_tensor([k / size]), ratio]).cumprod(0)


def point_scores(prediction: Tensor, z: Tensor) -> dict[str, float]:
    """R², RMSE, MAE and Spearman's rank correlation of predictions (N,) of z (N,).

    A constant prediction ranks nothing: its Spearman is 0. Where z itself is constant
    (or a single row) R² and Spearman have no meaning and are nan.
    """
    prediction = _finite("prediction", prediction)
    if prediction.ndim != 1 or len(prediction) == 0:
        raise ValueError(
            f"prediction must have shape (N,), N ≥ 1, got {tuple(prediction.shape)}"
        )
    z = _targets(z, len(prediction)).cpu().numpy()
    prediction = prediction.cpu().numpy()
    varied = np.ptp(z) > 0
    ranked = varied and np.ptp(prediction) > 0
    spearman = spearmanr(z, prediction).statistic if ranked else 0.0
    return {
        "r2": float(r2_score(z, prediction)) if varied else float("nan"),
        "rmse": float(root_mean_squared_error(z, prediction)),
        "mae": float(mean_absolute_error(z, prediction)),
        "spearman": float(spearman) if varied else float("nan"),
    }


def expected_sample_scores(
    values: Tensor, z: Tensor, weights: Tensor | None = None
) -> dict[str, float]:
    """R², RMSE and MAE expected of ONE sample drawn for each row (k = 1), exactly.

    Averages the squared and absolute errors over the distribution, nothing is drawn:
    the RMSE is the root of the expected squared error, (E ẑ − z)² + Var ẑ in each
    row. R² is nan where z is constant.
    """
    values, weights = _distribution(values, weights)
    z = _targets(z, len(values))
    if len(z) == 0:
        raise ValueError("values has no rows: there is nothing to score")
    error = values - z[:, None]
    mse = (weights * error.square()).sum(-1).mean().item()
    mae = (weights * error.abs()).sum(-1).mean().item()
    variance = z.var(correction=0).item()
    varied = z.max() > z.min() and variance > 0  # a tiny spread has the square 0
    r2 = 1 - mse / variance if varied else float("nan")
    return {"r2": r2, "rmse": mse**0.5, "mae": mae}


def nll(log_prob: Tensor) -> float:
    """Mean negative log-likelihood, nats per row, of log-probabilities (N,).

    Raises ValueError for NaN and for −∞, the mark of a string that cannot be emitted.
    """
    log_prob = _finite("log_prob", log_prob)
    if log_prob.ndim != 1 or len(log_prob) == 0:
        raise ValueError(f"log_prob must be (N,), N ≥ 1, got {tuple(log_prob.shape)}")
    return -log_prob.mean().item()


def distribution_scores(
    values: Tensor, z: Tensor, weights: Tensor | None = None
) -> dict[str, float]:
    """Every score of predictive distributions against z (N,), in z units.

    Keys: ``{r2,rmse,mae}_k1``, expected of one sample;
    ``{r2,rmse,mae,spearman}_{mean,median}``, of the aggregated distribution; ``crps``.
    A point prediction is a distribution of one value: pass it as (N, 1).
    """
    one = expected_sample_scores(values, z, weights)
    mean = point_scores(weighted_mean(values, weights), z)
    median = point_scores(weighted_median(values, weights), z)
    return {
        **{f"{name}_k1": score for name, score in one.items()},
        **{f"{name}_mean": score for name, score in mean.items()},
        **{f"{name}_median": score for name, score in median.items()},
        "crps": crps(values, z, weights).mean().item(),
    }
