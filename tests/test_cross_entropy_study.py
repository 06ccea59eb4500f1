"""The study of chapter 3: exact distributions, honest coverage, and its record."""

import pytest
import torch

from genre2_mini.evaluation import predict_distribution
from genre2_mini.experiments import cross_entropy as study
from genre2_mini.experiments import load_results
from genre2_mini.experiments.calibration import (
    coverage,
    exact_distribution,
    point_answers,
    probability_below,
)
from genre2_mini.methods import METHODS, build_model
from genre2_mini.metrics import weighted_mean
from genre2_mini.rollouts import enumerate_strings
from genre2_mini.stages import train
from genre2_mini.tasks import load_task


@pytest.fixture(scope="module")
def task():
    return load_task("concrete", max_rows=150, seed=0)


@pytest.fixture(scope="module")
def policy(task):
    return build_model(METHODS["ce"], task, seed=0).eval()


def test_the_exact_distribution_is_the_policys(task, policy):
    x = task.test.x[:4]
    values, weights = exact_distribution(policy, x)
    with torch.no_grad():
        tokens, log_prob = enumerate_strings(policy, x)
    torch.testing.assert_close(weights, log_prob.double().exp(), rtol=1e-4, atol=0)
    assert torch.equal(values, policy.tokenizer.decode(tokens).expand(4, -1))


def test_a_tempered_distribution_draws_every_token_at_that_temperature(task, policy):
    x, temperature = task.test.x[:2], 0.5
    _, weights = exact_distribution(policy, x, temperature)
    tokens, _ = enumerate_strings(policy, x)
    with torch.no_grad():
        logits = policy.logits(x, tokens.expand(2, -1, -1)) / temperature
    chosen = logits.log_softmax(-1).gather(-1, tokens.expand(2, -1, -1)[..., None])
    by_hand = chosen.squeeze(-1).sum(-1).double().exp()
    torch.testing.assert_close(weights, by_hand, rtol=1e-4, atol=0)
    torch.testing.assert_close(weights.sum(1), torch.ones(2).double())


def test_mean_median_and_mode_of_a_lopsided_distribution():
    values = torch.tensor([[0.0, 1.0, 2.0, 10.0]]).double()
    weights = torch.tensor([[0.4, 0.25, 0.2, 0.15]]).double()
    answers = {name: a.item() for name, a in point_answers(values, weights).items()}
    assert answers == pytest.approx({"mean": 2.15, "median": 1.0, "mode": 0.0})


def test_the_probability_below_fills_each_cell_evenly():
    values = torch.tensor([[0.0, 1.0, 2.0]]).double().expand(5, -1)
    weights = torch.tensor([[0.2, 0.5, 0.3]]).double().expand(5, -1)
    z = torch.tensor([-0.5, 0.0, 0.5, 1.25, 9.0]).double()
    below = probability_below(values, weights, z, width=1.0)
    want = torch.tensor([0.0, 0.1, 0.2, 0.575, 1.0]).double()
    torch.testing.assert_close(below, want)


@pytest.mark.parametrize("level", [0.3, 0.5, 0.9])
def test_an_honest_distribution_of_few_heavy_cells_keeps_its_promise(level):
    generator = torch.Generator().manual_seed(0)
    mass = torch.tensor([0.1, 0.2, 0.4, 0.2, 0.1]).double()
    drawn = torch.multinomial(mass, 50_000, True, generator=generator)
    z = 10.0 * drawn + torch.rand(50_000, generator=generator).double() - 0.5
    values = 10 * torch.arange(5.0).double()[None]
    below = probability_below(values, mass[None], z, width=1.0)
    assert coverage(below, level) == pytest.approx(level, abs=0.01)  # 4 std. errors


def test_a_run_is_the_one_that_fit_makes(task):
    """Looking at the validation loss in between changes nothing."""
    chosen, _, _ = study.train_policy(task, seed=0, steps=3)
    other = build_model(METHODS["ce"], task, seed=0)
    options = {"seed": 0, "metric": "rmse_mean", "progress": False}
    train(other, task, METHODS["ce"], ce_steps=3, rl_steps=0, **options)
    for name, weight in chosen.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], weight)


def test_the_study_scores_every_model_on_the_same_rows():
    rows = study.run("concrete", seed=3, max_rows=150, steps=3)
    one = rows[rows["temperature"] == 1]
    assert list(one["method"]) == list(study.LABELS)
    assert sorted(rows[rows["method"] == "CE"]["temperature"]) == sorted(
        study.TEMPERATURES
    )
    by_method = one.set_index("method")
    policies = by_method.index.str.startswith("CE")
    measured = by_method[["nll", "r2_mean_128"]].notna()
    assert (measured.all(axis=1) == policies).all()
    assert rows.drop(columns=["nll", "r2_mean_128"]).notna().all(axis=None)
    for name in ("mean", "median", "mode"):  # a point has but one answer
        assert by_method.loc["Pointwise", f"rmse_{name}"] == pytest.approx(
            by_method.loc["Pointwise", "rmse_k1"]
        )


def test_residuals_shift_the_mean_by_their_own(task):
    head = build_model(METHODS["pointwise"], task, seed=0)
    points, _ = predict_distribution(head, task.test.x)
    values, weights = study.spread(points, torch.tensor([-1.0, 0.0, 4.0]).double())
    torch.testing.assert_close(weighted_mean(values, weights), points[:, 0] + 1)


def test_the_record_has_every_run_once_and_no_gap():
    rows = load_results("cross_entropy")
    runs = rows.set_index(["task", "seed", "method", "temperature"]).index
    models = [("CE", t) for t in study.TEMPERATURES]
    models += [(label, 1.0) for label in study.LABELS[1:]]
    expected = {
        (task, seed, *model)
        for task in study.TASKS
        for seed in range(5)
        for model in models
    }
    assert runs.is_unique
    assert set(runs) == expected
    gaps = rows.isna().any()
    assert set(gaps[gaps].index) == {"nll", "r2_mean_128"}
    policies = rows["method"].str.startswith("CE") & (rows["temperature"] == 1)
    assert rows.loc[policies, ["nll", "r2_mean_128"]].notna().all(axis=None)
