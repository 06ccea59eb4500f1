"""The studies by name, and how one is run from beginning to end."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from genre2_mini.experiments.budgets import Budget
from genre2_mini.experiments.engine import executor_of, run_grids
from genre2_mini.experiments.results import save_results
from genre2_mini.experiments.run_folder import RunFolder
from genre2_mini.experiments.study import Study
from genre2_mini.experiments.study_report import study_report
from genre2_mini.experiments.tabular import METHODS, tabular
from genre2_mini.tasks import describe_task

STUDIES = {"tabular": tabular}


def prepare_study(
    name: str, budget: Budget, methods: Sequence[str] | None = None
) -> Study:
    """A study's arms, checked before anything is trained.

    Parameters
    ----------
    methods : some of those that the study compares; None takes all.

    Raises
    ------
    ValueError : an unknown task or method; names the closest.
    """
    for task in budget.tasks:
        describe_task(task)
    for method in methods or ():
        if method not in METHODS:
            close = get_close_matches(method, METHODS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"unknown method {method!r}.{hint} Methods: {', '.join(METHODS)}"
            )
    return STUDIES[name](budget, methods)


def run_study(
    name: str,
    study: Study,
    out: Path,
    jobs: int = 2,
    resume: bool = False,
    dask: str | None = None,
) -> str:
    """Do a study's runs, write its table to ``out``/``name``.csv, return a report.

    Raises
    ------
    FileExistsError : there are finished runs in ``out``, and ``resume`` is false.
    RuntimeError : a run failed; the finished ones are kept.
    """
    folder = RunFolder(out)
    finished = len(list((folder.path / "runs").glob("*.json")))
    if finished and not resume:
        raise FileExistsError(
            f"{out} has {finished} finished runs: add --resume to use what fits of "
            "them, or name another folder with --out"
        )
    with executor_of(jobs, dask) as (executor, parallel):
        records = run_grids(study.grids(), folder, executor, parallel)
    table = study.table(records)
    path = folder.path / f"{name}.csv"
    save_results(table, path)
    return f"{study_report(table)}\n\n{len(table)} rows in {path}"
