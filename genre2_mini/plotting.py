"""The book's figures: one style, one palette, and the drawings used twice."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

# One colour a method through the whole book: the colour-blind-safe sets of Okabe and
# Ito and, for the later ones, of Paul Tol.
PALETTE = {
    "CE": "#0072B2",
    "ReMax": "#D55E00",
    "GenRe²": "#CC79A7",
    "REINFORCE": "#56B4E9",
    "GRPO": "#E69F00",
    "PPO": "#8C6D1F",
    "RLOO": "#117733",
    "Dr. GRPO": "#44AA99",
    "Expert alone": "#882255",
    "CRPS": "#661100",
    "Exact gradient": "#332288",
    "NTL-MSE": "#6699CC",
    "NTL-WAS": "#AA4499",
    "DIST²": "#999933",
    "Pointwise": "#009E73",
    "Histogram": "#66A61E",
    "Boosting": "#6B6B6B",
    "Random forest": "#A6A6A6",
    "Truth": "#000000",
}
STAGES = {
    "numbers": "Numbers\nas digits",
    "network": "A network\nwrites digits",
    "cross-entropy": "Cross-entropy\ncopies digits",
    "decisions": "Each digit\nis a decision",
    "reward": "The number\nearns a reward",
    "evaluation": "Held-out rows\nare the judge",
}


def book_style() -> None:
    """Set the book's look: white ground (legible in dark mode), vector figures."""
    sns.set_theme(
        context="notebook",
        style="ticks",
        rc={
            "figure.figsize": (7.0, 3.6),
            "figure.constrained_layout.use": True,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": "medium",
            "legend.frameon": False,
            "font.size": 11,
            "svg.hashsalt": "genre2",  # the same figure is the same file
        },
    )
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # outside a notebook
        return
    set_matplotlib_formats("svg")


def glue(name: str, value: object) -> None:
    """Give the book's prose a number by name; nothing happens outside the book."""
    try:
        from myst_nb import glue as keep
    except ImportError:  # Colab or a plain Jupyter
        return
    if hasattr(value, "item"):  # the prose formats plain numbers only
        value = value.item()
    keep(name, value, display=False)


def roadmap(stage: str | None = None) -> Figure:
    """The book in six boxes, the current ``stage`` lit (None lights none).

    Raises
    ------
    ValueError : ``stage`` is not a key of ``STAGES``.
    """
    if stage is not None and stage not in STAGES:
        raise ValueError(f"stage={stage!r} must be one of {list(STAGES)}")
    fig, ax = plt.subplots(figsize=(7.0, 2.3))
    ax.set(xlim=(-0.55, 2.55), ylim=(-0.45, 1.45))
    ax.axis("off")
    for i, (name, text) in enumerate(STAGES.items()):
        column, row = i % 3, 1 - i // 3
        lit = name == stage
        box = FancyBboxPatch(
            (column - 0.38, row - 0.26),
            0.76,
            0.52,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=PALETTE["CE"] if lit else "#EEF2F6",
            edgecolor=PALETTE["CE"],
        )
        ax.add_patch(box)
        ax.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=12,
            color="white" if lit else "#1F2933",
        )
        if column < 2:
            _arrow(ax, (column + 0.39, row), (column + 0.61, row))
    _arrow(ax, (2, 0.72), (0, 0.28))
    return fig


def _arrow(ax: Axes, start: tuple, end: tuple) -> None:
    """A plain arrow between two points in data units."""
    style = {"arrowstyle": "-|>", "color": "#52606D", "lw": 1.2}
    ax.annotate("", xy=end, xytext=start, arrowprops=style)


def digit_tree(
    probabilities: np.ndarray,
    values: np.ndarray,
    base: int,
    truth: float | None = None,
    ax: Axes | None = None,
    color: str = PALETTE["CE"],
) -> Axes:
    """Draw the tree of all digit strings, branches as wide as they are likely.

    Parameters
    ----------
    probabilities, values : (B^K,) probability and value of each string, in
        lexicographic order.
    base : B, children of each node.
    truth : a value to mark on the axis.
    """
    ax = ax if ax is not None else plt.gca()
    level_p, level_x = np.asarray(probabilities, float), np.asarray(values, float)
    num_digits = round(np.log(len(level_p)) / np.log(base))
    step = np.ptp(values) / (len(level_x) - 1)
    ax.bar(level_x, -level_p / level_p.max(), 0.8 * step, color=color, alpha=0.9)
    for depth in range(num_digits, 0, -1):
        parent_p = level_p.reshape(-1, base).sum(1)
        parent_x = level_x.reshape(-1, base).mean(1)
        for i, (p, x) in enumerate(zip(level_p, level_x, strict=True)):
            ax.plot(
                [parent_x[i // base], x],
                [num_digits - depth + 1, num_digits - depth],
                color=color if p > 0.01 else "#C5CED8",
                lw=0.6 + 7 * p,
                solid_capstyle="round",
                zorder=2 if p > 0.01 else 1,
            )
        level_p, level_x = parent_p, parent_x
    if truth is not None:
        ax.axvline(truth, color=PALETTE["Truth"], ls=":", lw=1.5, zorder=3)
    ax.set(ylim=(-1.15, num_digits + 0.2), xlabel="value (z)")
    ax.set_yticks(
        range(num_digits + 1), [f"{num_digits - i}" for i in range(num_digits + 1)]
    )
    ax.set_ylabel("digits written")
    return ax
