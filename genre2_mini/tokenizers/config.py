"""A tokenizer from its configuration, as a checkpoint keeps it."""

from genre2_mini.tokenizers.concatenated import ConcatenatedTokenizer
from genre2_mini.tokenizers.floating_point import IEEETokenizer, ScientificTokenizer
from genre2_mini.tokenizers.normalized import NormalizedTokenizer
from genre2_mini.tokenizers.tokenizer import Tokenizer

_KINDS = (
    NormalizedTokenizer,
    ScientificTokenizer,
    IEEETokenizer,
    ConcatenatedTokenizer,
)


def tokenizer_from_config(config: dict) -> Tokenizer:
    """Rebuild a tokenizer from its ``config``; ValueError for an unknown type."""
    by_name = {kind.__name__: kind for kind in _KINDS}
    name = config.get("type")
    if name not in by_name:
        raise ValueError(f"unknown tokenizer type {name!r}, expected {list(by_name)}")
    fields = {key: value for key, value in config.items() if key != "type"}
    if "parts" in fields:
        fields["parts"] = [tokenizer_from_config(part) for part in fields["parts"]]
    return by_name[name](**fields)
