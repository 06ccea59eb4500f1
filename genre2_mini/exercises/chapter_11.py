"""Chapter 11: the expert's token, what it teaches, and whose prefixes it judges."""

from collections.abc import Callable, Mapping
from itertools import product

import torch
from torch import Tensor

from genre2_mini.encoders import RowEncoder
from genre2_mini.exercises import exercise, require, require_close
from genre2_mini.objectives import expert_target
from genre2_mini.policy import DecodingPolicy
from genre2_mini.tokenizers import NormalizedTokenizer

PREFIXES = {"": 4, "4": 0, "3": 9, "40": 7, "41": 0, "39": 9}  # of the truth 407


@exercise
def check_by_hand(answer: Mapping[str, int | None]) -> None:
    """``answer``: the expert's digit after each prefix, where 407 is the truth."""
    require(set(answer) == set(PREFIXES), f"the prefixes are {list(PREFIXES)}")
    for prefix, digit in PREFIXES.items():
        got = answer[prefix]
        require(got is not None, f"the digit after {prefix!r} is None: fill it in")
        got = int(got)
        copied = int("407"[len(prefix)])
        require(
            got == digit or got != copied,
            f"after {prefix!r} you copied the truth, which can no longer be written",
        )
        require(got == digit, f"after {prefix!r} another digit leads closer to 407")


@exercise
def check_expert_string(answer: Callable) -> None:
    """``answer(written, truth, base)``: two lists of K digits -> the expert's K."""
    for base, size in ((2, 3), (3, 3), (10, 2)):
        strings = list(product(range(base), repeat=size))
        for written, truth in product(strings[:40], strings[-40:] + strings[:40]):
            got = answer(list(written), list(truth), base)
            require(got is not None, "it returned None: return a list of digits")
            got, case = list(got), f"written {written}, truth {truth}, base {base}"
            require(len(got) == size, f"one digit a position: {size} of them ({case})")
            want = _expert_string(written, truth, base)
            slip = next((k for k in range(size) if written[k] != truth[k]), size)
            require(
                got[: slip + 1] == want[: slip + 1],
                f"up to and with the first slip the expert says the truth ({case})",
            )
            require(
                got == want,
                "after a slip the truth's digits are not the ones to write: it should "
                f"be {want}, not {got} ({case})",
            )


def _expert_string(written: tuple, truth: tuple, base: int) -> list[int]:
    prefixes = [(written[:k], truth[:k]) for k in range(len(truth))]
    return [
        true if begun == right else (0 if begun > right else base - 1)
        for (begun, right), true in zip(prefixes, truth, strict=True)
    ]


@exercise
def check_cross_entropy_student(answer: Callable) -> None:
    """``answer(law)``: (8,), -> the votes for a 1 after "", "0" and "1", two ways.

    Two tensors (3,): of the truths that begin with the prefix, and of all truths.
    """
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        law = torch.rand(8, generator=generator).double()
        law = law / law.sum()
        got = answer(law)
        require(
            isinstance(got, tuple) and len(got) == 2 and got[0] is not None,
            "return two tensors: cross-entropy's votes and the expert's",
        )
        above = [law[4:].sum(), law[2:].sum(), law[6:].sum()]
        inside = [law[4:].sum(), law[2:4].sum() / law[:4].sum()]
        inside.append(law[6:].sum() / law[4:].sum())
        require(
            not _close(got[1], torch.stack(inside)),
            "the expert asks the truths outside the prefix as well",
        )
        require_close(got[0], torch.stack(inside), "cross-entropy's votes for a 1")
        require_close(got[1], torch.stack(above), "the expert's votes for a 1")


def _close(got: object, want: Tensor) -> bool:
    got = torch.as_tensor(got).double()
    return got.shape == want.shape and torch.allclose(got, want)


@exercise
def check_spread_out(law: Tensor | None) -> None:
    """``law``: (4,), one that the student of two binary digits spreads out."""
    require(law is not None, "it is None: four probabilities, of 0, 1, 2 and 3")
    law = torch.as_tensor(law).double()
    require(law.shape == (4,), f"four probabilities, not shape {tuple(law.shape)}")
    require((law >= 0).all(), "a probability is not below 0")
    require_close(law.sum(), 1.0, "the sum of the probabilities")
    high, one, three = law[2:].sum(), law[1:].sum(), law[3]
    student = [(1 - high) * (1 - one), (1 - high) * one]
    student += [high * (1 - three), high * three]
    before, after = _variance(law), _variance(torch.stack(student))
    require(before > 1e-12, "a law of one number has no spread, before or after")
    require(
        after > before * (1 + 1e-9),
        f"variance {before:.4f} before and {after:.4f} after: it did not grow",
    )


def _variance(law: Tensor) -> Tensor:
    place = torch.arange(len(law)).double()
    return law @ place.square() - (law @ place) ** 2


@exercise
def check_mixed_loss(answer: Callable) -> None:
    """``answer(policy, x, z, written, use_truth)``: the expert's loss, prefixes mixed.

    written (N, S, K); use_truth (N, S) booleans.
    """
    torch.manual_seed(0)
    tokenizer = NormalizedTokenizer(base=3, num_digits=3, low=-1.0, high=1.0)
    encoder = RowEncoder(4, d_model=8, hidden=8)
    policy = DecodingPolicy(encoder, tokenizer, d_model=8, num_heads=2, num_layers=1)
    policy = policy.double().eval()
    x, z = torch.randn(5, 4).double(), torch.linspace(-0.9, 0.9, 5).double()
    with torch.no_grad():  # far from the even start, so that tokens differ
        policy.unembedding.weight.mul_(20)
    written = policy.sample(x, 6, generator=torch.Generator().manual_seed(0))
    truth = tokenizer.encode(z)[:, None].expand_as(written)
    some = torch.rand(5, 6, generator=torch.Generator().manual_seed(1)) < 0.5
    for name, use in {
        "nobody's": torch.zeros_like(some),
        "everybody's": torch.ones_like(some),
        "some": some,
    }.items():
        got = answer(policy, x, z, written, use)
        require(got is not None, "it returned None: return the loss")
        prefixes = torch.where(use[..., None], truth, written)
        log_p = policy.logits(x, prefixes).log_softmax(dim=-1)
        target = expert_target(tokenizer, prefixes, z[:, None].expand(5, 6))
        loss = -log_p.gather(-1, target[..., None])[..., 0]
        copied = -log_p.gather(-1, truth[..., None]).mean()
        own = -log_p.gather(-1, prefixes[..., None]).mean()
        want = loss.mean()
        got = torch.as_tensor(got).detach().double()
        require(got.ndim == 0, f"one number, not shape {tuple(got.shape)}")
        require(not torch.isclose(got, -want), "the sign: a loss, so minus the log")
        require(
            not torch.isclose(got, loss.sum(dim=-1).mean()),
            "the mean over tokens, not the sum",
        )
        require(
            torch.isclose(own, want) or not torch.isclose(got, own),
            "these are the log-probabilities of the prefixes' own tokens",
        )
        require(
            torch.isclose(copied, want) or not torch.isclose(got, copied),
            "on sampled prefixes the target is the expert's token, not the truth's",
        )
        require_close(got, want.detach(), f"the loss with {name} prefixes the truth's")
