"""Specification of the environment: one episode writes one number, token by token."""

import itertools
import json
import multiprocessing
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
import torch
from conftest import TINY_TOKENIZERS
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import PassiveEnvChecker

from genre2_mini.mdp import DecodingEnv, reachable
from genre2_mini.rewards import squared_error_reward
from genre2_mini.tasks import load_task
from genre2_mini.tokenizers import (
    ConcatenatedTokenizer,
    IEEETokenizer,
    NormalizedTokenizer,
    ScientificTokenizer,
)

ID = "genre2_mini/Decoding-v0"

every_tokenizer = pytest.mark.parametrize("kind", TINY_TOKENIZERS)


def make(task, kind="scientific", **arguments):
    return DecodingEnv(task, TINY_TOKENIZERS[kind](), **arguments)


def write(env, tokens):
    """Step through ``tokens``; the last step's reward, terminated and info."""
    for token in tokens:
        _, reward, terminated, _, info = env.step(token)
    return reward, terminated, info


# --- Gymnasium ----------------------------------------------------------------


@every_tokenizer
def test_gymnasiums_checker_passes_without_a_warning(task, kind):
    # The checker ignores masks, so unequal legal sets need the penalty.
    penalty = None if kind == "normalised" else -10.0
    tokenizer = TINY_TOKENIZERS[kind]()
    env = gymnasium.make(ID, task=task, tokenizer=tokenizer, illegal_penalty=penalty)
    check_env(env.unwrapped)


@pytest.mark.parametrize("name", [ID, f"genre2_mini:{ID}"])
def test_make_by_id_checks_every_step_passively(name, task):
    env = gymnasium.make(name, task=task)
    assert isinstance(env.unwrapped, DecodingEnv)
    assert isinstance(env.env, PassiveEnvChecker)
    for seed in range(5):
        _, info = env.reset(seed=seed)
        terminated = False
        while not terminated:
            action = env.action_space.sample(mask=info["action_mask"])
            _, _, terminated, truncated, info = env.step(action)
            assert not truncated


def test_the_package_registers_it_without_importing_torch():
    code = f"""
import importlib, json, sys
import gymnasium
import genre2_mini
spec = gymnasium.spec("{ID}")
importlib.reload(genre2_mini)
print(json.dumps([spec.id, spec.entry_point, sorted(sys.modules)]))
"""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    name, entry_point, modules = json.loads(done.stdout)
    assert (name, entry_point) == (ID, "genre2_mini.mdp:DecodingEnv")
    assert not {"torch", "pandas", "genre2_mini.mdp"} & set(modules)


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_three_at_once_with_masks_and_autoreset(mode, task):
    context = {"vector_kwargs": {"context": "forkserver"}} if mode == "async" else {}
    # To fork this process warns from Python 3.12 on; this way torch loads once, not
    # three times.
    multiprocessing.set_forkserver_preload(["genre2_mini.mdp"])
    tokenizer = TINY_TOKENIZERS["scientific"]()
    kwargs = {"task": task, "tokenizer": tokenizer, "vectorization_mode": mode}
    envs = gymnasium.make_vec(ID, num_envs=3, **kwargs, **context)
    try:
        _, info = envs.reset(seed=0)
        envs.action_space.seed(0)
        for k in range(tokenizer.num_tokens):
            legal = tokenizer.legal[k].numpy()
            assert np.array_equal(info["action_mask"], [legal] * 3)
            action = envs.action_space.sample(mask=tuple(info["action_mask"]))
            observation, reward, terminated, _, info = envs.step(action)
        assert terminated.all() and not info["action_mask"].any()
        values = tokenizer.decode(torch.from_numpy(observation["tokens"]))
        assert np.array_equal(info["value"], values)
        assert np.array_equal(reward, -((info["value"] - info["target"]) ** 2))
        # The step after the end resets, whatever the actions are.
        observation, reward, terminated, _, info = envs.step(action)
        assert (observation["tokens"] == -1).all()
        assert not reward.any() and not terminated.any()
        assert np.array_equal(observation["x"], task.train.x[info["row"]])
    finally:
        envs.close()


# --- The decision process -----------------------------------------------------


@every_tokenizer
def test_an_episode_has_k_steps_and_one_reward_at_the_end(task, kind):
    env = make(task, kind)
    tokenizer, z = env.tokenizer, task.train.z[[5]]
    string = tokenizer.encode(z)
    observation, info = env.reset(options={"row": 5})
    assert info["row"] == 5
    assert np.array_equal(observation["x"], task.train.x[5])
    assert (observation["tokens"] == -1).all()
    for k, token in enumerate(string[0].tolist()):
        observation, reward, terminated, truncated, info = env.step(token)
        written = [*string[0, : k + 1].tolist(), *[-1] * (tokenizer.num_tokens - k - 1)]
        assert observation["tokens"].tolist() == written
        assert not truncated
        if k + 1 < tokenizer.num_tokens:
            assert reward == 0 and not terminated
            assert info.keys() == {"action_mask"}  # the target stays hidden
    values = tokenizer.decode(string)
    assert terminated
    assert reward == squared_error_reward(values, z).item()
    assert (info["value"], info["target"]) == (values.item(), z.item())
    assert observation.keys() == {"x", "tokens"}


@every_tokenizer
def test_the_mask_is_the_tokenizers_legal_set(task, kind):
    env = make(task, kind)
    _, info = env.reset(seed=0)
    for legal in env.tokenizer.legal:
        mask = info["action_mask"]
        assert mask.dtype == np.int8
        assert np.array_equal(mask, legal)
        *_, info = env.step(legal.sum().item() - 1)
    assert not info["action_mask"].any()


def test_masked_random_play_is_uniform_over_the_legal_strings(task):
    env = make(task)
    env.reset(seed=0)
    env.action_space.seed(0)
    strings = []
    for _ in range(1000):
        _, info = env.reset()
        steps, terminated = 0, False
        while not terminated:
            action = env.action_space.sample(mask=info["action_mask"])
            observation, _, terminated, _, info = env.step(action)
            steps += 1
        assert steps == env.tokenizer.num_tokens
        strings.append(observation["tokens"])
    strings = np.stack(strings)
    env.tokenizer.decode(torch.from_numpy(strings))  # raises for an illegal id
    for column, size in zip(strings.T, env.tokenizer.vocab_sizes, strict=True):
        share = np.bincount(column, minlength=size) / 1000
        # Four standard deviations of a share of 1000 draws.
        assert share == pytest.approx(1 / size, abs=4 * (1 / size / 1000) ** 0.5)


def test_any_reward_of_values_and_targets_will_do(task):
    env = make(task, reward=lambda values, z: -(values - z[:, None]).abs())
    env.reset(options={"row": 0})
    reward, _, info = write(env, [0, 1, 2, 1])
    assert info["value"] == 12.0
    assert reward == -abs(info["value"] - info["target"])


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_rows_are_drawn_uniformly_from_the_split(task, split):
    env, part = make(task, split=split), getattr(task, split)
    env.reset(seed=0)
    rows = []
    for _ in range(50 * len(part)):
        observation, info = env.reset()
        rows.append(info["row"])
    assert np.array_equal(observation["x"], part.x[rows[-1]])
    counts = np.bincount(rows, minlength=len(part))
    assert len(counts) == len(part)
    # 50 each, give or take five standard deviations.
    assert counts == pytest.approx(50, abs=5 * 50**0.5)


def test_seeds_reproduce_the_rows(task):
    def rows(env, seed):
        first = env.reset(seed=seed)[1]["row"]
        return [first, *(env.reset()[1]["row"] for _ in range(5))]

    env = make(task)
    assert rows(env, 7) == rows(env, 7) == rows(make(task), 7)
    assert rows(env, 7) != rows(env, 8)


def test_what_is_returned_is_the_callers_to_change(task):
    env = make(task, "normalised")
    (first, info), before = env.reset(options={"row": 0}), task.train.x[0].clone()
    first["x"][:], first["tokens"][:], info["action_mask"][:] = 99, 99, 0
    second, info = env.reset(options={"row": 0})
    assert np.array_equal(second["x"], before)
    assert (second["tokens"] == -1).all() and info["action_mask"].all()


def test_the_default_is_eight_bits_fitted_to_fried():
    env = DecodingEnv()
    assert env.task.name == "fried"
    assert env.tokenizer == NormalizedTokenizer(2, 8).fit(load_task("fried").train.z)
    assert (env.observation_space["tokens"].start == -1).all()


def test_all_splits_share_their_spaces(task):
    spaces = [make(task, split=s).observation_space for s in ("train", "valid", "test")]
    assert spaces[0] == spaces[1] == spaces[2]
    for x in (task.train.x, task.valid.x, task.test.x):
        assert all(spaces[0]["x"].contains(row) for row in x.numpy())


# --- Refusals -----------------------------------------------------------------


def test_an_illegal_token_is_an_error_that_changes_nothing(task):
    env = make(task)
    env.reset(options={"row": 0})
    message = "token 2 at position 0 is not legal: ids there are 0 to 1.*action_mask"
    with pytest.raises(ValueError, match=message):
        env.step(2)
    _, terminated, info = write(env, [0, 1, 2, 1])
    assert terminated and info["value"] == 12.0


def test_with_a_penalty_an_illegal_token_ends_the_episode(task):
    env = make(task, illegal_penalty=-7)
    env.reset(options={"row": 0})
    env.step(1)
    env.step(9)
    env.step(0)
    observation, reward, terminated, truncated, info = env.step(3)
    assert (reward, terminated, truncated) == (-7.0, True, False)
    assert observation["tokens"].tolist() == [1, 9, 0, -1]
    assert info.keys() == {"action_mask", "target"}
    assert not info["action_mask"].any()


@pytest.mark.parametrize("action", [10, -1, 1.0, None, np.array([1])])
def test_an_action_outside_the_space_is_refused(task, action):
    env = make(task, illegal_penalty=-1)
    env.reset(seed=0)
    with pytest.raises(gymnasium.error.InvalidAction, match="integer from 0 to 9"):
        env.step(action)


def test_a_step_needs_a_string_under_way(task):
    env = make(task)
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.step(0)
    env.reset(seed=0)
    write(env, [0, 1, 2, 1])
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.step(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"row": 102}, r"options\['row'\] must be an integer from 0 to 101, got 102"),
        ({"row": -1}, "got -1"),
        ({"row": 1.5}, "got 1.5"),
        ({"rows": 3}, "options must be {\"row\": i} or None, got {'rows': 3}"),
    ],
)
def test_reset_refuses(task, options, message):
    with pytest.raises(ValueError, match=message):
        make(task).reset(options=options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "freid"}, "unknown task 'freid'. Did you mean 'fried'"),
        ({"task": 3}, "task must be a name for load_task or a Task, got 3"),
        ({"tokenizer": "ieee"}, "tokenizer must be a Tokenizer of one.*got 'ieee'"),
        (
            {"tokenizer": ConcatenatedTokenizer([ScientificTokenizer()] * 2)},
            "tokenizer must be a Tokenizer of one number",
        ),
        ({"reward": -1}, r"reward must be a function of \(values, z\), got -1"),
        ({"split": "all"}, "split must be one of .*train.*valid.*test.*got 'all'"),
        ({"illegal_penalty": "-1"}, "illegal_penalty must be None or a finite number"),
        ({"illegal_penalty": float("nan")}, "finite number, got nan"),
        ({"render_mode": "rgb"}, "render_mode must be one of .*ansi.*got 'rgb'"),
    ],
)
def test_the_constructor_refuses(task, arguments, message):
    with pytest.raises(ValueError, match=message):
        DecodingEnv(**({"task": task} | arguments))


def test_a_tokenizer_without_a_range_is_refused_at_once(task):
    with pytest.raises(RuntimeError, match=r"call fit\(z_train\)"):
        DecodingEnv(task, NormalizedTokenizer(2, 8))


# --- Render -------------------------------------------------------------------


def rendered(task, tokens, **arguments):
    """The text after reset and after each token, for row 0 with target z."""
    tokenizer = NormalizedTokenizer(2, 3, low=0.0, high=8.0)
    env = DecodingEnv(task, tokenizer, render_mode="ansi", **arguments)
    env.reset(options={"row": 0})
    return [env.render(), *(env.step(token) and env.render() for token in tokens)]


def test_it_shows_the_tokens_what_is_still_reachable_and_the_target(task):
    z = task.train.z[0].item()
    assert rendered(task, [1, 0, 1]) == [
        f"· · ·   0 … 7   true {z:.3g}",
        f"1 · ·   4 … 7   true {z:.3g}",
        f"1 0 ·   4 … 5   true {z:.3g}",
        f"101   5   true {z:.3g}   reward {-((5 - z) ** 2):.3g}",
    ]


def test_it_shows_an_illegal_end(task):
    env = make(task, illegal_penalty=-7, render_mode="ansi")
    env.reset(options={"row": 0})
    write(env, [0, 1, 2])
    env.step(3)
    z = task.train.z[0].item()
    text = f"0 1 2 ·   1.2 … 120   true {z:.3g}   illegal token   reward -7"
    assert env.render() == text


def test_human_mode_prints_the_same_lines_by_itself(task, capsys):
    tokenizer = NormalizedTokenizer(2, 3, low=0.0, high=8.0)
    env = DecodingEnv(task, tokenizer, render_mode="human")
    env.reset(options={"row": 0})
    write(env, [1, 0, 1])
    assert capsys.readouterr().out.splitlines() == rendered(task, [1, 0, 1])
    assert env.render() is None


def test_render_says_what_it_lacks(task):
    env = make(task)
    with pytest.raises(gymnasium.error.ResetNeeded, match="call reset"):
        env.render()
    env.reset(seed=0)
    with pytest.warns(UserWarning, match="set render_mode"):
        assert env.render() is None


# --- Reachable values ---------------------------------------------------------


def every_value(tokenizer):
    """Values of all strings, one axis a position: [prefix] holds the completions."""
    strings = torch.cartesian_prod(*map(torch.arange, tokenizer.vocab_sizes))
    return tokenizer.decode(strings).reshape(tokenizer.vocab_sizes)


@every_tokenizer
def test_reachable_is_the_range_over_all_completions_of_every_prefix(kind):
    tokenizer = TINY_TOKENIZERS[kind]()
    values = every_value(tokenizer)
    for k in range(tokenizer.num_tokens + 1):
        for prefix in itertools.product(*map(range, tokenizer.vocab_sizes[:k])):
            possible = values[prefix]
            expected = (possible.min().item(), possible.max().item())
            assert reachable(tokenizer, prefix) == expected


@pytest.mark.parametrize(
    "tokenizer",
    [
        NormalizedTokenizer(2, 16, low=-1.0, high=3.0),
        IEEETokenizer(base=2, num_exponent_digits=3, num_mantissa_digits=12),
    ],
)
def test_long_strings_need_no_more_corners(tokenizer):
    values = every_value(tokenizer)
    for prefix in ((), (0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1), (1, 1, 0, 1)):
        possible = values[prefix]
        expected = (possible.min().item(), possible.max().item())
        assert reachable(tokenizer, prefix) == expected


@pytest.mark.parametrize(
    "tokenizer",
    [
        NormalizedTokenizer(2, 53, low=0.0, high=1.0),
        ScientificTokenizer(15, 7),
        # Nine exponent digits are the most that float64 has room for.
        IEEETokenizer(base=2, num_exponent_digits=9, num_mantissa_digits=49),
    ],
)
def test_the_longest_strings_reach_their_whole_range(tokenizer):
    low, high = reachable(tokenizer, [])
    assert low == tokenizer.low
    # The normalised range is half open: its last number is one step below.
    step = isinstance(tokenizer, NormalizedTokenizer) * tokenizer.resolution
    assert high == tokenizer.high - step


@pytest.mark.parametrize(
    ("prefix", "message"),
    [([2], "token 2 at position 0 is not legal"), ([0] * 5, "last dimension 4")],
)
def test_reachable_refuses(prefix, message):
    with pytest.raises(ValueError, match=message):
        reachable(TINY_TOKENIZERS["scientific"](), prefix)
