"""Chapter 15: k strings, the median of three, and a reward for a set of samples."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

from genre2_mini.exercises import exercise, require, require_close

NUMBERS = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0], dtype=torch.float64)
TRUTH = 0.4


@exercise
def check_strings_for(answer: Callable) -> None:
    """``answer(bias2, spread, error)``: the least k with bias² + spread/k ≤ error."""
    require(
        answer(0.25, 0.5, 0.125) is None,
        "a bias² above the error stays above it, however many strings: return None",
    )
    for bias2, spread, error, k in (
        (0.125, 0.5, 0.25, 4),
        (0.125, 0.5, 0.26, 4),
        (0.0, 1.0, 0.375, 3),
        (0.5, 0.25, 2.0, 1),
        (0.25, 2.0, 0.3125, 32),
    ):
        got = answer(bias2, spread, error)
        case = f"bias² {bias2}, spread {spread}, error {error}"
        require(got is not None, f"some number is enough ({case})")
        require(got >= 1, f"at least one string ({case})")
        require(float(got).is_integer(), f"whole strings: {got} is none ({case})")
        require(
            bias2 + spread / got <= error + 1e-12,
            f"with {got} strings the error is {bias2 + spread / got:.4f} ({case})",
        )
        require(got == k, f"fewer than {got} are enough ({case})")


@exercise
def check_different_strings(answer: Callable) -> None:
    """``answer(p, size)``: expected number of different strings among ``size``."""
    for p, size in (
        (torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), 3),
        (torch.tensor([0.7, 0.0, 0.1, 0.2], dtype=torch.float64), 4),
        (torch.tensor([0.0, 1.0], dtype=torch.float64), 5),
    ):
        got = answer(p, size)
        require(got is not None, "it returned None: return a number")
        want = sum(
            len(set(group)) * p[list(group)].prod()
            for group in product(range(len(p)), repeat=size)
        )
        require(
            not _equal(got, size * (p > 0).double().sum()),
            "a string is there or not, however often it was drawn",
        )
        expected = size * (1 - p.square().sum())
        require(
            not _equal(got, expected) or _equal(got, want),
            "that counts samples that differ from another one",
        )
        require_close(got, want, f"the different strings among {size} of {p.tolist()}")


@exercise
def check_middle_of_three(answer: Callable) -> None:
    """``answer(p)``: probabilities (V,) -> those of the median of three samples."""
    generator = torch.Generator().manual_seed(0)
    for size in (2, 3, 5):
        p = torch.rand(size, generator=generator).double()
        p = p / p.sum()
        got = answer(p.clone())
        require(got is not None, "it returned None: return probabilities (V,)")
        want = torch.zeros_like(p)
        for group in product(range(size), repeat=3):
            want[sorted(group)[1]] += p[list(group)].prod()
        got = torch.as_tensor(got)
        require(
            got.shape == p.shape, f"one probability a number: {size}, not {got.shape}"
        )
        require(
            not _equal(got, want.cumsum(0)),
            "that is the distribution function: take its differences",
        )
        require(
            not _equal(got, p),
            "that is one sample: the median of three is another thing",
        )
        require_close(got, want, "the median's probabilities")


@exercise
def check_leave_one_out(answer: Callable) -> None:
    """``answer(values, z)``: samples (S,) -> S (U − U_−s) (S,) of the fair CRPS."""
    generator = torch.Generator().manual_seed(0)
    for size in (3, 4, 7):
        values = torch.randn(size, generator=generator).double()
        z = 0.3
        got = answer(values.clone(), z)
        require(got is not None, "it returned None: return S credits")
        want = _credit(values, z, _fair)
        require(
            not _equal(got, _credit(values, z, _plug_in)),
            "a sample is no pair with itself: divide by S(S − 1), not by S²",
        )
        require(
            not _equal(got, want / size),
            "this is U − U_−s; the credit is S times that",
        )
        require(not _equal(got, -want), "the sign: a good sample is credited")
        require_close(got, want, f"the credits of {size} samples")


def _fair(values: Tensor, z: float) -> Tensor:
    size = len(values)
    apart = (values[:, None] - values).abs().sum() / (size * (size - 1))
    return -(values - z).abs().mean() + apart / 2


def _plug_in(values: Tensor, z: float) -> Tensor:
    apart = (values[:, None] - values).abs().mean()
    return -(values - z).abs().mean() + apart / 2


def _credit(values: Tensor, z: float, score: Callable) -> Tensor:
    """S times what a score loses without each sample (S,)."""
    size = len(values)
    others = [torch.cat([values[:s], values[s + 1 :]]) for s in range(size)]
    return size * torch.stack([score(values, z) - score(rest, z) for rest in others])


@exercise
def check_fooled(answer: Tensor) -> None:
    """``answer``: probabilities (5,) of ``NUMBERS``, spread out, with a perfect score.

    The score is E(ẑ − z)² − ½ E(ẑ − ẑ')² for the truth ``TRUTH``.
    """
    require(answer is not None, "it is None: give five probabilities")
    p = torch.as_tensor(answer).double()
    require(p.shape == (5,), f"five probabilities, not shape {tuple(p.shape)}")
    require(
        (p >= 0).all() and abs(p.sum().item() - 1) < 1e-6,
        "probabilities are not negative and sum to one",
    )
    sd = (p @ NUMBERS**2 - (p @ NUMBERS) ** 2).clamp(min=0).sqrt().item()
    require(sd >= 1, f"spread it out: the standard deviation is {sd:.2f}, below 1")
    apart = p @ (NUMBERS[:, None] - NUMBERS).square() @ p
    score = (p @ (NUMBERS - TRUTH).square() - apart / 2).item()
    require(
        score < 1e-9,
        f"the score is {score:.3f} and can be 0: what is left of it once the spread "
        "has cancelled?",
    )


def _equal(got: object, want: Tensor) -> bool:
    got, want = torch.as_tensor(got).double(), torch.as_tensor(want).double()
    return got.shape == want.shape and torch.allclose(got, want)
