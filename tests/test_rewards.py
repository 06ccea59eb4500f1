"""Specification of the rewards: by hand, and the statistic each one pulls to."""

import math
import pickle

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch

from genre2_mini.rewards import (
    MAX_KNOTS,
    ClippedReward,
    GaussianKernelReward,
    QuantileReward,
    RankReward,
    RelativeErrorReward,
    ToleranceReward,
    absolute_error_reward,
    squared_error_reward,
)


def f64(rows):
    return torch.as_tensor(rows, dtype=torch.float64)


def name_of(x):
    return getattr(x, "__name__", type(x).__name__)


TRAIN = f64([3.0, 0.0, 1.0, 1.0])  # mid-ranks: 1/8 at 0, 1/2 at 1, 7/8 at 3
REWARDS = [
    squared_error_reward,
    absolute_error_reward,
    GaussianKernelReward(),
    ClippedReward(),
    RelativeErrorReward(),
    ToleranceReward(),
    QuantileReward.fit(TRAIN),
    RankReward.fit(TRAIN),
]
every_reward = pytest.mark.parametrize("reward", REWARDS, ids=name_of)
fitted = pytest.mark.parametrize("fit", [QuantileReward.fit, RankReward.fit])


# --- By hand ------------------------------------------------------------------


def test_it_is_minus_the_squared_error_of_each_sample():
    values = torch.tensor([[1.0, 2.0, 4.0], [0.0, -1.0, 3.0]])
    z = torch.tensor([1.0, -1.0])
    expected = [[0.0, -1.0, -9.0], [-1.0, 0.0, -16.0]]
    assert squared_error_reward(values, z).tolist() == expected


def test_one_value_a_row():
    z = torch.tensor([1.0, 3.0])
    assert squared_error_reward(torch.tensor([2.0, 3.0]), z).tolist() == [-1.0, 0.0]


def test_rows_stay_rows_where_n_equals_s():
    values = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    z = torch.tensor([1.0, 2.0])  # broadcasting along the columns would give zeros
    assert squared_error_reward(values, z).tolist() == [[0.0, -1.0], [-1.0, 0.0]]


def test_float64_is_kept():
    values = torch.tensor([[1 + 1e-9]], dtype=torch.float64)
    reward = squared_error_reward(values, torch.tensor([1.0], dtype=torch.float64))
    # 1 + 1e-9 is itself rounded, to within 1.1e-16: 2.2e-7 of the error, squared.
    assert reward.item() == pytest.approx(-1e-18, rel=5e-7)


Q = scipy.stats.norm.ppf(7 / 8)  # normal score of 3; that of 0 is −Q, that of 1 is 0


@pytest.mark.parametrize(
    ("reward", "expected"),
    [
        (absolute_error_reward, [-1.0, 0.0, -0.5, -3.0]),
        (GaussianKernelReward(width=0.5), np.exp([-2.0, 0.0, -0.5, -18.0])),
        (ClippedReward(limit=2.0), [-1.0, 0.0, -0.25, -2.0]),
        (RelativeErrorReward(floor=0.25), [-1.0, 0.0, -0.25, -9.0]),
        (ToleranceReward(tolerance=0.5), [0.0, 1.0, 1.0, 0.0]),  # ≤, not <
        (QuantileReward.fit(TRAIN), np.multiply(-(Q**2), [1.0, 0.0, 1 / 16, 1.0])),
        (QuantileReward.fit(TRAIN, limit=0.5), [-0.5, 0.0, -(Q**2) / 16, -0.5]),
        (RankReward.fit(TRAIN), np.multiply(-3 / 8, [1.0, 0.0, 1 / 4, 1.0])),
    ],
    ids=name_of,
)
def test_rewards_by_hand(reward, expected):
    values = f64([[0.0, 1.0, 1.5, 4.0]])  # 4 lies beyond the train targets
    actual = reward(values, f64([1.0]))[0]
    torch.testing.assert_close(actual, f64(expected), rtol=1e-14, atol=0)


def test_the_floor_keeps_relative_errors_finite():
    values, z = f64([[0.5], [-1.0]]), f64([0.0, -2.0])
    reward = RelativeErrorReward(floor=0.25)(values, z)
    assert reward.tolist() == [[-4.0], [-0.25]]


# --- What all have in common --------------------------------------------------


@every_reward
def test_every_sample_is_rewarded_as_if_it_were_alone(reward):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    z = torch.randn(3, generator=generator, dtype=torch.float64)
    table = reward(values, z)
    columns = [reward(column.clone(), z) for column in values.unbind(1)]
    assert torch.equal(table, torch.stack(columns, dim=1))
    assert torch.equal(table, reward(values.t().contiguous().t(), z))  # any layout
    assert reward(values[:0], z[:0]).shape == (0, 3)


@every_reward
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_float_type_is_kept(reward, dtype):
    values, z = torch.tensor([[0.5, 2.0]], dtype=dtype), torch.ones(1, dtype=dtype)
    assert reward(values, z).dtype == dtype


@every_reward
def test_nothing_beats_the_truth(reward):
    z = torch.linspace(-1, 4, 11, dtype=torch.float64)
    values = z.repeat(11, 1)
    best = reward(z, z)
    assert (best == best[0]).all()
    assert (reward(values, z) <= best[:, None]).all()
    assert (reward(values, z) < best[:, None]).any()


@every_reward
@pytest.mark.parametrize(
    ("values_shape", "z_shape"), [((2, 3), (3,)), ((2, 3), (2, 1)), ((2,), (2, 3))]
)
def test_a_target_for_every_row_is_required(reward, values_shape, z_shape):
    with pytest.raises(ValueError, match="z must hold one target for each row"):
        reward(torch.zeros(values_shape), torch.zeros(z_shape))


@every_reward
def test_rewards_can_be_compared_hashed_and_sent_to_another_process(reward):
    copy = pickle.loads(pickle.dumps(reward))
    assert copy == reward
    assert hash(copy) == hash(reward)


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (GaussianKernelReward, "width"),
        (ClippedReward, "limit"),
        (RelativeErrorReward, "floor"),
        (ToleranceReward, "tolerance"),
        (lambda limit: QuantileReward.fit(TRAIN, limit), "limit"),
    ],
)
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, True, "1"])
def test_a_bad_parameter_is_named(build, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a finite number above 0, in"):
        build(value)


# --- Maps fitted on train -----------------------------------------------------


def test_quantiles_and_ranks_are_scipys():
    generator = np.random.default_rng(0)
    train = generator.gamma(2.0, size=900).round(2)  # with ties
    z = np.linspace(-1, 12, 500)
    order = np.argsort(train)
    rank = (scipy.stats.rankdata(train) - 0.5) / len(train)
    for height, train_map in [
        (rank, RankReward.fit(torch.tensor(train)).cdf),
        (scipy.stats.norm.ppf(rank), QuantileReward.fit(torch.tensor(train)).q),
    ]:
        expected = np.interp(z, train[order], height[order])
        actual = train_map(torch.tensor(z)).numpy()
        # Rounding only; absolute, because normal scores pass through zero.
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-13)


@fitted
def test_only_the_order_of_the_targets_counts(fit):
    generator = torch.Generator().manual_seed(0)
    train = torch.randn(200, generator=generator, dtype=torch.float64)
    values, z = train[:180].reshape(20, 9), train[180:]
    reward = fit(train)(values, z)
    assert torch.equal(fit(train.exp())(values.exp(), z.exp()), reward)
    squared = squared_error_reward(values, z)
    assert not torch.allclose(squared_error_reward(values.exp(), z.exp()), squared)


@fitted
def test_few_knots_stand_for_many_targets(fit):
    generator = torch.Generator().manual_seed(0)
    train = torch.randn(20_000, generator=generator, dtype=torch.float64).exp()
    train[:2000] = 1.0  # a jump, which must stay one
    reward = fit(train)
    thin = reward.q if isinstance(reward, QuantileReward) else reward.cdf
    assert len(thin.knots) <= MAX_KNOTS
    rank = torch.tensor(scipy.stats.rankdata(train) - 0.5) / len(train)
    exact = torch.special.ndtri(rank) if isinstance(reward, QuantileReward) else rank
    error = (thin(train) - exact).abs().max()
    assert error < (exact.max() - exact.min()) / (MAX_KNOTS // 2 - 1)


@fitted
def test_a_short_repr_tells_fits_apart(fit):
    one, same, other = fit(TRAIN), fit(TRAIN.flip(0)), fit(f64([0.0, 1.0, 1.0, 2.9]))
    assert repr(one) == repr(same) != repr(other)
    assert one == same != other
    assert len(repr(fit(torch.arange(5000.0)))) < 80


@fitted
@pytest.mark.parametrize(
    ("train", "message"),
    [
        ([], "two different targets or more: .* got 0 with 0 different"),
        ([1.0], "two different targets or more: .* got 1 with 1 different"),
        ([2.0, 2.0, 2.0], "two different targets or more: .* got 3 with 1 different"),
        ([1.0, math.nan, math.inf], r"without NaN .* shape \(3,\) with 2 of them"),
        ([[1.0, 2.0]], r"shape \(N,\) .* got shape \(1, 2\)"),
    ],
)
def test_bad_train_targets_are_named(fit, train, message):
    with pytest.raises(ValueError, match=f"z_train must .*{message}"):
        fit(f64(train))


# --- What each reward pulls to ------------------------------------------------

STEP = 0.005
Z = STEP * np.arange(1, 2400)  # atoms of p(z | x), a skewed one: log z ~ N(0, 0.8²)
P = scipy.stats.lognorm.pdf(Z, 0.8)
P /= P.sum()
MEAN, MEDIAN, MODE = P @ Z, Z[np.searchsorted(P.cumsum(), 0.5)], math.exp(-(0.8**2))
# Train targets of all inputs together, hence unlike p(z | x).
Z_TRAIN = np.random.default_rng(0).normal(1.5, 0.8, size=500)


def best_answer(reward):
    """The v on a grid of STEP with the largest E[r(v, z)], computed exactly."""
    v, z, p = torch.tensor(Z[Z < 3]), torch.tensor(Z), torch.tensor(P)
    return v[(p @ reward(v.expand(len(z), -1), z)).argmax()].item()


def smoothed_mode(width):
    density = scipy.ndimage.gaussian_filter1d(
        P, width / STEP, mode="constant", truncate=10
    )
    return Z[density.argmax()]


def mean_shift(radius):
    v = MEDIAN
    for _ in range(200):
        near = abs(Z - v) <= radius
        v = P[near] @ Z[near] / P[near].sum()
    return v


def likeliest_window(radius):
    inside = np.ones(2 * int(radius / STEP) + 1)
    return Z[np.convolve(P, inside, mode="same").argmax()]


def relative_mean(floor):
    weight = P / np.maximum(Z, floor) ** 2
    return weight @ Z / weight.sum()


def quantile_mean():
    knots = np.sort(Z_TRAIN)
    scores = scipy.stats.norm.ppf((np.arange(500) + 0.5) / 500)
    return np.interp(P @ np.interp(Z, knots, scores), scores, knots)


PULLS = {
    "squared": (squared_error_reward, MEAN),
    "absolute": (absolute_error_reward, MEDIAN),
    "kernel": (GaussianKernelReward(width=0.4), smoothed_mode(0.4)),
    "clipped": (ClippedReward(limit=1.0), mean_shift(1.0)),
    "relative": (RelativeErrorReward(floor=0.1), relative_mean(0.1)),
    # Half a step more, so that no atom lies on the edge of a window.
    "tolerance": (ToleranceReward(60.5 * STEP), likeliest_window(60.5 * STEP)),
    "quantile": (QuantileReward.fit(torch.tensor(Z_TRAIN)), quantile_mean()),
    "rank": (RankReward.fit(torch.tensor(Z_TRAIN)), MEDIAN),
}


@pytest.mark.parametrize("name", PULLS)
def test_the_best_answer_is_the_statistic_it_pulls_to(name):
    reward, statistic = PULLS[name]
    assert best_answer(reward) == pytest.approx(statistic, abs=STEP)


def test_the_statistics_of_a_skewed_distribution_differ():
    statistics = {MODE, *(statistic for _, statistic in PULLS.values())}
    assert len(statistics) == len(PULLS)  # the rank's is the median, too
    assert np.diff(sorted(statistics)).min() > 10 * STEP


def test_a_kernel_leads_from_the_mode_to_the_mean():
    assert best_answer(GaussianKernelReward(2 * STEP)) == pytest.approx(MODE, abs=STEP)
    assert best_answer(GaussianKernelReward(50.0)) == pytest.approx(MEAN, abs=STEP)


def test_a_clip_leads_from_the_mode_to_the_mean():
    radius = 10.5 * STEP
    assert best_answer(ClippedReward(radius**2)) == pytest.approx(MODE, abs=STEP)
    assert best_answer(ClippedReward(1000.0)) == pytest.approx(MEAN, abs=STEP)
