"""The transformer is PyTorch's own, written out; the cache changes nothing."""

import pytest
import torch
from torch import nn

from genre2_mini.transformer import (
    Block,
    KVCache,
    SelfAttention,
    Transformer,
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


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match=r"d_model=10 .* num_heads=4"):
        SelfAttention(10, 4)


def test_evaluating_switches_dropout_off_and_back(h):
    model = Transformer(D_MODEL, HEADS, 1, D_FF, dropout=0.5).double().train()
    with evaluating(model):
        torch.testing.assert_close(model(h), model(h))
    assert model.training
    assert not torch.allclose(model(h), model(h))
