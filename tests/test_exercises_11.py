"""Chapter 11's checks: each takes a right answer, and tells typical wrong ones why."""

import torch
from judged import judged, stub

from genre2_mini.exercises.chapter_11 import (
    check_by_hand,
    check_cross_entropy_student,
    check_expert_string,
    check_mixed_loss,
    check_spread_out,
)
from genre2_mini.objectives import expert_target

BY_HAND = {"": 4, "4": 0, "3": 9, "40": 7, "41": 0, "39": 9}


def expert_string(written, truth, base):
    answer, course = [], 0  # course: −1 too low, 1 too high
    for digit, true in zip(written, truth, strict=True):
        answer.append({0: true, 1: 0, -1: base - 1}[course])
        course = course or (digit > true) - (digit < true)
    return answer


def swapped(written, truth, base):
    right = expert_string(written, truth, base)
    slip = next((k for k, d in enumerate(written) if d != truth[k]), len(truth))
    return right[: slip + 1] + [base - 1 - d for d in right[slip + 1 :]]


def both_votes(law):
    expert = torch.stack([law[4:].sum(), law[2:].sum(), law[6:].sum()])
    inside = expert.clone()
    inside[1] = law[2:4].sum() / law[:4].sum()
    inside[2] = law[6:].sum() / law[4:].sum()
    return inside, expert


def mixed(policy, x, z, written, use_truth):
    truth = policy.tokenizer.encode(z)[:, None]
    prefixes = torch.where(use_truth[..., None], truth, written)
    target = expert_target(
        policy.tokenizer, prefixes, z[:, None].expand(use_truth.shape)
    )
    log_p = policy.logits(x, prefixes).log_softmax(dim=-1)
    return -log_p.gather(-1, target[..., None]).mean()


def copying(policy, x, z, written, use_truth):
    truth = policy.tokenizer.encode(z)[:, None].expand_as(written)
    prefixes = torch.where(use_truth[..., None], truth, written)
    log_p = policy.logits(x, prefixes).log_softmax(dim=-1)
    return -log_p.gather(-1, truth[..., None]).mean()


def own_tokens(policy, x, z, written, use_truth):
    return -policy.log_prob(x, written).mean() / 3


RIGHT = [
    (check_by_hand, BY_HAND),
    (check_expert_string, expert_string),
    (check_cross_entropy_student, both_votes),
    (check_spread_out, torch.tensor([0.9, 0.0, 0.1, 0.0])),
    (check_spread_out, [0.9, 0, 0.1, 0]),
    (check_mixed_loss, mixed),
]
WRONG = [
    (check_by_hand, dict.fromkeys(BY_HAND), "fill it in"),
    (check_by_hand, {}, "the prefixes are"),
    (check_by_hand, BY_HAND | {"3": 0}, "copied the truth"),
    (check_by_hand, BY_HAND | {"41": 9}, "leads closer"),
    (check_expert_string, stub, "returned None"),
    (check_expert_string, lambda w, t, b: t, "after a slip"),
    (check_expert_string, lambda w, t, b: w, "first slip"),
    (check_expert_string, lambda w, t, b: t[:1], "one digit a position"),
    (check_expert_string, swapped, "it should be"),
    (check_cross_entropy_student, lambda law: (None, None), "two tensors"),
    (
        check_cross_entropy_student,
        lambda law: both_votes(law)[:1] * 2,
        "outside the prefix",
    ),
    (
        check_cross_entropy_student,
        lambda law: both_votes(law)[1:] * 2,
        "cross-entropy's votes",
    ),
    (check_spread_out, None, "it is None"),
    (check_spread_out, torch.full((4,), 0.25), "did not grow"),
    (check_spread_out, torch.tensor([1.0, 0, 0, 0]), "no spread"),
    (check_spread_out, torch.ones(4), "sum of the probabilities"),
    (check_spread_out, torch.ones(8) / 8, "four probabilities"),
    (check_mixed_loss, stub, "returned None"),
    (check_mixed_loss, copying, "not the truth's"),
    (check_mixed_loss, own_tokens, "own tokens"),
    (check_mixed_loss, lambda *a: -mixed(*a), "the sign"),
    (check_mixed_loss, lambda *a: 3 * mixed(*a), "not the sum"),
]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
