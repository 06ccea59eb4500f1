"""Code metrics as tasks: the text of a program and a call -> what the call costs.

They stand in for the code metrics of arXiv 2512.06533 (peak memory of APPS programs,
latency of Triton kernels), which no small package carries.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from genre2_mini.tasks.code_rows import (
    TARGETS,
    describe_code_task,
    load_code_rows,
)
from genre2_mini.tasks.table import Split, Task, shuffled_rows, split_rows
from genre2_mini.tasks.texts import TextSchema, count_long

LENGTH = 512  # bytes

UNITS = {"ops": "executed bytecode instructions", "peak": "bytes"}


@dataclass(frozen=True, eq=False)
class CodeSplit(Split):
    """Programs of one part of a task: x int64 (N, length), z float64 (N,).

    Attributes
    ----------
    y : (N,) float64, the counts themselves.
    texts : N texts, uncut.
    programs : the problem or function that each belongs to.
    num_cut : texts longer than the length, whose middle is not in x.
    """

    y: np.ndarray
    texts: tuple[str, ...]
    programs: tuple[str, ...]
    num_cut: int


def load_code_task(
    name: str,
    target: str = "ops",
    split: str = "random",
    seed: int = 0,
    *,
    scale: str = "log",
    length: int = LENGTH,
    max_rows: int | None = None,
) -> Task:
    """One of `list_code_tasks` -> Task, whose parts are `CodeSplit` of 64/16/20.

    Parameters
    ----------
    name : ``humaneval`` (other people's programs, from an installed package) or
        ``stdlib`` (calls of the standard library).
    target : ``ops``, executed bytecode instructions, or ``peak``, bytes.
    split : ``random``: the test rows are other calls, mostly of known programs.
        ``problem``: the programs are split, so all rows of one are in one part, and
        the parts have about those shares of the rows.
    seed : governs subset and split.
    scale : ``log``: z is log₁₀ of the target, standardised by train. ``raw``: z is the
        target itself, for scientific and IEEE strings. The rows are the same, and
        ``task.schema.to_log`` takes either z to the same space.
    length : bytes that a model reads; of longer texts the middle is cut out and
        ``num_cut`` counts them (`genre2_mini.tasks.texts`).
    max_rows : keep a random subset of this size before splitting.

    Raises
    ------
    ValueError
        An unknown name, target, split or scale; too few rows or programs to split; a
        file whose contents differ from its card.
    FileNotFoundError, ModuleNotFoundError
        As `load_code_rows`: the table, or the package of the programs, is not there.
    """
    for word, known in ((target, TARGETS), (split, ("random", "problem"))):
        if word not in known:
            raise ValueError(f"{word!r} must be one of {', '.join(known)}")
    card = describe_code_task(name) | {
        "target": target,
        "unit": UNITS[target],
        "in_paper": False,
    }
    rows = load_code_rows(name)
    parts = _split(rows, split, seed, max_rows)
    schema = TextSchema.fit(parts["train"][target], length, scale)
    splits = {part: _code_split(schema, of, target) for part, of in parts.items()}
    return Task(f"{name}-{target}-{split}-{scale}", schema=schema, card=card, **splits)


def _split(
    rows: pd.DataFrame, split: str, seed: int, max_rows: int | None
) -> dict[str, pd.DataFrame]:
    if split == "random":
        parts = split_rows(len(rows), seed, max_rows)
        return {part: rows.iloc[of] for part, of in parts.items()}
    rows = rows.iloc[shuffled_rows(len(rows), seed, max_rows)]
    programs = np.sort(rows["program"].unique())
    parts = split_rows(len(programs), seed)
    return {p: rows[rows["program"].isin(programs[of])] for p, of in parts.items()}


def _code_split(schema: TextSchema, rows: pd.DataFrame, target: str) -> CodeSplit:
    texts = tuple(rows["text"])
    return CodeSplit(
        x=schema.transform(texts),
        z=schema.standardise(rows[target]),
        y=rows[target].to_numpy(dtype=np.float64),
        texts=texts,
        programs=tuple(rows["program"]),
        num_cut=count_long(texts, schema.length),
    )
