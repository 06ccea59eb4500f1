"""A policy's predictive distributions in detail: sharp, true, honest?

What a run of a study records where its spec has ``detail``. Everything is of all
strings with their probabilities, up to branches less likely than one in a million; no
sample is drawn. In z units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genre2_mini.evaluation import predict_distribution
from genre2_mini.experiments.calibration import (
    central_width,
    coverage,
    exact_distribution,
    probability_below,
)
from genre2_mini.experiments.sample_curves import sample_curves
from genre2_mini.metrics import crps, nll, weighted_mean
from genre2_mini.policy import DecodingPolicy
from genre2_mini.tasks import Split
from genre2_mini.transformer import evaluating

ROWS = 256  # of the validation rows, at most: they are looked at often
AT_ONCE = 64  # rows whose strings are enumerated together
KS = (1, 2, 4, 8, 16, 32, 64, 128)
LEVELS = (0.5, 0.8, 0.9, 0.95)  # of central intervals
BINS = 10  # of the probability integral transform

Laws = tuple[Tensor, Tensor, Tensor]  # values, weights (N, V), log-probability (N,)


def laws_of(policy: DecodingPolicy, split: Split, temperature: float = 1.0) -> Laws:
    """Each row's distribution, and log π of its true string in nats.

    Returns
    -------
    values, weights (N, V) and log_prob (N,), float64 on the CPU.
    """
    device = next(policy.parameters()).device
    x, truth = split.x.to(device), policy.tokenizer.encode(split.z).to(device)
    if temperature == 1:
        values, weights = predict_distribution(policy, x, num_samples=None)
        with evaluating(policy):
            return values, weights, policy.log_prob(x, truth).double().cpu()
    parts = [exact_distribution(policy, rows, temperature) for rows in x.split(AT_ONCE)]
    values, weights = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    nearest = policy.tokenizer.decode(truth).cpu()[:, None]
    index = (values - nearest).abs().argmin(dim=-1, keepdim=True)
    return values, weights, weights.gather(-1, index)[:, 0].log()


@torch.no_grad()
def detail_of_validation(policy: DecodingPolicy, split: Split) -> dict[str, float]:
    """``shape`` of the first ``ROWS`` validation rows, names with ``valid_``."""
    rows = Split(split.x[:ROWS], split.z[:ROWS])
    found = shape(*laws_of(policy, rows), rows.z)
    return {f"valid_{name}": score for name, score in found.items()}


@torch.no_grad()
def detail_on_test(policy: DecodingPolicy, split: Split, scores: dict) -> dict:
    """``detail``, and ``detail_cooled`` for each choice of a temperature in ``scores``.

    Parameters
    ----------
    scores : of ``scores_on_test``; ``cooled`` in it has the temperatures chosen on the
        validation rows.
    """
    cooled = {name: s["temperature"] for name, s in scores.get("cooled", {}).items()}
    at: dict[float, dict] = {}
    for temperature in {1.0, *cooled.values()}:
        laws = laws_of(policy, split, temperature)
        at[temperature] = {"temperature": temperature} | detail_of_laws(
            *laws, split.z, policy.tokenizer.resolution
        )
    found = {name: at[temperature] for name, temperature in cooled.items()}
    return {"detail": at[1.0], "detail_cooled": found}


def detail_of_laws(
    values: Tensor, weights: Tensor, log_prob: Tensor, z: Tensor, width: float
) -> dict:
    """Everything of some laws: ``shape``, ``honesty``, and ``curves`` over k."""
    curves = sample_curves(values, weights, z, KS)
    honest = honesty(values, weights, z, width)
    return shape(values, weights, log_prob, z) | honest | {"curves": curves}


def shape(
    values: Tensor, weights: Tensor, log_prob: Tensor, z: Tensor
) -> dict[str, float]:
    """Means over rows: where the laws are, how wide, and what they say of the truth.

    ``bias2`` and ``spread``, whose sum is the squared error of one sample; ``crps``;
    ``nll`` and ``entropy`` in nats; ``distinct_S``, strings expected among S samples.
    """
    mean = weighted_mean(values, weights)
    distinct = {f"distinct_{s}": expected_distinct(weights, s) for s in (16, 128)}
    rows: dict[str, Tensor] = {
        "bias2": (mean - z).square(),
        "spread": (weights * (values - mean[:, None]).square()).sum(dim=-1),
        "crps": crps(values, z, weights),
        "entropy": -torch.special.xlogy(weights, weights).sum(dim=-1),
        **distinct,
    }
    return {name: row.mean().item() for name, row in rows.items()} | {
        "nll": nll(log_prob)
    }


def expected_distinct(weights: Tensor, num_samples: int) -> Tensor:
    """Different strings (N,) expected among S samples: Σ_v 1 − (1 − p_v)^S."""
    return (1 - (1 - weights).clamp(min=0).pow(num_samples)).sum(dim=-1)


def honesty(
    values: Tensor, weights: Tensor, z: Tensor, width: float
) -> dict[str, float]:
    """Share of truths in the central intervals, how wide these are, and F(z) in bins.

    Parameters
    ----------
    width : of the cell that each value stands for.

    Returns
    -------
    ``coverage_L`` and ``width_L`` for each level L in per cent, ``pit_1`` … in shares
    of the rows: an honest law has all of them alike.
    """
    below = probability_below(values, weights, z, width)
    found = {}
    for level in LEVELS:
        name = f"{100 * level:.0f}"
        found[f"coverage_{name}"] = coverage(below, level)
        found[f"width_{name}"] = central_width(values, weights, width, level)
    bins = torch.histc(below, BINS, min=0, max=1) / len(below)
    return found | {f"pit_{i}": b.item() for i, b in enumerate(bins, 1)}
