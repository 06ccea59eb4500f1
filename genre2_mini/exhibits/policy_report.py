"""A predictive distribution in words, numbers and one drawing, as HTML."""

from __future__ import annotations

import io
import math
from base64 import b64encode

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from genre2_mini.exhibits.numbers_table import numbers_table
from genre2_mini.metrics import weighted_mean, weighted_median, weighted_quantile
from genre2_mini.plotting import PALETTE, digit_tree
from genre2_mini.tokenizers import NormalizedTokenizer, Tokenizer
from genre2_mini.tokenizers.digits import from_digits

LEAVES = 100  # a tree of more is drawn for the first digits only
AGGREGATORS = {
    "mean": lambda values, share: weighted_mean(values[None], share[None]).item(),
    "median": lambda values, share: weighted_median(values[None], share[None]).item(),
    "mode": lambda values, share: values[share.argmax()].item(),
}


def report(
    tokenizer: Tokenizer, values: Tensor, share: Tensor, truth: float, chosen: str
) -> str:
    """What became of a row: predictions, their errors, and the distribution drawn.

    Parameters
    ----------
    values, share : (M,) different numbers, ascending, and their shares of the strings.
    chosen : the key of ``AGGREGATORS`` whose prediction is drawn.
    """
    found = {name: f(values, share) for name, f in AGGREGATORS.items()}
    rows = {"truth": {"z (std. dev.)": truth, "error": None}}
    for name, z in found.items():
        rows[name] = {"z (std. dev.)": z, "error": abs(z - truth)}
    words = (
        f"Different numbers: {len(values)}. The likeliest has {share.max():.1%}. "
        f"The {chosen} is off by {abs(found[chosen] - truth):.4g}."
    )
    figure = Figure(figsize=(7, 3.6), layout="constrained")  # not pyplot: none stays
    ax = figure.subplots()
    if isinstance(tokenizer, NormalizedTokenizer) and tokenizer.base <= LEAVES:
        _tree(ax, tokenizer, values, share)
    else:
        _shares(ax, values, share, truth)
    left, right = ax.get_xlim()
    seen = "" if left <= found[chosen] <= right else " (outside)"
    ax.axvline(truth, color=PALETTE["Truth"], ls=":", label="truth")
    ax.axvline(found[chosen], color=PALETTE["ReMax"], ls="--", label=chosen + seen)
    ax.set_xlabel("z (std. dev.)")
    figure.legend(ncols=2, loc="outside upper center")
    svg = io.BytesIO()
    figure.savefig(svg, format="svg")
    return (
        f"<p>{words}</p>{numbers_table(rows)}"
        f'<img style="max-width: 100%" alt="The distribution of the numbers. {words}" '
        f'src="data:image/svg+xml;base64,{b64encode(svg.getvalue()).decode()}">'
    )


def _tree(
    ax: Axes, tokenizer: NormalizedTokenizer, values: Tensor, share: Tensor
) -> None:
    """The digit tree, of as many first digits as can be told apart."""
    base, num_digits = tokenizer.base, tokenizer.num_digits
    depth = min(num_digits, int(math.log(LEAVES, base) + 1e-9))
    rest = base ** (num_digits - depth)  # strings behind a leaf
    leaf = from_digits(tokenizer.encode(values)[:, :depth], base)
    leaves = torch.arange(base**depth)
    middle = tokenizer.low + tokenizer.resolution * (leaves * rest + (rest - 1) / 2)
    likely = torch.bincount(leaf, share, base**depth)
    digit_tree(likely.numpy(), middle.numpy(), base, ax=ax)
    if depth < num_digits:
        ax.set_title(f"first digits: {depth} of {num_digits}")


def _shares(ax: Axes, values: Tensor, share: Tensor, truth: float) -> None:
    """The share of the numbers up to each z, around the middle 90%."""
    ax.ecdf(values.numpy(), share.numpy(), color=PALETTE["CE"])
    ends = weighted_quantile(values[None], [0.05, 0.95], share[None])[0].tolist()
    low, high = min(*ends, truth), max(*ends, truth)
    margin = (high - low) / 4 or 1.0
    ax.set(xlim=(low - margin, high + margin), ylabel="share of the numbers up to z")
