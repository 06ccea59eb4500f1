"""A series in time as a task: windows of its past, split by time and never shuffled.

A random split would put the months around each test month into training. Here training
ends before the validation months begin, and those end before the test months.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from genre2_mini.tasks.table import Task
from genre2_mini.tasks.tabular import load_frame

NO_CARD = {"description": "", "target": "value", "unit": "", "in_paper": False}


def monthly_co2() -> pd.Series:
    """CO2 at Mauna Loa, parts per million, the mean of each month's weekly values.

    Monthly periods, May 1964 to December 2001: 452 without a gap. Before that five
    months were not measured: June and October 1958, February to April 1964.
    """
    frame, target = load_frame("co2")
    days = pd.to_datetime(frame[["year", "month", "day"]])
    months = frame.groupby(pd.PeriodIndex(days, freq="M"))[target].mean()
    return months.sort_index()["1964-05":].rename(target)


@dataclass(frozen=True)
class Windows:
    """What a model of a series reads, and what it is to write.

    Parameters
    ----------
    lags : values of the past that it reads, the latest one last.
    horizon : H, values that it writes: the next one, or the next H as H targets.
    difference : k > 0: read and write y_t − y_{t−k} in place of y_t. A series that
        grows leaves every range that it was trained on; its changes may not.

    Raises
    ------
    ValueError : ``lags`` or ``horizon`` below 1, ``difference`` below 0.
    """

    lags: int = 12
    horizon: int = 1
    difference: int = 0

    def __post_init__(self) -> None:
        for name, least in (("lags", 1), ("horizon", 1), ("difference", 0)):
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name}={value} must be at least {least}")

    @property
    def span(self) -> int:
        """Values of the past that one window needs."""
        return self.lags + self.difference

    def changes(self, values: np.ndarray) -> np.ndarray:
        """y_t − y_{t−k} along the last axis, k values fewer; y itself for k = 0."""
        k = self.difference
        return values[..., k:] - values[..., :-k] if k else values

    def features(self, history: np.ndarray, month: int | np.ndarray) -> pd.DataFrame:
        """One row for each history (N, ≥ span), to write the value that comes next.

        Columns ``lag_L`` … ``lag_1``, then cosine and sine of that value's ``month``
        (1 to 12), one for all rows or one each.
        """
        recent = self.changes(history[:, history.shape[1] - self.span :])
        lags = range(self.lags, 0, -1)
        frame = pd.DataFrame(recent, columns=[f"lag_{lag}" for lag in lags])
        angle = 2 * np.pi * np.asarray(month) / 12
        return frame.assign(month_cos=np.cos(angle), month_sin=np.sin(angle))

    def table(self, series: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Every window: features, and the H targets ``step_1`` to ``step_H``.

        Both have a row for each first target's period.

        Raises
        ------
        ValueError : no PeriodIndex, gaps, infinities, or fewer values than a window.
        """
        check_series(series, self.span + self.horizon)
        y = series.to_numpy(dtype=float)
        pieces = np.lib.stride_tricks.sliding_window_view(y, self.span + self.horizon)
        when = series.index[self.span : len(y) - self.horizon + 1]
        features = self.features(pieces[:, : self.span], when.month)
        changes = self.changes(pieces)[:, self.lags :]
        steps = [f"step_{h}" for h in range(1, self.horizon + 1)]
        targets = pd.DataFrame(changes, columns=steps, index=when)
        return features.set_index(when), targets

    def task(
        self,
        series: pd.Series,
        valid_from: str | pd.Period,
        test_from: str | pd.Period,
        name: str = "series",
    ) -> Task:
        """The windows as a task: one target, or H of them, in units of the series.

        The *last* target of a training window lies before ``valid_from``, that of a
        validation window before ``test_from``: no value is a target twice, in two
        parts. What a test window reads may lie before ``test_from``: it is the past.

        Raises
        ------
        ValueError : what :meth:`table` refuses, or a part without a window.
        """
        features, targets = self.table(series)
        freq = series.index.freq
        borders = [pd.Period(when, freq=freq) for when in (valid_from, test_from)]
        first = features.index
        last = first + (self.horizon - 1)
        chosen = {
            "train": last < borders[0],
            "valid": (first >= borders[0]) & (last < borders[1]),
            "test": first >= borders[1],
        }
        if empty := [part for part, rows in chosen.items() if not rows.any()]:
            raise ValueError(
                f"no window of {self.span} + {self.horizon} values for {empty}: the "
                f"series runs from {series.index[0]} to {series.index[-1]}, validation "
                f"begins {borders[0]}, the test {borders[1]}"
            )
        y = targets["step_1"] if self.horizon == 1 else targets
        parts = {part: (features[rows], y[rows]) for part, rows in chosen.items()}
        return Task.from_parts(name, parts, card=dict(NO_CARD, target=str(series.name)))


def check_series(series: pd.Series, least: int) -> None:
    """Refuse what has no windows.

    Raises
    ------
    ValueError : the index is no PeriodIndex; periods or values are missing, doubled,
        out of order or infinite; fewer than ``least`` values. Names the first.
    """
    index = getattr(series, "index", None)
    if not isinstance(series, pd.Series) or not isinstance(index, pd.PeriodIndex):
        raise ValueError(
            "the series must be a pandas Series over periods, such as "
            "pd.period_range('2000-01', periods=100, freq='M'), got "
            f"{type(series).__name__} over {type(index).__name__}"
        )
    if not (index.is_monotonic_increasing and index.is_unique):
        raise ValueError("the periods must rise, each one once: sort and merge them")
    if len(series) < least:
        raise ValueError(
            f"the series has {len(series)} values, one window needs {least}"
        )
    every = pd.period_range(index[0], index[-1], freq=index.freq)
    whole = series.reindex(every).to_numpy(dtype=float)
    if len(gaps := every[~np.isfinite(whole)]):
        raise ValueError(
            f"{len(gaps)} of {len(every)} values are missing or infinite, the first of "
            f"them {gaps[0]}: begin later, or fill them and say so"
        )
