"""The studies by name, and how one is run from beginning to end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
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
from genre2_mini.experiments.budgets import BUDGETS, SMALLER, Budget
from genre2_mini.experiments.code_metrics import CODE_BUDGETS, code_metrics
from genre2_mini.experiments.code_report import code_report
from genre2_mini.experiments.engine import executor_of, run_grids
from genre2_mini.experiments.gap import ensemble_report, ensemble_table, gap
from genre2_mini.experiments.programs import check_cell
from genre2_mini.experiments.results import save_results
from genre2_mini.experiments.run_folder import RunFolder
from genre2_mini.experiments.study import Arm, Study
from genre2_mini.experiments.study_report import study_report
from genre2_mini.experiments.tabular import tabular
from genre2_mini.experiments.what_rl_changes import detail_tables, what_rl_changes
from genre2_mini.tasks import describe_task

STUDIES: dict[str, Callable[[str, Budget], Iterator[Arm]]] = {
    "tabular": tabular,
    "tokenisation": tokenisation,
    "reward": reward,
    "expert": expert,
    "data-size": data_size,
    "periodic": periodic,
    "scale": scale,
    "gap": gap,
    "what-rl-changes": what_rl_changes,
}
# Studies of programs: their tasks, budgets and reports are their own.
PROGRAM_STUDIES = {"code-metrics": code_metrics}


def budgets_of(name: str) -> dict[str, Budget]:
    """A study's budgets: smoke, small and full."""
    if name in PROGRAM_STUDIES:
        return CODE_BUDGETS
    changes = SMALLER.get(name, {})
    small, full = (replace(BUDGETS[size], **changes) for size in ("small", "full"))
    return {"smoke": BUDGETS["smoke"], "small": small, "full": full}


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
    ModuleNotFoundError : a task's programs are in a package that is not installed.
    """
    arms_of = (STUDIES | PROGRAM_STUDIES)[name]
    check = check_cell if name in PROGRAM_STUDIES else describe_task
    for task in budget.tasks:
        check(task)
    arms = [arm for task in budget.tasks for arm in arms_of(task, budget)]
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

    ``name``_curves.csv.gz beside it has the validations of every run, and a study whose
    runs describe their distributions has ``detail_tables``, too.

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
    beside = {"curves": study.curves(records)} | detail_tables(study, records)
    ensembles = beside["ensembles"] = ensemble_table(study, records)
    for ending, rows in beside.items():
        if len(rows):
            save_results(rows, folder.path / f"{stem}_{ending}.csv.gz")
    report = code_report if name in PROGRAM_STUDIES else study_report
    parts = [report(table), f"{len(table)} rows in {path}"]
    if len(ensembles):
        parts.insert(1, ensemble_report(ensembles))
    return "\n\n".join(parts)
