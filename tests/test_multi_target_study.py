"""The study of pairs: every score by hand, every method once, a complete record."""

import numpy as np
import pytest
import torch
from conftest import make_policy
from sklearn.linear_model import Ridge

from genre2_mini.experiments import load_results, multi_target
from genre2_mini.experiments.multi_target import (
    COLUMNS,
    DIGITS,
    SCORES,
    Judge,
    nll_of,
    objectives,
    run,
)
from genre2_mini.experiments.pair_laws import grid_of
from genre2_mini.experiments.vector_rewards import VectorReMax
from genre2_mini.methods import METHODS, build_model
from genre2_mini.objectives import (
    CrossEntropy,
    ExpertSupervision,
    GenRe2,
    ReMax,
)
from genre2_mini.rollouts import enumerate_strings
from genre2_mini.tasks import Split
from genre2_mini.tasks.vectors import hand, load_pair
from genre2_mini.tokenizers import ConcatenatedTokenizer, NormalizedTokenizer

SMALL = {"max_rows": 100, "ce_steps": 2, "steps": 1}
SHARED = ["CE", "CE, shuffled", "ReMax", "GenRe²", "Expert alone", "ReMax, kernel"]
RIVALS = ["CE, other order", "Independent", "Pointwise", "Boosting"]
METHODS_OF = {
    "arm": [*SHARED, "ReMax, hand", *RIVALS],
    "places": [*SHARED, *RIVALS],
}
POINTS = ["Pointwise", "Boosting"]


def judge_of(name):
    task = load_pair(name, max_rows=100)
    return Judge(task, grid_of(build_model(METHODS["ce"], task, DIGITS)))


@pytest.fixture(scope="module", params=["arm", "places"])
def judge(request):
    return judge_of(request.param)


# --- Scores ---------------------------------------------------------------------


def test_the_law_of_one_cell_scores_like_that_point(judge):
    cells = judge.grid.cells(judge.z + 0.3)
    law = torch.zeros(len(cells), *judge.grid.shape).double()
    law[torch.arange(len(cells)), cells[:, 0], cells[:, 1]] = 1
    points = judge.grid.values[cells[:, 0], cells[:, 1]]
    found, wanted = judge.of_law(law), judge.of_points(points)
    assert found.pop("dependence") == pytest.approx(0, abs=1e-9)
    assert found == pytest.approx(wanted, abs=1e-9)


def test_scores_of_a_law_are_expectations_over_all_its_cells(judge):
    rows = len(judge.z)
    generator = torch.Generator().manual_seed(0)
    law = torch.rand(rows, *judge.grid.shape, generator=generator).double() ** 9
    law = law / law.sum(dim=(1, 2), keepdim=True)
    found = judge.of_law(law)
    values, p = judge.grid.values.reshape(-1, 2), law.reshape(rows, -1)
    error = (values - judge.z[:, None]).square()
    assert found["rmse_k1"] == pytest.approx(
        (p[..., None] * error).sum(dim=1).mean().sqrt().item()
    )
    mean = (p @ values - judge.z).square().mean(dim=0).sqrt()
    assert [found["rmse_first"], found["rmse_second"]] == pytest.approx(mean.tolist())
    assert found["rmse_mean"] == pytest.approx(mean.square().mean().sqrt().item())
    wrong = judge.missed(values.expand(rows, -1, -1))
    assert found["miss"] == pytest.approx((p * wrong).sum(dim=1).mean().item())


def test_an_arm_misses_by_the_distance_of_its_hand():
    judge = judge_of("arm")
    angles = judge.task.schema.unstandardise(judge.z).numpy()
    turned = angles + np.array([np.pi, 0.0])  # the hand on the other side
    z = judge.task.schema.standardise(turned)
    distance = 2 * np.linalg.norm(hand(angles), axis=1)
    assert judge.missed(z).numpy() == pytest.approx(distance)
    assert judge.missed(judge.z).max() < 1e-9


def test_a_house_misses_where_no_house_of_the_table_stands():
    judge = judge_of("places")
    task = judge.task
    for part in (task.train, task.valid):
        stands = judge.grid.values[tuple(judge.grid.cells(part.z).T)]
        assert judge.missed(stands[:, None]).sum() == 0
    assert judge.missed(judge.z).sum() == 0
    sea = judge.grid.values[0, 0].expand(len(judge.z), 2)  # the south-west corner
    assert judge.missed(sea).min() == 1


def test_nll_is_that_of_enumeration(x):
    parts = [NormalizedTokenizer(2, 2, low=-2.0, high=2.0)] * 2
    policy = make_policy(ConcatenatedTokenizer(parts))
    z = torch.tensor([[0.0, 1.0], [-2.0, 0.0], [1.0, 1.0]]).double()
    strings, log_prob = enumerate_strings(policy, x)
    truth = policy.tokenizer.encode(z)
    row = (strings == truth[:, None]).all(dim=-1).long().argmax(dim=1)
    wanted = -log_prob[torch.arange(3), row].mean().item()
    assert nll_of(policy, Split(x, z)) == pytest.approx(wanted, rel=1e-6)


# --- The study -------------------------------------------------------------------


def test_every_objective_starts_from_one_checkpoint():
    kinds = [CrossEntropy, ReMax, GenRe2, ExpertSupervision, VectorReMax]
    found = objectives(load_pair("places", max_rows=100))
    assert [type(objective) for objective in found.values()] == kinds
    found = objectives(load_pair("arm", max_rows=100))
    assert [type(objective) for objective in found.values()] == [*kinds, VectorReMax]


def quick_rival(name, task, seed):
    """In place of a grid of boosted trees, which takes seconds."""
    return Ridge().fit(task.train.x.numpy(), task.train.z.numpy()), {}


@pytest.mark.parametrize("name", ["arm", "places"])
def test_every_method_has_one_row_of_scores(name, monkeypatch):
    monkeypatch.setattr(multi_target, "tuned_rival", quick_rival)
    rows = run(name, 0, **SMALL)
    assert rows.columns.tolist() == COLUMNS
    check_complete(rows, name)
    scores = rows.set_index("method")
    shuffle, chained = scores.loc["CE, shuffled"], scores.loc["CE"]
    assert shuffle["rmse_mean"] == pytest.approx(chained["rmse_mean"])
    assert shuffle["dependence"] == pytest.approx(0, abs=1e-9)


def check_complete(rows, name):
    assert sorted(rows["method"]) == sorted(METHODS_OF[name])
    for method, row in rows.set_index("method").iterrows():
        missing = {"nll", "dependence"} if method in POINTS else set()
        assert set(row.index[row.isna()]) == missing
        assert row["miss"] >= 0 and np.isfinite(row["energy"])


def test_the_recorded_file_is_complete():
    rows = load_results("multi_target")
    assert rows.columns.tolist() == COLUMNS
    runs = rows.groupby(["task", "seed"])
    assert sorted(runs.groups) == [(t, s) for t in METHODS_OF for s in range(5)]
    for (name, _), found in runs:
        check_complete(found, name)
    assert set(SCORES) < set(rows.columns)
