"""Chapter 14: from a program's text to the number that a call of it costs."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from genre2_mini.exercises import exercise, require, require_close
from genre2_mini.rewards import QuantileReward
from genre2_mini.tasks.texts import cut_text
from genre2_mini.text_encoder import TextEncoder


@exercise
def check_tenfold(answer: Callable) -> None:
    """``answer(predicted, true)``: counts (N,) -> share more than tenfold off."""
    cases = [
        ([5.0, 200.0, 3000.0, 90.0], [10.0, 10.0, 10.0, 1000.0], 0.75),
        ([101.0, 99.0], [10.0, 10.0], 0.5),
        ([100.0, 7.0], [1001.0, 700.0], 1.0),
        ([12.0, 12.0, 12.0], [12.0, 40.0, 119.0], 0.0),
    ]
    for predicted, true, want in cases:
        got = answer(torch.tensor(predicted), torch.tensor(true))
        case = f"predicted {predicted}, true {true}"
        require(got is not None, "it returned None: return a share")
        one_sided = torch.tensor(predicted) > 10 * torch.tensor(true)
        got = torch.as_tensor(got).double()
        require(
            not (got == one_sided.double().mean() and got != want),
            f"ten times too small counts as well ({case})",
        )
        require_close(got, want, f"the share for {case}")


@exercise
def check_split_by_program(answer: Callable) -> None:
    """``answer(programs, seed)``: N names -> booleans (N,), which rows are test."""
    programs = [f"p{i % 25}" for i in range(500)]
    seen = []
    for seed in range(3):
        got = answer(list(programs), seed)
        require(got is not None, "it returned None: return a boolean for each row")
        test = torch.as_tensor(got)
        require(test.shape == (500,), f"500 booleans, not shape {tuple(test.shape)}")
        test = test.bool().tolist()
        sides = [
            {p for p, t in zip(programs, test, strict=True) if t is side}
            for side in (True, False)
        ]
        both = sides[0] & sides[1]
        require(
            not both,
            f"{len(both)} programs are on both sides, such as {sorted(both)[:3]}",
        )
        require(
            len(sides[0]) == 5, f"a fifth of 25 programs are 5, not {len(sides[0])}"
        )
        again = torch.as_tensor(answer(list(programs), seed)).bool().tolist()
        require(again == test, "the same seed has to give the same split")
        seen.append(tuple(sorted(sides[0])))
    require(len(set(seen)) > 1, "another seed has to give another split")


@exercise
def check_cut(answer: Callable) -> None:
    """``answer(data, length)``: bytes -> bytes, the middle of long ones cut out."""
    for text in ("x", "abcdefgh", "0123456789abcdef", "def f(x):\n    return x + 1\n"):
        for length in (8, 9, 16, 21, 40):
            data = text.encode()
            got = answer(data, length)
            require(got is not None, "it returned None: return bytes")
            require(isinstance(got, bytes), f"bytes, not {type(got).__name__}")
            want = cut_text(text, length)
            case = f"{data!r} at length {length}"
            require(
                len(data) > length or got == data,
                f"what is short enough stays as it is ({case})",
            )
            require(len(got) <= length, f"{len(got)} bytes are too many ({case})")
            require(
                b"\0" in got or len(data) <= length, f"the seam is missing ({case})"
            )
            require(got == want, f"it should be {want!r}, not {got!r} ({case})")


@exercise
def check_quantile_reward(answer: Callable) -> None:
    """``answer(values, z, train)``: −min((q(ẑ) − q(z))², 50) for ẑ, z of ``train``.

    values and z are (M,), and each is one of the different targets ``train`` (N,).
    """
    generator = torch.Generator().manual_seed(0)
    for size in (5, 40):
        train = torch.randint(1, 10**6, (size,), generator=generator).unique().double()
        shuffled = train[torch.randperm(len(train), generator=generator)]
        z, values = shuffled, shuffled.flip(0)
        got = answer(values, z, shuffled)
        require(got is not None, "it returned None: return the rewards")
        got, want = torch.as_tensor(got).double(), QuantileReward.fit(train)(values, z)
        require(got.shape == want.shape, f"one reward a value, not {tuple(got.shape)}")
        require((got <= 0).all(), "a reward is at most 0: mind the sign")
        require(
            got.isfinite().all(),
            "an infinite reward: ranks 0 and 1 have no quantile, take mid-ranks",
        )
        require_close(got, want, "the rewards", 1e-6)


@exercise
def check_read_patches(answer: Callable) -> None:
    """``answer(encoder, ids)``: (N, L) -> the patches (N, L / patch_size, d_model)."""
    for patch_size, length in ((4, 16), (8, 24)):
        torch.manual_seed(0)
        encoder = TextEncoder(257, length, 8, 2, 1, patch_size=patch_size)
        encoder = encoder.double().eval()
        ids = torch.randint(1, 257, (3, length))
        got = answer(encoder, ids)
        require(got is not None, "it returned None: return the patches")
        want = _patches(encoder, ids)
        got = torch.as_tensor(got).detach().double()
        require(
            got.shape == want.shape,
            f"shape {tuple(got.shape)}, wanted {tuple(want.shape)}: (N, T, d_model)",
        )
        without = _patches(encoder, ids, positions=False)
        require(not torch.allclose(got, without), "add each byte's position first")
        require_close(got, want, "the patches", 1e-9)


def _patches(encoder: TextEncoder, ids: Tensor, positions: bool = True) -> Tensor:
    h = encoder.id_embedding(ids)
    if positions:
        h = h + encoder.position_embedding.weight[: ids.shape[1]]
    rows: Sequence[Tensor] = h.split(encoder.patch_size, dim=1)
    return torch.stack([encoder.merge(row.flatten(1)) for row in rows], dim=1).detach()
