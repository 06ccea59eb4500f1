"""The study of token-level losses: fair to each, and recorded completely."""

import itertools

import pandas as pd
import pytest
import torch
from recorded_commands import assert_it_writes_every_run

from genre2_mini.evaluation import evaluate
from genre2_mini.experiments import load_results, token_levels
from genre2_mini.experiments.token_levels import (
    COOLED,
    SCALES,
    SCORES,
    START,
    SWEPT,
    TASKS,
    TEMPERATURES,
    TOKENIZERS,
    checkpoint,
    cooled,
    go_on,
    objectives,
    run,
    scores,
)
from genre2_mini.objectives import NTLWAS, CrossEntropy
from genre2_mini.rollouts import enumerate_strings

ABOUT = ["task", "seed", "tokenizer", "method", "scale", "temperature"]
ONCE = [(START, 1.0, 1.0), ("CE", 1.0, 1.0)]
ONCE += [(COOLED, 1.0, temperature) for temperature in TEMPERATURES]
ONCE += [(name, 1.0, 1.0) for name in ("NTL-MSE", "NTL-WAS", "DIST²", "ReMax")]
SMALL = {"max_rows": 60, "ce_steps": 3, "steps": 2}


def expected_runs(task, tokenizer):
    """Method, scale and temperature of every row of one task and tokenizer."""
    swept = SCALES if (task, tokenizer) == SWEPT else ()
    return ONCE + [
        (method, scale, 1.0)
        for scale in swept
        for method in ("NTL-MSE", "NTL-WAS", "DIST²")
    ]


def test_the_weights_are_the_published_ones_and_multiples_of_them():
    weights = {
        (label, scale): objective.weight
        for label, scale, objective in objectives(swept=True)
        if hasattr(objective, "weight") and label != "ReMax"
    }
    published = {"NTL-MSE": 0.3, "NTL-WAS": 0.3, "DIST²": 0.1}
    assert weights == pytest.approx(
        {
            (label, scale): scale * weight
            for label, weight in published.items()
            for scale in (1.0, *SCALES)
        }
    )


@pytest.fixture(scope="module")
def rows():
    """A tiny run of every method with the tokenizer that is swept."""
    return run("concrete", 0, tokenizers=[SWEPT[1]], **SMALL)


def test_every_method_and_weight_has_one_row_of_scores(rows):
    assert rows.columns.tolist() == [*ABOUT, "best_step", *SCORES]
    found = list(rows[ABOUT[3:]].itertuples(index=False, name=None))
    assert found == expected_runs("concrete", (10, 3))
    assert set(rows["tokenizer"]) == {"(10, 3)"}
    assert rows.notna().all(axis=None)


def test_a_run_is_a_function_of_its_arguments(rows):
    again = run("concrete", 0, tokenizers=[SWEPT[1]], **SMALL)
    pd.testing.assert_frame_equal(again, rows)


def test_all_start_from_the_checkpoint_that_is_listed(task):
    """What keeps step 0 has the checkpoint's weights, whatever it was trained on."""
    policy = checkpoint(task, 4, 2, seed=0, steps=2)
    before = scores(policy, task.test)
    model, best = go_on(policy, task, NTLWAS(weight=0.0), steps=2, seed=0)
    control, best_control = go_on(policy, task, CrossEntropy(), steps=2, seed=0)
    assert scores(policy, task.test) == before  # the copies leave it alone
    assert best in (0, 2) and best_control in (0, 2)
    if best == 0:
        assert scores(model, task.test) == before
    assert model is not control is not policy


def test_scores_are_of_all_strings_and_nll_of_the_true_one(task):
    policy = checkpoint(task, 4, 2, seed=0, steps=2)
    found = scores(policy, task.test)
    exact = evaluate(policy, task.test, num_samples=None)
    assert {name: exact[name] for name in SCORES[:-1]} == {
        name: found[name] for name in SCORES[:-1]
    }
    with torch.no_grad():
        strings, log_prob = enumerate_strings(policy, task.test.x)
    true = policy.tokenizer.encode(task.test.z)
    hit = (strings == true[:, None]).all(dim=-1)  # (N, 16)
    assert found["nll"] == pytest.approx(-log_prob[hit].mean().item(), rel=1e-5)


def test_a_cooled_policy_writes_at_temperature_1_what_the_other_does_below(task):
    policy = checkpoint(task, 4, 2, seed=0, steps=2)
    x = task.test.x[:3]
    cold = cooled(policy, 0.5)
    drawn = [
        sampler.sample(x, 50, temperature, torch.Generator().manual_seed(0))
        for sampler, temperature in ((policy, 0.5), (cold, 1.0))
    ]
    assert drawn[0].shape == (3, 50, 2)
    assert torch.equal(*drawn)


def test_the_command_writes_every_run(tmp_path, monkeypatch):
    assert_it_writes_every_run(token_levels, SMALL, tmp_path, monkeypatch)


def test_the_record_has_every_run_once():
    recorded = load_results("token_levels")
    expected = {
        (task, seed, str(tokenizer), *method)
        for task, seed in itertools.product(TASKS, range(5))
        for tokenizer in TOKENIZERS[task]
        for method in expected_runs(task, tokenizer)
    }
    runs = recorded.set_index(ABOUT).index
    assert recorded.columns.tolist() == [*ABOUT, "best_step", *SCORES]
    assert runs.is_unique
    assert set(runs) == expected
    assert recorded.notna().all(axis=None)
    assert set(recorded["best_step"]) <= set(range(0, 201, 20))
