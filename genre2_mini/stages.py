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
from genre2_mini.objectives import CrossEntropy
from genre2_mini.tasks import Task
from genre2_mini.training import fit


def train(
    model: nn.Module,
    task: Task,
    method: Method,
    *,
    ce_steps: int = 1000,
    rl_steps: int = 300,
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
    try:
        objective = method.objective(**(objective_params or {}))
    except TypeError as error:
        raise ValueError(f"objective_params={objective_params}: {error}") from error
    stages = {method.label: (objective, ce_steps + rl_steps, 50)}
    if method.fine_tunes:
        ce = {METHODS["ce"].label: (CrossEntropy(), ce_steps, 50)} if ce_steps else {}
        stages = ce | {method.label: (objective, rl_steps, 20)}
    histories = []
    with owned(folder):
        for i, (label, (objective, steps, every)) in enumerate(stages.items(), 1):
            checkpoint = folder / f"stage{i}.safetensors" if folder else None
            stage = {"steps": steps, "validate_every": every, "checkpoint": checkpoint}
            history = fit(model, task, objective, **stage, **options)
            history.insert(0, "stage", label)
            histories.append(history)
    joined = pd.concat(histories, ignore_index=True)
    joined.attrs = history.attrs
    return joined


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
