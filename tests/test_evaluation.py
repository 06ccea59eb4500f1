"""Specification of evaluation: every model is scored by its weighted distribution."""

import pytest
import torch
from conftest import TINY_TOKENIZERS, make_policy, policy_for

from genre2_mini import evaluation
from genre2_mini.encoders import RowEncoder
from genre2_mini.evaluation import evaluate, predict_distribution
from genre2_mini.heads import PointwiseHead
from genre2_mini.metrics import distribution_scores
from genre2_mini.rollouts import tree_rollout
from genre2_mini.tasks import Split

KEYS = {
    *("r2_k1", "rmse_k1", "mae_k1", "crps"),
    *("r2_mean", "rmse_mean", "mae_mean", "spearman_mean"),
    *("r2_median", "rmse_median", "mae_median", "spearman_median"),
}


def rows(num_rows):
    return torch.randn(num_rows, 4, generator=torch.Generator().manual_seed(2))


def rollout_of(policy, x, num_samples, seed=0):
    """What the policy is asked for when all rows fit into one chunk."""
    generator = torch.Generator().manual_seed(seed)
    return tree_rollout(policy, x, num_samples, generator=generator)


def tiny_policy(kind="scientific", dropout=0.1):
    return make_policy(TINY_TOKENIZERS[kind](), dropout=dropout)


def tiny_head(dropout=0.1):
    torch.manual_seed(0)
    return PointwiseHead(RowEncoder(4, d_model=16, dropout=dropout), d_model=16)


# --- A policy's predictive distribution ---------------------------------------


@pytest.mark.parametrize("num_samples", [1, 10, 128, 1000])
def test_weights_of_each_row_sum_to_one(policy, num_samples):
    values, weights = predict_distribution(policy, rows(8), num_samples)
    assert values.dtype == weights.dtype == torch.float64
    assert values.shape == weights.shape
    assert len(values) == 8
    total = weights.sum(dim=1)
    torch.testing.assert_close(total, torch.ones(8).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_samples", [6, 32])
def test_values_and_weights_are_the_distinct_samples_and_their_shares(
    policy, num_samples
):
    x = rows(8)
    values, weights = predict_distribution(policy, x, num_samples, seed=3)
    rollout = rollout_of(policy, x, num_samples, seed=3)
    for n in range(8):
        mine = rollout.owner == n
        decoded = policy.tokenizer.decode(rollout.tokens[mine])
        assert torch.equal(values[n, weights[n] > 0], decoded)
        share = rollout.count[mine].double() / num_samples
        torch.testing.assert_close(
            weights[n, weights[n] > 0], share, rtol=0, atol=1e-15
        )


def test_the_widest_row_has_no_padding(policy):
    _, weights = predict_distribution(policy, rows(8), 32)
    sizes = (weights > 0).sum(dim=1)
    assert sizes.max() == weights.shape[1]


def test_padding_repeats_a_value_of_its_row_with_weight_zero(policy):
    values, weights = predict_distribution(policy, rows(8), 32)
    assert (weights == 0).any()
    for value, weight in zip(values, weights, strict=True):
        assert torch.isin(value[weight == 0], value[weight > 0]).all()


@pytest.mark.parametrize("num_samples", [6, 31, 128])
@pytest.mark.parametrize("kind", ["scientific", "ieee"])
def test_scores_are_those_of_the_samples_written_out(kind, num_samples):
    """Each value as often as it was drawn: (N, S) and no weights.

    Not on an even grid: means that tie there are ranked by their rounding errors.
    """
    policy = tiny_policy(kind)
    x, z = rows(40), torch.randn(40, generator=torch.Generator().manual_seed(0))
    values, weights = predict_distribution(policy, x, num_samples)
    times = (weights * num_samples).round().long()
    assert times.sum(dim=1).tolist() == [num_samples] * 40
    samples = values.flatten().repeat_interleave(times.flatten())
    expected = distribution_scores(samples.view(40, num_samples), z)
    actual = distribution_scores(values, z, weights)
    assert actual == pytest.approx(expected, rel=1e-12)


def test_a_seed_fixes_the_samples_and_leaves_the_global_generator_alone(policy):
    state = torch.random.get_rng_state()
    first, again, other = (
        predict_distribution(policy, rows(8), 10, seed=seed) for seed in (0, 0, 1)
    )
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert first[1].shape != other[1].shape or not torch.equal(first[1], other[1])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_dropout_is_off_and_the_training_mode_comes_back():
    policy = tiny_policy(dropout=0.5)
    expected = predict_distribution(policy.eval(), rows(8), 10)
    assert not policy.training
    actual = predict_distribution(policy.train(), rows(8), 10)
    assert policy.training
    assert all(torch.equal(*pair) for pair in zip(actual, expected, strict=True))


@pytest.mark.parametrize("make_model", [tiny_policy, tiny_head])
def test_nothing_is_kept_for_a_gradient(make_model):
    model, tracked = make_model(), []
    model.encoder.register_forward_hook(
        lambda _, __, h: tracked.append(h.requires_grad)
    )
    predict_distribution(model, rows(8), 10)
    assert tracked == [False]


def test_no_rows_have_no_distribution(policy):
    values, weights = predict_distribution(policy, rows(0), 10)
    assert values.shape == weights.shape
    assert len(values) == 0


# --- Chunks bound the memory --------------------------------------------------


def chunks_seen(monkeypatch, strings_at_once):
    """A list that grows by (rows, samples a row) of every rollout."""
    seen, roll = [], evaluation.tree_rollout

    def spy(policy, x, num_samples, *arguments, **options):
        seen.append((len(x), num_samples))
        return roll(policy, x, num_samples, *arguments, **options)

    monkeypatch.setattr(evaluation, "tree_rollout", spy)
    monkeypatch.setattr(evaluation, "STRINGS_AT_ONCE", strings_at_once)
    return seen


@pytest.mark.parametrize(
    ("strings_at_once", "expected"),
    [(1000, [10]), (100, [10]), (40, [4, 4, 2]), (39, [3, 3, 3, 1]), (5, [1] * 10)],
)
def test_no_rollout_draws_more_strings_than_allowed(
    policy, monkeypatch, strings_at_once, expected
):
    """A single row is the least that can be drawn at once."""
    seen = chunks_seen(monkeypatch, strings_at_once)
    values, weights = predict_distribution(policy, rows(10), num_samples=10)
    assert seen == [(size, 10) for size in expected]
    assert len(values) == len(weights) == 10
    assert values.shape == weights.shape


@pytest.mark.parametrize(("num_rows", "expected"), [(0, [0]), (4, [4]), (9, [4, 4, 1])])
def test_no_head_reads_more_rows_than_allowed(monkeypatch, num_rows, expected):
    head, seen = tiny_head().double(), []
    whole = predict_distribution(head, rows(num_rows))
    head.encoder.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    monkeypatch.setattr(evaluation, "ROWS_AT_ONCE", 4)
    by_parts = predict_distribution(head, rows(num_rows))
    assert seen == expected
    for part, expected_part in zip(by_parts, whole, strict=True):
        torch.testing.assert_close(part, expected_part)


@pytest.mark.parametrize("strings_at_once", [40, 5])
def test_chunks_change_neither_rows_nor_weights(policy, monkeypatch, strings_at_once):
    """Shown on a policy without chance, one value a row."""
    with torch.no_grad():
        policy.unembedding.weight.mul_(1e6)
    x = 100 * rows(10)  # far apart, so that their greedy strings differ
    expected = policy.tokenizer.decode(policy.greedy(x))
    assert len(expected.unique()) > 1
    monkeypatch.setattr(evaluation, "STRINGS_AT_ONCE", strings_at_once)
    values, weights = predict_distribution(policy, x, num_samples=10)
    assert torch.equal(values, expected[:, None])
    assert torch.equal(weights, torch.ones(10, 1).double())


def test_chunks_draw_their_own_samples(policy, monkeypatch):
    """Equal rows in different chunks are not drawn with the same numbers."""
    monkeypatch.setattr(evaluation, "STRINGS_AT_ONCE", 20)
    x = rows(1).expand(2, -1)
    values, weights = predict_distribution(policy, x, num_samples=20)
    one, other = ((v[w > 0], w[w > 0]) for v, w in zip(values, weights, strict=True))
    assert one[0].shape != other[0].shape or not torch.equal(one[1], other[1])


# --- Heads --------------------------------------------------------------------


def test_a_head_answers_with_one_value_of_weight_one(monkeypatch):
    seen = chunks_seen(monkeypatch, strings_at_once=1)
    model, x = tiny_head(dropout=0.5).train(), rows(8)
    values, weights = predict_distribution(model, x, num_samples=7, seed=5)
    assert weights.tolist() == [[1.0]] * 8
    assert values.dtype == weights.dtype == torch.float64
    assert model.training and not values.requires_grad
    torch.testing.assert_close(values[:, 0], model.eval()(x).detach().double())
    assert seen == [], "nothing is sampled"


# --- Scores -------------------------------------------------------------------


@pytest.mark.parametrize("make_model", [tiny_policy, tiny_head])
def test_evaluate_scores_the_predicted_distribution(make_model):
    model = make_model()
    z = torch.randn(30, generator=torch.Generator().manual_seed(0)).double()
    scores = evaluate(model, Split(rows(30), z), num_samples=16, seed=4)
    assert scores.keys() == KEYS
    values, weights = predict_distribution(model, rows(30), 16, seed=4)
    assert scores == distribution_scores(values, z, weights)


def test_evaluate_draws_128_samples_by_default(task):
    policy = policy_for(task)
    assert evaluate(policy, task.test) == evaluate(policy, task.test, 128, seed=0)
    assert evaluate(policy, task.test) != evaluate(policy, task.test, 128, seed=1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_predictions_of_a_model_on_a_gpu_lie_on_the_cpu(policy):
    for model in (policy, tiny_head()):
        values, weights = predict_distribution(model.cuda(), rows(8), 10)
        assert values.device.type == weights.device.type == "cpu"
        assert values.shape == weights.shape
