"""Tables as people have them: what fit and predict answer, and what they refuse."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from faults import rows, tiny
from scipy.sparse import csr_matrix

METHODS = ["pointwise", "ce"]
X, Y = rows(20)
FRAME = pd.DataFrame(X, columns=list("abc"))
LETTERS = FRAME.assign(letter=list("wxyz") * 5)


def predictions(x, y, then=None, method="ce"):
    """Fit on (x, y) and predict ``then``, by default x itself."""
    return tiny(method).fit(x, y).predict(x if then is None else then)


def with_value(array, place, value):
    changed = array.astype(float)
    changed[place] = value
    return changed


# Values


def test_a_gap_in_a_feature_takes_the_training_mean():
    fitted = tiny().fit(with_value(X, (3, 0), np.nan), Y)
    mean, _ = fitted.schema_.numeric["x0"]
    np.testing.assert_array_equal(
        fitted.predict(with_value(X, (5, 0), np.nan)),
        fitted.predict(with_value(X, (5, 0), mean)),
    )


@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_an_infinite_feature_is_refused(infinity):
    x = with_value(X, (3, 0), infinity)
    frame = pd.DataFrame(x, columns=list("abc"))
    with pytest.raises(ValueError, match="X contains infinity"):
        tiny().fit(x, Y)
    with pytest.raises(ValueError, match="column 'a' has 1 infinite values"):
        tiny().fit(frame, Y)
    with pytest.raises(ValueError, match="column 'a' has 1 infinite values"):
        tiny().fit(FRAME, Y).predict(frame)


@pytest.mark.parametrize("row", range(5))
def test_a_missing_or_infinite_target_is_refused_in_any_row(row):
    y = with_value(Y, row, np.nan)
    with pytest.raises(ValueError, match="y contains NaN"):
        tiny().fit(X, y)
    y[row + 1] = np.inf
    message = "'price' has 1 missing and 1 infinite values in 20 rows"
    with pytest.raises(ValueError, match=message):
        tiny().fit(X, pd.Series(y, name="price"))


def test_a_constant_target_is_refused():
    with pytest.raises(ValueError, match=r"constant \(7\).*nothing to learn"):
        tiny().fit(X, np.full(20, 7.0))


@pytest.mark.parametrize("num_rows", [1, 4])
def test_fewer_than_five_rows_are_refused(num_rows):
    with pytest.raises(ValueError, match=f"n_samples={num_rows}: at least 5 rows"):
        tiny().fit(X[:num_rows], Y[:num_rows])


@pytest.mark.parametrize("value", [np.nan, 7.0], ids=["empty", "constant"])
def test_a_column_that_says_nothing_in_training_says_nothing_later(value):
    fitted = tiny().fit(with_value(X, np.s_[:, 1], value), Y)
    np.testing.assert_array_equal(fitted.predict(X), fitted.predict(X * [1, -50, 1]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("power", [992, -996])  # 4e298, of Y up to 1e300; 1e-300
def test_a_table_of_huge_or_tiny_numbers_is_learnt_as_any_other(method, power):
    # A power of two rounds nothing: the predictions are the same, bit for bit.
    expected = np.ldexp(predictions(X, Y, method=method), power)
    scaled = predictions(np.ldexp(X, power), np.ldexp(Y, power), method=method)
    np.testing.assert_array_equal(scaled, expected)


def test_whole_numbers_beyond_float64_count_as_their_nearest_one():
    whole = 2**60 + np.arange(20) ** 5
    assert (whole.astype(float).astype(int) != whole).any()
    frame = FRAME.assign(whole=whole)
    expected = predictions(frame.astype(float), whole.astype(float))
    np.testing.assert_array_equal(predictions(frame, whole), expected)
    assert whole.min() <= expected.min() <= expected.max() <= whole.max()


def test_a_feature_too_far_to_be_a_float32_is_refused_by_name():
    fitted = tiny().fit(X, Y)
    with pytest.raises(ValueError, match="column 'x1' is too large for float32"):
        fitted.predict(with_value(X, (3, 1), 1e300))


def test_a_prediction_too_large_for_float64_is_refused():
    fitted = tiny("pointwise").fit(X, np.ldexp(Y, 1000))
    with pytest.raises(
        ValueError, match="so far from the training rows that y overflow"
    ):
        fitted.predict(1e30 * X)


@cache
def validation_rows():
    """The rows that choose the weights: the ones a fit does not standardise by."""
    refused = set()
    for row in range(20):
        try:
            tiny("pointwise").fit(X, with_value(Y, row, 1e300))
        except ValueError as error:
            assert "the target: a row lies more than 1e+18 standard" in str(error)
            refused.add(row)
    return refused


def test_one_row_beyond_every_scale_is_refused_where_it_would_be_scored():
    assert len(validation_rows()) == 4  # validation_fraction of 20
    refused = set()
    for row in range(20):
        try:
            tiny("pointwise").fit(with_value(X, (row, 0), 1e30), Y)
        except ValueError as error:
            assert "x0: a row lies more than 1e+18 standard deviations" in str(error)
            refused.add(row)
    assert refused == validation_rows()


def test_a_validation_target_outside_the_training_range_is_scored_not_learnt():
    for row in validation_rows():
        fitted = tiny().fit(X, with_value(Y, row, 1e6))
        rest = np.delete(Y, row)
        assert np.isfinite(fitted.history_["valid_rmse_mean"]).all()
        assert fitted.history_["valid_rmse_mean"].min() > 1e4
        predicted = fitted.predict(X)
        assert rest.min() <= predicted.min() <= predicted.max() <= rest.max()


@pytest.mark.parametrize("method", METHODS)
def test_targets_with_heavy_outliers_are_learnt(method):
    y = np.random.default_rng(0).standard_cauchy(20) ** 5
    assert np.abs(y).max() > 1e4 * np.median(np.abs(y))
    predicted = predictions(X, y, method=method)
    assert (np.abs(predicted) < np.abs(y).max()).all()
    assert np.ptp(predicted) > 0


# Types


def test_float32_features_give_what_their_float64_values_give():
    x = X.astype(np.float32)
    np.testing.assert_array_equal(predictions(x, Y), predictions(x.astype(float), Y))


def test_booleans_count_as_zero_and_one():
    np.testing.assert_array_equal(
        predictions(FRAME > 0, Y > 10), predictions((FRAME > 0) * 1.0, (Y > 10) * 1.0)
    )
    np.testing.assert_array_equal(
        predictions(X > 0, pd.Series(Y > 10)), predictions((X > 0) * 1.0, Y > 10)
    )


def test_nullable_types_of_pandas_count_as_the_plain_ones():
    plain = {
        "i": [1.0, np.nan, 3.0, 4.0] * 5,
        "f": [0.5, np.nan, 2.5, 3.5] * 5,
        "b": [1.0, 0.0, np.nan, 1.0] * 5,
        "s": ["x", "y", None, "z"] * 5,
    }
    types = {"i": "Int64", "f": "Float64", "b": "boolean", "s": "string"}
    nullable = pd.DataFrame(plain).astype(types)
    expected = predictions(pd.DataFrame(plain), np.arange(20))
    y = pd.Series(range(20), dtype="Int64")
    np.testing.assert_array_equal(predictions(nullable, y), expected)
    objects = nullable.astype(object)  # with pd.NA in it
    np.testing.assert_array_equal(predictions(objects, y), expected)
    y[3] = pd.NA
    with pytest.raises(ValueError, match="1 missing and 0 infinite values in 20 rows"):
        tiny().fit(nullable, y)


@pytest.mark.parametrize(
    "text", [np.array(["low", "high"] * 10), pd.Series(["low", "high"] * 10, name="y")]
)
def test_a_target_that_is_text_is_refused(text):
    with pytest.raises(ValueError, match=r"bytes/strings|'y' holds string values"):
        tiny().fit(X, text)


def test_dates_are_refused_by_name_with_advice():
    when = pd.Series(pd.date_range("2020-02-28", periods=20))
    with pytest.raises(
        ValueError, match=r"'when' holds datetime64 values.* month and day"
    ):
        tiny().fit(FRAME.assign(when=when), Y)
    with pytest.raises(ValueError, match="the target holds datetime64 values"):
        tiny().fit(FRAME, when)


def test_a_sparse_matrix_is_refused():
    with pytest.raises(TypeError, match="dense data is required"):
        tiny().fit(csr_matrix(X), Y)
    with pytest.raises(TypeError, match="dense data is required"):
        tiny().fit(X, Y).predict(csr_matrix(X))


# Categories


def test_ten_thousand_categories_share_257_features():
    frame = pd.DataFrame({"id": [f"id {i}" for i in range(10_000)]})
    fitted = tiny("pointwise").fit(frame, np.arange(10_000))
    assert fitted.schema_.num_features == 257  # the most frequent, and one for the rest
    assert len(np.unique(fitted.predict(frame))) <= 257


def test_a_category_unseen_in_training_counts_as_missing():
    fitted = tiny().fit(LETTERS, Y)
    np.testing.assert_array_equal(
        fitted.predict(LETTERS.assign(letter="q")),
        fitted.predict(LETTERS.assign(letter=None)),
    )


def test_categories_that_became_numbers_count_as_missing_and_the_reverse_is_refused():
    fitted = tiny().fit(LETTERS, Y)
    np.testing.assert_array_equal(
        fitted.predict(LETTERS.assign(letter=1.5)),
        fitted.predict(LETTERS.assign(letter=None)),
    )
    with pytest.raises(ValueError, match="'a' holds string values where training had"):
        fitted.predict(LETTERS.assign(a="q"))


# Columns


def test_duplicate_column_names_are_refused():
    frame = FRAME.set_axis(["a", "b", "a"], axis=1)
    with pytest.raises(ValueError, match=r"duplicate column names in X: \['a'\]"):
        tiny().fit(frame, Y)


@pytest.mark.parametrize(
    "names",
    [["é", "名", "😀 "], ["", " ", "\n"], [1, 2, 3], [2.5, -1, 0], ["a=b", "a", "b"]],
    ids=str,
)
def test_the_names_of_columns_do_not_matter(names):
    renamed = FRAME.set_axis(names, axis=1)
    np.testing.assert_array_equal(predictions(renamed, Y), predictions(FRAME, Y))


def test_names_of_which_some_are_text_are_refused():
    with pytest.raises(TypeError, match=r"only supported if all .* have string names"):
        tiny().fit(FRAME.set_axis(["a", "b", 3], axis=1), Y)


def test_columns_that_differ_from_training_are_refused():
    fitted = tiny().fit(FRAME, Y)
    for message, frame in {
        "must be in the same order": FRAME[["b", "a", "c"]],
        "yet now missing:\n- b": FRAME[["a", "c"]],
        "unseen at fit time:\n- d": FRAME.assign(d=1.0),
    }.items():
        with pytest.raises(ValueError, match=message):
            fitted.predict(frame)
    with pytest.raises(ValueError, match=r"has 2 features, but .* is expecting 3"):
        tiny().fit(X, Y).predict(X[:, :2])


def test_an_array_after_a_frame_is_read_in_the_frames_order_with_a_warning():
    fitted = tiny().fit(FRAME, Y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        predicted = fitted.predict(X)
    np.testing.assert_array_equal(predicted, fitted.predict(FRAME))


@pytest.mark.parametrize("x", [X, FRAME], ids=["array", "frame"])
def test_no_rows_to_predict_are_refused_alike(x):
    fitted = tiny().fit(x, Y)
    for ask in (fitted.predict, fitted.predict_distribution, fitted.sample):
        with pytest.raises(ValueError, match=r"0 sample\(s\)|has 0 rows"):
            ask(x[:0])
