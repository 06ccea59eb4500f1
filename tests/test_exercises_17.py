"""Chapter 17's checks: each takes a right answer, and tells typical wrong ones why."""

import numpy as np
import pytest
import torch

from genre2_mini.exercises import chapter_17 as checks


def rebuild(past, changes, k):
    levels = list(past)
    for change in changes:
        levels.append(levels[-k] + change)
    return levels[len(past) :]


def told(law):
    apart = law.sum(dim=1, keepdim=True) * law.sum(dim=0)
    inside = law > 0
    return (law[inside] * (law[inside] / apart[inside]).log()).sum()


def naive_told(law):
    apart = law.sum(dim=1, keepdim=True) * law.sum(dim=0)
    return (law * (law / apart).log()).sum()


def energy(draws, z):
    return torch.cdist(draws, z[None]).mean() - torch.cdist(draws, draws).mean() / 2


def to_go(rewards, lengths):
    columns = []
    for d, length in enumerate(lengths):
        columns += [rewards[:, d:].sum(dim=1)] * length
    return torch.stack(columns, dim=1)


def in_turn(tokens, targets):
    digits = tokens.shape[-1] // targets
    order = [d * digits + k for k in range(digits) for d in range(targets)]
    return tokens[..., order]


def back(tokens, targets):
    return in_turn(tokens, tokens.shape[-1] // targets)


def per_token(rewards, lengths):
    return rewards.repeat_interleave(torch.tensor(lengths), dim=1)


@pytest.mark.parametrize(
    "check, answer",
    [
        (checks.check_rebuild, rebuild),
        (checks.check_told_by_the_first, told),
        (checks.check_energy, energy),
        (checks.check_rewards_to_go, to_go),
        (checks.check_in_turn, in_turn),
    ],
)
def test_a_right_answer_is_accepted(check, answer, capsys):
    assert check(answer)
    assert "correct" in capsys.readouterr().out


@pytest.mark.parametrize(
    "check, answer, reason",
    [
        (checks.check_rebuild, lambda past, changes, k: None, "returned None"),
        (checks.check_rebuild, lambda past, changes, k: changes, "these are the chang"),
        (
            checks.check_rebuild,
            lambda past, changes, k: past + rebuild(past, changes, k),
            "one level for each",
        ),
        (
            checks.check_rebuild,
            lambda past, changes, k: (past[-1] + np.cumsum(changes)).tolist(),
            "do not add up",
        ),
        (
            checks.check_rebuild,
            lambda past, changes, k: (
                rebuild(past, changes, 1) if k == 1 else [past[-1] + c for c in changes]
            ),
            "from k values ago",
        ),
        (checks.check_told_by_the_first, lambda law: None, "returned None"),
        (checks.check_told_by_the_first, naive_told, "adds nothing, not NaN"),
        (checks.check_told_by_the_first, lambda law: -told(law), "the sign"),
        (checks.check_told_by_the_first, lambda law: told(law) / np.log(2), "bits"),
        (
            checks.check_told_by_the_first,
            lambda law: -torch.xlogy(law, law).sum(),
            "entropy of the pair",
        ),
        (checks.check_energy, lambda draws, z: None, "returned None"),
        (
            checks.check_energy,
            lambda draws, z: (draws - z).norm(dim=1).mean(),
            "is missing",
        ),
        (
            checks.check_energy,
            lambda draws, z: energy(draws, z) - torch.cdist(draws, draws).mean() / 2,
            "half of the distance",
        ),
        (
            checks.check_energy,
            lambda draws, z: (
                (draws - z).norm(dim=1).mean() - torch.pdist(draws).mean() / 2
            ),
            "a draw with itself",
        ),
        (
            checks.check_energy,
            lambda draws, z: (
                (draws - z).square().sum(1).mean()
                - (draws[:, None] - draws).square().sum(-1).mean() / 2
            ),
            "not their squares",
        ),
        (checks.check_rewards_to_go, lambda r, n: None, "returned None"),
        (checks.check_rewards_to_go, lambda r, n: r, "shape"),
        (
            checks.check_rewards_to_go,
            lambda r, n: r.sum(1, keepdim=True).expand(-1, sum(n)),
            "finished before it",
        ),
        (
            checks.check_rewards_to_go,
            lambda r, n: per_token(r.cumsum(1), n),
            "still to come",
        ),
        (checks.check_rewards_to_go, per_token, "after its own"),
        (checks.check_in_turn, lambda tokens, targets: None, "returned None"),
        (checks.check_in_turn, lambda tokens, targets: tokens, "nothing moved"),
        (checks.check_in_turn, back, "the way back"),
        (
            checks.check_in_turn,
            lambda tokens, targets: tokens.flip(-1),
            "the order is off",
        ),
        (
            checks.check_in_turn,
            lambda tokens, targets: tokens.unflatten(-1, (targets, -1)),
            "the shape stays",
        ),
    ],
)
def test_a_wrong_answer_is_told_why(check, answer, reason, capsys):
    assert not check(answer)
    assert reason in capsys.readouterr().out
