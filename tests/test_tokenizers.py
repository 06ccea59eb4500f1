"""Specification of the three tokenizers: tables by hand, then properties."""

import itertools
import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genre2_mini.tokenizers import (
    IEEETokenizer,
    NormalizedTokenizer,
    ScientificTokenizer,
    tokenizer_from_config,
)

STUDY_GRIDS = [(2, 8), (4, 4), (6, 4), (8, 3), (10, 3)]
UNIT = {"low": 0.0, "high": 1.0}

NORMALIZED = NormalizedTokenizer(2, 8, low=-2.0, high=6.0)
SCIENTIFIC = ScientificTokenizer()
IEEE = IEEETokenizer()
ALL = [NORMALIZED, SCIENTIFIC, IEEE]

property_test = settings(deadline=None, max_examples=100)


def by_name(tokenizer):
    return type(tokenizer).__name__


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


def digits(text):
    return [int(character) for character in text]


def every_string(tokenizer):
    return torch.tensor(list(itertools.product(*map(range, tokenizer.vocab_sizes))))


# --- Normalized ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "num_digits", "u", "string", "value"),
    [
        (2, 8, 0.0, "00000000", 0.0),
        (2, 8, 0.5, "10000000", 0.5),
        (2, 8, 105 / 256, "01101001", 105 / 256),
        (2, 8, 255 / 256, "11111111", 255 / 256),
        (10, 3, 0.1994, "199", 0.199),
        (10, 3, 0.1996, "200", 0.2),
        (10, 3, 0.999, "999", 0.999),
        (4, 2, 0.4375, "13", 0.4375),
        # Ties go to the even cell: 0.5 and 1.5, 2.5 cells.
        (2, 2, 0.125, "00", 0.0),
        (2, 2, 0.375, "10", 0.5),
        (2, 2, 0.625, "10", 0.5),
        # Beyond the middle of the top cell: cell B^K does not exist, so it clips.
        (10, 3, 0.9996, "999", 0.999),
        (2, 2, 1.0, "11", 0.75),
        # Outside the range.
        (10, 3, -7.0, "000", 0.0),
        (10, 3, 1e300, "999", 0.999),
    ],
)
def test_normalized_by_hand(base, num_digits, u, string, value):
    tokenizer = NormalizedTokenizer(base, num_digits, **UNIT)
    tokens = tokenizer.encode(f64(u))
    assert tokens.tolist() == [digits(string)]
    assert tokenizer.decode(tokens).tolist() == [value]


def test_fit_takes_the_range_from_the_training_targets():
    tokenizer = NormalizedTokenizer(2, 8).fit(f64(1.0, -2.0, 6.0))
    assert (tokenizer.low, tokenizer.high) == (-2.0, 6.0)
    assert tokenizer.resolution == 8 / 256
    assert tokenizer.decode(tokenizer.encode(f64(-2.0))).item() == -2.0
    assert tokenizer.decode(tokenizer.encode(f64(6.0))).item() == 6 - 8 / 256


@pytest.mark.parametrize(("base", "num_digits"), STUDY_GRIDS)
def test_every_normalized_string_is_canonical_and_in_numeric_order(base, num_digits):
    tokenizer = NormalizedTokenizer(base, num_digits, low=-2.7, high=3.1)
    strings = every_string(tokenizer)  # product() counts in lexicographic order
    values = tokenizer.decode(strings)
    assert len(strings) == base**num_digits
    assert (values.diff() > 0).all()
    assert torch.equal(tokenizer.encode(values), strings)
    # Equal steps, up to a few roundings of numbers near 3 (spacing 4e-16).
    step = torch.full_like(values[1:], tokenizer.resolution)
    torch.testing.assert_close(values.diff(), step, rtol=0, atol=2e-15)


@property_test
@given(
    st.sampled_from(STUDY_GRIDS),
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
    st.floats(0, 1),
)
def test_normalized_round_trip_is_within_half_a_cell(grid, low, width, u):
    tokenizer = NormalizedTokenizer(*grid, low=low, high=low + width)
    z = f64(min(low + u * width, tokenizer.high))
    error = (tokenizer.decode(tokenizer.encode(z)) - z).abs().item()
    cell = tokenizer.resolution
    top = tokenizer.high - z.item() < cell / 2
    rounding = 4 * math.ulp(abs(low) + width)
    assert error <= (cell if top else cell / 2) + rounding


def test_quantisation_rmse_is_the_cell_width_over_root_12():
    tokenizer = NormalizedTokenizer(10, 3, low=-3.0, high=3.0)
    # Evenly spread over whole cells, away from the top half cell.
    z = torch.linspace(-3.0, 2.9, 200_001, dtype=torch.float64)
    rmse = (tokenizer.decode(tokenizer.encode(z)) - z).square().mean().sqrt().item()
    assert tokenizer.quantisation_rmse == 0.006 / math.sqrt(12)
    # 200,001 points cut each cell into about 34: the mean square is off by 1/34².
    assert rmse == pytest.approx(tokenizer.quantisation_rmse, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base": 1}, "base must be an integer ≥ 2, got 1"),
        ({"base": 2.0}, "base must be an integer"),
        ({"num_digits": 0}, "num_digits must be an integer ≥ 1, got 0"),
        ({"num_digits": 54}, "use fewer digits"),
        ({"low": 0.0}, "low and high go together"),
        ({"low": 1.0, "high": 1.0}, "low and high must span"),
        ({"low": 2.0, "high": 1.0}, "low and high must span"),
        ({"low": 0.0, "high": math.inf}, "low and high must span"),
        ({"low": math.nan, "high": 1.0}, "low and high must span"),
        ({"low": 1e9, "high": 1e9 + 1e-5}, "wider than rounding error"),
    ],
)
def test_normalized_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        NormalizedTokenizer(**arguments)


def test_53_bits_are_accepted_and_exact():
    tokenizer = NormalizedTokenizer(2, 53, **UNIT)
    value = tokenizer.decode(torch.ones(53, dtype=torch.int64)).item()
    assert value == 1 - 2.0**-53


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (f64(3.0, 3.0), "z must span.*constant target.*pass targets that differ"),
        (f64(3.0), "constant target"),
        (f64(), "z is empty"),
        (f64(0.0, math.nan), "z holds 1 NaN"),
    ],
)
def test_fit_refuses(z, message):
    with pytest.raises(ValueError, match=message):
        NormalizedTokenizer().fit(z)


@pytest.mark.parametrize(
    "use",
    [
        lambda tokenizer: tokenizer.encode(f64(0.0)),
        lambda tokenizer: tokenizer.decode(torch.zeros(8, dtype=torch.int64)),
        lambda tokenizer: tokenizer.out_of_range(f64(0.0)),
        lambda tokenizer: tokenizer.resolution,
    ],
)
def test_use_before_fit_says_so(use):
    with pytest.raises(RuntimeError, match=r"call fit\(z_train\)"):
        use(NormalizedTokenizer())


# --- Scientific ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("z", "string", "value"),
    [
        (0.0, "+0000e-10", 0.0),
        (-0.0, "+0000e-10", 0.0),
        (1.0, "+1000e-03", 1.0),
        (-2.5, "-2500e-03", -2.5),
        (100.0, "+1000e-01", 100.0),
        (3.14159, "+3142e-03", 3.142),
        (9.9994, "+9999e-03", 9.999),
        (9.9996, "+1000e-02", 10.0),  # the carry
        (-99996.0, "-1000e+02", -100000.0),
        (1234.5, "+1234e+00", 1234.0),  # a tie: to even
        (1235.5, "+1236e+00", 1236.0),
        (9.999e13, "+9999e+10", 9.999e13),  # the largest
        (9.9994e13, "+9999e+10", 9.999e13),
        (9.9996e13, "+9999e+10", 9.999e13),  # clips: no carry is left
        (-1e300, "-9999e+10", -9.999e13),
        (1e-7, "+1000e-10", 1e-7),  # the last with a leading digit
        (1.2345e-8, "+0123e-10", 1.23e-8),  # gradual underflow
        (1e-10, "+0001e-10", 1e-10),
        (4e-11, "+0000e-10", 0.0),
        (-4e-11, "+0000e-10", 0.0),
        (5e-324, "+0000e-10", 0.0),
    ],
)
def test_scientific_by_hand(z, string, value):
    tokens = SCIENTIFIC.encode(f64(z))
    assert SCIENTIFIC.to_strings(tokens) == [string]
    assert SCIENTIFIC.decode(tokens).tolist() == [value]
    assert math.copysign(1, SCIENTIFIC.decode(tokens).item()) == math.copysign(1, value)


def test_scientific_tokens_are_sign_digits_exponent_last():
    assert SCIENTIFIC.encode(f64(-1234e-7)).tolist() == [[1, 1, 2, 3, 4, 3]]
    assert SCIENTIFIC.vocab_sizes == (2, 10, 10, 10, 10, 21)


@pytest.mark.parametrize("exponent", range(-22, 23))
def test_scientific_values_are_python_literals(exponent):
    tokenizer = ScientificTokenizer(num_digits=5, max_exponent=22)
    for mantissa in (1, 7, 12345, 33333, 99999):
        literal = float(f"{mantissa}e{exponent}")
        tokens = torch.tensor([0, *digits(f"{mantissa:05}"), exponent + 22])
        assert tokenizer.decode(tokens).item() == literal
        assert tokenizer.decode(tokenizer.encode(f64(literal))).item() == literal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_digits": 0}, "num_digits must be an integer ≥ 1"),
        ({"num_digits": 16}, "use fewer digits"),
        ({"max_exponent": -1}, "max_exponent must be an integer ≥ 0"),
        ({"max_exponent": 23}, "max_exponent must be at most 22"),
    ],
)
def test_scientific_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScientificTokenizer(**arguments)


def canonical_scientific(strings, tokenizer):
    mantissa = strings[:, 1:-1]
    smallest = strings[:, -1] == 0
    negative_zero = (strings[:, 0] == 1) & (mantissa == 0).all(-1)
    return ((mantissa[:, 0] > 0) | smallest) & ~negative_zero


# --- IEEE ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("z", "string", "value"),
    [
        (0.0, "+0.000e+0", 0.0),
        (-0.0, "+0.000e+0", 0.0),
        (1.0, "+1.000e+0", 1.0),
        (-2.5, "-2.500e+0", -2.5),
        (1234.5, "+1.234e+3", 1234.0),  # a tie: to even
        (0.012345, "+1.234e-2", 0.01234),
        (9.9996, "+1.000e+1", 10.0),  # the carry
        (0.99996, "+1.000e+0", 1.0),  # the carry into exponent 0: its sign is +
        (9.999e9, "+9.999e+9", 9.999e9),  # the largest
        (1e-9, "+1.000e-9", 1e-9),  # the smallest
        (0.51e-9, "+1.000e-9", 1e-9),  # nearer to it than to zero
        (0.49e-9, "+0.000e+0", 0.0),
        (0.5e-9, "+0.000e+0", 0.0),  # a tie: to zero
        (-0.49e-9, "+0.000e+0", 0.0),
    ],
)
def test_ieee_by_hand(z, string, value):
    tokens = IEEE.encode(f64(z))
    assert IEEE.to_strings(tokens) == [string]
    assert IEEE.decode(tokens).tolist() == [value]


@pytest.mark.parametrize(
    ("tokens", "value"),
    [
        ([0, 0, 3, 1, 2, 3, 4], 1234.0),
        ([1, 1, 2, 5, 0, 0, 0], -0.05),
        ([0, 0, 2, 0, 0, 1, 2], 1.2),  # not canonical: leading zeros
        ([0, 1, 0, 1, 0, 0, 0], 1.0),  # not canonical: exponent −0
        ([1, 1, 9, 0, 0, 0, 0], 0.0),  # not canonical: a zero of another name
    ],
)
def test_ieee_decodes_every_legal_string(tokens, value):
    assert IEEE.decode(torch.tensor(tokens)).item() == value


@pytest.mark.parametrize(
    ("tokenizer", "z", "string"),
    [
        (IEEETokenizer(2, 2, 3), 5.0, "+1.01e+10"),
        (IEEETokenizer(2, 2, 3), 0.125, "+1.00e-11"),
        (IEEETokenizer(10, 2, 4), -6.02214e23, "-6.022e+23"),
        (IEEETokenizer(16, 1, 2), 172.0, "+10.12e+1"),
        (IEEETokenizer(10, 1, 1), 0.0, "+0.e+0"),
    ],
)
def test_ieee_in_other_formats(tokenizer, z, string):
    assert tokenizer.to_strings(tokenizer.encode(f64(z))) == [string]


@pytest.mark.parametrize("z", [9.9990001e9, -1e10, 1e300])
def test_ieee_overflow_names_the_value_the_limit_and_the_fix(z):
    with pytest.raises(ValueError, match=r"z holds .*9999000000.0.* rescale or clip"):
        IEEE.encode(f64(0.0, z))
    assert IEEE.out_of_range(f64(0.0, z)).tolist() == [False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base": 1}, "base must be an integer ≥ 2"),
        ({"num_exponent_digits": 0}, "num_exponent_digits must be an integer ≥ 1"),
        ({"num_mantissa_digits": 0}, "num_mantissa_digits must be an integer ≥ 1"),
        ({"num_exponent_digits": 3}, "use fewer exponent digits"),
        ({"num_mantissa_digits": 16}, "use fewer digits"),
    ],
)
def test_ieee_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        IEEETokenizer(**arguments)


def canonical_ieee(strings, tokenizer):
    size = strings[:, 2 : 2 + tokenizer.num_exponent_digits]
    plus_zero = ~((strings[:, 1] == 1) & (size == 0).all(-1))
    normal = (strings[:, 2 + tokenizer.num_exponent_digits] > 0) & plus_zero
    return normal | (strings == 0).all(-1)


# --- What the unbounded two share ---------------------------------------------


CANONICAL = {ScientificTokenizer: canonical_scientific, IEEETokenizer: canonical_ieee}


@pytest.mark.parametrize(
    "tokenizer",
    [
        ScientificTokenizer(2, 3),
        ScientificTokenizer(3, 0),
        IEEETokenizer(10, 1, 2),
        IEEETokenizer(2, 3, 4),
        IEEETokenizer(3, 2, 3),
    ],
    ids=str,
)
def test_exactly_the_canonical_strings_survive_the_round_trip(tokenizer):
    strings = every_string(tokenizer)
    values = tokenizer.decode(strings)
    again = tokenizer.encode(values)
    canonical = CANONICAL[type(tokenizer)](strings, tokenizer)
    assert torch.equal((again == strings).all(-1), canonical)
    # Another name of the same number becomes the canonical one.
    named = torch.isin(values, values[canonical])
    assert torch.equal(tokenizer.decode(again[named]), values[named])


def reals(tokenizer):
    """Floats that the tokenizer can hold, over all magnitudes and both signs."""
    inside = st.floats(tokenizer.low, tokenizer.high)
    powers = st.builds(lambda s, m, e: s * m * 10.0**e, *_sign_mantissa_exponent())
    return inside | powers | st.sampled_from([0.0, -0.0, tokenizer.high, tokenizer.low])


def _sign_mantissa_exponent():
    return st.sampled_from([-1, 1]), st.floats(1, 9.99), st.integers(-12, 8)


@pytest.mark.parametrize("tokenizer", [SCIENTIFIC, IEEE], ids=by_name)
def test_encode_finds_the_nearest_number(tokenizer):
    @property_test
    @given(reals(tokenizer))
    def check(z):
        error = abs(tokenizer.decode(tokenizer.encode(f64(z))).item() - z)
        # Half a cell: 4 digits of |z|, or half the smallest positive number.
        power = math.floor(math.log10(abs(z))) if z else 0
        smallest = 1e-10 if tokenizer is SCIENTIFIC else 1e-9
        cell = max(10.0 ** (power - 3), smallest)
        assert error <= cell / 2 * (1 + 1e-9)

    check()


@pytest.mark.parametrize("tokenizer", ALL, ids=by_name)
def test_encoding_is_monotone(tokenizer):
    @property_test
    @given(st.lists(reals(tokenizer), min_size=2, max_size=20))
    def check(values):
        decoded = tokenizer.decode(tokenizer.encode(f64(*sorted(values))))
        assert (decoded.diff() >= 0).all()

    check()


@pytest.mark.parametrize("tokenizer", ALL, ids=by_name)
def test_decoded_numbers_are_fixed_points(tokenizer):
    @property_test
    @given(reals(tokenizer))
    def check(z):
        tokens = tokenizer.encode(f64(z))
        assert torch.equal(tokenizer.encode(tokenizer.decode(tokens)), tokens)

    check()


# --- What all three share -----------------------------------------------------


@pytest.mark.parametrize("tokenizer", ALL, ids=by_name)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3), (0,), (4, 0)])
def test_any_leading_shape(tokenizer, shape):
    z = torch.full(shape, 1.5)
    tokens = tokenizer.encode(z)
    assert tokens.shape == (*shape, tokenizer.num_tokens)
    assert tokens.dtype == torch.int64
    values = tokenizer.decode(tokens)
    assert values.shape == shape
    assert values.dtype == torch.float64
    assert (values == 1.5).all()


@pytest.mark.parametrize("tokenizer", ALL, ids=by_name)
@pytest.mark.parametrize("z", [torch.tensor([2, 1]), [2, 1], torch.tensor([2.0, 1.0])])
def test_integers_lists_and_float32_are_welcome(tokenizer, z):
    assert tokenizer.decode(tokenizer.encode(z)).tolist() == [2.0, 1.0]


@pytest.mark.parametrize("tokenizer", ALL, ids=by_name)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("method", ["encode", "fit", "out_of_range"])
def test_nan_and_infinity_are_refused(tokenizer, bad, method):
    with pytest.raises(ValueError, match=r"z holds 1 NaN or infinite values .*drop"):
        getattr(tokenizer, method)(f64(0.0, bad))


@pytest.mark.parametrize("tokenizer", ALL, ids=by_name)
@pytest.mark.parametrize("z", [torch.tensor([True]), torch.tensor([1j])])
def test_booleans_and_complex_numbers_are_refused(tokenizer, z):
    with pytest.raises(TypeError, match="z must hold real numbers"):
        tokenizer.encode(z)


@pytest.mark.parametrize("tokenizer", ALL, ids=by_name)
def test_wrong_shapes_and_types_of_tokens_are_refused(tokenizer):
    tokens = torch.zeros(2, tokenizer.num_tokens, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"last dimension \d, .* got shape \(2, \d\)"):
        tokenizer.decode(tokens[:, 1:])
    with pytest.raises(ValueError, match=r"got shape \(\)"):
        tokenizer.decode(torch.tensor(1))
    with pytest.raises(TypeError, match=r"integer ids, got torch.float32"):
        tokenizer.decode(tokens.float())


@pytest.mark.parametrize("tokenizer", ALL, ids=by_name)
def test_the_legal_set_is_what_decode_accepts(tokenizer):
    size = max(tokenizer.vocab_sizes)
    assert tokenizer.legal.shape == (tokenizer.num_tokens, size)
    for position, token in itertools.product(range(tokenizer.num_tokens), range(size)):
        tokens = torch.zeros(3, tokenizer.num_tokens, dtype=torch.int64)
        tokens[1, position] = token
        if tokenizer.legal[position, token]:
            assert tokenizer.decode(tokens).isfinite().all()
        else:
            message = f"token {token} at position {position} is not legal: ids there"
            with pytest.raises(ValueError, match=message):
                tokenizer.decode(tokens)
    with pytest.raises(ValueError, match="token -1 at position 0"):
        tokenizer.decode(torch.zeros_like(tokens) - 1)


@pytest.mark.parametrize("tokenizer", ALL, ids=by_name)
def test_out_of_range_counts_what_lies_beyond(tokenizer):
    beyond = f64(tokenizer.low * 1.01, tokenizer.high * 1.01)
    inside = f64(tokenizer.low, 0.0, tokenizer.high)
    assert tokenizer.out_of_range(torch.cat([beyond, inside])).sum() == 2
    assert not tokenizer.out_of_range(inside).any()


@pytest.mark.parametrize("tokenizer", ALL, ids=by_name)
def test_resolution_is_the_smallest_step(tokenizer):
    smallest = dict(zip(map(by_name, ALL), (8 / 256, 1e-10, 1e-12), strict=True))
    assert tokenizer.resolution == smallest[by_name(tokenizer)]


@pytest.mark.parametrize("tokenizer", [*ALL, NormalizedTokenizer()], ids=str)
def test_configuration_rebuilds_the_tokenizer_through_json(tokenizer):
    config = json.loads(json.dumps(tokenizer.config))
    assert tokenizer_from_config(config) == tokenizer
    assert tokenizer_from_config(config).vocab_sizes == tokenizer.vocab_sizes


def test_a_foreign_configuration_is_refused():
    with pytest.raises(ValueError, match="unknown tokenizer type 'BytePair'"):
        tokenizer_from_config({"type": "BytePair"})


def test_strings_for_reading():
    tokens = NORMALIZED.encode(f64(1.28125))
    assert NORMALIZED.to_strings(tokens[0]) == "0110 1001"
    assert NORMALIZED.to_strings(tokens[None]) == [["0110 1001"]]
    assert (
        NormalizedTokenizer(16, 2, **UNIT).to_strings(torch.tensor([10, 3])) == "10,3"
    )
    assert SCIENTIFIC.to_strings(torch.tensor([0, 1, 2, 3, 4, 7])) == "+1234e-03"
    assert IEEE.to_strings(torch.empty(0, 7, dtype=torch.int64)) == []
