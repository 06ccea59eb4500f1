"""Specification of counted rollouts: S independent samples, each prefix read once."""

import itertools
import math

import pytest
import torch
from conftest import TINY_TOKENIZERS, make_policy
from scipy import stats

from genre2_mini.prefix_tree import all_strings, score_strings
from genre2_mini.rollouts import enumerate_strings, multinomial, tree_rollout
from genre2_mini.tokenizers import NormalizedTokenizer

RARE = 1e-4  # False alarm of every statistical test here; all seeds are fixed.
PRECISION = {torch.float64: 1e-10, torch.float32: 1e-5}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(num_rows):
    """More inputs than the fixture ``x`` has."""
    return torch.randn(num_rows, 4, generator=seeded(2))


def legal_strings(tokenizer):
    """Every legal string (V, K), in lexicographic order."""
    return torch.tensor(list(itertools.product(*map(range, tokenizer.vocab_sizes))))


def rank(tokenizer, tokens):
    """The place of each string among ``legal_strings``."""
    sizes = torch.tensor(tokenizer.vocab_sizes)
    return (tokens * (sizes.flip(0).cumprod(0).flip(0) // sizes)).sum(-1)


@torch.no_grad()
def string_law(policy, x, temperature=1.0):
    """Π_k softmax(logits / T) of every string, by teacher forcing: (N, V)."""
    strings = legal_strings(policy.tokenizer).expand(len(x), -1, -1)
    laws = (policy.logits(x, strings) / temperature).softmax(-1)
    return laws.gather(-1, strings[..., None])[..., 0].prod(-1)


def counts_by_string(policy, rollout):
    """How often each input got each legal string: (N, V)."""
    num_inputs = int(rollout.owner.max()) + 1
    counts = torch.zeros(num_inputs, math.prod(policy.tokenizer.vocab_sizes)).long()
    cell = rollout.owner, rank(policy.tokenizer, rollout.tokens)
    return counts.index_put(cell, rollout.count, accumulate=True)


def chi_square(observed, expected):
    """Two-sided p-value: counts too close to the law are as wrong as too far.

    Each row is one multinomial; its cells of less than five are pooled, or the
    chi-square law does not hold.
    """
    statistic, freedom = 0.0, 0
    for seen, law in zip(observed, expected, strict=True):
        assert not seen[law == 0].any()
        rare = law < 5
        seen = torch.cat([seen[~rare], seen[rare].sum()[None]])
        law = torch.cat([law[~rare], law[rare].sum()[None]])
        seen, law = seen[law > 0], law[law > 0]
        statistic += ((seen - law) ** 2 / law).sum().item()
        freedom += len(law) - 1
    assert freedom > 0
    law = stats.chi2(freedom)
    return 2 * min(law.cdf(statistic), law.sf(statistic))


# --- The law of the counts ----------------------------------------------------


@pytest.mark.parametrize(
    ("temperature", "greedy"), [(1.0, False), (0.5, True), (2.0, False)]
)
def test_counts_follow_the_law_of_all_strings(policy, x, temperature, greedy):
    """15 inputs of 20,000 samples; following the greedy string changes no law."""
    law = string_law(policy, x, temperature).repeat(5, 1)
    rollout = tree_rollout(
        policy, x.repeat(5, 1), 20_000, temperature, seeded(), greedy
    )
    assert chi_square(counts_by_string(policy, rollout), law * 20_000) > RARE


def test_two_samples_of_one_input_are_independent(policy, x):
    """S = 2: the pair {i, j} has probability 2 p_i p_j, and {i, i} has p_i²."""
    p, copies = string_law(policy, x[:1])[0], 8_000
    rollout = tree_rollout(policy, x[:1].expand(copies, -1), 2, generator=seeded())
    strings = rank(policy.tokenizer, rollout.tokens)
    i, j = strings.repeat_interleave(rollout.count).view(copies, 2).T
    observed = (i * len(p) + j).bincount(minlength=len(p) ** 2)
    expected = torch.outer(p, p).triu() + torch.outer(p, p).triu(1)
    assert chi_square(observed[None], copies * expected.view(1, -1)) > RARE


def test_samples_of_two_inputs_are_independent(policy, x):
    """S = 1: neighbours i and j come together with probability p_i p_j."""
    p, pairs = string_law(policy, x[:1])[0], 8_000
    rollout = tree_rollout(policy, x[:1].expand(2 * pairs, -1), 1, generator=seeded())
    i, j = rank(policy.tokenizer, rollout.tokens).view(pairs, 2).T
    observed = (i * len(p) + j).bincount(minlength=len(p) ** 2)
    assert chi_square(observed[None], pairs * torch.outer(p, p).view(1, -1)) > RARE


@pytest.mark.parametrize(("num_samples", "num_inputs"), [(4, 4_000), (100, 1_000)])
def test_counts_covary_as_those_of_a_multinomial(policy, x, num_samples, num_inputs):
    """Cov(c_i, c_j) = S(δ_ij p_i − p_i p_j) in one input, 0 between two.

    Of the five likeliest strings and the rest; all 72 entries within five
    standard errors: false alarm below 1 in 10,000.
    """
    p = string_law(policy, x[:1])[0]
    rollout = tree_rollout(
        policy, x[:1].expand(num_inputs, -1), num_samples, generator=seeded()
    )
    top = p.topk(5).indices
    p, counts = p[top], counts_by_string(policy, rollout)[:, top]
    p = torch.cat([p, 1 - p.sum(0, keepdim=True)])
    counts = torch.cat([counts, num_samples - counts.sum(1, keepdim=True)], dim=1)
    spread = counts - num_samples * p
    for other, covariance in [
        (spread, num_samples * (p.diag() - torch.outer(p, p))),
        (spread.roll(1, dims=0), torch.zeros(6, 6)),
    ]:
        product = spread[:, :, None] * other[:, None, :]
        error = product.std(dim=0) / len(product) ** 0.5
        assert ((product.mean(dim=0) - covariance).abs() < 5 * error).all()


def test_the_law_is_that_of_policy_sample(policy, x):
    """10,000 strings of each, compared as two samples of one unknown law."""
    drawn = policy.sample(x[:1], 10_000, 0.7, seeded(1))
    drawn = rank(policy.tokenizer, drawn[0])
    rollout = tree_rollout(policy, x[:1], 10_000, 0.7, seeded(2))
    counted = counts_by_string(policy, rollout)[0]
    table = torch.stack([counted, drawn.bincount(minlength=len(counted))])
    rare = table.sum(dim=0) < 10
    table = torch.cat([table[:, ~rare], table[:, rare].sum(1, keepdim=True)], dim=1)
    assert stats.chi2_contingency(table[:, table.any(dim=0)]).pvalue > RARE


# --- One draw of counts -------------------------------------------------------


def outcomes(count, size):
    """All ways (W, size) to divide ``count`` among ``size`` tokens."""
    ways = itertools.product(range(count + 1), repeat=size)
    return torch.tensor([way for way in ways if sum(way) == count])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_are_multinomial_each_with_its_own_count_and_law(dtype):
    """Every joint outcome against SciPy, 20,000 draws of each of three rows."""
    counts = torch.tensor([3, 2, 4])
    laws = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.7, 0, 0.3, 0], [0, 0, 0.05, 0.95]])
    laws = laws.to(dtype)
    drawn = multinomial(counts.repeat(20_000), laws.repeat(20_000, 1), seeded())
    for row, (count, law) in enumerate(zip(counts.tolist(), laws, strict=True)):
        ways = outcomes(count, 4)
        law = law.double() / law.double().sum()
        pmf = stats.multinomial.pmf(ways.numpy(), count, law.numpy())
        expected = 20_000 * torch.tensor(pmf)
        observed = (drawn[row::3, None] == ways).all(-1).sum(0)
        assert observed.sum() == 20_000
        assert chi_square(observed[None], expected[None]) > RARE


def test_a_million_samples_are_divided_as_exactly_as_three():
    """2,000 draws of a million: their sum has the mean, each has the spread."""
    law = torch.tensor([0.4, 0.0, 1e-4, 0.3, 0.2, 0.0999, 0.0])
    law = (law.double() / law.double().sum()).expand(2_000, -1)
    drawn = multinomial(torch.full((2_000,), 10**6), law, seeded())
    assert chi_square(drawn.sum(0, keepdim=True), 2e9 * law[:1]) > RARE
    assert chi_square(drawn, 1e6 * law) > RARE


def wild_laws(dtype, num_rows=5_000, size=6):
    """Rows of softmax over scores of every scale: zeros, ties, near certainties."""
    scale = 10 ** torch.empty(num_rows, 1).uniform_(-2, 4, generator=seeded())
    scores = scale * torch.randn(num_rows, size, generator=seeded(1))
    scores[torch.rand(num_rows, size, generator=seeded(2)) < 0.3] = -torch.inf
    scores[:, 2] = scores[:, 2].nan_to_num(neginf=0.0)  # one token is always legal
    return scores.to(dtype).softmax(-1)


@pytest.mark.parametrize("count", [0, 1, 7, 10**9 + 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_counts_are_whole_and_complete_and_never_impossible(dtype, count):
    laws = wild_laws(dtype)
    drawn = multinomial(torch.full((len(laws),), count), laws, seeded(3))
    assert drawn.dtype == torch.int64
    assert drawn.shape == laws.shape
    assert (drawn >= 0).all()
    assert (drawn.sum(dim=1) == count).all()
    assert (laws == 0).any() and not drawn[laws == 0].any()


@pytest.mark.parametrize("place", range(4))
def test_a_certain_token_takes_every_sample(place):
    law = torch.eye(4)[place].expand(3, -1)
    drawn = multinomial(torch.tensor([0, 1, 10**6]), law, seeded())
    expected = torch.zeros(3, 4).long()
    expected[:, place] = torch.tensor([0, 1, 10**6])
    assert torch.equal(drawn, expected)


def test_no_rows_are_divided_into_no_rows():
    drawn = multinomial(torch.zeros(0).long(), torch.zeros(0, 4), seeded())
    assert drawn.shape == (0, 4)


# --- Log-probabilities, gradients, entropy ------------------------------------


def sampled(policy, x):
    """Drawn from another distribution than π; what π says of them stays π's."""
    return tree_rollout(policy, x, 60, 2.0, seeded(4), greedy=True)


def scored_samples(policy, x):
    """Distinct strings of ``policy.sample``, scored."""
    tokens = policy.sample(x, 60, generator=seeded(5)).flatten(0, 1)
    owner = torch.arange(len(x), device=x.device).repeat_interleave(60)
    strings = torch.cat([owner[:, None], tokens], dim=1).unique(dim=0)
    return score_strings(policy, x, strings[:, 1:], strings[:, 0])


every_reader = pytest.mark.parametrize("read", [sampled, scored_samples, all_strings])
every_precision = pytest.mark.parametrize("dtype", PRECISION)


def teacher_forced(policy, x, strings):
    """log π of every next token on the way to each string: (M, K, V)."""
    logits = policy.logits(x[strings.owner], strings.tokens[:, None])[:, 0]
    return logits.log_softmax(-1)


def gradients(policy, scalar):
    return torch.autograd.grad(scalar, list(policy.parameters()))


def assert_close(actual, expected, dtype=torch.float64):
    torch.testing.assert_close(actual, expected, rtol=0, atol=PRECISION[dtype])


def assert_same_gradients(policy, actual, expected, dtype=torch.float64):
    actual, expected = gradients(policy, actual), gradients(policy, expected)
    for ours, theirs in zip(actual, expected, strict=True):
        assert_close(ours, theirs, dtype)
    moved = dict(zip(dict(policy.named_parameters()), expected, strict=True))
    assert all(moved[f"encoder.net.{i}.weight"].any() for i in (0, 3, 6))


@every_reader
@every_precision
def test_log_probs_are_those_of_teacher_forcing(policy, x, read, dtype):
    policy = policy.to(dtype)
    strings = read(policy, x)
    expected = teacher_forced(policy, x, strings).gather(-1, strings.tokens[..., None])
    assert_close(strings.token_log_prob, expected[..., 0], dtype)
    whole = policy.log_prob(x[strings.owner], strings.tokens)
    assert_close(strings.log_prob, whole, dtype)


@every_reader
@every_precision
def test_gradients_are_those_of_policy_log_prob(policy, x, read, dtype):
    """Of a random weighted mean, through the decoder and the encoder."""
    policy = policy.to(dtype)
    strings = read(policy, x)
    weight = torch.randn(len(strings.tokens), dtype=dtype, generator=seeded())
    weight = weight / weight.abs().sum()
    whole = policy.log_prob(x[strings.owner], strings.tokens)
    assert_same_gradients(policy, weight @ strings.log_prob, weight @ whole, dtype)


@every_reader
def test_the_gradient_of_each_token_is_its_own(policy, x, read):
    strings = read(policy, x)
    weight = torch.randn(strings.tokens.shape, generator=seeded()).double()
    weight = weight / weight.abs().sum()
    expected = teacher_forced(policy, x, strings).gather(-1, strings.tokens[..., None])
    actual = (weight * strings.token_log_prob).sum()
    assert_same_gradients(policy, actual, (weight * expected[..., 0]).sum())


@every_reader
def test_other_tokens_are_scored_after_the_strings_own_prefixes(policy, x, read):
    strings = read(policy, x)
    sizes = torch.tensor(policy.tokenizer.vocab_sizes)
    other = torch.rand(strings.tokens.shape, generator=seeded()) * sizes
    other = other.long()
    assert (other != strings.tokens).any(dim=0).all()
    expected = teacher_forced(policy, x, strings).gather(-1, other[..., None])
    assert_close(strings.log_prob_of(other), expected[..., 0])


def test_an_illegal_token_scores_minus_infinity(x):
    policy = make_policy(TINY_TOKENIZERS["scientific"]())
    strings = sampled(policy, x)
    scores = strings.log_prob_of(torch.full_like(strings.tokens, 9))
    assert scores.isneginf().tolist() == [[True, False, False, True]] * len(scores)


def test_mean_entropy_of_all_strings_is_the_entropy_of_the_string(policy, x):
    """The chain rule: H(t) = Σ_k E[ H(t_k | t_<k) ]."""
    strings = all_strings(policy, x)
    p = strings.log_prob.exp().view(3, -1)
    exact = -(p * p.log()).sum(dim=1)
    assert_close((p * strings.entropy.view(3, -1)).sum(dim=1), exact)


@every_reader
def test_entropy_is_that_of_the_legal_next_tokens_gradient_included(policy, x, read):
    strings = read(policy, x)
    law = teacher_forced(policy, x, strings)
    expected = torch.zeros(len(law)).double()
    for k, size in enumerate(policy.tokenizer.vocab_sizes):
        legal = law[:, k, :size]
        expected = expected - (legal.exp() * legal).sum(dim=-1)
    assert_close(strings.entropy, expected)
    assert_same_gradients(policy, strings.entropy.mean(), expected.mean())


# --- Bookkeeping --------------------------------------------------------------


def prefixes(strings, length):
    """(owner, first ``length`` tokens) of every string: (M, 1 + length)."""
    return torch.cat([strings.owner[:, None], strings.tokens[:, :length]], dim=1)


@pytest.mark.parametrize("greedy", [False, True])
@pytest.mark.parametrize("num_samples", [1, 3, 200])
def test_strings_are_distinct_and_sorted_by_owner(policy, num_samples, greedy):
    rollout = tree_rollout(policy, rows(20), num_samples, 1.0, seeded(), greedy)
    num_strings = math.prod(policy.tokenizer.vocab_sizes)
    key = rollout.owner * num_strings + rank(policy.tokenizer, rollout.tokens)
    assert (key.diff() > 0).all()
    assert rollout.owner.unique().tolist() == list(range(20))
    assert rollout.tokens.dtype == rollout.owner.dtype == torch.int64


@pytest.mark.parametrize("num_samples", [1, 3, 200])
def test_every_input_gets_all_its_samples(policy, num_samples):
    rollout = tree_rollout(policy, rows(20), num_samples, generator=seeded())
    assert counts_by_string(policy, rollout).sum(dim=1).tolist() == [num_samples] * 20
    assert rollout.count.dtype == torch.int64
    assert (rollout.count >= 1).all()
    assert rollout.greedy is None


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_greedy_string_is_followed_drawn_or_not(policy, temperature):
    x = rows(200)
    rollout = tree_rollout(policy, x, 3, temperature, seeded(), greedy=True)
    assert torch.equal(rollout.tokens[rollout.greedy], policy.greedy(x))
    assert rollout.owner[rollout.greedy].tolist() == list(range(200))
    assert counts_by_string(policy, rollout).sum(dim=1).tolist() == [3] * 200
    not_drawn = (rollout.count == 0).nonzero()[:, 0]
    assert set(not_drawn.tolist()) <= set(rollout.greedy.tolist())
    assert 0 < len(not_drawn) < 200


@every_reader
def test_each_distinct_prefix_has_one_row(policy, x, read):
    strings = read(policy, x)
    for k in range(policy.tokenizer.num_tokens):
        prefix = prefixes(strings, k).unique(dim=0, return_inverse=True)[1]
        row = strings.node[:, k].unique(return_inverse=True)[1]
        pairs = torch.stack([prefix, row]).unique(dim=1)
        assert pairs.shape[1] == prefix.max() + 1 == row.max() + 1
    assert strings.node.unique().tolist() == list(range(len(strings.log_probs)))


def rows_read(policy, monkeypatch):
    """A list that grows by the number of rows of each call of ``policy.step``."""
    read, step = [], policy.step

    def spy(h, k, cache):
        read.append(len(h))
        return step(h, k, cache)

    monkeypatch.setattr(policy, "step", spy)
    return read


@every_reader
def test_no_prefix_is_read_twice(policy, x, read, monkeypatch):
    seen = rows_read(policy, monkeypatch)
    strings = read(policy, x)
    lengths = range(policy.tokenizer.num_tokens)
    distinct = [len(prefixes(strings, k).unique(dim=0)) for k in lengths]
    # policy.sample, which found the strings that are scored, reads before.
    assert seen[-len(lengths) :] == distinct
    assert len(strings.log_probs) == sum(distinct) < strings.tokens.numel()


def test_the_greedy_string_shares_the_prefixes_of_the_samples(policy, monkeypatch):
    seen = rows_read(policy, monkeypatch)
    rollout = tree_rollout(policy, rows(40), 2, 5.0, seeded(), greedy=True)
    lengths = range(policy.tokenizer.num_tokens)
    assert seen == [len(prefixes(rollout, k).unique(dim=0)) for k in lengths]


# --- Sizes --------------------------------------------------------------------


def test_one_sample_is_one_leaf(policy, x):
    rollout = tree_rollout(policy, x, 1, generator=seeded())
    assert rollout.owner.tolist() == [0, 1, 2]
    assert rollout.count.tolist() == [1, 1, 1]
    assert_close(rollout.log_prob, policy.log_prob(x, rollout.tokens))


def test_a_million_samples_read_no_more_than_all_prefixes(policy, x):
    sizes = policy.tokenizer.vocab_sizes
    rollout = tree_rollout(policy, x, 10**6, generator=seeded())
    counts = counts_by_string(policy, rollout)
    assert chi_square(counts, 1e6 * string_law(policy, x)) > RARE
    all_prefixes = sum(math.prod(sizes[:k]) for k in range(len(sizes)))
    assert len(rollout.log_probs) <= 3 * all_prefixes


def test_a_certain_policy_has_one_leaf_an_input(policy, x):
    with torch.no_grad():
        policy.unembedding.bias[1] = 1e4
    rollout = tree_rollout(policy, x, 1_000, generator=seeded(), greedy=True)
    assert (rollout.tokens == 1).all()
    assert rollout.owner.tolist() == rollout.greedy.tolist() == [0, 1, 2]
    assert rollout.count.tolist() == [1_000] * 3
    assert rollout.log_prob.tolist() == rollout.entropy.tolist() == [0, 0, 0]


def test_strings_of_one_token(x):
    policy = make_policy(NormalizedTokenizer(base=5, num_digits=1, low=0, high=1))
    rollout = tree_rollout(policy, x, 1_000, generator=seeded(), greedy=True)
    counts = counts_by_string(policy, rollout)
    assert chi_square(counts, 1_000 * string_law(policy, x)) > RARE
    assert torch.equal(rollout.tokens[rollout.greedy], policy.greedy(x))
    assert rollout.node.tolist() == rollout.owner[:, None].tolist()
    tokens, log_prob = enumerate_strings(policy, x)
    assert tokens.tolist() == [[0], [1], [2], [3], [4]]
    assert_close(log_prob.exp(), string_law(policy, x))


@pytest.mark.parametrize("greedy", [False, True])
def test_no_rows_in_no_strings_out(policy, greedy):
    rollout = tree_rollout(policy, rows(0), 5, 1.0, seeded(), greedy)
    num_tokens, width = policy.tokenizer.legal.shape
    assert rollout.tokens.shape == rollout.node.shape == (0, num_tokens)
    assert rollout.log_probs.shape == (0, width)
    assert rollout.log_prob.shape == rollout.count.shape == rollout.owner.shape == (0,)
    assert rollout.mean_by_input(rollout.log_prob).shape == (0,)
    assert (rollout.greedy.shape == (0,)) if greedy else (rollout.greedy is None)


@pytest.mark.parametrize(
    "arguments", [(0,), (-1,), (1, 0.0), (1, -1.0), (1, math.nan), (1, math.inf)]
)
def test_bad_sampling_arguments_are_named_as_policy_sample_names_them(
    policy, x, arguments
):
    with pytest.raises(ValueError, match=r"(num_samples|temperature)=") as expected:
        policy.sample(x, *arguments)
    with pytest.raises(ValueError) as actual:
        tree_rollout(policy, x, *arguments)
    assert str(actual.value) == str(expected.value)


# --- Randomness, dropout, gradients off ---------------------------------------


def test_a_generator_makes_rollouts_reproducible(policy, x):
    first, again, other = (
        tree_rollout(policy, x, 50, generator=seeded(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first.tokens, again.tokens)
    assert torch.equal(first.count, again.count)
    counts = counts_by_string(policy, first)
    assert not torch.equal(counts, counts_by_string(policy, other))


@every_reader
def test_the_global_generator_is_left_alone(policy, x, read):
    state = torch.random.get_rng_state()
    read(policy, x)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_without_a_generator_the_global_seed_counts(policy, x):
    draws = [torch.manual_seed(0) and tree_rollout(policy, x, 50) for _ in range(2)]
    assert torch.equal(draws[0].count, draws[1].count)
    other = counts_by_string(policy, tree_rollout(policy, x, 50))
    assert not torch.equal(counts_by_string(policy, draws[0]), other)


@every_reader
def test_dropout_is_off_for_sampling_and_for_the_gradient(x, read):
    policy = make_policy(TINY_TOKENIZERS["scientific"](), dropout=0.5)
    evaluated, trained = read(policy.eval(), x), read(policy.train(), x)
    assert policy.training, "the training mode must come back"
    assert torch.equal(evaluated.tokens, trained.tokens)
    assert torch.equal(evaluated.log_prob, trained.log_prob)
    for ours, theirs in zip(
        gradients(policy, trained.log_prob.mean()),
        gradients(policy, evaluated.log_prob.mean()),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


@every_reader
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("broken", ["encoder", "token_embedding"])
def test_the_mode_comes_back_after_an_error(x, read, training, broken):
    policy = make_policy(TINY_TOKENIZERS["normalised"]()).train(training)

    def fail(*_):
        raise RuntimeError("interrupted")

    getattr(policy, broken).register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="interrupted"):
        read(policy, x)
    assert {part.training for part in policy.modules()} == {training}


@every_reader
def test_without_gradients_the_numbers_are_the_same(policy, x, read):
    with torch.no_grad():
        plain = read(policy, x)
        values, entropy = plain.log_prob, plain.entropy
    tracked = read(policy, x)
    assert not values.requires_grad and tracked.log_prob.requires_grad
    assert torch.equal(plain.tokens, tracked.tokens)
    assert torch.equal(values, tracked.log_prob)
    assert torch.equal(entropy, tracked.entropy)


# --- Averages over samples ----------------------------------------------------


@pytest.fixture
def expanded(policy):
    """A rollout, a number f for each leaf, and both sample by sample: (N, S)."""
    rollout = tree_rollout(policy, rows(6), 4, 5.0, seeded(), greedy=True)
    assert (rollout.count == 0).any(), "leaves that were not drawn must not weigh"
    f = torch.randn(len(rollout.count), generator=seeded()).double()
    return rollout, f, f.repeat_interleave(rollout.count).view(6, 4)


def test_mean_is_that_of_all_samples(expanded):
    rollout, f, samples = expanded
    assert_close(rollout.mean(f), samples.mean())


def test_mean_by_input_is_that_of_each_inputs_samples(expanded):
    rollout, f, samples = expanded
    assert_close(rollout.mean_by_input(f), samples.mean(dim=1))


def test_means_pass_gradients_on(expanded):
    rollout, f, _ = expanded
    share = rollout.count.double() / 24
    for mean in (rollout.mean, lambda f: rollout.mean_by_input(f).mean()):
        f = f.clone().requires_grad_()
        assert_close(torch.autograd.grad(mean(f), f)[0], share)


@pytest.mark.parametrize("chosen", [[3], [4, 1], [0, 1, 2, 3, 4, 5]])
def test_of_inputs_are_the_strings_and_shares_of_these_inputs(expanded, chosen):
    rollout, f, samples = expanded
    leaf, owner, share = rollout.of_inputs(torch.tensor(chosen))
    chosen = torch.tensor(sorted(chosen))
    assert leaf.tolist() == torch.isin(rollout.owner, chosen).nonzero()[:, 0].tolist()
    assert torch.equal(chosen[owner], rollout.owner[leaf])
    assert_close(share, rollout.count[leaf].double() / (4 * len(chosen)))
    assert_close(share @ f[leaf], samples[chosen].mean())


def test_of_inputs_can_be_scored_by_themselves(policy):
    x = rows(6)
    rollout = tree_rollout(policy, x, 30, generator=seeded())
    leaf, owner, _ = rollout.of_inputs(torch.tensor([4, 1]))
    part = score_strings(policy, x[[1, 4]], rollout.tokens[leaf], owner)
    assert_close(part.log_prob, rollout.log_prob[leaf])


# --- All strings --------------------------------------------------------------


def test_enumeration_is_in_lexicographic_order(policy, x):
    tokens, log_prob = enumerate_strings(policy, x)
    assert torch.equal(tokens, legal_strings(policy.tokenizer))
    assert log_prob.shape == (3, len(tokens))


@every_precision
def test_enumerated_log_probs_are_exact_and_differentiable(policy, x, dtype):
    policy = policy.to(dtype)
    strings = enumerate_strings(policy, x)
    expected = policy.log_prob(x, strings.tokens.expand(3, -1, -1))
    assert_close(strings.log_prob, expected, dtype)
    weight = torch.randn(expected.shape, dtype=dtype, generator=seeded())
    weight = weight / weight.abs().sum()
    actual = (weight * strings.log_prob).sum()
    assert_same_gradients(policy, actual, (weight * expected).sum(), dtype)


def test_enumerated_probabilities_sum_to_one(policy, x):
    total = enumerate_strings(policy, x).log_prob.exp().sum(dim=1)
    assert_close(total, torch.ones(3).double())


def test_enumeration_without_rows_still_lists_the_strings(policy):
    tokens, log_prob = enumerate_strings(policy, rows(0))
    assert torch.equal(tokens, legal_strings(policy.tokenizer))
    assert log_prob.shape == (0, len(tokens))


def test_too_many_strings_are_refused_before_any_is_read(monkeypatch):
    policy = make_policy(NormalizedTokenizer(10, 6, low=0.0, high=1.0))
    policy.encoder.register_forward_pre_hook(lambda *_: pytest.fail("was read"))
    with pytest.raises(ValueError, match=r"1,000,000 strings.* limit=20,000"):
        enumerate_strings(policy, rows(1))


def test_the_limit_itself_is_allowed(x):
    policy = make_policy(TINY_TOKENIZERS["normalised"]())
    assert len(enumerate_strings(policy, x, limit=27).tokens) == 27
    with pytest.raises(ValueError, match=r"27 strings.* limit=26"):
        enumerate_strings(policy, x, limit=26)


# --- On a GPU -----------------------------------------------------------------


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_reader
def test_a_gpu_gives_the_same_log_probs(policy, x, read, monkeypatch):
    monkeypatch.setattr(
        f"{__name__}.seeded", lambda seed=0: torch.Generator("cuda").manual_seed(seed)
    )
    on_gpu = read(policy.cuda(), x.cuda())
    tokens, owner = on_gpu.tokens.cpu(), on_gpu.owner.cpu()
    expected = policy.cpu().log_prob(x[owner], tokens)
    assert_close(on_gpu.log_prob.cpu(), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_from_the_same_law(policy, x):
    law = string_law(policy, x).repeat(10, 1)
    generator = torch.Generator("cuda").manual_seed(0)
    on_gpu = x.repeat(10, 1).cuda()
    rollout = tree_rollout(policy.cuda(), on_gpu, 20_000, 1.0, generator, greedy=True)
    counts = torch.zeros_like(law).long()
    cell = rollout.owner.cpu(), rank(policy.tokenizer, rollout.tokens.cpu())
    counts = counts.index_put(cell, rollout.count.cpu())
    assert chi_square(counts, law * 20_000) > RARE
