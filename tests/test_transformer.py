"""The transformer is PyTorch's own, written out; the cache changes nothing."""

import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from genre2_mini.transformer import (
    Block,
    KVCache,
    SelfAttention,
    Transformer,
    attend_causally,
    attend_last,
    causal_mask,
    evaluating,
)

D_MODEL, HEADS, D_FF = 16, 4, 32


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def h():
    return torch.randn(3, 5, D_MODEL, dtype=torch.float64)


def torch_mask(length):
    """PyTorch's convention: True where a query must NOT look."""
    return ~torch.ones(length, length, dtype=torch.bool).tril()


def gradients_of(module, output):
    """Gradients of an arbitrary scalar of ``output`` (its sum of squares)."""
    return torch.autograd.grad(output.square().sum(), list(module.parameters()))


def test_attention_is_pytorchs_multihead_attention(h):
    ours = SelfAttention(D_MODEL, HEADS).double()
    theirs = nn.MultiheadAttention(D_MODEL, HEADS, batch_first=True).double()
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    expected, _ = theirs(h, h, h, attn_mask=torch_mask(5))
    torch.testing.assert_close(ours(h), expected)
    for mine, other in zip(
        gradients_of(ours, ours(h)), gradients_of(theirs, expected), strict=True
    ):
        torch.testing.assert_close(mine, other)


def test_attention_by_hand():
    """One head, identity maps: softmax(h hᵀ/√d) h over the past, no more."""
    attention = SelfAttention(2, 1).double()
    with torch.no_grad():
        attention.qkv.weight.copy_(torch.eye(2).repeat(3, 1))
        attention.qkv.bias.zero_()
        attention.out.weight.copy_(torch.eye(2))
        attention.out.bias.zero_()
    h = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]], dtype=torch.float64)
    weight = torch.softmax(torch.tensor([0.0, 4.0]).double() / 2**0.5, dim=0)
    expected = torch.stack([h[0, 0], weight[0] * h[0, 0] + weight[1] * h[0, 1]])
    torch.testing.assert_close(attention(h)[0], expected)


def copy_of(block):
    """PyTorch's pre-norm layer with this block's weights."""
    layer = nn.TransformerEncoderLayer(
        D_MODEL, HEADS, D_FF, 0.0, "gelu", batch_first=True, norm_first=True
    ).double()
    names = {
        "self_attn.in_proj_": "attention.qkv.",
        "self_attn.out_proj.": "attention.out.",
        "linear1.": "mlp.0.",
        "linear2.": "mlp.3.",
        "norm1.": "norm_attention.",
        "norm2.": "norm_mlp.",
    }
    ours = block.state_dict()
    layer.load_state_dict(
        {
            theirs + kind: ours[mine + kind]
            for theirs, mine in names.items()
            for kind in ("weight", "bias")
        }
    )
    return layer


def test_block_is_pytorchs_prenorm_layer(h):
    block = Block(D_MODEL, HEADS, D_FF).double()
    layer = copy_of(block)
    mine, other = block(h), layer(h, src_mask=torch_mask(5))
    torch.testing.assert_close(mine, other)
    our_total = sum(g.abs().sum() for g in gradients_of(block, mine))
    their_total = sum(g.abs().sum() for g in gradients_of(layer, other))
    torch.testing.assert_close(our_total, their_total)


def test_stack_is_blocks_then_norm(h):
    model = Transformer(D_MODEL, HEADS, 2, D_FF, dropout=0.0).double()
    expected = h
    for block in model.blocks:
        expected = copy_of(block)(expected, src_mask=torch_mask(5))
    torch.testing.assert_close(model(h), model.norm(expected))


def test_no_position_sees_its_future(h):
    model = Transformer(D_MODEL, HEADS, 2, D_FF, dropout=0.0).double()
    changed = h.clone()
    changed[:, 3:] = torch.randn_like(changed[:, 3:])
    torch.testing.assert_close(model(h)[:, :3], model(changed)[:, :3])
    assert not torch.allclose(model(h)[:, 3:], model(changed)[:, 3:])


@pytest.mark.parametrize("pieces", [[1, 1, 1, 1, 1], [2, 3], [4, 1], [5]])
def test_cached_reading_equals_one_pass(h, pieces):
    model = Transformer(D_MODEL, HEADS, 2, D_FF, dropout=0.0).double()
    cache = KVCache()
    read = torch.cat([model(part, cache) for part in h.split(pieces, dim=1)], dim=1)
    torch.testing.assert_close(read, model(h))
    for ours, whole in zip(
        gradients_of(model, read), gradients_of(model, model(h)), strict=True
    ):
        torch.testing.assert_close(ours, whole)


def test_the_cache_holds_keys_and_values_of_every_layer_and_position(h):
    model = Transformer(D_MODEL, HEADS, 2, D_FF, dropout=0.0).double()
    cache = KVCache()
    for part in h.split([2, 1, 2], dim=1):
        model(part, cache)
    first = model.blocks[0]
    _, *expected = first.attention.qkv(first.norm_attention(h)).chunk(3, dim=-1)
    assert list(cache.layers) == [0, 1]
    for pair in cache.layers.values():
        assert [part.shape for part in pair] == [(3, 5, D_MODEL)] * 2
    for held, part in zip(cache.layers[0], expected, strict=True):
        torch.testing.assert_close(held, part)


def test_extending_appends_to_one_layer_and_returns_all_of_it(h):
    cache = KVCache()
    k, v = h, 10 * h
    cache.extend(0, k[:, :2], v[:, :2])
    cache.extend(1, v[:, :1], k[:, :1])
    for whole, part in zip(cache.extend(0, k[:, 2:], v[:, 2:]), (k, v), strict=True):
        assert torch.equal(whole, part)
    assert torch.equal(cache.layers[1][0], v[:, :1])


@pytest.mark.parametrize("parents", [[2, 0, 2, 1], [1], [0, 1, 2], []])
def test_selecting_is_indexing_gradient_included_and_leaves_the_cache(h, parents):
    k, v = h.clone().requires_grad_(), h.clone().requires_grad_()
    cache, rows = KVCache(), torch.tensor(parents).long()
    cache.extend(0, k, v)
    picked = cache.select(rows)
    weight = torch.randn(len(rows), 5, D_MODEL, dtype=torch.float64)
    for ours, part in zip(picked.layers[0], (k, v), strict=True):
        assert torch.equal(ours, part[rows])
        gradient, expected = (
            torch.autograd.grad((weight * chosen).sum(), part)[0]
            for chosen in (ours, part[rows])
        )
        torch.testing.assert_close(gradient, expected)
    picked.extend(0, h[rows], h[rows])
    assert [part.shape[1] for part in cache.layers[0]] == [5, 5]


def test_cache_rows_follow_their_parents(h):
    """Children of row r read on from r's past, as in beam search."""
    model = Transformer(D_MODEL, HEADS, 2, D_FF, dropout=0.0).double()
    parents = torch.tensor([2, 0, 2, 1])
    cache = KVCache()
    model(h[:, :4], cache)
    children = model(h[parents, 4:], cache.select(parents))
    torch.testing.assert_close(children, model(h)[parents, 4:])


def test_mask_shows_the_last_queries_their_past():
    expected = torch.tensor([[True, True, True, False], [True, True, True, True]])
    assert torch.equal(causal_mask(2, 4), expected)


@pytest.mark.parametrize("num_keys", [1, 2, 5])
def test_one_query_sees_everything(num_keys):
    assert causal_mask(1, num_keys).tolist() == [[True] * num_keys]


def queries_keys_values(num_queries, num_keys):
    """Random q (3, T, H, 4) and k, v (3, P+T, H, 4), with gradients."""
    shapes = [(3, length, HEADS, 4) for length in (num_queries, num_keys, num_keys)]
    return [torch.randn(s, dtype=torch.float64).requires_grad_() for s in shapes]


def pytorchs_attention(q, k, v, **options):
    """``scaled_dot_product_attention`` in this module's order of dimensions."""
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    return scaled_dot_product_attention(q, k, v, **options).transpose(1, 2)


def assert_same_attention(actual, expected, inputs):
    """Values, and gradients of an arbitrary scalar of them."""
    torch.testing.assert_close(actual, expected)
    for ours, theirs in zip(
        torch.autograd.grad(actual.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("num_keys", [1, 2, 9])
def test_attention_of_the_last_position_is_attention_of_one_query(num_keys):
    inputs = queries_keys_values(1, num_keys)
    ours = attend_last(*inputs)
    assert ours.shape == (3, 1, HEADS, 4)
    assert_same_attention(ours, attend_causally(*inputs), inputs)
    assert_same_attention(attend_last(*inputs), pytorchs_attention(*inputs), inputs)


def test_causal_attention_is_pytorchs():
    inputs = queries_keys_values(5, 5)
    theirs = pytorchs_attention(*inputs, is_causal=True)
    assert_same_attention(attend_causally(*inputs), theirs, inputs)


def test_each_of_the_last_queries_attends_as_if_it_were_the_last():
    q, k, v = queries_keys_values(3, 7)
    alone = [attend_last(q[:, [t]], k[:, : 5 + t], v[:, : 5 + t]) for t in range(3)]
    torch.testing.assert_close(attend_causally(q, k, v), torch.cat(alone, dim=1))


def attention_weights(attend, q, k, dropout):
    """One query's weight of each key (N, H, P+1): what is mixed of one-hot values."""
    num_keys = k.shape[1]
    v = torch.eye(num_keys, dtype=k.dtype)[:, None].expand(len(k), -1, HEADS, -1)
    return attend(q, k, v, dropout)[:, 0]


@pytest.mark.parametrize("attend", [attend_last, attend_causally])
def test_dropout_zeroes_weights_of_one_query_and_scales_up_the_rest(attend):
    """A quarter of 80,000 weights; false alarm 1 in 10,000 at this fixed seed."""
    q, k, _ = (part.detach() for part in queries_keys_values(1, 5))
    q, k = q[:1].expand(4_000, -1, -1, -1), k[:1].expand(4_000, -1, -1, -1)
    whole = attention_weights(attend, q, k, dropout=0.0)
    torch.testing.assert_close(whole.sum(dim=-1), torch.ones(4_000, HEADS).double())
    dropped = attention_weights(attend, q, k, dropout=0.25)
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], whole[kept] / 0.75)
    num_dropped = int((~kept).sum())
    assert stats.binomtest(num_dropped, kept.numel(), 0.25).pvalue > 1e-4


@pytest.mark.parametrize("num_queries", [1, 2])
def test_attention_drops_weights_in_training_only(h, num_queries):
    attention = SelfAttention(D_MODEL, HEADS, dropout=0.5).double()

    def read_last():
        cache = KVCache()
        attention(h[:, :-num_queries], cache)
        return attention(h[:, -num_queries:], cache)

    without = SelfAttention(D_MODEL, HEADS).double()
    without.load_state_dict(attention.state_dict())
    torch.testing.assert_close(attention.eval()(h), without(h))
    torch.testing.assert_close(read_last(), without(h)[:, -num_queries:])
    attention.train()
    assert not torch.isclose(read_last(), read_last()).all(dim=-1).any()


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match=r"d_model=10 .* num_heads=4"):
        SelfAttention(10, 4)


def test_evaluating_switches_dropout_off_and_back(h):
    model = Transformer(D_MODEL, HEADS, 1, D_FF, dropout=0.5).double().train()
    with evaluating(model):
        torch.testing.assert_close(model(h), model(h))
    assert model.training
    assert not torch.allclose(model(h), model(h))
