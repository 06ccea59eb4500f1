"""Specification of the heads and of the losses that train them."""

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import halfnorm, norm, truncnorm

from genre2_mini.encoders import RowEncoder
from genre2_mini.evaluation import evaluate
from genre2_mini.heads import HistogramHead, PointwiseHead
from genre2_mini.objectives import HistogramCrossEntropy, SquaredError
from genre2_mini.objectives.histogram import histogram_target
from genre2_mini.tasks import Split
from genre2_mini.training import fit

TAIL = 0.5 * math.sqrt(2 / math.pi)  # 0.3989…


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


def pointwise(num_targets=1, dropout=0.1):
    torch.manual_seed(0)
    encoder = RowEncoder(4, d_model=16, hidden=16, dropout=dropout)
    return PointwiseHead(encoder, d_model=16, num_targets=num_targets)


def histogram(num_bins=4, bound=2.0, dropout=0.1):
    torch.manual_seed(0)
    encoder = RowEncoder(4, d_model=16, hidden=16, dropout=dropout)
    return HistogramHead(encoder, d_model=16, num_bins=num_bins, bound=bound)


def certain(weights, bound=2.0):
    """A float64 head that gives every input the same ``weights``."""
    head = histogram(len(weights) - 2, bound).double().eval()
    with torch.no_grad():
        head.out.weight.zero_()
        head.out.bias.copy_(f64(*weights).log())
    return head


def edges(num_bins=4, bound=2.0):
    return histogram(num_bins, bound).edges


# --- Pointwise ----------------------------------------------------------------


@pytest.mark.parametrize("num_targets", [1, 2, 5])
def test_a_pointwise_head_is_a_linear_map_of_the_encoders_vector(x, num_targets):
    head = pointwise(num_targets).double().eval()
    vectors = head.encoder(x)
    prediction = head(x)
    assert prediction.shape == ((3,) if num_targets == 1 else (3, num_targets))
    for n in range(3):
        for d in range(num_targets):
            by_hand = vectors[n] @ head.out.weight[d] + head.out.bias[d]
            entry = prediction.reshape(3, num_targets)[n, d]
            torch.testing.assert_close(entry, by_hand)


@pytest.mark.parametrize("num_targets", [1, 2])
def test_its_distribution_is_the_prediction_with_weight_one(x, num_targets):
    head = pointwise(num_targets).eval()
    values, weights = head.predict_distribution(x)
    assert torch.equal(values[:, 0], head(x).double())
    assert values.ndim == (2 if num_targets == 1 else 3)
    assert weights.tolist() == [[1.0], [1.0], [1.0]]
    assert values.dtype == weights.dtype == torch.float64


def test_squared_error_is_the_mean_over_rows_and_targets(x):
    head = pointwise(num_targets=2).double().eval()
    z = f64([1.0, -2.0], [0.0, 3.0], [0.5, 0.5])
    [(loss, report)] = SquaredError().losses(head, x, z)
    residuals = [
        (head(x)[n, d] - z[n, d]).item() ** 2 for n in range(3) for d in range(2)
    ]
    assert loss.item() == pytest.approx(statistics.fmean(residuals))
    assert report["squared_error"] == loss


@pytest.mark.parametrize(
    ("num_targets", "shape"), [(3, (3,)), (1, (3, 1)), (2, (3, 1)), (2, (3,))]
)
def test_squared_error_refuses_to_pair_every_row_with_every_target(
    x, num_targets, shape
):
    head = pointwise(num_targets).double()
    with pytest.raises(ValueError, match=r"z has shape .* as many num_targets as z"):
        next(SquaredError().losses(head, x, torch.zeros(shape).double()))


# --- Histogram: bins ----------------------------------------------------------


def test_bins_by_hand():
    head = histogram(num_bins=3, bound=3.0)
    assert head.edges.tolist() == [-3, -1, 1, 3]
    expected = [-3 - TAIL, -2, 0, 2, 3 + TAIL]
    assert head.centres.tolist() == pytest.approx(expected, rel=1e-15)


def test_the_default_is_256_bins_and_two_tails_on_three_deviations(x):
    head = HistogramHead(RowEncoder(4))
    assert head.eval()(x).shape == (3, 258)
    assert head.edges[[0, -1]].tolist() == [-3, 3]
    assert head.edges.diff().tolist() == pytest.approx([6 / 256] * 256, rel=1e-12)


@pytest.mark.parametrize("bound", [0.5, 3.0])
def test_a_tail_is_worth_the_mean_of_a_half_normal_beyond_the_bound(bound):
    centres = histogram(bound=bound).centres
    mean = halfnorm(loc=bound, scale=0.5).mean()
    assert centres[[0, -1]].tolist() == pytest.approx([-mean, mean], rel=1e-14)


# --- Histogram: distribution --------------------------------------------------


def test_the_weights_are_the_softmax_of_the_logits(x):
    head = histogram().double().eval()
    values, weights = head.predict_distribution(x)
    for n, logits in enumerate(head(x).tolist()):
        total = sum(map(math.exp, logits))
        by_hand = [math.exp(logit) / total for logit in logits]
        assert weights[n].tolist() == pytest.approx(by_hand, rel=1e-12)
        assert torch.equal(values[n], head.centres)


def test_the_prediction_is_the_expectation(x):
    """Mass 0.1 to 0.3 on −2 − t, −1.5, −0.5, 0.5, 1.5, 2 + t with t = 0.3989…"""
    head = certain([0.1, 0.1, 0.2, 0.3, 0.1, 0.2])
    mean = 0.1 * (-2 - TAIL) - 0.15 - 0.1 + 0.15 + 0.15 + 0.2 * (2 + TAIL)
    values, weights = head.predict_distribution(x)
    expected = pytest.approx([mean] * 3, rel=1e-12)
    assert (values * weights).sum(dim=1).tolist() == expected
    scores = evaluate(head, Split(x, f64(0.0, 1.0, 2.0)))
    errors = [(mean - z) ** 2 for z in (0, 1, 2)]
    assert scores["rmse_mean"] == pytest.approx(statistics.fmean(errors) ** 0.5)


def test_a_float32_head_has_a_float64_distribution(x):
    head = histogram(num_bins=256).eval()
    values, weights = head.predict_distribution(x)
    assert values.dtype == weights.dtype == torch.float64
    total = weights.sum(dim=1)
    torch.testing.assert_close(total, torch.ones(3).double(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("make", [pointwise, histogram])
def test_prediction_sees_no_dropout_and_leaves_the_mode_alone(x, make):
    head = make(dropout=0.5)
    for training in (False, True):
        head.train(training)
        first, second = (head.predict_distribution(x) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        assert head.training is training
    assert not torch.equal(head(x), head(x)), "dropout would be noticed"


# --- Histogram: targets -------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [0.05, 0.75, 3.0, 50.0])
def test_hl_gauss_is_the_mass_of_a_truncated_normal_in_each_bin(sigma, dtype):
    """Against SciPy's cdf; the differences lose 16 digits from 1, no more."""
    z = torch.linspace(-2, 2, 41).to(dtype)
    bounds, width = edges(), 1.0
    target = histogram_target(z, bounds, sigma)
    assert target.dtype == torch.float64
    for row, mean in zip(target, z.tolist(), strict=True):
        cdf = norm(mean, sigma * width).cdf(bounds.numpy())
        by_hand = (cdf[1:] - cdf[:-1]) / (cdf[-1] - cdf[0])
        assert row[1:-1].tolist() == pytest.approx(by_hand, rel=1e-9, abs=1e-15)
        assert row[0] == row[-1] == 0
        low, high = (bounds[[0, -1]].numpy() - mean) / sigma
        law = truncnorm(low, high, loc=mean, scale=sigma)
        by_scipy = law.cdf(bounds.numpy())
        assert row.cumsum(0)[:-1].tolist() == pytest.approx(by_scipy, abs=1e-12)


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6) | st.floats(-2, 2), min_size=1, max_size=9),
    st.integers(1, 300),
    st.floats(0, 1e9),
)
def test_a_target_is_a_distribution(z, num_bins, sigma):
    target = histogram_target(f64(*z), edges(num_bins), sigma)
    assert target.shape == (len(z), num_bins + 2)
    assert (target >= 0).all()
    one = torch.ones(len(z)).double()
    torch.testing.assert_close(target.sum(dim=1), one, rtol=0, atol=1e-12)


def test_the_mean_of_a_target_is_z_to_a_hundred_thousandth_of_a_bin():
    """At σ = 0.75 bins, five σ from the bound: the bins hardly show."""
    head = histogram(num_bins=256, bound=3.0)
    z = torch.linspace(-2.9, 2.9, 1001).double()
    mean = histogram_target(z, head.edges, 0.75) @ head.centres
    torch.testing.assert_close(mean, z, rtol=0, atol=1e-5 * 6 / 256)


def test_at_the_bound_half_a_normal_is_left_and_fills_the_whole():
    """Bins of width 1, σ = 1: 0.3413, 0.1359, 0.0214, 0.0013 (×2) from the bound."""
    target = histogram_target(f64(2.0, -2.0), edges(), 1.0)
    masses = [0.341344746, 0.135905122, 0.021400234, 0.001318227]
    by_hand = [mass / sum(masses) for mass in masses]
    assert target[0, 1:-1].flip(0).tolist() == pytest.approx(by_hand, abs=1e-8)
    assert target[1, 1:-1].tolist() == pytest.approx(by_hand, abs=1e-8)


@pytest.mark.parametrize(
    ("z", "index"),
    [
        (-1e9, 0),
        (-2.001, 0),
        (-2.0, 1),
        (-1.5, 1),
        (-1.0, 2),
        (-0.001, 2),
        (0.0, 3),
        (0.999, 3),
        (1.0, 4),
        (2.0, 4),
        (2.001, 5),
        (1e9, 5),
    ],
)
def test_without_spread_the_bin_of_z_gets_everything(z, index):
    """Edges −2, −1, 0, 1, 2: a bin has its left edge, the last one both."""
    [row] = histogram_target(f64(z), edges(), 0.0).tolist()
    assert row == [float(j == index) for j in range(6)]


@pytest.mark.parametrize("z", [-1e9, -2.001, -1.5, 0.3, 1.9, 2.001, 1e9])
def test_a_vanishing_spread_is_no_spread(z):
    narrow = histogram_target(f64(z), edges(), 1e-6)
    assert torch.equal(narrow, histogram_target(f64(z), edges(), 0.0))


def test_an_enormous_spread_is_even_over_the_inner_bins():
    target = histogram_target(f64(-2.0, 0.3), edges(), 1e9)
    assert target.tolist() == [pytest.approx([0, *[0.25] * 4, 0], rel=1e-8)] * 2


@pytest.mark.parametrize("sigma", [0.0, 0.75, 50.0])
@pytest.mark.parametrize(("z", "index"), [(-2.001, 0), (-9.0, 0), (2.001, 5), (9, 5)])
def test_beyond_the_bound_the_tail_gets_everything(z, index, sigma):
    [row] = histogram_target(f64(z), edges(), sigma).tolist()
    assert row == [float(j == index) for j in range(6)]


@pytest.mark.parametrize("z", [f64(math.nan), f64(-math.inf), f64([0.0], [1.0])])
def test_a_target_that_is_not_one_finite_number_is_refused(z):
    with pytest.raises(ValueError, match=r"z must be \(N,\) and finite"):
        histogram_target(z, edges(), 0.75)


# --- Histogram: cross-entropy -------------------------------------------------


@pytest.mark.parametrize("sigma", [0.0, 0.75])
def test_soft_cross_entropy_is_minus_q_log_p_averaged_over_rows(x, sigma):
    head = histogram().double().eval()
    z = f64(-5.0, 0.2, 1.1)
    [(loss, report)] = HistogramCrossEntropy(sigma).losses(head, x, z)
    target = histogram_target(z, head.edges, sigma).tolist()
    by_hand = 0.0
    for logits, q in zip(head(x).tolist(), target, strict=True):
        total = math.log(sum(map(math.exp, logits)))
        by_hand -= sum(a * (b - total) for a, b in zip(q, logits, strict=True)) / 3
    assert loss.item() == pytest.approx(by_hand, rel=1e-12)
    assert report["cross_entropy"] == loss


@pytest.mark.parametrize("sigma", [0.0, 0.75])
def test_the_gradient_of_soft_cross_entropy_is_p_minus_q(x, sigma):
    p = f64(0.1, 0.1, 0.2, 0.3, 0.1, 0.2)
    head, z = certain(p.tolist()), f64(-5.0, 0.2, 1.1)
    [(loss, _)] = HistogramCrossEntropy(sigma).losses(head, x, z)
    loss.backward()
    q = histogram_target(z, head.edges, sigma)
    torch.testing.assert_close(head.out.bias.grad, p - q.mean(dim=0))


def test_a_float32_head_takes_float64_targets(x):
    head, z = histogram().eval(), f64(-5.0, 0.2, 1.1)
    [(loss, _)] = HistogramCrossEntropy().losses(head, x, z)
    [(exact, _)] = HistogramCrossEntropy().losses(head.double(), x, z)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=1e-6)


def test_the_loss_is_finite_where_the_softmax_underflows(x):
    """All but the third bin at logit −10⁴ and the truth in the fourth: 10⁴ nats."""
    head = histogram().eval()
    with torch.no_grad():
        head.out.weight.zero_()
        head.out.bias.copy_(torch.tensor([-1e4, -1e4, 0, -1e4, -1e4, -1e4]))
    [(loss, _)] = HistogramCrossEntropy(0.0).losses(head, x, f64(0.5, 0.5, 0.5))
    loss.backward()
    assert loss == 1e4
    assert head.out.bias.grad.tolist() == [0, 0, 1, -1, 0, 0]


@pytest.mark.parametrize("sigma", [0.0, 0.75])
def test_a_histogram_learns_an_easy_table(task, sigma):
    torch.manual_seed(0)
    encoder = RowEncoder(task.num_features, d_model=16, hidden=32)
    head = HistogramHead(encoder, d_model=16, num_bins=32)
    assert evaluate(head, task.test)["rmse_mean"] > 1.4
    fast = {"batch_size": 32, "learning_rate": 3e-3}
    fit(head, task, HistogramCrossEntropy(sigma), steps=250, **fast)
    assert evaluate(head, task.test)["rmse_mean"] < 0.5


def test_several_targets_learn_together(task):
    """z and −2z, as two columns of one head."""
    torch.manual_seed(0)
    encoder = RowEncoder(task.num_features, d_model=16, hidden=32)
    head = PointwiseHead(encoder, d_model=16, num_targets=2)
    optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
    z = task.train.z[:, None] * f64(1.0, -2.0)
    for _ in range(200):
        [(loss, _)] = SquaredError().losses(head, task.train.x, z)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    values, _ = head.predict_distribution(task.test.x)
    error = values[:, 0] - task.test.z[:, None] * f64(1.0, -2.0)
    assert (error.square().mean(dim=0).sqrt() < 0.25 * f64(1.0, 2.0)).all()


# --- Refusals -----------------------------------------------------------------


@pytest.mark.parametrize("num_targets", [0, -1])
def test_no_targets_are_refused(num_targets):
    with pytest.raises(ValueError, match=f"num_targets={num_targets}: predict at"):
        pointwise(num_targets)


@pytest.mark.parametrize("num_bins", [0, -1])
def test_no_bins_are_refused(num_bins):
    with pytest.raises(ValueError, match=f"num_bins={num_bins}: a histogram needs"):
        histogram(num_bins)


@pytest.mark.parametrize("bound", [0.0, -3.0, math.inf, math.nan])
def test_a_bound_must_be_positive_and_finite(bound):
    with pytest.raises(ValueError, match=f"bound={bound} must be positive and finite"):
        histogram(bound=bound)


def test_a_histogram_refuses_an_encoder_of_another_width():
    with pytest.raises(ValueError, match=r"d_model=16, but the encoder writes .* 64"):
        HistogramHead(RowEncoder(4), d_model=16)


@pytest.mark.parametrize("sigma", [-0.1, math.nan])
def test_a_negative_spread_is_refused(sigma):
    with pytest.raises(ValueError, match=f"sigma={sigma} must be at least 0"):
        HistogramCrossEntropy(sigma)
