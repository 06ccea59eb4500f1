"""A checkpoint gives back the same model, or a clear refusal; never half a file."""

import json
import pickle

import pytest
import torch
from conftest import TINY_TOKENIZERS, make_policy, policy_for
from safetensors import safe_open
from safetensors.torch import save_file

from genre2_mini import checkpoints
from genre2_mini.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from genre2_mini.encoders import RowEncoder
from genre2_mini.heads import HistogramHead, PointwiseHead
from genre2_mini.objectives import CrossEntropy
from genre2_mini.tasks import TableSchema
from genre2_mini.training import fit


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(file, task):
    """A policy on disk."""
    save_checkpoint(file, policy_for(task), preprocessing=task.schema.to_dict())
    return file


@pytest.mark.parametrize("name", TINY_TOKENIZERS)
def test_a_policy_comes_back_with_its_tokenizer(file, x, name):
    policy = make_policy(TINY_TOKENIZERS[name]()).float()
    save_checkpoint(file, policy)
    model = load_checkpoint(file).model
    assert model.config == policy.config
    assert not model.training
    tokens = policy.greedy(x)
    assert torch.equal(model.log_prob(x, tokens), policy.log_prob(x, tokens))
    assert torch.equal(model.tokenizer.decode(tokens), policy.tokenizer.decode(tokens))


@pytest.mark.parametrize(
    ("head_class", "arguments"),
    [
        (PointwiseHead, {}),
        (PointwiseHead, {"num_targets": 3}),
        (HistogramHead, {"num_bins": 7, "bound": 2.5}),
    ],
)
def test_a_head_comes_back(file, x, head_class, arguments):
    head = head_class(RowEncoder(4, d_model=16), d_model=16, **arguments).eval()
    save_checkpoint(file, head)
    model = load_checkpoint(file).model
    assert type(model) is head_class
    assert model.config == head.config
    assert model.config.items() >= arguments.items()
    pairs = zip(
        model.predict_distribution(x), head.predict_distribution(x), strict=True
    )
    assert all(torch.equal(loaded, saved) for loaded, saved in pairs)


def test_a_pointwise_head_from_before_several_targets_has_one(file, x):
    head = PointwiseHead(RowEncoder(4, d_model=16), d_model=16).eval()
    save_checkpoint(file, head)
    rewrite(file, lambda config: config.pop("num_targets"))
    assert torch.equal(load_checkpoint(file).model(x), head(x))


def test_an_encoder_of_periodic_features_comes_back(file, x):
    encoder = RowEncoder(4, d_model=16, num_periodic=3)
    head = PointwiseHead(encoder, d_model=16).eval()
    save_checkpoint(file, head)
    loaded = load_checkpoint(file).model
    assert loaded.config == head.config
    assert loaded.encoder.num_periodic == 3
    assert torch.equal(loaded(x), head(x))


def test_an_encoder_from_before_periodic_features_has_none(file, x):
    head = PointwiseHead(RowEncoder(4, d_model=16), d_model=16).eval()
    save_checkpoint(file, head)
    assert "num_periodic" not in head.config["encoder"]  # and files stay as they were
    loaded = load_checkpoint(file).model
    assert loaded.encoder.num_periodic == 0
    assert torch.equal(loaded(x), head(x))


def test_a_histogram_that_cannot_be_is_refused(file):
    save_checkpoint(file, HistogramHead(RowEncoder(4)))
    rewrite(file, lambda config: config.update(bound=-3.0))
    with pytest.raises(CheckpointError, match=r"cannot rebuild .*bound=-3.0"):
        load_checkpoint(file)


def test_the_standardisation_and_versions_travel_along(saved, task):
    loaded = load_checkpoint(saved)
    assert TableSchema.from_dict(loaded.preprocessing) == task.schema
    assert loaded.versions.keys() == {"genre2_mini", "torch", "python"}


def test_a_run_in_progress_loads_as_its_best_model(file, task):
    policy = policy_for(task)
    fit(policy, task, CrossEntropy(), steps=4, validate_every=2, checkpoint=file)
    loaded = load_checkpoint(file)
    x, tokens = task.test.x, policy.greedy(task.test.x)
    assert torch.equal(loaded.model.log_prob(x, tokens), policy.log_prob(x, tokens))
    assert loaded.training["step"] == 4


@pytest.mark.parametrize("kept", [0, 7, 100, 0.5, 0.999])
def test_a_truncated_file_is_refused(saved, kept):
    data = saved.read_bytes()
    saved.write_bytes(data[: kept if kept >= 1 else int(kept * len(data))])
    with pytest.raises(CheckpointError, match="truncated or not a safetensors file"):
        load_checkpoint(saved)


@pytest.mark.parametrize("position", [-1, -1000, -5000])
def test_one_changed_byte_is_noticed(saved, position):
    data = bytearray(saved.read_bytes())
    data[position] ^= 1
    saved.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"changed after it was written"):
        load_checkpoint(saved)


def test_a_missing_file_is_named(file):
    with pytest.raises(CheckpointError, match=f"no checkpoint at {file}"):
        load_checkpoint(file)


class Bomb:
    """Unpickling this would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickle_in_disguise_is_refused_and_never_run(file, tmp_path):
    trace = tmp_path / "executed"
    file.write_bytes(pickle.dumps(Bomb(str(trace))))
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_checkpoint(file)
    assert not trace.exists()


def test_foreign_safetensors_are_refused(file):
    save_file({"weight": torch.zeros(2)}, file)
    with pytest.raises(CheckpointError, match="not a checkpoint of this package"):
        load_checkpoint(file)


def rewrite(path, change):
    """Write ``path`` again with a header changed by ``change``, checksum in step."""
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in list(opened.keys())}
    header = json.loads(metadata["header"])
    change(header["config"])
    metadata["header"] = json.dumps(header)
    metadata["sha256"] = checkpoints._digest(metadata["header"], tensors)
    save_file(tensors, path, metadata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.update(d_ff=8), "weights do not fit"),
        (lambda config: config.update(d_model=32), "cannot rebuild .*d_model=32"),
        (lambda config: config.update(type="os.system"), "cannot rebuild the model"),
        (lambda config: config.pop("encoder"), "cannot rebuild the model"),
        (lambda config: config.update(surprise=1), "cannot rebuild the model"),
        (lambda config: config["encoder"].update(type="Path"), "cannot rebuild"),
        (lambda config: config["encoder"].update(num_periodic=1), "do not fit"),
        (lambda config: config["encoder"].update(num_periodic=9), "num_periodic=9"),
        (lambda config: config["encoder"].update(num_periodic=-1), "a size beyond"),
        (lambda config: config["encoder"].update(num_periodic=2**40), "a size beyond"),
        (lambda config: config["tokenizer"].update(base=1), "cannot rebuild"),
        (lambda config: config.update(tokenizer=[1]), "cannot rebuild"),
    ],
    ids=[
        "other weights",
        "other width",
        "no such class",
        "no encoder",
        "extra argument",
        "no such encoder",
        "waves without weights",
        "more waves than features",
        "fewer waves than none",
        "waves beyond memory",
        "bad tokenizer",
        "no tokenizer",
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    "header",
    ["", "[]", "3", "{}", '{"config": {}}', '{"config": {"encoder": 3}}'],
)
def test_an_incomplete_header_is_refused(file, header):
    tensors = {"model.weight": torch.zeros(1)}
    digest = checkpoints._digest(header, tensors)
    metadata = {"format": checkpoints.FORMAT, "header": header, "sha256": digest}
    save_file(tensors, file, metadata)
    with pytest.raises(CheckpointError, match="incomplete header"):
        load_checkpoint(file)


def test_a_failed_write_leaves_the_old_file_and_no_litter(saved, task, monkeypatch):
    before = saved.read_bytes()

    def disk_full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(saved, policy_for(task, seed=1))
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_missing_folder_is_an_oserror(tmp_path, task):
    with pytest.raises(OSError, match="nowhere"):
        save_checkpoint(tmp_path / "nowhere" / "m.safetensors", policy_for(task))
