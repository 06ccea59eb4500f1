"""What every tokenizer has: checks, legal sets, strings and a configuration."""

from dataclasses import asdict

import torch
from torch import Tensor


class Tokenizer:
    """Checks, legal sets, range, strings and configuration, shared by all.

    Attributes
    ----------
    vocab_sizes : tuple of K ints, the number of legal ids at each position.
    low, high : range of z beyond which ``out_of_range`` is True.
    resolution : the smallest step between two representable numbers.
    """

    vocab_sizes: tuple[int, ...]

    def fit(self, z: Tensor) -> "Tokenizer":
        """Check the training targets z and return self: there is nothing to fit."""
        self._check_values(z)
        return self

    def encode(self, z: Tensor) -> Tensor:
        """Ids (..., K), int64, of the representable number nearest to each z (...,).

        Raises ValueError for NaN or infinities, TypeError for what is not real.
        """
        return self._encode(self._check_values(z))

    def decode(self, tokens: Tensor) -> Tensor:
        """Values (...,), float64, of the strings ``tokens`` (..., K).

        Raises ValueError for a wrong last dimension or an illegal id, TypeError for
        ids that are not integers.
        """
        return self._decode(self._check_tokens(tokens))

    def out_of_range(self, z: Tensor) -> Tensor:
        """Bool (...,): True where z lies below ``low`` or above ``high``."""
        (low, high), z = self._range(), self._check_values(z)
        return (z < low) | (z > high)

    def to_strings(self, tokens: Tensor) -> str | list:
        """Printable strings, nested like the leading shape of ``tokens`` (..., K)."""

        def walk(ids: list) -> str | list:
            nested = not ids or isinstance(ids[0], list)
            return [walk(row) for row in ids] if nested else self._string(ids)

        return walk(self._check_tokens(tokens).tolist())

    @property
    def num_tokens(self) -> int:
        """K, the length of every string."""
        return len(self.vocab_sizes)

    @property
    def legal(self) -> Tensor:
        """Bool (K, max(vocab_sizes)): which ids may stand at which position."""
        sizes = torch.tensor(self.vocab_sizes)
        return torch.arange(max(self.vocab_sizes)) < sizes[:, None]

    @property
    def config(self) -> dict:
        """JSON types from which ``tokenizer_from_config`` rebuilds this tokenizer."""
        return {"type": type(self).__name__, **asdict(self)}

    def _range(self) -> tuple[float, float]:
        return self.low, self.high

    def _check_values(self, z: Tensor) -> Tensor:
        z = torch.as_tensor(z)
        if z.is_complex() or z.dtype == torch.bool:
            raise TypeError(f"z must hold real numbers, got {z.dtype}")
        z = z.detach().double()
        if not (finite := z.isfinite()).all():
            raise ValueError(
                f"z holds {(~finite).sum().item()} NaN or infinite values (the first "
                f"is {z[~finite][0].item()}): drop or impute them before encoding"
            )
        return z

    def _check_tokens(self, tokens: Tensor) -> Tensor:
        tokens = torch.as_tensor(tokens)
        if tokens.is_floating_point() or tokens.is_complex():
            raise TypeError(f"tokens must be integer ids, got {tokens.dtype}")
        if tokens.shape[-1:] != (self.num_tokens,):
            raise ValueError(
                f"tokens must have last dimension {self.num_tokens}, one id for each "
                f"position, got shape {tuple(tokens.shape)}"
            )
        tokens = tokens.long()
        sizes = torch.tensor(self.vocab_sizes, device=tokens.device)
        if not (legal := (tokens >= 0) & (tokens < sizes)).all():
            *_, position = first = (~legal).nonzero()[0].tolist()
            raise ValueError(
                f"token {tokens[tuple(first)].item()} at position {position} is not "
                f"legal: ids there are 0 to {self.vocab_sizes[position] - 1}"
            )
        return tokens
