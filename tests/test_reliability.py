"""Killed, crowded out or out of space: what is on disk stays whole, and goes on."""

import json
import os
import re
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from faults import longer, rows, started, tiny, wait_for

from genre2_mini.checkpoints import load_checkpoint
from genre2_mini.regressor import DecodingRegressor

resource = pytest.importorskip("resource", reason="faults of POSIX systems")
TESTS = Path(__file__).parent
PAGE = TESTS.parent / "book" / "reliability.md"


@pytest.fixture(scope="module")
def uninterrupted():
    """The history and predictions of a fit that nothing disturbed."""
    x, y = rows()
    fitted = longer().fit(x, y)
    return fitted.history_.drop(columns="seconds"), fitted.predict(x)


def assert_fit_gives(uninterrupted, folder):
    """A fit that goes on in ``folder`` ends as if nothing had happened, bit for bit."""
    history, predictions = uninterrupted
    x, y = rows()
    fitted = longer(folder).fit(x, y)
    resumed = fitted.history_.drop(columns="seconds")
    pd.testing.assert_frame_equal(resumed, history, check_exact=True)
    np.testing.assert_array_equal(fitted.predict(x), predictions)


def step_of(path):
    """Where the checkpoint at ``path`` stands; −1 while there is none."""
    return load_checkpoint(path).training["step"] if path.exists() else -1


def hidden(folder):
    """Names in ``folder`` that start with a dot, without the lock."""
    return sorted(p.name for p in folder.glob(".*") if p.name != ".lock")


# Killed


@pytest.mark.parametrize(("stage", "step"), [(1, 50), (2, 20)])
def test_a_killed_training_goes_on_bit_for_bit(tmp_path, uninterrupted, stage, step):
    checkpoint = tmp_path / f"stage{stage}.safetensors"
    pause = stage, step + 1, "never"
    with started("train_with_a_pause", tmp_path, *pause) as process:
        # Every look loads the file: at no time is there half of one.
        wait_for(lambda: step_of(checkpoint) == step, process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert step_of(checkpoint) == step
    assert_fit_gives(uninterrupted, tmp_path)


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_process_killed_while_it_writes_leaves_the_checkpoint_before(
    tmp_path, uninterrupted, moment
):
    with started("die_while_writing", tmp_path, moment) as process:
        _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    (left,) = hidden(tmp_path)
    assert re.fullmatch(r"\.stage1\.safetensors\.[0-9a-f]{32}", left)
    assert step_of(tmp_path / "stage1.safetensors") == 50  # the third is of 55
    assert_fit_gives(uninterrupted, tmp_path)
    assert hidden(tmp_path) == [left]


def test_a_write_removes_what_was_left_an_hour_before(tmp_path):
    fitted = tiny("pointwise").fit(*rows())
    names = {
        "old": f".model.safetensors.{'0' * 32}",
        "new": f".model.safetensors.{'1' * 32}",
        "other file": f".stage1.safetensors.{'0' * 32}",
        "other name": ".model.safetensors.backup",
    }
    now = fitted.save(tmp_path).stat().st_mtime
    for kind, name in names.items():
        (tmp_path / name).touch()
        age = 3000 if kind == "new" else 4000
        os.utime(tmp_path / name, (now - age, now - age))
    fitted.save(tmp_path)
    assert hidden(tmp_path) == sorted(set(names.values()) - {names["old"]})


def test_a_model_of_numpys_numbers_comes_back_bit_for_bit(tmp_path):
    x, y = rows()
    sizes = {
        "d_model": np.int64(8),
        "batch_size": np.int32(16),
        "dropout": np.float32(0),
    }
    fitted = tiny("genre2", checkpoint=tmp_path, **sizes).fit(x, y * 1e-300)
    fitted.save(tmp_path)
    loaded = DecodingRegressor.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.history_, fitted.history_, check_exact=True)
    np.testing.assert_array_equal(loaded.predict(x), fitted.predict(x))
    assert loaded.get_params() == fitted.get_params() | {"checkpoint": str(tmp_path)}


# No space, no permission


@contextmanager
def full_at(num_bytes):
    """No file can grow beyond so many bytes: the system refuses the write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_older_model_as_it_was(tmp_path):
    x, y = rows()
    older, newer = tiny("pointwise").fit(x, y), tiny("ce").fit(x, y)
    file = older.save(tmp_path)
    before = file.read_bytes()
    with full_at(1000), pytest.raises(OSError, match="File too large"):
        newer.save(tmp_path)
    assert file.read_bytes() == before
    assert hidden(tmp_path) == []
    loaded = DecodingRegressor.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(x), older.predict(x))


def test_a_training_that_fills_the_disk_goes_on_when_there_is_space(
    tmp_path, uninterrupted
):
    checkpoint = tmp_path / "stage1.safetensors"
    x, y = rows()
    longer(tmp_path).fit(x, y)
    size = checkpoint.stat().st_size
    checkpoint.unlink()
    (tmp_path / "stage2.safetensors").unlink()
    # The first checkpoint has no optimiser's moments yet: half the size of the next.
    with full_at(3 * size // 4), pytest.raises(OSError, match="File too large"):
        longer(tmp_path).fit(x, y)
    assert step_of(checkpoint) == 0
    assert hidden(tmp_path) == []
    assert_fit_gives(uninterrupted, tmp_path)


@pytest.mark.parametrize("name", ["file", "file/beneath"])
def test_a_folder_that_cannot_be_made_is_an_oserror_that_names_it(tmp_path, name):
    (tmp_path / "file").write_text("no folder")
    folder = tmp_path / name
    fitted = tiny("pointwise").fit(*rows())
    for attempt in (
        lambda: fitted.save(folder),
        lambda: tiny("pointwise", checkpoint=folder).fit(*rows()),
    ):
        with pytest.raises(OSError, match=re.escape(str(folder))):
            attempt()
    assert (tmp_path / "file").read_text() == "no folder"


@contextmanager
def as_nobody():
    """Without root's rights, which no permission binds; nothing changes for others."""
    root = os.geteuid() == 0
    try:
        os.seteuid(65534 if root else os.geteuid())
    except OSError:
        pytest.skip("root, and no other user to be")
    try:
        yield
    finally:
        os.seteuid(0 if root else os.geteuid())


def test_a_read_only_folder_is_an_oserror_and_its_model_still_loads():
    x, y = rows()
    older, newer = tiny("pointwise").fit(x, y), tiny("ce").fit(x, y)
    with tempfile.TemporaryDirectory() as name:  # pytest's own is closed to others
        folder = Path(name)
        older.save(folder)
        folder.chmod(0o555)
        with as_nobody():
            with pytest.raises(PermissionError, match=re.escape(name)):
                newer.save(folder)
            with pytest.raises(PermissionError, match=re.escape(name)):
                tiny("pointwise", checkpoint=folder).fit(x, y)
            loaded = DecodingRegressor.load(folder)
        folder.chmod(0o755)
    np.testing.assert_array_equal(loaded.predict(x), older.predict(x))


# Two at once


def test_a_second_training_in_a_folder_is_refused_and_the_first_unharmed(
    tmp_path, uninterrupted
):
    go_on = tmp_path / "go on"
    with started("train_with_a_pause", tmp_path, 1, 10, go_on) as first:
        wait_for((tmp_path / "stage1.safetensors").exists, first)
        with pytest.raises(BlockingIOError, match=f"is training in {tmp_path}: wait"):
            longer(tmp_path).fit(*rows())
        go_on.touch()
        printed, errors = first.communicate()
    assert first.returncode == 0, errors
    np.testing.assert_array_equal(json.loads(printed), uninterrupted[1])
    assert_fit_gives(uninterrupted, tmp_path)


def test_of_two_models_saved_at_once_there_is_always_one_and_whole(tmp_path):
    x, y = rows()
    ours, theirs = tiny("pointwise").fit(x, y), tiny("ce").fit(x, y)
    theirs.save(tmp_path / "theirs")
    shared, stop = tmp_path / "shared", tmp_path / "stop"
    expected = {r.method: r.predict(x) for r in (ours, theirs)}
    met = []
    with started("save_again_and_again", tmp_path / "theirs", shared, stop) as other:
        wait_for((shared / "model.safetensors").exists, other)
        for i in range(60):
            if i % 2:
                ours.save(shared)
            found = DecodingRegressor.load(shared)
            np.testing.assert_array_equal(found.predict(x), expected[found.method])
            met.append(found.method)
        stop.touch()
        _, errors = other.communicate()
    assert (other.returncode, errors) == (0, "")
    assert set(met) == {"pointwise", "ce"}
    assert hidden(shared) == []


# Too many rows for copies


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="no record of the peak of memory"
)
def test_a_million_rows_are_predicted_within_half_their_own_memory():
    with started("predict_a_million_rows") as process:
        printed, errors = process.communicate()
    assert process.returncode == 0, errors
    table, added = json.loads(printed)
    assert table > 380  # MiB: a million rows of 50 float64 columns
    assert 0 < added < table / 2


# The page


def test_the_page_on_reliability_lists_these_tests_and_no_others():
    def tests_in(pattern):
        texts = [path.read_text("utf-8") for path in TESTS.glob(pattern)]
        return set(re.findall(r"^def (test_\w+)\(", "\n".join(texts), re.MULTILINE))

    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text("utf-8")))
    assert named <= tests_in("test_*.py")
    assert named >= tests_in("test_reliability*.py") | tests_in("test_fuzz.py")
