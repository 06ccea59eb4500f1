"""Cross-entropy against errors: the identities hold, and the records are complete."""

import itertools
import math

import pandas as pd
import pytest
import torch
from conftest import make_policy

from genre2_mini.experiments import exponent_slips, load_results, mismatch
from genre2_mini.experiments.mismatch import (
    by_first_wrong,
    exact_distribution,
    first_wrong,
    scores_by_temperature,
)
from genre2_mini.metrics import expected_sample_scores
from genre2_mini.rollouts import enumerate_strings
from genre2_mini.tasks import Split
from genre2_mini.tokenizers import NormalizedTokenizer, ScientificTokenizer

TRAINED = {"max_rows": 120, "steps": 4, "every": 2}


@pytest.fixture(scope="module")
def policy():
    return make_policy(NormalizedTokenizer(base=3, num_digits=3, low=-2.0, high=2.0))


@pytest.fixture
def split(x):
    return Split(x, torch.tensor([-1.9, 0.3, 1.2]).double())


# By the first wrong digit


def test_the_first_wrong_digit_counts_the_right_ones_before_it():
    strings = torch.tensor([[0, 1, 1], [0, 0, 1], [1, 1, 1], [0, 1, 0]])
    truth = torch.tensor([[0, 1, 1], [1, 1, 0]])
    assert first_wrong(strings, truth).tolist() == [[3, 1, 0, 2], [0, 0, 2, 0]]


def test_at_temperature_1_all_strings_have_the_policys_own_probability(policy, x):
    tokens, log_prob = exact_distribution(policy, x)
    expected = enumerate_strings(policy, x)
    assert torch.equal(tokens, expected.tokens)
    torch.testing.assert_close(log_prob[0].sum(dim=-1), expected.log_prob)


def test_at_another_temperature_every_token_is_a_softmax_of_scaled_logits(policy, x):
    tokens, log_prob = exact_distribution(policy, x, (0.5,))
    strings = tokens.expand(len(x), -1, -1)
    log_p = (policy.logits(x, strings) / 0.5).log_softmax(dim=-1)
    log_p = log_p.gather(-1, strings[..., None]).squeeze(-1)
    torch.testing.assert_close(log_prob[0], log_p)
    torch.testing.assert_close(
        log_p.sum(dim=-1).exp().sum(dim=1), x.new_ones(3).double()
    )


def test_the_parts_by_first_wrong_digit_add_up(policy, split):
    tokens, log_prob = exact_distribution(policy, split.x)
    parts = by_first_wrong(tokens, log_prob[0], policy.tokenizer, split.z, near=0.5)
    scores, at_one = scores_by_temperature(policy, split, (1.0,))
    assert parts["probability"].sum() == pytest.approx(1)
    assert parts["squared_error"].sum() == pytest.approx(scores["rmse_k1"][0] ** 2)
    assert parts["nats"].sum() == pytest.approx(scores["nll"][0])
    assert (parts["near"] <= parts["probability"] + 1e-12).all()
    assert at_one["position"].tolist() == [1, 2, 3, 4]


def test_cross_entropy_alone_gives_the_chance_of_each_first_wrong_digit(policy, split):
    row = Split(split.x[:1], split.z[:1])
    _, parts = scores_by_temperature(policy, row)
    right = [math.exp(-nats) for nats in parts["nats"][:3]]  # q_k, one row
    expected = [(1 - q) * math.prod(right[:k]) for k, q in enumerate(right)]
    assert parts["probability"].tolist() == pytest.approx([*expected, math.prod(right)])


# Exponents


def test_a_sum_over_exponents_is_the_expected_squared_error(x):
    tokenizer = ScientificTokenizer(num_digits=2, max_exponent=1)
    policy = make_policy(tokenizer)
    split = Split(x, torch.tensor([-1.9, 0.3, 12.0]).double())
    tokens, log_prob = enumerate_strings(policy, x)
    values = tokenizer.decode(tokens).expand(3, -1)
    exact = expected_sample_scores(values, split.z, log_prob.exp())["rmse"] ** 2
    table = exponent_slips.by_exponent(policy, split, num_samples=20_000)
    assert table["exponent"].tolist() == [-1, 0, 1]
    assert table["squared_error"].sum() == pytest.approx(exact, rel=1e-2)
    assert table["probability"].sum() == pytest.approx(1)
    assert table["frequency"].sum() == pytest.approx(1)
    assert (table["wrong"] <= table["squared_error"]).all()


# The studies


def test_every_checkpoint_is_scored_at_every_temperature():
    rows = mismatch.run_seed("concrete", 1, **TRAINED)
    assert rows["step"].unique().tolist() == [0, 2, 4]
    assert rows["temperature"].tolist() == 3 * list(mismatch.TEMPERATURES)
    assert rows.notna().all(axis=None)
    best = mismatch.best_checkpoints(rows)
    at_one = rows[rows["temperature"] == 1]
    assert best["valid_nll"].item() == at_one["valid_nll"].min()
    table = mismatch.positions(best)
    assert table["position"].tolist() == list(range(1, 10))
    total = best["test_rmse_k1"].item() ** 2
    assert table["squared_error"].sum() == pytest.approx(total, rel=1e-4)


def test_a_run_of_scientific_strings_is_scored_and_split_by_exponent():
    rows = exponent_slips.run_seed("fried", 1, **TRAINED)
    assert rows.notna().all(axis=None)
    table = exponent_slips.exponents(rows)
    assert table["exponent"].tolist() == list(range(-10, 11))
    assert table["probability"].sum() == pytest.approx(1, abs=1e-4)
    roles = rows[["nats_sign", "nats_digits", "nats_exponent"]].sum(axis=1)
    assert roles.item() == pytest.approx(rows["nll"].item(), rel=1e-4)


def is_complete(rows, **levels):
    """Every combination of the levels has one row, and no number is missing."""
    keys = list(rows[list(levels)].itertuples(index=False, name=None))
    expected = list(itertools.product(*levels.values()))
    return sorted(keys) == sorted(expected) and rows.notna().all(axis=None)


def test_the_recorded_checkpoints_are_complete():
    assert is_complete(
        load_results("mismatch"),
        task=mismatch.TASKS,
        seed=range(5),
        step=range(0, 601, 50),
        temperature=mismatch.TEMPERATURES,
    )


def test_the_recorded_positions_are_complete_and_of_the_best_checkpoints():
    rows = load_results("mismatch_positions")
    assert is_complete(rows, task=mismatch.TASKS, seed=range(5), position=range(1, 10))
    best = mismatch.best_checkpoints(load_results("mismatch"))
    sums = rows.groupby(["task", "seed"])["nats"].sum()
    test_nll = best.set_index(["task", "seed"])["test_nll"]
    pd.testing.assert_series_equal(sums, test_nll, rtol=1e-3, check_names=False)


def test_the_recorded_scientific_runs_are_complete():
    scores = load_results("mismatch_scientific")
    table = load_results("mismatch_exponents")
    assert is_complete(scores, seed=range(5))
    assert is_complete(table, seed=range(5), exponent=range(-10, 11))
