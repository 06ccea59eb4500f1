"""Runs a study: what is missing goes to an executor, what comes back is kept.

An executor is anything of ``concurrent.futures``: a pool of processes here, the workers
of a Dask cluster elsewhere. Workers compute and write nothing; this process writes each
run the moment it is finished, so stopping it loses the runs in flight and no other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from tqdm import tqdm

from genre2_mini.experiments.processes import process_pool
from genre2_mini.experiments.run_folder import RunFolder
from genre2_mini.experiments.specs import RunSpec
from genre2_mini.experiments.trial import trial

Records = dict[str, dict]  # by the key of the run
Grids = Generator[Sequence[RunSpec], Records, None]


def run_grids(
    grids: Grids, folder: RunFolder, executor: Executor, jobs: int
) -> Records:
    """Complete one grid after another; each may depend on the records so far.

    Parameters
    ----------
    grids : yields runs, and is sent the records of all runs so far.
    jobs : runs that the executor does at the same time.

    Returns
    -------
    The records of all runs, from the folder or from now.

    Raises
    ------
    RuntimeError : a run failed; the finished ones are kept.
    """
    records: Records = {}
    grid = next(grids, None)
    while grid is not None:
        records |= complete(grid, folder, executor, jobs)
        try:
            grid = grids.send(records)
        except StopIteration:
            grid = None
    return records


def complete(
    grid: Sequence[RunSpec], folder: RunFolder, executor: Executor, jobs: int
) -> Records:
    """The records of a grid's runs; only those that the folder lacks are done."""
    specs = {spec.key: spec for spec in grid}
    records = {key: folder.record(spec) for key, spec in specs.items()}
    missing = deque(specs[key] for key, record in records.items() if record is None)
    running: dict = {}
    bar = tqdm(
        total=len(specs), initial=len(specs) - len(missing), unit="run", disable=None
    )
    with bar:
        while missing or running:
            # One more than it can do: no worker waits for this process.
            while missing and len(running) <= jobs:
                spec = missing.popleft()
                start = starting_weights(spec, folder)
                running[executor.submit(trial, spec, start)] = spec
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in sorted(done, key=lambda f: f.exception() is not None):
                spec = running.pop(future)
                records[spec.key] = folder.save(spec, *result(future, spec))
                bar.update()
    return records


def starting_weights(spec: RunSpec, folder: RunFolder) -> bytes | None:
    """The weights that a run starts from; None for a start from scratch.

    Raises
    ------
    RuntimeError : the run that it starts from left none, as its training diverged.
    """
    if spec.start is None:
        return None
    weights = folder.weights(spec.start)
    if weights is None:  # never from scratch in silence
        raise RuntimeError(f"{spec}: run {spec.start}, its start, left no weights")
    return weights


def result(future, spec: RunSpec) -> tuple[dict, bytes | None]:
    """What a run returned; RuntimeError with its name if it failed."""
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            f"{spec}: a process ended without a word, perhaps for want of memory. What "
            "is finished is kept: go on with --resume, and fewer --jobs"
        ) from error
    except Exception as error:
        raise RuntimeError(f"{spec}: {error}") from error


@contextmanager
def executor_of(jobs: int, dask: str | None = None) -> Iterator[tuple[Executor, int]]:
    """An executor, and how many runs it does at the same time.

    Parameters
    ----------
    jobs : processes of this machine.
    dask : address of a Dask scheduler whose workers do the runs instead. They need
        this package and nothing else; no files are shared.

    Raises
    ------
    ModuleNotFoundError : ``distributed`` is not installed.
    ConnectionError : there is no scheduler, or it has no workers.
    """
    if dask is None:
        with process_pool(jobs) as pool:
            yield pool, jobs
        return
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "--dask needs the package distributed: pip install distributed"
        ) from error
    try:
        client = Client(dask, timeout="10s")
    except (OSError, ValueError) as error:
        raise ConnectionError(f"no Dask scheduler at {dask}: {error}") from error
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise ConnectionError(f"the Dask scheduler at {dask} has no workers")
        # Not pure: a run that was lost with its worker is done again elsewhere.
        yield client.get_executor(pure=False), threads
