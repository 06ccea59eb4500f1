"""Any table becomes a task: split, schema, and what happens to bad input."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genre2_mini.tasks import TableSchema, split_rows, task_from_frame
from genre2_mini.tasks.columns import MAX_CATEGORIES


def small_frame(rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "size": rng.normal(5, 2, rows),
            "sex": rng.choice(["F", "M"], rows),
            "old": rng.choice([True, False], rows),
            "price": rng.normal(100, 10, rows),
        }
    )


def fitted(frame: pd.DataFrame) -> TableSchema:
    return TableSchema.fit(frame, np.arange(len(frame)))


# ---- the split ----------------------------------------------------------------------


@given(num_rows=st.integers(5, 300), seed=st.integers(0, 9))
@settings(deadline=None, max_examples=50)
def test_the_split_is_a_partition_near_64_16_20(num_rows, seed):
    split = split_rows(num_rows, seed)
    assert sorted(np.concatenate(list(split.values()))) == list(range(num_rows))
    for part, share in (("train", 0.64), ("valid", 0.16), ("test", 0.20)):
        # Rounding a fifth up, then a fifth of the rest, moves less than 2 rows.
        assert abs(len(split[part]) - share * num_rows) < 2
        assert len(split[part]) >= 1


def test_the_seed_alone_decides_the_split():
    first, again, other = (split_rows(100, seed) for seed in (0, 0, 1))
    for part in first:
        assert (first[part] == again[part]).all()
    assert set(first["test"]) != set(other["test"])


def test_max_rows_keeps_a_random_subset_of_that_size():
    split = split_rows(1000, seed=3, max_rows=100)
    assert {part: len(rows) for part, rows in split.items()} == {
        "train": 64,
        "valid": 16,
        "test": 20,
    }
    assert max(map(max, split.values())) > 500  # not simply the first 100 rows
    assert sum(map(len, split_rows(20, max_rows=100).values())) == 20


# ---- the task -----------------------------------------------------------------------


def test_a_task_holds_float32_features_and_float64_standardised_targets():
    task = task_from_frame(small_frame(), "price")
    assert task.name == "table"
    assert task.num_features == 5  # size, old, sex=F, sex=M, sex=<unknown>
    assert [len(s) for s in (task.train, task.valid, task.test)] == [25, 7, 8]
    for split in (task.train, task.valid, task.test):
        assert split.x.shape == (len(split), 5)
        assert (split.x.dtype, split.z.dtype) == (torch.float32, torch.float64)
    assert task.train.z.mean().item() == pytest.approx(0, abs=1e-12)
    assert task.train.z.std(correction=0).item() == pytest.approx(1, rel=1e-12)
    numeric = task.train.x[:, :2]
    # x is float32: sums of 25 rounded numbers of size 1.
    torch.testing.assert_close(numeric.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(numeric.std(0, correction=0), torch.ones(2))


def test_unstandardise_gives_the_targets_back():
    frame = small_frame()
    task = task_from_frame(frame, "price", seed=4)
    rows = split_rows(len(frame), seed=4)["test"]
    y = task.schema.unstandardise(task.test.z)
    np.testing.assert_allclose(y, frame["price"].to_numpy()[rows], rtol=1e-12)


def test_an_array_wrapped_in_a_frame_has_numbers_for_column_names():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 4)))
    task = task_from_frame(frame, 3)
    assert task.schema.columns == ("0", "1", "2")


def test_statistics_come_from_training_rows_only():
    frame = small_frame()
    frame.loc[::3, "size"] = np.nan
    changed = frame.copy()
    split = split_rows(len(frame), seed=0)
    outside = np.concatenate([split["valid"], split["test"]])
    changed.loc[outside, ["size", "price"]] = 1e6
    changed.loc[outside, "sex"] = "unheard of"
    before, after = (task_from_frame(f, "price") for f in (frame, changed))
    assert before.schema == after.schema
    assert torch.equal(before.train.x, after.train.x)
    assert torch.equal(before.train.z, after.train.z)


# ---- the schema ---------------------------------------------------------------------


def test_missing_numbers_take_the_training_mean():
    schema = fitted(pd.DataFrame({"a": [1.0, np.nan, 3.0, np.nan]}))
    # The mean of 1 and 3 fills the gaps: 1, 2, 3, 2 with standard deviation √½.
    assert schema.numeric["a"] == pytest.approx((2, np.sqrt(0.5)))
    x = schema.transform(pd.DataFrame({"a": [np.nan, 2 + np.sqrt(0.5)]}))
    torch.testing.assert_close(x, torch.tensor([[0.0], [1.0]]))


@pytest.mark.parametrize("train", [[0.1] * 10, [np.nan] * 10])
def test_a_constant_or_empty_numeric_column_is_always_zero(train):
    schema = fitted(pd.DataFrame({"a": train}))
    assert schema.transform(pd.DataFrame({"a": [0.1, 7.0]})).tolist() == [[0], [0]]


def test_a_column_of_gaps_that_could_have_held_anything_accepts_anything():
    schema = fitted(pd.DataFrame({"a": [None] * 10}))
    assert schema.feature_names == ["a=<unknown>"]
    for arriving in (["text", None], [1.5, np.nan]):
        assert schema.transform(pd.DataFrame({"a": arriving})).tolist() == [[1], [1]]


@pytest.mark.parametrize(
    "values",
    [
        ["M", "F", None, "M"],
        pd.Categorical(["M", "F", None, "M"], categories=["M", "F", "never seen"]),
        pd.array(["M", "F", None, "M"], dtype="string"),
        pd.Series(["M", "F", np.nan, "M"], dtype=object),
    ],
    ids=["inferred", "category", "string", "object"],
)
def test_categories_are_one_hot_in_sorted_order_with_a_last_column_for_unknown(values):
    schema = fitted(pd.DataFrame({"sex": values}))
    assert schema.feature_names == ["sex=F", "sex=M", "sex=<unknown>"]
    x = schema.transform(pd.DataFrame({"sex": ["M", "F", "I", None, np.nan]}))
    assert x.argmax(1).tolist() == [1, 0, 2, 2, 2]
    assert (x.sum(1) == 1).all()


def test_numbers_marked_as_categories_are_matched_as_text():
    schema = fitted(pd.DataFrame({"zip": pd.Categorical([98001, 98002, None])}))
    assert schema.categories == {"zip": ("98001", "98002")}
    for arriving in ([98002], ["98002"], [98002.0]):
        assert schema.transform(pd.DataFrame({"zip": arriving})).tolist() == [[0, 1, 0]]


def test_only_the_most_frequent_categories_get_a_column_of_their_own():
    texts = [f"id{i}" for i in range(MAX_CATEGORIES + 10)]
    schema = fitted(pd.DataFrame({"id": [*texts, *texts[-20:]]}))
    assert schema.num_features == MAX_CATEGORIES + 1
    assert set(texts[-20:]) <= set(schema.categories["id"])


@pytest.mark.parametrize(
    "values",
    [
        [True, False, True],
        pd.array([True, None, False], dtype="boolean"),
        pd.array([1, None, 3], dtype="Int64"),
        pd.Series([1, None, 2.5], dtype=object),
    ],
    ids=["bool", "nullable bool", "nullable integer", "object"],
)
def test_booleans_and_nullable_numbers_are_numeric(values):
    schema = fitted(pd.DataFrame({"a": values}))
    assert list(schema.numeric) == ["a"]
    # One row with nothing in it, as a form left blank arrives.
    assert schema.transform(pd.DataFrame([{"a": None}])).tolist() == [[0]]


def test_columns_may_arrive_in_another_order():
    frame = small_frame().drop(columns="price")
    schema = fitted(frame)
    shuffled = frame[["old", "sex", "size"]]
    assert torch.equal(schema.transform(frame), schema.transform(shuffled))


def test_no_rows_in_no_rows_out():
    frame = small_frame().drop(columns="price")
    assert fitted(frame).transform(frame.head(0)).shape == (0, 5)


tenths = st.integers(-999, 999).map(lambda i: i / 10)
cell = st.one_of(st.none(), st.integers(-5, 5), tenths)
text = st.one_of(st.none(), st.text(max_size=3))


@given(
    rows=st.lists(st.tuples(cell, text), min_size=2, max_size=10),
    later=st.lists(st.tuples(cell, text), max_size=3),
)
@settings(deadline=None, max_examples=100)
def test_any_mixture_gives_finite_features_and_survives_json(rows, later):
    schema = fitted(pd.DataFrame(rows, columns=["number", "word"]))
    later = pd.DataFrame(later, columns=["number", "word"], dtype=object)
    x = schema.transform(later)
    assert x.shape == (len(later), schema.num_features)
    assert torch.isfinite(x).all()
    copy = TableSchema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert copy == schema
    assert torch.equal(copy.transform(later), x)


def test_a_schema_with_a_field_too_few_is_refused():
    fields = fitted(small_frame()).to_dict()
    del fields["columns"]
    with pytest.raises(ValueError, match="a schema has fields"):
        TableSchema.from_dict(fields)


def test_targets_outside_the_training_range_are_standardised_as_they_are():
    frame = small_frame()
    test_row = split_rows(len(frame))["test"][0]
    frame.loc[test_row, "price"] *= 10
    task = task_from_frame(frame, "price")
    y = task.schema.unstandardise(task.test.z[0]).item()
    assert y == pytest.approx(frame.loc[test_row, "price"])
    assert task.test.z[0] > 50 * task.train.z.max() / 2


# ---- bad input is a named error -----------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(price=[np.nan, np.inf] * 20), "'price' has 20 missing and 20 infinite"),
        (dict(price=3.0), r"target is constant \(3\)"),
        (dict(price="cheap"), "'price' holds string values"),
        (dict(price=pd.Timestamp("2020-01-01")), "'price' holds datetime64 values"),
        (dict(size=[np.inf] + [0.0] * 39), "'size' has 1 infinite"),
        (dict(size=[1e308, -1e308] * 20), "'size' has a variance that is no float64"),
        (dict(price=[0.0, 1e-200] * 20), "the target has a variance that is no"),
        (dict(size=pd.Timestamp("2020-01-01")), "'size' holds datetime64 .* convert"),
        (dict(size=[[1, 2]] * 40), "'size' is no category"),
    ],
)
def test_bad_columns_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        task_from_frame(small_frame().assign(**change), "price")


@pytest.mark.parametrize("rows", [0, 1, 4])
def test_too_few_rows_to_split(rows):
    with pytest.raises(
        ValueError, match=f"too few rows to split: the table has {rows}"
    ):
        task_from_frame(small_frame(rows), "price")


@pytest.mark.parametrize(
    ("frame", "target", "message"),
    [
        (pd.DataFrame(), "price", "no column 'price'"),
        (small_frame(), "cost", r"no column 'cost'; columns: \['size', 'sex'"),
        (small_frame()[["price"]], "price", "no feature columns"),
        (small_frame()[["size", "size", "price"]], "price", r"duplicate .*\['size'\]"),
        (small_frame()[["size", "price", "price"]], "price", "duplicate .*'price'"),
    ],
)
def test_a_table_of_the_wrong_shape(frame, target, message):
    with pytest.raises(ValueError, match=message):
        task_from_frame(frame, target)


def test_max_rows_below_five_is_refused():
    with pytest.raises(ValueError, match="max_rows must be at least 5, got 1"):
        task_from_frame(small_frame(), "price", max_rows=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.assign(size=f["size"].astype(str)), "'size' holds string values"),
        (lambda f: f.assign(size=np.inf), "'size' has 40 infinite"),
        (lambda f: f.assign(size=1e300), "'size' is too large for float32"),
        (lambda f: f.drop(columns="sex"), r"missing columns \['sex'\]"),
        (lambda f: f.assign(hue="red"), r"unexpected columns \['hue'\]"),
        (lambda f: f[["size", "sex", "old", "old"]], r"duplicate .*\['old'\]"),
    ],
)
def test_bad_columns_at_predict_time_are_named(change, message):
    frame = small_frame().drop(columns="price")
    with pytest.raises(ValueError, match=message):
        fitted(frame).transform(change(frame))


def test_features_that_are_no_table():
    with pytest.raises(TypeError, match="pandas DataFrame"):
        fitted(small_frame()).transform(np.zeros((3, 4)))
