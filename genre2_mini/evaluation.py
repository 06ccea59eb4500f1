"""Scores of any model that can draw values: policies and heads alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genre2_mini.metrics import (
    crps,
    expected_sample_scores,
    point_scores,
    weighted_mean,
    weighted_median,
)
from genre2_mini.tasks import Split

STRINGS_AT_ONCE = 2**15  # bounds the memory of an evaluation, whatever its rows


def predict_values(
    model: nn.Module, x: Tensor, num_samples: int = 128, seed: int = 0
) -> Tensor:
    """Sampled values of every row: x (N, …) -> (N, S) float64 in z units, on the CPU.

    A head that predicts a point returns S = 1. Rows are read in chunks, so memory
    does not grow with N beyond the answer itself.
    """
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    chunks = x.split(max(1, STRINGS_AT_ONCE // num_samples))
    values = [model.sample_values(c.to(device), num_samples, generator) for c in chunks]
    return torch.cat(values).cpu()


def evaluate(
    model: nn.Module, split: Split, num_samples: int = 128, seed: int = 0
) -> dict[str, float]:
    """Scores in z units of ``num_samples`` strings a row, drawn at temperature 1.

    Keys: ``{r2,rmse,mae}_k1``, the expected score of one sample;
    ``{r2,rmse,mae,spearman}_{mean,median}``, of the aggregated samples; ``crps``.
    """
    values = predict_values(model, split.x, num_samples, seed)
    one = expected_sample_scores(values, split.z)
    mean = point_scores(weighted_mean(values), split.z)
    median = point_scores(weighted_median(values), split.z)
    return {
        **{f"{name}_k1": score for name, score in one.items()},
        **{f"{name}_mean": score for name, score in mean.items()},
        **{f"{name}_median": score for name, score in median.items()},
        "crps": crps(values, split.z).mean().item(),
    }
