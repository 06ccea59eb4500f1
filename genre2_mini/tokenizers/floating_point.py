"""Sign, digits and exponent: two formats for numbers of any size."""

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from genre2_mini.tokenizers.digits import (
    check_int,
    check_size,
    from_digits,
    text,
    to_digits,
)
from genre2_mini.tokenizers.tokenizer import Tokenizer

_SIGNS = "+-"  # id 0 is +, id 1 is −


class _FloatingPoint(Tokenizer):
    """Numbers ±m·B^p: an integer m of at most D digits, p from p_min to p_max.

    Every scaling is one multiplication or division by a power of B, so a value is
    correctly rounded while that power is exact (10^22 is the last power of 10 to be).
    """

    def _set_format(self, base: int, digits: int, p_min: int, p_max: int) -> None:
        check_size(base, digits, 10**15)
        power = Fraction(base)
        largest = max(abs(p_min), abs(p_max))
        self._radix, self._limit, self._p_min = base, base**digits, p_min
        self._powers = [float(power**p) for p in range(largest + 1)]
        self._bounds = [float(power ** (p + digits)) for p in range(p_min, p_max)]
        self.resolution = float(power**p_min)
        self.high = float(power**p_max * (self._limit - 1))
        self.low = -self.high

    def _scale(self, x: Tensor, power: Tensor) -> Tensor:
        """x·B^power. One of the two factors is 1, so there is a single rounding."""
        table = torch.tensor(self._powers, dtype=x.dtype, device=x.device)
        return x * table[power.clamp(min=0)] / table[(-power).clamp(min=0)]

    def _nearest(self, magnitude: Tensor) -> tuple[Tensor, Tensor]:
        """Integers m, p with m·B^p nearest to each magnitude, at most ``high``.

        Comparing with powers finds p without a logarithm's rounding error; m has
        leading zeros only at p_min.
        """
        bounds = magnitude.new_tensor(self._bounds)
        steps = torch.searchsorted(bounds, magnitude.contiguous(), right=True)
        p = steps + self._p_min
        m = self._scale(magnitude, -p).round().long()
        carry = (m == self._limit).long()  # 9.9996 becomes 1.000e1
        return m // self._radix**carry, p + carry

    def _value(self, sign: Tensor, m: Tensor, p: Tensor) -> Tensor:
        return (1 - 2 * sign) * self._scale(m.double(), p)


@dataclass
class ScientificTokenizer(_FloatingPoint):
    """Sign, D digits, exponent last: z = s·int(digits)·10^e with −E ≤ e ≤ E.

    z becomes the nearest representable number (ties to even digits), beyond ``low`` or
    ``high`` that one. Canonical strings start with a non-zero digit, except at e = −E,
    where leading zeros let numbers underflow gradually: zero is +0…0 there, and −0.0
    is +.
    P10 in Charton (arXiv 2112.01898).

    Parameters
    ----------
    num_digits : D, 1 to 15, the decimals float64 holds.
    max_exponent : E, 0 to 22, so that every decoded value is correctly rounded.
    """

    num_digits: int = 4
    max_exponent: int = 10

    def __post_init__(self) -> None:
        check_int("num_digits", self.num_digits, 1)
        check_int("max_exponent", self.max_exponent, 0)
        if self.max_exponent > 22:
            raise ValueError(
                f"max_exponent must be at most 22, got {self.max_exponent}: 10^22 is "
                "the last power of ten that float64 holds exactly"
            )
        self._set_format(10, self.num_digits, -self.max_exponent, self.max_exponent)
        self.vocab_sizes = (2, *(10,) * self.num_digits, 2 * self.max_exponent + 1)

    def _encode(self, z: Tensor) -> Tensor:
        m, e = self._nearest(z.abs().clamp(max=self.high))
        sign = ((z < 0) & (m > 0)).long()[..., None]
        exponent = (e + self.max_exponent)[..., None]
        return torch.cat([sign, to_digits(m, 10, self.num_digits), exponent], dim=-1)

    def _decode(self, tokens: Tensor) -> Tensor:
        sign, exponent = tokens[..., 0], tokens[..., -1] - self.max_exponent
        return self._value(sign, from_digits(tokens[..., 1:-1], 10), exponent)

    def _string(self, ids: list[int]) -> str:
        exponent = ids[-1] - self.max_exponent
        return f"{_SIGNS[ids[0]]}{text(ids[1:-1])}e{exponent:+03d}"


@dataclass
class IEEETokenizer(_FloatingPoint):
    """Sign, exponent sign, exponent digits, mantissa: z = s·B^(±e)·m/B^(M−1).

    z becomes the nearest representable number (ties to even m), beyond ``low`` or
    ``high`` it is a ValueError. Canonical mantissas start with a non-zero digit. Below
    the smallest of them, B^−(B^X−1), z becomes that number or zero, whichever is
    nearer (half-way: zero). Zero is all zeros, both signs +; the exponent 0 has the
    sign +. Every other legal string decodes too.
    Source: Song & Bahri (arXiv 2501.19383).

    Parameters
    ----------
    base, num_exponent_digits, num_mantissa_digits : B, X and M; B^M at most 10^15.
    """

    base: int = 10
    num_exponent_digits: int = 1
    num_mantissa_digits: int = 4

    def __post_init__(self) -> None:
        check_int("base", self.base, 2)
        check_int("num_exponent_digits", self.num_exponent_digits, 1)
        check_int("num_mantissa_digits", self.num_mantissa_digits, 1)
        # A float64 has exponents of three decimals; ten digits of any base are more.
        largest = self.base ** min(self.num_exponent_digits, 10) - 1
        digits, shift = self.num_mantissa_digits, self.num_mantissa_digits - 1
        if (largest + digits) * math.log10(self.base) > 307:
            raise ValueError(
                f"num_exponent_digits={self.num_exponent_digits} in base {self.base} "
                "leaves the range of float64 (1e±307): use fewer exponent digits"
            )
        self._set_format(self.base, digits, -largest - shift, largest - shift)
        self._smallest = float(Fraction(self.base) ** -largest)
        self.vocab_sizes = (2, 2, *(self.base,) * (self.num_exponent_digits + digits))

    def _encode(self, z: Tensor) -> Tensor:
        if (beyond := z.abs() > self.high).any():
            raise ValueError(
                f"z holds {z[beyond][0].item()}, beyond the largest representable "
                f"{self.high}: rescale or clip z, or use more exponent digits"
            )
        m, p = self._nearest(z.abs())
        nonzero = z.abs() > self._smallest / 2
        m = m.clamp(min=self._limit // self.base) * nonzero
        exponent = (p + self.num_mantissa_digits - 1) * nonzero
        signs = torch.stack([(z < 0) & nonzero, exponent < 0], dim=-1).long()
        size = to_digits(exponent.abs(), self.base, self.num_exponent_digits)
        mantissa = to_digits(m, self.base, self.num_mantissa_digits)
        return torch.cat([signs, size, mantissa], dim=-1)

    def _decode(self, tokens: Tensor) -> Tensor:
        start = 2 + self.num_exponent_digits
        size = from_digits(tokens[..., 2:start], self.base)
        mantissa = from_digits(tokens[..., start:], self.base)
        p = size * (1 - 2 * tokens[..., 1]) - (self.num_mantissa_digits - 1)
        return self._value(tokens[..., 0], mantissa, p)

    def _string(self, ids: list[int]) -> str:
        start = 2 + self.num_exponent_digits
        mantissa = f"{ids[start]}.{text(ids[start + 1 :])}"
        power = _SIGNS[ids[1]] + text(ids[2:start])
        return f"{_SIGNS[ids[0]]}{mantissa}e{power}"
