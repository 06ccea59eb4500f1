"""Draw ``book/assets/digit-tree.svg``, the picture of README and landing page.

    python book/tools/draw_picture.py

Nothing is trained: a made-up policy over four binary digits stands on the
left, and on the right is what a reward on the whole number makes of it:
π(t) · exp(r(t) / τ), the policy of highest reward that stays close to π.
"""

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy as np

PICTURE = Path(__file__).resolve().parents[1] / "assets" / "digit-tree.svg"
DIGITS = 4
TRUTH = 0.47
TEMPERATURE = 0.01
# Safe for colour-blind readers.
BLUE, ORANGE, GREY = "#0072b2", "#e69f00", "#9aa5b1"


def leaf_values() -> np.ndarray:
    """What the 16 strings spell: the middles of 16 cells of [0, 1]."""
    return (np.arange(2**DIGITS) + 0.5) / 2**DIGITS


def toy_policy() -> np.ndarray:
    """A bump at the truth, one a wrong first digit away, and some noise."""
    values = leaf_values()
    bumps = np.exp(-((values - TRUTH) ** 2) / 0.012)
    bumps += 0.55 * np.exp(-((values - TRUTH - 0.375) ** 2) / 0.006) + 0.06
    return bumps / bumps.sum()


def after_reward(policy: np.ndarray) -> np.ndarray:
    """The policy tilted by the negative squared error of the whole number."""
    tilted = policy * np.exp(-((leaf_values() - TRUTH) ** 2) / TEMPERATURE)
    return tilted / tilted.sum()


def draw_tree(ax, policy: np.ndarray, title: str) -> None:
    """Every prefix a point, every digit a line as thick as it is likely."""
    for depth in range(DIGITS):
        width = 2 ** (DIGITS - depth - 1)  # leaves below a child
        mass = policy.reshape(-1, width).sum(axis=1)
        child = (np.arange(len(mass)) + 0.5) / len(mass)
        parent = (np.arange(len(mass)) // 2 + 0.5) / (len(mass) // 2)
        for x0, x1, share in zip(parent, child, mass, strict=True):
            ax.plot(
                [x0, x1], [-depth, -depth - 1], color=GREY, lw=0.6, zorder=1
            )
            ax.plot(
                [x0, x1],
                [-depth, -depth - 1],
                color=BLUE,
                lw=11 * share,
                zorder=2,
                solid_capstyle="round",
            )
    ax.bar(
        leaf_values(), -4.5 * policy, 0.045, bottom=-DIGITS - 0.15, color=BLUE
    )
    ax.axvline(TRUTH, ymax=0.45, color=ORANGE, lw=2, ls="--", zorder=0)
    ax.text(
        TRUTH, -DIGITS - 2.05, "truth", color="#8a5f00", ha="center", va="top"
    )
    ax.set_title(title, fontsize=11)
    ax.set(xlim=(0, 1), ylim=(-DIGITS - 2.0, 0.2))
    ax.axis("off")


def main() -> None:
    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "digit-tree",
        "font.size": 10,
    }
    policy = toy_policy()
    spread = 100 * policy[leaf_values() > 0.625].sum()
    with matplotlib.rc_context(style):
        figure, axes = plt.subplots(
            1, 2, figsize=(8.4, 3.6), facecolor="white"
        )
        draw_tree(
            axes[0],
            policy,
            f"digit by digit: {spread:.0f}% of the numbers far off",
        )
        draw_tree(
            axes[1], after_reward(policy), "after a reward on the whole number"
        )
        figure.savefig(PICTURE, bbox_inches="tight", metadata={"Date": None})
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
