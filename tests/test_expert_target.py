"""Specification of the expert: by hand, then against every completion."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from conftest import TINY_TOKENIZERS
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from genre2_mini.objectives.expert_target import expert_target
from genre2_mini.tokenizers import (
    IEEETokenizer,
    NormalizedTokenizer,
    ScientificTokenizer,
)

UNIT = {"low": 0.0, "high": 1.0}
NORMALISED, SCIENTIFIC, IEEE = (make() for make in TINY_TOKENIZERS.values())
TINY = [NORMALISED, SCIENTIFIC, IEEE]
# Scaling by a power of two is exact, and so must the comparison be.
EXACT = [
    NormalizedTokenizer(2, 4, **UNIT),
    IEEETokenizer(2, 2, 2),
    IEEETokenizer(2, 1, 1),
    IEEE,  # base 4
]
ROUNDED = [
    NORMALISED,
    SCIENTIFIC,
    NormalizedTokenizer(10, 2, low=-1.0, high=3.0),
    ScientificTokenizer(2, 2),
    ScientificTokenizer(3, 1),
    ScientificTokenizer(1, 0),
    IEEETokenizer(10, 1, 2),
]
SMALL = EXACT + ROUNDED
LARGE = [
    NormalizedTokenizer(2, 8, low=-3.0, high=3.0),
    ScientificTokenizer(),
    ScientificTokenizer(15, 22),
    IEEETokenizer(),
    IEEETokenizer(10, 2, 4),
]


def f64(*values):
    return torch.tensor(values, dtype=torch.float64)


def ids(text):
    return [int(character) for character in text]


def every_string(tokenizer):
    return torch.tensor(list(itertools.product(*map(range, tokenizer.vocab_sizes))))


def targets_for(tokenizer):
    """Grid points, ties between them, zeros, tiny, beyond the range, random."""
    values = tokenizer.decode(every_string(tokenizer)).unique()
    grid = values[:: len(values) // 15 + 1]
    ties = (values[1:] + values[:-1])[:: len(values) // 15 + 1] / 2
    special = f64(0.0, -0.0, 5e-324, -5e-324, 0.3 * tokenizer.resolution, -1e-3)
    low, high = tokenizer.low, tokenizer.high
    edges = f64(low, high, 1.5 * low - 7, 1.5 * high + 7, -1e300, 1e300)
    uniform = torch.rand(10, generator=torch.Generator().manual_seed(0)).double()
    random = torch.cat([low + uniform * (high - low), uniform, -uniform])
    z = torch.cat([grid, ties, special, edges, random])
    if isinstance(tokenizer, IEEETokenizer):
        z = z[~tokenizer.out_of_range(z)]
    return z


def rounding(tokenizer, z):
    """What the choice between two almost equal distances may cost: a few ulps of z.

    Nothing for powers of two; otherwise z is scaled to units of the last digit, in
    three roundings at most, and then rounded to an integer.
    """
    if tokenizer in EXACT:
        return torch.zeros_like(z)
    is_grid = isinstance(tokenizer, NormalizedTokenizer)
    size = (
        z.abs().clamp(min=max(-tokenizer.low, tokenizer.high)) if is_grid else z.abs()
    )
    return 4 * torch.finfo(torch.float64).eps * size


def against_all(tokenizer, z):
    """Every string with every z: tokens (Z, S, K), z (Z, S) and distances (Z, S)."""
    strings = every_string(tokenizer)
    z = z[:, None].expand(-1, len(strings))
    tokens = strings.expand(len(z), -1, -1)
    return tokens, z, (tokenizer.decode(tokens) - z).abs()


def least(cost, tokenizer, k):
    """The least cost (Z, S) of all strings that share each string's first k tokens."""
    completions = math.prod(tokenizer.vocab_sizes[k:])  # in a row: product() counts
    shared = cost.unflatten(-1, (-1, completions))
    return shared.amin(-1, keepdim=True).expand_as(shared).flatten(-2)


def least_after(cost, tokenizer, k, tokens, target):
    """The same once the target stands at position k after the first k tokens."""
    places = [math.prod(tokenizer.vocab_sizes[i + 1 :]) for i in range(k + 1)]
    prefix = torch.cat([tokens[..., :k], target[..., k, None]], dim=-1)
    index = (prefix * torch.tensor(places)).sum(-1)
    return least(cost, tokenizer, k + 1).gather(-1, index)


def on_course(tokenizer, tokens, z, k):
    """Whether the first k tokens are those of the true string."""
    return (tokens[..., :k] == tokenizer.encode(z)[..., :k]).all(-1)


def truth_distance(tokenizer, z):
    return (tokenizer.decode(tokenizer.encode(z)) - z).abs()


def follow(tokenizer, tokens, z, k):
    """Keep the first k tokens; the expert writes the rest."""
    tokens = tokens.clone()
    for position in range(k, tokenizer.num_tokens):
        tokens[..., position] = expert_target(tokenizer, tokens, z)[..., position]
    return tokens


# --- By hand ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ("250", "250"),  # the truth is on course
        ("199", "299"),  # too low from the first digit: the rest as high as it gets
        ("300", "200"),  # too high: the rest as low as it gets
        ("249", "259"),  # a slip is seen from the next digit on
        ("270", "250"),
        ("240", "259"),
    ],
)
def test_normalised_by_hand(written, target):
    tokenizer = NormalizedTokenizer(10, 3, **UNIT)
    tokens = torch.tensor([ids(written)])
    assert expert_target(tokenizer, tokens, f64(0.25)).tolist() == [ids(target)]


@pytest.mark.parametrize(
    "tokenizer",
    [case for case in SMALL if isinstance(case, NormalizedTokenizer)],
    ids=str,
)
def test_normalised_is_zero_the_true_digit_or_the_highest(tokenizer):
    tokens, z, _ = against_all(tokenizer, targets_for(tokenizer))
    truth, target = tokenizer.encode(z), expert_target(tokenizer, tokens, z)
    for k in range(tokenizer.num_tokens):
        places = tokenizer.base ** torch.arange(k - 1, -1, -1)
        slip = ((tokens - truth)[..., :k] * places).sum(-1)
        rule = torch.where(slip > 0, 0, tokenizer.base - 1)
        rule = torch.where(slip == 0, truth[..., k], rule)
        assert torch.equal(target[..., k], rule)


@pytest.mark.parametrize(
    ("tokenizer", "z", "written", "target"),
    [
        # z = +1234e+00, the exponent's id is e + 10.
        (ScientificTokenizer(), 1234.0, [0, 1, 2, 3, 4, 10], [0, 1, 2, 3, 4, 10]),
        (ScientificTokenizer(), 1234.0, [0, 1, 2, 3, 5, 10], [0, 1, 2, 3, 4, 10]),
        # A leading zero: 0123e+01 is the best that is left.
        (ScientificTokenizer(), 1234.0, [0, 0, 1, 2, 3, 0], [0, 1, 1, 2, 3, 11]),
        (ScientificTokenizer(), 1234.0, [0, 2, 0, 0, 0, 0], [0, 1, 0, 0, 0, 10]),
        # Only the exponent is left: 0001e+03 is nearer than 0001e+04.
        (ScientificTokenizer(), 1234.0, [0, 0, 0, 0, 1, 0], [0, 1, 1, 1, 1, 13]),
        # The wrong sign: back to zero, as small as the digits allow.
        (ScientificTokenizer(), 1234.0, [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]),
        (ScientificTokenizer(), 1234.0, [1, 5, 6, 0, 0, 9], [0, 0, 0, 0, 0, 0]),
        # 010e+1 and 001e+2 are both 100: the smaller exponent.
        (ScientificTokenizer(3, 2), 100.0, [0, 0, 1, 0, 3], [0, 1, 1, 0, 3]),
        # z = +1.234e+3; the exponent's sign is written before its digit.
        (IEEETokenizer(), 1234.0, ids("0031234"), ids("0031234")),
        (IEEETokenizer(), 1234.0, ids("0040123"), ids("0030123")),
        (IEEETokenizer(), 1234.0, ids("0029999"), ids("0039999")),
        # The wrong direction of the exponent: −0 is its largest, then up to 9.999.
        (IEEETokenizer(), 1234.0, ids("0109999"), ids("0009999")),
        (IEEETokenizer(), 1234.0, ids("0170000"), ids("0009999")),
        (IEEETokenizer(), 0.05, ids("0000050"), ids("0100050")),
        (IEEETokenizer(), 1234.0, ids("1190000"), ids("0190000")),
        (IEEETokenizer(), -1234.0, ids("0000100"), ids("1100000")),
        # From afar all distances are the same float64: still the largest is best.
        (IEEETokenizer(10, 2, 4), 1e50, ids("00099999"), ids("00599999")),
        (IEEETokenizer(10, 2, 4), 1e99, ids("01009999"), ids("00009999")),
    ],
)
def test_by_hand(tokenizer, z, written, target):
    tokens = torch.tensor(written)
    assert expert_target(tokenizer, tokens, f64(z)[0]).tolist() == target


# --- Against every completion -------------------------------------------------


@pytest.mark.parametrize("tokenizer", SMALL, ids=str)
def test_no_token_brings_closer_than_the_experts(tokenizer):
    tokens, z, distance = against_all(tokenizer, targets_for(tokenizer))
    target, tolerance = expert_target(tokenizer, tokens, z), rounding(tokenizer, z)
    # Where only canonical strings are encoded, below IEEE's smallest number, the truth
    # is not the closest string. It goes first all the same.
    closest = truth_distance(tokenizer, z) <= least(distance, tokenizer, 0) + tolerance
    assert closest.all() or isinstance(tokenizer, IEEETokenizer)
    for k in range(tokenizer.num_tokens):
        before = least(distance, tokenizer, k)
        after = least_after(distance, tokenizer, k, tokens, target)
        exempt = on_course(tokenizer, tokens, z, k) & ~closest
        assert ((after <= before + tolerance) | exempt).all()


@pytest.mark.parametrize("tokenizer", SMALL + LARGE, ids=str)
def test_on_course_it_is_the_truth(tokenizer):
    z = targets_for(tokenizer) if tokenizer in SMALL else f64(0, -1e-12, 1e-7, -2.5, 99)
    truth = tokenizer.encode(z)
    assert torch.equal(expert_target(tokenizer, truth, z), truth)
    for k in range(tokenizer.num_tokens):  # the slip at k is seen from k + 1 on
        slip = truth.clone()
        slip[:, k] = (slip[:, k] + 1) % tokenizer.vocab_sizes[k]
        targets = expert_target(tokenizer, slip, z)
        assert torch.equal(targets[:, : k + 1], truth[:, : k + 1])


@pytest.mark.parametrize("tokenizer", [NORMALISED, SCIENTIFIC, *EXACT], ids=str)
def test_following_the_expert_reaches_the_closest_string(tokenizer):
    tokens, z, distance = against_all(tokenizer, targets_for(tokenizer)[::4])
    for k in range(tokenizer.num_tokens):
        reached = tokenizer.decode(follow(tokenizer, tokens, z, k)) - z
        expected = torch.where(
            on_course(tokenizer, tokens, z, k),
            truth_distance(tokenizer, z),
            least(distance, tokenizer, k),
        )
        tolerance = tokenizer.num_tokens * rounding(tokenizer, z)
        assert ((reached.abs() - expected).abs() <= tolerance).all()


@pytest.mark.parametrize("tokenizer", [IEEE, IEEETokenizer(2, 2, 2)], ids=str)
def test_equal_distances_go_to_the_smallest_exponent(tokenizer):
    tokens, z, distance = against_all(tokenizer, targets_for(tokenizer))
    target = expert_target(tokenizer, tokens, z)
    size = tokens[..., 2 : 2 + tokenizer.num_exponent_digits]
    places = tokenizer.base ** torch.arange(size.shape[-1] - 1, -1, -1)
    exponent = ((size * places).sum(-1) * (1 - 2 * tokens[..., 1])).double()
    for k in range(1, tokenizer.num_tokens):
        tied = distance == least(distance, tokenizer, k)  # exact, in powers of two
        exponents = exponent.masked_fill(~tied, math.inf)
        smallest = least(exponents, tokenizer, k)
        chosen = least_after(exponents, tokenizer, k, tokens, target)
        assert ((chosen == smallest) | on_course(tokenizer, tokens, z, k)).all()


@pytest.mark.parametrize(
    "tokenizer",
    [case for case in SMALL if not isinstance(case, NormalizedTokenizer)],
    ids=str,
)
@pytest.mark.parametrize("z", [-1.0, 1.0])
def test_after_the_wrong_sign_the_smallest_magnitude(tokenizer, z):
    tokens, z, _ = against_all(tokenizer, f64(z))
    magnitude = tokenizer.decode(tokens).abs()
    wrong = tokens[..., 0] == (z > 0)
    for k in range(1, tokenizer.num_tokens):
        reached = tokenizer.decode(follow(tokenizer, tokens, z, k)).abs()
        assert torch.equal(reached[wrong], least(magnitude, tokenizer, k)[wrong])


@pytest.mark.parametrize("tokenizer", LARGE, ids=str)
def test_no_other_completion_is_closer(tokenizer):
    strings = st.tuples(*(st.integers(0, size - 1) for size in tokenizer.vocab_sizes))
    signs, powers = st.sampled_from([-1, 1]), st.integers(-8, 8)
    near = st.builds(lambda s, m, e: s * m * 10.0**e, signs, st.floats(1, 9.99), powers)
    targets = near | st.floats(tokenizer.low, tokenizer.high)
    positions = st.integers(1, tokenizer.num_tokens)

    @settings(deadline=None, max_examples=30)
    @given(strings, st.lists(strings, min_size=1, max_size=20), targets, positions)
    def check(string, others, z, k):
        string, others, z = torch.tensor(string), torch.tensor(others), f64(z)[0]
        others[:, :k] = string[:k]
        assume(not on_course(tokenizer, string, z, k))
        reached = tokenizer.decode(follow(tokenizer, string, z, k))
        slack = tokenizer.num_tokens * Fraction(rounding(tokenizer, z).item())
        # Exact distances between the float64 numbers, so that none look equal.
        distance, *rest = (
            abs(Fraction(value) - Fraction(z.item()))
            for value in [reached.item(), *tokenizer.decode(others).tolist()]
        )
        assert all(distance <= other + slack for other in rest)

    check()


# --- Shapes and refusals ------------------------------------------------------


@pytest.mark.parametrize("tokenizer", TINY, ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 3), (0,), (4, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_any_leading_shape(tokenizer, shape, dtype):
    size = (*shape, tokenizer.num_tokens)
    sizes = torch.tensor(tokenizer.vocab_sizes)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1000, size, generator=generator) % sizes
    z = torch.randint(-3, 4, shape, generator=generator).to(dtype)
    target = expert_target(tokenizer, tokens, z)
    assert target.shape == size
    assert target.dtype == torch.int64
    assert ((target >= 0) & (target < sizes)).all()
    one_by_one = [
        expert_target(tokenizer, string, value)
        for string, value in zip(
            tokens.reshape(-1, size[-1]), z.reshape(-1), strict=True
        )
    ]
    if one_by_one:
        assert torch.equal(target.reshape(-1, size[-1]), torch.stack(one_by_one))


@pytest.mark.parametrize("tokenizer", TINY, ids=str)
def test_the_arguments_are_left_as_they_are(tokenizer):
    z = torch.tensor([0.5, -0.5], requires_grad=True)
    tokens = torch.ones(2, tokenizer.num_tokens, dtype=torch.int64)
    assert not expert_target(tokenizer, tokens, z).requires_grad
    assert (tokens == 1).all()


@pytest.mark.parametrize("tokenizer", TINY, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 1), (2, 2)])
def test_one_target_for_each_string(tokenizer, shape):
    tokens = torch.zeros(2, tokenizer.num_tokens, dtype=torch.int64)
    with pytest.raises(ValueError, match="z must hold one target for each string"):
        expert_target(tokenizer, tokens, torch.zeros(shape))


def test_illegal_strings_and_targets_are_refused():
    tokenizer = IEEETokenizer()
    tokens = torch.zeros(1, tokenizer.num_tokens, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"rescale or clip z"):
        expert_target(tokenizer, tokens, f64(1e10))
    with pytest.raises(ValueError, match="NaN or infinite"):
        expert_target(tokenizer, tokens, f64(math.nan))
    with pytest.raises(ValueError, match="token 2 at position 0 is not legal"):
        expert_target(tokenizer, tokens + 2, f64(1.0))
