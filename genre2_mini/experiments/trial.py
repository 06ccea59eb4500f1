"""One run of a study, start to finish: a pure function of its spec.

It may run in any process on any machine: the weights it starts from come as bytes, and
what it returns is plain data. Nothing is written here.
"""

from __future__ import annotations

import math
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from genre2_mini.experiments.common_scale import (
    answers,
    common_scores,
    count_scores,
    counts_something,
)
from genre2_mini.experiments.distribution_detail import (
    detail_of_validation,
    detail_on_test,
)
from genre2_mini.experiments.named_rewards import named_reward
from genre2_mini.experiments.programs import is_program_task, load_program_task
from genre2_mini.experiments.rivals import RIVALS, tuned_rival
from genre2_mini.experiments.specs import RunSpec
from genre2_mini.experiments.text_rivals import TEXT_RIVALS, tuned_text_rival
from genre2_mini.experiments.timing import peak_resident_bytes
from genre2_mini.experiments.trial_scores import SELECTION, every_score, scores_on_test
from genre2_mini.methods import METHODS, build_model
from genre2_mini.metrics import (
    distribution_scores,
    expected_sample_scores,
    weighted_mean,
)
from genre2_mini.objectives import Objective
from genre2_mini.runs import Run, average
from genre2_mini.tasks import Split, Task, load_task
from genre2_mini.tokenizers import tokenizer_from_config

OPTIMISER = {"weight_decay": 0.01, "max_grad_norm": 1.0}


def trial(spec: RunSpec, start: bytes | None = None) -> tuple[dict, bytes | None]:
    """Train and score what ``spec`` says, with one thread.

    Parameters
    ----------
    start : weights to start from, as safetensors, where the spec names a run.

    Returns
    -------
    record : ``chosen``, the scores of the best weights under each of ``SELECTION``
        (``scores_of_best``); ``history``, one row a validation; ``seconds`` of training
        and ``peak_mb`` of memory. Or ``failed``, where the training diverged.
    weights : the best ones by ``rmse_mean``, where ``spec.keep_weights``.
    """
    forget_peak()
    torch.set_num_threads(1)
    begin = time.perf_counter()
    task = with_train_rows(task_of(spec), spec.train_rows)
    if spec.method in (*RIVALS, *TEXT_RIVALS):
        return rival(spec, task, begin), None
    model = build_model(
        METHODS[spec.method],
        task,
        tokenizer(spec),
        seed=spec.network_seed,
        **spec.model,
    ).to(spec.device)
    if start is not None:
        model.load_state_dict(load(start))
    try:
        history, best = train(spec, model, task)
    except FloatingPointError as error:  # a learning rate too far: a result as well
        return {"failed": str(error)}, None
    record = {
        "chosen": scores_of_best(spec, model, task, best),
        "history": history,
        "seconds": history[-1]["seconds"],
        "peak_mb": peak_resident_bytes_of_run() / 1e6,
    }
    return record, save(best["rmse_mean"][2]) if spec.keep_weights else None


def scores_of_best(spec: RunSpec, model: nn.Module, task: Task, best: dict) -> dict:
    """Validation score, step and test scores of each of ``best`` (``train``).

    A run that others start from is in no table, so its test rows stay unread.
    """
    chosen, scored = {}, {}
    for metric, (score, step, weights) in best.items():
        if step not in scored:
            model.load_state_dict(weights)
            scored[step] = {} if spec.keep_weights else scores_of(spec, model, task)
        chosen[metric] = {"valid": score, "step": step, **scored[step]}
    return chosen


def scores_of(spec: RunSpec, model: nn.Module, task: Task) -> dict:
    """Test scores of the weights the model has now, in detail if the spec says so."""
    controlled = spec.method == "ce" and spec.steps > 0  # once for each policy
    found = scores_on_test(model, task, controlled)
    if spec.detail:
        found |= detail_on_test(model, task.test, found)
    if spec.member is not None:
        found["means"] = exact_means(model, task)
    return found


def exact_means(model: nn.Module, task: Task) -> list[float]:
    """The mean of all strings for each test row: what an ensemble averages."""
    values, weights, _ = answers(model, task, task.test, num_samples=None)
    return [float(f"{mean:.6g}") for mean in weighted_mean(values, weights)]


def task_of(spec: RunSpec) -> Task:
    """The spec's task: a named table, or a table of programs (``programs``)."""
    read = load_program_task if is_program_task(spec.task) else load_task
    return read(spec.task, max_rows=spec.max_rows, seed=spec.seed)


def tokenizer(spec: RunSpec):
    """The spec's unfitted tokenizer; None is the default of ``build_model``."""
    return None if spec.tokenizer is None else tokenizer_from_config(spec.tokenizer)


def with_train_rows(task: Task, rows: int | None) -> Task:
    """The task with fewer training rows; standardised as before."""
    if rows is None or rows >= len(task.train):
        return task
    return replace(task, train=Split(task.train.x[:rows], task.train.z[:rows]))


def objective(spec: RunSpec, task: Task) -> Objective:
    """The method's objective with the spec's arguments."""
    arguments = dict(spec.objective)
    if "reward" in arguments:
        arguments["reward"] = named_reward(arguments["reward"], task.train.z)
    return METHODS[spec.method].objective(**arguments)


def train(spec: RunSpec, model: nn.Module, task: Task) -> tuple[list[dict], dict]:
    """Train; the validations, and for each of ``SELECTION`` its best.

    Returns
    -------
    history : one row a validation, the first before any step.
    best : metric of ``selections`` -> (validation score, step, weights).
    """
    settings = OPTIMISER | {
        "batch_size": spec.batch_size,
        "learning_rate": spec.learning_rate,
        "seed": spec.network_seed,
    }
    history, best = [], {}
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        run = Run(model, task, objective(spec, task), settings, checkpoint=None)
        begin = time.perf_counter()
        while True:
            valid = validation_scores(model, task, run.step)
            seconds = time.perf_counter() - begin
            row = {"step": run.step, "seconds": seconds} | average(run.reports)
            run.reports.clear()
            history.append(row | {f"valid_{k}": valid[k] for k in SELECTION})
            if spec.detail:
                pause = time.perf_counter()  # it is no part of the training
                history[-1] |= detail_of_validation(model, task.valid)
                begin += time.perf_counter() - pause
            state = None
            for metric in selections(spec):
                if valid[metric] < best.get(metric, (math.inf,))[0]:
                    state = state or snapshot(model)
                    best[metric] = valid[metric], run.step, state
            if run.step >= spec.steps:
                return history, best
            for _ in range(min(spec.validate_every, spec.steps - run.step)):
                run.train_one_batch()


def validation_scores(model: nn.Module, task: Task, step: int) -> dict[str, float]:
    """Scores of 32 evenly spread strings; FloatingPointError if they are no numbers."""
    try:
        return common_scores(model, task, task.valid, num_samples=32, seed=None)
    except ValueError as error:
        message = f"step {step}: {error}; lower learning_rate"
        raise FloatingPointError(message) from error


def selections(spec: RunSpec) -> tuple[str, ...]:
    """What chooses weights; where laws are looked at closely, their CRPS as well."""
    return (*SELECTION, "crps") if spec.detail else SELECTION


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights that training does not change."""
    return {name: w.clone() for name, w in model.state_dict().items()}


def rival(spec: RunSpec, task: Task, begin: float) -> dict:
    """The record of what is no network: its answer is a distribution of one value."""
    if spec.method in RIVALS:
        model, params = tuned_rival(spec.method, task, spec.seed)

        def predict(split: Split) -> Tensor:
            return torch.from_numpy(model.predict(split.x.numpy()))
    else:
        predict, params = tuned_text_rival(spec.method, task)
    seconds = time.perf_counter() - begin
    valid = expected_sample_scores(predict(task.valid)[:, None], task.valid.z)["rmse"]
    points, z = predict(task.test)[:, None], task.test.z
    found = distribution_scores(points, z)
    found["spearman_k1"] = found["spearman_mean"]
    if counts_something(task):
        certain = torch.ones_like(points)
        found |= every_score(points, certain, z)
        found |= count_scores(task, points, certain, z)
    one = {"valid": valid, "step": 0, "exact": found, "drawn": found}
    return {
        "chosen": {metric: one for metric in SELECTION},
        "history": [],
        "params": params,
        "seconds": seconds,
        "peak_mb": peak_resident_bytes_of_run() / 1e6,
    }


def forget_peak() -> None:
    """Let the process's peak of memory start here (Linux; elsewhere it cannot)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_resident_bytes_of_run() -> int:
    """The most memory this process held since ``forget_peak``, or ever."""
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(s.split()[1]) for s in lines if s.startswith("VmHWM"))
    return peak_resident_bytes()
