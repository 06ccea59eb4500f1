"""Options that the commands of several studies share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TaskName = Annotated[str, typer.Option(help="task name")]
Tasks = Annotated[list[str] | None, typer.Option("--task", help="task; repeatable")]
Seeds = Annotated[int, typer.Option(min=1, help="runs, each with its own seed")]
MaxRows = Annotated[int, typer.Option(min=30, help="rows of a task, at most")]
CeSteps = Annotated[int, typer.Option(min=1, help="cross-entropy steps")]
Every = Annotated[int, typer.Option(min=1, help="steps between scores")]
Jobs = Annotated[int, typer.Option(min=1, help="processes of one thread each")]
Out = Annotated[
    Path | None, typer.Option(help="CSV to write (the recorded one by default)")
]
OutFolder = Annotated[
    Path | None, typer.Option(help="folder of the CSVs (data/results by default)")
]
