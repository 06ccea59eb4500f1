"""How the columns of a table become numbers: statistics from training rows only."""

import json
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import torch

from genre2_mini.tasks.columns import (
    column_kind,
    column_values,
    frequent_categories,
    mean_and_std,
    one_hot,
    standardised,
    target_columns,
    target_values,
)


@dataclass(frozen=True)
class TableSchema:
    """What the training rows taught us about every column, and nothing else.

    Numeric columns (numbers and booleans) come first in `x`, in table order: missing
    values take the training mean, then the column is standardised by training mean
    and population standard deviation; a column that was constant or empty in training
    is always 0. Each categorical column follows as a one-hot block: its categories in
    sorted order, then one column for "unknown or missing". Only the 256 categories
    most frequent in training get their own column; rarer ones count as unknown.

    Parameters
    ----------
    columns : tuple of str
        All feature columns, in training order.
    numeric : dict
        Column -> (mean, standard deviation); 0 marks a column without spread.
    categories : dict
        Column -> its categories as text.
    target_mean, target_std : float, or tuple of D floats
        In the target's own unit; tuples where the targets are a table (N, D).
    """

    columns: tuple[str, ...]
    numeric: dict[str, tuple[float, float]]
    categories: dict[str, tuple[str, ...]]
    target_mean: float | tuple[float, ...]
    target_std: float | tuple[float, ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame, y) -> "TableSchema":
        """Learn the schema from training features (N rows) and targets.

        Targets y are any sequence (N,), or a DataFrame or array (N, D) of D targets.
        Raises ValueError, naming the column, for duplicate names, dates and times,
        infinite values, and for a target that is not numeric, has missing or infinite
        values, or is constant.
        """
        frame = _named(frame)
        target = target_values(y)
        if not len(frame.columns):
            raise ValueError("the table has no feature columns")
        if not len(frame) or len(frame) != len(target):
            raise ValueError(f"{len(frame)} rows of features, {len(target)} targets")
        numeric, categories = {}, {}
        for name, column in frame.items():
            if column_kind(column, name) == "numeric":
                numeric[name] = mean_and_std(
                    column_values(column, name), f"column {name!r}"
                )
            else:
                categories[name] = frequent_categories(column, name)
        if target.ndim == 1:
            mean, std = _target_statistics(target, "the target")
        else:
            names = [name for name, _ in target_columns(y)]
            mean, std = zip(*map(_target_statistics, target.T, names), strict=True)
        return cls(tuple(frame.columns), numeric, categories, mean, std)

    @property
    def feature_names(self) -> list[str]:
        """Name of each column of `x`, such as ``length`` or ``sex=M``."""
        return list(self.numeric) + [
            f"{name}={category}"
            for name, categories in self.categories.items()
            for category in (*categories, "<unknown>")
        ]

    @property
    def num_features(self) -> int:
        """Width of `x`."""
        return len(self.feature_names)

    def transform(self, frame: pd.DataFrame) -> torch.Tensor:
        """Features (N rows, columns in any order) -> x, float32 (N, num_features).

        No rows give an x of no rows. Raises ValueError, naming the columns, if any is
        missing, unexpected, duplicated, not numeric where training was, infinite, or
        too large for float32.
        """
        frame = _named(frame)
        missing = [name for name in self.columns if name not in frame]
        extra = [name for name in frame if name not in self.columns]
        if missing or extra:
            raise ValueError(f"missing columns {missing}, unexpected columns {extra}")
        blocks = [self._standardised(frame)]
        for name, known in self.categories.items():
            blocks.append(one_hot(frame[name], name, known))
        return torch.from_numpy(np.concatenate(blocks, axis=1, dtype=np.float32))

    def standardise(self, y) -> torch.Tensor:
        """y in its own unit, any sequence (N,) or table (N, D) -> z, float64, like y.

        The columns of a table are in training order. Values outside the training range
        are standardised like any other; the tokenizer clips what its digits cannot
        write, and counts it. Raises ValueError for another number of targets than in
        training, and for a z that no float64 can hold.
        """
        target, expected = target_values(y), np.shape(self.target_mean)
        if target.shape[1:] != expected:
            shape = ", ".join(["N", *map(str, expected)])
            raise ValueError(
                f"y must have shape ({shape}), as in training, got {target.shape}"
            )
        z = standardised(target, np.array(self.target_mean), np.array(self.target_std))
        if infinite := np.isinf(z).sum():
            raise ValueError(
                f"y has {infinite} values too far from the training targets: z is no "
                "float64"
            )
        return torch.from_numpy(z)

    def unstandardise(self, z):
        """z, tensor or array of any shape -> y in the target's own unit.

        With D targets z is (..., D), each in its own unit; ValueError if it is not.
        """
        mean, std = self.target_mean, self.target_std
        if isinstance(mean, tuple):
            if z.shape[-1:] != (len(mean),):
                raise ValueError(
                    f"z must have last dimension {len(mean)}, one value for each "
                    f"target, got shape {tuple(z.shape)}"
                )
            mean, std = np.array(mean), np.array(std)
            if isinstance(z, torch.Tensor):
                mean, std = (torch.from_numpy(s).to(z.device) for s in (mean, std))
        return (z * (std / 2) + mean / 2) * 2  # halves, as in `standardised`

    def to_dict(self) -> dict:
        """Plain JSON types; `from_dict` gives an equal schema back."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, fields: dict) -> "TableSchema":
        """Inverse of `to_dict`; ValueError when a field is missing or unknown."""
        expected = set(cls.__dataclass_fields__)
        if set(fields) != expected:
            raise ValueError(f"a schema has fields {sorted(expected)}, got {fields!r}")
        return cls(
            columns=tuple(fields["columns"]),
            numeric={name: tuple(pair) for name, pair in fields["numeric"].items()},
            categories={name: tuple(c) for name, c in fields["categories"].items()},
            target_mean=_frozen(fields["target_mean"]),
            target_std=_frozen(fields["target_std"]),
        )

    def _standardised(self, frame: pd.DataFrame) -> np.ndarray:
        x = np.zeros((len(frame), len(self.numeric)))
        for j, (name, (mean, std)) in enumerate(self.numeric.items()):
            values = column_values(frame[name], name)
            if std > 0:
                values = standardised(values, mean, std)
                x[:, j] = np.where(np.isnan(values), 0.0, values)
            if np.abs(x[:, j]).max(initial=0) > np.finfo(np.float32).max:
                raise ValueError(f"column {name!r} is too large for float32")
        return x


def _target_statistics(values: np.ndarray, name: str) -> tuple[float, float]:
    """Mean and standard deviation of one target (N,); ValueError if it is constant."""
    mean, std = mean_and_std(values, name)
    if std == 0:
        raise ValueError(
            f"{name} is constant ({values[0]:g}) in all {len(values)} training rows: "
            "there is nothing to learn"
        )
    return mean, std


def _frozen(statistic: float | list) -> float | tuple[float, ...]:
    """What JSON made a list, a tuple again."""
    return tuple(statistic) if isinstance(statistic, list | tuple) else statistic


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table with text for column names (JSON has no other keys)."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError("features must be a pandas DataFrame; wrap arrays in one")
    frame = frame.set_axis(frame.columns.map(str), axis=1)
    duplicates = frame.columns[frame.columns.duplicated()].unique().tolist()
    if duplicates:
        raise ValueError(f"duplicate column names: {duplicates}")
    return frame
