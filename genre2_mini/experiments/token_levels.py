"""Token-level losses against more cross-entropy, from one checkpoint.

``python -m genre2_mini.experiments.token_levels`` records them. Within a task, a seed
and a tokenizer all start from the same cross-entropy policy and get the same batches
and as many further steps. The expected RMSE of one string on the validation rows
chooses each one's weights; the checkpoint itself is among the choices. The cheapest
rival trains nothing: it is the control, sampled at lower temperatures.

Digits are decimal. On one task they are binary as well, where a digit cannot be nearly
right, and the losses get larger weights too, in case the published ones are too small.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated

import pandas as pd
import torch
import typer

from genre2_mini.evaluation import evaluate
from genre2_mini.experiments.options import CeSteps, Jobs, MaxRows, Out, Seeds, Tasks
from genre2_mini.experiments.processes import in_processes
from genre2_mini.experiments.results import record
from genre2_mini.methods import METHODS, build_model
from genre2_mini.objectives import CrossEntropy, Objective
from genre2_mini.policy import DecodingPolicy
from genre2_mini.tasks import Split, Task, load_task
from genre2_mini.tokenizers import NormalizedTokenizer
from genre2_mini.training import fit

TASKS = ("concrete", "abalone", "house_sales")
DECIMAL, BINARY = (10, 3), (2, 8)  # base, digits
TOKENIZERS = dict.fromkeys(TASKS, (DECIMAL,)) | {"concrete": (DECIMAL, BINARY)}
TOKEN_LEVEL = ("ntl_mse", "ntl_was", "dist2")
NAMES = ("ce", *TOKEN_LEVEL, "remax")
START, COOLED = "Checkpoint", "CE cooled"
TEMPERATURES = (0.85, 0.7, 0.5, 0.3)
SWEPT, SCALES = ("concrete", DECIMAL), (3.0, 10.0, 30.0)  # times the published weight
SCORES = ["r2_k1", "r2_mean", "r2_median", "rmse_k1", "rmse_mean", "mae_k1"]
SCORES += ["mae_median", "crps", "nll"]


def objectives(swept: bool) -> Iterator[tuple[str, float, Objective]]:
    """Label, scale of the weight, and objective of everything that is compared."""
    for name in NAMES:
        yield METHODS[name].label, 1.0, METHODS[name].objective()
    for scale in SCALES if swept else ():
        for name in TOKEN_LEVEL:
            loss = METHODS[name].objective()
            yield METHODS[name].label, scale, replace(loss, weight=scale * loss.weight)


def scores(policy: DecodingPolicy, split: Split) -> dict[str, float]:
    """``SCORES`` of the whole distribution over strings, none of them drawn.

    ``nll`` is the mean of −log π of the true string, in nats a row.
    """
    with torch.no_grad():
        tokens = policy.tokenizer.encode(split.z)
        nll = -policy.log_prob(split.x, tokens).mean().item()
    found = evaluate(policy, split, num_samples=None) | {"nll": nll}
    return {name: found[name] for name in SCORES}


def checkpoint(
    task: Task, base: int, num_digits: int, seed: int, steps: int
) -> DecodingPolicy:
    """The cross-entropy policy that all methods start from."""
    tokenizer = NormalizedTokenizer(base, num_digits)
    policy = build_model(METHODS["ce"], task, tokenizer, seed=seed)
    options = {"metric": "rmse_k1", "seed": seed, "progress": False}
    fit(policy, task, CrossEntropy(), steps=steps, **options)
    return policy


def go_on(
    policy: DecodingPolicy, task: Task, objective: Objective, steps: int, seed: int
) -> tuple[DecodingPolicy, int]:
    """A copy of ``policy`` trained further, and the step whose weights it keeps."""
    model = copy.deepcopy(policy)
    options = {"metric": "rmse_k1", "seed": seed, "progress": False}
    history = fit(model, task, objective, steps=steps, validate_every=20, **options)
    return model, history.attrs["best_step"]


def cooled(policy: DecodingPolicy, temperature: float) -> DecodingPolicy:
    """A copy that writes at temperature 1 what ``policy`` writes at ``temperature``."""
    model = copy.deepcopy(policy)
    with torch.no_grad():
        for weights in model.unembedding.parameters():
            weights /= temperature
    return model


def trained(
    task: Task, tokenizer: tuple[int, int], seed: int, ce_steps: int, steps: int
) -> Iterator[tuple[dict, DecodingPolicy]]:
    """Every policy of one task and tokenizer, and what it is."""
    policy = checkpoint(task, *tokenizer, seed, ce_steps)
    plain = {"scale": 1.0, "temperature": 1.0, "best_step": 0}
    yield {"method": START} | plain, policy
    for label, scale, objective in objectives((task.name, tokenizer) == SWEPT):
        model, best = go_on(policy, task, objective, steps, seed)
        about = {"method": label} | plain | {"scale": scale, "best_step": best}
        yield about, model
        for temperature in TEMPERATURES if label == METHODS["ce"].label else ():
            about = about | {"method": COOLED, "temperature": temperature}
            yield about, cooled(model, temperature)


def run(
    name: str,
    seed: int,
    tokenizers: Sequence[tuple[int, int]] | None = None,
    max_rows: int | None = 4000,
    ce_steps: int = 500,
    steps: int = 200,
) -> pd.DataFrame:
    """Everything on one task and seed: split, initial weights and batches vary.

    Parameters
    ----------
    tokenizers : base and digits of each; None takes the task's of ``TOKENIZERS``, or
        else decimal digits.
    max_rows, ce_steps, steps : rows of the task, steps of the checkpoint, and from it.

    Returns
    -------
    One row a tokenizer, method, scale of its weight and temperature: ``best_step`` (0
    where no step improved on the checkpoint) and the test ``SCORES`` in z units.
    """
    task = load_task(name, max_rows=max_rows, seed=seed)
    if tokenizers is None:
        tokenizers = TOKENIZERS.get(name, (DECIMAL,))
    return pd.DataFrame(
        {"task": name, "seed": seed, "tokenizer": str(tokenizer)}
        | about
        | scores(policy, task.test)
        for tokenizer in tokenizers
        for about, policy in trained(task, tokenizer, seed, ce_steps, steps)
    )


def main(
    tasks: Tasks = None,
    seeds: Seeds = 5,
    max_rows: MaxRows = 4000,
    ce_steps: CeSteps = 500,
    steps: Annotated[int, typer.Option(min=1, help="steps of each method")] = 200,
    jobs: Jobs = 2,
    out: Out = None,
) -> None:
    """Record what the token-level losses gain over more cross-entropy."""
    grid = [(task, seed) for task in tasks or TASKS for seed in range(seeds)]
    settings = {"max_rows": max_rows, "ce_steps": ce_steps, "steps": steps}
    rows = in_processes(run, grid, jobs, **settings)
    record(rows, "token_levels", out)


if __name__ == "__main__":
    typer.run(main)
