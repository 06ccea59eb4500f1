"""Chapter 17's checks: each takes a right answer, and tells typical wrong ones why."""

import numpy as np
import torch
from judged import judged, stub

from genre2_mini.exercises.chapter_17 import (
    check_energy,
    check_in_turn,
    check_rebuild,
    check_rewards_to_go,
    check_told_by_the_first,
)


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


RIGHT = [
    (check_rebuild, rebuild),
    (check_told_by_the_first, told),
    (check_energy, energy),
    (check_rewards_to_go, to_go),
    (check_in_turn, in_turn),
]
WRONG = [
    (check_rebuild, lambda past, changes, k: changes, "these are the chang"),
    (
        check_rebuild,
        lambda past, changes, k: past + rebuild(past, changes, k),
        "one level for each",
    ),
    (
        check_rebuild,
        lambda past, changes, k: (past[-1] + np.cumsum(changes)).tolist(),
        "do not add up",
    ),
    (
        check_rebuild,
        lambda past, changes, k: (
            rebuild(past, changes, 1) if k == 1 else [past[-1] + c for c in changes]
        ),
        "from k values ago",
    ),
    (check_told_by_the_first, naive_told, "adds nothing, not NaN"),
    (check_told_by_the_first, lambda law: -told(law), "the sign"),
    (check_told_by_the_first, lambda law: told(law) / np.log(2), "bits"),
    (
        check_told_by_the_first,
        lambda law: -torch.xlogy(law, law).sum(),
        "entropy of the pair",
    ),
    (check_energy, lambda draws, z: (draws - z).norm(dim=1).mean(), "is missing"),
    (
        check_energy,
        lambda draws, z: energy(draws, z) - torch.cdist(draws, draws).mean() / 2,
        "half of the distance",
    ),
    (
        check_energy,
        lambda draws, z: (draws - z).norm(dim=1).mean() - torch.pdist(draws).mean() / 2,
        "a draw with itself",
    ),
    (
        check_energy,
        lambda draws, z: (
            (draws - z).square().sum(1).mean()
            - (draws[:, None] - draws).square().sum(-1).mean() / 2
        ),
        "not their squares",
    ),
    (check_rewards_to_go, lambda r, n: r, "shape"),
    (
        check_rewards_to_go,
        lambda r, n: r.sum(1, keepdim=True).expand(-1, sum(n)),
        "finished before it",
    ),
    (check_rewards_to_go, lambda r, n: per_token(r.cumsum(1), n), "still to come"),
    (check_rewards_to_go, per_token, "after its own"),
    (check_in_turn, lambda tokens, targets: tokens, "nothing moved"),
    (check_in_turn, back, "the way back"),
    (check_in_turn, lambda tokens, targets: tokens.flip(-1), "the order is off"),
    (
        check_in_turn,
        lambda tokens, targets: tokens.unflatten(-1, (targets, -1)),
        "the shape stays",
    ),
]
WRONG += [(check, stub, "returned None") for check, _ in RIGHT]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
