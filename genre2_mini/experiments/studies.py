"""The studies by name, and how one is run from beginning to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from genre2_mini.experiments.ablations import (
    data_size,
    expert,
    periodic,
    reward,
    scale,
    tokenisation,
)
from genre2_mini.experiments.budgets import Budget
from genre2_mini.experiments.engine import executor_of, run_grids
from genre2_mini.experiments.results import save_results
from genre2_mini.experiments.run_folder import RunFolder
from genre2_mini.experiments.study import Arm, Study
from genre2_mini.experiments.study_report import study_report
from genre2_mini.experiments.tabular import tabular
from genre2_mini.tasks import describe_task

STUDIES: dict[str, Callable[[str, Budget], Iterator[Arm]]] = {
    "tabular": tabular,
    "tokenisation": tokenisation,
    "reward": reward,
    "expert": expert,
    "data-size": data_size,
    "periodic": periodic,
    "scale": scale,
}


def prepare_study(
    name: str, budget: Budget, methods: Sequence[str] | None = None
) -> Study:
    """A study's arms on the budget's tasks, checked before anything is trained.

    Parameters
    ----------
    methods : some of those that the study compares; None takes all.

    Raises
    ------
    ValueError : an unknown task or method; names the closest.
    """
    for task in budget.tasks:
        describe_task(task)
    arms = [arm for task in budget.tasks for arm in STUDIES[name](task, budget)]
    known = {arm.labels["method"]: None for arm in arms if arm.shown}
    for method in methods or ():
        if method not in known:
            close = get_close_matches(method, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"unknown method {method!r}.{hint} Methods: {', '.join(known)}"
            )
    kept = [arm for arm in arms if arm.labels["method"] in (methods or known)]
    starts = {arm.start for arm in kept}
    return Study([a for a in arms if a in starts or a in kept], range(budget.seeds))


def run_study(
    name: str,
    study: Study,
    out: Path,
    jobs: int = 2,
    resume: bool = False,
    dask: str | None = None,
) -> str:
    """Do a study's runs, write its table to ``out``/``name``.csv, return a report.

    ``name``_curves.csv.gz beside it has the validations of every run.

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
    table, stem = study.table(records), name.replace("-", "_")
    path = folder.path / f"{stem}.csv"
    save_results(table, path)
    save_results(study.curves(records), folder.path / f"{stem}_curves.csv.gz")
    return f"{study_report(table)}\n\n{len(table)} rows in {path}"
