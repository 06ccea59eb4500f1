"""Futures of a series, drawn value by value: each draw is read as the past of the next.

p(y_1, …, y_H) = Π_h p(y_h | y_<h): the rule that joins digits to a number and numbers
to a vector. Within a number the decoder reads what was written; from one month to the
next the encoder does, so one network of one number writes futures of any length.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from sklearn.base import RegressorMixin

from genre2_mini.policy import DecodingPolicy
from genre2_mini.tasks import TableSchema
from genre2_mini.tasks.series import Windows

Draw = Callable[[pd.DataFrame], np.ndarray]  # features (N) -> the next change (N,)


def sample_paths(
    draw: Draw,
    windows: Windows,
    series: pd.Series,
    origins: pd.PeriodIndex,
    horizon: int,
    num_paths: int,
) -> np.ndarray:
    """S = ``num_paths`` futures of H values from each origin: (N, S, H), in its unit.

    Parameters
    ----------
    draw : one draw a row, of the value (or change) that comes next.
    origins : the first period of each future; all before it is known, nothing after.

    Raises
    ------
    ValueError : a series too short for an origin's window.
    """
    starts = series.index.get_indexer(origins)
    if starts.min() < windows.span:
        raise ValueError(
            f"{origins[starts.argmin()]} has {starts.min()} values before it, a window "
            f"needs {windows.span}: later origins, or fewer lags"
        )
    y = series.to_numpy(dtype=float)
    past = np.stack([y[start - windows.span : start] for start in starts])
    history = past.repeat(num_paths, axis=0)  # (N·S, span), then longer
    for h in range(horizon):
        month = np.asarray((origins + h).month).repeat(num_paths)
        value = draw(windows.features(history, month))
        if windows.difference:
            value = value + history[:, -windows.difference]
        history = np.concatenate([history, value[:, None]], axis=1)
    return history[:, windows.span :].reshape(len(origins), num_paths, horizon)


def actual(series: pd.Series, origins: pd.PeriodIndex, horizon: int) -> np.ndarray:
    """What came: (N, H). Raises KeyError where a future goes past the series' end."""
    return np.stack([series[origins + h].to_numpy() for h in range(horizon)], axis=1)


def policy_draws(policy: DecodingPolicy, schema: TableSchema, seed: int = 0) -> Draw:
    """Draws of a policy at temperature 1, in the series' unit."""
    generator = torch.Generator().manual_seed(seed)

    def draw(features: pd.DataFrame) -> np.ndarray:
        x = schema.transform(features)
        z = policy.sample_values(x, 1, generator)[:, 0]
        return schema.unstandardise(z).numpy()

    return draw


def residual_draws(
    model: RegressorMixin, schema: TableSchema, residuals: np.ndarray, seed: int = 0
) -> Draw:
    """A model of one number, plus one of its ``residuals`` (R,) drawn at random.

    ``model`` predicts z from x; residuals are in the series' unit. Zeros make a point
    forecast, fed back.
    """
    rng = np.random.default_rng(seed)

    def draw(features: pd.DataFrame) -> np.ndarray:
        z = model.predict(schema.transform(features).numpy())
        return schema.unstandardise(z) + rng.choice(residuals, len(z))

    return draw


def seasonal_naive(
    series: pd.Series,
    origins: pd.PeriodIndex,
    horizon: int,
    season: int = 12,
    growth_over: int | None = None,
) -> np.ndarray:
    """As a season ago: (N, H). With ``growth_over`` values, plus their mean growth.

    The growth of a season is the mean of y_t − y_{t−season} over the last
    ``growth_over`` known values; without it the forecast is flat from year to year.
    """
    starts = series.index.get_indexer(origins)
    y, found = series.to_numpy(dtype=float), []
    for start in starts:
        past = y[:start]
        years = np.arange(horizon) // season + 1
        last = past[start - season :][np.arange(horizon) % season]
        growth = 0.0
        if growth_over:
            growth = (past[season:] - past[:-season])[-growth_over:].mean()
        found.append(last + years * growth)
    return np.stack(found)


def with_past_errors(
    forecast: np.ndarray, errors: np.ndarray, num_paths: int, seed: int = 0
) -> np.ndarray:
    """A point forecast (N, H) as paths (N, S, H): whole error paths (E, H) are added.

    The errors are what the same forecast did wrong at earlier origins.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(errors), size=(len(forecast), num_paths))
    return forecast[:, None] + errors[chosen]
