"""The exercises of chapter 14: right answers pass, stubs and usual slips do not."""

import random

import torch
from judged import judged, stub

from genre2_mini.exercises.chapter_14 import (
    check_cut,
    check_quantile_reward,
    check_read_patches,
    check_split_by_program,
    check_tenfold,
)


def tenfold(predicted, true):
    return ((predicted / true).log10().abs() > 1).double().mean()


def split_by_program(programs, seed):
    names = sorted(set(programs))
    random.Random(seed).shuffle(names)
    test = set(names[: len(names) // 5])
    return [name in test for name in programs]


def cut(data, length):
    if len(data) <= length:
        return data
    head = (length - 1) // 4
    return data[:head] + b"\0" + data[len(data) - (length - 1 - head) :]


def quantile_reward(values, z, train):
    ranks = (torch.arange(len(train)) + 0.5) / len(train)
    scores = torch.special.ndtri(ranks.double())
    ordered = train.sort().values

    def q(x):
        return scores[torch.searchsorted(ordered, x)]

    return -(q(values) - q(z)).square().clamp(max=50)


def read_patches(encoder, ids):
    h = encoder.id_embedding(ids) + encoder.position_embedding.weight[: ids.shape[1]]
    return encoder.merge(h.unflatten(1, (-1, encoder.patch_size)).flatten(2))


def by_rows(programs, seed):
    chosen = random.Random(seed).sample(range(len(programs)), len(programs) // 5)
    return [i in chosen for i in range(len(programs))]


def flat_patches(encoder, ids):
    return read_patches(encoder, ids).flatten(1)


def without_positions(encoder, ids):
    h = encoder.id_embedding(ids)
    return encoder.merge(h.unflatten(1, (-1, encoder.patch_size)).flatten(2))


def edge_ranks(values, z, train):
    ranks = torch.arange(len(train)) / (len(train) - 1)
    scores = torch.special.ndtri(ranks.double())
    ordered = train.sort().values
    gap = scores[torch.searchsorted(ordered, values)]
    gap = gap - scores[torch.searchsorted(ordered, z)]
    return -gap.square()


RIGHT = [
    (check_tenfold, tenfold),
    (check_split_by_program, split_by_program),
    (check_cut, cut),
    (check_quantile_reward, quantile_reward),
    (check_read_patches, read_patches),
]
WRONG = [
    (check_tenfold, lambda p, t: (p > 10 * t).double().mean(), "too small"),
    (check_tenfold, lambda p, t: ((p - t).abs() > 10).double().mean(), "share"),
    (check_split_by_program, by_rows, "on both sides"),
    (check_split_by_program, lambda p, s: [False] * len(p), "a fifth"),
    (check_split_by_program, lambda p, s: split_by_program(p, 0), "another seed"),
    (
        check_split_by_program,
        lambda p, s: split_by_program(p, random.random()),
        "same seed",
    ),
    (check_cut, lambda d, n: d[:n], "seam"),
    (check_cut, lambda d, n: d[: n // 2] + b"\0" + d[-n // 2 :], "stays"),
    (check_cut, lambda d, n: d.decode(), "bytes, not str"),
    (check_quantile_reward, lambda v, z, t: -quantile_reward(v, z, t), "sign"),
    (check_quantile_reward, edge_ranks, "mid-ranks"),
    (check_quantile_reward, lambda v, z, t: -((v - z) ** 2), "rewards"),
    (check_read_patches, flat_patches, "shape"),
    (check_read_patches, without_positions, "position"),
]
WRONG += [(check, stub, "None") for check, _ in RIGHT]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
