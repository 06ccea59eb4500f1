"""The command genre2-mini predict: from a saved model and a table to predictions."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_runs import QUICK, make_table, run
from pandas.testing import assert_frame_equal
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from genre2_mini.cli import predicting
from genre2_mini.regressor import DecodingRegressor


@pytest.fixture(autouse=True)
def folder_of_its_own(monkeypatch, tmp_path):
    """Every test writes into an empty folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A table and models of one target, of two, and of a method without strings."""
    folder = tmp_path_factory.mktemp("models")
    make_table().to_csv(folder / "table.csv", index=False)
    for name, targets, method in [
        ("one", ["y"], "genre2"),
        ("two", ["y", "ŷ₂"], "ce"),
        ("point", ["y"], "pointwise"),
    ]:
        named = [word for target in targets for word in ("--target", target)]
        options = [*named, "--out", folder / name, "--method", method, *QUICK]
        assert run("fit", folder / "table.csv", *options)[0] == 0
    return folder


def predictions(folder, name, frame=None):
    """What the saved model itself predicts."""
    frame = make_table() if frame is None else frame
    regressor = DecodingRegressor.load(folder / name)
    return regressor, frame[list(regressor.schema_.columns)]


def test_the_saved_model_knows_its_targets_and_nothing_of_the_training_folder(files):
    for name, targets in [("one", ["y"]), ("two", ["y", "ŷ₂"])]:
        regressor = DecodingRegressor.load(files / name)
        assert regressor.target_names_ == targets
        assert regressor.checkpoint is None
        assert [file.name for file in (files / name).iterdir()] == ["model.safetensors"]


def test_columns_of_one_target(files):
    options = ["--quantiles", "0.9,0.1", "--interval", "0.5", "--out", "p.csv"]
    code, _, err = run("predict", files / "one", files / "table.csv", *options)
    assert (code, err) == (0, "")
    found = pd.read_csv("p.csv")
    assert list(found) == ["prediction", "q0.9", "q0.1", "low", "high"]
    regressor, x = predictions(files, "one")
    expected = np.column_stack(
        [
            regressor.predict(x),
            regressor.predict_quantiles(x, [0.9, 0.1]),
            regressor.predict_interval(x, 0.5),
        ]
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_columns_of_two_targets_carry_their_names(files):
    frame = make_table(3)
    frame.to_csv("t.csv", index=False)
    options = ["--quantiles", "0.5", "--interval", "0.8", "--out", "p.parquet"]
    assert run("predict", files / "two", "t.csv", *options)[0] == 0
    found = pd.read_parquet("p.parquet")
    regressor, x = predictions(files, "two", frame)
    for d, name in enumerate(["y", "ŷ₂"]):
        low, high = regressor.predict_interval(x, 0.8)[..., d].T
        expected = {
            f"prediction_{name}": regressor.predict(x)[:, d],
            f"q0.5_{name}": regressor.predict_quantiles(x, [0.5])[:, 0, d],
            f"low_{name}": low,
            f"high_{name}": high,
        }
        chosen = found.iloc[:, 4 * d : 4 * d + 4]
        assert list(chosen) == list(expected)
        np.testing.assert_allclose(chosen, pd.DataFrame(expected), rtol=1e-12)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_parts_of_seven_rows_predict_as_one_part_does(files, monkeypatch, suffix):
    frame = make_table(50, seed=1)
    frame.loc[7:13, "größe (m)"] = np.nan  # a part that is nothing but gaps
    frame.loc[14:20, "code"] = "01"  # and one that could be numbers
    if suffix == ".parquet":
        frame.to_parquet("t.parquet", row_group_size=11)
    else:
        frame.to_csv(f"t{suffix}", index=False)
    predict = ["predict", files / "one", f"t{suffix}", "--interval", "0.9", "--json"]
    whole = json.loads(run(*predict, "--out", "whole.csv")[1])
    monkeypatch.setattr(predicting, "ROWS_AT_ONCE", 7)
    parts = json.loads(run(*predict, "--out", f"parts{suffix}")[1])
    assert whole["rows"] == parts["rows"] == 50
    assert parts["scores"]["y"] == pytest.approx(whole["scores"]["y"])
    read = pd.read_parquet if suffix == ".parquet" else pd.read_csv
    expected = pd.read_csv("whole.csv")
    assert_frame_equal(read(f"parts{suffix}"), expected, rtol=1e-12)
    regressor, x = predictions(files, "one", frame)
    np.testing.assert_allclose(expected["prediction"], regressor.predict(x), rtol=1e-12)


def test_columns_are_found_by_name_and_others_are_ignored(files):
    frame = make_table(3)
    frame[["new", "größe (m)", "code"]].assign(id=1, note="n").to_csv("t.csv")
    predict = ["predict", files / "two", "t.csv", "--out", "p.csv"]
    code, out, err = run(*predict)
    assert (code, err) == (0, "ignored columns: Unnamed: 0, id, note\n")
    assert out == "3 predictions in p.csv\n"
    regressor, x = predictions(files, "two", frame)
    np.testing.assert_allclose(pd.read_csv("p.csv"), regressor.predict(x), rtol=1e-12)
    assert json.loads(run(*predict, "--json")[1]) == {
        "rows": 3,
        "file": "p.csv",
        "columns": ["prediction_y", "prediction_ŷ₂"],
        "ignored": ["Unnamed: 0", "id", "note"],
        "scores": {},
    }


def test_targets_that_are_there_are_scored(files):
    frame = make_table(6)
    frame.loc[::2, "y"] = np.nan
    frame.drop(columns="ŷ₂").to_csv("t.csv", index=False)
    predict = ["predict", files / "two", "t.csv", "--out", "p.csv"]
    result = json.loads(run(*predict, "--json")[1])
    known = frame["y"].notna()
    y, found = frame["y"][known], pd.read_csv("p.csv")["prediction_y"][known]
    expected = {
        "rows": 3,
        "r2": r2_score(y, found),
        "rmse": root_mean_squared_error(y, found),
        "mae": mean_absolute_error(y, found),
    }
    assert result["scores"] == {"y": pytest.approx(expected)}
    *_, line = run(*predict)[1].splitlines()
    assert line.split()[:3] == ["y", "3", f"{expected['r2']:.3f}"]


def test_a_table_without_rows_has_no_predictions(files):
    make_table().head(0).to_csv("t.csv", index=False)
    code, out, _ = run("predict", files / "one", "t.csv", "--out", "p.csv")
    assert (code, out) == (0, "0 predictions in p.csv\n")
    assert Path("p.csv").read_text() == "prediction\n"


@pytest.mark.parametrize(
    ("model", "spoil", "options", "message"),
    [
        ("one", {"columns": ["y", "new"]}, [], "t.csv lacks columns of the model: gr"),
        ("one", {"value": "tall"}, [], "column 'größe (m)' holds string values"),
        ("one", {}, ["--out", "no/p.csv"], "there is no folder "),
        ("one", {}, ["--out", "p.xlsx"], "p.xlsx must end in .csv, .csv.gz or"),
        ("one", {}, ["--out", "t.csv"], "would replace the table"),
        ("point", {}, ["--interval", "0.9"], "method='pointwise' predicts one number"),
        (".", {}, [], "no checkpoint at "),
    ],
)
def test_what_cannot_be_predicted_is_one_line_and_no_file(
    files, model, spoil, options, message
):
    table = make_table()
    if "value" in spoil:
        table["größe (m)"] = spoil["value"]
    table.to_csv("t.csv", index=False, columns=spoil.get("columns"))
    before = Path("t.csv").read_bytes()
    predict = ["predict", files / model, "t.csv", "--out", "p.csv", *options]
    code, out, err = run(*predict)
    assert (code, out, err.splitlines()[-1][:7]) == (1, "", "error: ")
    assert message in err
    assert [path.name for path in Path().iterdir()] == ["t.csv"]
    assert Path("t.csv").read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [
        ["--quantiles", "0.1;0.9"],
        ["--quantiles", "0.5,1.5"],
        ["--quantiles", "nan"],
        ["--quantiles", "0.5,0.50"],
        ["--interval", "1"],
        ["--interval", "0"],
    ],
)
def test_misuse_of_predict_is_exit_code_2(files, options):
    predict = ["predict", files / "one", files / "table.csv", "--out", "p.csv"]
    assert run(*predict, *options)[0] == 2
