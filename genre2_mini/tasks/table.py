"""A table becomes a `Task`: shuffled, split 64/16/20, standardised by train rows."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch

from genre2_mini.tasks.columns import target_values
from genre2_mini.tasks.schema import TableSchema

__all__ = ["Split", "TableSchema", "Task", "split_rows", "task_from_frame"]

MIN_ROWS = 5


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of one part of a task: x float32 (N, num_features), z float64.

    z is (N,), or (N, D) where every row has D targets.
    """

    x: torch.Tensor
    z: torch.Tensor

    def __len__(self) -> int:
        return len(self.z)


@dataclass(frozen=True, eq=False)
class Task:
    """A regression task, ready for a model; targets are standardised (z).

    Attributes
    ----------
    name : str
    train, valid, test : Split
    schema : TableSchema
        Fitted on the train rows; turns z back into the target's unit.
    card : dict
        ``description``, ``target``, ``unit``, ``in_paper`` and, for the named tasks,
        source, licence and measured facts.
    """

    name: str
    train: Split
    valid: Split
    test: Split
    schema: TableSchema
    card: dict = field(default_factory=dict)

    @property
    def num_features(self) -> int:
        """Width of x."""
        return self.schema.num_features

    @classmethod
    def from_parts(
        cls,
        name: str,
        parts: dict[str, tuple[pd.DataFrame, pd.Series | pd.DataFrame]],
        card: dict,
    ) -> "Task":
        """Build from (features, y) under the keys train, valid and test.

        y is one target (N,) or a table of D targets (N, D), in their own units. A part
        may have no rows, except train.
        """
        schema = TableSchema.fit(*parts["train"])
        splits = {
            part: Split(schema.transform(frame), schema.standardise(y))
            for part, (frame, y) in parts.items()
        }
        return cls(name, schema=schema, card=card, **splits)


def shuffled_rows(
    num_rows: int, seed: int = 0, max_rows: int | None = None
) -> np.ndarray:
    """Row numbers in random order by `seed`, the first `max_rows` of them."""
    return np.random.default_rng(seed).permutation(num_rows)[:max_rows]


def split_rows(
    num_rows: int, seed: int = 0, max_rows: int | None = None
) -> dict[str, np.ndarray]:
    """Shuffle, keep at most `max_rows`, split 64/16/20.

    Returns row numbers under ``train``, ``valid`` and ``test``: one permutation by
    `seed`, cut, so the test rows never depend on anything but these arguments. Test and
    validation sizes are rounded up (a fifth, then a fifth of the rest) [TALENT].
    """
    if max_rows is not None and max_rows < MIN_ROWS:
        raise ValueError(f"max_rows must be at least {MIN_ROWS}, got {max_rows}")
    if num_rows < MIN_ROWS:
        raise ValueError(
            f"too few rows to split: the table has {num_rows}, "
            f"at least {MIN_ROWS} are needed"
        )
    rows = shuffled_rows(num_rows, seed, max_rows)
    num_test = -(-len(rows) // 5)
    num_valid = -(-(len(rows) - num_test) // 5)
    num_train = len(rows) - num_valid - num_test
    train, valid, test = np.split(rows, [num_train, num_train + num_valid])
    return {"train": train, "valid": valid, "test": test}


def task_from_frame(
    frame: pd.DataFrame,
    target: str,
    name: str = "table",
    seed: int = 0,
    max_rows: int | None = None,
    card: dict | None = None,
) -> Task:
    """Any table with a numeric target column -> Task.

    Parameters
    ----------
    frame : DataFrame (rows, features + 1)
        Numbers, booleans, text or categories; missing features are allowed.
    target : str
        The column to predict, in its own unit.
    seed : int
        Governs the shuffle, so the split and the subsample too.
    max_rows : int, optional
        Keep a random subset of this size before splitting.

    Raises
    ------
    ValueError
        Fewer than 5 rows, no such target, missing, infinite, non-numeric or constant
        targets, and everything `TableSchema` refuses; the message names the column.
    """
    if target not in frame.columns:
        raise ValueError(f"no column {target!r}; columns: {list(frame.columns)}")
    if frame.columns.duplicated().any():
        duplicates = frame.columns[frame.columns.duplicated()].unique().tolist()
        raise ValueError(f"duplicate column names: {duplicates}")
    split = split_rows(len(frame), seed, max_rows)
    target_values(frame[target])  # counts offending rows over the whole table
    features = frame.drop(columns=target)
    parts = {
        part: (features.iloc[rows], frame[target].iloc[rows])
        for part, rows in split.items()
    }
    default = {"description": "", "target": str(target), "unit": "", "in_paper": False}
    return Task.from_parts(name, parts, default | (card or {}))
