"""Probability ratios of two policies: PPO's clip, and what KL they imply."""

from __future__ import annotations

import torch
from torch import Tensor


def clipped_surrogate(
    log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip: float
) -> Tensor:
    """min(ρA, clip(ρ, 1−ε, 1+ε)A), ρ = π/π_old (Schulman et al. 2017, equation 7).

    The gain stops where a step would move π further than ε from π_old in the direction
    of the advantage; while π = π_old, ρ = 1 and the gradient is A ∇log π. Arguments
    of one shape; ``clip`` is ε.
    """
    ratio = (log_prob - old_log_prob).exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)


def clip_fraction(log_prob: Tensor, old_log_prob: Tensor, clip: float) -> Tensor:
    """1 where |ρ − 1| > ε, else 0; its mean says how often the clip is reached."""
    return ((log_prob - old_log_prob).exp() - 1).abs().gt(clip).to(log_prob.dtype)


def kl_k3(log_prob: Tensor, other: Tensor) -> Tensor:
    """ρ − 1 − log ρ with ρ = π'/π: never negative, and E over t ~ π is KL(π ‖ π').

    Schulman's third estimator (joschu.net/blog/kl-approx.html), used by GRPO (arXiv
    2402.03300, equation 4). ``log_prob`` is of π, which the samples come from.
    """
    log_ratio = other - log_prob
    return log_ratio.expm1() - log_ratio
