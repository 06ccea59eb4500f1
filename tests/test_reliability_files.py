"""A file that is damaged, foreign or hostile is a CheckpointError and nothing else."""

import os
import pickle
import time

import numpy as np
import pytest
import torch
from faults import rewrite, rows, tiny
from safetensors.torch import save_file

from genre2_mini import checkpoints, rebuilding
from genre2_mini.checkpoints import CheckpointError
from genre2_mini.regressor import DecodingRegressor


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The bytes of a saved estimator."""
    return tiny().fit(*rows()).save(tmp_path_factory.mktemp("model")).read_bytes()


@pytest.fixture
def file(tmp_path, data):
    """A saved estimator, to be spoilt."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    return path


def assert_refused(file, message):
    with pytest.raises(CheckpointError, match=message):
        DecodingRegressor.load(file.parent)


# Damaged


def test_one_changed_byte_anywhere_is_refused(file, data):
    rng = np.random.default_rng(0)
    for position in {*range(16), *rng.integers(len(data), size=400)}:
        spoilt = bytearray(data)
        spoilt[position] ^= 1 << rng.integers(8)
        file.write_bytes(spoilt)
        assert_refused(file, str(file))


def test_a_file_cut_short_anywhere_is_refused(file, data):
    ends = np.linspace(0, len(data) - 1, 200).astype(int)
    for length in {*range(64), *ends, *range(len(data) - 16, len(data))}:
        file.write_bytes(data[:length])
        assert_refused(file, "truncated or not a safetensors file")


def test_a_file_with_more_at_its_end_is_refused(file, data):
    file.write_bytes(data + b"\0")
    assert_refused(file, "truncated or not a safetensors file")


def test_an_empty_model_file_is_refused(file):
    file.write_bytes(b"")
    assert_refused(file, "truncated or not a safetensors file")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(file, value):
    rewrite(file, lambda _, tensors: tensors["model.unembedding.bias"][0].fill_(value))
    assert_refused(file, "holds NaN or infinite weights: train again")


# Foreign


class Payload:
    """Unpickling this creates a file."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return open, (self.trace, "w")


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_a_pickle_named_like_a_model_is_refused_and_not_run(file, tmp_path, write):
    trace = tmp_path / "executed"
    with open(file, "wb") as opened:
        write(Payload(trace), opened)
    assert_refused(file, "not a safetensors file")
    assert not trace.exists()


def test_the_safetensors_of_another_program_are_refused(file):
    save_file({"weight": torch.zeros(2)}, file, {"format": "pt"})
    assert_refused(file, "not a checkpoint of this package: its format is 'pt'")


def test_a_network_without_an_estimator_is_refused(file):
    rewrite(file, lambda header, _: header.update(training=None))
    assert_refused(file, "holds a network, no fitted regressor")


def test_the_checkpoint_of_a_run_on_other_rows_is_refused(tmp_path):
    fitted = tiny(checkpoint=tmp_path)
    x, y = rows()
    fitted.fit(x, y)
    for row in range(len(y)):  # some train, some choose the weights
        changed = y + 1e-9 * (np.arange(len(y)) == row)
        with pytest.raises(CheckpointError, match=r"differs in .*task"):
            fitted.fit(x, changed)


# Paths


def a_folder(path):
    path.mkdir()


def a_loop(path):
    path.symlink_to(path)


def a_dangling_link(path):
    path.symlink_to(path.with_name("nowhere"))


def a_pipe(path):
    os.mkfifo(path)  # reading it would wait for ever


@pytest.mark.parametrize("make", [a_folder, a_loop, a_dangling_link, a_pipe])
def test_a_model_that_is_no_file_is_refused(file, make):
    file.unlink()
    make(file)
    assert_refused(file, f"no checkpoint at {file}")


@pytest.mark.parametrize(
    "name", ["nowhere", "model.safetensors", "a/../../nowhere", "x" * 300, "a\0b"]
)
def test_a_model_folder_that_is_none_is_refused(file, name):
    with pytest.raises(CheckpointError, match=r"no checkpoint at|cannot be read"):
        DecodingRegressor.load(file.parent / name)


def test_a_path_with_dots_and_links_leads_to_the_model(file):
    (file.parent / "inner").mkdir()
    (file.parent / "link").symlink_to(file.parent)
    expected = DecodingRegressor.load(file.parent).predict(rows()[0])
    for folder in (file.parent / "inner" / "..", file.parent / "link"):
        loaded = DecodingRegressor.load(folder)
        np.testing.assert_array_equal(loaded.predict(rows()[0]), expected)


# Hostile: a checksum is no signature, and whoever writes a file can write it in step


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


HUGE = 10**9
SIZES = [
    {"d_model": HUGE, "encoder.d_model": HUGE},
    {"d_model": HUGE, "encoder.d_model": HUGE, "encoder.hidden": HUGE},
    {"num_layers": HUGE},
    {"num_layers": 100, "d_model": 1000, "encoder.d_model": 1000},
    {"num_heads": HUGE},
    {"num_heads": 0},
    {"num_heads": -2},
    {"d_ff": HUGE},
    {"encoder.num_features": HUGE},
    {"encoder.num_layers": HUGE},
    {"tokenizer.num_digits": HUGE},
    {"tokenizer.base": HUGE},
    {"tokenizer.base": 10**400},
    {"dropout": 1e300},
    {"tokenizer.high": float("nan")},
    {"tokenizer": {"type": "IEEETokenizer", "num_exponent_digits": HUGE}},
    {"tokenizer": {"type": "ScientificTokenizer", "num_digits": HUGE}},
    {"encoder": nested(500)},
]


@pytest.mark.parametrize("change", SIZES, ids=str)
def test_sizes_that_would_fill_the_memory_are_refused_before_it_is_asked_for(
    file, change, monkeypatch
):
    def hostile(header, _):
        for name, value in change.items():
            *parents, last = name.split(".")
            target = header["config"]
            for parent in parents:
                target = target[parent]
            target[last] = value

    rewrite(file, hostile)
    build_model, devices = rebuilding.build_model, []

    def watched(config):
        devices.append(torch.empty(0).device.type)
        return build_model(config)

    monkeypatch.setattr(rebuilding, "build_model", watched)
    start = time.process_time()
    assert_refused(
        file, "cannot rebuild the model|weights do not fit|incomplete header"
    )
    assert time.process_time() - start < 2
    assert set(devices) <= {"meta"}  # where tensors have a shape and no memory


@pytest.mark.parametrize("depth", [900, 100_000])
def test_a_header_nested_too_deeply_is_refused(file, depth):
    tensors = {"model.weight": torch.zeros(1)}
    for header in (
        "[" * depth + "]" * depth,
        f'{{"config": {"[" * depth}{"]" * depth}}}',
    ):
        metadata = {"format": checkpoints.FORMAT, "header": header}
        metadata["sha256"] = checkpoints._digest(header, tensors)
        save_file(tensors, file, metadata)
        assert_refused(file, "incomplete header")


STATES = {
    "no state": lambda header: header.update(training={"regressor": {}}),
    "a list": lambda header: header.update(training=[1]),
    "a number": lambda header: header["training"].update(regressor=3),
    "no columns": lambda header: header["preprocessing"].update(columns=None),
    "no schema": lambda header: header.update(preprocessing=None),
    "other columns": lambda header: header["preprocessing"].update(numeric={}),
    "an unknown parameter": lambda header: params(header).update(surprise=1),
    "an unknown method": lambda header: params(header).update(method="magic"),
    "endless digits": lambda header: params(header).update(
        tokenizer={"type": "NormalizedTokenizer", "num_digits": HUGE}
    ),
    "no history": lambda header: header["training"]["regressor"].pop("history"),
}


def params(header):
    return header["training"]["regressor"]["params"]


@pytest.mark.parametrize("change", STATES.values(), ids=STATES)
def test_a_state_that_is_no_estimators_is_refused(file, change):
    rewrite(file, lambda header, _: change(header))
    assert_refused(file, str(file))


@pytest.mark.parametrize(
    "change",
    [
        lambda header, _: header["training"].pop("records"),
        lambda header, _: header["training"].update(settings=3),
        lambda header, _: header["training"].update(step="soon"),
        lambda _, tensors: tensors.pop("training.weights.0.encoder.net.0.bias"),
        lambda _, tensors: tensors.update({"training.adamw.x.step": torch.zeros(1)}),
    ],
    ids=["no records", "no settings", "no step", "a weight less", "a strange moment"],
)
def test_a_checkpoint_whose_state_is_no_runs_is_refused(tmp_path, change):
    fitted = tiny(checkpoint=tmp_path).fit(*rows())
    rewrite(tmp_path / "stage1.safetensors", change)
    with pytest.raises(CheckpointError, match=r"stage1\.safetensors"):
        fitted.fit(*rows())
