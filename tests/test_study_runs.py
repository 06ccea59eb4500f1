"""A study's runs: named by their settings, kept one by one, resumed, never mixed up."""

import json
import math
from concurrent.futures import Future
from dataclasses import fields, replace

import pandas as pd
import pytest
import torch
from safetensors.torch import load, save
from sklearn.metrics import mean_absolute_error, r2_score

from genre2_mini.experiments import engine, studies
from genre2_mini.experiments.budgets import BUDGETS, MAIN_RATES, SMALLER, Budget
from genre2_mini.experiments.engine import run_grids
from genre2_mini.experiments.named_rewards import named_reward
from genre2_mini.experiments.rivals import RIVALS, tuned_rival
from genre2_mini.experiments.run_folder import RunFolder
from genre2_mini.experiments.specs import RunSpec
from genre2_mini.experiments.studies import STUDIES, prepare_study
from genre2_mini.experiments.study import AGGREGATORS, Arm, Study, picked, seconds
from genre2_mini.experiments.study_report import study_report
from genre2_mini.experiments.tabular import METHODS, tabular
from genre2_mini.experiments.trial import SELECTION, selections, task_of, trial

TINY = RunSpec("concrete", "ce", max_rows=60, steps=2, validate_every=1)
OTHER = {  # another value for every field
    "task": "mv",
    "method": "remax",
    "max_rows": 61,
    "steps": 3,
    "validate_every": 2,
    "learning_rate": 1e-3,
    "batch_size": 7,
    "seed": 1,
    "train_rows": 20,
    "start": "0" * 20,
    "keep_weights": True,
    "tokenizer": {"type": "ScientificTokenizer"},
    "model": {"d_model": 8},
    "objective": {"num_samples": 2},
    "device": "cuda",
    "member": 1,
    "detail": True,
}


class Here:
    """An executor that runs at once, in this process."""

    def __init__(self):
        self.asked = []

    def submit(self, function, spec, start):
        self.asked.append(spec)
        future = Future()
        try:
            future.set_result(function(spec, start))
        except Exception as error:
            future.set_exception(error)
        return future


def made_up(valid=1.0, test=0.5):
    """A record as a trial would make it."""
    names = [f"{n}_{e}" for n in ("r2", "rmse", "mae", "spearman") for e in ["k1"]]
    names += [
        f"{n}_{e}"
        for n in ("r2", "rmse", "mae", "spearman")
        for e in ("mean", "median")
    ]
    exact = dict.fromkeys([*names, "crps", "bias2", "spread", "outliers"], test)
    one = {"valid": valid, "step": 1, "exact": exact, "drawn": exact}
    return {"chosen": dict.fromkeys(SELECTION, one), "history": [], "seconds": 2.0}


@pytest.fixture
def faked(monkeypatch):
    """Trials that cost nothing: validation error 1 for a rate of 1e-3, else 2."""

    def fake(spec, start):
        record = made_up(valid=1.0 if spec.learning_rate == 1e-3 else 2.0)
        weights = save({"w": torch.zeros(1)}) if spec.keep_weights else None
        return record, weights

    monkeypatch.setattr(engine, "trial", fake)


# Names


def test_equal_settings_are_the_same_run():
    assert TINY.key == RunSpec(**{**TINY.settings}).key


@pytest.mark.parametrize("name", [field.name for field in fields(RunSpec)])
def test_every_setting_makes_another_run(name):
    assert TINY.but(**{name: OTHER[name]}).key != TINY.key


def test_what_is_unset_is_no_part_of_the_name():
    """So a kind of setting that comes later renames no finished run."""
    assert set(TINY.settings) == {
        *("task", "method", "max_rows", "steps", "validate_every", "learning_rate"),
        *("batch_size", "seed", "device"),
    }


# Trials


@pytest.fixture(scope="module")
def finished():
    record, _ = trial(TINY)
    return record


@pytest.fixture(scope="module")
def start():
    return trial(TINY.but(keep_weights=True))


def timeless(record):
    """Without what another run of the same would change."""
    rows = [
        {k: v for k, v in row.items() if k != "seconds"} for row in record["history"]
    ]
    rest = {k: v for k, v in record.items() if k not in ("seconds", "peak_mb")}
    return rest | {"history": rows}


def test_a_trial_depends_on_its_spec_alone(finished, start):
    torch.manual_seed(99)
    again, _ = trial(TINY)
    assert timeless(again) == timeless(finished)
    again, weights = trial(TINY.but(keep_weights=True))
    assert timeless(again) == timeless(start[0])
    assert weights == start[1]


def test_a_run_that_others_start_from_leaves_its_test_rows_unread(finished, start):
    for metric, chosen in start[0]["chosen"].items():
        assert set(chosen) == {"valid", "step"}
        assert finished["chosen"][metric].items() > chosen.items()


def test_a_trial_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    trial(TINY.but(steps=1))
    assert torch.equal(torch.get_rng_state(), before)


def test_each_selection_takes_its_lowest_validation_error(finished):
    for metric, chosen in finished["chosen"].items():
        errors = [row[f"valid_{metric}"] for row in finished["history"]]
        assert chosen["valid"] == min(errors)
        assert chosen["step"] == errors.index(min(errors))


def test_a_later_stage_starts_where_the_first_one_was_best(start):
    record, weights = start
    later, none = trial(TINY.but(method="remax", start="x", steps=1), weights)
    assert none is None
    best = record["chosen"]["rmse_mean"]["valid"]
    assert later["history"][0]["valid_rmse_mean"] == best


def test_squared_error_is_bias_and_spread(finished):
    exact = finished["chosen"]["rmse_k1"]["exact"]
    assert exact["bias2"] == pytest.approx(exact["rmse_mean"] ** 2)
    assert exact["bias2"] + exact["spread"] == pytest.approx(exact["rmse_k1"] ** 2)


def test_cross_entropy_has_its_controls(finished):
    chosen = finished["chosen"]["rmse_k1"]
    cooled = chosen["cooled"]["rmse_k1"]
    assert set(chosen["greedy"]) == {"r2", "rmse", "mae", "spearman"}
    # Among its temperatures is 1, where it is the policy as it was chosen.
    assert cooled["valid"] <= chosen["valid"] * 1.05
    assert cooled["spread"] <= chosen["exact"]["spread"] + 1e-9


def test_fewer_training_rows_leave_the_test_rows_as_they_are():
    few, _ = trial(TINY.but(train_rows=8))
    assert (
        few["chosen"]["rmse_k1"]["exact"]
        != trial(TINY)[0]["chosen"]["rmse_k1"]["exact"]
    )


@pytest.mark.parametrize("name", RIVALS)
def test_trees_are_one_value_under_every_aggregator(name):
    spec = TINY.but(method=name, steps=0)
    record, _ = trial(spec)
    scores = record["chosen"]["rmse_k1"]["exact"]
    for metric in ("rmse_mean", "rmse_median"):
        assert scores[metric] == pytest.approx(scores["rmse_k1"])
    task = task_of(spec)
    model, params = tuned_rival(name, task, seed=spec.seed)
    z, answer = task.test.z.numpy(), model.predict(task.test.x.numpy())
    assert record["params"] == params
    assert scores["r2_mean"] == pytest.approx(r2_score(z, answer))
    assert scores["crps"] == pytest.approx(mean_absolute_error(z, answer))


def test_a_run_that_diverges_is_a_result():
    spec = TINY.but(method="pointwise", learning_rate=1e30, steps=5)
    record, _ = trial(spec)
    assert "lower learning_rate" in record["failed"]


def test_strings_of_another_tokenizer():
    tokenizer = {"type": "NormalizedTokenizer", "base": 10, "num_digits": 2}
    record, _ = trial(TINY.but(tokenizer=tokenizer))
    assert set(record["chosen"]) == set(SELECTION)


SCIENTIFIC = TINY.but(steps=1, tokenizer={"type": "ScientificTokenizer"})


def test_strings_without_bounds_are_also_scored_clipped_to_the_training_range():
    record, _ = trial(SCIENTIFIC)
    for kind in ("exact", "drawn"):
        scores = record["chosen"]["rmse_mean"][kind]
        for ending in ("k1", "mean", "median"):
            assert scores[f"rmse_clipped_{ending}"] < 10
            assert scores[f"r2_clipped_{ending}"] >= scores[f"r2_{ending}"]
        assert scores["rmse_mean"] > 1000  # exponents up to 10, hardly trained


def test_strings_with_a_range_have_nothing_to_clip(finished):
    chosen = finished["chosen"]["rmse_k1"]
    assert not [name for name in chosen["exact"] if "clipped" in name]


def test_clipped_scores_stand_beside_the_others_where_there_are_any():
    scores = {"r2_k1": 0.5, "r2_clipped_k1": 0.7, "spearman_k1": 0.0}
    assert picked(scores, scores, "k1")["r2_clipped"] == 0.7
    assert "r2_clipped" not in picked({}, {"spearman_k1": 0.0}, "k1")


# The folder


def test_a_record_comes_back_with_its_settings_and_versions(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.record(TINY) is None
    saved = folder.save(TINY, made_up(), None)
    assert folder.record(TINY) == json.loads(json.dumps(saved))
    assert saved["settings"] == TINY.settings
    assert saved["versions"]["torch"] == torch.__version__


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"settings": {"task": "mv"}}'])
def test_a_damaged_record_is_named_and_done_again(tmp_path, damage):
    folder = RunFolder(tmp_path)
    folder.save(TINY, made_up(), None)
    folder.record_path(TINY).write_text(damage)
    with pytest.warns(UserWarning, match=TINY.key):
        assert folder.record(TINY) is None


@pytest.mark.parametrize("damage", [b"", b"\x08" + b"\0" * 20, None])
def test_a_run_without_its_weights_is_done_again(tmp_path, damage):
    folder, spec = RunFolder(tmp_path), TINY.but(keep_weights=True)
    folder.save(spec, made_up(), save({"w": torch.ones(3)}))
    assert torch.equal(load(folder.weights(spec.key))["w"], torch.ones(3))
    path = tmp_path / "weights" / f"{spec.key}.safetensors"
    path.unlink() if damage is None else path.write_bytes(damage)
    assert folder.record(spec) is None


# Grids


def two_levels(rates=(3e-4, 1e-3)):
    choices = [{"learning_rate": rate} for rate in rates]
    start = Arm(
        {"task": "concrete", "method": "checkpoint"},
        TINY.but(keep_weights=True),
        choices,
        shown=False,
    )
    remax = Arm(
        {"task": "concrete", "method": "remax"},
        TINY.but(method="remax"),
        choices,
        start,
    )
    return Study([start, remax], seeds=range(3))


def test_the_first_seed_chooses_and_the_others_follow(tmp_path, faked):
    study, here = two_levels(), Here()
    run_grids(study.grids(), RunFolder(tmp_path), here, 1)
    rates = {}
    for spec in here.asked:
        rates.setdefault((spec.method, spec.seed), []).append(spec.learning_rate)
    for method in ("ce", "remax"):
        assert rates[method, 0] == [3e-4, 1e-3]
        assert rates[method, 1] == rates[method, 2] == [1e-3]


def test_an_arm_starts_from_the_chosen_run_of_its_own_seed(tmp_path, faked):
    study, here = two_levels(), Here()
    run_grids(study.grids(), RunFolder(tmp_path), here, 1)
    ce = {spec.key: spec for spec in here.asked if spec.method == "ce"}
    for spec in here.asked:
        if spec.method == "remax":
            start = ce[spec.start]
            assert (start.seed, start.learning_rate) == (spec.seed, 1e-3)


@pytest.mark.parametrize(
    ("group", "expected"), [("all", [1e-3, 1e-3]), (None, [3e-4, 1e-3])]
)
def test_arms_of_a_group_choose_together(tmp_path, monkeypatch, group, expected):
    """By the product of their errors: here 1 · 4 against 2 · 1."""
    errors = {("mv", 3e-4): 1.0, ("mv", 1e-3): 2.0, ("co2", 3e-4): 4.0}

    def fake(spec, start):
        return made_up(errors.get((spec.task, spec.learning_rate), 1.0)), None

    monkeypatch.setattr(engine, "trial", fake)
    rates = [{"learning_rate": rate} for rate in (3e-4, 1e-3)]
    arms = [Arm({}, TINY.but(task=t), rates, group=group) for t in ("mv", "co2")]
    study = Study(arms, range(1))
    run_grids(study.grids(), RunFolder(tmp_path), Here(), 1)
    assert [study.chosen[arm]["learning_rate"] for arm in arms] == expected


@pytest.mark.parametrize(
    ("chosen_by", "expected"), [(("rmse_k1",), 3e-4), (("rmse_mean",), 1e-3)]
)
def test_an_arm_can_choose_by_what_it_will_be_asked(
    tmp_path, monkeypatch, chosen_by, expected
):
    """One rate is better for one string, the other for the mean."""

    def fake(spec, start):
        record = made_up()
        better = "rmse_k1" if spec.learning_rate == 3e-4 else "rmse_mean"
        record["chosen"][better] = record["chosen"][better] | {"valid": 0.5}
        return record, None

    monkeypatch.setattr(engine, "trial", fake)
    rates = [{"learning_rate": rate} for rate in (3e-4, 1e-3)]
    arm = Arm({}, TINY, rates, chosen_by=chosen_by)
    study = Study([arm], range(1))
    run_grids(study.grids(), RunFolder(tmp_path), Here(), 1)
    assert study.chosen[arm]["learning_rate"] == expected


def test_the_choice_knows_no_test_score(tmp_path, monkeypatch):
    def fake(spec, start):
        fast = spec.learning_rate == 1e-3
        record = made_up(valid=1.0 if fast else 2.0, test=9.0 if fast else 0.1)
        return record, save({"w": torch.zeros(1)}) if spec.keep_weights else None

    monkeypatch.setattr(engine, "trial", fake)
    study = two_levels()
    run_grids(study.grids(), RunFolder(tmp_path), Here(), 1)
    assert {c["learning_rate"] for c in study.chosen.values()} == {1e-3}


def test_finished_runs_are_not_done_again(tmp_path, faked):
    study = two_levels()
    run_grids(study.grids(), RunFolder(tmp_path), Here(), 1)
    again, here = two_levels(), Here()
    records = run_grids(again.grids(), RunFolder(tmp_path), here, 1)
    assert here.asked == []
    assert len(records) == 8
    assert again.chosen.keys() != study.chosen.keys()  # other objects
    assert list(again.chosen.values()) == list(study.chosen.values())


def test_a_failure_names_its_run_and_loses_no_other(tmp_path, monkeypatch):
    def fake(spec, start):
        if spec.method == "remax":
            raise ValueError("no such thing")
        return made_up(), save({"w": torch.zeros(1)})

    monkeypatch.setattr(engine, "trial", fake)
    with pytest.raises(RuntimeError, match=r"remax on concrete, seed 0.*no such thing"):
        run_grids(two_levels().grids(), RunFolder(tmp_path), Here(), 1)
    assert len(list((tmp_path / "runs").glob("*.json"))) == 4  # all cross-entropy


def test_an_arm_that_always_diverges_is_named(tmp_path, monkeypatch):
    failed = {"failed": "the loss is NaN"}, save({"w": torch.zeros(1)})
    monkeypatch.setattr(engine, "trial", lambda spec, start: failed)
    with pytest.raises(RuntimeError, match=r"checkpoint.*diverged"):
        run_grids(two_levels().grids(), RunFolder(tmp_path), Here(), 1)


# Tables


def test_a_table_has_every_aggregator_of_every_run_once(tmp_path, faked):
    study = two_levels()
    table = study.table(run_grids(study.grids(), RunFolder(tmp_path), Here(), 1))
    assert set(table["method"]) == {"remax"}
    runs = table.set_index(["task", "method", "seed", "aggregator"]).index
    assert runs.is_unique
    assert len(runs) == 3 * len(AGGREGATORS)
    assert table.drop(columns="peak_mb").notna().all(axis=None)


def test_seconds_include_the_run_it_started_from(tmp_path, faked):
    study = two_levels()
    table = study.table(run_grids(study.grids(), RunFolder(tmp_path), Here(), 1))
    assert set(table["seconds"]) == {4.0}


def test_curves_go_on_from_the_run_that_was_started_from(tmp_path):
    budget = Budget(("concrete",), 1, 60, 2, 2, validate_every=1, rates=(1e-3,))
    study = prepare_study("tabular", budget, ["ce", "pointwise"])
    folder, here = RunFolder(tmp_path), Here()
    curves = study.curves(records := run_grids(study.grids(), folder, here, 1))
    by_method = {name: part for name, part in curves.groupby("method")}
    assert by_method["checkpoint"]["step"].tolist() == [0, 2]
    assert by_method["ce"]["step"].tolist() == [2, 3, 4]
    assert by_method["pointwise"]["step"].tolist() == [0, 4]
    first = seconds(study.run(study.arms[0], 0), records)
    assert by_method["ce"]["seconds"].iloc[0] > first
    assert curves.notna().all(axis=None)


def test_the_main_study_gives_all_the_same_number_of_steps():
    budget = Budget(("concrete",), ce_steps=40, rl_steps=20, rates=(1e-3,))
    for arm in tabular("concrete", budget):
        steps, method = arm.spec.steps, arm.labels["method"]
        if method in ("pointwise", "histogram"):
            assert steps == 60
        elif method == "ppo":  # four passes over each batch
            assert steps * 4 == 20
        elif method not in ("checkpoint", *RIVALS):
            assert steps == 20
            assert arm.start.spec.steps == 40


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_tells_its_arms_apart(name):
    study = prepare_study(name, BUDGETS["smoke"])
    labels = [tuple(arm.labels.values()) for arm in study.arms if arm.shown]
    assert len(set(labels)) == len(labels)
    runs = {json.dumps(arm.spec.settings) + str(arm.start) for arm in study.arms}
    assert len(runs) >= len(study.arms) - len(BUDGETS["smoke"].tasks)
    starts = {arm.start for arm in study.arms} - {None}
    assert starts == {arm for arm in study.arms if not arm.shown}
    assert all(start.spec.keep_weights for start in starts)


@pytest.mark.parametrize("name", STUDIES)
def test_every_kind_of_run_can_be_done(name):
    """One arm of each setting, as it is but for its size."""
    for arm in studies_arms_by_setting(name):
        spec = arm.spec.but(steps=1, max_rows=60, keep_weights=False)
        if "d_model" in spec.model:
            spec = spec.but(model=spec.model | {"d_model": 8, "hidden": 8})
        record, _ = trial(spec)
        assert set(record["chosen"]) == set(selections(spec)), arm.labels


def studies_arms_by_setting(name):
    arms = [a for a in STUDIES[name]("concrete", BUDGETS["smoke"]) if a.shown]
    if "setting" not in arms[0].labels:
        return arms
    return {arm.labels["setting"]: arm for arm in arms}.values()


@pytest.mark.parametrize("name", SMALLER)
def test_a_study_that_changes_one_thing_keeps_the_rates_of_the_main_study(name):
    budget = replace(BUDGETS["smoke"], rates=(1e-4, 1e-2), settled=MAIN_RATES)
    for arm in prepare_study(name, budget).arms:
        rates = [choice.get("learning_rate") for choice in arm.choices]
        settled = MAIN_RATES.get(arm.labels["method"])
        if arm.spec.steps:
            assert rates == ([1e-4, 1e-2] if settled is None else [settled])


@pytest.mark.parametrize("name", ["tokenisation", "reward", "expert"])
def test_what_is_as_in_the_main_study_is_its_run(name):
    one = Budget(("concrete",), settled=MAIN_RATES)
    usual = {"tokenisation": "(2, 8)", "reward": "squared", "expert": "0.05"}
    main, study = (prepare_study(n, one) for n in ("tabular", name))
    of_main = {arm.labels["method"]: arm.spec.key for arm in main.arms}
    for arm in study.arms:
        if arm.labels.get("setting") in ("none", usual[name]):
            assert arm.spec.key == of_main[arm.labels["method"]]


def test_methods_that_are_asked_for_bring_their_checkpoint():
    study = prepare_study("tabular", BUDGETS["smoke"], ["remax", *RIVALS])
    methods = [arm.labels["method"] for arm in study.arms]
    assert sorted(methods) == sorted(2 * ["checkpoint", "remax", *RIVALS])


def test_an_unknown_reward_is_refused_by_name():
    z = torch.linspace(-1, 1, 5)
    with pytest.raises(ValueError, match="unknown reward 'square'; known: squared"):
        named_reward("square", z)


@pytest.mark.parametrize("name", BUDGETS)
def test_a_budget_names_tasks_that_exist(name):
    study = prepare_study("tabular", BUDGETS[name])
    assert {arm.labels["method"] for arm in study.arms} == {"checkpoint", *METHODS}


def test_unknown_names_are_refused_before_anything_is_trained():
    with pytest.raises(ValueError, match="Did you mean 'concrete'"):
        prepare_study("tabular", Budget(("conrete",)))
    with pytest.raises(ValueError, match="Did you mean 'remax'"):
        prepare_study("tabular", Budget(), ["remx"])


def test_a_folder_with_runs_wants_a_word(tmp_path, faked):
    RunFolder(tmp_path).save(TINY, made_up(), None)
    with pytest.raises(FileExistsError, match=r"1 finished runs.*--resume"):
        studies.run_study("tabular", two_levels(), tmp_path)


def test_a_run_whose_start_diverged_never_starts_from_scratch(tmp_path, monkeypatch):
    def fake(spec, start):
        if spec.method == "ce" and spec.seed == 1:
            return {"failed": "the loss is NaN"}, None
        return made_up(), save({"w": torch.zeros(1)}) if spec.keep_weights else None

    monkeypatch.setattr(engine, "trial", fake)
    for _ in range(2):  # the second time from the records
        with pytest.raises(RuntimeError, match=r"seed 1.* its start, left no weights"):
            run_grids(two_levels().grids(), RunFolder(tmp_path), Here(), 1)


def test_a_report_names_the_methods_that_diverged(tmp_path, faked):
    study = two_levels()
    table = study.table(run_grids(study.grids(), RunFolder(tmp_path), Here(), 1))
    bad = table.tail(1).assign(method="ppo", aggregator=None, r2=math.nan)
    shown = study_report(pd.concat([table, bad]))
    assert "Diverged in some run, left out: ppo" in shown
    assert "remax" in shown
    assert "NaN" not in shown


def test_a_run_that_diverged_has_a_row_without_scores(tmp_path, monkeypatch):
    def fake(spec, start):
        if spec.method == "remax" and spec.seed == 1:
            return {"failed": "the loss is NaN"}, None
        return made_up(), save({"w": torch.zeros(1)}) if spec.keep_weights else None

    monkeypatch.setattr(engine, "trial", fake)
    study = two_levels()
    table = study.table(run_grids(study.grids(), RunFolder(tmp_path), Here(), 1))
    [row] = table[table["seed"] == 1].to_dict("records")
    assert math.isnan(row["r2"])
    assert pd.isna(row["aggregator"])
