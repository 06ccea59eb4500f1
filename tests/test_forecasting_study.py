"""Futures of a series: what they read, what they are scored by, a complete record."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.linear_model import Ridge

from genre2_mini.experiments import forecasting, load_results
from genre2_mini.experiments.forecasting import (
    CUTS,
    HORIZON,
    MONTHS,
    ORIGINS,
    SCORES,
    VALID,
    Cut,
    apart,
    band_scores,
    run,
)
from genre2_mini.experiments.paths import (
    actual,
    residual_draws,
    sample_paths,
    seasonal_naive,
    with_past_errors,
)
from genre2_mini.tasks.series import Windows, monthly_co2

LEARNT = ["CE", "ReMax", "GenRe²", "Expert alone", "Pointwise", "Linear", "Boosting"]
ON_LEVELS = [f"{name}, levels" for name in ("CE", "Pointwise", "Linear", "Boosting")]
NAIVE = ["Seasonal naive", "Seasonal naive, growth"]
METHODS = [*NAIVE, *ON_LEVELS, *LEARNT, "CE, shuffled"]


def months(values):
    index = pd.period_range("2000-01", periods=len(values), freq="M")
    return pd.Series(np.asarray(values, dtype=float), index=index)


SQUARES = months(np.arange(48) ** 2)
ORIGINS_OF_SQUARES = pd.PeriodIndex(["2002-01", "2002-03"], freq="M")


# --- Paths --------------------------------------------------------------------------


@pytest.mark.parametrize("difference", [0, 1, 12])
def test_a_path_reads_what_it_wrote_and_no_future(difference):
    """A draw that repeats the latest change but one is followed by hand."""
    windows = Windows(lags=3, difference=difference)

    def draw(features):
        return features["lag_2"].to_numpy()

    paths = sample_paths(draw, windows, SQUARES, ORIGINS_OF_SQUARES, 5, num_paths=2)
    assert paths.shape == (2, 2, 5)
    assert np.array_equal(paths[:, 0], paths[:, 1])
    for start, path in zip((24, 26), paths[:, 0], strict=True):
        y = SQUARES.to_numpy()[:start].tolist()
        for _ in range(5):
            changes = windows.changes(np.array(y))
            y.append(changes[-2] + (y[-difference] if difference else 0))
        assert path.tolist() == y[start:]


def test_a_path_is_told_the_month_of_each_value():
    seen = []

    def draw(features):
        seen.append(np.arctan2(features["month_sin"], features["month_cos"]))
        return np.zeros(len(features))

    sample_paths(draw, Windows(lags=1), SQUARES, ORIGINS_OF_SQUARES, 12, 1)
    found = np.round(np.stack(seen, axis=1) * 6 / np.pi).astype(int) % 12
    assert found[0].tolist() == [*range(1, 12), 0]
    assert found[1].tolist() == [*range(3, 12), 0, 1, 2]


def test_an_origin_without_a_past_is_refused():
    early = pd.PeriodIndex(["2000-05"], freq="M")
    with pytest.raises(ValueError, match="2000-05 has 4 values before it"):
        sample_paths(None, Windows(lags=5), SQUARES, early, 1, 1)


def test_what_came_is_read_from_the_series():
    came = actual(SQUARES, ORIGINS_OF_SQUARES, 3)
    assert came.tolist() == [[24**2, 25**2, 26**2], [26**2, 27**2, 28**2]]
    with pytest.raises(KeyError):
        actual(SQUARES, ORIGINS_OF_SQUARES, 30)


def test_the_naive_forecast_is_a_season_old_and_grows_if_asked():
    y = months(np.tile([1.0, 5.0, 2.0, 0.0], 12) + np.arange(48) // 4)
    origins = pd.PeriodIndex(["2002-01"], freq="M")  # 24 known: the last year is + 5
    flat = seasonal_naive(y, origins, horizon=6, season=4)
    assert flat.tolist() == [[6, 10, 7, 5, 6, 10]]
    grown = seasonal_naive(y, origins, horizon=6, season=4, growth_over=8)
    assert grown.tolist() == [[7, 11, 8, 6, 8, 12]]


def test_past_errors_are_added_path_by_path():
    forecast, errors = np.array([[10.0, 20.0]]), np.array([[1.0, -1.0], [3.0, -3.0]])
    paths = with_past_errors(forecast, errors, num_paths=50)[0]
    assert set(map(tuple, paths)) == {(11, 19), (13, 17)}


def test_a_rival_draws_its_number_plus_one_of_its_errors():
    task = Windows(lags=2).task(SQUARES, "2002-01", "2003-01")

    class Zero:
        def predict(self, x):
            return np.zeros(len(x))

    draw = residual_draws(Zero(), task.schema, np.array([-1.0, 2.0]))
    features, _ = Windows(lags=2).table(SQUARES)
    found = draw(features) - task.schema.target_mean
    assert set(found.round(9)) == {-1, 2}


# --- Scores -------------------------------------------------------------------------


def test_bands_of_the_right_law_hold_what_they_should():
    """4,000 rows of N(m, 1), 201 draws each: a coverage is off by 0.008 (one sd)."""
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(4000, 1))
    found = band_scores(centre + rng.normal(size=(4000, 201)), centre[:, 0])
    assert found["cover50"] == found["cover80"] == 1  # the truth is the middle
    came = centre[:, 0] + rng.normal(size=4000)
    found = band_scores(centre + rng.normal(size=(4000, 201)), came)
    assert found["cover50"] == pytest.approx(0.5, abs=0.03)
    assert found["cover80"] == pytest.approx(0.8, abs=0.03)
    assert found["width80"] == pytest.approx(2 * norm.ppf(0.9), abs=0.04)
    assert found["rmse"] == pytest.approx(1, abs=0.04)
    assert found["crps"] == pytest.approx(1 / np.sqrt(np.pi), abs=0.02)
    assert found["mae"] == pytest.approx(np.sqrt(2 / np.pi), abs=0.04)


def test_shuffled_paths_keep_every_month_and_lose_the_year():
    rng = np.random.default_rng(0)
    paths = rng.normal(size=(3, 400, 1)) + 0.1 * rng.normal(size=(3, 400, 12))
    mixed = apart(paths)
    assert np.array_equal(np.sort(mixed, axis=1), np.sort(paths, axis=1))
    assert mixed.mean(axis=2).std() < 0.5 * paths.mean(axis=2).std()


def test_a_cut_trains_before_it_validates_before_it_forecasts():
    cut = Cut(monthly_co2(), "1990-01", num_paths=2, seed=0)
    assert str(cut.valid_from) == "1987-01"
    task = cut.task(Windows(lags=12, difference=1))
    assert len(task.valid) == VALID
    assert len(task.train) == len(pd.period_range("1965-06", "1986-12", freq="M"))
    assert len(cut.origins) == ORIGINS
    rows = pd.DataFrame(cut.scores("x", cut.naive(None)))
    train = monthly_co2()[:"1986-12"].to_numpy()
    unit = np.abs(train[12:] - train[:-12]).mean()
    assert (rows["mae"] / rows["mase"]).to_numpy() == pytest.approx(unit)


def test_every_cut_ends_within_the_series():
    co2 = monthly_co2()
    for cut in CUTS:
        last = pd.Period(cut, freq="M") + ORIGINS - 1 + HORIZON - 1
        assert last <= co2.index[-1]


# --- The study ------------------------------------------------------------------------


def check_complete(rows):
    assert sorted(rows["method"].unique()) == sorted(METHODS)
    ahead = [*map(str, MONTHS), "year"]
    for _, found in rows.groupby("method"):
        assert found["ahead"].astype(str).tolist() == ahead
    assert rows[SCORES].notna().all(axis=None)
    assert (rows["rmse"] >= 0).all() and rows["cover80"].between(0, 1).all()


def quick_rival(name, task, seed):
    """In place of a grid of boosted trees, which takes seconds."""
    return Ridge().fit(task.train.x.numpy(), task.train.z.numpy()), {}


def test_every_method_has_a_row_for_each_look_ahead(monkeypatch):
    monkeypatch.setattr(forecasting, "tuned_rival", quick_rival)
    rows = run("1982-01", 0, ce_steps=2, steps=1, num_paths=2)
    assert rows.columns.tolist() == ["cut", "seed", "method", "ahead", *SCORES]
    check_complete(rows)


def test_the_recorded_file_is_complete():
    rows = load_results("forecasting")
    assert rows["cut"].unique().tolist() == list(CUTS)
    for cut in CUTS:
        assert rows.loc[rows["cut"] == cut, "seed"].unique().tolist() == [0, 1]
    for _, found in rows.groupby(["cut", "seed"]):
        check_complete(found)
