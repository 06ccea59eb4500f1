"""Figures show the numbers they are given."""

import matplotlib
import numpy as np
import pytest
import torch

matplotlib.use("agg")
import matplotlib.pyplot as plt

from genre2_mini.plotting import PALETTE, STAGES, book_style, digit_tree, glue, roadmap


@pytest.fixture(autouse=True)
def _own_figures():
    with matplotlib.rc_context():
        book_style()
        yield
    plt.close("all")


@pytest.mark.parametrize("stage", [None, *STAGES])
def test_the_roadmap_lights_the_stage_and_no_other(stage):
    [ax] = roadmap(stage).axes
    lit = matplotlib.colors.to_rgba(PALETTE["CE"])
    boxes = [patch.get_facecolor() == lit for patch in ax.patches if patch.get_fill()]
    names = [name for name, is_lit in zip(STAGES, boxes, strict=False) if is_lit]
    assert names == ([] if stage is None else [stage])


def test_an_unknown_stage_is_named():
    with pytest.raises(ValueError, match=r"stage='training' must be one of .*reward"):
        roadmap("training")


@pytest.mark.parametrize(("base", "num_digits"), [(2, 4), (3, 2)])
def test_a_digit_tree_has_every_branch_as_wide_as_it_is_likely(base, num_digits):
    size = base**num_digits
    probabilities = np.arange(1.0, size + 1)
    probabilities /= probabilities.sum()
    ax = digit_tree(probabilities, np.arange(size), base)
    widths = np.array([line.get_linewidth() for line in ax.lines])
    assert len(widths) == sum(base**k for k in range(1, num_digits + 1))
    np.testing.assert_allclose(widths[:size], 0.6 + 7 * probabilities)  # the leaves
    top = probabilities.reshape(base, -1).sum(1)  # the first digit, drawn last
    np.testing.assert_allclose(widths[-base:], 0.6 + 7 * top)
    heights = [-bar.get_height() for bar in ax.patches]
    np.testing.assert_allclose(heights, probabilities / probabilities.max())


def test_a_palette_gives_each_method_a_colour_of_its_own():
    assert len(set(PALETTE.values())) == len(PALETTE)


@pytest.mark.parametrize("value", [2.5, np.float64(2.5), torch.tensor(2.5)])
def test_glue_hands_over_plain_numbers(monkeypatch, value):
    """The page formats a number by its repr, and ``np.float64(2.5)`` is none."""
    kept = {}
    monkeypatch.setattr("myst_nb.glue", lambda name, v, display: kept.update({name: v}))
    glue("half", value)
    assert kept == {"half": 2.5}
    assert type(kept["half"]) is float
