"""The text encoder against PyTorch's layers, and policies that read its prefix."""

import itertools
import math

import gymnasium
import pytest
import torch
from conftest import TINY_TOKENIZERS
from gymnasium.utils.env_checker import check_env
from scipy import stats
from test_checkpoints import rewrite
from torch import nn

from genre2_mini.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from genre2_mini.encoders import RowEncoder
from genre2_mini.heads import HistogramHead, PointwiseHead
from genre2_mini.methods import METHODS, build_model
from genre2_mini.objectives import ExactPolicyGradient, ReMax
from genre2_mini.objectives.critic import Critic
from genre2_mini.objectives.objective import companions_of
from genre2_mini.policy import DecodingPolicy
from genre2_mini.prefix_tree import all_strings, score_strings
from genre2_mini.rollouts import tree_rollout
from genre2_mini.stages import train
from genre2_mini.tasks import Split, Task
from genre2_mini.text_encoder import TextEncoder
from genre2_mini.tokenizers import NormalizedTokenizer

SMALL = {"d_model": 16, "num_heads": 4, "dropout": 0.1, "patch_size": 4}
EXACT = {"rtol": 0, "atol": 1e-12}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def ids_of(*texts, length=24):
    """Each byte plus one, then padding: (N, length)."""
    rows = [list(text.encode()) for text in texts]
    return torch.tensor([[b + 1 for b in r] + [0] * (length - len(r)) for r in rows])


def text_encoder(num_vectors=3, **sizes):
    encoder = TextEncoder(max_length=24, num_vectors=num_vectors, **SMALL | sizes)
    return encoder.double().eval()


def text_policy(tokenizer, num_vectors=3, dropout=0.1):
    """Like ``make_policy`` of the other tests: float64, far from uniform."""
    torch.manual_seed(0)
    encoder = text_encoder(num_vectors, dropout=dropout)
    policy = DecodingPolicy(encoder, tokenizer, 16, 2, 2, dropout=dropout).double()
    with torch.no_grad():
        policy.unembedding.weight.mul_(4)
    return policy.eval()


@pytest.fixture(params=list(TINY_TOKENIZERS))
def policy(request):
    """One tiny policy for each tokenizer, whose encoder writes three vectors."""
    return text_policy(TINY_TOKENIZERS[request.param]())


@pytest.fixture
def binary():
    return text_policy(NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0))


@pytest.fixture
def x():
    """Texts of 15, 2 and 24 bytes."""
    return ids_of("sum(range(100))", "42", "[i * i for i in range(9)]"[:24])


# What it computes


def in_pytorchs_order(block):
    """The tensors of a block as ``nn.TransformerEncoderLayer`` lists its own."""
    parts = (block.attention, block.mlp, block.norm_attention, block.norm_mlp)
    return [tensor for part in parts for tensor in part.state_dict().values()]


def test_it_is_pytorchs_layers_over_patches_read_by_learned_queries(x):
    encoder = text_encoder()
    first, last = encoder.blocks
    layer = nn.TransformerEncoderLayer(
        16, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True
    ).double()
    layer.load_state_dict(  # both hold the same tensors in the same order
        dict(zip(layer.state_dict(), in_pytorchs_order(first), strict=True))
    )
    attention = nn.MultiheadAttention(16, 4, batch_first=True).double()
    attention.load_state_dict(
        {
            "in_proj_weight": last.attention.qkv.weight,
            "in_proj_bias": last.attention.qkv.bias,
            "out_proj.weight": last.attention.out.weight,
            "out_proj.bias": last.attention.out.bias,
        }
    )
    for row in x:
        ids = row[: 4 * math.ceil((row > 0).sum() / 4)]  # the last patch is filled up
        bytes_ = (
            encoder.id_embedding(ids) + encoder.position_embedding.weight[: len(ids)]
        )
        patches = torch.stack([encoder.merge(p.flatten()) for p in bytes_.split(4)])
        patches, queries = layer(patches[None]), encoder.queries[None]
        read = last.norm_attention(torch.cat([patches, queries], dim=1))
        h = queries + attention(last.norm_attention(queries), read, read)[0]
        expected = encoder.norm(h + last.mlp(last.norm_mlp(h)))
        torch.testing.assert_close(encoder(row[None]), expected, **EXACT)


@pytest.mark.parametrize("num_vectors", [1, 3])
def test_one_vector_is_what_a_row_gives_and_several_are_a_prefix(x, num_vectors):
    shape = (3, 16) if num_vectors == 1 else (3, num_vectors, 16)
    assert text_encoder(num_vectors)(x).shape == shape
    assert text_encoder(num_vectors)(x[:0]).shape == (0, *shape[1:])


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("patch_size", [1, 4, 5])
def test_every_byte_is_read_and_where_it_stands(num_layers, patch_size):
    encoder = text_encoder(num_layers=num_layers, patch_size=patch_size)
    text = "print(3 + 4 * 51)"
    changed = [text[:i] + "~" + text[i + 1 :] for i in range(len(text))]
    read = encoder(ids_of(text, text[::-1], text + " ", *changed))
    distance = (read[1:] - read[0]).abs().amax(dim=(1, 2))
    assert (distance > 1e-6).all()


def test_all_of_it_is_learned(x):
    encoder = text_encoder()
    encoder(x).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_dropout_is_for_training_only(x):
    encoder = text_encoder(dropout=0.5)
    assert torch.equal(encoder(x), encoder(x))
    encoder.train()
    assert not torch.equal(encoder(x), encoder(x))


# Padding


@pytest.mark.parametrize("patch_size", [1, 4, 5])
def test_more_padding_changes_nothing(patch_size):
    encoder = text_encoder(patch_size=patch_size)
    text = "len('seven')"
    short, long, longest = (ids_of(text, length=n) for n in (len(text), 24, 500))
    assert torch.equal(encoder(short), encoder(long))
    assert torch.equal(encoder(short), encoder(longest))


@pytest.mark.parametrize(("dtype", "atol"), [("double", 1e-12), ("float", 1e-6)])
def test_neighbours_in_the_batch_change_nothing(x, dtype, atol):
    encoder = getattr(text_encoder(), dtype)()
    alone = torch.cat([encoder(row[None]) for row in x])
    torch.testing.assert_close(encoder(x), alone, rtol=0, atol=atol)


def test_a_text_of_nothing_is_read_as_the_queries_alone(x):
    encoder = text_encoder()
    nothing = encoder(torch.zeros(2, 24, dtype=torch.int64))
    assert nothing.isfinite().all()
    torch.testing.assert_close(nothing[0], nothing[1], **EXACT)
    empty = encoder(torch.cat([x, torch.zeros_like(x[:1])]))[3]
    torch.testing.assert_close(empty, nothing[0], **EXACT)


# What it refuses


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (ids_of("x" * 25, "y", length=25), r"a text has 25 ids; .* max_length=24"),
        (torch.full((1, 4), 257), r"ids from 257 to 257; this encoder knows 0 to 256"),
        (torch.full((1, 4), -1), r"ids from -1 to -1"),
        (torch.ones(1, 4), r"\(1, 4\) and type torch.float32; .* int64"),
        (torch.ones(4, dtype=torch.int64), r"shape \(4,\)"),
    ],
    ids=["too long", "no such byte", "negative", "no integers", "no batch"],
)
def test_what_is_no_text_it_can_read_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        text_encoder()(x)


@pytest.mark.parametrize(
    "size", ["vocab_size", "max_length", "num_layers", "patch_size", "num_vectors"]
)
def test_sizes_start_at_one(size):
    with pytest.raises(ValueError, match=f"{size}=0 must be at least 1"):
        TextEncoder(**{size: 0})


# A policy that reads a prefix


def strings_of(tokenizer):
    return torch.tensor(list(itertools.product(*map(range, tokenizer.vocab_sizes))))


def whole_log_probs(policy, x):
    """log π of every string (N, V): prefix and tokens in one call, no cache."""
    strings = strings_of(policy.tokenizer)
    rows = []
    for encoded in policy.encoder(x):
        prefix = encoded.expand(len(strings), -1, -1)
        read = policy.token_embedding(strings[:, :-1])
        read = torch.cat([prefix[:, -1:], read], dim=1)
        read = read + policy.position_embedding.weight
        h = policy.transformer(torch.cat([prefix[:, :-1], read], dim=1))
        logits = policy.unembedding(h[:, -strings.shape[1] :])
        log_p = logits.masked_fill(~policy.legal, -torch.inf).log_softmax(-1)
        rows.append(log_p.gather(-1, strings[..., None])[..., 0].sum(dim=1))
    return torch.stack(rows)


def gradients(policy, loss):
    grads = torch.autograd.grad(loss, list(policy.parameters()))
    return torch.cat([g.flatten() for g in grads])


def teacher_forced(policy, x):
    strings = strings_of(policy.tokenizer)
    return policy.log_prob(x, strings.expand(len(x), -1, -1))


def in_a_tree(policy, x):
    return all_strings(policy, x).log_prob.view(len(x), -1)


def replayed(policy, x):
    strings = all_strings(policy, x)
    again = score_strings(policy, x, strings.tokens, strings.owner)
    return again.log_prob.view(len(x), -1)


@pytest.mark.parametrize("way", [teacher_forced, in_a_tree, replayed])
def test_every_way_to_read_gives_the_same_log_probabilities_and_gradients(
    policy, x, way
):
    """The prefix in a cache, copied to each node of a tree, or read with each string.

    1e-10 for gradients of sums over 27 to 72 strings, each in float64.
    """
    expected, found = whole_log_probs(policy, x), way(policy, x)
    torch.testing.assert_close(found, expected, **EXACT)
    weight = torch.randn(expected.shape, dtype=torch.float64)
    theirs, ours = (gradients(policy, (weight * p).sum()) for p in (expected, found))
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def gradients_of_the_encoder(policy, log_probs):
    return torch.autograd.grad(log_probs.sum(), policy.encoder.queries)[0]


def test_in_float32_they_agree_to_1e_5(policy, x):
    policy.float()
    expected = whole_log_probs(policy, x)
    for way in (teacher_forced, in_a_tree, replayed):
        torch.testing.assert_close(way(policy, x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_vectors", [1, 3])
def test_the_probabilities_of_all_strings_sum_to_one(x, num_vectors):
    policy = text_policy(TINY_TOKENIZERS["scientific"](), num_vectors)
    total = in_a_tree(policy, x).exp().sum(dim=1)
    torch.testing.assert_close(total, torch.ones(3).double(), **EXACT)


def test_each_vector_of_the_prefix_is_attended_to(binary, x):
    gradient = gradients_of_the_encoder(binary, in_a_tree(binary, x)[:, :3])
    assert (gradient.abs().sum(dim=1) > 1e-6).all()


@pytest.mark.parametrize("sampler", ["sample", "tree"])
def test_samples_follow_the_law_of_all_strings(binary, x, sampler):
    """Chi-square of 20,000 draws of each text; fixed seed, false alarm 1 in 10,000."""
    draws, generator = 20_000, torch.Generator().manual_seed(0)
    expected = whole_log_probs(binary, x).exp().detach() * draws
    place = torch.tensor([4, 2, 1])
    if sampler == "sample":
        drawn = (binary.sample(x, draws, generator=generator) * place).sum(-1)
        observed = torch.stack([row.bincount(minlength=8) for row in drawn])
    else:
        rollout = tree_rollout(binary, x, draws, generator=generator)
        cell = rollout.owner, (rollout.tokens * place).sum(-1)
        observed = torch.zeros(3, 8).long().index_put(cell, rollout.count)
    for seen, law in zip(observed, expected, strict=True):
        assert stats.chisquare(seen.numpy(), law.numpy()).pvalue > 1e-4


def test_greedy_takes_the_likeliest_token_at_each_position(policy, x):
    greedy = policy.greedy(x)
    teacher = policy.logits(x, greedy[:, None]).argmax(-1)[:, 0]
    assert torch.equal(greedy, teacher)


def test_padding_and_neighbours_change_no_probability(binary, x):
    expected = in_a_tree(binary, x)
    padded = nn.functional.pad(x, (0, 100))
    assert torch.equal(in_a_tree(binary, padded), expected)
    alone = torch.cat([in_a_tree(binary, row[None]) for row in x])
    torch.testing.assert_close(alone, expected, **EXACT)


@pytest.mark.parametrize(
    "use",
    [
        lambda policy, x: policy.sample(x, 50),
        lambda policy, x: policy.greedy(x),
        lambda policy, x: policy.log_prob(
            x, policy.tokenizer.encode(torch.zeros(3, 9))
        ),
        lambda policy, x: tree_rollout(policy, x, 50),
        lambda policy, x: all_strings(policy, x),
    ],
    ids=["sample", "greedy", "log_prob", "tree", "all strings"],
)
def test_a_text_is_encoded_once_however_many_strings_it_gets(binary, x, use):
    encoded, prefixes = [], []
    binary.encoder.register_forward_hook(lambda *call: encoded.append(len(call[2])))
    binary.transformer.register_forward_pre_hook(
        lambda _, inputs: prefixes.append(inputs[0].shape)
    )
    use(binary, x)
    assert encoded == [3]
    assert prefixes[0] == (3, 2, 16)  # before any copy; the third vector is position 0


# What learns from it


@pytest.fixture
def z():
    return torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64)


def exact_loss(policy, x, z):
    values = policy.tokenizer.decode(strings_of(policy.tokenizer))
    error = (values - z[:, None]).square()
    return (whole_log_probs(policy, x).exp() * error).sum(dim=1).mean()


def test_the_exact_gradient_is_that_of_an_independent_enumeration(binary, x, z):
    [(loss, _)] = ExactPolicyGradient().losses(binary, x, z)
    ours, theirs = gradients(binary, loss), gradients(binary, exact_loss(binary, x, z))
    assert (ours - theirs).norm() < 1e-12 * theirs.norm()


def test_the_gradient_of_many_rollouts_is_the_exact_one(binary, x, z):
    """20,000 samples a text leave about 1/√20,000 of a sample's own spread."""
    objective, generator = ReMax(num_samples=20_000), torch.Generator().manual_seed(0)
    [(loss, _)] = objective.losses(binary, x, z, generator)
    ours, theirs = gradients(binary, loss), gradients(binary, exact_loss(binary, x, z))
    assert (ours - theirs).norm() < 0.05 * theirs.norm()


def test_a_critic_reads_the_same_prefixes(binary, x):
    critic = Critic(binary).eval()
    nn.init.normal_(critic.trunk.unembedding.weight)
    strings = all_strings(binary, x)
    values = critic(x, strings.tokens, strings.owner)
    for m in range(0, len(values), 5):
        prefix = critic.trunk.encoder(x[strings.owner[m], None])
        read = critic.trunk.token_embedding(strings.tokens[m, None, :-1])
        read = torch.cat([prefix[:, -1:], read], dim=1)
        read = read + critic.trunk.position_embedding.weight
        h = critic.trunk.transformer(torch.cat([prefix[:, :-1], read], dim=1))
        expected = critic.trunk.unembedding(h[0, -3:, :])[:, 0]
        torch.testing.assert_close(values[m], expected, **EXACT)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_the_encoder(x, z, name):
    method = METHODS[name]
    rows = Split(x, z)
    task = Task("texts", rows, rows, rows, schema=None)
    model = build_model(method, task, d_model=16)
    objective = method.objective()
    batch = (x, z, torch.Generator().manual_seed(0), *companions_of(objective, model))
    (loss, _), *_ = objective.losses(model, *batch)
    loss.backward()
    assert model.encoder.queries.grad.abs().sum() > 0
    assert model.encoder.id_embedding.weight.grad.abs().sum() > 0


def test_waves_of_numbers_are_refused_for_a_text(x, z):
    rows = Split(x, z)
    task = Task("texts", rows, rows, rows, schema=None)
    with pytest.raises(ValueError, match=r"periodic=True .* texts have none"):
        build_model(METHODS["ce"], task, periodic=True)


def test_the_environment_takes_texts(x, z):
    rows = Split(x, z)
    task = Task("texts", rows, rows, rows, schema=None)
    env = gymnasium.make("genre2_mini/Decoding-v0", task=task)
    check_env(env.unwrapped)
    observation, _ = env.reset(options={"row": 1})
    assert observation["x"].tolist() == x[1].tolist()


@pytest.mark.parametrize("head", [PointwiseHead, HistogramHead])
def test_heads_read_the_mean_of_the_vectors(x, head):
    model = head(text_encoder(), d_model=16).double().eval()
    expected = model.out(model.encoder(x).mean(dim=1)).squeeze(-1)
    torch.testing.assert_close(model(x), expected, **EXACT)


def test_a_count_is_learned_by_cross_entropy_and_sharpened_by_reward():
    """How many letters are an a, of texts of 8 to 24: unseen texts, one sample."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(ord("b"), ord("z"), (1200, 24), generator=generator) + 1
    share = torch.rand(1200, 1, generator=generator)
    x[torch.rand(1200, 24, generator=generator) < share] = ord("a") + 1
    length = torch.randint(8, 25, (1200, 1), generator=generator)
    x[torch.arange(24) >= length] = 0
    count = (x == ord("a") + 1).sum(dim=1).double()
    z = (count - count.mean()) / count.std()
    rows, unseen = Split(x[:1000], z[:1000]), Split(x[1000:], z[1000:])
    task = Task("count", rows, unseen, unseen, schema=None)
    policy = build_model(
        METHODS["remax"],
        task,
        NormalizedTokenizer(base=2, num_digits=5),
        d_model=32,
        dropout=0.0,
    )
    history = train(
        policy,
        task,
        METHODS["remax"],
        ce_steps=50,
        rl_steps=30,
        learning_rate=1e-3,
        batch_size=64,
        num_samples=16,
        progress=False,
    )
    scores = history.groupby("stage")["valid_r2_k1"].max()
    assert scores["CE"] > 0.5
    assert scores["ReMax"] > max(scores["CE"] + 0.03, 0.8)


# On disk, and from a task


@pytest.mark.parametrize("head", [DecodingPolicy, PointwiseHead, HistogramHead])
@pytest.mark.parametrize(
    "sizes", [{}, {"max_length": 3000, "patch_size": 4}, {"num_vectors": 1}]
)
def test_a_model_of_texts_comes_back(tmp_path, x, head, sizes):
    encoder = TextEncoder(d_model=16, num_heads=2, **sizes)
    rest = [NormalizedTokenizer(2, 4, low=-1, high=1)] if head is DecodingPolicy else []
    model = head(encoder, *rest, d_model=16).eval()
    save_checkpoint(tmp_path / "model", model)
    loaded = load_checkpoint(tmp_path / "model").model
    assert loaded.config == model.config
    assert torch.equal(loaded.encoder(x), model.encoder(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_length": 2**40}, "a size beyond"),
        ({"patch_size": 2**40}, "a size beyond"),
        ({"num_vectors": -1}, "a size beyond"),
        ({"num_vectors": 0}, "num_vectors=0"),
        ({"num_vectors": 9}, "weights do not fit"),
        ({"max_length": 1000}, "weights do not fit"),
        ({"num_layers": 1}, "weights do not fit"),
        ({"vocab_size": "257"}, "cannot rebuild"),
        ({"type": "RowEncoder"}, "cannot rebuild"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_hostile_configuration_is_refused(tmp_path, binary, change, message):
    save_checkpoint(tmp_path / "model", binary.float())
    rewrite(tmp_path / "model", lambda config: config["encoder"].update(change))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "model")


@pytest.mark.parametrize("method", ["ce", "pointwise", "histogram"])
def test_a_task_of_ids_gets_a_text_encoder(x, z, method):
    rows = Split(x, z)
    task = Task("texts", rows, rows, rows, schema=None)
    model = build_model(METHODS[method], task, d_model=32, encoder_layers=3)
    encoder = model.encoder
    assert isinstance(encoder, TextEncoder)
    assert (encoder.max_length, encoder.vocab_size, len(encoder.blocks)) == (24, 257, 3)
    assert model.config["encoder"]["d_model"] == 32


def test_a_task_of_rows_has_a_row_encoder_as_ever(task):
    assert isinstance(build_model(METHODS["ce"], task).encoder, RowEncoder)
