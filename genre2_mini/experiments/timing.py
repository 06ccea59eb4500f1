"""How benchmarks measure: side by side in rounds, against the machine's own peak."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from math import ceil
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from genre2_mini.checkpoints import write_atomically

Work = Callable[[nn.Module, Tensor, Tensor], object]


def interleaved(
    works: dict[str, Callable[[], object]],
    rounds: int,
    device: str = "cpu",
    at_least: float = 0.05,
) -> dict[str, list[float]]:
    """Seconds a call of each work takes, one number a round.

    Within a round the works take turns, so that noise hits all alike. A work shorter
    than ``at_least`` seconds is repeated to fill them. The first call is not counted.
    """
    repeats = {}
    for name, work in works.items():
        warm_up = seconds_of(work, device)
        repeats[name] = max(1, ceil(at_least / warm_up))
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            seconds[name].append(seconds_of(work, device, repeats[name]))
    return seconds


def seconds_of(work: Callable[[], object], device: str = "cpu", repeats=1) -> float:
    """Mean seconds of ``repeats`` calls; a GPU is waited for before and after only."""
    synchronise(device)
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    synchronise(device)
    return (time.perf_counter() - start) / repeats


def synchronise(device: str) -> None:
    """Wait until the GPU has done what it was asked to."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def ratio(numerator: list[float], denominator: list[float]) -> float:
    """Median of the ratios within each round."""
    return median(n / d for n, d in zip(numerator, denominator, strict=True))


def peak_flops(device: str = "cpu", size: int = 2048, trials: int = 7) -> float:
    """FLOP/s of a float32 product of two square matrices: the best of some trials."""
    a = torch.randn(size, size, device=device)
    times = interleaved({"product": lambda: a @ a}, trials, device)["product"]
    return 2 * size**3 / min(times)


def peak_megabytes(work: Work, policy: nn.Module, x: Tensor, z: Tensor) -> float | None:
    """Memory that ``work(policy, x, z)`` needs at its peak, beyond what was there.

    On a GPU that is what PyTorch allocates. On the CPU it is the growth of the peak
    resident memory of a fresh process, forked for this work from one that has only
    imported ``work``'s module; None where processes cannot be forked (Windows).

    Parameters
    ----------
    work : a function of a module or a ``partial`` of one. It runs on the first row
        beforehand, for what is loaded only once.
    """
    if x.is_cuda:
        return growth(work, policy, x, z)
    # A spawned process would not do: Linux hands it its parent's peak as its own.
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return None
    context = multiprocessing.get_context("forkserver")
    module = getattr(work, "func", work).__module__
    context.set_forkserver_preload([module])
    # As bytes: torch would pass tensors through memory that both processes share.
    package = pickle.dumps((work, policy, x, z))
    threads = torch.get_num_threads()
    with ProcessPoolExecutor(1, context, _start, (threads,)) as pool:
        return pool.submit(_unpack_and_grow, package).result()


def _start(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    torch.set_num_threads(threads)


def _unpack_and_grow(package: bytes) -> float:
    return growth(*pickle.loads(package))


def growth(work: Work, policy: nn.Module, x: Tensor, z: Tensor) -> float:
    """Megabytes by which the work raises this process's peak."""
    work(policy, x[:1], z[:1])
    if x.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work(policy, x, z)
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    before = peak_resident_bytes()
    work(policy, x, z)
    return (peak_resident_bytes() - before) / 1e6


def peak_resident_bytes() -> int:
    """The most memory this process has ever held."""
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def describe_machine(device: str, peak: float) -> dict:
    """What a reader needs to know of it, and nothing that names it."""
    gpu = device.startswith("cuda")
    return {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if gpu else "CPU",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "peak_gflops": peak / 1e9,
    }


def save_json(results: dict, path: Path) -> None:
    """Write the whole file at once or leave the one that is there."""
    text = json.dumps(rounded(results), indent=1) + "\n"
    write_atomically(path, text.encode())


def rounded(value: object) -> object:
    """The same dicts and lists, floats with five significant digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
