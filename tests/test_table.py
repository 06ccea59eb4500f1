"""Any table becomes a task: split, schema, and what happens to bad input."""

import json
import math
import statistics
import time

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genre2_mini.tasks import TableSchema, Task, split_rows, task_from_frame
from genre2_mini.tasks.columns import MAX_CATEGORIES, mean_and_std


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


def two_targets(rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {"price": rng.normal(100, 10, rows), "weight": rng.normal(1, 0.1, rows)}
    )


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


@pytest.mark.parametrize("targets", [1, 2])
def test_a_part_other_than_train_may_be_empty(targets):
    frame, y = small_frame().drop(columns="price"), two_targets()
    y = y["price"] if targets == 1 else y
    full, empty = (frame, y), (frame.head(0), y.head(0))
    parts = {"train": full, "valid": full, "test": empty}
    task = Task.from_parts("no test rows", parts, card={})
    assert len(task.test) == 0
    assert task.test.x.shape == (0, task.num_features)
    assert task.test.z.shape == (0, *task.train.z.shape[1:])
    assert (task.test.x.dtype, task.test.z.dtype) == (torch.float32, torch.float64)


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


def test_ten_thousand_categories_take_the_256_most_frequent_in_no_time():
    """0.1 s on one core; a second leaves room for a busy one."""
    ids = np.arange(10_000)
    often = ids[: 2 * MAX_CATEGORIES : 2]
    column = [f"user {i}" for i in np.concatenate([ids, often, ids[5000:], often])]
    start = time.perf_counter()
    schema = fitted(pd.DataFrame({"id": column}))
    x = schema.transform(pd.DataFrame({"id": column}))
    assert time.perf_counter() - start < 1
    assert set(schema.categories["id"]) == {f"user {i}" for i in often}
    assert x.shape == (len(column), MAX_CATEGORIES + 1)
    assert (x.sum(dim=1) == 1).all()
    # 10,000 + 5,000 rows and 512 more: all but 3 rows of each frequent one are unknown.
    assert x[:, -1].sum() == 15_000 - MAX_CATEGORIES


def test_a_column_name_may_be_any_text_or_none():
    names = ["größe", "価格 €", "", None, 7, ("a", 1)]
    row = [1.0, True, "x", 2, 3.5, 4]
    frame = pd.DataFrame([row, row], columns=pd.Index(names, tupleize_cols=False))
    schema = fitted(frame)
    assert schema.columns == ("größe", "価格 €", "", "None", "7", "('a', 1)")
    assert schema.feature_names[-2:] == ["=x", "=<unknown>"]
    copy = TableSchema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert torch.equal(copy.transform(frame), schema.transform(frame))
    with pytest.raises(ValueError, match=r"duplicate column names: \['7'\]"):
        fitted(pd.DataFrame([[1, 2], [3, 4]], columns=[7, "7"]))


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


# ---- several targets ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["frame", "array", "lists"])
def test_each_target_is_standardised_by_its_own_mean_and_deviation(kind):
    """1, 3 has mean 2 and deviation 1; 10, 40 has 25 and 15."""
    y = pd.DataFrame({"a": [1.0, 3.0], "b": [10, 40]})
    y = {"frame": y, "array": y.to_numpy(), "lists": y.to_numpy().tolist()}[kind]
    schema = TableSchema.fit(pd.DataFrame({"x": [0, 1]}), y)
    assert (schema.target_mean, schema.target_std) == ((2, 25), (1, 15))
    z = schema.standardise(y)
    assert z.dtype == torch.float64
    assert z.tolist() == [[-1, -1], [1, 1]]
    again = torch.tensor([[[2.0, -1.0]]], dtype=torch.float64)
    assert schema.unstandardise(again).tolist() == [[[4, 10]]]
    assert schema.unstandardise(again.numpy()).tolist() == [[[4, 10]]]


def test_each_of_several_targets_is_treated_as_if_it_were_alone():
    frame, y = small_frame().drop(columns="price"), two_targets()
    together = TableSchema.fit(frame, y)
    z = together.standardise(y)
    for d, name in enumerate(y):
        alone = TableSchema.fit(frame, y[name])
        assert together.target_mean[d] == alone.target_mean
        assert together.target_std[d] == alone.target_std
        assert torch.equal(z[:, d], alone.standardise(y[name]))
        back = together.unstandardise(z)[:, d]
        assert torch.equal(back, alone.unstandardise(z[:, d]))
        np.testing.assert_allclose(back, y[name], rtol=1e-12)


def test_a_table_of_one_target_keeps_its_axis():
    y = pd.DataFrame({"a": [1.0, 3.0]})
    schema = TableSchema.fit(pd.DataFrame({"x": [0, 1]}), y)
    assert (schema.target_mean, schema.target_std) == ((2,), (1,))
    assert schema.standardise(y).tolist() == [[-1], [1]]


@pytest.mark.parametrize("targets", [1, 2])
def test_schemas_of_one_and_of_two_targets_survive_json(targets):
    y = two_targets()["price"] if targets == 1 else two_targets()
    schema = TableSchema.fit(small_frame().drop(columns="price"), y)
    copy = TableSchema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert copy == schema
    assert torch.equal(copy.standardise(y), schema.standardise(y))
    z = copy.standardise(y)
    assert torch.equal(copy.unstandardise(z), schema.unstandardise(z))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(weight=[np.nan] * 3 + [1.0] * 37), "target 'weight' has 3 missing and 0"),
        (dict(weight=[np.inf] + [1.0] * 39), "target 'weight' has 0 missing and 1 inf"),
        (dict(weight=2.0), r"target 'weight' is constant \(2\) in all 40 training"),
        (dict(weight="heavy"), "target 'weight' holds string values"),
        (dict(weight=[0.0, 5e-324] * 20), "target 'weight' varies by less than"),
    ],
)
def test_the_bad_one_of_several_targets_is_named(change, message):
    frame = small_frame().drop(columns="price")
    with pytest.raises(ValueError, match=message):
        TableSchema.fit(frame, two_targets().assign(**change))


def test_a_column_of_an_array_of_targets_is_named_by_its_number():
    y = two_targets().assign(weight=[np.nan, *range(39)]).to_numpy()
    with pytest.raises(ValueError, match="target 1 has 1 missing"):
        TableSchema.fit(small_frame(), y)


def test_a_table_without_targets_is_refused():
    with pytest.raises(ValueError, match="the table of targets has no columns"):
        TableSchema.fit(small_frame(), np.empty((40, 0)))


def test_another_number_of_targets_than_in_training_is_refused():
    frame, y = small_frame().drop(columns="price"), two_targets()
    one, two = TableSchema.fit(frame, y["price"]), TableSchema.fit(frame, y)
    with pytest.raises(ValueError, match=r"shape \(N\), .* got \(40, 2\)"):
        one.standardise(y)
    for wrong in (y["price"], y[["price"]], y["price"].head(2)):
        with pytest.raises(ValueError, match=r"shape \(N, 2\), as in training, got"):
            two.standardise(wrong)
    with pytest.raises(ValueError, match=r"last dimension 2, .* got shape \(2, 1\)"):
        two.unstandardise(torch.zeros(2, 1))


# ---- numbers near the limits of float64 ---------------------------------------------

HUGE = 1.7e308  # the sum and the square of such numbers are no float64


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300, HUGE])
def test_numbers_of_any_size_are_standardised_correctly(scale):
    """One 1 in 100 among −1: the 1 lies √99 deviations above the mean, the others
    1/√99 below, whatever the unit. 1e-13: the deviation is the square root of a sum."""
    column = scale * np.array([1.0, *[-1.0] * 99])
    frame = pd.DataFrame({"a": column})
    schema = TableSchema.fit(frame, column)
    expected = np.array([99**0.5, *[-(99**-0.5)] * 99])
    z = schema.standardise(column)
    np.testing.assert_allclose(z, expected, rtol=1e-13)
    np.testing.assert_allclose(schema.unstandardise(z), column, rtol=1e-13)
    x = schema.transform(frame)[:, 0]
    np.testing.assert_allclose(x, expected, rtol=1e-6)  # float32
    both = TableSchema.fit(frame, np.stack([column, np.arange(100)], axis=1))
    assert torch.equal(both.standardise(np.stack([column] * 2, axis=1))[:, 0], z)


@given(st.lists(st.floats(-1e100, 1e100), min_size=2, max_size=20))
@settings(deadline=None, max_examples=100)
def test_ordinary_statistics_are_numpys_to_the_last_bit(values):
    """Scaling costs nothing: 1 and 2 are there so that no square needs it."""
    values = np.array([*values, 1.0, 2.0])
    assert mean_and_std(values, "a column") == (values.mean(), values.std())


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=2))
@settings(deadline=None, max_examples=200)
def test_no_finite_column_becomes_infinite_or_nan(values):
    """No value lies √N deviations or more from the mean of N: finite and small."""
    frame = pd.DataFrame({"a": values})
    try:
        x = fitted(frame).transform(frame)
    except ValueError as error:
        assert "varies by less than" in str(error)
        # pstdev() is exact, but for numbers that it can square: v·2⁵⁰⁰.
        deviation = statistics.pstdev(v * 2.0**500 for v in values)
        assert deviation < 2.0 ** (500 - 1022) * (1 + 1e-12)
    else:
        assert x.isfinite().all()
        assert x.abs().max() <= math.sqrt(len(values)) * (1 + 1e-6)


def test_a_target_that_leaves_float64_once_standardised_is_refused():
    schema = TableSchema.fit(pd.DataFrame({"a": [0, 1]}), [0.0, 1e-5])
    with pytest.raises(ValueError, match="y has 1 values too far from the training"):
        schema.standardise([0.0, 1e305])


# ---- bad input is a named error -----------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(price=[np.nan, np.inf] * 20), "'price' has 20 missing and 20 infinite"),
        (dict(price=3.0), r"target is constant \(3\)"),
        (dict(price="cheap"), "'price' holds string values"),
        (dict(price=pd.Timestamp("2020-01-01")), "'price' holds datetime64 values"),
        (dict(size=[np.inf] + [0.0] * 39), "'size' has 1 infinite"),
        (dict(size=[0.0, 1e-310] * 20), "'size' varies by less than 2.2e-308: rescale"),
        (dict(price=[0.0, 5e-324] * 20), "the target varies by less than 2.2e-308"),
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
