"""Things to try inside a page: plain HTML and JavaScript that need no kernel.

Each function returns an output for a notebook cell. It works in a built page opened
from disk, in Jupyter and in Colab, any number of times on one page.
"""

from genre2_mini.exhibits.number_explorer import number_explorer

__all__ = ["number_explorer"]
