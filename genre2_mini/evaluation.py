"""Scores of any model that predicts a distribution: policies and heads alike."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from genre2_mini.metrics import distribution_scores
from genre2_mini.policy import DecodingPolicy, check_sampling
from genre2_mini.rollouts import Rollout, tree_rollout
from genre2_mini.tasks import Split

# They bound the memory of an evaluation, whatever its rows. Evenly spread strings share
# fewer prefixes than drawn ones.
STRINGS_AT_ONCE, SPREAD_AT_ONCE = 2**15, 2**13
ROWS_AT_ONCE = 2**10  # of a head, whose encoder may hold hundreds of waves a row
ENUMERABLE = 20_000  # strings; of more than that, a prediction looks at some
EXACT, SPREAD = 2**20, 1024  # evenly spread samples: of all strings, of some


@torch.no_grad()
def predict_distribution(
    model: nn.Module, x: Tensor, num_samples: int | None = 128, seed: int | None = 0
) -> tuple[Tensor, Tensor]:
    """Each row's predictive distribution, as weighted values on the CPU.

    A policy is sampled ``num_samples`` times a row; equal samples are one value with
    their share as its weight. Rows with fewer distinct values are filled up with
    weight 0. A head answers with the distribution it has.

    Parameters
    ----------
    num_samples : None gives the distribution itself: all strings, up to branches less
        likely than one in a million; of a tokenizer with more than 20,000 strings, 1024
        evenly spread ones.
    seed : None spreads the samples evenly instead of drawing them, and a row's answer
        does not depend on the rows around it (``systematic`` in ``tree_rollout``).

    Returns
    -------
    values, weights : both (N, L) float64; values in z units, weights sum to one. With D
        targets the values are (N, L, D).
    """
    device = next(model.parameters()).device
    if not isinstance(model, DecodingPolicy):
        values, weights = predict_by_parts(model, x.to(device))
        return values.cpu(), weights.cpu()
    values, shares, sizes = [], [], []
    for rollout, rows in rollouts(model, x.to(device), num_samples, seed):
        values.append(model.tokenizer.decode(rollout.tokens).cpu())
        shares.append(rollout.count.cpu().double())
        sizes += rollout.owner.bincount(minlength=rows).tolist()
    if not sizes:
        return (torch.empty(0, 1).double(),) * 2
    rows = [torch.cat(part).split(sizes) for part in (values, shares)]
    values, weights = (pad_sequence(list(part), batch_first=True) for part in rows)
    weights /= weights.sum(dim=1, keepdim=True)
    # Fill with a row's first value, so that no value stands out that has no weight.
    filled = (weights > 0).reshape(weights.shape + (1,) * (values.ndim - 2))
    return torch.where(filled, values, values[:, :1]), weights


def predict_by_parts(head: nn.Module, x: Tensor) -> list[Tensor]:
    """A head's values and weights, ``ROWS_AT_ONCE`` rows at a time.

    They go into two tensors of their final size: small results kept between large ones
    would cut memory up.
    """
    parts = map(head.predict_distribution, x.split(ROWS_AT_ONCE))
    first = next(parts)
    whole = [p.new_empty(len(x), *p.shape[1:]) for p in first]
    places = zip(*(w.split(ROWS_AT_ONCE) for w in whole), strict=True)
    for part, place in zip(chain([first], parts), places, strict=True):
        for rows, found in zip(place, part, strict=True):
            rows.copy_(found)
    return whole


def rollouts(
    policy: DecodingPolicy, x: Tensor, num_samples: int | None, seed: int | None
) -> Iterator[tuple[Rollout, int]]:
    """Rollouts of consecutive rows of x, and how many rows each one has."""
    strings = math.prod(policy.tokenizer.vocab_sizes)
    if num_samples is None:
        num_samples, seed = (EXACT if strings <= ENUMERABLE else SPREAD), None
    systematic = seed is None
    generator = None if systematic else torch.Generator(x.device).manual_seed(seed)
    at_once = SPREAD_AT_ONCE if systematic else STRINGS_AT_ONCE
    for chunk in x.split(max(1, at_once // min(num_samples, strings))):
        yield (
            tree_rollout(
                policy, chunk, num_samples, generator=generator, systematic=systematic
            ),
            len(chunk),
        )


@torch.no_grad()
def draw_samples(
    model: nn.Module, x: Tensor, num_samples: int, seed: int = 0
) -> Tensor:
    """S = ``num_samples`` independent draws of each row, in z units, on the CPU.

    Returns
    -------
    (N, S) float64, of D targets (N, S, D).

    Raises
    ------
    ValueError : ``num_samples`` < 1.
    """
    check_sampling(num_samples, temperature=1.0)
    values, weights = predict_distribution(model, x, num_samples, seed)
    generator = torch.Generator().manual_seed(seed)
    if not isinstance(model, DecodingPolicy):
        chosen = torch.multinomial(weights, num_samples, True, generator=generator)
    else:  # each distinct string as often as it was drawn, in random order
        ends = (weights * num_samples).round().cumsum(dim=1)
        order = torch.rand(len(x), num_samples, generator=generator).argsort(dim=1)
        chosen = torch.searchsorted(ends, order.double(), right=True)
    rows = torch.arange(len(x))[:, None]
    return values[rows, chosen]


def evaluate(
    model: nn.Module, split: Split, num_samples: int | None = 128, seed: int | None = 0
) -> dict[str, float]:
    """Scores of ``num_samples`` strings a row at temperature 1, in z units.

    The keys are those of :func:`genre2_mini.metrics.distribution_scores`; with several
    targets each score is the mean of theirs. ``num_samples`` and ``seed`` may be None
    as in :func:`predict_distribution`.
    """
    values, weights = predict_distribution(model, split.x, num_samples, seed)
    if split.z.ndim == 1:
        return distribution_scores(values, split.z, weights)
    targets = zip(values.unbind(-1), split.z.unbind(-1), strict=True)
    scores = [distribution_scores(v, z, weights) for v, z in targets]
    return pd.DataFrame(scores).mean(skipna=False).to_dict()
