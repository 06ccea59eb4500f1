"""Specification of aggregation and scores: by hand, brute force, and libraries."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genre2_mini.metrics import (
    best_at_k,
    crps,
    distribution_scores,
    expected_sample_scores,
    nll,
    point_scores,
    weighted_mean,
    weighted_median,
    weighted_quantile,
)

property_test = settings(deadline=None, max_examples=100)
QS = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0]


def f64(rows):
    return torch.tensor(rows, dtype=torch.float64)


@pytest.fixture
def sample():
    """Five rows of nine values with integer weights, some of them zero, and targets."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(5, 9, generator=generator, dtype=torch.float64)
    weights = torch.randint(0, 4, (5, 9), generator=generator).double()
    z = torch.randn(5, generator=generator, dtype=torch.float64)
    return values, weights, z


# --- Aggregation --------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "weights", "mean", "median"),
    [
        ([1, 2, 6], None, 3, 2),
        ([6, 1, 2], None, 3, 2),
        ([1, 2, 3, 10], None, 4, 2),  # an even number: the lower middle
        ([1, 2, 6], [2, 1, 1], 2.5, 1),  # half the weight is reached at 1
        ([1, 2, 6], [0, 1, 3], 5, 6),
        ([1, 2, 6], [20, 10, 10], 2.5, 1),  # only proportions count
        ([5], None, 5, 5),
        ([7, 7, 7], [1, 0, 0], 7, 7),
    ],
)
def test_mean_and_median_by_hand(values, weights, mean, median):
    weights = None if weights is None else f64([weights])
    assert weighted_mean(f64([values]), weights).tolist() == [mean]
    assert weighted_median(f64([values]), weights).tolist() == [median]


def test_one_row_of_weights_serves_every_row_of_values(sample):
    values, weights, z = sample
    shared = weights[0].expand(5, 9)
    for aggregate in (weighted_mean, weighted_median):
        assert torch.equal(aggregate(values, weights[0]), aggregate(values, shared))
    assert torch.equal(crps(values, z, weights[0]), crps(values, z, shared))


def test_quantiles_are_numpys_inverted_cdf(sample):
    values, weights, _ = sample
    expected = [
        np.quantile(v, QS, method="inverted_cdf", weights=w)
        for v, w in zip(values.numpy(), weights.numpy(), strict=True)
    ]
    assert weighted_quantile(values, QS, weights).numpy().tolist() == [
        row.tolist() for row in expected
    ]
    unweighted = np.quantile(values.numpy(), QS, axis=1, method="inverted_cdf").T
    assert weighted_quantile(values, QS).tolist() == unweighted.tolist()


def test_one_quantile_gives_one_number_a_row(sample):
    values, weights, _ = sample
    assert weighted_quantile(values, 0.5, weights).shape == (5,)
    assert weighted_quantile(values, [0.5], weights).shape == (5, 1)
    assert weighted_quantile(values, f64([0.1, 0.9]), weights).shape == (5, 2)


def test_values_without_weight_are_passed_over():
    values, weights = f64([[1, 2, 6, 9]]), f64([[0, 1, 1, 0]])
    assert weighted_quantile(values, [0.0, 0.5, 1.0], weights).tolist() == [[2, 2, 6]]


def test_rounding_in_the_weights_cannot_move_a_quantile():
    values = f64([list(range(10))])
    for tenth in (0.1, 1 / 3, 7.0):  # 0.1 ten times sums to 0.9999999999999999
        weights = torch.full((10,), tenth, dtype=torch.float64)
        quantiles = weighted_quantile(values, f64(range(11)) / 10, weights)
        assert quantiles.tolist() == [[0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]


@property_test
@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 5)), min_size=1, max_size=9),
    st.integers(0, 20),
)
def test_integer_weights_are_repetitions(pairs, twentieths):
    values, counts = map(list, zip(*pairs, strict=True))
    repeated = f64([[v for v, count in pairs for _ in range(count)]])
    q = twentieths / 20
    expected = weighted_quantile(repeated, q)
    assert torch.equal(weighted_quantile(f64([values]), q, f64([counts])), expected)
    torch.testing.assert_close(
        weighted_mean(f64([values]), f64([counts])), repeated.mean(-1)
    )


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan, [[0.5]]])
def test_q_outside_0_to_1_is_refused(q):
    with pytest.raises(ValueError, match="q must be"):
        weighted_quantile(f64([[1.0]]), q)


# --- CRPS ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "z", "weights", "score"),
    [
        ([3.0], 1.0, None, 2.0),  # one value: the absolute error
        ([0.0, 1.0], 0.0, None, 0.25),  # (1/2)² over a width of 1
        ([0.0, 1.0], 0.5, None, 0.25),
        ([0.0, 1.0], 2.0, None, 1.25),
        ([0.0, 4.0], 1.0, [3.0, 1.0], 0.75),  # (3/4)² · 1 + (1/4)² · 3
        ([5.0, 5.0], 5.0, None, 0.0),
    ],
)
def test_crps_by_hand(values, z, weights, score):
    weights = None if weights is None else f64(weights)
    result = crps(f64([values]), f64([z]), weights)
    torch.testing.assert_close(result, f64([score]), rtol=0, atol=1e-15)


def test_crps_is_its_definition_over_all_pairs(sample):
    values, weights, z = sample
    w = weights / weights.sum(-1, keepdim=True)
    to_target = (w * (values - z[:, None]).abs()).sum(-1)
    distance = (values[:, :, None] - values[:, None, :]).abs()
    pairs = torch.einsum("ns,nt,nst->n", w, w, distance)
    expected = to_target - pairs / 2
    # Both sum at most 81 numbers of order 1: agreement to a few roundings.
    torch.testing.assert_close(crps(values, z, weights), expected, rtol=1e-13, atol=0)


def test_crps_of_a_fine_normal_sample_is_the_closed_form():
    size = 4000
    grid = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    values = f64(scipy.stats.norm.ppf(grid)).expand(3, -1)
    z, normal = np.array([-1.0, 0.0, 2.5]), scipy.stats.norm
    expected = z * (2 * normal.cdf(z) - 1) + 2 * normal.pdf(z) - math.pi**-0.5
    # The grid leaves out tails of probability 1/4000: an error of order 1e-4.
    torch.testing.assert_close(crps(values, f64(z)), f64(expected), rtol=0, atol=2e-4)


def test_crps_far_from_zero_loses_nothing():
    values, z = f64([[1e9, 1e9 + 1]]), f64([1e9])
    assert crps(values, z).tolist() == [0.25]


# --- Best of k ----------------------------------------------------------------


@pytest.mark.parametrize("k", range(1, 7))
def test_best_at_k_is_the_average_over_all_subsets(k):
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    z = torch.randn(3, generator=generator, dtype=torch.float64)
    errors = (values - z[:, None]).abs()
    subsets = itertools.combinations(range(6), k)
    best = torch.stack([errors[:, subset].min(-1).values for subset in subsets])
    torch.testing.assert_close(best_at_k(values, z, k), best.mean(0))


def test_best_at_k_falls_from_the_mean_error_to_the_least():
    values, z = f64([[0.0, 1.0, 5.0]]), f64([1.0])
    assert best_at_k(values, z, 1).item() == pytest.approx(5 / 3, rel=1e-15)
    assert best_at_k(values, z, 2).item() == pytest.approx(1 / 3, rel=1e-15)
    assert best_at_k(values, z, 3).item() == 0.0


def test_best_at_k_stays_exact_for_many_samples():
    size, k = 1024, 128
    values = torch.arange(1, size + 1, dtype=torch.float64)[None]
    # The least of k of 1 … S has the mean (S + 1)/(k + 1).
    expected = f64([(size + 1) / (k + 1)])
    torch.testing.assert_close(
        best_at_k(values, f64([0.0]), k), expected, rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("k", [0, 4])
def test_k_beyond_the_samples_is_refused(k):
    with pytest.raises(ValueError, match=f"k must lie between 1 and the 3 .* got {k}"):
        best_at_k(f64([[1.0, 2.0, 3.0]]), f64([1.0]), k)


# --- Scores -------------------------------------------------------------------


def test_point_scores_by_hand():
    scores = point_scores(f64([1.0, 2.0, 3.0, 2.0]), f64([1.0, 2.0, 3.0, 4.0]))
    assert scores["rmse"] == pytest.approx(1.0, rel=1e-15)
    assert scores["mae"] == pytest.approx(0.5, rel=1e-15)
    assert scores["r2"] == pytest.approx(1 - 4 / 5, rel=1e-15)
    # Ranks 1, 2.5, 4, 2.5 against 1, 2, 3, 4: covariance 3, variances 4.5 and 5.
    assert scores["spearman"] == pytest.approx(3 / math.sqrt(4.5 * 5), rel=1e-14)


def test_point_scores_match_their_definitions(sample):
    values, _, z = sample
    prediction = values[:, 0]
    scores = point_scores(prediction, z)
    error = prediction - z
    assert scores["rmse"] == pytest.approx(error.square().mean().sqrt().item())
    assert scores["mae"] == pytest.approx(error.abs().mean().item())
    r2 = 1 - error.square().sum() / (z - z.mean()).square().sum()
    assert scores["r2"] == pytest.approx(r2.item())
    ranks = np.corrcoef(prediction.argsort().argsort(), z.argsort().argsort())
    assert scores["spearman"] == pytest.approx(ranks[0, 1])


@pytest.mark.parametrize("score", [point_scores, expected_sample_scores])
def test_scores_are_plain_floats(score, sample):
    values, _, z = sample
    scores = score(values if score is expected_sample_scores else values[:, 0], z)
    assert all(type(value) is float for value in scores.values())


def test_a_constant_prediction_ranks_nothing():
    scores = point_scores(f64([2.0, 2.0, 2.0]), f64([1.0, 2.0, 3.0]))
    assert scores["spearman"] == 0.0
    assert scores["r2"] == 0.0


@pytest.mark.parametrize("z", [[2.0, 2.0], [2.0]])
def test_a_constant_target_has_no_r2_and_no_ranks(z):
    scores = point_scores(f64([1.0, 3.0][: len(z)]), f64(z))
    assert math.isnan(scores["r2"])
    assert math.isnan(scores["spearman"])
    assert scores["rmse"] == scores["mae"] == 1.0
    assert math.isnan(expected_sample_scores(f64(z)[:, None], f64(z))["r2"])


def test_the_squared_error_of_one_sample_is_bias_squared_plus_variance(sample):
    values, weights, z = sample
    mean = weighted_mean(values, weights)
    bias_squared = (mean - z).square()
    variance = weighted_mean((values - mean[:, None]).square(), weights)
    mse = (bias_squared + variance).mean().item()
    scores = expected_sample_scores(values, z, weights)
    assert scores["rmse"] ** 2 == pytest.approx(mse, rel=1e-14)
    r2 = 1 - mse / z.var(correction=0).item()
    assert scores["r2"] == pytest.approx(r2, rel=1e-14)


def test_expected_scores_are_the_average_over_every_possible_draw():
    values, z = f64([[0.0, 1.0], [3.0, 5.0], [2.0, -1.0]]), f64([0.5, 4.5, 1.0])
    weights = f64([0.25, 0.75])
    mse = mae = 0.0
    for columns in itertools.product([0, 1], repeat=3):
        probability = weights[list(columns)].prod().item()
        scores = point_scores(values[range(3), list(columns)], z)
        mse += probability * scores["rmse"] ** 2
        mae += probability * scores["mae"]
    scores = expected_sample_scores(values, z, weights)
    assert scores["rmse"] ** 2 == pytest.approx(mse, rel=1e-14)
    assert scores["mae"] == pytest.approx(mae, rel=1e-14)


def test_without_spread_one_sample_scores_like_a_point(sample):
    values, _, z = sample
    one = expected_sample_scores(values[:, :1].expand(-1, 4), z)
    point = point_scores(values[:, 0], z)
    assert one == pytest.approx({name: point[name] for name in one}, rel=1e-14)


def test_nll_is_the_mean_in_nats():
    assert nll(f64([0.5, 0.25]).log()) == pytest.approx(1.5 * math.log(2), rel=1e-15)
    assert nll(torch.tensor([0.0])) == 0.0


# --- What is refused ----------------------------------------------------------

ONE_ROW = f64([[1.0, 2.0]])
AGGREGATES = [
    lambda values, weights=None: weighted_mean(values, weights),
    lambda values, weights=None: weighted_median(values, weights),
    lambda values, weights=None: crps(values, f64([0.0]), weights),
    lambda values, weights=None: expected_sample_scores(values, f64([0.0]), weights),
]


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((f64([[1.0, math.nan]]),), "values holds 1 NaN or infinity"),
        ((f64([[1.0, math.inf]]),), "values holds 1 NaN or infinity"),
        ((f64([1.0, 2.0]),), r"values must have shape \(N, S\), got \(2,\)"),
        ((torch.empty(1, 0),), r"values must have shape \(N, S\), got \(1, 0\)"),
        ((ONE_ROW, f64([1.0, math.nan])), "weights holds 1 NaN or infinity"),
        ((ONE_ROW, f64([1.0])), r"weights must have shape \(1, 2\) or \(2,\), got"),
        ((ONE_ROW, f64([2.0, -1.0])), "weights must be ≥ 0"),
        ((ONE_ROW, f64([0.0, 0.0])), "positive sum in every row"),
    ],
)
def test_bad_distributions_are_named(aggregate, arguments, message):
    with pytest.raises(ValueError, match=message):
        aggregate(*arguments)


@pytest.mark.parametrize(
    "score",
    [
        lambda z: crps(ONE_ROW, z),
        lambda z: best_at_k(ONE_ROW, z, 1),
        lambda z: point_scores(f64([1.0]), z),
        lambda z: expected_sample_scores(ONE_ROW, z),
    ],
)
@pytest.mark.parametrize(
    ("z", "message"),
    [
        ([1.0, 2.0], r"z must have shape \(1,\), got \(2,\)"),
        ([[1.0]], r"z must have shape \(1,\), got \(1, 1\)"),
        ([math.nan], "z holds 1 NaN or infinity"),
    ],
)
def test_bad_targets_are_named(score, z, message):
    with pytest.raises(ValueError, match=message):
        score(f64(z))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: point_scores(f64([math.inf]), f64([0.0])), "prediction holds 1 NaN"),
        (lambda: point_scores(f64([]), f64([])), r"prediction must have shape \(N,\)"),
        (lambda: point_scores(f64([[1.0]]), f64([1.0])), "prediction must have shape"),
        (
            lambda: expected_sample_scores(torch.empty(0, 2), f64([])),
            "values has no rows",
        ),
        (lambda: nll(f64([-math.inf])), "log_prob holds 1 NaN or infinity"),
        (lambda: nll(f64([])), r"log_prob must be \(N,\)"),
        (lambda: nll(f64([[0.0]])), r"log_prob must be \(N,\)"),
    ],
)
def test_other_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_no_rows_aggregate_to_no_rows():
    assert weighted_mean(torch.empty(0, 3)).shape == (0,)
    assert weighted_quantile(torch.empty(0, 3), [0.1, 0.9]).shape == (0, 2)


def test_distribution_scores_gathers_all_scores_of_a_weighted_distribution():
    values = torch.tensor([[0.0, 1.0, 4.0], [2.0, 2.0, 3.0]], dtype=torch.float64)
    weights = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    z = torch.tensor([1.0, 3.0], dtype=torch.float64)
    scores = distribution_scores(values, z, weights)
    expected_one = expected_sample_scores(values, z, weights)
    assert scores["rmse_k1"] == expected_one["rmse"]
    assert scores["mae_mean"] == pytest.approx((0.25 + 0.75) / 2)  # means 1.25, 2.25
    assert scores["mae_median"] == pytest.approx((1 + 1) / 2)  # medians 0 and 2
    assert scores["crps"] == pytest.approx(crps(values, z, weights).mean().item())


def test_a_point_prediction_is_a_distribution_of_one_value():
    prediction = torch.tensor([[0.5], [2.0], [1.0]], dtype=torch.float64)
    scores = distribution_scores(prediction, torch.tensor([1.0, 3.0, 0.0]).double())
    assert scores["r2_k1"] == pytest.approx(scores["r2_mean"])
    assert scores["r2_median"] == scores["r2_mean"]
    assert scores["crps"] == pytest.approx(scores["mae_mean"])
