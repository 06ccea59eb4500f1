"""``genre2-mini reproduce multi-target`` and ``forecasting``: beyond one number."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genre2_mini.cli.options import AsJson, as_json, check_folder

if TYPE_CHECKING:
    import pandas as pd

Tasks = Annotated[
    list[str] | None, typer.Option("--task", help="Repeatable: arm, places.")
]
Cuts = Annotated[
    list[str] | None,
    typer.Option("--cut", help="First forecast month, repeatable: 1990-01."),
]
Seeds = Annotated[int, typer.Option(min=1, help="Runs of each task or cut.")]
MaxRows = Annotated[int, typer.Option(min=50, help="Rows of a task, at most.")]
CeSteps = Annotated[int, typer.Option(min=1, help="Batches of cross-entropy.")]
RlSteps = Annotated[int, typer.Option(min=1, help="Batches of each method after it.")]
Paths = Annotated[int, typer.Option(min=2, help="Futures drawn from each origin.")]
Jobs = Annotated[int, typer.Option(min=1, help="Processes of one thread each.")]
Out = Annotated[Path | None, typer.Option(help="CSV to write every run to.")]


def multi_target(
    task: Tasks = None,
    seeds: Seeds = 5,
    max_rows: MaxRows = 3000,
    ce_steps: CeSteps = 600,
    rl_steps: RlSteps = 150,
    jobs: Jobs = 2,
    out: Out = None,
    json: AsJson = False,
) -> None:
    """Two numbers as one string: chained, apart, and under rewards."""
    if out:
        check_folder(out)
    from genre2_mini.experiments.multi_target import SCORES, run
    from genre2_mini.experiments.processes import in_processes
    from genre2_mini.tasks.vectors import PAIRS

    if unknown := set(task or ()) - set(PAIRS):
        raise typer.BadParameter(f"{sorted(unknown)}; known: {list(PAIRS)}")
    grid = [(name, seed) for name in task or PAIRS for seed in range(seeds)]
    settings = {"max_rows": max_rows, "ce_steps": ce_steps, "steps": rl_steps}
    show(in_processes(run, grid, jobs, **settings), "task", SCORES, out, json)


def forecasting(
    cut: Cuts = None,
    seeds: Seeds = 2,
    ce_steps: CeSteps = 400,
    rl_steps: RlSteps = 100,
    num_paths: Paths = 100,
    jobs: Jobs = 2,
    out: Out = None,
    json: AsJson = False,
) -> None:
    """CO2 two years ahead: a policy's futures, naive and learnt rivals."""
    if out:
        check_folder(out)
    from genre2_mini.experiments.forecasting import CUTS, SCORES, run
    from genre2_mini.experiments.processes import in_processes

    if unknown := set(cut or ()) - set(CUTS):
        raise typer.BadParameter(f"{sorted(unknown)}; known: {list(CUTS)}")
    grid = [(name, seed) for name in cut or CUTS for seed in range(seeds)]
    settings = {"ce_steps": ce_steps, "steps": rl_steps, "num_paths": num_paths}
    show(in_processes(run, grid, jobs, **settings), "ahead", SCORES, out, json)


def show(
    rows: pd.DataFrame, by: str, scores: list[str], out: Path | None, json: bool
) -> None:
    """Write the runs where asked to, and print them or their means."""
    from genre2_mini.experiments import save_results

    if out:
        save_results(rows, out)
    if json:
        told = rows.astype(object).where(rows.notna(), None)
        typer.echo(as_json(told.to_dict("records")))
    else:
        means = rows.groupby([by, "method"], sort=False)[scores].mean()
        typer.echo(means.to_string(float_format="{:.3f}".format, na_rep="-"))
