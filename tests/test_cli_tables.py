"""Tables as files, and scores of rows that come in parts."""

import gzip
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pandas.testing import assert_frame_equal
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from genre2_mini.cli.options import aligned
from genre2_mini.cli.scores import RunningScores, score_cells, short
from genre2_mini.cli.table_files import (
    column_names,
    count_rows,
    read_parts,
    read_table,
    write_parts,
)

TABLE = pd.DataFrame({"größe.m": [1.5, 2.25, np.nan], "code": ["01", "a", None]})
SUFFIXES = [".csv", ".csv.gz", ".parquet"]


@pytest.fixture(params=SUFFIXES)
def file(request, tmp_path):
    """The table in a file of each kind."""
    path = tmp_path / f"table{request.param}"
    if path.suffix == ".parquet":
        TABLE.to_parquet(path, row_group_size=2)
    else:
        TABLE.to_csv(path, index=False)
    return path


def known(frame):
    """The same with one kind of gap: files and versions of pandas differ in theirs."""
    return frame.astype(object).where(frame.notna(), None)


# Reading


def test_a_table_is_read_whole(file):
    assert_frame_equal(known(read_table(file)), known(TABLE))
    assert column_names(file) == ["größe.m", "code"]


def test_only_parquet_says_how_many_rows_it_has(file):
    assert count_rows(file) == (3 if file.suffix == ".parquet" else None)


@pytest.mark.parametrize("rows", [1, 2, 3, 50])
def test_parts_have_at_most_so_many_rows_in_the_files_order(file, rows):
    columns = ["code", "größe.m"]
    parts = list(read_parts(file, columns, ["code"], rows))
    assert max(map(len, parts)) == min(rows, 3)
    whole = pd.concat(parts, ignore_index=True)
    assert_frame_equal(known(whole), known(TABLE[columns]))


def test_a_category_is_the_same_text_in_the_whole_table_and_in_its_parts(tmp_path):
    path = tmp_path / "codes.csv"
    codes = ["01", "1.0", "1", "True", "1e3", "", "rot"]
    path.write_text("code,x\n" + "".join(f"{code},0\n" for code in codes), "utf-8")
    whole = read_table(path)["code"].tolist()
    parts = [part["code"].tolist() for part in read_parts(path, ["code"], ["code"], 1)]
    assert whole[:5] == [cell for (cell,) in parts[:5]] == codes[:5]
    assert pd.isna([whole[5], *parts[5]]).all()


def test_a_named_index_of_a_parquet_file_is_no_column(tmp_path):
    path = tmp_path / "table.parquet"
    TABLE.set_index(pd.Index([7, 8, 9], name="id")).to_parquet(path)
    assert column_names(path) == list(read_table(path).columns) == list(TABLE.columns)
    (part,) = read_parts(path, ["code"], ["code"], 50)
    assert list(part.columns) == ["code"]


@pytest.mark.parametrize("read", [read_table, column_names])
def test_another_suffix_is_refused(read, tmp_path):
    with pytest.raises(ValueError, match=r"x\.xlsx must end in \.csv, \.csv\.gz or"):
        read(tmp_path / "x.xlsx")


def test_parquet_without_pyarrow_names_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ValueError, match="pip install pyarrow"):
        read_table(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("ragged.csv", b"a,b\n1,2\n1,2,3,4\n"),
        ("latin.csv", "größe\n1\n".encode("latin-1")),
        ("text.csv.gz", b"a,b\n1,2\n"),
        ("cut.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9]),
        ("text.parquet", b"a,b\n1,2\n"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"cannot read .*{name}: "):
        read_table(path)


# Writing


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_parts_that_are_appended_make_one_table(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    values = pd.DataFrame({"a": [0.1, 1 / 3, 1e300], "vorhersage, ŷ": [1.0, -2.0, 3.5]})
    with write_parts(path, list(values.columns)) as append:
        append(values[:2])
        append(values[2:])
        assert not path.exists()
    assert_frame_equal(read_table(path), values, rtol=1e-15)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_rows_make_a_table_of_a_header(tmp_path, suffix):
    with write_parts(tmp_path / f"out{suffix}", ["a", "b"]):
        pass
    written = read_table(tmp_path / f"out{suffix}")
    assert written.empty
    assert list(written.columns) == ["a", "b"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_older_table_stays_when_writing_fails(tmp_path, suffix, error):
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"older")
    with pytest.raises(error), write_parts(path, ["a"]) as append:
        append(pd.DataFrame({"a": [1.0]}))
        raise error
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


# Scores

numbers = st.floats(-1e3, 1e3)


@given(arrays(float, (9, 2), elements=numbers), st.integers(0, 9))
def test_scores_of_parts_are_those_of_the_whole(pairs, cut):
    prediction, y = 1e6 + pairs.T  # far from zero, where digits cancel
    running = RunningScores().add(prediction[:cut], y[:cut])
    scores = running.add(prediction[cut:], y[cut:]).result()
    assert scores["rows"] == 9
    assert scores["rmse"] == pytest.approx(root_mean_squared_error(y, prediction))
    assert scores["mae"] == pytest.approx(mean_absolute_error(y, prediction))
    if np.ptp(y) > 1e-2:
        assert scores["r2"] == pytest.approx(r2_score(y, prediction), rel=1e-6)


def test_a_row_without_a_finite_target_is_not_scored():
    y = np.array([1.0, np.nan, 3.0, np.inf])
    scores = RunningScores().add(np.array([1.0, 5.0, 1.0, 5.0]), y).result()
    assert scores == {"rows": 2, "r2": -1.0, "rmse": 2**0.5, "mae": 1.0}


def test_without_rows_there_are_no_scores():
    assert RunningScores().add(np.array([1.0]), np.array([np.nan])).result() is None


def test_equal_targets_have_no_r2():
    scores = RunningScores().add(np.array([1.0, 1.0, 4.0]), np.full(3, 0.1)).result()
    assert scores["r2"] is None
    assert score_cells(scores)[0] == "undefined"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"),
        (1.5, "1.500"),
        (999.94, "999.9"),
        (123456.7, "123,457"),
        (-1000.0, "-1,000"),
        (1e-7, "1.000e-07"),
        (2e15, "2.000e+15"),
    ],
)
def test_numbers_are_short_but_whole(value, text):
    assert short(value) == text


def test_columns_are_aligned_numbers_to_the_right():
    rows = [["name", "rows"], ["a", 5], ["long one", 1000]]
    assert aligned(rows) == "name      rows\na            5\nlong one  1000"
