"""Programs as tasks of a study: a name for each table, target, split and scale.

``stdlib-ops-random`` is a cell of the study. With ``-log`` or ``-raw`` behind it, it is
one of that cell's two tasks: the targets as standardised logarithms, or as they are.
"""

from __future__ import annotations

from difflib import get_close_matches
from itertools import product

from genre2_mini.tasks import Task, load_code_rows, load_code_task

DATA = ("humaneval", "stdlib")
TARGETS = ("ops", "peak")
SPLITS = ("random", "problem")
CELLS = tuple("-".join(cell) for cell in product(DATA, TARGETS, SPLITS))
SCALES = ("log", "raw")


def is_program_task(name: str) -> bool:
    """Whether a name is that of a cell with its scale."""
    cell, _, scale = name.rpartition("-")
    return cell in CELLS and scale in SCALES


def load_program_task(name: str, max_rows: int | None, seed: int) -> Task:
    """The task ``DATA-TARGET-SPLIT-SCALE``; errors are those of ``load_code_task``."""
    data, target, split, scale = name.split("-")
    return load_code_task(data, target, split, seed, scale=scale, max_rows=max_rows)


def check_cell(name: str) -> None:
    """Refuse a cell that there is not, or whose programs are not installed.

    Raises
    ------
    ValueError : an unknown name; names the closest.
    ModuleNotFoundError : as ``load_code_rows``; says what to install, or leave out.
    """
    if name not in CELLS:
        close = get_close_matches(name, CELLS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown task {name!r}.{hint} Tasks: {', '.join(CELLS)}")
    try:
        load_code_rows(name.split("-")[0])
    except ModuleNotFoundError as error:
        without = ",".join(cell for cell in CELLS if cell.startswith("stdlib"))
        raise ModuleNotFoundError(
            f"{error}. The other table needs no package: --tasks {without}"
        ) from error
