"""Many independent runs in a few processes of one thread each."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import active_children, get_context
from threading import RLock

import pandas as pd
import torch
from tqdm import tqdm


@contextmanager
def process_pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """``jobs`` processes of one thread; an exception in the block ends them at once."""
    others = set(active_children())
    with ProcessPoolExecutor(jobs, get_context("spawn"), _start) as pool:
        try:
            yield pool
        except BaseException:  # Ctrl-C as well: a run would go on for minutes
            for worker in set(active_children()) - others:
                worker.terminate()
            raise


def in_processes(
    run: Callable[..., pd.DataFrame],
    grid: Sequence[tuple],
    jobs: int = 2,
    **settings: object,
) -> pd.DataFrame:
    """The rows of ``run(*arguments, **settings)`` for all arguments of the grid.

    Parameters
    ----------
    run : a function of a module, so that other processes can import it.
    grid : arguments of each run, in the order of the rows returned.
    jobs : processes; a run has one thread.

    Raises
    ------
    RuntimeError : a run failed; names it, and ends the others.
    """
    with process_pool(jobs) as pool:
        runs = {pool.submit(run, *which, **settings): which for which in grid}
        for done in tqdm(as_completed(runs), total=len(runs), unit="run", disable=None):
            if error := done.exception():
                name = ", seed ".join(map(str, runs[done]))
                raise RuntimeError(f"{name}: {error}") from error
    return pd.concat([done.result() for done in runs], ignore_index=True)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    torch.set_num_threads(1)  # one process a run uses the cores better
    tqdm.set_lock(RLock())  # its own would outlive a process that is terminated
