"""Digits of a number's place in the range of the training targets."""

import math
from dataclasses import dataclass

from torch import Tensor

from genre2_mini.tokenizers.digits import (
    check_int,
    check_size,
    from_digits,
    text,
    to_digits,
)
from genre2_mini.tokenizers.tokenizer import Tokenizer


@dataclass
class NormalizedTokenizer(Tokenizer):
    """K digits of u = (z − low)/(high − low) in base B, most significant first.

    Strings are the grid points low + k·(high − low)/B^K, k = 0 … B^K − 1, and z
    becomes the nearest one (ties to even k), clipped at both ends. ``high`` itself is
    not a grid point, so the error is at most half a cell, except within half a cell of
    ``high``, where it reaches a whole one. Lexicographic order is numeric order.

    Parameters
    ----------
    base, num_digits : B and K; B^K at most 2^53, the integers float64 can count.
    low, high : range of z; ``fit`` sets it to the extremes of the training targets.
    """

    base: int = 2
    num_digits: int = 8
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        check_int("num_digits", self.num_digits, 1)
        check_size(self.base, self.num_digits, 2**53)
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high go together: give both, or call fit(z)")
        if self.low is not None:
            self._set_range("low and high", self.low, self.high)
        self.vocab_sizes = (self.base,) * self.num_digits

    def fit(self, z: Tensor) -> "NormalizedTokenizer":
        """Set ``low`` and ``high`` to the extremes of the training targets z.

        Raises ValueError if z is empty, constant, NaN or infinite.
        """
        z = self._check_values(z)
        if z.numel() == 0:
            raise ValueError("z is empty: fit needs at least two different targets")
        self._set_range("z", z.min().item(), z.max().item())
        return self

    def _set_range(self, name: str, low: float, high: float) -> None:
        width, spacing = high - low, math.ulp(max(abs(low), abs(high)))
        # The second half refuses cells that float64 could not tell apart.
        if not 0 < width < math.inf or 2 * width / self._cells < spacing:
            raise ValueError(
                f"{name} must span a finite range wider than rounding error, got "
                f"low={low}, high={high}: a constant target leaves nothing to learn; "
                "pass targets that differ, or low < high"
            )
        self.low, self.high = float(low), float(high)

    def _range(self) -> tuple[float, float]:
        if self.low is None or self.high is None:
            raise RuntimeError(
                "this NormalizedTokenizer has no range yet: call fit(z_train), or "
                "construct it with low and high"
            )
        return self.low, self.high

    @property
    def _cells(self) -> int:
        return self.base**self.num_digits

    @property
    def resolution(self) -> float:
        """Cell width (high − low)/B^K, in units of z."""
        low, high = self._range()
        return (high - low) / self._cells

    @property
    def quantisation_rmse(self) -> float:
        """RMSE of rounding alone, resolution/√12, for z even across each cell."""
        return self.resolution / math.sqrt(12)

    def _encode(self, z: Tensor) -> Tensor:
        low, high = self._range()
        cell = ((z - low) / (high - low) * self._cells).round()
        cell = cell.clamp(0, self._cells - 1).long()
        return to_digits(cell, self.base, self.num_digits)

    def _decode(self, tokens: Tensor) -> Tensor:
        low, high = self._range()
        fraction = from_digits(tokens, self.base).double() / self._cells
        return low + fraction * (high - low)

    def _string(self, ids: list[int]) -> str:
        return " ".join(text(ids[i : i + 4]) for i in range(0, len(ids), 4))
