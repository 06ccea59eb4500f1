"""The checks of the book's exercises, one module a chapter.

A check takes the reader's function, tries it, and prints one line: ``correct``, or what
is not right yet. It never raises, so that the stub of an exercise runs too::

    from genre2_mini.exercises.chapter_01 import check_value_of

    check_value_of(value_of)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import torch


class NotYet(Exception):
    """What is not right yet about an answer."""


def require(condition: object, message: str) -> None:
    """Go on only where the condition holds.

    Raises
    ------
    NotYet : it does not; ``message`` tells the reader why.
    """
    if not condition:
        raise NotYet(message)


def require_close(
    got: object, want: object, what: str, tolerance: float = 1e-6
) -> None:
    """Go on only where ``got`` has the shape of ``want`` and equals it.

    Parameters
    ----------
    got, want : numbers, lists or tensors; ``tolerance`` is relative and absolute.
    what : what was computed, for the message.

    Raises
    ------
    NotYet : they differ; names ``what``, the wanted and the given.
    """
    require(got is not None, f"{what} is None: return a value")
    given, wanted = (torch.as_tensor(v).detach().double() for v in (got, want))
    require(
        given.shape == wanted.shape,
        f"{what} has shape {tuple(given.shape)}, wanted {tuple(wanted.shape)}",
    )
    close = torch.allclose(given, wanted, rtol=tolerance, atol=tolerance)
    require(close, f"{what} is {_short(given)}, wanted {_short(wanted)}")


def exercise(check: Callable[..., None]) -> Callable[..., bool]:
    """Make a check of a function that raises where an answer is wrong.

    The decorated check prints one line and returns whether the answer is right. An
    error inside the answer is part of that line, not the end of the page.
    """
    name = check.__name__.removeprefix("check_")

    @wraps(check)
    def report(*answers: object) -> bool:
        try:
            check(*answers)
        except NotYet as reason:
            print(f"{name}: not yet. {reason}")
            return False
        except Exception as error:
            print(f"{name}: not yet. It raised {type(error).__name__}: {error}")
            return False
        print(f"{name}: correct")
        return True

    return report


def _short(values: torch.Tensor) -> str:
    """A few numbers in six digits."""
    if values.numel() > 8:
        first = ", ".join(f"{v:.6g}" for v in values.flatten()[:4].tolist())
        return f"[{first}, …]"
    rounded = [float(f"{v:.6g}") for v in values.flatten().tolist()]
    return str(rounded[0] if values.ndim == 0 else rounded)
