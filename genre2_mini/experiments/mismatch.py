"""Cross-entropy against the error of the number: what one says about the other.

``python -m genre2_mini.experiments.mismatch`` records one cross-entropy run a task and
seed. Every so often it is scored, at several temperatures, by its negative
log-likelihood and by its errors; and for the checkpoint of the least validation
cross-entropy, whose errors they are, by the first wrong digit. All strings are
enumerated: nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import torch
import typer
from torch import Tensor

from genre2_mini.experiments.options import (
    CeSteps,
    Every,
    Jobs,
    MaxRows,
    OutFolder,
    Seeds,
    Tasks,
)
from genre2_mini.experiments.processes import in_processes
from genre2_mini.experiments.results import save_results
from genre2_mini.methods import METHODS, build_model
from genre2_mini.metrics import distribution_scores, nll, point_scores
from genre2_mini.objectives import CrossEntropy
from genre2_mini.policy import DecodingPolicy
from genre2_mini.prefix_tree import Strings, all_strings
from genre2_mini.runs import Run
from genre2_mini.tasks import Split, Task, load_task
from genre2_mini.tasks.cards import data_folder
from genre2_mini.tokenizers import Tokenizer

TASKS = ("concrete", "abalone")
TEMPERATURES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
SCORES = ["nll", "rmse_k1", "rmse_mean", "rmse_median", "rmse_greedy"]
POSITION = ["probability", "near", "squared_error", "nats"]
ROWS_AT_ONCE = 64
OPTIMISER = {  # the defaults of fit
    "batch_size": 128,
    "learning_rate": 3e-4,
    "weight_decay": 0.01,
    "max_grad_norm": 1.0,
}


def cross_entropy_run(
    task: Task, seed: int, steps: int, every: int, tokenizer: Tokenizer | None = None
) -> Iterator[tuple[int, DecodingPolicy]]:
    """Train on cross-entropy; yield (step, policy) every ``every`` steps, 0 included.

    The policy is the one in training: score it, or copy it, before going on.
    """
    policy = build_model(METHODS["ce"], task, tokenizer, seed=seed)
    with torch.random.fork_rng(devices=[]):
        settings = OPTIMISER | {"seed": seed}
        run = Run(policy, task, CrossEntropy(), settings, checkpoint=None)
        while True:
            policy.eval()
            yield run.step, policy
            if run.step >= steps:
                return
            for _ in range(min(every, steps - run.step)):
                run.train_one_batch()


def tempered(strings: Strings, temperature: float) -> Tensor:
    """log-probabilities (M, K) of the strings' tokens, sampled at that temperature."""
    log_probs = (strings.log_probs / temperature).log_softmax(dim=-1)
    width = log_probs.shape[1]
    return log_probs.flatten()[strings.node * width + strings.tokens]


@torch.no_grad()
def exact_distribution(
    policy: DecodingPolicy, x: Tensor, temperatures: tuple[float, ...] = (1.0,)
) -> tuple[Tensor, Tensor]:
    """All strings, and each token's log-probability at each temperature.

    Returns
    -------
    tokens (V, K); log_prob (temperatures, N, V, K), whose sum over K is log π(t | x).
    """
    chunks = []
    for rows in x.split(ROWS_AT_ONCE):
        strings = all_strings(policy, rows)
        tokens = strings.tokens.unflatten(0, (len(rows), -1))[0]
        parts = [
            tempered(strings, t).unflatten(0, (len(rows), -1)) for t in temperatures
        ]
        chunks.append(torch.stack(parts))
    return tokens, torch.cat(chunks, dim=1)


def first_wrong(tokens: Tensor, truth: Tensor) -> Tensor:
    """How many tokens of each string agree with the truth before the first wrong one.

    tokens (V, K), truth (N, K) -> (N, V), from 0 (the first is wrong) to K (none is).
    """
    agree = tokens == truth[:, None]
    return agree.cumprod(dim=-1).sum(dim=-1)


def by_first_wrong(
    tokens: Tensor, log_prob: Tensor, tokenizer: Tokenizer, z: Tensor, near: float
) -> pd.DataFrame:
    """Whose errors the expected squared error is made of, by the first wrong position.

    Parameters
    ----------
    tokens (V, K), log_prob (N, V, K) : as :func:`exact_distribution` gives them.
    z : (N,) targets.
    near : an error up to this counts as near.

    Returns
    -------
    One row a position 1 … K, and K + 1 for no wrong digit at all; means over the N
    inputs. ``probability`` that it is the first wrong one; ``near``, the part of it
    with a near error; ``squared_error``, its part of E(ẑ − z)²; ``nats``, the
    cross-entropy of its true digit (0 for K + 1).
    """
    truth = tokenizer.encode(z)
    first = first_wrong(tokens, truth)
    p = log_prob.double().sum(dim=-1).exp()  # (N, V)
    error = tokenizer.decode(tokens) - z[:, None]
    kinds = torch.arange(tokens.shape[1] + 1)
    true = first == tokens.shape[1]
    nats = -(log_prob * true[..., None]).sum(dim=1).mean(dim=0)

    def part(weight: Tensor) -> Tensor:
        return ((first[..., None] == kinds) * weight[..., None]).sum(dim=1).mean(dim=0)

    return pd.DataFrame(
        {
            "position": kinds + 1,
            "probability": part(p),
            "near": part(p * (error.abs() <= near)),
            "squared_error": part(p * error.square()),
            "nats": torch.nn.functional.pad(nats.double(), (0, 1)),
        }
    )


def scores_by_temperature(
    policy: DecodingPolicy, split: Split, temperatures: tuple[float, ...] = TEMPERATURES
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Exact scores of a split at each temperature; the table of positions at 1.

    Returns
    -------
    scores : ``temperature`` and ``SCORES``; ``nll`` in nats a row, the rest in z units.
    positions : :func:`by_first_wrong`, near being a sixteenth of the range.
    """
    tokenizer = policy.tokenizer
    tokens, log_prob = exact_distribution(policy, split.x, (*temperatures, 1.0))
    values = tokenizer.decode(tokens).expand(len(split.z), -1)
    truth = first_wrong(tokens, tokenizer.encode(split.z)) == tokens.shape[1]
    greedy = point_scores(tokenizer.decode(policy.greedy(split.x)), split.z)["rmse"]
    rows = []
    for temperature, log_p in zip(temperatures, log_prob.sum(dim=-1)[:-1], strict=True):
        found = distribution_scores(values, split.z, log_p.double().exp())
        row = {"temperature": temperature, "nll": nll(log_p[truth])}
        row |= {"rmse_greedy": greedy} | {n: found[n] for n in SCORES[1:4]}
        rows.append(row)
    near = (tokenizer.high - tokenizer.low) / 16
    positions = by_first_wrong(tokens, log_prob[-1], tokenizer, split.z, near)
    return pd.DataFrame(rows)[["temperature", *SCORES]], positions


def run_seed(
    name: str, seed: int, max_rows: int, steps: int, every: int
) -> pd.DataFrame:
    """Scores of every checkpoint and temperature on validation and test rows.

    Columns: ``task``, ``seed``, ``step``, ``temperature``, ``valid_*`` and ``test_*``
    of ``SCORES``, and the test rows' table of positions at temperature 1 in one row:
    ``probability1`` … ``nats9``.
    """
    task = load_task(name, max_rows=max_rows, seed=seed)
    tables = []
    for step, policy in cross_entropy_run(task, seed, steps, every):
        valid, _ = scores_by_temperature(policy, task.valid)
        test, positions = scores_by_temperature(policy, task.test)
        table = valid.set_index("temperature").add_prefix("valid_")
        table = table.join(test.set_index("temperature").add_prefix("test_"))
        long = positions.set_index("position").unstack()
        extra = {f"{column}{k}": value for (column, k), value in long.items()}
        tables.append(table.reset_index().assign(step=step, **extra))
    rows = pd.concat(tables, ignore_index=True).assign(task=name, seed=seed)
    keys = ["task", "seed", "step", "temperature"]
    return rows[[*keys, *rows.columns.drop(keys)]]


def best_checkpoints(rows: pd.DataFrame, score: str = "valid_nll") -> pd.DataFrame:
    """The row of each task and seed with the least ``score`` at temperature 1."""
    rows = rows[rows["temperature"] == 1].reset_index(drop=True)
    return rows.loc[rows.groupby(["task", "seed"])[score].idxmin()]


def positions(rows: pd.DataFrame) -> pd.DataFrame:
    """The tables of positions of some rows of :func:`run_seed`, one below another."""
    keys = ["task", "seed", "step"]
    columns = [c for c in rows if c.rstrip("0123456789") in POSITION]
    long = pd.wide_to_long(rows[keys + columns], POSITION, i=keys, j="position")
    return long.reset_index().sort_values([*keys, "position"], ignore_index=True)


def main(
    tasks: Tasks = None,
    seeds: Seeds = 5,
    max_rows: MaxRows = 1500,
    steps: CeSteps = 600,
    every: Every = 50,
    jobs: Jobs = 2,
    out: OutFolder = None,
) -> None:
    """Record cross-entropy and errors over checkpoints, temperatures and positions."""
    grid = [(task, seed) for task in tasks or TASKS for seed in range(seeds)]
    settings = {"max_rows": max_rows, "steps": steps, "every": every}
    rows = in_processes(run_seed, grid, jobs, **settings)
    folder = out or data_folder() / "results"
    scores = [c for c in rows if c.rstrip("0123456789") not in POSITION]
    save_results(rows[scores], folder / "mismatch.csv")
    best = positions(best_checkpoints(rows))
    save_results(best, folder / "mismatch_positions.csv")
    typer.echo(f"{len(rows)} and {len(best)} rows written to {folder}")


if __name__ == "__main__":
    typer.run(main)
