"""R², RMSE and MAE of predictions that come some rows at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass
class RunningScores:
    """What the rows so far add up to, in the target's own unit.

    Attributes
    ----------
    rows : rows with a finite target; others count for nothing.
    mean, spread : of these targets, and Σ (y − mean)².
    low, high : the smallest and the largest of them.
    squared, absolute : Σ (ŷ − y)² and Σ |ŷ − y|.
    """

    rows: int = 0
    mean: float = 0.0
    spread: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    squared: float = 0.0
    absolute: float = 0.0

    def add(self, prediction: np.ndarray, y: np.ndarray) -> RunningScores:
        """Count more predictions (N,) and their targets (N,).

        Mean and spread are combined as Chan, Golub and LeVeque (1983) do, so that no
        digits cancel.
        """
        known = np.isfinite(y)
        prediction, y = prediction[known], y[known]
        if not len(y):
            return self
        total, step = self.rows + len(y), y.mean() - self.mean
        self.spread += float(((y - y.mean()) ** 2).sum())
        self.spread += float(step**2 * self.rows * len(y) / total)
        self.mean += float(step * len(y) / total)
        self.rows = total
        self.low, self.high = min(self.low, y.min()), max(self.high, y.max())
        self.squared += float(((prediction - y) ** 2).sum())
        self.absolute += float(np.abs(prediction - y).sum())
        return self

    def result(self) -> dict[str, float | int | None] | None:
        """``rows``, ``r2``, ``rmse``, ``mae``; None without rows.

        R² is None where all targets are equal: it has no meaning there.
        """
        if not self.rows:
            return None
        varied = self.low < self.high
        return {
            "rows": self.rows,
            "r2": 1 - self.squared / self.spread if varied else None,
            "rmse": math.sqrt(self.squared / self.rows),
            "mae": self.absolute / self.rows,
        }


def score_cells(scores: dict) -> list[str]:
    """R², RMSE and MAE as text for a table."""
    r2 = "undefined" if scores["r2"] is None else f"{scores['r2']:.3f}"
    return [r2, *(short(scores[name]) for name in ("rmse", "mae"))]


def short(value: float) -> str:
    """Four digits, or all digits before the point of a large number."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else f"{value:#.4g}"
