"""Options that several commands share, and how their results are shown."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pandas import DataFrame  # whose import takes a second


class DeviceName(StrEnum):
    """Where to compute; auto is the GPU if there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Device = Annotated[DeviceName, typer.Option(help="Where to compute.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads (default: PyTorch's choice).")
]
Seeds = Annotated[int, typer.Option(min=1, help="Runs of each, seeds 0, 1, …")]
MaxRows = Annotated[int, typer.Option(min=50, help="Rows of a task, at most.")]
CeSteps = Annotated[int, typer.Option(min=1, help="Batches of cross-entropy.")]
RlSteps = Annotated[int, typer.Option(min=1, help="Batches of each method after it.")]
Jobs = Annotated[int, typer.Option(min=1, help="Processes of one thread each.")]
OutFile = Annotated[Path | None, typer.Option(help="CSV to write every run to.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON value and nothing else.")
]


class Interrupted(Exception):
    """Ctrl-C, with a word on how to go on."""


def check_folder(path: Path) -> None:
    """FileNotFoundError if the folder that ``path`` is to be written to is missing."""
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.absolute().parent}")


def records(table: DataFrame) -> list[dict]:
    """The rows of a table, one dict each; what is missing is None, JSON's null."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def as_json(result: dict | list) -> str:
    """A result as JSON text."""
    return json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False)


def aligned(rows: list[list]) -> str:
    """A header and rows as lines with aligned columns: numbers right, text left."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    sides = [">" if cell.lstrip("-")[:1].isdigit() else "<" for cell in cells[-1]]
    form = "  ".join(f"{{:{s}{w}}}" for s, w in zip(sides, widths, strict=True))
    return "\n".join(form.format(*row).rstrip() for row in cells)
