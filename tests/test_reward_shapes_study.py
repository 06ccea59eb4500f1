"""The study of four reward shapes: its scores are exact, its record is complete."""

import pytest
import torch
from conftest import make_policy

from genre2_mini.experiments import load_results
from genre2_mini.experiments.reward_shapes import SCORES, run_seed, scores, shapes
from genre2_mini.rollouts import enumerate_strings
from genre2_mini.tasks import Split
from genre2_mini.tokenizers import NormalizedTokenizer

SHAPES = ["squared", "absolute", "clipped", "quantile"]


@pytest.fixture
def policy():
    return make_policy(NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0))


def test_each_shape_has_the_score_that_it_asks_for(policy, x):
    """Minus the mean reward, up to a root: by hand, over all eight strings."""
    z = torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64)
    rewards = shapes(torch.linspace(-2, 2, 50).double())
    found = scores(policy, Split(x, z), rewards)
    tokens, log_prob = enumerate_strings(policy, x)
    values = policy.tokenizer.decode(tokens).expand(3, -1)
    p = log_prob.detach().double().exp()

    def mean(f):
        return (p * f).sum(dim=1).mean().item()

    asked = {name: -mean(reward(values, z)) for name, reward in rewards.items()}
    assert list(asked) == SHAPES
    want = {
        "rmse_k1": asked["squared"] ** 0.5,
        "mae_k1": asked["absolute"],
        "clipped_k1": asked["clipped"],
        "quantile_k1": asked["quantile"] ** 0.5,
        "bias": mean(values - z[:, None]),
        "below": mean((z[:, None] < values) + 0.5 * (z[:, None] == values)),
    }
    assert {n: found[n] for n in want} == pytest.approx(want, rel=1e-4, abs=1e-5)
    assert list(found) == SCORES


def test_every_shape_has_a_row_a_score_and_starts_alike():
    settings = {"max_rows": 100, "ce_steps": 2, "steps": 2, "every": 1}
    rows = run_seed("cps1988", 0, **settings)
    found = list(rows[["shape", "step"]].itertuples(index=False, name=None))
    assert found == [(shape, step) for shape in SHAPES for step in range(3)]
    assert (rows[rows["step"] == 0][SCORES].nunique() == 1).all()
    assert rows.loc[rows["step"] > 0].notna().all(axis=None)


def test_the_recorded_file_is_complete():
    rows = load_results("reward_shapes")
    runs = rows.groupby(["shape", "seed"], sort=False)["step"]
    assert set(rows["shape"]) == set(SHAPES)
    assert len(runs) == 5 * len(SHAPES)
    for _, steps in runs:
        assert steps.tolist() == [0, 50, 100, 150]
    assert rows[SCORES].notna().all(axis=None)
