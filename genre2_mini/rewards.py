"""Rewards: what a finished string is worth once it is a number.

Each takes ``values`` ẑ, (N, S) samples of each row or (N,), and true targets ``z``
(N,), and returns one number for each value: same shape, float dtype and device. It
raises ValueError where z is not one target for each row of values.

**Pulls to** names the statistic a reward asks for: the answer v that maximises
E[r(v, z)] over the targets z of one input. The policy of the largest expected reward
puts all its probability there.

With D targets, z (N, D), the reward of a string is the sum of D such rewards.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

MAX_KNOTS = 1000


def _aligned(values: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """Values as they are, and z with a trailing axis for the samples of a row."""
    values, z = torch.as_tensor(values), torch.as_tensor(z)
    if z.shape != values.shape[: z.ndim]:
        raise ValueError(
            f"z must hold one target for each row of values {tuple(values.shape)}, "
            f"got shape {tuple(z.shape)}"
        )
    trailing = (1,) * (values.ndim - z.ndim)
    return values, z.reshape(z.shape + trailing)


def _error(values: Tensor, z: Tensor) -> Tensor:
    values, z = _aligned(values, z)
    return values - z


def _check_positive(name: str, value: float, unit: str) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and 0 < value < math.inf):  # NaN fails every comparison
        raise ValueError(
            f"{name} must be a finite number above 0, in {unit}, got {value!r}"
        )


def squared_error_reward(values: Tensor, z: Tensor) -> Tensor:
    """r = −(ẑ − z)², in squared units of z, the reward of GenRe² (arXiv 2512.06533).

    **Pulls to** the mean.

    Parameters
    ----------
    values : (N, S) samples of each row, or (N,).
    z : (N,) true targets.

    Returns
    -------
    Rewards of the shape of ``values``, 0 at best.

    Raises
    ------
    ValueError : z is not one target for each row of values.
    """
    return -_error(values, z).square()


def absolute_error_reward(values: Tensor, z: Tensor) -> Tensor:
    """r = −|ẑ − z|, in units of z, 0 at best. **Pulls to** the median.

    Shapes and errors are those of :func:`squared_error_reward`.
    """
    return -_error(values, z).abs()


@dataclass(frozen=True)
class GaussianKernelReward:
    """r = exp(−(ẑ − z)² / (2 width²)), no unit, in (0, 1]; ``width`` in units of z.

    **Pulls to** the mode of the density of z smoothed by a Gaussian of that width: the
    mode itself as the width falls, the mean as it grows.
    """

    width: float = 0.5

    def __post_init__(self) -> None:
        _check_positive("width", self.width, "units of z")

    def __call__(self, values: Tensor, z: Tensor) -> Tensor:
        return (-(_error(values, z) / self.width).square() / 2).exp()


@dataclass(frozen=True)
class ClippedReward:
    """r = −min((ẑ − z)², limit), in [−limit, 0]; both in squared units of z.

    **Pulls to** an answer that is the mean of the targets within √limit of it, a fixed
    point of the mean shift: near the mode for a small limit, the mean for a large one.
    """

    limit: float = 1.0

    def __post_init__(self) -> None:
        _check_positive("limit", self.limit, "squared units of z")

    def __call__(self, values: Tensor, z: Tensor) -> Tensor:
        return -_error(values, z).square().clamp(max=self.limit)


@dataclass(frozen=True)
class RelativeErrorReward:
    """r = −((ẑ − z) / max(|z|, floor))², the squared relative error, 0 at best.

    ``floor``, in units of z, keeps r finite where z is 0. **Pulls to** the mean
    weighted by 1/max(|z|, floor)²: nearer to 0 than the mean if z has one sign.
    """

    floor: float = 0.1

    def __post_init__(self) -> None:
        _check_positive("floor", self.floor, "units of z")

    def __call__(self, values: Tensor, z: Tensor) -> Tensor:
        values, z = _aligned(values, z)
        return -((values - z) / z.abs().clamp(min=self.floor)).square()


@dataclass(frozen=True)
class ToleranceReward:
    """r = 1 where |ẑ − z| ≤ tolerance, in units of z, else 0.

    **Pulls to** the centre of the window of width 2·tolerance that holds the most
    probability. All misses are alike: without a hit there is nothing to learn from.
    """

    tolerance: float = 0.1

    def __post_init__(self) -> None:
        _check_positive("tolerance", self.tolerance, "units of z")

    def __call__(self, values: Tensor, z: Tensor) -> Tensor:
        error = _error(values, z)
        return (error.abs() <= self.tolerance).to(error.dtype)


@dataclass(frozen=True)
class TrainMap:
    """A rising map of targets: linear between train targets, flat beyond the ends.

    The digest is that of all train targets: it tells two fits apart by their repr.
    """

    knots: tuple[float, ...] = field(repr=False)
    heights: tuple[float, ...] = field(repr=False)
    digest: str

    @classmethod
    def fit(cls, z_train: Tensor, height: Callable[[Tensor], Tensor]) -> TrainMap:
        """Send each train target z (N,) to ``height`` of its mid-rank.

        The mid-rank, within (0, 1), is the share of targets below z plus half the
        share equal to it. ``MAX_KNOTS`` distinct targets at most are kept, which moves
        the map by less than 1/499 of its range. Raises ValueError for NaN, infinity,
        or fewer than two different targets.
        """
        z = torch.as_tensor(z_train).detach().cpu().double()
        if z.ndim != 1 or not z.isfinite().all():
            raise ValueError(
                "z_train must have shape (N,) without NaN or infinity, got shape "
                f"{tuple(z.shape)} with {(~z.isfinite()).sum().item()} of them"
            )
        knots, counts = z.unique(return_counts=True)
        if len(knots) < 2:
            raise ValueError(
                "z_train must hold two different targets or more: pass all train "
                f"targets, got {len(z)} with {len(knots)} different"
            )
        counts = counts.double()
        heights = height((counts.cumsum(0) - counts / 2) / len(z))
        if len(knots) > MAX_KNOTS:
            low, high = heights[0].item(), heights[-1].item()
            levels = torch.linspace(low, high, MAX_KNOTS // 2, dtype=heights.dtype)
            above = torch.searchsorted(heights, levels).clamp(1, len(knots) - 1)
            keep = torch.cat([above - 1, above]).unique()  # both sides of every jump
            knots, heights = knots[keep], heights[keep]
        digest = hashlib.sha256(z.sort().values.numpy().tobytes()).hexdigest()[:12]
        return cls(tuple(knots.tolist()), tuple(heights.tolist()), digest)

    def __call__(self, z: Tensor) -> Tensor:
        """Heights of the shape and float dtype of z."""
        z = torch.as_tensor(z)
        x = z.double().contiguous()
        knots, heights = x.new_tensor(self.knots), x.new_tensor(self.heights)
        right = torch.searchsorted(knots, x).clamp(1, len(knots) - 1)
        left = right - 1
        weight = ((x - knots[left]) / (knots[right] - knots[left])).clamp(0, 1)
        height = torch.lerp(heights[left], heights[right], weight)
        return height.to(torch.result_type(z, 1.0))


@dataclass(frozen=True)
class QuantileReward:
    """r = −min((q(ẑ) − q(z))², limit), in [−limit, 0]; in squared normal scores.

    The quantile space is fitted on train: q sends its targets to the quantiles of
    N(0, 1), as the release of GenRe² (arXiv 2512.06533) does for code metrics. Make
    one with :meth:`fit`. **Pulls to** q⁻¹(E q(z)) where nothing is clipped.
    """

    q: TrainMap
    limit: float = 50.0

    def __post_init__(self) -> None:
        _check_positive("limit", self.limit, "squared normal scores")

    @classmethod
    def fit(cls, z_train: Tensor, limit: float = 50.0) -> QuantileReward:
        """Fit q on train targets (N,); ValueError as in :meth:`TrainMap.fit`."""
        return cls(TrainMap.fit(z_train, torch.special.ndtri), limit)

    def __call__(self, values: Tensor, z: Tensor) -> Tensor:
        return -_error(self.q(values), self.q(z)).square().clamp(max=self.limit)


@dataclass(frozen=True)
class RankReward:
    """r = −|F(ẑ) − F(z)|, F the empirical CDF of the train targets; in (−1, 0].

    Make one with :meth:`fit`. **Pulls to** the median: a monotone map keeps it.
    """

    cdf: TrainMap

    @classmethod
    def fit(cls, z_train: Tensor) -> RankReward:
        """Fit F on train targets (N,); ValueError as in :meth:`TrainMap.fit`."""
        return cls(TrainMap.fit(z_train, lambda rank: rank))

    def __call__(self, values: Tensor, z: Tensor) -> Tensor:
        return -_error(self.cdf(values), self.cdf(z)).abs()


def summed_over_targets(
    reward: Callable[[Tensor, Tensor], Tensor], values: Tensor, z: Tensor
) -> Tensor:
    """r of each string; of strings with D targets Σ_d r(ẑ_d, z_d), each on its own.

    z (N,) goes with values (N, S) or (N,), z (N, D) with (N, S, D) or (N, D); rewards
    are (N, S) or (N,). Raises ValueError where values do not hold the D targets of z.
    """
    if z.ndim < 2:
        return reward(values, z)
    if values.shape[-1] != z.shape[-1]:
        raise ValueError(
            f"z {tuple(z.shape)} has {z.shape[-1]} targets a row, values have shape "
            f"{tuple(values.shape)}: use a ConcatenatedTokenizer of {z.shape[-1]} parts"
        )
    targets = zip(values.unbind(-1), z.unbind(-1), strict=True)
    return torch.stack([reward(*target) for target in targets]).sum(dim=0)
