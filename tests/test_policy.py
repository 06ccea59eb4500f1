"""A policy is a distribution over strings; sampling draws from that distribution."""

import itertools
import math

import pytest
import torch
from conftest import TINY_TOKENIZERS, make_policy
from scipy import stats

from genre2_mini.encoders import RowEncoder
from genre2_mini.heads import PointwiseHead
from genre2_mini.policy import DecodingPolicy
from genre2_mini.tokenizers import NormalizedTokenizer
from genre2_mini.transformer import KVCache


def all_strings(tokenizer):
    """Every legal string (V, K)."""
    return torch.tensor(list(itertools.product(*map(range, tokenizer.vocab_sizes))))


def exact_log_probs(policy, x):
    """log π of every string: (N, V)."""
    strings = all_strings(policy.tokenizer)
    return policy.log_prob(x, strings.expand(len(x), -1, -1))


def test_probabilities_of_all_strings_sum_to_one(policy, x):
    total = exact_log_probs(policy, x).exp().sum(dim=1)
    torch.testing.assert_close(total, torch.ones(3).double(), rtol=0, atol=1e-12)


def test_each_row_conditions_its_own_distribution(policy, x):
    log_probs = exact_log_probs(policy, x)
    assert not torch.allclose(log_probs[0], log_probs[1])
    torch.testing.assert_close(exact_log_probs(policy, x[1:2])[0], log_probs[1])


def test_log_prob_is_the_sum_of_the_conditionals(policy, x):
    tokens = policy.sample(x, 5, generator=torch.Generator().manual_seed(0))
    conditionals = policy.logits(x, tokens).log_softmax(-1)
    by_hand = torch.zeros(3, 5).double()
    for k in range(policy.tokenizer.num_tokens):
        for n, s in itertools.product(range(3), range(5)):
            by_hand[n, s] += conditionals[n, s, k, tokens[n, s, k]]
    torch.testing.assert_close(policy.log_prob(x, tokens), by_hand)


def test_log_prob_of_one_string_a_row(policy, x):
    tokens = policy.sample(x, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        policy.log_prob(x, tokens[:, 1]), policy.log_prob(x, tokens)[:, 1]
    )


def test_samples_follow_the_enumerated_distribution(policy, x):
    """Chi-square of 20,000 draws; false alarm 1 in 10,000 at this fixed seed."""
    draws = 20_000
    strings = all_strings(policy.tokenizer)
    sizes = torch.tensor(policy.tokenizer.vocab_sizes)
    places = sizes.flip(0).cumprod(0).flip(0) // sizes  # mixed-radix index
    tokens = policy.sample(x[:1], draws, generator=torch.Generator().manual_seed(3))
    observed = (tokens[0] * places).sum(-1).bincount(minlength=len(strings))
    expected = exact_log_probs(policy, x[:1])[0].exp().detach() * draws
    rare = expected < 5  # pooled, or the chi-square law does not hold
    observed, expected = (
        torch.cat([count[~rare], count[rare].sum()[None]]).numpy()
        for count in (observed, expected)
    )
    assert stats.chisquare(observed, expected).pvalue > 1e-4


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_scales_the_logits_of_every_position(x, temperature):
    """At K = 1 the sampled law is softmax(logits / T) itself."""
    policy = make_policy(NormalizedTokenizer(base=5, num_digits=1, low=0, high=1))
    draws = 20_000
    generator = torch.Generator().manual_seed(0)
    tokens = policy.sample(x[:1], draws, temperature, generator)
    logits = policy.logits(x[:1], torch.zeros(1, 1, 1, dtype=torch.long))
    expected = (logits[0, 0, 0] / temperature).softmax(-1).detach() * draws
    observed = tokens.flatten().bincount(minlength=5)
    assert stats.chisquare(observed.numpy(), expected.numpy()).pvalue > 1e-4


def test_greedy_takes_the_likeliest_token_at_each_position(policy, x):
    greedy = policy.greedy(x)
    teacher = policy.logits(x, greedy[:, None]).argmax(-1)[:, 0]
    assert torch.equal(greedy, teacher)


def test_low_temperature_approaches_greedy(policy, x):
    generator = torch.Generator().manual_seed(0)
    cold = policy.sample(x, 4, temperature=1e-4, generator=generator)
    assert torch.equal(cold, policy.greedy(x)[:, None].expand_as(cold))


def test_illegal_tokens_have_probability_zero(policy, x):
    tokens = policy.sample(x, 200, generator=torch.Generator().manual_seed(0))
    sizes = torch.tensor(policy.tokenizer.vocab_sizes)
    assert (tokens < sizes).all()
    logits = policy.logits(x, tokens[:, :1])[0, 0]
    assert torch.equal(logits.isneginf(), ~policy.tokenizer.legal)


def test_a_generator_makes_samples_reproducible(policy, x):
    first, again, other = (
        policy.sample(x, 50, generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_rollouts_never_use_dropout(x):
    policy = make_policy(TINY_TOKENIZERS["normalised"](), dropout=0.5).train()
    assert torch.equal(policy.greedy(x), policy.greedy(x))
    draws = [policy.sample(x, 9, 1.0, torch.Generator().manual_seed(0)) for _ in "ab"]
    assert torch.equal(*draws)
    assert policy.training, "the training mode must come back"


def test_sample_values_are_decoded_samples(policy, x):
    values = policy.sample_values(x, 7, torch.Generator().manual_seed(5))
    tokens = policy.sample(x, 7, generator=torch.Generator().manual_seed(5))
    assert values.dtype == torch.float64
    assert torch.equal(values, policy.tokenizer.decode(tokens))


def test_float32_log_prob_agrees_with_cached_decoding(x):
    """The cached step and teacher forcing are one function, to 1e-5 in float32."""
    policy = make_policy(TINY_TOKENIZERS["normalised"]()).float()
    seen = []
    policy._decode(x, 1, lambda logits: seen.append(logits) or logits.argmax(-1))
    teacher = policy.logits(x, policy.greedy(x)[:, None])[:, 0]
    torch.testing.assert_close(torch.stack(seen, 1), teacher, rtol=0, atol=1e-5)


def test_a_step_reads_one_position_after_the_cache_gradient_included(policy, x):
    """Teacher forcing, one position at a time: same logits, same gradients."""
    tokens = policy.sample(x, 1, generator=torch.Generator().manual_seed(0))
    h, cache, steps = policy.encoder(x), KVCache(), []
    for k in range(policy.tokenizer.num_tokens):
        steps.append(policy.step(h, k, cache))
        h = policy.token_embedding(tokens[:, 0, k])
    steps, teacher = torch.stack(steps, dim=1), policy.logits(x, tokens)[:, 0]
    torch.testing.assert_close(steps, teacher)
    parameters = list(policy.parameters())
    for ours, theirs in zip(
        *(
            torch.autograd.grad(logits.softmax(-1).square().sum(), parameters)
            for logits in (steps, teacher)
        ),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_the_default_policy_has_about_190k_parameters():
    tokenizer = NormalizedTokenizer(low=-1.0, high=1.0)
    policy = DecodingPolicy(RowEncoder(num_features=8), tokenizer)
    assert sum(p.numel() for p in policy.parameters()) == pytest.approx(190e3, rel=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 0}, "num_samples=0"),
        ({"num_samples": 1, "temperature": 0.0}, r"temperature=0.0 .* greedy"),
        ({"num_samples": 1, "temperature": -1.0}, "temperature=-1.0"),
        ({"num_samples": 1, "temperature": math.nan}, "temperature=nan"),
        ({"num_samples": 1, "temperature": math.inf}, "temperature=inf"),
    ],
)
def test_bad_sampling_arguments_are_named(policy, x, arguments, message):
    with pytest.raises(ValueError, match=message):
        policy.sample(x, **arguments)


@pytest.mark.parametrize("shape", [(3, 5), (4,), (3, 4, 1)])
def test_rows_of_another_shape_are_refused(policy, shape):
    with pytest.raises(ValueError, match="rows of 4 features"):
        policy.greedy(torch.zeros(shape))


@pytest.mark.parametrize("reader", [DecodingPolicy, PointwiseHead])
def test_encoder_and_reader_must_have_one_width(reader):
    encoder = RowEncoder(4, d_model=32)
    rest = [NormalizedTokenizer(2, 4)] if reader is DecodingPolicy else []
    with pytest.raises(ValueError, match=r"d_model=64, but .* vectors of 32"):
        reader(encoder, *rest, d_model=64)


def test_an_encoder_needs_a_feature():
    with pytest.raises(ValueError, match="num_features=0"):
        RowEncoder(0)


def test_pointwise_head_is_a_distribution_of_one_value(x):
    head = PointwiseHead(RowEncoder(4, d_model=16, dropout=0.5), d_model=16).train()
    values, weights = head.predict_distribution(x)
    assert weights.tolist() == [[1.0]] * 3
    assert head.training
    torch.testing.assert_close(values[:, 0], head.eval()(x).double())


def test_no_rows_in_no_rows_out(policy):
    none = torch.zeros(0, 4)
    num_tokens = policy.tokenizer.num_tokens
    assert policy.sample(none, 3).shape == (0, 3, num_tokens)
    assert policy.greedy(none).shape == (0, num_tokens)
    assert policy.sample_values(none, 3).shape == (0, 3)
    assert policy.log_prob(none, policy.sample(none, 3)).shape == (0, 3)
