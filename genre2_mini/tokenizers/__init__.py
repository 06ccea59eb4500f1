"""Numbers as digit strings, each position with its own legal ids.

``encode`` maps z of any shape (...,) to int64 ids (..., K), ``decode`` maps every
legal string back to a float64 number. Legal ids at position k are 0 up to
``vocab_sizes[k]`` − 1: a policy that masks the rest always emits a number. Three
tokenizers write one number; several of them in a row write several targets.
Source: GenRe² (arXiv 2512.06533).
"""

from genre2_mini.tokenizers.concatenated import ConcatenatedTokenizer
from genre2_mini.tokenizers.config import tokenizer_from_config
from genre2_mini.tokenizers.floating_point import IEEETokenizer, ScientificTokenizer
from genre2_mini.tokenizers.normalized import NormalizedTokenizer
from genre2_mini.tokenizers.tokenizer import Tokenizer

__all__ = [
    "ConcatenatedTokenizer",
    "IEEETokenizer",
    "NormalizedTokenizer",
    "ScientificTokenizer",
    "Tokenizer",
    "tokenizer_from_config",
]
