"""``genre2-mini reproduce multi-target`` and ``forecasting``: a grid of runs, a CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from genre2_mini.cli.options import (
    AsJson,
    CeSteps,
    Jobs,
    MaxRows,
    OutFile,
    RlSteps,
    Seeds,
    as_json,
    check_folder,
    records,
)

Tasks = Annotated[
    list[str] | None, typer.Option("--task", help="Repeatable: arm, places.")
]
Cuts = Annotated[
    list[str] | None,
    typer.Option("--cut", help="First forecast month, repeatable: 1990-01."),
]
Paths = Annotated[int, typer.Option(min=2, help="Futures drawn from each origin.")]


def multi_target(
    task: Tasks = None,
    seeds: Seeds = 5,
    max_rows: MaxRows = 3000,
    ce_steps: CeSteps = 600,
    rl_steps: RlSteps = 150,
    jobs: Jobs = 2,
    out: OutFile = None,
    json: AsJson = False,
) -> None:
    """Two numbers as one string: chained, apart, and under rewards."""
    from genre2_mini.experiments import multi_target as study

    grid = grid_of(task, list(study.PAIRS), seeds)
    settings = {"max_rows": max_rows, "ce_steps": ce_steps, "steps": rl_steps}
    do(study, grid, "task", jobs, out, json, settings)


def forecasting(
    cut: Cuts = None,
    seeds: Seeds = 2,
    ce_steps: CeSteps = 400,
    rl_steps: RlSteps = 100,
    num_paths: Paths = 100,
    jobs: Jobs = 2,
    out: OutFile = None,
    json: AsJson = False,
) -> None:
    """CO2 two years ahead: a policy's futures, naive and learnt rivals."""
    from genre2_mini.experiments import forecasting as study

    grid = grid_of(cut, study.CUTS, seeds)
    settings = {"ce_steps": ce_steps, "steps": rl_steps, "num_paths": num_paths}
    do(study, grid, "ahead", jobs, out, json, settings)


def grid_of(
    asked: Sequence[str] | None, known: Sequence[str], seeds: int
) -> list[tuple[str, int]]:
    """Each name with each seed; all that are known, where nothing was asked for.

    Raises
    ------
    typer.BadParameter : a name that is not known.
    """
    if unknown := sorted(set(asked or ()) - set(known)):
        raise typer.BadParameter(f"{unknown}; known: {list(known)}")
    return [(name, seed) for name in asked or known for seed in range(seeds)]


def do(
    study: ModuleType,
    grid: list[tuple[str, int]],
    by: str,
    jobs: int,
    out: Path | None,
    json: bool,
    settings: dict[str, int],
) -> None:
    """Do a study's runs, write them where asked to, print them or their means.

    Parameters
    ----------
    study : has ``run``, of one place of the grid, and the names of its ``SCORES``.
    by : the column beside the method whose means are shown.
    """
    if out:
        check_folder(out)
    from genre2_mini.experiments import save_results
    from genre2_mini.experiments.processes import in_processes

    rows = in_processes(study.run, grid, jobs, **settings)
    if out:
        save_results(rows, out)
    if json:
        typer.echo(as_json(records(rows)))
    else:
        means = rows.groupby([by, "method"], sort=False)[study.SCORES].mean()
        typer.echo(means.to_string(float_format="{:.3f}".format, na_rep="-"))
