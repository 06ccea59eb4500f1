"""Chapter 8's checks: each takes a right answer, and tells typical wrong ones why."""

import pytest
import torch

from genre2_mini.exercises import chapter_08 as checks


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


@pytest.mark.parametrize(
    "check, answer",
    [
        (checks.check_remax_advantage, remax_advantage),
        (checks.check_best_constant, best_constant),
        (checks.check_expected_gradient, expected_gradient),
        (checks.check_biased, {"median of all", "first string"}),
        (checks.check_with_values, with_values),
    ],
)
def test_a_right_answer_is_correct(check, answer):
    assert check(answer)


@pytest.mark.parametrize(
    "check, answer, said",
    [
        (checks.check_remax_advantage, lambda *_: None, "returned None"),
        (
            checks.check_remax_advantage,
            lambda *a: remax_advantage(*a, line_up=lambda b: 0),
            "these are rewards",
        ),
        (
            checks.check_remax_advantage,
            lambda *a: remax_advantage(*a, line_up=lambda b: b),
            "line up rows with rows",
        ),
        (checks.check_remax_advantage, crossed_targets, "the target of its row"),
        (checks.check_remax_advantage, leave_nothing_out, "as in RLOO"),
        (checks.check_remax_advantage, of_values, "rewards, not values"),
        (
            checks.check_remax_advantage,
            lambda *a: -remax_advantage(*a),
            "the sign",
        ),
        (
            checks.check_remax_advantage,
            lambda *a: remax_advantage(*a, line_up=lambda b: b.max()),
            "the advantage of 4 × 4 strings",
        ),
        (checks.check_best_constant, lambda *_: None, "returned None"),
        (
            checks.check_best_constant,
            lambda *a: best_constant(*a, weigh=lambda p, size: p),
            "this is E[r]",
        ),
        (
            checks.check_best_constant,
            lambda *a: best_constant(*a, weigh=lambda p, size: size),
            "as often as they are drawn",
        ),
        (
            checks.check_best_constant,
            lambda *a: best_constant(*a, weigh=lambda p, size: p * size.sqrt()),
            "enters squared",
        ),
        (
            checks.check_best_constant,
            lambda p, r, score: (p * score.square().sum(dim=1)) @ r,
            "it is a mean",
        ),
        (checks.check_expected_gradient, lambda *_: None, "returned None"),
        (
            checks.check_expected_gradient,
            lambda *a: expected_gradient(*a, equally=True),
            "not equally likely",
        ),
        (
            checks.check_expected_gradient,
            lambda *a: expected_gradient(*a) * a[-1],
            "mean over its strings",
        ),
        (
            checks.check_expected_gradient,
            lambda *a: expected_gradient(*a) / len(a[0]) ** a[-1],
            "add them up",
        ),
        (
            checks.check_expected_gradient,
            lambda p, r, score, advantage, S: (p * r) @ score,
            "with the mean of all",
        ),
        (checks.check_biased, None, "a set of names"),
        (checks.check_biased, set(), "the set is empty"),
        (checks.check_biased, {"greedy"}, "no suspects"),
        (checks.check_biased, "median of all", "one more"),
        (checks.check_biased, checks.SUSPECTS, "does that baseline depend"),
        (checks.check_biased, {"median of all"}, "one more"),
        (checks.check_with_values, lambda *_: None, "returned None"),
        (checks.check_with_values, lambda *a: with_values(*a)[:1], "wanted two"),
        (checks.check_with_values, lambda *a: (None, None), "is None"),
        (
            checks.check_with_values,
            lambda *a: with_values(*a, seen=1),
            "digit k is in its own baseline",
        ),
        (
            checks.check_with_values,
            lambda *a: with_values(*a, centre=False),
            "squared length of the mean",
        ),
        (
            checks.check_with_values,
            lambda *a: with_values(*a, deepest=0),
            "E[r] for all digits",
        ),
    ],
)
def test_a_wrong_answer_is_told_why(check, answer, said, capsys):
    assert not check(answer)
    assert said in capsys.readouterr().out
