"""Recorded results are complete, and the command that made them still works."""

import pandas as pd
import pytest

from genre2_mini.experiments import learning_curves, load_results, save_results
from genre2_mini.experiments.quickstart import run

METHODS = {"CE", "ReMax", "GenRe²", "Pointwise", "Boosting"}


def test_the_quickstarts_recipe_scores_five_methods_on_the_same_rows():
    rows = run("concrete", seed=3, max_rows=120, ce_steps=3, rl_steps=2)
    assert set(rows["method"]) == METHODS
    assert set(rows["task"]) == {"concrete"}
    assert set(rows["seed"]) == {3}
    assert rows.notna().all(axis=None)
    by_method = rows.set_index("method")
    for method in ("ReMax", "GenRe²"):
        assert by_method.loc[method, "seconds"] > by_method.loc["CE", "seconds"]
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


def test_every_curve_starts_from_one_checkpoint_and_has_a_point_every_so_often():
    rows = learning_curves.run_seed(
        "concrete", 0, ["ReMax", "PPO"], ce_steps=3, steps=5, every=2
    )
    curves = {method: part for method, part in rows.groupby("method")}
    assert set(curves) == {"ReMax", "PPO"}
    for curve in curves.values():
        assert curve["step"].tolist() == [0, 2, 4, 5]
        assert curve["reward"].isna().tolist() == [True, False, False, False]
    start = [curve.iloc[0][learning_curves.SCORES] for curve in curves.values()]
    pd.testing.assert_series_equal(*start, check_names=False)


def test_the_recorded_curves_are_complete():
    rows = load_results("learning_curves")
    points = rows.set_index(["seed", "method", "step"]).index
    expected = pd.MultiIndex.from_product(
        [range(5), learning_curves.SAMPLED, range(0, 301, 20)], names=points.names
    )
    assert points.is_unique
    assert set(points) == set(expected)
    assert rows[learning_curves.SCORES].notna().all(axis=None)


def test_results_come_back_as_they_were_saved(tmp_path, monkeypatch):
    monkeypatch.setattr("genre2_mini.experiments.results.data_folder", lambda: tmp_path)
    rows = pd.DataFrame({"method": ["CE"], "r2_k1": [0.25]})
    save_results(rows, tmp_path / "results" / "study.csv")
    pd.testing.assert_frame_equal(load_results("study"), rows)


def test_an_unknown_study_is_named_with_the_recorded_ones():
    with pytest.raises(FileNotFoundError, match=r"'missing'; recorded: .*quickstart"):
        load_results("missing")
