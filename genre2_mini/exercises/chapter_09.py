"""PPO and GRPO: the clip, GAE, k3, a ruler that is too long, ratios of prefixes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genre2_mini.exercises import exercise, require, require_close
from genre2_mini.objectives.critic import generalised_advantage
from genre2_mini.objectives.ratio import kl_k3


@exercise
def check_clipped_gain(answer: Callable) -> None:
    """``answer(ratio, A, clip)``: tensors of one shape -> PPO's gain of each digit."""
    ratio = torch.tensor([0.5, 0.9, 1.0, 1.1, 1.5]).repeat(2).double()
    A = torch.tensor([2.0] * 5 + [-2.0] * 5).double()
    inside = ratio.clamp(0.7, 1.3)
    want = torch.minimum(ratio * A, inside * A)
    got = answer(ratio, A, 0.3)
    require(got is not None, "it returned None: return the gain of each digit")
    slips = {
        "nothing is clipped": ratio * A,
        "this clips both ways: a digit that went the wrong way loses its gradient; "
        "take the smaller of ρA and the clipped one": inside * A,
        "this takes the larger of the two": torch.maximum(ratio * A, inside * A),
        "ε is an argument, here 0.3": torch.minimum(
            ratio * A, ratio.clamp(0.8, 1.2) * A
        ),
        "the minimum is of the gains, not of the ratios": torch.minimum(ratio, inside)
        * A,
    }
    for message, slip in slips.items():
        require(not _equal(got, slip), message)
    require_close(got, want, "the gain with ε = 0.3 and A = ±2")


@exercise
def check_gae(answer: Callable) -> None:
    """``answer(value, reward, lam)``: K values and one reward -> K advantages."""
    value, reward, lam = [-3.0, -1.0, -2.0, -2.5], -4.0, 0.5
    got = answer(value, reward, lam)
    require(got is not None, "it returned None: return K advantages")
    values, end = torch.tensor([value]).double(), torch.tensor([reward]).double()
    steps = torch.cat([values[0], end]).diff()  # δ
    forward, tail = [], 0.0
    for delta in steps.tolist():
        tail = delta + lam * tail
        forward.append(tail)
    slips = {
        "these are the δ: add what comes later, times λ": steps,
        "this is r − V, the case λ = 1": end - values[0],
        "the sum goes from the end to the start: A_k takes in A_{k+1}": forward,
        "the sign: δ_k is V_{k+1} − V_k": -generalised_advantage(end, values, lam)[0],
        "they are in reverse order": generalised_advantage(end, values, lam)[0].flip(0),
    }
    for message, slip in slips.items():
        require(not _equal(got, torch.as_tensor(slip)), message)
    for lam in (0.5, 0.0, 1.0):
        want = generalised_advantage(end, values, lam)[0]
        require_close(
            answer(value, reward, lam), want, f"the list of advantages at λ = {lam}"
        )


@exercise
def check_k3(answer: Callable) -> None:
    """``answer(log_prob, ref_log_prob)``: (S,), of strings drawn from π -> k3 (S,)."""
    generator = torch.Generator().manual_seed(0)
    log_p, log_q = torch.randn(2, 6, generator=generator).double().log_softmax(-1)
    got = answer(log_p, log_q)
    require(got is not None, "it returned None: return one number a string")
    u = log_q - log_p
    slips = {
        "this is k1: it can be negative": -u,
        "this is k2: its mean is not the KL": u.square() / 2,
        "the ratio is upside down: the strings come from π, so u = log π_ref − log π": (
            kl_k3(log_q, log_p)
        ),
        "e^u − 1 has mean 0: subtract u, or nothing is estimated": u.expm1(),
    }
    for message, slip in slips.items():
        require(not _equal(got, slip), message)
    require_close(got, kl_k3(log_p, log_q), "k3 of six strings")
    u = torch.tensor([2.0**-9, 2.0**-10, 2.0**-12])  # single precision, as in training
    tiny = torch.as_tensor(answer(torch.full((3,), -2.0), u - 2.0)).double()
    wanted = u.double().expm1() - u.double()
    require(
        torch.allclose(tiny, wanted, rtol=0.01, atol=0),
        "near u = 0 most digits are lost: torch.expm1 keeps them",
    )


@exercise
def check_grpo_advantage(answer: Callable) -> None:
    """``answer(reward)``: rewards (N, S) -> GRPO's advantages (N, S)."""
    reward = -torch.tensor([[1.0, 4.0, 9.0, 16.0], [0.1, 0.3, 0.2, 0.6]]).double()
    got = answer(reward)
    require(got is not None, "it returned None: return the advantages (N, S)")
    mean = reward.mean(dim=1, keepdim=True)
    std = (reward - mean).square().mean(dim=1, keepdim=True).sqrt()
    require(
        not _equal(got, (reward - mean) / (reward.std(correction=0) + 1e-6)),
        "each row's mean, but one std for the whole batch: a row's advantages should "
        "have std 1, and the second row's have not",
    )
    require(
        not _equal(got, (reward - mean) / ((reward - mean).std(correction=0) + 1e-6)),
        "one std for the whole batch, of the centred rewards: it has to be each row's",
    )
    require(
        not _equal(got, (reward - reward.mean()) / (reward.std(correction=0) + 1e-6)),
        "mean and std are those of the batch: they have to be each row's",
    )
    require(not _equal(got, reward - mean), "this is Dr. GRPO: divide by the std")
    spread = reward.std(dim=1, keepdim=True)
    require(
        not _equal(got, (reward - mean) / (spread + 1e-6)),
        "torch.std divides by S − 1: GRPO's std is that of the group itself",
    )
    require_close(got, (reward - mean) / (std + 1e-6), "the table of advantages", 1e-4)
    alike = torch.as_tensor(answer(torch.full((2, 3), -0.5).double()))
    require(
        not alike.isnan().any(),
        "a row of equal rewards gives NaN: what does the 10⁻⁶ do?",
    )
    require_close(alike, torch.zeros(2, 3), "with equal rewards, each advantage")


@exercise
def check_prefix_gain(answer: Callable) -> None:
    """``answer(new, old, A)``: three (S, K) -> the gain (1) of each string, (S,)."""
    generator = torch.Generator().manual_seed(0)
    new, old = -torch.rand(2, 5, 4, generator=generator).double()
    A = torch.randn(5, 4, generator=generator).double()
    got = answer(new, old, A)
    require(got is not None, "it returned None: return one number a string")
    ratio = (new - old).exp()
    slips = {
        "one ratio a digit: that is PPO's (2), without the way to the digit": (
            ratio * A
        ).sum(dim=1),
        "the whole string's ratio for every digit. Right on average, but noisier: "
        "digits after k have no say in A_k": ratio.prod(dim=1) * A.sum(dim=1),
        "this leaves ρ_k out: the prefix is weighted, its digit is not": (
            (ratio.cumprod(dim=1) / ratio) * A
        ).sum(dim=1),
        "ratios multiply, they do not add": (ratio.cumsum(dim=1) * A).sum(dim=1),
        "sum over digits, do not average": (ratio.cumprod(dim=1) * A).mean(dim=1),
        "the ratio is upside down: new over old": (
            (old - new).exp().cumprod(dim=1) * A
        ).sum(dim=1),
    }
    for message, slip in slips.items():
        require(not _equal(got, slip), message)
    want = (ratio.cumprod(dim=1) * A).sum(dim=1)
    require_close(got, want, "the gain of five strings")
    leaf = new.clone().requires_grad_()
    gain = answer(leaf, old, A)
    require(
        torch.is_tensor(gain) and gain.requires_grad,
        "the gain has lost its gradient: the new policy's log-probabilities need one",
    )


def _equal(got: object, want: Tensor) -> bool:
    got = torch.as_tensor(got).detach().double()
    return got.shape == want.shape and torch.allclose(got, want.double(), atol=1e-6)
