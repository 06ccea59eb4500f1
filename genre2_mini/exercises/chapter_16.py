"""Chapter 16: what a rollout reads, how counts are shared out, what a study repeats."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from genre2_mini.exercises import exercise, require, require_close


@exercise
def check_expected_reads(answer: Callable) -> None:
    """``answer(p_one, num_samples)`` -> expected number of distinct prefixes."""
    rng = np.random.default_rng(0)
    prefixes = ["".join(p) for k in range(3) for p in product("01", repeat=k)]
    p_one = dict(zip(prefixes, rng.uniform(0.1, 0.9, len(prefixes)), strict=True))
    p_one["0"] = 0.0  # a digit that is never written
    reached = _reached(p_one)
    inner = [p for prefix, p in reached.items() if len(prefix) < 3]
    for samples in (2, 16, 1):
        got = answer(dict(p_one), samples)
        require(got is not None, "it returned None: return a number")
        want = sum(1 - (1 - p) ** samples for p in inner)
        case = f"{samples} samples of three digits"
        if samples > 1:
            linear = sum(min(1.0, samples * p) for p in inner)
            require(
                not _equal(got, linear),
                "S·P(p) counts a prefix once for each sample that passes it: it is "
                "read if at least one does",
            )
        missed = sum((1 - p) ** samples for p in inner)
        require(not _equal(got, missed), "these are the prefixes not reached")
        every = sum(1 - (1 - p) ** samples for p in reached.values())
        require(
            not _equal(got, every),
            "a finished string is not read any more: only the prefixes in p_one count",
        )
        require_close(got, want, f"the expected number for {case}")


def _reached(p_one: dict[str, float]) -> dict[str, float]:
    """The probability of every prefix, finished strings included."""
    reached = {"": 1.0}
    for prefix in sorted(p_one, key=len):
        one = p_one[prefix]
        reached[prefix + "0"] = reached[prefix] * (1 - one)
        reached[prefix + "1"] = reached[prefix] * one
    return reached


@exercise
def check_share_out(answer: Callable) -> None:
    """``answer(count, p, rng)`` -> how many samples each token gets, a list."""
    first = answer(10, [0.5, 0.5], np.random.default_rng(0))
    require(first is not None, "it returned None: return a list of counts")
    for p in ([0.2, 0.3, 0.5], [0.1, 0.0, 0.2, 0.7], [0.25, 0.75, 0.0], [1.0]):
        rng = np.random.default_rng(1)
        draws = np.array([list(answer(10, list(p), rng)) for _ in range(2000)])
        q, case = np.array(p), f", for p = {p}"
        require(
            draws.shape == (2000, len(p)), f"one count for each of the {len(p)} tokens"
        )
        require((draws >= 0).all(), "a count is below 0" + case)
        require(
            (draws.sum(axis=1) == 10).all(),
            "the counts of 10 samples must add up to 10" + case,
        )
        require(
            not draws[:, q == 0].any(), "a token of probability 0 got samples" + case
        )
        error = 5 * np.sqrt(10 * q * (1 - q) / 2000)
        require(
            (np.abs(draws.mean(axis=0) - 10 * q) <= error + 1e-9).all(),
            f"on average the counts are {draws.mean(axis=0).round(2).tolist()}{case}: "
            "the chance of a token is among those that are left",
        )
        possible = (q > 0) & (q < 1)
        require(
            (draws.var(axis=0)[possible] > 0).all(),
            "the counts never vary: they are drawn, not rounded",
        )


@exercise
def check_resume(answer: Callable) -> None:
    """``answer(keys, done, work)`` -> {key: result}; ``done`` is filled on the way."""
    _check_resume_of_all(answer)
    _check_resume_after_failures(answer)


def _check_resume_of_all(answer: Callable) -> None:
    asked, done = [], {"b": "kept", "z": "another's"}

    def work(key: str) -> str:
        require(
            all(k in done for k in asked),
            "a result was not kept before the next run began",
        )
        asked.append(key)
        return key.upper()

    got = answer(["c", "b", "a", "c"], done, work)
    require(got is not None, "it returned None: return the results by key")
    require("b" not in asked, "a finished run was done again")
    require(sorted(asked) == sorted(set(asked)), "a run asked for twice is done once")
    require(sorted(asked) == ["a", "c"], f"the missing runs are c and a, not {asked}")
    want = {"c": "C", "b": "kept", "a": "A"}
    require(dict(got) == want, f"it returned {got}, wanted {want}")
    require(list(got) == list(want), "the results in the order of the keys")
    require(done == want | {"z": "another's"}, "done holds what was and what is new")


def _check_resume_after_failures(answer: Callable) -> None:
    done: dict = {}

    def work(key: str) -> str:
        if key in ("b2", "d4"):
            raise ValueError("diverged")
        return key.upper()

    try:
        answer(["a1", "b2", "c3", "d4"], done, work)
    except RuntimeError as error:
        names = str(error)
    except ValueError:
        require(
            False, "the run's own error came through: raise RuntimeError at the end"
        )
    else:
        require(False, "runs failed, and nothing was raised")
    others = done.get("a1") == "A1" and done.get("c3") == "C3"
    require(others, "all others are still done")
    require(not {"b2", "d4"} & set(done), "a failed run must not be kept as finished")
    require("b2" in names and "d4" in names, "the error names all runs that failed")


def _equal(got: object, want: float) -> bool:
    return bool(np.isclose(float(got), want))
