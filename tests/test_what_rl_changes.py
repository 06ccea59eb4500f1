"""The study of what RL changes: exact curves over k, honest laws, tidy tables."""

import itertools
import math

import numpy as np
import pytest
import torch
from conftest import make_policy
from test_study_runs import TINY, Here, timeless

from genre2_mini.experiments import load_results
from genre2_mini.experiments.budgets import BUDGETS, Budget
from genre2_mini.experiments.calibration import central_width, probability_below
from genre2_mini.experiments.distribution_detail import (
    KS,
    expected_distinct,
    honesty,
    laws_of,
    shape,
)
from genre2_mini.experiments.engine import run_grids
from genre2_mini.experiments.run_folder import RunFolder
from genre2_mini.experiments.sample_curves import (
    AGGREGATORS,
    best_of_k,
    mean_of_k,
    median_of_k,
    sample_curves,
)
from genre2_mini.experiments.studies import budgets_of, prepare_study
from genre2_mini.experiments.trial import trial
from genre2_mini.experiments.what_rl_changes import METHODS, detail_tables
from genre2_mini.metrics import weighted_median
from genre2_mini.tasks import Split
from genre2_mini.tokenizers import NormalizedTokenizer

# Two rows of four values; the second is not sorted, and one value has no weight.
VALUES = torch.tensor([[-1, 0, 0.5, 2], [1, -2, 0.3, 0.3]], dtype=torch.float64)
WEIGHTS = torch.tensor([[0.1, 0.4, 0.3, 0.2], [0.5, 0.2, 0.3, 0]], dtype=torch.float64)
Z = torch.tensor([0.2, -0.4], dtype=torch.float64)

BY_HAND = {
    mean_of_k: lambda sample, z: (np.mean(sample) - z) ** 2,
    median_of_k: lambda sample, z: (np.median(sample) - z) ** 2,
    best_of_k: lambda sample, z: min((v - z) ** 2 for v in sample),
}


def skewed(size=256):
    """A row of many values, near to a trained policy's."""
    values = torch.linspace(-2, 3, size).double()[None]
    weights = torch.exp(-(values + 1).abs() * 3) + 1e-9
    return values, weights / weights.sum(), torch.tensor([-0.7]).double()


# Curves over k


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("curve", BY_HAND, ids=lambda f: f.__name__)
def test_a_curve_is_the_mean_over_all_groups_of_samples(curve, k):
    """All 4^k ordered groups with their chances: 1e-12 is rounding."""
    found = curve(VALUES, WEIGHTS, Z, k).tolist()
    for row in range(2):
        expected = 0.0
        for group in itertools.product(range(4), repeat=k):
            chance = math.prod(WEIGHTS[row, i].item() for i in group)
            sample = [VALUES[row, i].item() for i in group]
            expected += chance * BY_HAND[curve](sample, Z[row].item())
        assert found[row] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("k", [127, 128])
def test_many_samples_of_many_values_agree_with_drawn_ones(k):
    """20,000 groups: 5 standard errors."""
    values, weights, z = skewed()
    rng = np.random.default_rng(0)
    drawn = rng.choice(values[0].numpy(), (20_000, k), p=weights[0].numpy())
    for curve, take in {
        mean_of_k: drawn.mean(axis=1),
        median_of_k: np.median(drawn, axis=1),
    }.items():
        errors = (take - z.item()) ** 2
        off = errors.mean() - curve(values, weights, z, k).item()
        assert abs(off) < 5 * errors.std() / 20_000**0.5


def test_the_limit_of_the_median_is_the_median_of_the_law():
    weights = torch.tensor([[0.1, 0.5, 0.3, 0.1]], dtype=torch.float64)
    limit = (weighted_median(VALUES[:1], weights) - Z[:1]).square()
    for k in (999, 1000):
        found = median_of_k(VALUES[:1], weights, Z[:1], k)
        torch.testing.assert_close(found, limit, atol=1e-6, rtol=0)


def test_at_one_sample_all_curves_are_the_expected_squared_error():
    squared = (WEIGHTS * (VALUES - Z[:, None]).square()).sum(dim=1)
    for curve in AGGREGATORS.values():
        torch.testing.assert_close(curve(VALUES, WEIGHTS, Z, 1), squared)


def test_r2_compares_with_the_variance_of_the_targets():
    rows = sample_curves(VALUES, WEIGHTS, Z, (1, 2))
    assert [(row["aggregator"], row["k"]) for row in rows] == [
        (name, k) for name in ("mean", "median", "best") for k in (1, 2)
    ]
    for row in rows:
        assert row["r2"] == pytest.approx(1 - row["rmse"] ** 2 / 0.09)


# Laws


def test_the_shape_of_a_law_by_hand():
    found = shape(VALUES[:1], WEIGHTS[:1], torch.tensor([-1.5]), Z[:1])
    mean = -0.1 + 0.15 + 0.4
    assert found["bias2"] == pytest.approx((mean - 0.2) ** 2)
    assert found["bias2"] + found["spread"] == pytest.approx(
        mean_of_k(VALUES[:1], WEIGHTS[:1], Z[:1], 1).item()
    )
    entropy = -sum(p * math.log(p) for p in WEIGHTS[0].tolist())
    assert found["entropy"] == pytest.approx(entropy)
    assert found["nll"] == 1.5


def test_distinct_strings_are_counted_over_all_groups():
    expected = sum(
        math.prod(WEIGHTS[0, i].item() for i in group) * len(set(group))
        for group in itertools.product(range(4), repeat=3)
    )
    found = expected_distinct(WEIGHTS, 3)[0].item()
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_ends_of_an_interval_cut_off_equal_tails(level):
    """F at the interval's ends: the width is the inverse of the coverage."""
    values, weights, _ = skewed()
    cell = 5 / 255
    ends = []
    for q in ((1 - level) / 2, (1 + level) / 2):
        grid = torch.linspace(-2.1, 3.1, 200_001).double()
        below = probability_below(
            values, weights, grid[:: len(grid) // 2000].clone(), cell
        )
        ends.append(np.interp(q, below.numpy(), grid[:: len(grid) // 2000].numpy()))
    found = central_width(values, weights, cell, level)
    assert found == pytest.approx(ends[1] - ends[0], abs=1e-2)


def test_an_even_law_has_intervals_as_wide_as_their_level():
    """Four cells of width 1 from −0.5 to 3.5."""
    values, weights = torch.arange(4.0).double()[None], torch.full((1, 4), 0.25)
    for level in (0.5, 0.8, 0.95):
        width = central_width(values, weights.double(), 1.0, level)
        assert width == pytest.approx(4 * level)


def test_a_law_of_one_value_is_as_wide_as_its_cell():
    one = torch.ones(3, 1).double()
    assert central_width(one, one, 0.1, 0.9) == pytest.approx(0.09)


def test_truths_drawn_from_the_laws_are_covered_as_often_as_promised():
    """20,000 truths of one law, within its cells: 5 standard errors."""
    values, weights, _ = skewed()
    generator = torch.Generator().manual_seed(0)
    cell = torch.multinomial(weights, 20_000, True, generator=generator)[0]
    noise = torch.rand(20_000, generator=generator).double() - 0.5
    width = 5 / 255
    truth = values[0, cell] + noise * width
    laws = values.expand(20_000, -1), weights.expand(20_000, -1)
    found = honesty(*laws, truth, width)
    for level in (50, 80, 90, 95):
        error = 5 * (level / 100 * (1 - level / 100) / 20_000) ** 0.5
        assert found[f"coverage_{level}"] == pytest.approx(level / 100, abs=error)
    bins = [found[f"pit_{i}"] for i in range(1, 11)]
    assert sum(bins) == pytest.approx(1)
    assert bins == pytest.approx([0.1] * 10, abs=0.011)


def test_a_cooled_law_near_temperature_1_is_the_law_itself(x):
    policy = make_policy(NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0))
    split = Split(x, torch.tensor([-1.0, 0.0, 5.0]).double())
    plain, near = laws_of(policy, split), laws_of(policy, split, 1 + 1e-9)
    torch.testing.assert_close(near[2], plain[2])
    p = shape(*plain, split.z)
    assert shape(*near, split.z) == pytest.approx(p, abs=1e-4)


# Runs


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The study on 60 rows: its object and its records."""
    budget = Budget(("concrete",), 2, 60, 2, 2, validate_every=1, rates=(1e-3,))
    study = prepare_study("what-rl-changes", budget)
    folder = RunFolder(tmp_path_factory.mktemp("runs"))
    return study, run_grids(study.grids(), folder, Here(), 1)


def test_looking_closely_changes_no_result():
    spec = TINY.but(method="remax")
    plain, _ = trial(spec)
    detailed, _ = trial(spec.but(detail=True))
    assert set(detailed["chosen"]) - set(plain["chosen"]) == {"crps"}
    del detailed["chosen"]["crps"]
    for chosen in detailed["chosen"].values():
        assert {"detail", "detail_cooled"} <= set(chosen)
        del chosen["detail"], chosen["detail_cooled"]
    seen = {name for row in plain["history"] for name in row}
    rows = detailed["history"]
    detailed["history"] = [{k: v for k, v in r.items() if k in seen} for r in rows]
    assert timeless(detailed) == timeless(plain)


def test_the_tables_have_every_run_once(tiny):
    study, records = tiny
    tables = detail_tables(study, records)
    arms = {"ce_start", *METHODS}
    axes = {
        "steps": ["method", "seed", "step"],
        "laws": ["method", "seed", "selection"],
        "samples": ["method", "seed", "selection", "aggregator", "k"],
    }
    for name, table in tables.items():
        assert table.set_index(axes[name]).index.is_unique, name
        assert table.notna().all(axis=None), name
        controls = set() if name == "steps" else {"ce_cool"}
        assert set(table["method"]) == arms | controls, name
    # Four selections; a temperature is chosen for three of them.
    assert len(tables["laws"]) == 2 * (7 * 4 + 3)
    assert len(tables["samples"]) == len(tables["laws"]) * 3 * len(KS)
    assert len(tables["steps"]) == 2 * (1 + len(METHODS) * 3)


def test_every_method_starts_from_the_policy_as_it_is(tiny):
    study, records = tiny
    steps = detail_tables(study, records)["steps"]
    first = steps[steps["step"] == 0].drop(columns=["method", "step"])
    for _, rows in first.groupby("seed"):
        assert len(rows) == 1 + len(METHODS)
        assert (rows == rows.iloc[0]).all(axis=None)


def test_curves_and_laws_agree_with_the_table_of_scores(tiny):
    study, records = tiny
    tables, scores = detail_tables(study, records), study.table(records)
    samples = tables["samples"].query("aggregator == 'mean' and k == 1")
    for _, row in samples[samples["selection"] == "rmse_k1"].iterrows():
        [of_run] = scores.query(
            f"method == '{row.method}' and seed == {row.seed} and aggregator == 'k1'"
        ).to_dict("records")
        assert row["r2"] == pytest.approx(of_run["r2"], rel=1e-4)
    for _, law in tables["laws"].iterrows():
        one = samples.query(
            f"method == '{law.method}' and seed == {law.seed} "
            f"and selection == '{law.selection}'"
        )
        squared = one["rmse"].item() ** 2
        assert law["bias2"] + law["spread"] == pytest.approx(squared, rel=1e-6)


def test_the_study_is_on_three_tables_unless_it_is_asked_for_others():
    tables = ("concrete", "abalone", "house_sales")
    assert budgets_of("what-rl-changes")["small"].tasks == tables
    assert budgets_of("what-rl-changes")["smoke"] == BUDGETS["smoke"]
    assert budgets_of("tabular") == BUDGETS


def test_a_study_without_detail_has_no_such_tables(tmp_path):
    budget = Budget(("concrete",), 1, 60, 1, 1, rates=(1e-3,))
    study = prepare_study("tabular", budget, ["ce"])
    records = run_grids(study.grids(), RunFolder(tmp_path), Here(), 1)
    assert detail_tables(study, records) == {}


def test_a_run_that_diverged_has_no_rows(tiny):
    study, records = tiny
    key = study.run(study.arms[-1], 1).key
    broken = records | {key: {"failed": "the loss is NaN"}}
    laws = detail_tables(study, broken)["laws"]
    assert len(laws) == 2 * (7 * 4 + 3) - 4


# The recorded files


def test_the_recorded_files_have_every_run_once():
    methods = {"ce_start", "ce_cool", *METHODS}
    tasks = {"concrete", "abalone", "house_sales"}
    axes = ["task", "method", "seed"]
    for name, rows in {"laws": 1, "samples": 3 * len(KS)}.items():
        table = load_results(f"what_rl_changes_{name}")
        assert set(table["task"]) == tasks
        assert set(table["method"]) == methods
        runs = table.groupby(axes).size()
        assert len(runs) == 3 * len(methods) * 5
        assert set(runs.drop("ce_cool", level="method")) == {4 * rows}
        assert set(runs.xs("ce_cool", level="method")) == {3 * rows}
        assert table.notna().all(axis=None)
    steps = load_results("what_rl_changes_steps")
    runs = steps[steps["method"] != "ce_start"].groupby(axes).size()
    assert len(runs) == 3 * len(METHODS) * 5
    assert set(runs) == {1 + 300 // 20}
    assert steps.notna().all(axis=None)


def test_the_recorded_parts_add_up():
    laws = load_results("what_rl_changes_laws")
    one = load_results("what_rl_changes_samples").query("k == 1 & aggregator == 'mean'")
    key = ["task", "method", "seed", "selection"]
    both = laws.set_index(key)[["bias2", "spread"]].sum(axis=1)
    squared = one.set_index(key)["rmse"] ** 2
    assert both.sort_index().tolist() == pytest.approx(
        squared.sort_index().tolist(), rel=1e-3
    )
