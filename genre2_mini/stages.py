"""Training by stages: cross-entropy first where a method fine-tunes a policy.

Each stage keeps a checkpoint in a folder, if there is one, which one process owns.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout
from torch import nn

from genre2_mini.methods import METHODS, Method
from genre2_mini.objectives import CrossEntropy, Objective
from genre2_mini.objectives.objective import check_at_least
from genre2_mini.tasks import Task
from genre2_mini.training import check_rate, fit


def train(
    model: nn.Module,
    task: Task,
    method: Method,
    *,
    ce_steps: int = 1000,
    rl_steps: int = 300,
    rl_learning_rate: float | None = None,
    objective_params: dict | None = None,
    folder: Path | None = None,
    **options,
) -> pd.DataFrame:
    """Train the method's network: cross-entropy first where it fine-tunes a policy.

    A method of one stage gets ``ce_steps`` + ``rl_steps``, so that all get the same
    number of batches. The second stage is validated more often: it changes faster.

    Parameters
    ----------
    ce_steps : 0 fine-tunes the policy as it is.
    rl_learning_rate : of the stage after cross-entropy; None: the same as before.
    objective_params : arguments of the method's objective.
    folder : where each stage keeps its checkpoint, to go on from after an interruption.
    options : passed to ``fit``.

    Returns
    -------
    history : the stages' histories one after another, with a column ``stage``.

    Raises
    ------
    ValueError : an argument the objective does not take, or that ``fit`` refuses.
    """
    stages = stages_of(method, objective_params, ce_steps, rl_steps, rl_learning_rate)
    histories = []
    with owned(folder):
        for i, (label, objective, settings) in enumerate(stages, 1):
            checkpoint = folder / f"stage{i}.safetensors" if folder else None
            settings = {"checkpoint": checkpoint} | options | settings
            history = fit(model, task, objective, **settings)
            history.insert(0, "stage", label)
            histories.append(history)
    joined = pd.concat(histories, ignore_index=True)
    joined.attrs = history.attrs
    return joined


def stages_of(
    method: Method,
    objective_params: dict | None,
    ce_steps: int,
    rl_steps: int,
    rl_learning_rate: float | None,
) -> list[tuple[str, Objective, dict]]:
    """Label, objective and own settings of each stage; ``train`` has the errors."""
    try:
        objective = method.objective(**(objective_params or {}))
    except TypeError as error:
        raise ValueError(f"objective_params={objective_params}: {error}") from error
    from_scratch = {"steps": ce_steps + rl_steps, "validate_every": 50}
    if not method.fine_tunes:
        return [(method.label, objective, from_scratch)]
    check_at_least(1, rl_steps=rl_steps)  # now, not after cross-entropy is trained
    tuning: dict = {"steps": rl_steps, "validate_every": 20}
    if rl_learning_rate is not None:
        check_rate("rl_learning_rate", rl_learning_rate)
        tuning["learning_rate"] = rl_learning_rate
    stages = [(method.label, objective, tuning)]
    if ce_steps:
        first = from_scratch | {"steps": ce_steps}
        stages.insert(0, (METHODS["ce"].label, CrossEntropy(), first))
    return stages


@contextmanager
def owned(folder: Path | None) -> Iterator[None]:
    """Hold a folder for one process; the operating system frees it when that ends.

    Raises
    ------
    BlockingIOError : another process trains there.
    OSError : the folder cannot be made or written.
    """
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", blocking=False):
            yield
    except Timeout:
        raise BlockingIOError(
            f"another process is training in {folder}: wait, or name another folder"
        ) from None
