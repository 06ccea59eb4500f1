"""What cross-entropy learns, beside two regression heads on the same encoder.

``python -m genre2_mini.experiments.cross_entropy`` records it. Within a task and a seed
all models share the split, the encoder's size, the batches and the number of steps, and
the RMSE of the mean on the validation rows chooses their weights. One policy more is
kept: the same run where its validation cross-entropy was lowest.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Annotated

import pandas as pd
import torch
import typer
from torch import Tensor

from genre2_mini.evaluation import predict_distribution
from genre2_mini.experiments.calibration import (
    coverage,
    exact_distribution,
    point_answers,
    probability_below,
)
from genre2_mini.experiments.options import Jobs, Out, Seeds, Tasks
from genre2_mini.experiments.processes import in_processes
from genre2_mini.experiments.results import record
from genre2_mini.methods import METHODS, build_model
from genre2_mini.metrics import (
    distribution_scores,
    point_scores,
    weighted_mean,
    weighted_quantile,
)
from genre2_mini.objectives import CrossEntropy
from genre2_mini.policy import DecodingPolicy
from genre2_mini.runs import Run
from genre2_mini.stages import train
from genre2_mini.tasks import Split, Task, load_task
from genre2_mini.tokenizers import NormalizedTokenizer

TASKS = ("concrete", "abalone", "house_sales")
TEMPERATURES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
LEVELS = tuple(range(10, 100, 10))  # of the central intervals, in per cent
BY_CE, RESIDUALS = "CE, chosen by CE", "Pointwise + residuals"
LABELS = ("CE", BY_CE, "Pointwise", RESIDUALS, "Histogram")
SETTINGS = {  # the defaults of fit
    "batch_size": 128,
    "learning_rate": 3e-4,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
    "metric": "rmse_mean",
    "num_samples": 32,
}
VALIDATE_EVERY = 50


def score(
    values: Tensor, weights: Tensor, z: Tensor, width: float, cells: NormalizedTokenizer
) -> dict[str, float]:
    """Every score of the study for distributions (N, V) against z (N,), in z units.

    ``hit_*`` is the share of rows whose answer has the truth's string in ``cells``.
    ``coverage_*`` takes each value for a cell of ``width``; ``bare_50`` counts the rows
    between the 25% and the 75% quantile, ends included, and ``wide_50`` adds half a
    ``width`` at both ends.
    """
    scores = distribution_scores(values, z, weights)
    found = {name: scores[name] for name in ("r2_k1", "rmse_k1", "mae_k1", "crps")}
    for name, answer in point_answers(values, weights).items():
        points = point_scores(answer, z)
        found |= {f"{key}_{name}": points[key] for key in ("r2", "rmse", "mae")}
        hit = (cells.encode(answer) == cells.encode(z)).all(dim=-1)
        found[f"hit_{name}"] = hit.double().mean().item()
    below = probability_below(values, weights, z, width)
    found |= {f"coverage_{level}": coverage(below, level / 100) for level in LEVELS}
    for level in (50, 90):
        tail = (1 - level / 100) / 2
        low, high = weighted_quantile(values, [tail, 1 - tail], weights).T
        found[f"width_{level}"] = (high - low).mean().item()
        if level == 50:
            for name, extra in (("bare_50", 0.0), ("wide_50", width / 2)):
                inside = (low - extra <= z) & (z <= high + extra)
                found[name] = inside.double().mean().item()
    return found


@torch.no_grad()
def string_nll(policy: DecodingPolicy, split: Split) -> float:
    """Mean −log π of the true strings, nats a row, dropout off."""
    policy.eval()
    tokens = policy.tokenizer.encode(split.z)
    return -policy.log_prob(split.x, tokens).double().mean().item()


def train_policy(
    task: Task, seed: int, steps: int
) -> tuple[DecodingPolicy, DecodingPolicy, float]:
    """One run, as ``fit`` makes it: the policies chosen by RMSE and by CE; seconds."""
    policy = build_model(METHODS["ce"], task, seed=seed)
    lowest, by_ce = float("inf"), policy
    with torch.random.fork_rng(devices=[]):
        run = Run(policy, task, CrossEntropy(), SETTINGS | {"seed": seed}, None)
        while True:
            run.validate()
            if (now := string_nll(policy, task.valid)) < lowest:
                lowest, by_ce = now, copy.deepcopy(policy)
            if run.step >= steps:
                break
            for _ in range(min(VALIDATE_EVERY, steps - run.step)):
                run.train_one_batch()
    run.finish()
    return policy, by_ce, run.seconds


def policy_rows(task: Task, seed: int, steps: int) -> Iterator[dict]:
    """Cross-entropy at every temperature, and the policy chosen by validation CE."""
    policy, by_ce, seconds = train_policy(task, seed, steps)
    tok, z = policy.tokenizer, task.test.z
    models = [("CE", policy, t) for t in TEMPERATURES] + [(BY_CE, by_ce, 1.0)]
    for label, model, temperature in models:
        values, weights = exact_distribution(model, task.test.x, temperature)
        row = {"method": label, "temperature": temperature, "seconds": seconds}
        row |= score(values, weights, z, tok.resolution, tok)
        on_valid = exact_distribution(model, task.valid.x, temperature)
        row["valid_crps"] = crps_of(on_valid, task.valid)
        if temperature == 1:
            row["nll"] = string_nll(model, task.test)
            drawn = weighted_mean(*predict_distribution(model, task.test.x, 128))
            row["r2_mean_128"] = point_scores(drawn, z)["r2"]
        yield row


def head_rows(task: Task, seed: int, steps: int) -> Iterator[dict]:
    """Both heads; the pointwise one also with the residuals of the validation rows.

    A residual of a row that was not trained on is a sample of the errors to expect,
    the same for every row (the idea of split conformal prediction).
    """
    cells = NormalizedTokenizer(base=2, num_digits=8).fit(task.train.z)
    options = {"seed": seed, "metric": SETTINGS["metric"], "progress": False}
    for method in (METHODS["pointwise"], METHODS["histogram"]):
        head = build_model(method, task, seed=seed)
        history = train(head, task, method, ce_steps=steps, rl_steps=0, **options)
        seconds = history["seconds"].iloc[-1]
        valid, test = (predict_distribution(head, p.x) for p in (task.valid, task.test))
        found, width = {method.label: (valid, test)}, cells.resolution
        if method is METHODS["pointwise"]:
            residuals = task.valid.z - valid[0][:, 0]
            found[RESIDUALS] = tuple(spread(d[0], residuals) for d in (valid, test))
        else:
            width = (head.edges[1] - head.edges[0]).item()
        for label, (on_valid, on_test) in found.items():
            row = {"method": label, "temperature": 1.0, "seconds": seconds}
            row |= score(*on_test, task.test.z, width, cells)
            yield row | {"valid_crps": crps_of(on_valid, task.valid)}


def spread(points: Tensor, residuals: Tensor) -> tuple[Tensor, Tensor]:
    """Points (N, 1) plus each of the residuals (V,): values and weights (N, V)."""
    values = points + residuals
    return values, torch.full_like(values, 1 / len(residuals))


def crps_of(distribution: tuple[Tensor, Tensor], split: Split) -> float:
    """CRPS of values and weights (N, V), in z units, mean over the split's rows."""
    values, weights = distribution
    return distribution_scores(values, split.z, weights)["crps"]


def run(
    name: str, seed: int, max_rows: int | None = 4000, steps: int = 600
) -> pd.DataFrame:
    """Every model on one task; ``seed`` fixes split, weights and batches.

    Returns
    -------
    One row a model and temperature: test scores of the whole distribution in z units,
    and of policies at temperature 1 ``nll`` and ``r2_mean_128``, the R² of the mean of
    128 samples.
    """
    task = load_task(name, max_rows=max_rows, seed=seed)
    rows = [*policy_rows(task, seed, steps), *head_rows(task, seed, steps)]
    return pd.DataFrame({"task": name, "seed": seed} | row for row in rows)


def main(
    tasks: Tasks = None,
    seeds: Seeds = 5,
    steps: Annotated[int, typer.Option(min=1, help="steps of each model")] = 600,
    jobs: Jobs = 2,
    out: Out = None,
) -> None:
    """Record what cross-entropy and the two heads learn, over seeds."""
    grid = list(itertools.product(tasks or TASKS, range(seeds)))
    rows = in_processes(run, grid, jobs, steps=steps)
    record(rows, "cross_entropy", out)


if __name__ == "__main__":
    typer.run(main)
