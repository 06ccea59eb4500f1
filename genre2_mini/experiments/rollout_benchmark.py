"""Speed and memory of rollouts: ``genre2-mini bench rollouts``.

Three samplers, before and after the policy has sharpened: *before* is cross-entropy
until validation stops improving, *after* is ReMax from there.
"""

from __future__ import annotations

import copy
from dataclasses import asdict
from functools import partial

import pandas as pd
import torch
from tqdm import tqdm

from genre2_mini.encoders import RowEncoder
from genre2_mini.experiments.rollout_measurements import (
    Settings,
    memory_rows,
    remax_rows,
    sampling_rows,
    scaling_rows,
)
from genre2_mini.experiments.samplers import REMAX
from genre2_mini.experiments.timing import describe_machine, peak_flops, rounded
from genre2_mini.methods import choose_device
from genre2_mini.objectives import CrossEntropy
from genre2_mini.policy import DecodingPolicy
from genre2_mini.tasks import Task, load_task
from genre2_mini.tokenizers import (
    IEEETokenizer,
    NormalizedTokenizer,
    ScientificTokenizer,
    Tokenizer,
)
from genre2_mini.training import fit

TOKENIZERS = {
    "normalised": partial(NormalizedTokenizer, base=2, num_digits=8),
    "scientific": ScientificTokenizer,
    "ieee": IEEETokenizer,
}
TABLES = ("rows", "remax_step", "memory", "scaling")


def run(settings: Settings) -> dict:
    """Measure everything: settings, machine and the four tables, ready for JSON.

    Memory and scaling are those of the first tokenizer. Numbers are rounded to five
    significant digits.

    Raises
    ------
    ValueError : the device is not there.
    """
    device = choose_device(settings.device)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    task = load_task("fried", max_rows=settings.max_rows)
    x, z = task.train.x.to(device), task.train.z.to(device)
    peak = peak_flops(device, settings.peak_size)
    results = {"settings": asdict(settings), "machine": describe_machine(device, peak)}
    results |= {table: [] for table in TABLES}
    for name in settings.tokenizers:
        stages = checkpoints(task, TOKENIZERS[name](), settings, device)
        for stage, policy in stages.items():
            label = {"stage": stage, "tokenizer": name}
            parts = {
                "rows": sampling_rows(policy, x, settings, peak),
                "remax_step": remax_rows(policy, x, z, settings),
            }
            if name == settings.tokenizers[0]:
                parts["memory"] = memory_rows(policy, x, z, settings)
            for part, rows in parts.items():
                bar = tqdm(rows, f"{name} {stage}: {part}", disable=None)
                results[part] += [labelled(row, label) for row in bar]
        if name == settings.tokenizers[0]:
            by_digits = partial(sharp_policy, task, device)
            rows = scaling_rows(stages["after"], by_digits, x, settings)
            results["scaling"] = list(tqdm(rows, "scaling", disable=None))
    return rounded(results)


def labelled(row: dict, label: dict) -> dict:
    """The row with its label after its first key, which says what was measured."""
    (first, *rest) = row.items()
    return dict([first, *label.items(), *rest])


def checkpoints(
    task: Task, tokenizer: Tokenizer, settings: Settings, device: str
) -> dict[str, DecodingPolicy]:
    """A policy before and after ReMax, each with its best weights.

    Cross-entropy's are chosen by the median: where numbers have no bounds, one wrong
    exponent among thousands of samples decides any mean.
    """
    policy = new_policy(task, tokenizer, device)
    common = {"learning_rate": 1e-3, "num_samples": 8}
    steps = {"steps": settings.ce_steps, "patience": 4}
    fit(policy, task, CrossEntropy(), metric="rmse_median", **steps, **common)
    before = copy.deepcopy(policy)
    fit(policy, task, REMAX, steps=settings.remax_steps, metric="rmse_k1")
    return {"before": before, "after": policy}


def new_policy(task: Task, tokenizer: Tokenizer, device: str) -> DecodingPolicy:
    """A policy of default size with the weights of seed 0."""
    torch.manual_seed(0)
    tokenizer.fit(task.train.z)
    return DecodingPolicy(RowEncoder(task.num_features), tokenizer).to(device)


def sharp_policy(task: Task, device: str, num_digits: int) -> DecodingPolicy:
    """Untrained, of K binary digits, and about as sure of them as after training."""
    tokenizer = NormalizedTokenizer(base=2, num_digits=num_digits)
    policy = new_policy(task, tokenizer, device)
    with torch.no_grad():
        policy.unembedding.weight.mul_(16)
    return policy


def tables(results: dict) -> str:
    """The four tables as text."""
    index = ["tokenizer", "stage", "num_samples", "sampler"]
    rows = pd.DataFrame(results["rows"]).set_index(index)
    scaling = pd.DataFrame(results["scaling"])
    shown = {
        "Sampling": rows,
        "One ReMax step": pd.DataFrame(results["remax_step"]),
        "Peak memory": pd.DataFrame(results["memory"]),
        "Seconds against one size": scaling.pivot(
            index=["vary", "value"], columns="sampler", values="seconds"
        ),
    }
    texts = [f"{title}\n{table_text(table)}" for title, table in shown.items()]
    return "\n\n".join(texts)


def table_text(table: pd.DataFrame) -> str:
    """Three significant digits, whole numbers from 100 on."""
    return table.to_string(
        index=not isinstance(table.index, pd.RangeIndex),
        float_format=lambda v: f"{v:,.0f}" if abs(v) >= 100 else f"{v:.3g}",
        na_rep="–",
    )
