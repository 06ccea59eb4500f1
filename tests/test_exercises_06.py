"""Chapter 6's checks: each takes a right answer, and tells typical wrong ones why."""

import gymnasium
import torch
from judged import judged, stub

from genre2_mini.exercises.chapter_06 import (
    check_advantages,
    check_by_hand,
    check_paid_as_you_go,
    check_told_after,
)
from genre2_mini.mdp import reachable

BY_HAND = {"": -1.625, "0": -0.75, "1": -2.5}


def advantages(q, chance):
    return q - (chance * q).sum(dim=-1, keepdim=True)


class Paying(gymnasium.Wrapper):
    """Pays Φ after a step minus Φ before it."""

    def __init__(self, env, z):
        super().__init__(env)
        self.z = z

    def potential(self, seen):
        prefix = seen["tokens"][seen["tokens"] >= 0]
        low, high = reachable(self.env.unwrapped.tokenizer, prefix)
        return -(max(low - self.truth, self.truth - high, 0) ** 2)

    def reset(self, **arguments):
        seen, info = self.env.reset(**arguments)
        self.truth = self.z[info["row"]].item()
        self.before = self.potential(seen)
        return seen, info

    def step(self, action):
        seen, _, over, cut, info = self.env.step(action)
        paid, self.before = self.pay(self.potential(seen)), self.potential(seen)
        return seen, paid, over, cut, info

    def pay(self, now):
        return now - self.before


class Late(Paying):
    """As the stub: nothing before the end."""

    def step(self, action):
        return self.env.step(action)


class Reversed(Paying):
    def pay(self, now):
        return self.before - now


class Potential(Paying):
    def pay(self, now):
        return now


class Doubled(Paying):
    """Pays on the way, and the old reward as well."""

    def step(self, action):
        seen, paid, over, cut, info = super().step(action)
        if over:
            paid -= (info["value"] - self.truth) ** 2
        return seen, paid, over, cut, info


class Uneven(Paying):
    """The right sum, with the distance in place of its square on the way."""

    def potential(self, seen):
        phi = super().potential(seen)
        return phi if (seen["tokens"] >= 0).all() else -((-phi) ** 0.5)


def told_after(reward, share, k):
    return (share @ reward.unflatten(-1, (2**k, -1)).amax(dim=-1)).max()


def always_told(reward, share, k):
    return share @ reward.amax(dim=1)


def never_told(reward, share, k):
    return (share @ reward).max()


def told_at_once_or_never(reward, share, k):
    return told_after(reward, share, 4 if k else 0)


def shares_alike(reward, share, k):
    return told_after(reward, torch.ones(4).double() / 4, k)


def not_the_best_of_all(reward, share, k):
    return share @ reward.reshape(4, 2**k, -1).amax(-1)


RIGHT = [
    (check_by_hand, BY_HAND),
    (check_advantages, advantages),
    (check_paid_as_you_go, Paying),
    (check_told_after, told_after),
]
WRONG = [
    (check_by_hand, dict.fromkeys(BY_HAND), "fill it in"),
    (check_by_hand, {"": 0.0, "0": 0.0, "1": -1.0}, "still reachable, V*"),
    (check_by_hand, BY_HAND | {"0": -0.25}, "how likely the 1 is"),
    (check_by_hand, BY_HAND | {"0": -0.5}, "not equally likely"),
    (check_by_hand, {"": 1.625, "0": 0.75, "1": 2.5}, "no reward is above 0"),
    (check_by_hand, BY_HAND | {"": -0.75}, "V of '' is"),
    (check_by_hand, {"0": -0.75, "1": -2.5}, "the prefixes are"),
    (check_advantages, stub, "return the advantages"),
    (check_advantages, lambda q, p: (p * q).sum(dim=-1), "a number for each Q"),
    (check_advantages, lambda q, p: -advantages(q, p), "the sign"),
    (check_advantages, lambda q, p: q - q.mean(-1, keepdim=True), "under the policy"),
    (check_advantages, lambda q, p: q - q.amax(-1, keepdim=True), "have mean 0"),
    (check_advantages, lambda q, p: 2 * advantages(q, p), "the advantages is"),
    (check_paid_as_you_go, stub, "raised AttributeError"),
    (check_paid_as_you_go, Late, "felt at once"),
    (check_paid_as_you_go, Reversed, "the sign"),
    (check_paid_as_you_go, Potential, "pays Φ itself"),
    (check_paid_as_you_go, Doubled, "the sum of the episode"),
    (check_paid_as_you_go, Uneven, "the payments for the digits"),
    (check_told_after, stub, "return a number"),
    (check_told_after, always_told, "told after 4 digits"),
    (check_told_after, never_told, "told after 0 digits"),
    (check_told_after, told_at_once_or_never, "lies between"),
    (check_told_after, lambda r, share, k: told_after(r, share, 4 - k), "told after 0"),
    (check_told_after, shares_alike, "by their shares"),
    (check_told_after, not_the_best_of_all, "one number"),
]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
