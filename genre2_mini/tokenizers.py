"""Numbers as digit strings: three tokenizers, each position with its own legal ids.

``encode`` maps z of any shape (...,) to int64 ids (..., K), ``decode`` maps every
legal string back to a float64 number. Legal ids at position k are 0 up to
``vocab_sizes[k]`` − 1: a policy that masks the rest always emits a number.
Source: GenRe² (arXiv 2512.06533).
"""

import math
from dataclasses import asdict, dataclass
from fractions import Fraction

import torch
from torch import Tensor

_SIGNS = "+-"  # id 0 is +, id 1 is −


def _check_int(name: str, value: int, smallest: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
        raise ValueError(f"{name} must be an integer ≥ {smallest}, got {value!r}")


def _check_size(base: int, digits: int, limit: int) -> None:
    _check_int("base", base, 2)
    if base**digits > limit:
        raise ValueError(
            f"{digits} digits in base {base} are more than float64 can hold here "
            f"({limit:.0e} numbers): use fewer digits or a smaller base"
        )


def _to_digits(number: Tensor, base: int, count: int) -> Tensor:
    """Integers (...,) to digits (..., count), most significant first."""
    places = base ** torch.arange(count - 1, -1, -1, device=number.device)
    return number[..., None] // places % base


def _from_digits(digits: Tensor, base: int) -> Tensor:
    places = base ** torch.arange(digits.shape[-1] - 1, -1, -1, device=digits.device)
    return (digits * places).sum(-1)


def _text(digits: list[int]) -> str:
    return ("" if max(digits, default=0) < 10 else ",").join(map(str, digits))


class Tokenizer:
    """Checks, legal sets, range, strings and configuration, shared by all three.

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
        _check_int("num_digits", self.num_digits, 1)
        _check_size(self.base, self.num_digits, 2**53)
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
        return _to_digits(cell, self.base, self.num_digits)

    def _decode(self, tokens: Tensor) -> Tensor:
        low, high = self._range()
        fraction = _from_digits(tokens, self.base).double() / self._cells
        return low + fraction * (high - low)

    def _string(self, ids: list[int]) -> str:
        return " ".join(_text(ids[i : i + 4]) for i in range(0, len(ids), 4))


class _FloatingPoint(Tokenizer):
    """Numbers ±m·B^p: an integer m of at most D digits, p from p_min to p_max.

    Every scaling is one multiplication or division by a power of B, so a value is
    correctly rounded while that power is exact (10^22 is the last power of 10 to be).
    """

    def _set_format(self, base: int, digits: int, p_min: int, p_max: int) -> None:
        _check_size(base, digits, 10**15)
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

    z becomes the nearest representable number (ties to even digits), a larger |z|
    clips. Canonical strings start with a non-zero digit, except at e = −E, where
    leading zeros let numbers underflow gradually: zero is +0…0 there, and −0.0 is +.
    P10 in Charton (arXiv 2112.01898).

    Parameters
    ----------
    num_digits : D, 1 to 15, the decimals float64 holds.
    max_exponent : E, 0 to 22, so that every decoded value is correctly rounded.
    """

    num_digits: int = 4
    max_exponent: int = 10

    def __post_init__(self) -> None:
        _check_int("num_digits", self.num_digits, 1)
        _check_int("max_exponent", self.max_exponent, 0)
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
        return torch.cat([sign, _to_digits(m, 10, self.num_digits), exponent], dim=-1)

    def _decode(self, tokens: Tensor) -> Tensor:
        sign, exponent = tokens[..., 0], tokens[..., -1] - self.max_exponent
        return self._value(sign, _from_digits(tokens[..., 1:-1], 10), exponent)

    def _string(self, ids: list[int]) -> str:
        exponent = ids[-1] - self.max_exponent
        return f"{_SIGNS[ids[0]]}{_text(ids[1:-1])}e{exponent:+03d}"


@dataclass
class IEEETokenizer(_FloatingPoint):
    """Sign, exponent sign, exponent digits, mantissa: z = s·B^(±e)·m/B^(M−1).

    z becomes the nearest representable number (ties to even m), a larger |z| is a
    ValueError. Canonical mantissas start with a non-zero digit. Below the smallest of
    them, B^−(B^X−1), z becomes that number or zero, whichever is nearer (half-way:
    zero). Zero is all zeros, both signs +; the exponent 0 has the sign +. Every other
    legal string decodes too. Source: Song & Bahri (arXiv 2501.19383).

    Parameters
    ----------
    base, num_exponent_digits, num_mantissa_digits : B, X and M; B^M at most 10^15.
    """

    base: int = 10
    num_exponent_digits: int = 1
    num_mantissa_digits: int = 4

    def __post_init__(self) -> None:
        _check_int("base", self.base, 2)
        _check_int("num_exponent_digits", self.num_exponent_digits, 1)
        _check_int("num_mantissa_digits", self.num_mantissa_digits, 1)
        largest = self.base**self.num_exponent_digits - 1
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
        size = _to_digits(exponent.abs(), self.base, self.num_exponent_digits)
        mantissa = _to_digits(m, self.base, self.num_mantissa_digits)
        return torch.cat([signs, size, mantissa], dim=-1)

    def _decode(self, tokens: Tensor) -> Tensor:
        start = 2 + self.num_exponent_digits
        size = _from_digits(tokens[..., 2:start], self.base)
        mantissa = _from_digits(tokens[..., start:], self.base)
        p = size * (1 - 2 * tokens[..., 1]) - (self.num_mantissa_digits - 1)
        return self._value(tokens[..., 0], mantissa, p)

    def _string(self, ids: list[int]) -> str:
        start = 2 + self.num_exponent_digits
        mantissa = f"{ids[start]}.{_text(ids[start + 1 :])}"
        power = _SIGNS[ids[1]] + _text(ids[2:start])
        return f"{_SIGNS[ids[0]]}{mantissa}e{power}"


def tokenizer_from_config(config: dict) -> Tokenizer:
    """Rebuild a tokenizer from its ``config``; ValueError for an unknown type."""
    kinds = (NormalizedTokenizer, ScientificTokenizer, IEEETokenizer)
    by_name = {kind.__name__: kind for kind in kinds}
    name = config.get("type")
    if name not in by_name:
        raise ValueError(f"unknown tokenizer type {name!r}, expected {list(by_name)}")
    return by_name[name](**{key: v for key, v in config.items() if key != "type"})
