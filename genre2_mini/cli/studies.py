"""``genre2-mini reproduce tabular`` and its like: one command, many runs, a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from genre2_mini.cli.options import Device, DeviceName, Interrupted


class BudgetName(StrEnum):
    """How much to run."""

    smoke = "smoke"
    small = "small"
    full = "full"


Size = Annotated[
    BudgetName,
    typer.Option(help="smoke: minutes, to see it work. small: hours. full: a cluster."),
]
Tasks = Annotated[
    str | None, typer.Option(help="Tables, such as concrete,abalone (default: all).")
]
Methods = Annotated[
    str | None, typer.Option(help="Methods, such as ce,remax,genre2 (default: all).")
]
Seeds = Annotated[int | None, typer.Option(min=1, help="Runs of each, seeds 0, 1, …")]
MaxRows = Annotated[int | None, typer.Option(min=50, help="Rows of a table, at most.")]
Jobs = Annotated[
    int, typer.Option(min=1, help="Processes of one thread each, on this machine.")
]
Out = Annotated[
    Path,
    typer.Option(file_okay=False, help="Folder of the finished runs and the table."),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Use the finished runs in the folder.")
]
Dask = Annotated[
    str | None,
    typer.Option(help="Scheduler whose workers do the runs, such as tcp://host:8786."),
]


def study_command(name: str) -> Callable[..., None]:
    """The command of a study; what it says of itself is the study's summary."""

    def command(
        budget: Size = BudgetName.small,
        tasks: Tasks = None,
        methods: Methods = None,
        seeds: Seeds = None,
        max_rows: MaxRows = None,
        jobs: Jobs = 2,
        out: Out = Path("studies"),
        resume: Resume = False,
        dask: Dask = None,
        device: Device = DeviceName.cpu,
    ) -> None:
        from genre2_mini.experiments.studies import budgets_of, prepare_study, run_study
        from genre2_mini.methods import choose_device

        asked = {
            "tasks": tuple(tasks.split(",")) if tasks else None,
            "seeds": seeds,
            "max_rows": max_rows,
        }
        size = replace(
            budgets_of(name)[budget.value],
            device=choose_device(device.value),
            **{option: value for option, value in asked.items() if value is not None},
        )
        study = prepare_study(name, size, methods.split(",") if methods else None)
        try:
            typer.echo(run_study(name, study, out, jobs, resume, dask))
        except KeyboardInterrupt:
            raise Interrupted(
                f"what is finished is in {out}: the same command with --resume goes on"
            ) from None

    return command
