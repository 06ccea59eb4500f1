"""The estimator on tables: what it predicts, keeps, refuses, and how it fits in."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genre2_mini.methods import METHODS
from genre2_mini.regressor import DecodingRegressor
from genre2_mini.rewards import ClippedReward, absolute_error_reward
from genre2_mini.tokenizers import NormalizedTokenizer, ScientificTokenizer

SMALL = {
    "tokenizer": NormalizedTokenizer(base=2, num_digits=5),
    "d_model": 16,
    "hidden": 32,
    "num_heads": 2,
    "num_layers": 1,
    "dropout": 0.0,
    "learning_rate": 5e-3,
    "rl_learning_rate": 5e-3,
    "ce_steps": 60,
    "rl_steps": 20,
    "random_state": 0,
}


def small(method="genre2", **changes):
    return DecodingRegressor(method, **SMALL | changes)


def make_table(num_rows=200, seed=0):
    """Numbers, a category, a boolean and gaps; the target is in hundreds."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "width": generator.normal(size=num_rows),
            "colour": generator.choice(["red", "green", "blue"], num_rows),
            "new": generator.random(num_rows) < 0.5,
        }
    )
    shift = frame["colour"].map({"red": 0.0, "green": 100.0, "blue": 300.0})
    y = 500 + 200 * frame["width"] + shift + 50 * frame["new"]
    frame.loc[::10, "width"] = np.nan
    frame.loc[5::20, "colour"] = None
    return frame, y.rename("price")


@pytest.fixture(scope="module")
def table():
    return make_table()


@pytest.fixture(scope="module")
def fitted(table):
    """One regressor for the tests that only read it."""
    return small(ce_steps=150).fit(*table)


# --- Predictions ---------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_method_predicts_better_than_the_mean(table, method):
    X, y = table
    regressor = small(method, ce_steps=100).fit(X, y)
    predicted = regressor.predict(X)
    assert predicted.shape == (200,)
    assert predicted.dtype == np.float64
    assert regressor.score(X, y) > 0.5
    label = METHODS[method].label
    assert list(regressor.history_["stage"].unique())[-1] == label


def test_the_prediction_is_the_mean_of_the_distribution(fitted, table):
    values, weights = fitted.predict_distribution(table[0])
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)
    mean = (values * weights).sum(axis=1)
    np.testing.assert_allclose(fitted.predict(table[0]), mean, rtol=1e-12)


def test_or_its_median(fitted, table):
    median = clone(fitted).set_params(aggregation="median").fit(*table)
    quantiles = median.predict_quantiles(table[0], [0.5])
    np.testing.assert_array_equal(median.predict(table[0]), quantiles[:, 0])


def test_quantiles_rise_and_have_the_weights_below_them(fitted, table):
    levels = [0.05, 0.5, 0.95]
    quantiles = fitted.predict_quantiles(table[0], levels)
    assert quantiles.shape == (200, 3)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    values, weights = fitted.predict_distribution(table[0])
    for level, quantile in zip(levels, quantiles.T, strict=True):
        at_or_below = (weights * (values <= quantile[:, None])).sum(axis=1)
        below = (weights * (values < quantile[:, None])).sum(axis=1)
        assert (at_or_below >= level - 1e-9).all()
        assert (below <= level + 1e-9).all()


def test_an_interval_lies_between_its_quantiles(fitted, table):
    interval = fitted.predict_interval(table[0], coverage=0.8)
    quantiles = fitted.predict_quantiles(table[0], [0.1, 0.9])
    np.testing.assert_allclose(interval, quantiles)


def test_draws_have_the_predicted_distribution(fitted, table):
    """Kolmogorov and Smirnov's distance of 2,000 draws, at a false alarm of 1e-4."""
    row = table[0].head(1)
    draws = fitted.sample(row, 2000, random_state=0)
    assert draws.shape == (1, 2000)
    values, weights = (part[0] for part in fitted.predict_distribution(row))
    points = np.unique(values)
    drawn = np.array([(draws <= v).mean() for v in points])
    law = np.array([weights[values <= v].sum() for v in points])
    assert np.abs(drawn - law).max() < stats.kstwo.ppf(1 - 1e-4, 2000)


def test_a_prediction_does_not_depend_on_the_rows_around_it(fitted, table):
    X, _ = table
    np.testing.assert_allclose(
        fitted.predict(X)[7:12], fitted.predict(X[7:12]), rtol=1e-12
    )


def test_rows_are_predicted_some_at_a_time(fitted, table, monkeypatch):
    expected = fitted.predict(table[0])
    values, weights = fitted.predict_distribution(table[0])
    monkeypatch.setattr("genre2_mini.regressor.ROWS_AT_ONCE", 7)
    np.testing.assert_allclose(fitted.predict(table[0]), expected, rtol=1e-12)
    by_parts = fitted.predict_distribution(table[0])
    np.testing.assert_allclose(by_parts[1], weights, atol=1e-12)
    shown = weights > 0
    np.testing.assert_array_equal(by_parts[0][shown], values[shown])


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        ("predict_quantiles", "quantiles"),
        ("predict_interval", "an interval"),
        ("sample", "a sample"),
    ],
)
def test_a_pointwise_head_has_no_distribution_to_ask_for(table, ask, what):
    head = small("pointwise").fit(*table)
    with pytest.raises(ValueError, match=f"predicts one number.*for {what} choose"):
        getattr(head, ask)(table[0])
    values, weights = head.predict_distribution(table[0])
    np.testing.assert_array_equal(values[:, 0], head.predict(table[0]))
    assert (weights == 1).all()


def test_a_histogram_has_its_bins(table):
    histogram = small("histogram").fit(*table)
    values, weights = histogram.predict_distribution(table[0])
    assert values.shape == weights.shape == (200, 258)
    assert histogram.sample(table[0], 3, random_state=1).shape == (200, 3)


def test_strings_that_cannot_be_enumerated_are_spread(table):
    median = {"tokenizer": ScientificTokenizer(), "aggregation": "median"}
    regressor = small("ce", **median).fit(*table)
    assert regressor.score(*table) > 0.5
    _, weights = regressor.predict_distribution(table[0])
    shares = weights * 1024
    np.testing.assert_allclose(shares, shares.round(), atol=1e-6)
    np.testing.assert_array_equal(
        regressor.predict(table[0]), regressor.predict(table[0])
    )


# --- Several targets -----------------------------------------------------------


@pytest.mark.parametrize("method", ["genre2", "pointwise"])
def test_several_targets_are_predicted_together(table, method):
    X, y = table
    targets = pd.DataFrame({"price": y, "loss": -y / 100})
    regressor = small(method, ce_steps=150).fit(X, targets)
    predicted = regressor.predict(X)
    assert predicted.shape == (200, 2)
    assert regressor.score(X, targets) > 0.5
    values, weights = regressor.predict_distribution(X)
    mean = (values * weights[..., None]).sum(axis=1)
    np.testing.assert_allclose(predicted, mean, rtol=1e-9)
    if method == "genre2":
        assert regressor.predict_quantiles(X, [0.1, 0.9]).shape == (200, 2, 2)
        assert regressor.sample(X, 3).shape == (200, 3, 2)


def test_a_histogram_of_several_targets_is_refused(table):
    X, y = table
    with pytest.raises(ValueError, match="predicts one target"):
        small("histogram").fit(X, np.column_stack([y, y]))


def test_a_column_of_targets_comes_back_as_a_column(table):
    X, y = table
    flat = small().fit(X, y).predict(X)
    column = small().fit(X, y.to_frame()).predict(X)
    np.testing.assert_array_equal(column, flat[:, None])


# --- One seed, one model -------------------------------------------------------


def test_a_seed_fixes_the_model(table):
    first, again, other = (
        small(random_state=seed).fit(*table).predict(table[0]) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_without_a_tokenizer_eight_binary_digits_are_written(table):
    regressor = small("ce", tokenizer=None, ce_steps=2).fit(*table)
    tokenizer = regressor.model_.tokenizer
    assert (tokenizer.base, tokenizer.num_digits) == (2, 8)
    assert regressor.tokenizer is None


def test_fitting_changes_no_parameter(table):
    tokenizer = ScientificTokenizer(2, 1)
    regressor = small(tokenizer=tokenizer)
    before = regressor.get_params()
    regressor.fit(*table)
    assert regressor.get_params() == before
    assert regressor.tokenizer is tokenizer


def test_float32_and_float64_tables_give_one_model(table):
    x = table[0][["width"]].to_numpy().astype(np.float32)
    wide = small().fit(x.astype(np.float64), table[1]).predict(x)
    np.testing.assert_array_equal(small().fit(x, table[1]).predict(x), wide)


# --- On disk -------------------------------------------------------------------


@pytest.mark.parametrize("method", ["genre2", "pointwise", "histogram"])
def test_a_loaded_model_predicts_the_same(table, tmp_path, method):
    X, y = table
    regressor = small(method).fit(X, y)
    regressor.save(tmp_path / "model")
    loaded = DecodingRegressor.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(X), regressor.predict(X))
    assert loaded.get_params() == regressor.get_params()
    assert list(loaded.feature_names_in_) == ["width", "colour", "new"]
    assert loaded.n_features_in_ == 3
    pd.testing.assert_frame_equal(loaded.history_, regressor.history_)
    assert loaded.history_.attrs == regressor.history_.attrs


@pytest.mark.parametrize("method", ["genre2", "pointwise", "histogram"])
def test_waves_of_numeric_columns_are_learnt_and_travel_along(table, tmp_path, method):
    X, y = table
    regressor = small(method, periodic=True).fit(X, y)
    regressor.save(tmp_path)
    loaded = DecodingRegressor.load(tmp_path)
    assert loaded.periodic
    assert loaded.model_.encoder.num_periodic == 2  # width, new; not the colours
    np.testing.assert_array_equal(loaded.predict(X), regressor.predict(X))
    assert regressor.score(X, y) > 0.5


def test_a_regressor_from_before_periodic_features_has_none(
    table, tmp_path, monkeypatch
):
    X, y = table
    regressor = small("pointwise").fit(X, y)
    params = regressor.get_params(deep=False)
    del params["periodic"]
    monkeypatch.setattr(regressor, "get_params", lambda deep: params)
    regressor.save(tmp_path)
    loaded = DecodingRegressor.load(tmp_path)
    assert loaded.periodic is False
    np.testing.assert_array_equal(loaded.predict(X), regressor.predict(X))


def test_the_tokenizer_and_several_targets_travel_along(table, tmp_path):
    X, y = table
    targets = np.column_stack([y, -y])
    regressor = small("ce", tokenizer=ScientificTokenizer(2, 1)).fit(X, targets)
    regressor.save(tmp_path)
    loaded = DecodingRegressor.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(X), regressor.predict(X))
    assert loaded.tokenizer == ScientificTokenizer(2, 1)


def test_what_is_no_data_is_not_saved_and_said_so(table, tmp_path):
    params = {"reward": ClippedReward(1.0)}
    regressor = small(objective_params=params).fit(*table)
    with pytest.warns(UserWarning, match=r"objective_params=.* is not saved"):
        regressor.save(tmp_path)
    loaded = DecodingRegressor.load(tmp_path)
    assert loaded.objective_params is None
    np.testing.assert_array_equal(loaded.predict(table[0]), regressor.predict(table[0]))


@pytest.mark.parametrize(
    "ask", ["predict", "predict_quantiles", "predict_interval", "sample"]
)
def test_an_unfitted_regressor_answers_nothing(table, ask):
    with pytest.raises(NotFittedError):
        getattr(small(), ask)(table[0])


def test_an_unfitted_regressor_is_not_saved(tmp_path):
    with pytest.raises(NotFittedError):
        small().save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_training_goes_on_from_its_checkpoints(table, tmp_path):
    """A first run of half the second stage, then the whole: the same as in one go."""
    whole = small(rl_steps=40).fit(*table)
    small(rl_steps=20, checkpoint=tmp_path).fit(*table)
    resumed = small(rl_steps=40, checkpoint=tmp_path).fit(*table)
    np.testing.assert_array_equal(resumed.predict(table[0]), whole.predict(table[0]))
    columns = ["stage", "step", "valid_rmse_mean"]
    pd.testing.assert_frame_equal(resumed.history_[columns], whole.history_[columns])


# --- In scikit-learn -----------------------------------------------------------


def test_it_works_at_the_end_of_a_pipeline(table):
    x, y = table[0][["width"]].fillna(0).to_numpy(), table[1]
    pipeline = make_pipeline(StandardScaler(), small("pointwise", ce_steps=200))
    scores = cross_val_score(pipeline, x, y, cv=3)
    assert scores.shape == (3,)
    assert (scores > 0.3).all()


def test_a_grid_search_in_two_processes_is_that_of_one(table):
    search = {"learning_rate": [1e-4, 5e-3]}
    X, y = table
    alone, together = (
        GridSearchCV(small("pointwise"), search, cv=2, n_jobs=jobs).fit(X, y)
        for jobs in (1, 2)
    )
    assert alone.best_params_["learning_rate"] == 5e-3
    assert together.best_params_ == alone.best_params_
    np.testing.assert_allclose(
        together.cv_results_["mean_test_score"],
        alone.cv_results_["mean_test_score"],
        rtol=1e-3,  # the number of threads may differ, and with it the rounding
    )


def test_it_serves_inside_other_estimators(table):
    X, y = table
    logarithmic = TransformedTargetRegressor(
        small("pointwise", ce_steps=200), func=np.cbrt, inverse_func=lambda v: v**3
    )
    assert logarithmic.fit(X, y).score(X, y) > 0.5


def test_it_shows_itself(fitted):
    assert "method" in repr(small("remax")) and "remax" in repr(small("remax"))
    assert "DecodingRegressor" in fitted._repr_html_()


# --- Refusals ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"method": "genre"}, r"unknown method 'genre'. Did you mean 'genre2'\?"),
        ({"aggregation": "mode"}, "aggregation='mode' must be one of"),
        ({"device": "tpu"}, "device='tpu' must be 'auto', 'cpu' or 'cuda'"),
        ({"validation_fraction": 1.0}, r"validation_fraction=1\.0 must lie between"),
        ({"d_model": 15}, "d_model=15 must be a multiple of num_heads=2"),
        ({"rl_steps": 0}, "steps=0 must be at least 1"),
        ({"objective_params": {"temperature": 1}}, "objective_params=.*temperature"),
        ({"objective_params": {"num_samples": 0}}, "num_samples=0 must be at least 1"),
    ],
)
def test_a_bad_parameter_is_named_when_fitting(table, params, message):
    with pytest.raises(ValueError, match=message):
        small().set_params(**params).fit(*table)


def test_another_reward_is_an_objectives_parameter(table):
    params = {"reward": absolute_error_reward, "num_samples": 4, "expert_weight": 1.0}
    regressor = small(objective_params=params, ce_steps=150).fit(*table)
    assert regressor.score(*table) > 0.5


def test_weights_of_samples_are_not_taken(table):
    with pytest.raises(TypeError, match="sample_weight"):
        small().fit(*table, sample_weight=np.ones(200))


@pytest.mark.parametrize("coverage", [0, 1, -0.1, float("nan")])
def test_a_coverage_lies_between_zero_and_one(fitted, table, coverage):
    with pytest.raises(ValueError, match=r"coverage=.* must lie between 0 and 1"):
        fitted.predict_interval(table[0], coverage)
