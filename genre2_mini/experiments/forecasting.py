"""Two years of CO2, month by month: a policy's futures, naive and learnt rivals.

``genre2-mini reproduce forecasting`` runs it. Five cuts in time, each
with several initial weights; a network trains on all months before the validation
months and forecasts from each of 24 months after them. Every method draws as many
paths, no network's weights are chosen, and all scores are in parts per million.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import Ridge

from genre2_mini.experiments.expert_weight import go_on
from genre2_mini.experiments.paths import (
    Draw,
    actual,
    policy_draws,
    residual_draws,
    sample_paths,
    seasonal_naive,
    with_past_errors,
)
from genre2_mini.experiments.rivals import tuned_rival
from genre2_mini.heads import PointwiseHead
from genre2_mini.methods import METHODS, build_model
from genre2_mini.metrics import crps, weighted_quantile
from genre2_mini.objectives import (
    CrossEntropy,
    ExpertSupervision,
    GenRe2,
    ReMax,
)
from genre2_mini.tasks import Task
from genre2_mini.tasks.series import Windows, monthly_co2
from genre2_mini.tokenizers import NormalizedTokenizer

CUTS = ("1982-01", "1986-01", "1990-01", "1994-01", "1998-01")
MONTHS = (1, 3, 6, 12, 24)
VALID, ORIGINS, HORIZON = 36, 24, 24
GROWTH = 60  # months
CHANGES, LEVELS = Windows(lags=12, difference=1), Windows(lags=12)
DIGITS = NormalizedTokenizer(base=4, num_digits=3)
NETWORK = {"d_model": 32, "hidden": 64}
SCORES = ["rmse", "mae", "mase", "crps", "cover50", "cover80", "width80"]


@dataclass(frozen=True)
class Cut:
    """One split in time of a series, and what its forecasts are compared with."""

    series: pd.Series
    cut: str
    num_paths: int
    seed: int
    origins: pd.PeriodIndex = field(init=False)

    def __post_init__(self) -> None:
        origins = pd.period_range(self.cut, periods=ORIGINS, freq="M")
        object.__setattr__(self, "origins", origins)

    @property
    def valid_from(self) -> pd.Period:
        """The first validation month."""
        return self.origins[0] - VALID

    def task(self, windows: Windows) -> Task:
        """The windows, trained on before :attr:`valid_from`."""
        return windows.task(self.series, self.valid_from, self.origins[0], "co2 ahead")

    def futures(self, draw: Draw, windows: Windows) -> np.ndarray:
        """Paths (origins, S, H) of a draw."""
        size = HORIZON, self.num_paths
        return sample_paths(draw, windows, self.series, self.origins, *size)

    def naive(self, growth_over: int | None) -> np.ndarray:
        """Paths of the seasonal-naive forecast, spread by its errors before the cut.

        Their mean is taken out: the forecast itself stays what it is.
        """
        earlier = self.series.index
        begin, end = 12 + (growth_over or 12), len(earlier[earlier < self.valid_from])
        past = earlier[begin : end - HORIZON]
        options = {"horizon": HORIZON, "growth_over": growth_over}
        errors = actual(self.series, past, HORIZON)
        errors = errors - seasonal_naive(self.series, past, **options)
        errors = errors - errors.mean(axis=0)
        forecast = seasonal_naive(self.series, self.origins, **options)
        return with_past_errors(forecast, errors, self.num_paths, self.seed)

    def scores(self, method: str, paths: np.ndarray) -> list[dict]:
        """A row for each of ``MONTHS`` ahead, and one for the mean of the first year.

        ``rmse`` is of the paths' mean, ``mae`` of their median, ``mase`` the MAE over
        that of the seasonal-naive forecast in training, ``cover80`` the share of months
        within the central 80% of the paths, ``width80`` how wide that is.
        """
        truth = actual(self.series, self.origins, HORIZON)
        train = self.series[self.series.index < self.valid_from].to_numpy()
        unit = np.abs(train[12:] - train[:-12]).mean()
        looks = {str(h): (paths[:, :, h - 1], truth[:, h - 1]) for h in MONTHS}
        looks["year"] = (paths[:, :, :12].mean(axis=2), truth[:, :12].mean(axis=1))
        rows = []
        for ahead, (drawn, came) in looks.items():
            found = band_scores(drawn, came)
            about = {"cut": self.cut, "seed": self.seed, "method": method}
            rows.append(about | {"ahead": ahead, "mase": found["mae"] / unit} | found)
        return rows


def band_scores(drawn: np.ndarray, came: np.ndarray) -> dict[str, float]:
    """Scores of draws (N, S) against what came (N,), in their unit."""
    values, truth = torch.from_numpy(drawn), torch.from_numpy(came)
    low, q25, middle, q75, high = weighted_quantile(
        values, [0.1, 0.25, 0.5, 0.75, 0.9]
    ).unbind(-1)
    return {
        "rmse": (values.mean(dim=1) - truth).square().mean().sqrt().item(),
        "mae": (middle - truth).abs().mean().item(),
        "crps": crps(values, truth).mean().item(),
        "cover50": ((q25 <= truth) & (truth <= q75)).double().mean().item(),
        "cover80": ((low <= truth) & (truth <= high)).double().mean().item(),
        "width80": (high - low).mean().item(),
    }


def apart(paths: np.ndarray, seed: int = 0) -> np.ndarray:
    """The same draws of every month, but each month shuffled on its own."""
    return np.random.default_rng(seed).permuted(paths, axis=1)


class HeadRegressor:
    """A pointwise head with scikit-learn's ``predict``: x (N, F) -> z (N,)."""

    def __init__(self, head: PointwiseHead) -> None:
        self.head = head

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Its one number for each row."""
        values, _ = self.head.predict_distribution(torch.from_numpy(x))
        return values[:, 0].numpy()


def run(cut: str, seed: int, ce_steps: int, steps: int, num_paths: int) -> pd.DataFrame:
    """All methods from one cut; initial weights and draws by ``seed``.

    Returns
    -------
    One row a method and month ahead, with ``SCORES``; "year" is the mean of the first
    twelve months, "CE, shuffled" its draws without their order in time.
    """
    what = Cut(monthly_co2(), cut, num_paths, seed)
    futures = {"Seasonal naive": what.naive(None)}
    futures["Seasonal naive, growth"] = what.naive(GROWTH)
    for windows, suffix in ((LEVELS, ", levels"), (CHANGES, "")):
        task = what.task(windows)
        for name, draw in learnt_draws(task, ce_steps, steps, seed).items():
            if suffix == "" or name in ("CE", "Boosting", "Linear", "Pointwise"):
                futures[name + suffix] = what.futures(draw, windows)
    futures["CE, shuffled"] = apart(futures["CE"], seed)
    rows = [row for name, paths in futures.items() for row in what.scores(name, paths)]
    return pd.DataFrame(rows)[["cut", "seed", "method", "ahead", *SCORES]]


def learnt_draws(task: Task, ce_steps: int, steps: int, seed: int) -> dict[str, Draw]:
    """What each method draws next, trained on the task.

    Rivals of one number get their errors on the validation months for a spread.
    """
    fresh = {"task": task, "tokenizer": DIGITS, "seed": seed}
    start = build_model(METHODS["ce"], **fresh, **NETWORK)
    start = go_on(start, task, CrossEntropy(), ce_steps, seed)
    objectives = {
        "CE": CrossEntropy(),
        "ReMax": ReMax(),
        "GenRe²": GenRe2(),
        "Expert alone": ExpertSupervision(),
    }
    draws = {
        name: policy_draws(go_on(start, task, which, steps, seed), task.schema, seed)
        for name, which in objectives.items()
    }
    head = build_model(METHODS["pointwise"], **fresh, **NETWORK)
    head = go_on(head, task, METHODS["pointwise"].objective(), ce_steps + steps, seed)
    ridge = Ridge(1.0).fit(task.train.x.numpy(), task.train.z.numpy())
    boosting = tuned_rival("boosting", task, seed)[0]
    models = {"Pointwise": HeadRegressor(head), "Linear": ridge, "Boosting": boosting}
    for name, model in models.items():
        z = model.predict(task.valid.x.numpy())
        errors = task.schema.unstandardise(task.valid.z.numpy())
        errors = errors - task.schema.unstandardise(z)
        draws[name] = residual_draws(model, task.schema, errors, seed)
    return draws
