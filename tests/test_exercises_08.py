"""Chapter 8's checks: each takes a right answer, and tells typical wrong ones why."""

import torch
from judged import judged, stub

from genre2_mini.exercises.chapter_08 import (
    SUSPECTS,
    check_best_constant,
    check_biased,
    check_expected_gradient,
    check_remax_advantage,
    check_with_values,
)


def remax_advantage(policy, x, z, tokens, line_up=lambda b: b[:, None]):
    decode = policy.tokenizer.decode
    reward = -(decode(tokens) - z[:, None]).square()
    greedy = -(decode(policy.greedy(x)) - z).square()
    return reward - line_up(greedy)


def crossed_targets(policy, x, z, tokens):
    decode = policy.tokenizer.decode
    greedy = -(decode(policy.greedy(x)) - z).square()
    return -(decode(tokens) - z).square() - greedy[:, None]


def of_values(policy, x, z, tokens):
    decode = policy.tokenizer.decode
    return decode(tokens) - decode(policy.greedy(x))[:, None]


def leave_nothing_out(policy, x, z, tokens):
    reward = -(policy.tokenizer.decode(tokens) - z[:, None]).square()
    return reward - reward.mean(dim=1, keepdim=True)


def best_constant(p, reward, score, weigh=lambda p, size: p * size):
    weight = weigh(p, score.square().sum(dim=1))
    return weight @ reward / weight.sum()


def expected_gradient(p, reward, score, advantage, num_samples, equally=False):
    group = torch.cartesian_prod(*[torch.arange(len(p))] * num_samples)
    A = advantage(reward[group])
    steps = (A[..., None] * score[group]).mean(dim=1)
    chance = p[group].prod(dim=1)
    if equally:
        chance = torch.ones_like(chance) / len(chance)
    return chance @ steps


def with_values(p, reward, strings, scores, seen=0, centre=True, deepest=9):
    steps = torch.zeros_like(scores[:, 0])
    for k in range(strings.shape[1]):
        prefix = strings[:, : min(k + seen, deepest)]
        same = (prefix[:, None] == prefix).all(dim=-1).double()
        value = same @ (p * reward) / (same @ p)
        steps += (reward - value)[:, None] * scores[:, k]
    mean = p @ steps
    variance = p @ steps.square().sum(dim=1)
    return mean, variance - centre * (mean @ mean)


RIGHT = [
    (check_remax_advantage, remax_advantage),
    (check_best_constant, best_constant),
    (check_expected_gradient, expected_gradient),
    (check_biased, {"median of all", "first string"}),
    (check_with_values, with_values),
]
WRONG = [
    (check_remax_advantage, stub, "returned None"),
    (
        check_remax_advantage,
        lambda *a: remax_advantage(*a, line_up=lambda b: 0),
        "these are rewards",
    ),
    (
        check_remax_advantage,
        lambda *a: remax_advantage(*a, line_up=lambda b: b),
        "line up rows with rows",
    ),
    (check_remax_advantage, crossed_targets, "the target of its row"),
    (check_remax_advantage, leave_nothing_out, "as in RLOO"),
    (check_remax_advantage, of_values, "rewards, not values"),
    (check_remax_advantage, lambda *a: -remax_advantage(*a), "the sign"),
    (
        check_remax_advantage,
        lambda *a: remax_advantage(*a, line_up=lambda b: b.max()),
        "the advantage of 4 × 4 strings",
    ),
    (check_best_constant, stub, "returned None"),
    (
        check_best_constant,
        lambda *a: best_constant(*a, weigh=lambda p, size: p),
        "this is E[r]",
    ),
    (
        check_best_constant,
        lambda *a: best_constant(*a, weigh=lambda p, size: size),
        "as often as they are drawn",
    ),
    (
        check_best_constant,
        lambda *a: best_constant(*a, weigh=lambda p, size: p * size.sqrt()),
        "enters squared",
    ),
    (
        check_best_constant,
        lambda p, r, score: (p * score.square().sum(dim=1)) @ r,
        "it is a mean",
    ),
    (check_expected_gradient, stub, "returned None"),
    (
        check_expected_gradient,
        lambda *a: expected_gradient(*a, equally=True),
        "not equally likely",
    ),
    (
        check_expected_gradient,
        lambda *a: expected_gradient(*a) * a[-1],
        "mean over its strings",
    ),
    (
        check_expected_gradient,
        lambda *a: expected_gradient(*a) / len(a[0]) ** a[-1],
        "add them up",
    ),
    (
        check_expected_gradient,
        lambda p, r, score, advantage, S: (p * r) @ score,
        "with the mean of all",
    ),
    (check_biased, None, "a set of names"),
    (check_biased, set(), "the set is empty"),
    (check_biased, {"greedy"}, "no suspects"),
    (check_biased, "median of all", "one more"),
    (check_biased, SUSPECTS, "does that baseline depend"),
    (check_biased, {"median of all"}, "one more"),
    (check_with_values, stub, "returned None"),
    (check_with_values, lambda *a: with_values(*a)[:1], "wanted two"),
    (check_with_values, lambda *a: (None, None), "is None"),
    (
        check_with_values,
        lambda *a: with_values(*a, seen=1),
        "digit k is in its own baseline",
    ),
    (
        check_with_values,
        lambda *a: with_values(*a, centre=False),
        "squared length of the mean",
    ),
    (check_with_values, lambda *a: with_values(*a, deepest=0), "E[r] for all digits"),
]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
