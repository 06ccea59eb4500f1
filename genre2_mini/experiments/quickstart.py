"""The quickstart's recipe, for any task and seed.

``python -m genre2_mini.experiments.quickstart`` repeats it and records the scores.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Iterator

import pandas as pd
import torch
import typer
from sklearn.ensemble import HistGradientBoostingRegressor
from tqdm import tqdm

from genre2_mini.encoders import RowEncoder
from genre2_mini.experiments.options import Out, Seeds, Tasks
from genre2_mini.experiments.results import record
from genre2_mini.heads import PointwiseHead
from genre2_mini.metrics import distribution_scores
from genre2_mini.objectives import CrossEntropy, GenRe2, ReMax, SquaredError
from genre2_mini.policy import DecodingPolicy
from genre2_mini.tasks import Task, load_task
from genre2_mini.tokenizers import NormalizedTokenizer
from genre2_mini.training import evaluate, fit

METRIC = "rmse_k1"  # chooses every network's weights
Result = tuple[str, float, dict[str, float]]


def run(
    name: str,
    seed: int = 0,
    max_rows: int | None = 4000,
    ce_steps: int = 500,
    rl_steps: int = 200,
) -> pd.DataFrame:
    """Train and test all five methods on one task.

    ``seed`` fixes the split, the initial weights and the batches. ReMax and GenRe²
    start from the cross-entropy policy; the pointwise head gets as many steps as
    either has in total; boosted trees have scikit-learn's defaults.

    Returns
    -------
    One row a method: ``task``, ``seed``, ``method``, ``seconds`` of training (with the
    cross-entropy that a method starts from) and the test scores.
    """
    task = load_task(name, max_rows=max_rows, seed=seed)
    steps = ce_steps, rl_steps
    results = [*train_policy(task, seed, *steps), *train_rivals(task, seed, sum(steps))]
    return pd.DataFrame(
        {"task": name, "seed": seed, "method": method, "seconds": seconds} | scores
        for method, seconds, scores in results
    )


def train_policy(
    task: Task, seed: int, ce_steps: int, rl_steps: int
) -> Iterator[Result]:
    """Cross-entropy, then each objective from there: method, seconds, test scores."""
    torch.manual_seed(seed)
    tokenizer = NormalizedTokenizer(base=2, num_digits=8).fit(task.train.z)
    policy = DecodingPolicy(RowEncoder(task.num_features), tokenizer)
    common = {"metric": METRIC, "seed": seed}

    history = fit(policy, task, CrossEntropy(), steps=ce_steps, **common)
    ce_seconds = history["seconds"].iloc[-1]
    yield "CE", ce_seconds, evaluate(policy, task.test)

    common |= {"steps": rl_steps, "validate_every": 20}
    for name, objective in {"ReMax": ReMax(), "GenRe²": GenRe2()}.items():
        tuned = copy.deepcopy(policy)
        history = fit(tuned, task, objective, **common)
        seconds = ce_seconds + history["seconds"].iloc[-1]
        yield name, seconds, evaluate(tuned, task.test)


def train_rivals(task: Task, seed: int, steps: int) -> Iterator[Result]:
    """A pointwise head and boosted trees: method, seconds and test scores of each."""
    torch.manual_seed(seed)
    head = PointwiseHead(RowEncoder(task.num_features))
    history = fit(head, task, SquaredError(), steps=steps, metric=METRIC, seed=seed)
    yield "Pointwise", history["seconds"].iloc[-1], evaluate(head, task.test)

    start = time.perf_counter()
    trees = HistGradientBoostingRegressor(random_state=seed)
    trees.fit(task.train.x.numpy(), task.train.z.numpy())
    seconds = time.perf_counter() - start
    points = torch.from_numpy(trees.predict(task.test.x.numpy()))[:, None]
    yield "Boosting", seconds, distribution_scores(points, task.test.z)


def main(
    tasks: Tasks = None,
    seeds: Seeds = 5,
    out: Out = None,
) -> None:
    """Repeat the quickstart over seeds and record the test scores."""
    grid = list(itertools.product(tasks or ["concrete", "abalone"], range(seeds)))
    rows = pd.concat([run(name, seed) for name, seed in tqdm(grid, unit="run")])
    rows = rows.drop(columns="seconds")  # of one machine on one day
    record(rows, "quickstart", out)


if __name__ == "__main__":
    typer.run(main)
