"""Several networks on one split, and the mean of their answers."""

import pandas as pd
import pytest
import torch

from genre2_mini.experiments.budgets import BUDGETS
from genre2_mini.experiments.gap import (
    NETWORKS,
    by_size,
    ensemble_report,
    ensemble_table,
    gap,
)
from genre2_mini.experiments.specs import RunSpec
from genre2_mini.experiments.study import Arm, Study
from genre2_mini.experiments.trial import task_of, trial

TINY = RunSpec("concrete", "pointwise", max_rows=60, steps=2, validate_every=1)


@pytest.fixture(scope="module")
def of_three():
    """A study of three networks and one seed, and its records."""
    arms = [
        Arm({"method": "pointwise", "member": m}, TINY.but(member=m)) for m in range(3)
    ]
    study = Study(arms, [0], chosen={arm: {} for arm in arms})
    return study, {arm.spec.key: trial(arm.spec)[0] for arm in arms}


def test_the_first_network_is_the_one_that_is_trained_alone(of_three):
    _, records = of_three
    alone = trial(TINY)[0]["chosen"]["rmse_mean"]["exact"]
    first = records[TINY.but(member=0).key]["chosen"]["rmse_mean"]
    assert first["exact"] == alone


def test_networks_share_the_split_and_nothing_else(of_three):
    _, records = of_three
    splits = [task_of(TINY.but(member=m)).test.x for m in (0, 1)]
    assert torch.equal(*splits)
    means = [r["chosen"]["rmse_mean"]["means"] for r in records.values()]
    assert len(means[0]) == len(splits[0])
    assert means[0] != means[1] != means[2] != means[0]


def test_the_error_of_an_average_by_hand():
    z = torch.tensor([0.0, 1.0, 2.0]).double()
    too_low, too_high = z - 1, z + 1
    means = torch.stack([too_low, too_high])
    found = dict(by_size(means, z))
    assert found[1] == pytest.approx({"rmse": 1.0, "r2": 1 - 3 / 2})
    assert found[2] == pytest.approx({"rmse": 0.0, "r2": 1.0})


def test_all_ways_to_choose_the_networks_count_alike():
    z = torch.linspace(-1, 1, 5).double()
    means = z + torch.tensor([[0.0], [0.3], [0.6]])
    assert dict(by_size(means, z))[2]["rmse"] == pytest.approx((0.15 + 0.3 + 0.45) / 3)


def test_one_and_two_networks_foretell_any_number():
    """MSE(M) = B + (A − B) / M, and R² falls in proportion to it."""
    generator = torch.Generator().manual_seed(0)
    means = torch.randn(5, 30, generator=generator).double()
    z = torch.randn(30, generator=generator).double()
    r2 = {size: scores["r2"] for size, scores in by_size(means, z)}
    endless = 2 * r2[2] - r2[1]
    for size in (3, 4, 5):
        foretold = endless + (r2[1] - endless) / size
        assert r2[size] == pytest.approx(foretold, abs=1e-12)
    # MSE(1) − MSE(2) = (A − B) / 2, a quarter of the mean squared difference of two.
    apart = torch.pdist(means).square().mean() / len(z)
    variance = z.var(correction=0)
    assert r2[2] - r2[1] == pytest.approx(float(apart / 4 / variance), abs=1e-12)


def test_a_table_has_every_number_of_networks(of_three):
    table = ensemble_table(*of_three)
    assert table["networks"].tolist() == [1, 2, 3]
    assert set(table.columns) == {"method", "seed", "networks", "r2", "rmse"}
    single = [
        r["chosen"]["rmse_mean"]["exact"]["rmse_mean"] for r in of_three[1].values()
    ]
    assert table["rmse"][0] == pytest.approx(sum(single) / 3, rel=1e-4)


def test_the_report_has_a_column_a_number_of_networks():
    some = {"task": ["a", "b"] * 2, "seed": 0, "method": "ce", "networks": [1, 1, 2, 2]}
    table = pd.DataFrame(some).assign(r2=[0.5, 0.7, 0.6, 0.7])
    *_, head, _, row = ensemble_report(table).splitlines()
    assert head.split() == ["networks", "1", "2"]
    assert row.split() == ["ce", "0.600", "0.650"]


def test_a_network_that_diverged_leaves_no_ensemble(of_three):
    study, records = of_three
    lost = records | {study.arms[0].spec.key: {"failed": "no numbers"}}
    assert ensemble_table(study, lost).empty


def test_the_study_changes_the_networks_of_heads_and_policies_alike():
    budget = BUDGETS["smoke"]
    arms = [arm for arm in gap("concrete", budget) if arm.shown]
    methods = {}
    for arm in arms:
        methods.setdefault(arm.labels["setting"], set()).add(arm.labels["method"])
    alike = {"pointwise", "ce", "genre2"}
    assert methods["periodic"] == methods["periodic, longer"] == alike
    assert all(arm.spec.model == {"periodic": True} for arm in arms)
    members = [arm.spec.member for arm in arms if arm.labels["setting"] == "periodic"]
    assert set(members) == set(range(NETWORKS))
    for arm in arms:  # a policy goes on from the network that it is
        if arm.start is not None:
            assert arm.start.spec.member == arm.spec.member
            assert arm.start.spec.model == arm.spec.model
