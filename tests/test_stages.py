"""Training by stages: what each stage starts from, how long it lasts, at what rate."""

import copy
from dataclasses import replace

import pytest
import torch

from genre2_mini import stages
from genre2_mini.methods import METHODS, build_model
from genre2_mini.stages import train
from genre2_mini.tasks import Split
from genre2_mini.tokenizers import NormalizedTokenizer


def same_weights(first, second):
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_a_shared_start_gives_what_training_in_one_go_gives(task):
    """Copies of one cross-entropy policy may serve all that fine-tune."""
    settings = {"seed": 0, "progress": False}
    whole = build_model(METHODS["genre2"], task, seed=0)
    history = train(whole, task, METHODS["genre2"], ce_steps=3, rl_steps=2, **settings)
    assert history["stage"].unique().tolist() == ["CE", "GenRe²"]
    start = build_model(METHODS["ce"], task, seed=0)
    train(start, task, METHODS["ce"], ce_steps=3, rl_steps=0, **settings)
    tuned = copy.deepcopy(start)
    train(tuned, task, METHODS["genre2"], ce_steps=0, rl_steps=2, **settings)
    assert same_weights(tuned, whole)
    assert not same_weights(tuned, start)


def test_without_cross_entropy_steps_a_policy_is_tuned_as_it_is(task):
    policy = build_model(METHODS["remax"], task)
    steps = {"ce_steps": 0, "rl_steps": 2}
    history = train(policy, task, METHODS["remax"], progress=False, **steps)
    assert history["stage"].unique().tolist() == ["ReMax"]
    with pytest.raises(ValueError, match="steps=-1 must be at least 1"):
        train(policy, task, METHODS["remax"], ce_steps=-1, progress=False)


@pytest.mark.parametrize("name", ["ce", "pointwise", "histogram"])
def test_a_method_of_one_stage_gets_the_steps_of_both(name, task):
    model = build_model(METHODS[name], task)
    steps = {"ce_steps": 3, "rl_steps": 2}
    history = train(model, task, METHODS[name], progress=False, **steps)
    assert history["stage"].unique().tolist() == [METHODS[name].label]
    assert history["step"].iloc[-1] == 5


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
    before = copy.deepcopy(policy)
    sizes = {"ce_steps": 1, "rl_steps": 1, "progress": False}
    with pytest.raises(ValueError, match=message):
        train(policy, task, METHODS["remax"], **sizes | wrong)
    assert same_weights(policy, before)


def test_models_of_one_tokenizer_keep_the_range_of_their_own_task(task):
    given = NormalizedTokenizer(base=2, num_digits=3)
    wider = replace(task, train=Split(task.train.x, 2 * task.train.z))
    first, second = (build_model(METHODS["ce"], t, given) for t in (task, wider))
    assert first.tokenizer.high == pytest.approx(task.train.z.max().item())
    assert second.tokenizer.high == pytest.approx(2 * first.tokenizer.high)
    assert given.config == NormalizedTokenizer(base=2, num_digits=3).config
