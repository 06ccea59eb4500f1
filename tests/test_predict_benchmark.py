"""The price of a prediction: what is timed is what a user would get, and all of it."""

import json
from itertools import product

import numpy as np
import pytest
import torch
from conftest import make_policy, policy_for
from sklearn.linear_model import LinearRegression
from typer.testing import CliRunner

from genre2_mini.cli import app
from genre2_mini.experiments import predict_benchmark
from genre2_mini.experiments.predict_benchmark import (
    BOOSTING,
    QUICK,
    Predictor,
    Settings,
    mean_prediction,
    memory_rows,
    speed_rows,
    tables,
    trees_prediction,
)
from genre2_mini.rollouts import enumerate_strings
from genre2_mini.tasks.cards import data_folder
from genre2_mini.tokenizers import NormalizedTokenizer

KEYS = ("predictor", "stage", "rows")
WAYS = ["one sample", "mean of 8", "exact mean", "exact mean, float32"]
HEADS = ["Pointwise", "Histogram", BOOSTING]
LABELS = [
    *product(WAYS, ["before"]),
    *product(WAYS, ["after"]),
    *product(HEADS, [None]),
]


# What is timed


def test_the_exact_mean_is_the_mean_over_all_strings(x):
    """Branches below one in a million are left out: 27 strings hold no more of them."""
    tokenizer = NormalizedTokenizer(base=3, num_digits=3, low=-2.0, high=2.0)
    policy = make_policy(tokenizer)
    with torch.no_grad():
        strings, log_prob = enumerate_strings(policy, x)
    expected = (log_prob.exp() * tokenizer.decode(strings)).sum(dim=-1)
    found = mean_prediction(policy, x)
    assert found.numpy() == pytest.approx(expected.numpy(), abs=27 * 2 * 1e-6)
    single = mean_prediction(policy.float(), x)
    assert single.numpy() == pytest.approx(found.numpy(), abs=1e-4)


def test_one_sample_is_one_of_the_policys_numbers(x):
    tokenizer = NormalizedTokenizer(base=3, num_digits=3, low=-2.0, high=2.0)
    found = mean_prediction(make_policy(tokenizer), x, num_samples=1)
    assert torch.equal(tokenizer.decode(tokenizer.encode(found)), found)


def test_trees_predict_what_scikit_learn_predicts(task):
    model = LinearRegression().fit(task.train.x.numpy(), task.train.z.numpy())
    found = trees_prediction(model, task.test.x)
    np.testing.assert_array_equal(found, model.predict(task.test.x.numpy()))


def two_ways(task):
    """A policy's mean and, in the place of boosting, a linear model."""
    linear = LinearRegression().fit(task.train.x.numpy(), task.train.z.numpy())
    return [
        Predictor("exact mean", "before", policy_for(task), mean_prediction),
        Predictor(BOOSTING, None, linear, trees_prediction),
    ]


def test_speeds_are_rows_over_seconds_and_compared_within_rounds(monkeypatch, task):
    """Ratios of the rounds 1/2, 1/8 and 1/4: their median, not that of the medians."""
    ways = two_ways(task)
    seconds = dict(zip(ways, [[2.0, 8.0, 12.0], [1.0, 1.0, 3.0]], strict=True))
    monkeypatch.setattr(predict_benchmark, "interleaved", lambda *_, **__: seconds)
    policy, boosting = speed_rows(ways, task.train.x, Settings(rows=(24,)))
    assert policy == {
        "predictor": "exact mean",
        "stage": "before",
        "rows": 24,
        "rows_per_second": 3.0,
        "rows_per_second_low": 2.0,
        "rows_per_second_high": 12.0,
        "ratio_to_boosting": 0.25,
    }
    assert boosting["rows_per_second"] == 24.0
    assert boosting["ratio_to_boosting"] == 1.0


def test_a_slow_predictor_stops_growing_and_boosting_does_not(monkeypatch, task):
    monkeypatch.setattr(predict_benchmark, "ENOUGH_SECONDS", 0.0)
    settings = Settings(**(QUICK | {"rows": (16, 4)}))
    rows = list(speed_rows(two_ways(task), task.train.x, settings))
    named = [(row["predictor"], row["rows"]) for row in rows]
    assert named == [("exact mean", 4), (BOOSTING, 4), (BOOSTING, 16)]


def hold(megabytes, x):
    """Predicts with so much memory a row."""
    torch.ones(len(x), megabytes * 10**6, dtype=torch.uint8)


def test_memory_is_that_of_one_call_with_all_rows(task):
    """16 rows of 4 MB; the one row that warms up counts as there before."""
    ways = [Predictor("heavy", None, 4, hold)]
    [row] = memory_rows(ways, task, rows=16)
    assert row["megabytes"] == pytest.approx(60, abs=5)
    assert (row["predictor"], row["stage"], row["rows"]) == ("heavy", None, 16)


# A quick run


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What a quick run prints and writes."""
    path = tmp_path_factory.mktemp("bench") / "predict.json"
    command = ["bench", "predict", "--quick", "--json", str(path)]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0, shown.output
    return shown.stdout, json.loads(path.read_text())


def check_rows(rows, sizes, labels):
    """Every way once for each size; its speeds in order."""
    found = [tuple(row[key] for key in KEYS) for row in rows]
    assert found == [(*label, n) for n in sizes for label in labels]
    for row in rows:
        speeds = [row[f"rows_per_second{e}"] for e in ("_low", "", "_high")]
        assert 0 < speeds[0] <= speeds[1] <= speeds[2]
        assert row["ratio_to_boosting"] > 0
        assert row["ratio_to_boosting"] == 1 or row["predictor"] != BOOSTING


def test_a_run_times_every_way_at_every_size(quick):
    _, results = quick
    check_rows(results["rows"], QUICK["rows"], LABELS)
    assert [tuple(row[key] for key in KEYS) for row in results["memory"]] == [
        (*label, QUICK["memory_rows"]) for label in LABELS
    ]
    assert all(row["megabytes"] >= 0 for row in results["memory"])


def test_a_run_says_what_was_asked_and_where(quick):
    _, results = quick
    assert set(results) == {"settings", "machine", "boosting", "rows", "memory"}
    assert results["settings"]["rows"] == list(QUICK["rows"])
    assert results["machine"]["device"] == "CPU"
    assert {"learning_rate", "max_iter", "max_leaf_nodes"} < set(results["boosting"])


def test_a_run_prints_the_tables_it_writes(quick):
    shown, results = quick
    assert shown == tables(results) + "\n"
    for way, _ in LABELS:
        assert way in shown


# The command


@pytest.fixture
def measured(monkeypatch):
    """The settings with which the benchmark was asked to run; nothing is measured."""
    asked = []
    monkeypatch.setattr(predict_benchmark, "run", lambda s: asked.append(s) or {})
    monkeypatch.setattr(predict_benchmark, "tables", lambda results: "tables")
    return asked


def invoke(*arguments):
    return CliRunner().invoke(app, ["bench", "predict", *arguments])


def test_options_become_settings_and_outrank_quick(measured):
    invoke()
    invoke("--rounds", "3", "--rows", "5", "--rows", "7", "--threads", "1")
    invoke("--quick", "--rounds", "4")
    assert measured == [
        Settings(),
        Settings(rounds=3, rows=(5, 7), threads=1),
        Settings(**(QUICK | {"rounds": 4})),
    ]


def test_a_missing_folder_is_noticed_before_anything_is_measured(measured, tmp_path):
    refused = invoke("--json", str(tmp_path / "missing" / "predict.json"))
    assert isinstance(refused.exception, FileNotFoundError)
    assert measured == []


# The record


def test_the_record_is_of_one_thread_and_has_every_way_at_the_smallest_size():
    """A slow way has no rows beyond some size; boosting has all."""
    path = data_folder() / "results" / "predict.json"
    results = json.loads(path.read_text("utf-8"))
    assert results["machine"]["threads"] == results["settings"]["threads"] == 1
    settings = Settings(threads=1)
    assert results["settings"]["rows"] == list(settings.rows)
    labels = [(name.replace("of 8", "of 128"), stage) for name, stage in LABELS]
    smallest = settings.rows[0]
    at_first = [row for row in results["rows"] if row["rows"] == smallest]
    check_rows(at_first, [smallest], labels)
    of_boosting = [r["rows"] for r in results["rows"] if r["predictor"] == BOOSTING]
    assert of_boosting == list(settings.rows)
    assert [(row["predictor"], row["stage"]) for row in results["memory"]] == labels
