"""Draw the pictures that no notebook makes: digit-tree.svg and roadmap.svg.

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
from genre2_mini.plotting import PALETTE, book_style, digit_tree, roadmap

ASSETS = Path(__file__).resolve().parents[1] / "assets"
TRUTH = 0.47
TEMPERATURE = 0.01
VALUES = (np.arange(16) + 0.5) / 16  # the middles of 16 cells of [0, 1]


def toy_policy() -> np.ndarray:
    """A bump at the truth, one a wrong first digit away, and some noise."""
    bumps = np.exp(-((VALUES - TRUTH) ** 2) / 0.012)
    bumps += 0.55 * np.exp(-((VALUES - TRUTH - 0.375) ** 2) / 0.006) + 0.06
    return bumps / bumps.sum()


def after_reward(policy: np.ndarray) -> np.ndarray:
    """The policy tilted by the negative squared error of the whole number."""
    tilted = policy * np.exp(-((VALUES - TRUTH) ** 2) / TEMPERATURE)
    return tilted / tilted.sum()


def draw_trees() -> plt.Figure:
    """The toy policy before and after the reward, side by side."""
    before = toy_policy()
    after = after_reward(before)
    fig, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.8), sharey=True)
    digit_tree(before, VALUES, 2, TRUTH, left, PALETTE["CE"])
    digit_tree(after, VALUES, 2, TRUTH, right, PALETTE["ReMax"])
    far = 100 * before[VALUES > 0.625].sum()
    left.set_title(f"digit by digit: {far:.0f}% far off")
    right.set_title("after a reward on the number")
    for ax in (left, right):
        ax.set(xlabel="number written", xlim=(0, 1))
    right.set_ylabel("")
    return fig


def main() -> None:
    book_style()
    figures = {"digit-tree": draw_trees(), "roadmap": roadmap()}
    for name, figure in figures.items():
        path = ASSETS / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
