"""Scores of any model that predicts a distribution: policies and heads alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from genre2_mini.metrics import distribution_scores
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rollouts import tree_rollout
from genre2_mini.tasks import Split

STRINGS_AT_ONCE = 2**15  # bounds the memory of an evaluation, whatever its rows


@torch.no_grad()
def predict_distribution(
    model: nn.Module, x: Tensor, num_samples: int = 128, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Each row's predictive distribution, as weighted values on the CPU.

    A policy is sampled ``num_samples`` times a row; equal samples are one value with
    their share as its weight. Rows with fewer distinct values are filled up with
    weight 0. A head answers with the distribution it has.

    Returns
    -------
    values, weights : both (N, L) float64; values in z units, weights sum to one.
    """
    device = next(model.parameters()).device
    if not isinstance(model, DecodingPolicy):
        values, weights = model.predict_distribution(x.to(device))
        return values.cpu(), weights.cpu()
    if len(x) == 0:
        return (torch.empty(0, num_samples).double(),) * 2
    generator = torch.Generator(device).manual_seed(seed)
    values, shares, sizes = [], [], []
    for chunk in x.split(max(1, STRINGS_AT_ONCE // num_samples)):
        rollout = tree_rollout(
            model, chunk.to(device), num_samples, generator=generator
        )
        values.append(model.tokenizer.decode(rollout.tokens).cpu())
        shares.append(rollout.count.cpu().double() / num_samples)
        sizes += rollout.owner.bincount(minlength=len(chunk)).tolist()
    rows = [torch.cat(part).split(sizes) for part in (values, shares)]
    values, weights = (pad_sequence(list(part), batch_first=True) for part in rows)
    # Fill with a row's first value, so that no value stands out that has no weight.
    return torch.where(weights > 0, values, values[:, :1]), weights


def evaluate(
    model: nn.Module, split: Split, num_samples: int = 128, seed: int = 0
) -> dict[str, float]:
    """Scores of ``num_samples`` strings a row at temperature 1, in z units.

    The keys are those of :func:`genre2_mini.metrics.distribution_scores`.
    """
    values, weights = predict_distribution(model, split.x, num_samples, seed)
    return distribution_scores(values, split.z, weights)
