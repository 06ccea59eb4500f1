"""Any table and any file: an answer or a refusal, never a surprise."""

import io
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from faults import rows, tiny
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genre2_mini.checkpoints import CheckpointError, load_checkpoint
from genre2_mini.regressor import DecodingRegressor

text = st.text(st.characters(codec="utf-8"), max_size=4)
numbers = st.floats(-1e300, 1e300) | st.sampled_from([0.0, 1e-300, 1e300, -1e300])
CELLS = [
    st.floats(-100, 100),
    numbers,
    numbers | st.just(np.inf),
    st.integers(-9, 9),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.sampled_from("ab"),
    text,
    text | numbers | st.booleans(),
]
GAPS = st.sampled_from([None, np.nan, "", "NA"])


@st.composite
def tables(draw):
    """A table's CSV text: up to five columns of any kind, the last one the target."""
    num_rows = draw(st.sampled_from([0, 4]) | st.integers(5, 12))
    columns = []
    for _ in range(draw(st.integers(1, 5))):
        cells = draw(st.sampled_from(CELLS))
        cells = draw(st.sampled_from([cells, cells, GAPS | cells]))
        columns.append(draw(st.lists(cells, min_size=num_rows, max_size=num_rows)))
    target = draw(st.sampled_from([CELLS[0], *CELLS[:7]]))
    columns.append(draw(st.lists(target, min_size=num_rows, max_size=num_rows)))
    names = [draw(text) for _ in columns]
    frame = pd.DataFrame(dict(enumerate(columns))).set_axis(names, axis=1)
    return frame.to_csv(index=False)


@pytest.mark.parametrize("method", ["pointwise", "ce"])
@given(csv=tables())
@settings(
    deadline=None,
    max_examples=100,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_any_table_is_learnt_or_refused_with_a_reason(method, csv):
    try:
        frame = pd.read_csv(io.StringIO(csv))
    except (pd.errors.EmptyDataError, pd.errors.ParserError):
        return  # no table
    x, y = frame.iloc[:, :-1], frame.iloc[:, -1]
    before = frame.copy(deep=True)
    try:
        predicted = tiny(method).fit(x, y).predict(x)
    except (ValueError, TypeError) as error:
        assert len(str(error)) > 10
    else:
        assert predicted.shape == (len(frame),)
        assert predicted.dtype == np.float64
        assert np.isfinite(predicted).all()
    pd.testing.assert_frame_equal(frame, before, check_exact=True)


@pytest.fixture(scope="module")
def files():
    """Real files: an estimator, and a run with its optimiser's state."""
    with tempfile.TemporaryDirectory() as folder:
        tiny(checkpoint=folder).fit(*rows()).save(folder)
        yield [path.read_bytes() for path in sorted(Path(folder).glob("*.safetensors"))]


def assert_refused(data):
    """Both readers refuse a file of these bytes, and say which file it is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(data)
        for load in (load_checkpoint, lambda _: DecodingRegressor.load(folder)):
            with pytest.raises(CheckpointError, match=r"model\.safetensors"):
                load(path)


def safetensors(header):
    """A file that starts as safetensors do, with any header."""
    return len(header).to_bytes(8, "little") + header


@given(data=st.binary(max_size=200) | st.binary(max_size=200).map(safetensors))
@example(data=safetensors(b"{}"))
@example(data=safetensors(b"[]"))
@example(data=safetensors(b'{"__metadata__": {}}'))
@example(data=safetensors(b'{"__metadata__": null}'))
@example(
    data=safetensors(b'{"w": {"dtype": "F8_E4M3", "shape": [], "data_offsets": 3}}')
)
@example(data=b"\xff" * 16)
@settings(deadline=None, max_examples=200, derandomize=True)
def test_random_bytes_are_refused(data):
    assert_refused(data)


@given(
    which=st.integers(0, 1),
    # What XOR makes of a blank that pads the header must not be another blank.
    edits=st.lists(
        st.tuples(
            st.floats(0, 1, exclude_max=True),
            st.sampled_from(["change", "insert", "delete", "repeat", "zero"]),
            st.integers(1, 8),
        ),
        min_size=1,
        max_size=4,
    ),
)
@settings(
    deadline=None,
    max_examples=200,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_an_edited_file_is_refused(files, which, edits):
    data = original = files[which]
    for place, kind, size in edits:
        at = int(place * len(data))
        head, part, tail = data[:at], data[at : at + size], data[at + size :]
        middle = {
            "change": bytes(byte ^ (1 << (size - 1)) for byte in part),
            "insert": bytes(size) + part,
            "delete": b"",
            "repeat": part + part,
            "zero": bytes(len(part)),
        }[kind]
        data = head + middle + tail
    if data != original:
        assert_refused(data)
