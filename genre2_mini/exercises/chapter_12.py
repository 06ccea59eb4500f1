"""Chapter 12: what a noisy table allows, ranks, pairs, and picking afterwards."""

from collections.abc import Callable

import numpy as np
from scipy import stats

from genre2_mini.exercises import exercise, require, require_close


@exercise
def check_r2_of_samples(answer: Callable) -> None:
    """``answer(r2_mean, num_samples)``: R² of a perfect policy's mean of S strings."""
    for r2, samples in ((0.6, 4), (0.9, 128), (0.6, 1), (0.0, 2)):
        got, case = answer(r2, samples), f"r2_mean={r2}, num_samples={samples}"
        require(got is not None, "it returned None: return a number")
        require(
            not np.isclose(got, r2 / samples),
            f"R² itself is not divided by S: the added spread is ({case})",
        )
        require(
            not np.isclose(got, 1 - (1 - r2) / samples),
            f"averaging strings does not remove the noise of the truth ({case})",
        )
        require_close(got, r2 - (1 - r2) / samples, f"R² for {case}")


@exercise
def check_average_rank(answer: Callable) -> None:
    """``answer(scores)``: (methods, tasks), higher is better, -> (methods,)."""
    rng = np.random.default_rng(0)
    tables = {
        "three methods on two tasks": np.array([[0.9, 0.2], [0.8, 0.5], [0.1, 0.1]]),
        "a tie of two": np.array([[0.9], [0.9], [0.1]]),
        "all alike": np.full((4, 3), 0.5),
        "many": rng.integers(4, size=(6, 20)) / 4,
    }
    for name, scores in tables.items():
        got = answer(scores.copy())
        require(got is not None, "it returned None: return an array, one a method")
        got = np.asarray(got, float)
        require(
            got.shape == scores.shape[:1],
            f"one average for each method: shape {scores.shape[:1]}, not {got.shape}",
        )
        ranks = stats.rankdata(-scores, axis=0).mean(axis=1)
        upside_down = stats.rankdata(scores, axis=0).mean(axis=1)
        require(
            np.allclose(upside_down, ranks) or not np.allclose(got, upside_down),
            "rank 1 is the best, the highest score",
        )
        require(
            np.allclose(got.sum(), ranks.sum()),
            f"{name}: the ranks of k methods sum to k (k + 1) / 2, ties or not; "
            f"yours to {got.sum():.4g} of {ranks.sum():.4g}",
        )
        require_close(got, ranks, f"{name}: the average ranks")


@exercise
def check_paired_interval(answer: Callable) -> None:
    """``answer(method, baseline)``: (..., seeds) each -> mean, low, high (...)."""
    rng = np.random.default_rng(0)
    luck = rng.normal(size=(4, 5))
    baseline = 0.5 + 0.1 * luck
    method = baseline + 0.02 + 0.01 * rng.normal(size=(4, 5))
    for a, b in ((method[0], baseline[0]), (method, baseline)):
        got = answer(a.copy(), b.copy())
        require(got is not None, "it returned None: return mean, low and high")
        require(len(got) == 3, "return three: mean, low and high")
        d = a - b
        n = d.shape[-1]
        mean, half = d.mean(axis=-1), d.std(axis=-1, ddof=1) / np.sqrt(n)
        require_close(got[0], mean, "the mean difference, method minus baseline")
        width = (np.asarray(got[2]) - np.asarray(got[1])) / 2
        _tell_why_a_width_is_wrong(width, a, b, half)
        half = stats.t.ppf(0.975, n - 1) * half
        require_close(got[1], mean - half, "the lower end")
        require_close(got[2], mean + half, "the upper end")


def _tell_why_a_width_is_wrong(width, a, b, error) -> None:
    """Recognise the usual half widths; ``error`` is the paired standard error."""
    n = a.shape[-1]
    student = stats.t.ppf(0.975, n - 1)
    apart = np.hypot(a.std(axis=-1, ddof=1), b.std(axis=-1, ddof=1)) / np.sqrt(n)
    shrunk = error * np.sqrt((n - 1) / n)
    for wrong, why in {
        "the two scores vary together: take the difference before the spread": apart,
        "five values have heavier tails than a normal law: Student's quantile": error
        * (stats.norm.ppf(0.975) / student),
        "the standard deviation divides by n − 1": shrunk,
        "this is for one seed; the mean of n has an error √n times smaller": error
        * np.sqrt(n),
        "95% leaves 2.5% at each end": error * (stats.t.ppf(0.95, n - 1) / student),
    }.items():
        require(not np.allclose(width, student * why), wrong)


@exercise
def check_split_gain(answer: Callable) -> None:
    """``answer(before, after, z)``: (N, S), (N, S), (N,) -> sharper, better mean."""
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=40)
    before = 0.8 * z[:, None] + rng.normal(size=(40, 8))
    after = 0.9 * z[:, None] + 0.1 + 0.4 * rng.normal(size=(40, 8))
    got = answer(before.copy(), after.copy(), z.copy())
    require(got is not None, "it returned None: return two numbers")
    require(len(got) == 2, "return two numbers: sharper, better mean")
    got = np.array([float(part) for part in got])
    want = (_parts(before, z) - _parts(after, z)) / z.var()
    require(not np.allclose(got, want[::-1]), "sharper comes first")
    require(not np.allclose(got, -want), "the sign: a smaller error is a gain")
    require(
        not np.allclose(got, want * z.var()),
        "these are squared errors: for R² divide by the variance of z",
    )
    gain = ((before - z[:, None]) ** 2).mean() - ((after - z[:, None]) ** 2).mean()
    require(
        np.isclose(got.sum(), gain / z.var()),
        f"the parts add up to {got.sum():.4f}, and the gain is {gain / z.var():.4f}: "
        "square each row's bias, then average; weights 1/S, so divide by S",
    )
    require_close(got, want, "sharper and better mean")


def _parts(values: np.ndarray, z: np.ndarray) -> np.ndarray:
    bias2 = ((values.mean(axis=1) - z) ** 2).mean()
    return np.array([values.var(axis=1).mean(), bias2])


@exercise
def check_best_of_many(answer: Callable) -> None:
    """``answer(gaps)``: (studies, seeds, ways) -> shares won, the first and any way."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=(2000, 5, 4))
    related = own + rng.normal(size=(2000, 5, 1))
    for gaps in (own, related, own[..., :1]):
        got = answer(gaps.copy())
        require(got is not None, "it returned None: return two shares")
        require(len(got) == 2, "return two shares: of the first way, of any way")
        got = np.array([float(share) for share in got])
        error = gaps.std(axis=1, ddof=1) / np.sqrt(gaps.shape[1])
        t = gaps.mean(axis=1) / error
        limit = stats.t.ppf(0.975, gaps.shape[1] - 1)
        want = np.array([(t > limit)[:, 0].mean(), (t > limit).any(axis=1).mean()])
        both = np.array([(abs(t) > limit)[:, 0].mean()])
        require(
            not np.isclose(got[0], both[0]),
            "an interval below zero is a loss, not a win",
        )
        require(
            gaps.shape[2] == 1 or not np.isclose(got[1], (t > limit).mean()),
            "any way of a study, not the mean over ways",
        )
        require_close(got, want, "the shares of false wins")
