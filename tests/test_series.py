"""A series as a task: what a window holds, and that no value leaks back in time."""

import numpy as np
import pandas as pd
import pytest

from genre2_mini.tasks.series import Windows, check_series, monthly_co2


def months(values, start="2000-01"):
    index = pd.period_range(start, periods=len(values), freq="M")
    return pd.Series(np.asarray(values, dtype=float), index=index, name="y")


SQUARES = months(np.arange(60) ** 2)


# --- The series that the book forecasts ---------------------------------------


def test_monthly_co2_has_no_gap_and_is_the_mean_of_its_weeks():
    co2 = monthly_co2()
    check_series(co2, 1)
    assert (len(co2), str(co2.index[0]), str(co2.index[-1])) == (
        452,
        "1964-05",
        "2001-12",
    )
    # December 2001: the weeks of the 1st to the 29th.
    assert co2.iloc[-1] == pytest.approx((370.3 + 370.8 + 371.2 + 371.3 + 371.5) / 5)


# --- What a window holds ------------------------------------------------------


def test_a_window_reads_the_values_before_its_target_the_latest_one_last():
    features, targets = Windows(lags=3).table(SQUARES)
    assert list(features) == ["lag_3", "lag_2", "lag_1", "month_cos", "month_sin"]
    assert str(features.index[0]) == "2000-04"
    assert features.iloc[0, :3].tolist() == [0, 1, 4]
    assert targets.iloc[0].tolist() == [9]
    assert targets.iloc[-1].tolist() == [59**2]
    assert len(features) == len(targets) == 57


def test_the_month_is_that_of_the_value_to_write():
    features, _ = Windows(lags=2).table(SQUARES)
    march = 2 * np.pi * 3 / 12
    assert features["month_cos"].iloc[0] == pytest.approx(np.cos(march), abs=1e-12)
    assert features["month_sin"].iloc[0] == pytest.approx(np.sin(march))


def test_a_difference_replaces_values_by_their_changes():
    """t² − (t − 2)² = 4t − 4: the squares grow, their second changes do not."""
    features, targets = Windows(lags=2, difference=2).table(SQUARES)
    assert str(features.index[0]) == "2000-05"  # t = 4
    assert features.iloc[0, :2].tolist() == [4 * 2 - 4, 4 * 3 - 4]
    assert targets.iloc[0].tolist() == [4 * 4 - 4]


def test_a_horizon_is_that_many_targets_in_order():
    windows = Windows(lags=2, horizon=3, difference=1)
    features, targets = windows.table(SQUARES)
    assert list(targets) == ["step_1", "step_2", "step_3"]
    assert features.iloc[0, :2].tolist() == [1, 3]
    assert targets.iloc[0].tolist() == [5, 7, 9]
    assert targets.iloc[-1, -1] == 59**2 - 58**2


@pytest.mark.parametrize("difference", [0, 1, 12])
def test_the_row_of_a_history_is_the_row_of_the_table(difference):
    windows = Windows(lags=4, difference=difference)
    features, _ = windows.table(SQUARES)
    history = SQUARES.to_numpy()[None, :40]
    row = windows.features(history, SQUARES.index[40].month)
    expected = features.loc[[SQUARES.index[40]]].reset_index(drop=True)
    pd.testing.assert_frame_equal(row, expected)


# --- The split in time --------------------------------------------------------


@pytest.mark.parametrize("horizon", [1, 6])
def test_parts_follow_each_other_and_no_target_stands_in_two(horizon):
    windows = Windows(lags=3, horizon=horizon)
    task = windows.task(SQUARES, "2002-01", "2003-07")
    written = {
        part: task.schema.unstandardise(getattr(task, part).z).reshape(-1).sqrt()
        for part in ("train", "valid", "test")
    }
    assert written["train"].max().round() == 23  # December 2001
    assert written["valid"].min().round() == 24
    assert written["valid"].max().round() == 41
    assert written["test"].min().round() == 42
    assert written["test"].max().round() == 59
    assert len(task.valid) == 18 - (horizon - 1)
    assert task.train.z.ndim == (1 if horizon == 1 else 2)


def test_the_schema_knows_training_months_only():
    y = months(np.r_[np.arange(40.0), 1e6 * np.ones(20)])
    task = Windows(lags=2).task(y, "2003-01", "2004-01")
    assert task.schema.target_mean == pytest.approx(np.arange(2, 36).mean())


def test_what_a_test_window_reads_may_lie_before_the_test():
    task = Windows(lags=3).task(SQUARES, "2002-01", "2003-07")
    lag_1 = task.schema.numeric["lag_1"]
    first = task.test.x[0, 2].item() * lag_1[1] + lag_1[0]
    assert first == pytest.approx(41**2, rel=1e-5)


# --- What is refused ----------------------------------------------------------


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (SQUARES.to_numpy(), "pandas Series over periods"),
        (SQUARES.reset_index(drop=True), "over RangeIndex"),
        (SQUARES.drop(SQUARES.index[[7, 9]]), "2 of 60 values .* 2000-08"),
        (SQUARES.mask(SQUARES == 100), "1 of 60 values .* 2000-11"),
        (SQUARES.replace(100.0, np.inf), "1 of 60 values .* 2000-11"),
        (SQUARES[::-1], "periods must rise"),
        (pd.concat([SQUARES[:1], SQUARES]), "periods must rise"),
        (SQUARES[:3], "has 3 values, one window needs 4"),
    ],
)
def test_a_series_without_windows_is_refused(series, message):
    with pytest.raises(ValueError, match=message):
        Windows(lags=3).table(series)


@pytest.mark.parametrize(
    ("valid_from", "test_from", "part"),
    [
        ("2000-02", "2003-01", "train"),
        ("2003-01", "2003-01", "valid"),
        ("2003-01", "2010-01", "test"),
    ],
)
def test_a_part_without_a_window_is_refused(valid_from, test_from, part):
    with pytest.raises(ValueError, match=rf"no window of 3 \+ 1 values for .*{part}"):
        Windows(lags=3).task(SQUARES, valid_from, test_from)


@pytest.mark.parametrize(
    "wrong", [{"lags": 0}, {"horizon": 0}, {"difference": -1}], ids=str
)
def test_impossible_windows_are_refused(wrong):
    with pytest.raises(ValueError, match="must be at least"):
        Windows(**wrong)
