"""Several targets as one string: a tokenizer for each, one after another."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from genre2_mini.tokenizers.tokenizer import Tokenizer


@dataclass
class ConcatenatedTokenizer(Tokenizer):
    """D targets, each written by its own tokenizer, the first one first.

    ``encode`` maps z (..., D) to ids (..., K), K = K_1 + … + K_D, ``decode`` maps them
    back, ``out_of_range`` answers for each target. A later target is written after the
    earlier ones: a policy can express how they depend on each other. Range and
    resolution are those of the parts.

    Parameters
    ----------
    parts : D ≥ 1 tokenizers of one number each; they are copied.
    """

    parts: Sequence[Tokenizer]

    def __post_init__(self) -> None:
        known = isinstance(self.parts, list | tuple) and all(
            isinstance(part, Tokenizer) and not isinstance(part, ConcatenatedTokenizer)
            for part in self.parts
        )
        if not (known and self.parts):
            raise ValueError(
                "parts must be a list of one tokenizer for each target, none of them "
                f"concatenated itself, got {self.parts!r}"
            )
        # Copies: [tokenizer] * 3 is three parts, each fitted to its own target.
        self.parts = tuple(map(copy.copy, self.parts))
        self.vocab_sizes = tuple(n for part in self.parts for n in part.vocab_sizes)

    def fit(self, z: Tensor) -> ConcatenatedTokenizer:
        """Fit each part to its target, the column z[..., d], and return self.

        Raises ValueError, naming d, for a target that its part refuses.
        """
        columns = self._check_values(z).unbind(-1)
        for d, (part, column) in enumerate(zip(self.parts, columns, strict=True)):
            try:
                part.fit(column)
            except ValueError as error:
                raise ValueError(f"target {d} of z: {error}") from error
        return self

    def out_of_range(self, z: Tensor) -> Tensor:
        """Bool (..., D): True where a target lies outside the range of its part."""
        columns = self._check_values(z).unbind(-1)
        pairs = zip(self.parts, columns, strict=True)
        return torch.stack([part.out_of_range(column) for part, column in pairs], -1)

    def split(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Tokens (..., K) -> the D strings of the parts, (..., K_d) each."""
        return tokens.split([part.num_tokens for part in self.parts], dim=-1)

    @property
    def config(self) -> dict:
        """JSON types from which ``tokenizer_from_config`` rebuilds this tokenizer."""
        parts = [part.config for part in self.parts]
        return {"type": type(self).__name__, "parts": parts}

    def _check_values(self, z: Tensor) -> Tensor:
        z = super()._check_values(z)
        if z.shape[-1:] != (len(self.parts),):
            raise ValueError(
                f"z must have last dimension {len(self.parts)}, one value for each "
                f"target, got shape {tuple(z.shape)}"
            )
        return z

    def _encode(self, z: Tensor) -> Tensor:
        pairs = zip(self.parts, z.unbind(-1), strict=True)
        return torch.cat([part._encode(column) for part, column in pairs], dim=-1)

    def _decode(self, tokens: Tensor) -> Tensor:
        pairs = zip(self.parts, self.split(tokens), strict=True)
        return torch.stack([part._decode(string) for part, string in pairs], dim=-1)

    def _string(self, ids: list[int]) -> str:
        rest = iter(ids)
        strings = [
            part._string(list(islice(rest, part.num_tokens))) for part in self.parts
        ]
        return " | ".join(strings)
