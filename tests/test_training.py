"""The loop learns, keeps the best weights, repeats itself and resumes."""

from dataclasses import dataclass, replace

import pandas as pd
import pytest
import torch
from conftest import make_task, policy_for

from genre2_mini.checkpoints import CheckpointError, load_checkpoint
from genre2_mini.encoders import RowEncoder
from genre2_mini.heads import PointwiseHead
from genre2_mini.objectives import CrossEntropy, ReMax, SquaredError
from genre2_mini.runs import batches
from genre2_mini.tasks import Split
from genre2_mini.tokenizers import NormalizedTokenizer
from genre2_mini.training import evaluate, fit

FAST = {"batch_size": 32, "learning_rate": 3e-3, "validate_every": 10}


DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def pointwise_for(task):
    torch.manual_seed(0)
    encoder = RowEncoder(task.num_features, d_model=16, hidden=32)
    return PointwiseHead(encoder, d_model=16)


@pytest.mark.parametrize(
    ("make_model", "objective"),
    [(policy_for, CrossEntropy()), (pointwise_for, SquaredError())],
)
def test_every_objective_learns_an_easy_table(task, make_model, objective):
    model = make_model(task)
    before = evaluate(model, task.test)["r2_mean"]
    fit(model, task, objective, steps=150, **FAST)
    assert before < 0.5
    assert evaluate(model, task.test)["r2_mean"] > 0.8


@pytest.mark.parametrize("device", DEVICES)
def test_a_run_stays_on_the_models_device(task, device, tmp_path):
    file = tmp_path / "run.safetensors"
    policy = policy_for(task).to(device)
    for steps in (10, 20):  # the second goes on from the file
        fit(policy, task, ReMax(4), steps=steps, checkpoint=file, **FAST)
    assert {p.device.type for p in policy.parameters()} == {device}
    assert evaluate(policy, task.test).keys() >= {"rmse_k1", "crps"}


def test_remax_improves_one_sample_after_cross_entropy(task):
    policy = policy_for(task)
    fit(policy, task, CrossEntropy(), steps=60, **FAST, metric="rmse_k1")
    before = evaluate(policy, task.test)["rmse_k1"]
    slower = FAST | {"learning_rate": 1e-3}
    fit(policy, task, ReMax(), steps=100, **slower, metric="rmse_k1")
    assert evaluate(policy, task.test)["rmse_k1"] < 0.6 * before


def test_history_has_a_row_a_validation_from_step_zero(task):
    history = fit(policy_for(task), task, CrossEntropy(), steps=25, **FAST)
    assert isinstance(history, pd.DataFrame)
    assert history["step"].tolist() == [0, 10, 20, 25]
    assert history["seconds"].is_monotonic_increasing
    assert history["cross_entropy"].isna().tolist() == [True, False, False, False]
    assert history.attrs["metric"] == "rmse_mean"
    assert history.attrs["clipped_targets"] == 0


@dataclass
class Spoiled:
    """Cross-entropy for 30 batches, then its opposite: training that goes wrong."""

    good_batches: int = 30

    def losses(self, model, x, z, generator):
        sign = 1 if self.good_batches > 0 else -1
        self.good_batches -= 1
        for loss, report in CrossEntropy().losses(model, x, z, generator):
            yield sign * loss, report


@pytest.mark.parametrize("metric", ["rmse_k1", "r2_mean", "spearman_median"])
def test_the_best_validated_weights_come_back(task, metric):
    policy = policy_for(task)
    history = fit(policy, task, Spoiled(), steps=60, metric=metric, **FAST)
    column = history[f"valid_{metric}"]
    best = column.min() if metric.startswith("rmse") else column.max()
    assert evaluate(policy, task.valid, 32, seed=None)[metric] == best
    assert history.attrs["best_step"] == history["step"][(column == best).idxmax()]
    assert 0 < history.attrs["best_step"] < 60


def test_patience_stops_early(task):
    policy = policy_for(task)
    history = fit(policy, task, Spoiled(), steps=500, patience=3, **FAST)
    since_best = history[history["step"] > history.attrs["best_step"]]
    assert len(since_best) == 3
    assert history["step"].iloc[-1] < 100


@pytest.mark.parametrize("objective", [CrossEntropy(), ReMax(num_samples=4)])
def test_a_seed_fixes_the_run_and_leaves_the_callers_generator_alone(task, objective):
    runs = []
    for seed in (1, 1, 2):
        model = policy_for(task)
        state = torch.random.get_rng_state()
        fit(model, task, objective, steps=30, seed=seed, **FAST)
        assert torch.equal(torch.random.get_rng_state(), state)
        runs.append(weights(model))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("objective", [CrossEntropy(), ReMax(num_samples=4)])
def test_a_resumed_run_equals_an_uninterrupted_one(task, objective, tmp_path):
    """Bit for bit, best weights and history included, dropout on."""
    whole = policy_for(task, dropout=0.3)
    expected = fit(whole, task, objective, steps=40, **FAST)
    halves = policy_for(task, dropout=0.3)
    file = tmp_path / "run.safetensors"
    fit(halves, task, objective, steps=20, checkpoint=file, **FAST)
    fresh = policy_for(task, dropout=0.3, seed=5)  # its weights must not matter
    history = fit(fresh, task, objective, steps=40, checkpoint=file, **FAST)
    assert torch.equal(weights(fresh), weights(whole))
    pd.testing.assert_frame_equal(
        history.drop(columns="seconds"), expected.drop(columns="seconds")
    )
    assert history.attrs == expected.attrs


@dataclass
class Interrupted:
    """Cross-entropy that is stopped by hand after ``batches``."""

    batches: int = 25

    def losses(self, model, x, z, generator):
        if self.batches == 0:
            raise KeyboardInterrupt
        self.batches -= 1
        yield from CrossEntropy().losses(model, x, z, generator)


def test_ctrl_c_loses_only_the_steps_since_the_last_validation(task, tmp_path):
    file = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(policy_for(task), task, Interrupted(), steps=40, checkpoint=file, **FAST)
    assert load_checkpoint(file).training["step"] == 20


def test_a_finished_run_is_not_trained_again(task, tmp_path):
    file = tmp_path / "run.safetensors"
    first = policy_for(task)
    fit(first, task, CrossEntropy(), steps=20, checkpoint=file, **FAST)
    again = policy_for(task, seed=3)
    fit(again, task, CrossEntropy(), steps=20, checkpoint=file, **FAST)
    assert torch.equal(weights(again), weights(first))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 1e-3}, "learning_rate"),
        ({"seed": 1}, "seed"),
        ({"objective": ReMax()}, "objective"),
    ],
)
def test_another_runs_checkpoint_is_refused(task, tmp_path, change, named):
    file = tmp_path / "run.safetensors"
    fit(policy_for(task), task, CrossEntropy(), steps=1, checkpoint=file, **FAST)
    arguments = {"objective": CrossEntropy(), **FAST} | change
    with pytest.raises(CheckpointError, match=f"differs in {named}"):
        fit(policy_for(task), task, steps=1, checkpoint=file, **arguments)


def test_another_models_checkpoint_is_refused(task, tmp_path):
    file = tmp_path / "run.safetensors"
    fit(policy_for(task), task, CrossEntropy(), steps=1, checkpoint=file, **FAST)
    other = policy_for(task, num_digits=3)
    with pytest.raises(CheckpointError, match="differs in model"):
        fit(other, task, CrossEntropy(), steps=1, checkpoint=file, **FAST)


def test_epochs_visit_every_row_once_in_a_new_order():
    stream = batches(num_rows=12, batch_size=4, seed=0, start=0)
    first, second = (torch.cat([next(stream) for _ in range(3)]) for _ in "ab")
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(12))
    assert first.tolist() != second.tolist()


def test_batches_can_start_anywhere():
    whole = batches(10, 4, seed=0, start=0)
    expected = [next(whole).tolist() for _ in range(7)]
    late = batches(10, 4, seed=0, start=5)
    assert [next(late).tolist() for _ in range(2)] == expected[5:]


def test_fewer_rows_than_a_batch_make_one_batch():
    assert len(next(batches(3, 128, seed=0, start=0))) == 3


def test_training_targets_outside_the_range_clip_and_are_counted(task):
    policy = policy_for(task)
    policy.tokenizer = NormalizedTokenizer(2, 4, low=-1.0, high=1.0)
    outside = int((task.train.z.abs() > 1).sum())
    with pytest.warns(UserWarning, match=f"{outside} training targets lie outside"):
        history = fit(policy, task, CrossEntropy(), steps=1, **FAST)
    assert history.attrs["clipped_targets"] == outside > 0


def test_a_test_target_ten_times_outside_the_range_is_scored_not_refused(task):
    policy = policy_for(task)
    far = Split(task.test.x, task.test.z * 10)
    assert evaluate(policy, far)["rmse_mean"] > evaluate(policy, task.test)["rmse_mean"]


@dataclass
class Exploding:
    """A loss that overflows."""

    def losses(self, model, x, z, generator):
        yield model.log_prob(x, model.greedy(x)).mean() * float("inf"), {}


def test_a_loss_that_is_not_finite_stops_before_it_reaches_the_weights(task):
    policy = policy_for(task)
    before = weights(policy)
    with pytest.raises(FloatingPointError, match=r"step 0: .* lower learning_rate"):
        fit(policy, task, Exploding(), steps=1, **FAST)
    assert torch.equal(weights(policy), before)


@pytest.mark.parametrize(
    "name", ["steps", "batch_size", "validate_every", "num_samples"]
)
def test_counts_must_be_positive(task, name):
    with pytest.raises(ValueError, match=f"{name}=0"):
        fit(policy_for(task), task, CrossEntropy(), **{name: 0})


def test_an_unknown_metric_is_named_with_the_known_ones(task):
    with pytest.raises(ValueError, match=r"metric='rsme' must be one of .*rmse_mean"):
        fit(policy_for(task), task, CrossEntropy(), steps=1, metric="rsme")


def test_a_metric_that_one_validation_row_cannot_give_is_refused():
    lonely = make_task(5)
    with pytest.raises(ValueError, match=r"'r2_mean' is undefined on 1 .* rmse_mean"):
        fit(policy_for(lonely), lonely, CrossEntropy(), steps=1, metric="r2_mean")


def test_evaluation_is_reproducible_and_independent_of_chunks(task, monkeypatch):
    policy = policy_for(task)
    scores = evaluate(policy, task.test, num_samples=16)
    assert evaluate(policy, task.test, num_samples=16) == scores
    assert scores.keys() >= {
        "r2_k1",
        "rmse_mean",
        "mae_median",
        "spearman_mean",
        "crps",
    }
    monkeypatch.setattr("genre2_mini.evaluation.STRINGS_AT_ONCE", 64)
    chunked = evaluate(policy, task.test, num_samples=16)
    assert chunked["rmse_mean"] == pytest.approx(scores["rmse_mean"], abs=0.2)


def test_a_point_prediction_scores_the_same_at_k1_and_in_the_mean(task):
    scores = evaluate(pointwise_for(task), task.test)
    assert scores["rmse_k1"] == pytest.approx(scores["rmse_mean"])
    assert scores["crps"] == pytest.approx(scores["mae_mean"])


def test_one_validation_row_is_enough(task):
    lonely = replace(make_task(5), name="five rows")
    history = fit(policy_for(lonely), lonely, CrossEntropy(), steps=2, **FAST)
    assert history["valid_rmse_mean"].notna().all()
