"""Chapter 6's checks: each takes a right answer, and tells typical wrong ones why."""

import gymnasium
import pytest
import torch

from genre2_mini.exercises import chapter_06 as checks
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


@pytest.mark.parametrize(
    "answer, said",
    [
        (dict.fromkeys(BY_HAND), "fill it in"),
        ({"": 0.0, "0": 0.0, "1": -1.0}, "still reachable, V*"),
        (BY_HAND | {"0": -0.25}, "how likely the 1 is"),
        (BY_HAND | {"0": -0.5}, "not equally likely"),
        ({"": 1.625, "0": 0.75, "1": 2.5}, "no reward is above 0"),
        (BY_HAND | {"": -0.75}, "V of '' is"),
        ({"0": -0.75, "1": -2.5}, "the prefixes are"),
    ],
)
def test_values_by_hand(answer, said, capsys):
    assert checks.check_by_hand(BY_HAND)
    capsys.readouterr()
    assert not checks.check_by_hand(answer)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda q, chance: None, "return the advantages"),
        (lambda q, chance: (chance * q).sum(dim=-1), "a number for each Q"),
        (lambda q, chance: -advantages(q, chance), "the sign"),
        (lambda q, chance: q - q.mean(dim=-1, keepdim=True), "under the policy"),
        (lambda q, chance: q - q.amax(dim=-1, keepdim=True), "have mean 0"),
        (lambda q, chance: 2 * advantages(q, chance), "the advantages is"),
    ],
)
def test_advantages(answer, said, capsys):
    assert checks.check_advantages(advantages)
    capsys.readouterr()
    assert not checks.check_advantages(answer)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda env, z: None, "raised AttributeError"),
        (Late, "felt at once"),
        (Reversed, "the sign"),
        (Potential, "pays Φ itself"),
        (Doubled, "the sum of the episode"),
        (Uneven, "the payments for the digits"),
    ],
)
def test_an_environment_that_pays_as_you_go(answer, said, capsys):
    assert checks.check_paid_as_you_go(Paying)
    capsys.readouterr()
    assert not checks.check_paid_as_you_go(answer)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda reward, share, k: None, "return a number"),
        (lambda reward, share, k: share @ reward.amax(dim=1), "told after 4 digits"),
        (lambda reward, share, k: (share @ reward).max(), "told after 0 digits"),
        (
            lambda reward, share, k: told_after(reward, share, 4 if k else 0),
            "lies between",
        ),
        (lambda reward, share, k: told_after(reward, share, 4 - k), "told after 0"),
        (
            lambda reward, share, k: told_after(reward, torch.ones(4).double() / 4, k),
            "by their shares",
        ),
        (
            lambda reward, share, k: share @ reward.reshape(4, 2**k, -1).amax(-1),
            "one number",
        ),
    ],
)
def test_the_value_of_being_told(answer, said, capsys):
    assert checks.check_told_after(told_after)
    capsys.readouterr()
    assert not checks.check_told_after(answer)
    assert said in capsys.readouterr().out
