"""Things to try inside a page, and in a live notebook.

Each function that returns HTML is an output for a notebook cell: plain HTML and
JavaScript that need no kernel. It works in a built page opened from disk, in Jupyter
and in Colab, any number of times on one page. ``explore_tokenizer`` and
``explore_policy`` return ipywidgets. They need the kernel of a live notebook, and take
the reader's own tokenizer, policy and rows.
"""

from genre2_mini.exhibits.digit_tree import (
    digit_tree_explorer,
    digit_tree_policy,
    digit_tree_stages,
)
from genre2_mini.exhibits.number_explorer import number_explorer
from genre2_mini.exhibits.policy_widget import explore_policy
from genre2_mini.exhibits.tokenizer_widget import explore_tokenizer

__all__ = [
    "digit_tree_explorer",
    "digit_tree_policy",
    "digit_tree_stages",
    "explore_policy",
    "explore_tokenizer",
    "number_explorer",
]
