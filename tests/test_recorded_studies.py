"""The recorded tables of the studies are whole, and what follows from them holds."""

import json
from functools import partial

import numpy as np
import pytest

from genre2_mini.experiments import load_results
from genre2_mini.experiments.budgets import MAIN_RATES
from genre2_mini.experiments.gap import NETWORKS
from genre2_mini.experiments.studies import STUDIES, budgets_of, prepare_study
from genre2_mini.experiments.study import AGGREGATORS
from genre2_mini.tasks.cards import data_folder

CONTROLS = ["ce_cool", "ce_greedy"]  # beside cross-entropy, without arms of their own
RECORDED = (
    "tabular",
    "tokenisation",
    "reward",
    "expert",
    "data-size",
    "periodic",
    "what-rl-changes",
    "scale",
    "gap",
)  # grows with every study that is recorded


def file_of(name):
    return name.replace("-", "_")


def test_all_recorded_studies_are_looked_at():
    names = {path.name.split(".")[0] for path in (data_folder() / "results").iterdir()}
    assert {name for name in STUDIES if file_of(name) in names} == set(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_every_arm_has_every_seed_and_aggregator_once(name):
    rows = load_results(file_of(name))
    rows = rows[~rows["method"].isin(CONTROLS)]
    budget = budgets_of(name)["small"]
    arms = [arm for arm in prepare_study(name, budget).arms if arm.shown]
    axes = list(dict.fromkeys(label for arm in arms for label in arm.labels))
    of_run = partial(label_of, axes=axes)
    expected = sorted(
        (of_run(arm.labels), seed, aggregator)
        for arm in arms
        for seed in range(budget.seeds)
        for aggregator in AGGREGATORS
    )
    found = sorted(
        (of_run(row), row["seed"], row["aggregator"]) for row in rows.to_dict("records")
    )
    assert found == expected
    assert rows[["r2", "rmse", "mae", "seconds"]].notna().all(axis=None)


def label_of(labels, axes):
    """Labels as text, the same for a missing one and one that is no number."""
    values = [labels.get(axis) for axis in axes]
    return tuple(
        "" if v is None or v != v else f"{v}".removesuffix(".0") for v in values
    )


def test_the_settled_rates_are_those_that_the_main_study_chose():
    choices = load_results("tabular").groupby("method")["choice"].unique()
    for method, rate in MAIN_RATES.items():
        if method != "checkpoint":  # it has no rows
            [choice] = choices[method]
            assert json.loads(choice) == {"learning_rate": rate}


def test_recorded_averages_belong_to_the_recorded_networks():
    """One is the mean of the single networks; two cannot be worse (convexity)."""
    runs = ["task", "method", "seed"]
    r2 = load_results("gap_ensembles").pivot(
        index=runs, columns="networks", values="r2"
    )
    assert list(r2) == list(range(1, NETWORKS + 1))
    singles = load_results("gap").query(
        "setting == 'periodic' and aggregator == 'exact_mean'"
    )
    singles = singles[~singles["method"].isin(CONTROLS)].groupby(runs)["r2"]
    assert (singles.size() == NETWORKS).all()
    assert singles.mean().index.equals(r2.index)
    assert np.allclose(r2[1], singles.mean(), rtol=0, atol=2e-5)
    assert (r2[NETWORKS] >= r2[1]).all()
