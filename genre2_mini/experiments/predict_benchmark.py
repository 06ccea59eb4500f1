"""The price of a prediction: ``genre2-mini bench predict``.

A policy before and after GenRe², heads on the same encoder, and boosted trees predict
the same rows on the CPU. *Before* is cross-entropy, *after* is GenRe² from there.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median

import pandas as pd
import torch
from sklearn.base import RegressorMixin
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from genre2_mini.evaluation import predict_distribution
from genre2_mini.experiments.rivals import tuned_rival
from genre2_mini.experiments.rollout_benchmark import table_text
from genre2_mini.experiments.rollout_measurements import first
from genre2_mini.experiments.timing import (
    describe_machine,
    interleaved,
    peak_flops,
    peak_megabytes,
    ratio,
    rounded,
)
from genre2_mini.methods import METHODS, build_model
from genre2_mini.metrics import weighted_mean
from genre2_mini.stages import train
from genre2_mini.tasks import Task, load_task

BOOSTING = "Boosting"
ENOUGH_SECONDS = 0.5  # ten times as many rows would take about ten times as long
Rows = Iterator[dict]


@dataclass(frozen=True)
class Settings:
    """How much is measured; ``QUICK`` has the smaller numbers of a quick run."""

    rounds: int = 5
    rows: tuple[int, ...] = (100, 1_000, 10_000, 100_000)
    threads: int | None = None
    ce_steps: int = 500
    rl_steps: int = 200
    max_rows: int = 4000
    num_samples: int = 128
    memory_rows: int = 10_000
    peak_size: int = 2048  # of the matrices whose product is the machine's peak
    at_least: float = 0.05  # seconds a timing


QUICK = {
    "rounds": 2,
    "rows": (4, 16),
    "ce_steps": 3,
    "rl_steps": 2,
    "max_rows": 250,
    "num_samples": 8,
    "memory_rows": 16,
    "peak_size": 256,
    "at_least": 0.0,
}


@dataclass(frozen=True)
class Predictor:
    """A trained model and one way to get a number for each row from it.

    Attributes
    ----------
    name, stage : the way; of a policy, ``"before"`` or ``"after"`` GenRe².
    model : a network or a scikit-learn regressor.
    predict : (model, x) -> predictions (N,).
    """

    name: str
    stage: str | None
    model: nn.Module | RegressorMixin
    predict: Callable

    @property
    def label(self) -> dict[str, str | None]:
        """What its rows are called."""
        return {"predictor": self.name, "stage": self.stage}


def mean_prediction(
    model: nn.Module, x: Tensor, num_samples: int | None = None
) -> Tensor:
    """The mean (N,) of each row's distribution; None is the exact one."""
    return weighted_mean(*predict_distribution(model, x, num_samples))


def trees_prediction(model: RegressorMixin, x: Tensor):
    """scikit-learn's prediction (N,)."""
    return model.predict(x.numpy())


def predict_rows(predict: Callable, model, x: Tensor, z: Tensor) -> None:
    """A prediction as a work of ``peak_megabytes``, which also passes targets."""
    predict(model, x)


def run(settings: Settings) -> dict:
    """Measure everything: settings, machine, speeds and memory, ready for JSON.

    Numbers are rounded to five significant digits.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    task = load_task("fried", max_rows=settings.max_rows)
    ways, params = predictors(task, settings)
    with threadpool_limits(settings.threads):  # what scikit-learn asks, not torch
        machine = describe_machine("cpu", peak_flops("cpu", settings.peak_size))
        rows = list(speed_rows(ways, task.train.x, settings))
        memory = list(memory_rows(ways, task, settings.memory_rows))
    results = {"settings": asdict(settings), "machine": machine, "boosting": params}
    return rounded(results | {"rows": rows, "memory": memory})


def predictors(task: Task, settings: Settings) -> tuple[list[Predictor], dict]:
    """Everything that predicts, trained, and the parameters chosen for boosting."""
    steps = {"ce_steps": settings.ce_steps, "rl_steps": settings.rl_steps}
    common = {"progress": False, "seed": 0}
    policy = build_model(METHODS["ce"], task)
    train(policy, task, METHODS["ce"], **steps | {"rl_steps": 0}, **common)
    sharp = copy.deepcopy(policy)
    train(sharp, task, METHODS["genre2"], **steps | {"ce_steps": 0}, **common)
    ways = []
    for stage, model in {"before": policy, "after": sharp}.items():
        exact = copy.deepcopy(model).double()  # as the estimator predicts
        samples = partial(mean_prediction, num_samples=settings.num_samples)
        ways += [
            Predictor(
                "one sample", stage, model, partial(mean_prediction, num_samples=1)
            ),
            Predictor(f"mean of {settings.num_samples}", stage, model, samples),
            Predictor("exact mean", stage, exact, mean_prediction),
            Predictor("exact mean, float32", stage, model, mean_prediction),
        ]
    for name in ("pointwise", "histogram"):
        head = build_model(METHODS[name], task)
        train(head, task, METHODS[name], **steps, **common)
        ways.append(Predictor(METHODS[name].label, None, head, mean_prediction))
    trees, params = tuned_rival("boosting", task)
    return [*ways, Predictor(BOOSTING, None, trees, trees_prediction)], params


def speed_rows(ways: list[Predictor], x: Tensor, settings: Settings) -> Rows:
    """Rows a second of each predictor, for each number of rows in a call.

    A predictor goes no further once a call takes longer than ``ENOUGH_SECONDS``;
    boosting, which the others are compared with, always does.
    """
    for n in sorted(settings.rows):
        batch = first(x, n)
        works = {way: partial(way.predict, way.model, batch) for way in ways}
        times = interleaved(works, settings.rounds, at_least=settings.at_least)
        [boosting] = (times[way] for way in ways if way.name == BOOSTING)
        for way, seconds in times.items():
            yield way.label | {
                "rows": n,
                "rows_per_second": n / median(seconds),
                "rows_per_second_low": n / max(seconds),
                "rows_per_second_high": n / min(seconds),
                "ratio_to_boosting": ratio(boosting, seconds),
            }
        ways = [
            way
            for way, seconds in times.items()
            if median(seconds) <= ENOUGH_SECONDS or way.name == BOOSTING
        ]


def memory_rows(ways: list[Predictor], task: Task, rows: int) -> Rows:
    """Peak megabytes of one call with so many rows."""
    x, z = first(task.train.x, rows), first(task.train.z, rows)
    for way in ways:
        megabytes = peak_megabytes(partial(predict_rows, way.predict), way.model, x, z)
        yield way.label | {"rows": rows, "megabytes": megabytes}


def tables(results: dict) -> str:
    """Speed, speed against boosting and memory as text."""
    index = ["predictor", "stage"]
    speeds = pd.DataFrame(results["rows"]).fillna({"stage": ""})
    memory = pd.DataFrame(results["memory"]).fillna({"stage": ""})
    order = pd.MultiIndex.from_frame(memory[index])
    titles = {
        "Rows a second, by rows in a call": "rows_per_second",
        "Times the speed of boosting": "ratio_to_boosting",
    }
    shown = {
        title: speeds.pivot(index=index, columns="rows", values=column).loc[order]
        for title, column in titles.items()
    }
    shown["Peak memory, megabytes"] = memory.set_index([*index, "rows"])
    texts = [f"{title}\n{table_text(table)}" for title, table in shown.items()]
    return "\n\n".join(texts)
