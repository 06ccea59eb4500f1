"""The exercises of chapter 14: right answers pass, stubs and usual slips do not."""

import random
import re

import pytest
import torch

from genre2_mini.exercises import chapter_14 as ch


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


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (ch.check_tenfold, tenfold),
        (ch.check_split_by_program, split_by_program),
        (ch.check_cut, cut),
        (ch.check_quantile_reward, quantile_reward),
        (ch.check_read_patches, read_patches),
    ],
)
def test_a_right_answer_passes(check, answer):
    assert check(answer)


@pytest.mark.parametrize(
    ("check", "answer", "hint"),
    [
        (ch.check_tenfold, lambda p, t: None, "None"),
        (ch.check_tenfold, lambda p, t: (p > 10 * t).double().mean(), "too small"),
        (ch.check_tenfold, lambda p, t: ((p - t).abs() > 10).double().mean(), "share"),
        (ch.check_split_by_program, lambda p, s: None, "None"),
        (ch.check_split_by_program, by_rows, "on both sides"),
        (ch.check_split_by_program, lambda p, s: [False] * len(p), "a fifth"),
        (
            ch.check_split_by_program,
            lambda p, s: split_by_program(p, 0),
            "another seed",
        ),
        (
            ch.check_split_by_program,
            lambda p, s: split_by_program(p, random.random()),
            "same seed",
        ),
        (ch.check_cut, lambda d, n: None, "None"),
        (ch.check_cut, lambda d, n: d[:n], "seam"),
        (ch.check_cut, lambda d, n: d[: n // 2] + b"\0" + d[-n // 2 :], "stays|many"),
        (ch.check_cut, lambda d, n: d.decode(), "bytes, not str"),
        (ch.check_quantile_reward, lambda v, z, t: None, "None"),
        (
            ch.check_quantile_reward,
            lambda v, z, t: -quantile_reward(v, z, t),
            "sign",
        ),
        (ch.check_quantile_reward, edge_ranks, "mid-ranks"),
        (ch.check_quantile_reward, lambda v, z, t: -((v - z) ** 2), "rewards"),
        (ch.check_read_patches, lambda e, i: None, "None"),
        (ch.check_read_patches, flat_patches, "shape"),
        (ch.check_read_patches, without_positions, "position"),
    ],
)
def test_a_wrong_answer_is_told_why(capsys, check, answer, hint):
    assert not check(answer)
    assert re.search(hint, capsys.readouterr().out)
