"""Three synthetic tasks of the paper's benchmark, drawn from their published rules."""

import numpy as np
import pandas as pd

ROWS = 40768


def fried(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Friedman's surface with N(0, 1) noise; five of ten features matter.

    Source: J. Friedman, Multivariate adaptive regression splines (1991). Everything is
    rounded to 3 decimals, as in the distributed file. The best RMSE possible is 1.
    """
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(rows, 10)).round(3)
    y = (
        10 * np.sin(np.pi * x[:, 0] * x[:, 1])
        + 20 * (x[:, 2] - 0.5) ** 2
        + 10 * x[:, 3]
        + 5 * x[:, 4]
        + rng.normal(size=rows)
    )
    return _frame(x).assign(y=y.round(3))


def planes2d(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Two planes with N(0, 1) noise; x1 says which one holds.

    Source: Breiman, Friedman, Olshen, Stone, Classification and Regression Trees
    (1984), with noise variance 1. The best RMSE possible is 1.
    """
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, size=(rows, 10))
    x[:, 0] = rng.choice([-1, 1], size=rows)
    above = 3 + 3 * x[:, 1] + 2 * x[:, 2] + x[:, 3]
    below = -3 + 3 * x[:, 4] + 2 * x[:, 5] + x[:, 6]
    y = np.where(x[:, 0] == 1, above, below) + rng.normal(size=rows)
    return _frame(x).assign(y=y)


def mv(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Ten dependent features and a noiseless piecewise target, `mv_target`.

    Source: L. Torgo's regression collection. The rule printed there does not generate
    the file that is distributed; this one gives the target of all its rows, to 1e-4.
    """
    rng = np.random.default_rng(seed)
    x1 = rng.uniform(-5, 5, rows)
    x2 = rng.uniform(-15, -10, rows)
    brown = np.where(x1 > 0, 0.52, 0.684)
    green = np.where(x1 > 0, 0.76, 0.684)  # red takes the rest
    u = rng.uniform(size=rows)
    x3 = np.where(u < brown, "brown", np.where(u < green, "green", "red"))
    x4 = np.where(rng.uniform(size=rows) < 0.3, x1, x2) / 2
    x5 = rng.uniform(-1, 1, rows)
    frame = pd.DataFrame(
        {
            "x1": x1,
            "x2": x2,
            "x3": x3,
            "x4": x4,
            "x5": x5,
            "x6": x4 * rng.uniform(0, 5, rows),
            "x7": np.where(rng.uniform(size=rows) < 0.3, "yes", "no"),
            "x8": np.where(x5 < 0.5, "normal", "large"),
            "x9": rng.uniform(100, 500, rows),
            "x10": rng.integers(1000, 1201, rows),
        }
    )
    return frame.assign(y=mv_target(frame))


def mv_target(frame: pd.DataFrame) -> np.ndarray:
    """The rule of `mv`: the least of up to four terms, float64 (rows,)."""
    x1, x4, x6 = (frame[name].to_numpy() for name in ("x1", "x4", "x6"))
    terms = [
        x1 / 2,
        np.where(frame["x8"] == "normal", x6 + x1, np.inf),
        np.where(frame["x7"] == "yes", 3 - x1 / x4, np.inf),
        np.where(np.abs(x4) <= 2, 10 - 2 * x1, np.inf),
    ]
    return np.min(terms, axis=0)


def _frame(x: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(x, columns=[f"x{j}" for j in range(1, x.shape[1] + 1)])


GENERATORS = {"fried": fried, "planes2d": planes2d, "mv": mv}
