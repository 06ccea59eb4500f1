"""Quickstart: bias and spread, coverage, a baseline, and what a sample is worth."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from genre2_mini.exercises import exercise, require, require_close


@exercise
def check_bias_and_spread(answer: Callable) -> None:
    """``answer(values, z)``: mean squared bias and mean variance of (N, S) values."""
    values = torch.tensor([[0.0, 2.0], [1.0, 5.0]])
    z = torch.tensor([2.0, 3.0])
    parts = answer(values, z)
    require(parts is not None, "it returned None: return two numbers")
    require(len(parts) == 2, f"it returned {len(parts)} things, wanted two numbers")
    bias, spread = map(float, parts)
    require(abs(spread - 5.0) > 1e-6, "divide the variance by S, not by S − 1")
    require(
        abs(bias - 0.25) > 1e-6,
        "the bias of each row is squared before rows are averaged",
    )
    require_close(bias, 0.5, "bias² of two toy rows")
    require_close(spread, 2.5, "spread of two toy rows")
    values = torch.randn(7, 9, generator=torch.Generator().manual_seed(0)).double()
    z = values[:, 0]
    whole = (values - z[:, None]).square().mean()
    require_close(sum(answer(values, z)), whole, "bias² + spread")


@exercise
def check_coverage(answer: Callable) -> None:
    """``answer(values, z)``: share of rows within the 5% to 95% quantiles."""
    values = torch.arange(100.0).expand(4, 100)
    share = answer(values, torch.tensor([-1.0, 4.0, 50.0, 97.0]))
    require_close(share, 0.5, "coverage of four toy rows")
    rows = torch.stack([torch.arange(100.0), torch.arange(100.0) + 1000])
    share = answer(rows, torch.tensor([50.0, 50.0]))
    require_close(share, 0.5, "coverage where each row has its own interval")


@exercise
def check_leave_one_out(answer: Callable) -> None:
    """``answer(reward)``: (N, S) rewards minus the mean of the others of the row."""
    reward = torch.tensor([[-1.0, -3.0, -8.0], [-2.0, -2.0, -2.0]])
    advantage = answer(reward)
    require(advantage is not None, "it returned None: return the advantage (N, S)")
    mean_of_all = reward - reward.mean(dim=1, keepdim=True)
    require(
        not _equal(advantage, mean_of_all),
        "this subtracts the mean of all samples: leave the sample itself out",
    )
    want = torch.tensor([[4.5, 1.5, -6.0], [0.0, 0.0, 0.0]])
    require(not _equal(advantage, -want), "the sign: a good string has A > 0")
    require_close(advantage, want, "advantage of two toy rows")


@exercise
def check_samples_needed(answer: Callable) -> None:
    """``answer(bias, spread, mse)``: smallest S whose mean has at most this error."""
    require_close(answer(0.5, 8.0, 1.0), 16, "samples for 0.5 + 8/S ≤ 1")
    require_close(answer(0.0, 1.0, 0.3), 4, "samples for 1/S ≤ 0.3 (a whole number)")
    require_close(answer(0.1, 0.2, 5.0), 1, "samples where one is good enough")
    require(
        answer(1.0, 1.0, 0.5) == math.inf,
        "no number of samples removes the bias: return math.inf where mse ≤ bias",
    )


def _equal(got: object, want: Tensor) -> bool:
    got = torch.as_tensor(got)
    return got.shape == want.shape and torch.allclose(got, want)
