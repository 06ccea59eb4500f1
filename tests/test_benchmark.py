"""The benchmark of rollouts measures what it says, with fair opponents."""

import json
from functools import partial
from itertools import product

import pytest
import torch
from conftest import make_policy
from typer.testing import CliRunner

from genre2_mini.cli import app
from genre2_mini.encoders import RowEncoder
from genre2_mini.experiments import rollout_measurements, samplers, timing
from genre2_mini.experiments.rollout_benchmark import tables
from genre2_mini.experiments.rollout_measurements import (
    QUICK,
    Settings,
    batch_sizes,
    scaling_rows,
)
from genre2_mini.methods import choose_device
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rollouts import tree_rollout
from genre2_mini.tokenizers import NormalizedTokenizer


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# The samplers


def test_the_uncached_sampler_draws_the_strings_that_the_policy_draws(policy, x):
    """Same law, same order of draws: the same tokens from the same generator."""
    uncached = samplers.sample_uncached(policy, x, 50, seeded())
    assert torch.equal(uncached, policy.sample(x, 50, generator=seeded()))


def test_the_textbook_loss_is_the_packages_loss_of_the_same_strings(policy, x):
    def expanded_tree(policy, x, num_samples, generator):
        drawn = tree_rollout(policy, x, num_samples, generator=generator, greedy=True)
        strings = drawn.tokens.repeat_interleave(drawn.count, dim=0)
        return strings.unflatten(0, (len(x), num_samples))

    z = torch.tensor([-1.0, 0.0, 1.0]).double()
    textbook = samplers.textbook_remax(expanded_tree, policy, x, z, seeded())
    package = samplers.tree_remax(policy, x, z, seeded())
    torch.testing.assert_close(textbook, package, rtol=1e-12, atol=1e-12)
    assert textbook != 0


@pytest.mark.parametrize("name", samplers.REMAX_LOSSES)
def test_a_timed_step_computes_gradients_and_leaves_the_weights(x, name):
    policy = make_policy(NormalizedTokenizer(base=3, num_digits=3, low=-2.0, high=2.0))
    before = {key: weight.clone() for key, weight in policy.state_dict().items()}
    z = torch.tensor([-1.0, 0.0, 1.0]).double()
    loss, optimiser = samplers.REMAX_LOSSES[name], samplers.still_optimiser(policy)
    samplers.remax_step(loss, policy, optimiser, x, z)
    assert policy.unembedding.weight.grad.abs().sum() > 0
    for key, weight in policy.state_dict().items():
        assert torch.equal(weight, before[key]), key


# What they read and compute


def even_policy(num_digits):
    """All strings of ``num_digits`` bits are equally likely."""
    policy = make_policy(NormalizedTokenizer(2, num_digits, low=0.0, high=1.0))
    with torch.no_grad():
        policy.unembedding.weight.zero_()
        policy.unembedding.bias.zero_()
    return policy


def test_positions_read_of_each_depth(x):
    policy = even_policy(num_digits=3)
    reads = samplers.positions_read(policy, x, num_samples=2000)
    assert reads["uncached"] == [6000, 4000, 2000]
    assert reads["cached"] == [2000, 2000, 2000]
    # All 1 + 2 + 4 prefixes: one of the 12 is missed with chance 12·0.75^2000 = 0.
    assert reads["tree"] == [1, 2, 4]
    one = samplers.positions_read(policy, x, num_samples=1)
    assert one["tree"] == one["cached"] == [1, 1, 1]


def test_operations_of_a_tiny_policy_by_hand():
    """Encoder 5·4 + 4·2, block 2·6 + 2·2 + 2·3 + 3·2, unembedding 2·3 multiply-adds."""
    encoder = RowEncoder(5, d_model=2, hidden=4, num_layers=1)
    tokenizer = NormalizedTokenizer(base=3, num_digits=2, low=0.0, high=1.0)
    policy = DecodingPolicy(encoder, tokenizer, 2, num_heads=1, num_layers=1, d_ff=3)
    # One string: two positions, of which the second attends to both.
    attention = 2 * 2 * (1 + 2)
    once = 28 + 2 * 28 + attention + 2 * 6
    assert samplers.flops(policy, [1, 1], num_logits=2) == 2 * once
    # Uncached: the first position twice, and still two answers.
    again = 28 + 2 * 2
    assert samplers.flops(policy, [2, 1], num_logits=2) == 2 * (once + again)


# Timing


def test_works_take_turns_within_a_round():
    calls = []
    works = {name: lambda name=name: calls.append(name) for name in "abc"}
    seconds = timing.interleaved(works, rounds=2, at_least=0.0)
    assert "".join(calls) == "abc" + "abc" * 2  # a warm-up, then the rounds
    assert {name: len(times) for name, times in seconds.items()} == dict.fromkeys(
        "abc", 2
    )


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when a test moves it."""

    class Clock:
        now = 0.0

        def tick(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
    return clock


def test_a_short_work_is_repeated_and_its_seconds_are_those_of_one_call(clock):
    calls = []

    def work():
        calls.append(1)
        clock.tick(0.25)

    seconds = timing.interleaved({"work": work}, rounds=3, at_least=1.0)
    assert seconds == {"work": [0.25, 0.25, 0.25]}
    assert len(calls) == 1 + 3 * 4


def test_a_ratio_is_the_median_within_rounds():
    """Not the ratio of medians, 4 / 2: a slow round slows both."""
    assert timing.ratio([3.0, 4.0, 30.0], [1.0, 2.0, 10.0]) == 3.0


def test_the_peak_is_that_of_the_fastest_product(monkeypatch):
    monkeypatch.setattr(timing, "interleaved", lambda *_: {"product": [4.0, 2.0, 8.0]})
    assert timing.peak_flops(size=10) == 2 * 10**3 / 2.0


def hold(policy, x, megabytes):
    """A sampler that needs so much memory a row."""
    torch.ones(len(x), megabytes * 10**6, dtype=torch.uint8)


def test_memory_is_that_of_the_work_not_of_the_process_that_asks():
    """16 rows of 4 MB; the one row that warms up counts as there before."""
    ballast = torch.ones(200 * 10**6, dtype=torch.uint8)
    x = torch.zeros(16, 1)
    work = partial(samplers.sample_strings, hold, 4)
    assert timing.peak_megabytes(work, None, x, x) == pytest.approx(60, abs=5)
    del ballast


# Results


def test_results_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "results.json"
    timing.save_json({"rows": [1, 2]}, path)
    with pytest.raises(TypeError):
        timing.save_json({"rows": object()}, path)
    assert json.loads(path.read_text()) == {"rows": [1, 2]}
    assert list(tmp_path.iterdir()) == [path]


def test_results_keep_five_significant_digits():
    row = {"seconds": 2 / 3, "rate": 1234567.8, "name": "tree", "count": 10**6}
    kept = {"seconds": 0.66667, "rate": 1234600.0, "name": "tree", "count": 10**6}
    assert timing.rounded({"rows": (row,), "threads": None}) == {
        "rows": [kept],
        "threads": None,
    }


def test_a_missing_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    with pytest.raises(ValueError, match="no CUDA device here"):
        choose_device("cuda")


def test_batches_are_large_enough_and_no_larger(x):
    """Three binary digits have 7 prefixes: about 32,768 / 7 rows of them are enough."""
    policy = even_policy(num_digits=3)

    def sizes(num_samples, rows):
        return batch_sizes(policy, x, num_samples, rows)

    assert sizes(16, rows=10**6)["uncached"] == 512 / 16
    assert sizes(16, rows=10**6)["cached"] == 2048 / 16
    assert sizes(2000, rows=10**6)["tree"] == 2**15 // 7
    assert sizes(1, rows=20) == {"uncached": 20, "cached": 20, "tree": 20}
    assert sizes(4096, rows=20) == {"uncached": 1, "cached": 1, "tree": 20}


def test_the_plain_sampler_stops_growing_once_it_is_slow(monkeypatch, x):
    monkeypatch.setattr(rollout_measurements, "ENOUGH_SECONDS", 0.0)
    rows = list(scaling_rows(even_policy(3), even_policy, x, Settings(**QUICK)))
    values = {
        sampler: [(r["vary"], r["value"]) for r in rows if r["sampler"] == sampler]
        for sampler in ("tree", "cached")
    }
    smallest = [("num_samples", 1), ("rows", 4), ("num_digits", 2)]
    assert values["cached"] == smallest
    assert values["tree"] == [
        *(("num_samples", s) for s in QUICK["vary_samples"]),
        *(("rows", n) for n in QUICK["vary_rows"]),
        *(("num_digits", k) for k in QUICK["vary_digits"]),
    ]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What a quick run of two tokenizers prints and writes."""
    path = tmp_path_factory.mktemp("bench") / "rollouts.json"
    command = ["bench", "rollouts", "--quick", "--json", str(path)]
    tokenizers = ["--tokenizer", "ieee", "--tokenizer", "normalised"]
    shown = CliRunner().invoke(app, [*command, *tokenizers, "--device", "cpu"])
    assert shown.exit_code == 0, shown.output
    return shown.stdout, json.loads(path.read_text())


TOKENIZERS = {"ieee": 7, "normalised": 8}  # name -> K
STAGES = ("before", "after")


def keyed(rows, *keys):
    """The rows by their keys, each combination once."""
    named = {tuple(row[key] for key in keys): row for row in rows}
    assert len(named) == len(rows)
    return named


def test_a_run_measures_every_sampler_stage_tokenizer_and_number_of_samples(quick):
    _, results = quick
    keys = ("sampler", "stage", "tokenizer", "num_samples")
    rows = keyed(results["rows"], *keys)
    assert set(rows) == set(product(samplers.SAMPLERS, STAGES, TOKENIZERS, (1, 16)))
    numbers = {
        "samples_per_second",
        "samples_per_second_low",
        "samples_per_second_high",
    }
    ratios = {"speedup_over_cached", "speedup_over_uncached", "share_of_peak"}
    for (sampler, _, tokenizer, s), row in rows.items():
        assert set(row) == {*keys, "nodes_per_input"} | numbers | ratios
        low, middle, high = (
            row[f"samples_per_second{e}"] for e in ("_low", "", "_high")
        )
        assert 0 < low <= middle <= high
        if sampler != "tree":
            assert row[f"speedup_over_{sampler}"] == 1
        k = TOKENIZERS[tokenizer]
        plain = {"uncached": s * k * (k + 1) / 2, "cached": s * k}
        if sampler in plain:
            assert row["nodes_per_input"] == plain[sampler]
        else:
            assert k <= row["nodes_per_input"] <= s * k


def test_a_run_times_remax_steps_and_memory_before_and_after(quick):
    _, results = quick
    steps = keyed(results["remax_step"], "method", "stage", "tokenizer")
    assert set(steps) == set(product(samplers.REMAX_LOSSES, STAGES, TOKENIZERS))
    for (method, *_), row in steps.items():
        assert 0 < row["seconds_low"] <= row["seconds"] <= row["seconds_high"]
        assert row["speedup_over_plain"] == 1 or method != "plain"
        assert row["speedup_over_uncached"] == 1 or method != "uncached"
    memory = keyed(results["memory"], "work", "method", "stage", "tokenizer")
    methods = {"remax_step": samplers.REMAX_LOSSES, "sampling": samplers.SAMPLERS}
    assert set(memory) == {
        (work, method, stage, "ieee")
        for work, stage in product(methods, STAGES)
        for method in methods[work]
    }
    assert all(row["megabytes"] >= 0 for row in memory.values())


def test_a_run_records_scaling_settings_and_machine(quick):
    _, results = quick
    scaling = keyed(results["scaling"], "vary", "value", "sampler")
    values = {
        "num_samples": QUICK["vary_samples"],
        "rows": QUICK["vary_rows"],
        "num_digits": QUICK["vary_digits"],
    }
    of_the_tree = {(vary, value) for vary in values for value in values[vary]}
    assert {key[:2] for key in scaling if key[2] == "tree"} == of_the_tree
    assert {key[2] for key in scaling} == {"tree", "cached"}
    assert results["settings"]["tokenizers"] == list(TOKENIZERS)
    assert set(results["machine"]) == {
        "torch", "device", "cores", "threads", "cpu_capability", "peak_gflops"
    }  # fmt: skip
    assert results["machine"]["device"] == "CPU"


def test_a_run_prints_the_tables_it_writes(quick):
    shown, results = quick
    assert shown == tables(results) + "\n"
    titles = ["Sampling", "One ReMax step", "Peak memory", "Seconds against one size"]
    assert [line for line in shown.splitlines() if line in titles] == titles
