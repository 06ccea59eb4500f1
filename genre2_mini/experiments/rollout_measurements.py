"""What the benchmark of rollouts measures of one policy: four tables, row by row.

Times are medians over rounds in which the samplers take turns, ratios are medians of
the ratios within a round, low and high are the extremes.

The plain samplers cost the same for every string and are timed on as many rows as make
``PLAIN_STRINGS``: with more of them at once, neither is faster on a CPU. The tree is
timed on all rows asked for, or on as many as make it read ``TREE_NODES`` prefixes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import Tensor

from genre2_mini.experiments import samplers
from genre2_mini.experiments.samplers import REMAX_LOSSES, SAMPLERS
from genre2_mini.experiments.timing import interleaved, peak_megabytes, ratio
from genre2_mini.policy import DecodingPolicy

PLAIN_STRINGS = {"uncached": 512, "cached": 2048}
TREE_NODES = 2**15
GPU_BATCH = 16  # times as much of both: a GPU is fast with large batches only
ENOUGH_SECONDS = 0.3  # scaling: the next value would take about four times as long
Rows = Iterator[dict]


@dataclass(frozen=True)
class Settings:
    """How much is measured; ``QUICK`` has the smaller numbers of a quick run."""

    rounds: int = 5
    rows: int = 1024
    samples: tuple[int, ...] = (1, 16, 128, 1024)
    tokenizers: tuple[str, ...] = ("normalised", "scientific", "ieee")
    device: str = "auto"
    threads: int | None = None
    ce_steps: int = 1500
    remax_steps: int = 300
    max_rows: int = 4000
    batch_rows: int = 128
    memory_samples: int = 128
    peak_size: int = 2048  # of the matrices whose product is the machine's peak
    at_least: float = 0.05  # seconds a timing
    fixed_rows: int = 256  # while S or K varies
    fixed_samples: int = 16  # while rows or K vary
    vary_samples: tuple[int, ...] = (1, 4, 16, 64, 256, 1024, 4096)
    vary_rows: tuple[int, ...] = (16, 64, 256, 1024, 4096)
    vary_digits: tuple[int, ...] = (2, 4, 8, 12, 16)


QUICK = {
    "rounds": 2,
    "rows": 16,
    "samples": (1, 16),
    "ce_steps": 4,
    "remax_steps": 2,
    "max_rows": 250,
    "batch_rows": 8,
    "memory_samples": 16,
    "peak_size": 256,
    "at_least": 0.0,
    "fixed_rows": 8,
    "fixed_samples": 4,
    "vary_samples": (1, 16),
    "vary_rows": (4, 16),
    "vary_digits": (2, 4),
}


def first(x: Tensor, rows: int) -> Tensor:
    """That many rows, from the beginning again where there are fewer."""
    return x[torch.arange(rows, device=x.device) % len(x)]


def sampling_rows(
    policy: DecodingPolicy, x: Tensor, settings: Settings, peak: float
) -> Rows:
    """Strings a second of each sampler, for each S."""
    for s in settings.samples:
        generator = torch.Generator(x.device).manual_seed(s)
        batches = batch_sizes(policy, x, s, settings.rows)
        works = {
            name: partial(SAMPLERS[name], policy, first(x, n), s, generator)
            for name, n in batches.items()
        }
        times = interleaved(works, settings.rounds, x.device.type, settings.at_least)
        reads = samplers.positions_read(policy, first(x, batches["tree"]), s)
        rates = {k: [n * s / t for t in times[k]] for k, n in batches.items()}
        for name, rate in rates.items():
            nodes = sum(reads[name])
            num_logits = nodes if name == "tree" else s * policy.tokenizer.num_tokens
            used = samplers.flops(policy, reads[name], num_logits) / s * median(rate)
            yield {
                "sampler": name,
                "num_samples": s,
                "samples_per_second": median(rate),
                "samples_per_second_low": min(rate),
                "samples_per_second_high": max(rate),
                "nodes_per_input": nodes,
                "speedup_over_cached": ratio(rate, rates["cached"]),
                "speedup_over_uncached": ratio(rate, rates["uncached"]),
                "share_of_peak": used / peak,
            }


def batch_sizes(
    policy: DecodingPolicy, x: Tensor, num_samples: int, rows: int
) -> dict[str, int]:
    """On how many rows to time each sampler: ``rows`` at most, 1 at least."""
    nodes = sum(samplers.positions_read(policy, x[:16], num_samples)["tree"])
    enough = {name: most / num_samples for name, most in PLAIN_STRINGS.items()}
    enough["tree"] = TREE_NODES / nodes
    larger = GPU_BATCH if x.is_cuda else 1
    return {n: max(1, min(rows, int(larger * most))) for n, most in enough.items()}


def remax_rows(
    policy: DecodingPolicy, x: Tensor, z: Tensor, settings: Settings
) -> Rows:
    """Seconds of one ReMax step: rollout, gradient and AdamW."""
    x, z = first(x, settings.batch_rows), first(z, settings.batch_rows)
    policy.train()  # as in training; rollouts turn dropout off by themselves
    optimiser = samplers.still_optimiser(policy)
    works = {
        name: partial(samplers.remax_step, loss, policy, optimiser, x, z)
        for name, loss in REMAX_LOSSES.items()
    }
    times = interleaved(works, settings.rounds, x.device.type, settings.at_least)
    for name, seconds in times.items():
        yield {
            "method": name,
            "seconds": median(seconds),
            "seconds_low": min(seconds),
            "seconds_high": max(seconds),
            "speedup_over_plain": ratio(times["plain"], seconds),
            "speedup_over_uncached": ratio(times["uncached"], seconds),
        }


def memory_rows(
    policy: DecodingPolicy, x: Tensor, z: Tensor, settings: Settings
) -> Rows:
    """Peak megabytes of one ReMax step, and of sampling for a quarter of its rows.

    AdamW is left out: its memory, twice the weights, is the same for all methods.
    """
    s = settings.memory_samples
    works = {
        "remax_step": {
            name: partial(samplers.remax_gradient, loss)
            for name, loss in REMAX_LOSSES.items()
        },
        "sampling": {
            name: partial(samplers.sample_strings, sampler, s)
            for name, sampler in SAMPLERS.items()
        },
    }
    rows = {"remax_step": settings.batch_rows, "sampling": settings.batch_rows // 4}
    for what, methods in works.items():
        batch = first(x, rows[what]), first(z, rows[what])
        for name, work in methods.items():
            megabytes = peak_megabytes(work, policy, *batch)
            yield {"work": what, "method": name, "megabytes": megabytes}


def scaling_rows(
    policy: DecodingPolicy,
    by_digits: Callable[[int], DecodingPolicy],
    x: Tensor,
    settings: Settings,
) -> Rows:
    """Seconds of a call against S, rows and K, each with the other two held fixed.

    ``by_digits`` makes a policy that writes K digits.
    """
    rows, s = settings.fixed_rows, settings.fixed_samples
    cases = {
        "num_samples": [(v, (policy, rows, v)) for v in settings.vary_samples],
        "rows": [(v, (policy, v, s)) for v in settings.vary_rows],
        "num_digits": [(v, (by_digits(v), rows, s)) for v in settings.vary_digits],
    }
    for vary, values in cases.items():
        names = ["tree", "cached"]
        for value, (reader, n, num_samples) in values:
            generator = torch.Generator(x.device).manual_seed(value)
            works = {
                name: partial(
                    SAMPLERS[name], reader, first(x, n), num_samples, generator
                )
                for name in names
            }
            times = interleaved(works, settings.rounds, x.device.type, 0.0)
            for name, seconds in times.items():
                took = {"sampler": name, "seconds": median(seconds)}
                yield {"vary": vary, "value": value, **took}
                if name == "cached" and took["seconds"] > ENOUGH_SECONDS:
                    names = ["tree"]
