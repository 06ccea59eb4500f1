"""What an exponent costs a policy that cross-entropy has trained.

``python -m genre2_mini.experiments.exponent_slips`` trains scientific strings (sign,
four digits, exponent) on Friedman-1, one run a seed, and records its scores and what
each exponent adds to the expected squared error.
"""

from __future__ import annotations

import copy

import pandas as pd
import torch
import typer

from genre2_mini.evaluation import evaluate
from genre2_mini.experiments.mismatch import ROWS_AT_ONCE, cross_entropy_run
from genre2_mini.experiments.options import (
    CeSteps,
    Every,
    Jobs,
    MaxRows,
    OutFolder,
    Seeds,
    TaskName,
)
from genre2_mini.experiments.processes import in_processes
from genre2_mini.experiments.results import save_results
from genre2_mini.metrics import nll
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rollouts import tree_rollout
from genre2_mini.tasks import Split, load_task
from genre2_mini.tasks.cards import data_folder
from genre2_mini.tokenizers import ScientificTokenizer

COLUMNS = ["frequency", "probability", "squared_error", "wrong"]
SCORES = ["step", "valid_nll", "nll", "nats_sign", "nats_digits", "nats_exponent"]
SCORES += ["r2_k1", "r2_mean", "r2_median", "r2_k1_exact"]


@torch.no_grad()
def by_exponent(
    policy: DecodingPolicy, split: Split, num_samples: int = 64
) -> pd.DataFrame:
    """What each exponent costs, where it is the last token: exact given the digits.

    Sign and digits are ``num_samples`` evenly spread strings a row; over the exponents
    that follow, the expectation is exact: no slip is too rare to be counted.

    Returns
    -------
    One row an exponent: ``exponent``; ``frequency`` among the true strings;
    ``probability`` and part of E(ẑ − z)², ``squared_error``, means over the rows of x;
    ``wrong``, the part of that from rows whose true exponent is another one.
    """
    tokenizer = policy.tokenizer
    true = tokenizer.encode(split.z)[:, -1]
    num = tokenizer.vocab_sizes[-1]
    total = torch.zeros(3, num, dtype=torch.float64)
    rows = torch.arange(len(split.z)).split(ROWS_AT_ONCE)
    for part in rows:
        r = tree_rollout(policy, split.x[part], num_samples, systematic=True)
        p = r.log_probs[r.node[:, -1], :num].double().exp()  # (M, exponents)
        p = p * (r.count / num_samples)[:, None]
        digits = r.tokens[:, None, :-1].expand(-1, num, -1)
        exponents = torch.arange(num).expand(len(digits), -1)[..., None]
        values = tokenizer.decode(torch.cat([digits, exponents], dim=-1))
        cost = p * (values - split.z[part][r.owner][:, None]).square()
        wrong = true[part][r.owner][:, None] != torch.arange(num)
        total += torch.stack([p.sum(0), cost.sum(0), (cost * wrong).sum(0)])
    probability, cost, wrong = total / len(split.z)
    return pd.DataFrame(
        {
            "exponent": torch.arange(num) - tokenizer.max_exponent,
            "frequency": true.bincount(minlength=num) / len(true),
            "probability": probability,
            "squared_error": cost,
            "wrong": wrong,
        }
    )


@torch.no_grad()
def nats_by_role(policy: DecodingPolicy, split: Split) -> dict[str, float]:
    """Cross-entropy of the true strings in nats a row: sign, digits, exponent, sum."""
    tokens = policy.tokenizer.encode(split.z)
    log_p = policy.logits(split.x, tokens[:, None])[:, 0].log_softmax(dim=-1)
    nats = -log_p.gather(-1, tokens[..., None]).squeeze(-1).mean(dim=0)
    parts = {"sign": nats[:1], "digits": nats[1:-1], "exponent": nats[-1:]}
    found = {f"nats_{role}": part.sum().item() for role, part in parts.items()}
    return found | {"nll": nats.sum().item()}


def run_seed(
    name: str, seed: int, max_rows: int, steps: int, every: int
) -> pd.DataFrame:
    """Test scores of the checkpoint with the least validation cross-entropy.

    Columns: ``task``, ``seed``, ``SCORES`` (of 128 samples a row, but ``r2_k1_exact``)
    and the table of exponents in one row: ``frequency-10`` … ``wrong10``.
    """
    task = load_task(name, max_rows=max_rows, seed=seed)
    best, valid = None, float("inf")
    tokens = ScientificTokenizer()
    for step, policy in cross_entropy_run(task, seed, steps, every, tokens):
        with torch.no_grad():
            true = policy.tokenizer.encode(task.valid.z)
            now = nll(policy.log_prob(task.valid.x, true))
        if now < valid:
            best, valid, best_step = copy.deepcopy(policy), now, step
    exponents = by_exponent(best, task.test)
    variance = task.test.z.var(correction=0).item()
    row = {"task": name, "seed": seed, "step": best_step, "valid_nll": valid}
    row |= nats_by_role(best, task.test) | evaluate(best, task.test)
    row["r2_k1_exact"] = 1 - exponents["squared_error"].sum() / variance
    row = {column: row[column] for column in ["task", "seed", *SCORES]}
    long = exponents.set_index("exponent").unstack()
    return pd.DataFrame([row | {f"{c}{e}": value for (c, e), value in long.items()}])


def exponents(rows: pd.DataFrame) -> pd.DataFrame:
    """The tables of exponents of some rows of :func:`run_seed`, one below another."""
    keys = ["task", "seed"]
    columns = [c for c in rows if c.rstrip("-0123456789") in COLUMNS]
    wide = rows[keys + columns]
    long = pd.wide_to_long(wide, COLUMNS, i=keys, j="exponent", suffix=r"-?\d+")
    return long.reset_index().sort_values([*keys, "exponent"], ignore_index=True)


def main(
    task: TaskName = "fried",
    seeds: Seeds = 5,
    max_rows: MaxRows = 4000,
    steps: CeSteps = 1000,
    every: Every = 50,
    jobs: Jobs = 2,
    out: OutFolder = None,
) -> None:
    """Record the scores of scientific strings, and what each exponent costs."""
    grid = [(task, seed) for seed in range(seeds)]
    settings = {"max_rows": max_rows, "steps": steps, "every": every}
    rows = in_processes(run_seed, grid, jobs, **settings)
    folder = out or data_folder() / "results"
    save_results(rows[["task", "seed", *SCORES]], folder / "mismatch_scientific.csv")
    table = exponents(rows)
    save_results(table, folder / "mismatch_exponents.csv")
    typer.echo(f"{len(rows)} and {len(table)} rows written to {folder}")


if __name__ == "__main__":
    typer.run(main)
