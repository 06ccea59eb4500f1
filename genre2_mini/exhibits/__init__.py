"""Things to try inside a page: plain HTML and JavaScript that need no kernel.

Each function that returns HTML is an output for a notebook cell. It works in a built
page opened from disk, in Jupyter and in Colab, any number of times on one page.
"""

from genre2_mini.exhibits.digit_tree import (
    digit_tree_explorer,
    digit_tree_policy,
    digit_tree_stages,
)
from genre2_mini.exhibits.number_explorer import number_explorer

__all__ = [
    "digit_tree_explorer",
    "digit_tree_policy",
    "digit_tree_stages",
    "number_explorer",
]
