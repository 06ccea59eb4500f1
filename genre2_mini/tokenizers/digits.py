"""Integers as digits, and the checks of a base and a number of digits."""

import torch
from torch import Tensor


def check_int(name: str, value: int, smallest: int) -> None:
    """ValueError for anything but an integer of at least ``smallest``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
        raise ValueError(f"{name} must be an integer ≥ {smallest}, got {value!r}")


def check_size(base: int, digits: int, limit: int) -> None:
    """ValueError for a base below 2, or more than ``limit`` numbers."""
    check_int("base", base, 2)
    # Long powers take long to compute, so a long exponent is refused before.
    if digits > limit.bit_length() or base**digits > limit:
        raise ValueError(
            f"{digits} digits in base {base} are more than float64 can hold here "
            f"({limit:.0e} numbers): use fewer digits or a smaller base"
        )


def to_digits(number: Tensor, base: int, count: int) -> Tensor:
    """Integers (...,) to digits (..., count), most significant first."""
    places = base ** torch.arange(count - 1, -1, -1, device=number.device)
    return number[..., None] // places % base


def from_digits(digits: Tensor, base: int) -> Tensor:
    """Digits (..., count), most significant first, to integers (...,)."""
    places = base ** torch.arange(digits.shape[-1] - 1, -1, -1, device=digits.device)
    return (digits * places).sum(-1)


def text(digits: list[int]) -> str:
    """Digits side by side; with commas where one has two characters."""
    return ("" if max(digits, default=0) < 10 else ",").join(map(str, digits))
