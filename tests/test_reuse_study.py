"""The study of reuse: every variant is what it says, and recorded completely."""

import math

import pytest
import torch
from conftest import make_task

from genre2_mini.experiments import load_results, reuse
from genre2_mini.experiments.learning_curves import SCORES
from genre2_mini.experiments.reuse import VARIANTS


@pytest.fixture(scope="module")
def rows():
    return reuse.run_seed("concrete", 0, ce_steps=2, batches=2, every=1)


def test_every_variant_has_a_row_a_score_and_starts_alike(rows):
    found = list(rows[["variant", "batch"]].itertuples(index=False, name=None))
    assert found == [(variant, batch) for variant in VARIANTS for batch in range(3)]
    assert rows[rows["batch"] == 0]["r2_k1"].nunique() == 1
    assert rows.loc[rows["batch"] > 0].notna().all(axis=None)


def test_the_processor_time_counts_training_only(rows):
    assert (rows.loc[rows["batch"] == 0, "cpu_seconds"] == 0).all()
    for _, run in rows.groupby("variant"):
        assert run["cpu_seconds"].is_monotonic_increasing


def test_a_single_epoch_reaches_no_clip(rows):
    """The first batches are drawn by the same policy, so their reward is the same."""
    at_one = rows[rows["batch"] == 1].set_index("variant")
    assert at_one.loc["1 epoch", "clip_fraction"] == 0
    assert at_one.loc["1 epoch", "approx_kl"] == 0
    assert at_one["reward"].nunique() == 1


@pytest.mark.parametrize("name", VARIANTS)
def test_a_batch_takes_one_optimiser_step_an_epoch(name, monkeypatch):
    task, steps = make_task(), []
    policy = reuse.checkpoint(task, seed=0, steps=1)
    step = torch.optim.AdamW.step

    def counted(optimizer, *args):
        steps.append(optimizer.param_groups[0]["lr"])
        return step(optimizer, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", counted)
    list(reuse.curve(policy, task, VARIANTS[name], batches=1, every=1, seed=0))
    variant = VARIANTS[name]
    assert steps == [variant.learning_rate] * variant.epochs


def test_the_controls_differ_in_one_thing():
    base = VARIANTS["1 epoch"]
    assert VARIANTS["8 epochs, no clip"] == VARIANTS["8 epochs"]._replace(clip=math.inf)
    for times in (2, 4):
        rate = times * base.learning_rate
        assert VARIANTS[f"1 epoch, {times} × rate"] == base._replace(learning_rate=rate)


def test_the_recorded_file_is_complete():
    rows = load_results("reuse")
    runs = rows.groupby(["variant", "seed"], sort=False)["batch"]
    assert set(rows["variant"]) == set(VARIANTS)
    assert len(runs) == 5 * len(VARIANTS)
    for _, batches in runs:
        assert batches.tolist() == list(range(0, 61, 5))
    assert rows[["cpu_seconds", *SCORES]].notna().all(axis=None)
    assert rows[rows["batch"] > 0].notna().all(axis=None)
