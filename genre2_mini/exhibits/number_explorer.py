"""Type a number, see its tokens; change a token, see what that costs."""

from IPython.display import HTML

from genre2_mini.exhibits.fragment import fragment


def number_explorer() -> HTML:
    """A number as tokens under any of the three tokenizers, and the cost of a change.

    Its arithmetic is that of :mod:`genre2_mini.tokenizers`, to the last bit; the
    element's ``data-tokens``, ``data-value`` and ``data-error`` hold what is shown.
    """
    return fragment(
        "number_explorer",
        "tokenizers.js",
        "drawing.js",
        "distance_plot.js",
        "number_explorer.js",
    )
