"""The checks of chapter 10: right answers pass, stubs and usual slips are told why."""

import torch
from judged import judged, stub

from genre2_mini.exercises.chapter_10 import (
    check_best_answer,
    check_huber_reward,
    check_pinball_reward,
    check_shaped_step,
    check_suspicious,
)
from genre2_mini.rewards import squared_error_reward

# The best answer


def earns_the_most(reward, grid, targets):
    expected = reward(grid.expand(len(targets), -1), targets).mean(dim=0)
    return grid[expected.argmax()].item()


def earns_the_least(reward, grid, targets):
    expected = reward(grid.expand(len(targets), -1), targets).mean(dim=0)
    return grid[expected.argmin()]


def always_the_mean(reward, grid, targets):
    return earns_the_most(squared_error_reward, grid, targets)


def best_once(reward, grid, targets):
    return grid[reward(grid.expand(len(targets), -1), targets).amax(dim=0).argmax()]


def its_place(reward, grid, targets):
    return reward(grid.expand(len(targets), -1), targets).mean(dim=0).argmax()


def what_it_earns(reward, grid, targets):
    return reward(grid.expand(len(targets), -1), targets).mean(dim=0).max()


# The quantile


def error(values, z):
    return z.reshape(z.shape + (1,) * (values.ndim - z.ndim)) - values


def pinball(values, z, level):
    low = error(values, z)
    return -torch.maximum(level * low, (level - 1) * low)


def sides_swapped(values, z, level):
    return pinball(values, z, 1 - level)


def a_loss(values, z, level):
    return -pinball(values, z, level)


def absolute(values, z, level):
    return -error(values, z).abs()


def twice_as_large(values, z, level):
    return 2 * pinball(values, z, level)


def broadcast_along_samples(values, z, level):
    low = z - values
    return -torch.maximum(level * low, (level - 1) * low)


# The bounded slope


def huber(values, z, limit):
    far = error(values, z).abs()
    near = far.clamp(max=limit)
    return -(near.square() / 2 + limit * (far - near))


def flat_beyond(values, z, limit):
    return -error(values, z).square().clamp(max=limit**2) / 2


def with_a_step(values, z, limit):
    far = error(values, z).abs()
    return -torch.where(far <= limit, far.square() / 2, limit * far)


def a_huber_loss(values, z, limit):
    return -huber(values, z, limit)


def without_the_half(values, z, limit):
    return 2 * huber(values, z, limit)


# The history of an exploit


def parted(history):
    best = history["valid_rmse_k1"].min()
    worse = history["valid_rmse_k1"].iloc[-1] > 1.05 * best
    return worse and history["reward"].iloc[-1] > history["reward"].iloc[0]


def worse_than_at_first(history):
    rmse = history["valid_rmse_k1"]
    return rmse.iloc[-1] > 1.05 * rmse.iloc[0] and parted(history)


def entropy_fell(history):
    return history["entropy"].iloc[-1] < 0.5


def any_rise(history):
    return history["valid_rmse_k1"].iloc[-1] > history["valid_rmse_k1"].min()


def error_alone(history):
    return history["valid_rmse_k1"].iloc[-1] > 1.05 * history["valid_rmse_k1"].min()


def shrunk(history):
    return history["spread"].iloc[-1] < history["spread"].iloc[0] / 2


def never(history):
    return False


# The shaped step


def rewards_to_go(reward, potential, scores):
    each = potential.diff(dim=1)
    each = torch.cat([each[:, :-1], each[:, -1:] + reward[:, None]], dim=1)
    to_go = each.flip(1).cumsum(1).flip(1)
    return (to_go[..., None] * scores).sum(dim=1)


def whole_string(reward, potential, scores):
    return (reward - potential[:, 0])[:, None] * scores.sum(dim=1)


def no_potential(reward, potential, scores):
    return reward[:, None] * scores.sum(dim=1)


def this_digit_only(reward, potential, scores):
    each = potential.diff(dim=1)
    each = torch.cat([each[:, :-1], each[:, -1:] + reward[:, None]], dim=1)
    return (each[..., None] * scores).sum(dim=1)


def payments_alone(reward, potential, scores):
    return rewards_to_go(0 * reward, potential, scores)


def only_what_comes_after(reward, potential, scores):
    to_go = reward[:, None] - potential[:, 1:]
    return (to_go[..., None] * scores).sum(dim=1)


def added(reward, potential, scores):
    return rewards_to_go(reward, -potential, scores)


RIGHT = [
    (check_best_answer, earns_the_most),
    (check_pinball_reward, pinball),
    (check_huber_reward, huber),
    (check_suspicious, parted),
    (check_shaped_step, rewards_to_go),
]
WRONG = [
    (check_best_answer, earns_the_least, "earns the least"),
    (check_best_answer, always_the_mean, "absolute error"),
    (check_best_answer, best_once, "wanted 5"),
    (check_best_answer, its_place, "place in the grid"),
    (check_best_answer, what_it_earns, "what the best answer earns"),
    (check_pinball_reward, sides_swapped, "which side"),
    (check_pinball_reward, a_loss, "best answer"),
    (check_pinball_reward, absolute, "best answer"),
    (check_pinball_reward, twice_as_large, "the reward of 0, 3 and 1"),
    (check_pinball_reward, broadcast_along_samples, "trailing axis"),
    (check_huber_reward, flat_beyond, "flat beyond"),
    (check_huber_reward, with_a_step, "do not meet"),
    (check_huber_reward, a_huber_loss, "that is a loss"),
    (check_huber_reward, without_the_half, "the reward with limit"),
    (check_suspicious, worse_than_at_first, "then parted"),
    (check_suspicious, entropy_fell, "policy sharpens"),
    (check_suspicious, any_rise, "one percent"),
    (check_suspicious, error_alone, "no exploit"),
    (check_suspicious, shrunk, "called fine"),
    (check_suspicious, never, "called fine"),
    (check_shaped_step, whole_string, "whole string"),
    (check_shaped_step, no_potential, "not used yet"),
    (check_shaped_step, payments_alone, "final reward is paid"),
    (check_shaped_step, only_what_comes_after, "belongs to digit k"),
    (check_shaped_step, this_digit_only, "steps of eight"),
    (check_shaped_step, added, "steps of eight"),
]
WRONG += [(check, stub, "None") for check, _ in RIGHT]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
