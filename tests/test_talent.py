"""TALENT's folder layout: one folder a task, the split given by its files."""

import json

import numpy as np
import pytest
import torch

from genre2_mini.tasks import list_talent, load_talent

SIZES = {"train": 64, "val": 16, "test": 20}


@pytest.fixture
def folder(tmp_path):
    """A task of 3 numeric and 2 categorical features, as TALENT lays it out."""
    rng = np.random.default_rng(0)
    path = tmp_path / "toy"
    path.mkdir()
    for part, size in SIZES.items():
        np.save(path / f"N_{part}.npy", rng.normal(size=(size, 3)))
        np.save(path / f"C_{part}.npy", rng.choice(["a", "b"], size=(size, 2)))
        np.save(path / f"y_{part}.npy", rng.normal(size=size))
    describe(path, task_type="regression", n_num_features=3, n_cat_features=2)
    return path


def describe(path, **info):
    (path / "info.json").write_text(json.dumps(info))


def remove(folder, pattern):
    for path in folder.glob(pattern):
        path.unlink()


def test_a_folder_becomes_a_task_with_the_split_of_its_files(folder):
    task = load_talent(folder)
    assert task.name == "toy"
    assert [len(s) for s in (task.train, task.valid, task.test)] == [64, 16, 20]
    assert task.schema.columns == ("N0", "N1", "N2", "C0", "C1")
    assert task.num_features == 3 + 3 + 3
    y = np.load(folder / "y_test.npy")
    np.testing.assert_allclose(task.schema.unstandardise(task.test.z), y, rtol=1e-12)


@pytest.mark.parametrize(("absent", "width"), [("N_*", 6), ("C_*", 3)])
def test_numeric_or_categorical_features_may_be_absent(folder, absent, width):
    remove(folder, absent)
    assert load_talent(folder).num_features == width


def test_targets_may_be_a_column(folder):
    before = load_talent(folder)
    for part in SIZES:
        path = folder / f"y_{part}.npy"
        np.save(path, np.load(path)[:, None])
    assert torch.equal(load_talent(folder).test.z, before.test.z)


def test_max_rows_keeps_the_proportions_and_the_seed_chooses_the_rows(folder):
    first, again, other = (load_talent(folder, 50, seed) for seed in (0, 0, 1))
    assert [len(s) for s in (first.train, first.valid, first.test)] == [32, 8, 10]
    assert torch.equal(first.test.z, again.test.z)
    assert not torch.equal(first.test.z, other.test.z)


def test_list_talent_names_the_regression_tasks(folder):
    other = folder.parent / "classes"
    other.mkdir()
    describe(other, task_type="binclass")
    (folder.parent / "not_a_task").mkdir()
    assert list_talent(folder.parent) == ["toy"]
    with pytest.raises(ValueError, match="classes is a binclass task"):
        load_talent(other)


@pytest.mark.parametrize(("name", "kind"), [("C_test.npy", "str"), ("N_val.npy", "fl")])
def test_objects_are_never_unpickled_and_the_error_says_how_to_save_again(
    folder, name, kind
):
    values = np.load(folder / name)
    np.save(folder / name, values.astype(object))
    with pytest.raises(ValueError, match=rf"{name}.*\.astype\({kind}"):
        load_talent(folder)
    again = np.load(folder / name, allow_pickle=True)  # the test wrote it itself
    np.save(folder / name, again.astype(values.dtype.type))
    load_talent(folder)


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda f: remove(f, "info.json"), FileNotFoundError, "no info.json"),
        (lambda f: remove(f, "y_val.npy"), FileNotFoundError, "y_val.npy is missing"),
        (lambda f: remove(f, "N_val.npy"), FileNotFoundError, "N_val.npy is missing"),
        (lambda f: remove(f, "[NC]_*"), FileNotFoundError, "neither N"),
        (lambda f: (f / "y_val.npy").write_bytes(b""), ValueError, "not a plain array"),
        (
            lambda f: np.save(f / "N_val.npy", np.zeros((3, 3))),
            ValueError,
            r"shape \(3, 3\), y has 16 rows",
        ),
        (
            lambda f: np.save(f / "N_val.npy", np.zeros((16, 2))),
            ValueError,
            r"missing columns \['N2'\]",
        ),
        (
            lambda f: np.save(f / "y_val.npy", np.zeros((16, 2))),
            ValueError,
            r"y_val.npy has shape \(16, 2\)",
        ),
        (
            lambda f: np.save(f / "y_train.npy", np.zeros(64)),
            ValueError,
            "target is constant",
        ),
    ],
)
def test_damaged_folders_are_named_errors(folder, damage, error, message):
    damage(folder)
    with pytest.raises(error, match=message):
        load_talent(folder)
