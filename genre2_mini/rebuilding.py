"""A model from its configuration: names of this package's classes and their arguments.

A configuration may come from a file that somebody else wrote: nothing is built before
its sizes are known to be those of the weights beside it.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from genre2_mini.encoders import RowEncoder
from genre2_mini.heads import HistogramHead, PointwiseHead
from genre2_mini.policy import DecodingPolicy
from genre2_mini.text_encoder import TextEncoder
from genre2_mini.tokenizers import tokenizer_from_config

SMALL = 1024  # a width or a count that needs no tensor to bear it out
ENCODERS = {"RowEncoder": RowEncoder, "TextEncoder": TextEncoder}
MODELS = {
    "DecodingPolicy": DecodingPolicy,
    "HistogramHead": HistogramHead,
    "PointwiseHead": PointwiseHead,
}
# What values that are not this package's own can raise, wherever they are read.
INVALID = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class CheckpointError(ValueError):
    """The file is missing, truncated, changed, foreign or for another run."""


def build_model(config: dict) -> nn.Module:
    """A fresh model from its ``config`` (classes of this package only).

    Raises
    ------
    CheckpointError : an unknown type or arguments its class does not take.
    """
    try:
        config = dict(config)
        parts = {"encoder": dict(config.pop("encoder"))}
        parts["encoder"] = ENCODERS[parts["encoder"].pop("type")](**parts["encoder"])
        if "tokenizer" in config:
            parts["tokenizer"] = tokenizer_from_config(config.pop("tokenizer"))
        return MODELS[config.pop("type")](**parts, **config)
    except INVALID as error:
        raise CheckpointError(f"cannot rebuild the model: {error!r}") from error


def check_counts(config: dict, tensors: dict[str, Tensor]) -> None:
    """Refuse a ``config`` that asks for more than ``tensors`` can fill.

    Its integers are widths, layers and digits. In a file of ``save_checkpoint`` none
    exceeds both the largest dimension and the number of tensors; a few bytes of text
    from elsewhere could ask for terabytes.

    Raises
    ------
    CheckpointError : such an integer, or a negative one.
    """
    sizes = [size for tensor in tensors.values() for size in tensor.shape]
    limit = max([SMALL, len(tensors), *sizes])
    if not all(0 <= number <= limit for number in _integers(config)):
        raise CheckpointError("cannot rebuild the model: a size beyond its weights")


def _integers(value: object) -> Iterator[int]:
    """Every integer in nested JSON."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _integers(part)


def rebuild(config: dict, weights: dict[str, Tensor]) -> nn.Module:
    """The model with its weights; allocates nothing before it knows that they fit."""
    check_counts(config, weights)
    with torch.device("meta"):
        expected = build_model(config).state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if differing := sorted(dict(shapes.items() ^ found.items())):
        raise CheckpointError(f"weights do not fit: {', '.join(differing[:3])}")
    model = build_model(config)
    model.load_state_dict(weights)
    return model
