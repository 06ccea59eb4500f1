"""Recorded results are complete, and the command that made them still works."""

import pandas as pd
import pytest

from genre2_mini.experiments import load_results, save_results
from genre2_mini.experiments.quickstart import run

METHODS = {"CE", "ReMax", "Pointwise", "Boosting"}


def test_the_quickstarts_recipe_scores_four_methods_on_the_same_rows():
    rows = run("concrete", seed=3, max_rows=120, ce_steps=3, remax_steps=2)
    assert set(rows["method"]) == METHODS
    assert set(rows["task"]) == {"concrete"}
    assert set(rows["seed"]) == {3}
    assert rows.notna().all(axis=None)
    by_method = rows.set_index("method")
    assert by_method.loc["ReMax", "seconds"] > by_method.loc["CE", "seconds"]
    for points in ("Pointwise", "Boosting"):  # one value: k = 1 is the mean
        scores = by_method.loc[points]
        assert scores["rmse_k1"] == pytest.approx(scores["rmse_mean"])


def test_the_quickstarts_record_has_every_run_once():
    rows = load_results("quickstart")
    runs = rows.set_index(["task", "seed", "method"]).index
    expected = pd.MultiIndex.from_product(
        [["concrete", "abalone"], range(5), METHODS], names=runs.names
    )
    assert runs.is_unique
    assert set(runs) == set(expected)
    assert rows.notna().all(axis=None)


def test_results_come_back_as_they_were_saved(tmp_path, monkeypatch):
    monkeypatch.setattr("genre2_mini.experiments.results.data_folder", lambda: tmp_path)
    rows = pd.DataFrame({"method": ["CE"], "r2_k1": [0.25]})
    save_results(rows, tmp_path / "results" / "study.csv")
    pd.testing.assert_frame_equal(load_results("study"), rows)


def test_an_unknown_study_is_named_with_the_recorded_ones():
    with pytest.raises(FileNotFoundError, match=r"'missing'; recorded: .*quickstart"):
        load_results("missing")
