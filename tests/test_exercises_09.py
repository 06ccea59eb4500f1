"""Chapter 9's checks: each takes a right answer, and tells typical wrong ones why."""

import torch
from judged import judged, stub

from genre2_mini.exercises.chapter_09 import (
    check_clipped_gain,
    check_gae,
    check_grpo_advantage,
    check_k3,
    check_prefix_gain,
)


def clipped_gain(ratio, A, clip, pick=torch.minimum):
    return pick(ratio * A, ratio.clamp(1 - clip, 1 + clip) * A)


def gae(value, reward, lam):
    advantage, tail, after = [], 0.0, reward
    for v in reversed(value):
        tail = after - v + lam * tail
        advantage.insert(0, tail)
        after = v
    return advantage


def forward_sum(value, reward, lam):
    advantage, tail = [], 0.0
    for v, after in zip(value, [*value[1:], reward], strict=True):
        tail = after - v + lam * tail
        advantage.append(tail)
    return advantage


def ignores_lambda(value, reward, lam):
    return gae(value, reward, 0.5)


def k3(log_prob, ref_log_prob):
    u = ref_log_prob - log_prob
    return u.expm1() - u


def grpo_advantage(reward, dim=1, correction=0, eps=1e-6):
    centred = reward - reward.mean(dim=1, keepdim=True)
    if dim is None:
        return centred / (reward.std(correction=0) + eps)
    return centred / (reward.std(dim=1, keepdim=True, correction=correction) + eps)


def of_the_batch(reward):
    return (reward - reward.mean()) / (reward.std(correction=0) + 1e-6)


def of_all_centred(reward):
    centred = reward - reward.mean(dim=1, keepdim=True)
    return centred / (centred.std(correction=0) + 1e-6)


def prefix_gain(new, old, A):
    return ((new - old).cumsum(dim=1).exp() * A).sum(dim=1)


def ratios(new, old):
    return (new - old).exp()


RIGHT = [
    (check_clipped_gain, clipped_gain),
    (check_gae, gae),
    (check_gae, lambda v, r, lam: torch.tensor(gae(v, r, lam))),
    (check_k3, k3),
    (check_grpo_advantage, grpo_advantage),
    (check_prefix_gain, prefix_gain),
]
WRONG = [
    (check_clipped_gain, lambda r, A, c: r * A, "nothing is clipped"),
    (check_clipped_gain, lambda r, A, c: r.clamp(1 - c, 1 + c) * A, "clips both ways"),
    (
        check_clipped_gain,
        lambda *a: clipped_gain(*a, pick=torch.maximum),
        "larger of the two",
    ),
    (check_clipped_gain, lambda r, A, c: clipped_gain(r, A, 0.2), "ε is an argument"),
    (
        check_clipped_gain,
        lambda r, A, c: torch.minimum(r, r.clamp(1 - c, 1 + c)) * A,
        "not of the ratios",
    ),
    (check_gae, lambda v, r, lam: gae(v, r, 0.0), "these are the δ"),
    (check_gae, lambda v, r, lam: gae(v, r, 1.0), "the case λ = 1"),
    (check_gae, forward_sum, "from the end to the start"),
    (check_gae, lambda *a: gae(*a)[::-1], "reverse order"),
    (check_gae, lambda *a: [-x for x in gae(*a)], "the sign"),
    (check_gae, ignores_lambda, "at λ = 0"),
    (check_k3, lambda p, q: p - q, "this is k1"),
    (check_k3, lambda p, q: (p - q) ** 2 / 2, "this is k2"),
    (check_k3, lambda p, q: k3(q, p), "upside down"),
    (check_k3, lambda p, q: (q - p).expm1(), "has mean 0"),
    (check_k3, lambda p, q: (q - p).float().exp() - 1 - (q - p).float(), "torch.expm1"),
    (check_k3, lambda p, q: (q - p).exp() - 1 - (q - p), "torch.expm1"),
    (
        check_grpo_advantage,
        lambda r: grpo_advantage(r, dim=None),
        "one std for the whole batch",
    ),
    (check_grpo_advantage, of_all_centred, "of the centred rewards"),
    (check_grpo_advantage, of_the_batch, "those of the batch"),
    (check_grpo_advantage, lambda r: r - r.mean(dim=1, keepdim=True), "Dr. GRPO"),
    (
        check_grpo_advantage,
        lambda r: grpo_advantage(r, correction=1),
        "divides by S − 1",
    ),
    (
        check_grpo_advantage,
        lambda r: grpo_advantage(r, eps=0.0),
        "equal rewards gives NaN",
    ),
    (
        check_prefix_gain,
        lambda n, o, A: (ratios(n, o) * A).sum(dim=1),
        "one ratio a digit",
    ),
    (
        check_prefix_gain,
        lambda n, o, A: ratios(n, o).prod(dim=1) * A.sum(dim=1),
        "no say in A_k",
    ),
    (
        check_prefix_gain,
        lambda n, o, A: (ratios(n, o).cumprod(1) / ratios(n, o) * A).sum(dim=1),
        "leaves ρ_k out",
    ),
    (
        check_prefix_gain,
        lambda n, o, A: (ratios(n, o).cumsum(1) * A).sum(dim=1),
        "ratios multiply",
    ),
    (check_prefix_gain, lambda n, o, A: prefix_gain(n, o, A) / 4, "do not average"),
    (check_prefix_gain, lambda n, o, A: prefix_gain(o, n, A), "upside down"),
    (
        check_prefix_gain,
        lambda n, o, A: prefix_gain(n.detach(), o, A),
        "lost its gradient",
    ),
]
WRONG += [(check, stub, "returned None") for check in dict(RIGHT)]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
