"""The study of the expert's weight: fair to each, and recorded completely."""

import itertools

import pandas as pd
import pytest
import torch
from recorded_commands import assert_it_writes_every_run

from genre2_mini.evaluation import evaluate
from genre2_mini.experiments import expert_weight, load_results
from genre2_mini.experiments.expert_weight import (
    SCORES,
    START,
    TASKS,
    VALID,
    WEIGHTS,
    both_scores,
    checkpoint,
    go_on,
    objectives,
    run,
    scores,
)
from genre2_mini.objectives import CrossEntropy, ExpertSupervision, GenRe2, ReMax

SMALL = {"max_rows": 60, "ce_steps": 3, "steps": 2}
WEIGHTED = [("GenRe²", weight) for weight in WEIGHTS]
METHODS = [(START, None), ("CE", None), ("ReMax", 0.0), ("Expert alone", None)]
METHODS += WEIGHTED


def pairs(rows):
    """Method and weight of each row, None where there is no weight."""
    weights = [None if pd.isna(w) else w for w in rows["weight"]]
    return list(zip(rows["method"], weights, strict=True))


def test_both_controls_and_every_weight_are_compared():
    found = objectives()
    assert [(label, weight) for label, weight, _ in found] == METHODS[1:]
    kinds = [CrossEntropy, ReMax, ExpertSupervision] + [GenRe2] * len(WEIGHTS)
    assert [type(objective) for *_, objective in found] == kinds
    assert [o.expert_weight for *_, o in found[3:]] == list(WEIGHTS)
    assert {o.num_samples for *_, o in found[1:]} == {16}


@pytest.fixture(scope="module")
def rows():
    return run("concrete", 0, **SMALL)


def test_every_method_and_weight_has_one_row_of_scores(rows):
    columns = ["task", "seed", "method", "weight", *SCORES, *VALID]
    assert rows.columns.tolist() == columns
    assert pairs(rows) == METHODS
    assert rows[SCORES + VALID].notna().all(axis=None)


def test_a_run_is_a_function_of_its_arguments(rows):
    pd.testing.assert_frame_equal(run("concrete", 0, **SMALL), rows)


def test_all_start_from_one_checkpoint_and_leave_it_alone(task):
    policy = checkpoint(task, seed=0, steps=2)
    before = {name: w.clone() for name, w in policy.state_dict().items()}
    models = [go_on(policy, task, o, 1, seed=0) for *_, o in objectives()]
    for name, weights in policy.state_dict().items():
        assert torch.equal(weights, before[name])
    remax, full = models[1], models[-1]
    assert any(
        not torch.equal(a, b)
        for a, b in zip(remax.parameters(), full.parameters(), strict=True)
    )


def test_weight_zero_is_remax(task):
    policy = checkpoint(task, seed=0, steps=2)
    remax = go_on(policy, task, ReMax(), 2, seed=0)
    zero = go_on(policy, task, GenRe2(expert_weight=0.0), 2, seed=0)
    for a, b in zip(remax.parameters(), zero.parameters(), strict=True):
        assert torch.equal(a, b)


def test_scores_are_of_all_strings(task):
    policy = checkpoint(task, seed=0, steps=2)
    found = both_scores(policy, task)
    exact = evaluate(policy, task.test, num_samples=None)
    assert {name: found[name] for name in SCORES} == {n: exact[n] for n in SCORES}
    assert found["valid_rmse_k1"] == scores(policy, task.valid)["rmse_k1"]


def test_the_command_writes_every_run(tmp_path, monkeypatch):
    assert_it_writes_every_run(expert_weight, SMALL, tmp_path, monkeypatch)


def test_the_record_has_every_run_once():
    recorded = load_results("expert_weight")
    found = list(zip(recorded["task"], recorded["seed"], pairs(recorded), strict=True))
    expected = list(itertools.product(TASKS, range(5), METHODS))
    assert len(found) == len(set(found)) == len(expected)
    assert set(found) == set(expected)
    assert recorded[SCORES + VALID].notna().all(axis=None)
