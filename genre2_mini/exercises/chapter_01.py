"""Numbers as tokens: values, floors, carries, and a range no outlier can stretch."""

from collections.abc import Callable

import torch
from torch import Tensor

from genre2_mini.exercises import exercise, require, require_close
from genre2_mini.tokenizers import NormalizedTokenizer


@exercise
def check_value_of(answer: Callable) -> None:
    """``answer(digits, base)``: the u in [0, 1) that the digits stand for."""
    require_close(answer([1, 0, 1], 2), 0.625, "value_of([1, 0, 1], 2)")
    require_close(answer([2, 5], 10), 0.25, "value_of([2, 5], 10)")
    require_close(answer([0, 3], 4), 3 / 16, "value_of([0, 3], 4)")
    require_close(answer([7], 8), 7 / 8, "value_of([7], 8)")


@exercise
def check_digits_needed(answer: Callable) -> None:
    """``answer(base, span, rmse)``: smallest K with span·B^−K/√12 ≤ rmse."""
    cases = [(2, 8, 0.01, 8), (10, 8, 0.01, 3), (2, 8, 0.001, 12), (10, 8, 0.001, 4)]
    for base, span, rmse, digits in cases:
        got = answer(base, span, rmse)
        require(got is not None, "it returned None: return a whole number")
        what = f"digits_needed({base}, {span}, {rmse})"
        require(got == int(got), f"{what} is {got}: there are only whole digits")
        require_close(got, digits, what)


@exercise
def check_changes(answer: Callable) -> None:
    """``answer(base, num_digits)``: mean changes from a string to the next."""
    require_close(answer(2, 2), 4 / 3, "changes(2, 2), from 00, 01, 10, 11")
    require_close(answer(2, 8), 502 / 255, "changes(2, 8)")
    require_close(answer(10, 3), 1107 / 999, "changes(10, 3)")


@exercise
def check_fit_robust(answer: Callable, z: Tensor) -> None:
    """``answer(z, base, num_digits)``: a tokenizer for all but a few of the targets z.

    ``z`` are the chapter's targets, standard normal but for an outlier.
    """
    generator = torch.Generator().manual_seed(1)
    others = 20 + torch.randn(1000, generator=generator, dtype=torch.float64)
    others[:3] = torch.tensor([-500.0, -400.0, 900.0])
    for targets, whose in ((z, "these targets"), (others, "targets around 20")):
        t = answer(targets, 2, 8)
        require(
            isinstance(t, NormalizedTokenizer), "return a fitted NormalizedTokenizer"
        )
        require((t.base, t.num_digits) == (2, 8), "use the base and num_digits given")
        error = (t.decode(t.encode(targets)) - targets).abs()
        level = error.quantile(0.99).item()
        clipped = t.out_of_range(targets).double().mean().item()
        require(
            level <= 0.02,
            f"for {whose}, 99% of the errors reach {level:.3f}, wanted 0.02 at most; "
            f"{clipped:.1%} of the rows clip",
        )
