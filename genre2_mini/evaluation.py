"""Scores of any model that can draw values: policies and heads alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genre2_mini.metrics import distribution_scores
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
    """Scores of ``num_samples`` strings a row at temperature 1, in z units.

    The keys are those of :func:`genre2_mini.metrics.distribution_scores`.
    """
    values = predict_values(model, split.x, num_samples, seed)
    return distribution_scores(values, split.z)
