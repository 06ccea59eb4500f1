"""The command genre2-mini fit: from a table to a saved model, whatever happens."""

import inspect
import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from cli_runs import FEATURES, QUICK, ROWS, make_table, run
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from genre2_mini.checkpoints import CheckpointError, load_checkpoint
from genre2_mini.cli import fitting, model
from genre2_mini.regressor import DecodingRegressor
from genre2_mini.tasks import split_rows
from genre2_mini.tasks.cards import data_folder

CONCRETE = str(data_folder() / "concrete.csv.gz")


@pytest.fixture(autouse=True)
def folder_of_its_own(monkeypatch, tmp_path):
    """Every test writes into an empty folder, and leaves the threads as they were."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


# From a file to a prediction


def test_a_real_table_is_learnt_and_predicted_by_the_command_that_fit_names(tmp_path):
    def genre2_mini(*arguments):
        command = [sys.executable, "-W", "error", "-m", "genre2_mini.cli", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    options = ["--out", "my model", "--ce-steps", "40", "--rl-steps", "10"]
    target = ["--target", "compressive_strength"]
    fitted = genre2_mini("fit", CONCRETE, *target, *options, "--threads", "1")
    assert (fitted.returncode, fitted.stderr) == (0, "")
    for words in ("824 to learn from, 206 held out", "8 numeric", "GenRe²", "my model"):
        assert words in fitted.stdout
    *_, next_command = fitted.stdout.splitlines()
    predict = shlex.split(next_command.removeprefix("Next: genre2-mini "))
    predicted = genre2_mini(*predict)
    assert (predicted.returncode, predicted.stderr) == (0, "")
    assert "1,030 predictions in predictions.csv" in predicted.stdout
    found = pd.read_csv(tmp_path / "predictions.csv")
    y = pd.read_csv(CONCRETE)["compressive_strength"]
    assert list(found.columns) == ["prediction"]
    assert f"{r2_score(y, found['prediction']):.3f}" in predicted.stdout


# fit


def test_the_options_defaults_are_the_estimators():
    estimator = inspect.signature(DecodingRegressor).parameters
    options = inspect.signature(model.fit).parameters
    rates = "learning_rate", "rl_learning_rate"
    for name in ("method", "ce_steps", "rl_steps", *rates, "periodic"):
        assert options[name].default == estimator[name].default


def test_scores_are_those_of_the_rows_load_task_tests_on():
    options = ["--target", "compressive_strength", "--out", "model", "--seed", "3"]
    code, out, err = run("fit", CONCRETE, *options, *QUICK, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    frame = pd.read_csv(CONCRETE)
    split = split_rows(len(frame), seed=3)
    test = frame.iloc[split["test"]]
    y = test.pop("compressive_strength")
    fitted = DecodingRegressor.load("model")
    scores = result["scores"]["compressive_strength"]
    mean = frame.drop(index=split["test"])["compressive_strength"].mean()
    expected = {"model": fitted.predict(test), "mean": np.full(len(test), mean)}
    for name, prediction in expected.items():
        assert scores[name]["rows"] == len(test) == result["rows"]["test"]
        assert scores[name]["r2"] == pytest.approx(r2_score(y, prediction))
        rmse = root_mean_squared_error(y, prediction)
        assert scores[name]["rmse"] == pytest.approx(rmse)
        mae = mean_absolute_error(y, prediction)
        assert scores[name]["mae"] == pytest.approx(mae)


def test_held_out_rows_change_nothing_of_the_model():
    """Their features and targets may be anything: training never sees them."""
    spoilt = make_table()
    _, test = fitting.split_rows(ROWS, 0, None, 0.2)
    spoilt.loc[test, "y"] = 1e6
    spoilt.loc[test, "größe (m)"] = -1e6
    spoilt.drop(columns="ŷ₂").to_csv("spoilt.csv", index=False)
    make_table().drop(columns="ŷ₂").to_csv("table.csv", index=False)
    for name in ("spoilt", "table"):
        fit = ["fit", f"{name}.csv", "--target", "y", "--out", name, *QUICK]
        assert run(*fit)[0] == 0
    x = make_table()[FEATURES]
    clean = DecodingRegressor.load("table").predict(x)
    np.testing.assert_array_equal(DecodingRegressor.load("spoilt").predict(x), clean)


def test_without_held_out_rows_all_rows_are_learnt_and_nothing_is_scored():
    make_table().to_csv("t.csv", index=False)
    fit = ["fit", "t.csv", "--target", "y", "--test-fraction", "0", *QUICK]
    code, out, _ = run(*fit, "--out", "model")
    assert code == 0
    assert "40 to learn from, 0 held out" in out
    assert "there is no score" in out
    result = json.loads(run(*fit, "--out", "again", "--json")[1])
    assert result["scores"] is None


def test_a_subset_is_split_like_a_table():
    make_table().to_csv("t.csv", index=False)
    fit = ["fit", "t.csv", "--target", "y", "--out", "m", "--max-rows", "20", *QUICK]
    assert json.loads(run(*fit, "--json")[1])["rows"] == {"train": 16, "test": 4}


@pytest.mark.parametrize(
    ("option", "num_periodic"),
    [([], 2), (["--no-periodic"], 0), (["--periodic"], 2)],
)
def test_numeric_columns_are_read_through_waves_unless_told_not_to(
    option, num_periodic
):
    make_table().drop(columns="ŷ₂").to_csv("t.csv", index=False)
    fit = ["fit", "t.csv", "--target", "y", "--out", "m", *QUICK, *option, "--json"]
    code, out, _ = run(*fit)
    assert code == 0
    assert json.loads(out)["periodic"] == (num_periodic > 0)
    assert DecodingRegressor.load("m").model_.encoder.num_periodic == num_periodic


def test_a_model_is_replaced_only_when_asked_and_only_by_a_finished_one():
    make_table().to_csv("t.csv", index=False)
    fit = ["fit", "t.csv", "--target", "y", "--out", "m", *QUICK]
    assert run(*fit)[0] == 0
    file = Path("m/model.safetensors")
    first = file.read_bytes()
    code, _, err = run(*fit, "--seed", "1")
    assert (code, err[:29]) == (1, "error: there is a model in m:")
    assert "--overwrite" in err
    failed = run(*fit, "--seed", "1", "--learning-rate", "1e30", "--overwrite")
    assert failed[0] == 1
    assert file.read_bytes() == first
    assert run(*fit, "--seed", "2", "--overwrite")[0] == 1  # the failed run's state
    assert run(*fit, "--seed", "1", "--overwrite", "--out", "n")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target", "x"], "t.csv has no column 'x'. Columns: größe (m), code"),
        (["--target", "größe"], "Did you mean 'größe (m)'?"),
        (["--target", "code"], "target 'code' holds string values"),
        (["--target", "größe (m)"], "target 'größe (m)' has "),
        (["--target", "y", "--target", "y"], "a target is named twice"),
        (["--target", "y", "--method", "genre"], "Did you mean 'genre2'?"),
        (
            [w for name in make_table() for w in ("--target", name)],
            "t.csv has no column beside the target",
        ),
    ],
)
def test_what_cannot_be_learnt_is_one_line_that_says_why(arguments, message):
    make_table().to_csv("t.csv", index=False)
    code, out, err = run("fit", "t.csv", "--out", "m", *arguments, *QUICK)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert message in err
    assert not Path("m/model.safetensors").exists()


def test_a_correction_goes_on_after_an_error():
    make_table().to_csv("t.csv", index=False)
    assert run("fit", "t.csv", "--target", "code", "--out", "m", *QUICK)[0] == 1
    assert run("fit", "t.csv", "--target", "y", "--out", "m", *QUICK)[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["missing.csv", "--target", "y", "--out", "m"],
        ["t.csv", "--out", "m"],
        ["t.csv", "--target", "y"],
        ["t.csv", "--target", "y", "--out", "m", "--test-fraction", "1"],
        ["t.csv", "--target", "y", "--out", "m", "--max-rows", "4"],
        ["t.csv", "--target", "y", "--out", "t.csv"],
    ],
)
def test_misuse_of_fit_is_exit_code_2(arguments):
    make_table().to_csv("t.csv", index=False)
    assert run("fit", *arguments)[0] == 2


# Interruptions

SLOW = ["fit", CONCRETE, "--target", "compressive_strength", "--max-rows", "120"]
SLOW += ["--ce-steps", "250", "--rl-steps", "20", "--device", "cpu", "--threads", "1"]


def start_fit(folder):
    command = [sys.executable, "-m", "genre2_mini.cli", *SLOW, "--out", str(folder)]
    return subprocess.Popen(command, stdout=-1, stderr=-1, text=True)


def step_reached(folder):
    """The last step the training has saved."""
    try:
        file = folder / ".training" / "stage1.safetensors"
        return load_checkpoint(file).training["step"]
    except CheckpointError:
        return 0


def wait_for_progress(folder, process):
    """Until a later step is saved than the one that is there."""
    start, limit = step_reached(folder), time.monotonic() + 120
    while step_reached(folder) == start:
        assert time.monotonic() < limit and process.poll() is None
        time.sleep(0.05)


def test_a_fit_that_was_killed_and_interrupted_ends_as_one_that_was_not(tmp_path):
    folder, whole = tmp_path / "stopped", tmp_path / "whole"
    killed = start_fit(folder)
    wait_for_progress(folder, killed)
    killed.kill()
    killed.communicate()
    interrupted = start_fit(folder)
    wait_for_progress(folder, interrupted)
    interrupted.send_signal(signal.SIGINT)
    said = "interrupted: the same command goes on from there\n"
    assert interrupted.communicate() == ("", said)
    assert interrupted.returncode == 130
    assert not (folder / "model.safetensors").exists()
    assert 0 < step_reached(folder) < 250
    code, _, err = run(*SLOW, "--seed", "1", "--out", folder)
    assert (code, "interrupted run that differs in seed" in err) == (1, True)
    assert run(*SLOW, "--out", folder)[0] == run(*SLOW, "--out", whole)[0] == 0
    assert not (folder / ".training").exists()
    x = pd.read_csv(CONCRETE).drop(columns="compressive_strength").head(50)
    stopped, whole = map(DecodingRegressor.load, (folder, whole))
    np.testing.assert_array_equal(stopped.predict(x), whole.predict(x))
