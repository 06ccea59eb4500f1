"""One column of a table at a time: what it holds, its numbers, its categories."""

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype

MAX_CATEGORIES = 256
TINY = np.finfo(np.float64).tiny  # the smallest number with all its digits

_NUMERIC = {
    "integer",
    "floating",
    "mixed-integer-float",
    "boolean",
    "decimal",
}
_CATEGORICAL = {"string", "categorical", "mixed", "mixed-integer"}
_EMPTY = {"empty"}  # nothing but gaps, in a column that could hold anything


def column_kind(column: pd.Series, name: str) -> str:
    """``numeric`` (numbers, booleans) or ``categorical`` (text, categories, a mix).

    A column of gaps that could have held anything is a category without values.
    Raises ValueError for dates, times, bytes and complex numbers.
    """
    kind = infer_dtype(column, skipna=True)
    if kind not in _NUMERIC | _CATEGORICAL | _EMPTY:
        raise ValueError(
            f"column {name!r} holds {kind} values: convert it to numbers first, "
            "a date for example to its year, month and day"
        )
    return "numeric" if kind in _NUMERIC else "categorical"


def column_values(column: pd.Series, name: str) -> np.ndarray:
    """A numeric feature as float64 (N,), missing values as NaN.

    Raises ValueError for anything but numbers, text that looks like them included,
    and for infinities.
    """
    kind = infer_dtype(column, skipna=True)
    if kind not in _NUMERIC | _EMPTY:
        raise ValueError(
            f"column {name!r} holds {kind} values where training had numbers"
        )
    values = column.to_numpy(dtype=float, na_value=np.nan)
    if infinite := np.isinf(values).sum():
        raise ValueError(f"column {name!r} has {infinite} infinite values")
    return values


def target_columns(y) -> list[tuple[str, pd.Series]]:
    """What to call each target, and its column: one of y (N,), D of a table (N, D)."""
    if np.ndim(y) < 2:
        column = y if isinstance(y, pd.Series) else pd.Series(np.asarray(y))
        name = "the target" if column.name is None else f"target {column.name!r}"
        return [(name, column)]
    table = y if isinstance(y, pd.DataFrame) else pd.DataFrame(np.asarray(y))
    if table.shape[1] == 0:
        raise ValueError("the table of targets has no columns")
    return [(f"target {name!r}", column) for name, column in table.items()]


def target_values(y) -> np.ndarray:
    """Check targets, any sequence (N,) or table (N, D) -> float64 of that shape.

    Raises ValueError naming the target and the number of offending rows.
    """
    values = [_target_column(column, name) for name, column in target_columns(y)]
    return values[0] if np.ndim(y) < 2 else np.stack(values, axis=1)


def _target_column(column: pd.Series, name: str) -> np.ndarray:
    kind = infer_dtype(column, skipna=True)
    if kind not in _NUMERIC | _EMPTY:
        raise ValueError(f"{name} holds {kind} values: it must be numeric")
    values = column.to_numpy(dtype=float, na_value=np.nan)
    missing, infinite = np.isnan(values).sum(), np.isinf(values).sum()
    if missing or infinite:
        raise ValueError(
            f"{name} has {missing} missing and {infinite} infinite values in "
            f"{len(values)} rows: drop or repair those rows first"
        )
    return values


def mean_and_std(values: np.ndarray, what: str) -> tuple[float, float]:
    """Mean and population standard deviation once missing values took the mean.

    Without spread, or without any value, the standard deviation is exactly 0. Raises
    ValueError where it is too small for float64.
    """
    present = values[~np.isnan(values)]
    if not len(present):
        return 0.0, 0.0
    # A constant column has a standard deviation of 1e-17 in floating point, not 0.
    if present.min() == present.max():
        return float(present[0]), 0.0
    # Near 1 no square overflows or vanishes, and a power of two rounds nothing.
    _, exponent = np.frexp(np.abs(present).max())
    mean = np.ldexp(present, -exponent).mean()
    scaled = np.ldexp(values, -exponent)
    std = np.ldexp(np.where(np.isnan(scaled), mean, scaled).std(), exponent)
    if std < TINY:
        raise ValueError(f"{what} varies by less than {TINY:.1e}: rescale it")
    return float(np.ldexp(mean, exponent)), float(std)


def standardised(values: np.ndarray, mean, std) -> np.ndarray:
    """(values − mean)/std; halves first, as a difference of two may be no float64.

    Infinite where the result is too large.
    """
    with np.errstate(over="ignore"):
        return (values / 2 - mean / 2) / (std / 2)


def _texts(values) -> list[str]:
    """Categories as text; 3.0 is written 3, as a gap turns integers into floats."""
    return [
        str(int(v)) if isinstance(v, float) and v.is_integer() else str(v)
        for v in values
    ]


def _factorized(column: pd.Series, name: str) -> tuple[np.ndarray, list[str]]:
    """Codes (N,), -1 for missing, and the text of each code."""
    try:
        codes, values = pd.factorize(column)
    except TypeError as error:
        raise ValueError(f"column {name!r} is no category: {error}") from error
    return codes, _texts(values)


def frequent_categories(column: pd.Series, name: str) -> tuple[str, ...]:
    """The categories of a column as sorted text, at most the 256 most frequent."""
    codes, texts = _factorized(column, name)
    counts = np.bincount(codes[codes >= 0], minlength=len(texts))
    total = pd.Series(counts, index=texts).groupby(level=0).sum()  # sorted by text
    frequent = total.sort_values(ascending=False, kind="stable")[:MAX_CATEGORIES]
    return tuple(sorted(frequent.index))


def one_hot(column: pd.Series, name: str, known: tuple[str, ...]) -> np.ndarray:
    """Categories (N,) -> float32 (N, len(known) + 1); the last column is unknown."""
    codes, texts = _factorized(column, name)
    position = pd.Index(known, dtype=object).get_indexer(pd.Index(texts, dtype=object))
    # Unknown text has position -1, missing has code -1: both select the last column.
    return np.eye(len(known) + 1, dtype=np.float32)[np.append(position, -1)[codes]]
