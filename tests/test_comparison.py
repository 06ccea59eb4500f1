"""The comparison: rivals are tuned fairly, methods start alike, tables are complete."""

import json
from dataclasses import replace
from multiprocessing import active_children

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_task
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import ParameterGrid
from typer.testing import CliRunner

from genre2_mini import stages
from genre2_mini.cli import app
from genre2_mini.evaluation import evaluate
from genre2_mini.experiments import comparison, load_results, processes
from genre2_mini.experiments.comparison import (
    LABELS,
    SCORES,
    TASKS,
    compare,
    differences,
    report,
    run,
)
from genre2_mini.experiments.resampling import bootstrap_interval
from genre2_mini.experiments.rivals import RIVALS, rival_scores, tuned_rival
from genre2_mini.methods import METHODS, build_model
from genre2_mini.stages import train
from genre2_mini.tasks import Split, load_task
from genre2_mini.tokenizers import NormalizedTokenizer

SMALL = {"max_rows": 60, "ce_steps": 3, "rl_steps": 2}
COLUMNS = ["task", "seed", "method", *SCORES, "seconds"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """As in the processes of a comparison."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def rows():
    """A small run of everything."""
    return run("concrete", seed=0, **SMALL)


# Rivals


def noise(num_rows=60):
    """A split whose z has nothing to do with x."""
    generator = torch.Generator().manual_seed(num_rows)
    x = torch.randn(num_rows, 3, generator=generator)
    return Split(x, torch.randn(num_rows, generator=generator).double())


def rmse(model, split):
    return np.sqrt(((model.predict(split.x.numpy()) - split.z.numpy()) ** 2).mean())


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_is_the_best_of_its_grid_on_the_validation_rows(name):
    """On noise: the best on the training rows is another one."""
    task = replace(make_task(), train=noise(90), valid=noise(60))
    regressor, grid = RIVALS[name]
    x, z = task.train.x.numpy(), task.train.z.numpy()
    fits = [(regressor(random_state=1, **p).fit(x, z), p) for p in ParameterGrid(grid)]
    best = min(fits, key=lambda fit: rmse(fit[0], task.valid))
    model, params = tuned_rival(name, task, seed=1)
    assert params == best[1]
    assert params != min(fits, key=lambda fit: rmse(fit[0], task.train))[1]
    np.testing.assert_array_equal(model.predict(x), best[0].predict(x))


def test_test_rows_choose_nothing(task):
    """With other test rows the choice and the model are the same."""
    x = task.valid.x.numpy()
    model, params = tuned_rival("Boosting", task)
    other, chosen = tuned_rival("Boosting", replace(task, test=noise()))
    assert chosen == params
    np.testing.assert_array_equal(other.predict(x), model.predict(x))


def test_a_rivals_scores_are_those_of_one_number_a_row(task):
    model, _ = tuned_rival("Random forest", task)
    scores = rival_scores(model, task.test)
    z, prediction = task.test.z.numpy(), model.predict(task.test.x.numpy())
    for name in ("r2_k1", "r2_mean", "r2_median"):
        assert scores[name] == pytest.approx(r2_score(z, prediction))
    assert scores["crps"] == pytest.approx(mean_absolute_error(z, prediction))


def test_an_unknown_rival_is_named_with_those_there_are(task):
    with pytest.raises(
        ValueError, match=r"'SVM'; known: \['Boosting', 'Random forest'\]"
    ):
        tuned_rival("SVM", task)


# One run


def test_a_run_has_one_row_a_method_and_every_score(rows):
    assert rows.columns.tolist() == COLUMNS
    assert rows["method"].tolist() == LABELS
    assert set(rows["task"]) == {"concrete"}
    assert set(rows["seed"]) == {0}
    assert rows.notna().all(axis=None)


def test_one_number_a_row_scores_the_same_however_it_is_read(rows):
    by_method = rows.set_index("method")
    for method in ("Pointwise", *RIVALS):
        scores = by_method.loc[method]
        for name in ("r2_mean", "r2_median", "r2_exact"):
            assert scores[name] == pytest.approx(scores["r2_k1"])


def test_seconds_hold_the_cross_entropy_that_a_method_starts_from(monkeypatch, task):
    def two_seconds(*args, **kwargs):
        return pd.DataFrame({"seconds": [1.0, 2.0]})

    monkeypatch.setattr(comparison, "train", two_seconds)
    seconds = {m: s for m, s, _ in comparison.train_networks(task, 0, 3, 2)}
    once = {"CE", "Pointwise", "Histogram"}
    assert seconds == {m: 2.0 if m in once else 4.0 for m in LABELS if m not in RIVALS}


def test_one_cross_entropy_policy_serves_all_that_fine_tune(monkeypatch, task):
    """Trained once and copied; CE and the heads get as many steps in one go."""
    calls = []

    def note(model, task, method, *, ce_steps, rl_steps, **options):
        weights = torch.cat([w.flatten().clone() for w in model.parameters()])
        calls.append((method.label, ce_steps, rl_steps, weights))
        return train(
            model, task, method, ce_steps=ce_steps, rl_steps=rl_steps, **options
        )

    monkeypatch.setattr(comparison, "train", note)
    list(comparison.train_networks(task, 0, 5, 2))
    (first, *others), fine_tuned = calls, {}
    assert first[:3] == ("CE", 5, 0)
    assert [call[0] for call in others] == [m for m in LABELS if m not in RIVALS]
    for label, ce_steps, rl_steps, weights in others:
        if label in ("CE", "Pointwise", "Histogram"):
            assert (ce_steps, rl_steps) == (5, 2)
        else:
            assert (ce_steps, rl_steps) == (0, 2)
            fine_tuned[label] = weights
    shared, *copies = fine_tuned.values()
    assert len(copies) == 5
    assert all(torch.equal(weights, shared) for weights in copies)
    assert not torch.equal(shared, first[3])  # it has been trained


def test_a_shared_start_gives_what_training_in_one_go_gives(rows):
    task, method = load_task("concrete", max_rows=60, seed=0), METHODS["genre2"]
    policy = build_model(method, task, seed=0)
    steps = {"ce_steps": 3, "rl_steps": 2}
    history = train(policy, task, method, seed=0, progress=False, **steps)
    assert history["stage"].unique().tolist() == ["CE", "GenRe²"]
    genre2 = rows.set_index("method").loc["GenRe²"]
    expected = evaluate(policy, task.test)
    for name in set(SCORES) - {"r2_exact"}:
        assert genre2[name] == expected[name]
    exact = evaluate(policy, task.test, num_samples=None)
    assert genre2["r2_exact"] == exact["r2_mean"]


def test_without_cross_entropy_steps_a_policy_is_tuned_as_it_is(task):
    policy = build_model(METHODS["remax"], task)
    steps = {"ce_steps": 0, "rl_steps": 2}
    history = train(policy, task, METHODS["remax"], progress=False, **steps)
    assert history["stage"].unique().tolist() == ["ReMax"]
    with pytest.raises(ValueError, match="steps=-1 must be at least 1"):
        train(policy, task, METHODS["remax"], ce_steps=-1, progress=False)


def test_each_stage_has_its_own_rate(task, monkeypatch):
    seen = []

    def recorded(model, task, objective, learning_rate, **options):
        seen.append((type(objective).__name__, learning_rate))
        return fit(model, task, objective, learning_rate=learning_rate, **options)

    fit = stages.fit
    monkeypatch.setattr(stages, "fit", recorded)
    sizes = {"ce_steps": 1, "rl_steps": 1, "progress": False}
    rates = {"learning_rate": 1e-3, "rl_learning_rate": 1e-4}
    for name in ("remax", "pointwise"):
        model = build_model(METHODS[name], task)
        train(model, task, METHODS[name], **sizes, **rates)
    start, *others = seen
    assert start == ("CrossEntropy", 1e-3)
    assert others == [("ReMax", 1e-4), ("SquaredError", 1e-3)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rl_steps": 0}, "rl_steps=0 must be at least 1"),
        ({"rl_learning_rate": -1e-4}, "rl_learning_rate=-0.0001 must be at least 0"),
        ({"rl_learning_rate": float("nan")}, "rl_learning_rate=nan must be"),
        ({"learning_rate": float("inf")}, "learning_rate=inf must be"),
    ],
)
def test_a_wrong_setting_of_either_stage_is_refused_before_any_training(
    task, wrong, message
):
    policy = build_model(METHODS["remax"], task)
    before = [w.clone() for w in policy.parameters()]
    sizes = {"ce_steps": 1, "rl_steps": 1, "progress": False}
    with pytest.raises(ValueError, match=message):
        train(policy, task, METHODS["remax"], **sizes | wrong)
    after = policy.parameters()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


# Many runs


def test_models_of_one_tokenizer_keep_the_range_of_their_own_task(task):
    given = NormalizedTokenizer(base=2, num_digits=3)
    wider = replace(task, train=Split(task.train.x, 2 * task.train.z))
    first, second = (build_model(METHODS["ce"], t, given) for t in (task, wider))
    assert first.tokenizer.high == pytest.approx(task.train.z.max().item())
    assert second.tokenizer.high == pytest.approx(2 * first.tokenizer.high)
    assert given.config == NormalizedTokenizer(base=2, num_digits=3).config


def test_a_process_gives_what_this_one_gives(rows):
    found = compare(["concrete"], seeds=1, jobs=1, **SMALL)
    pd.testing.assert_frame_equal(
        found.drop(columns="seconds"), rows.drop(columns="seconds")
    )


def test_an_unknown_task_is_refused_before_anything_is_trained(monkeypatch):
    monkeypatch.setattr(comparison, "in_processes", None)
    with pytest.raises(ValueError, match=r"unknown task 'concret'\. Did you mean"):
        compare(["abalone", "concret"])


@pytest.fixture
def others():
    """Processes that were there before, such as those of joblib in another test."""
    return set(active_children())


def test_a_run_that_fails_is_named_and_ends_the_others(others):
    with pytest.raises(RuntimeError, match=r"^concrete, seed 0: max_rows must be"):
        compare(["concrete"], seeds=2, jobs=1, max_rows=3)
    assert set(active_children()) <= others


def test_ctrl_c_ends_every_process(monkeypatch, others):
    def interrupted(*args, **kwargs):
        assert set(active_children()) - others
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(processes, "tqdm", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare(["concrete"], seeds=2, ce_steps=10**6)
    assert set(active_children()) <= others


# Differences and tables


def made_up(gains):
    """Two tasks × two seeds; a method's R² is CE's plus its gain."""
    ce = {("a", 0): 0.5, ("a", 1): 0.7, ("b", 0): 0.1, ("b", 1): 0.3}
    return pd.DataFrame(
        {"task": task, "seed": seed, "method": method}
        | {name: r2 + gain for name in comparison.SHOWN}
        for (task, seed), r2 in ce.items()
        for method, gain in ({"CE": 0.0} | gains).items()
    )


def test_differences_are_taken_within_task_and_seed():
    """CE varies by 0.6 between runs, a gain of 0.1 in each of them by nothing."""
    found = differences(made_up({"ReMax": 0.1, "PPO": -0.2}))
    assert found["metric"].tolist() == ["r2_k1"] * 2 + ["r2_mean"] * 2
    assert found["method"].tolist() == ["ReMax", "PPO"] * 2
    for name in ("mean", "low", "high"):
        assert found[name].to_numpy() == pytest.approx([0.1, -0.2] * 2)


def test_the_interval_is_over_the_pairs_of_all_tasks_together():
    """Two tasks, two seeds: four differences, drawn as one sample."""
    rows = made_up({"ReMax": 0.0})
    gains = np.array([0.1, 0.2, -0.3, 0.4])
    rows.loc[rows["method"] == "ReMax", "r2_k1"] += gains
    [found] = differences(rows, ["r2_k1"]).to_dict("records")
    assert found["mean"] == pytest.approx(0.1)
    expected = bootstrap_interval(gains)
    assert (found["low"], found["high"]) == pytest.approx(expected)


def test_a_single_run_has_differences_and_no_interval(rows):
    found = differences(rows)
    assert found["mean"].notna().all()
    assert found[["low", "high"]].isna().all(axis=None)
    _, gaps = report(rows).split("\n\n")
    assert gaps.startswith("Difference to CE: one run\n")
    assert "[" not in gaps and "nan" not in gaps


def test_the_table_shows_every_task_method_and_difference(rows):
    text = report(rows)
    means, gaps = text.split("\n\n")
    for method in LABELS:
        assert method in means
    shown = [line.split("  ")[0] for line in gaps.splitlines()[3:]]
    assert shown == [method for method in LABELS if method != "CE"]
    for heading in comparison.SHOWN.values():
        assert heading in means


def test_the_table_is_of_means_over_seeds():
    means, gaps = report(made_up({"ReMax": 0.1})).split("\n\n")
    lines = [line.split() for line in means.splitlines()[3:]]
    assert lines[0] == ["a", "CE", *["0.600"] * 5, "0.6"]
    assert lines[1] == ["ReMax", *["0.700"] * 5, "0.7"]
    assert lines[2] == ["b", "CE", *["0.200"] * 5, "0.2"]
    assert lines[3] == ["ReMax", *["0.300"] * 5, "0.3"]
    assert "mean of 4 runs" in gaps
    assert gaps.count("+0.100 [+0.100, +0.100]") == 2


# The command


@pytest.fixture
def asked(monkeypatch):
    """What the command asks for; nothing is trained."""
    calls = []

    def note(tasks, seeds, jobs, **settings):
        calls.append((tuple(tasks), seeds, jobs, settings))
        return made_up({"ReMax": 0.1})

    monkeypatch.setattr(comparison, "compare", note)
    return calls


def invoke(*arguments):
    return CliRunner().invoke(app, ["reproduce", "comparison", *arguments])


def test_the_command_runs_the_recorded_comparison_by_default(asked):
    shown = invoke()
    assert asked == [
        (TASKS, 3, 2, {"max_rows": 4000, "ce_steps": 500, "rl_steps": 200})
    ]
    assert shown.stdout == report(made_up({"ReMax": 0.1})) + "\n"


def test_options_reach_the_comparison(asked, tmp_path):
    sizes = "--seeds 1 --jobs 3 --max-rows 90 --ce-steps 4 --rl-steps 5"
    path = tmp_path / "runs.csv"
    shown = invoke("--task", "mv", "--task", "co2", *sizes.split(), "--out", str(path))
    assert shown.exit_code == 0, shown.output
    assert asked == [
        (("mv", "co2"), 1, 3, {"max_rows": 90, "ce_steps": 4, "rl_steps": 5})
    ]
    assert len(pd.read_csv(path)) == 8


def test_json_holds_runs_and_differences(asked):
    printed = json.loads(invoke("--json").stdout)
    assert [len(printed[name]) for name in ("runs", "differences")] == [8, 2]
    assert printed["runs"][0]["method"] == "CE"
    assert printed["differences"][0]["mean"] == pytest.approx(0.1)


def test_json_of_a_single_run_says_null_for_the_interval(monkeypatch, rows):
    monkeypatch.setattr(comparison, "compare", lambda *args, **settings: rows)
    for row in json.loads(invoke("--json").stdout)["differences"]:
        assert row["low"] is row["high"] is None


def test_a_missing_folder_is_noticed_before_anything_is_trained(asked, tmp_path):
    refused = invoke("--out", str(tmp_path / "missing" / "runs.csv"))
    assert isinstance(refused.exception, FileNotFoundError)
    assert asked == []


def test_the_record_has_every_run_once():
    recorded = load_results("comparison")
    runs = recorded.set_index(["task", "seed", "method"]).index
    expected = pd.MultiIndex.from_product([TASKS, range(3), LABELS], names=runs.names)
    assert recorded.columns.tolist() == COLUMNS
    assert runs.is_unique
    assert set(runs) == set(expected)
    assert recorded.notna().all(axis=None)
