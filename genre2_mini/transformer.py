"""A causal transformer, from scratch: attention, pre-norm block, stack, KV cache.

Chapter 2 derives every line but those on ``visible``, which an encoder needs: it may
read on before it answers. Shapes: N sequences, T positions read in this call,
P positions read before (in the cache), ``d_model`` features, H heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, scaled_dot_product_attention


class KVCache:
    """Keys and values of the positions already read, one tensor a layer.

    A causal model never changes what it computed for earlier positions, so a
    decoder that keeps their keys and values reads each token once.
    """

    def __init__(self) -> None:
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values (N, T, d_model); return all (N, P+T, d_model)."""
        if layer in self.layers:
            past_k, past_v = self.layers[layer]
            k, v = torch.cat([past_k, k], dim=1), torch.cat([past_v, v], dim=1)
        self.layers[layer] = (k, v)
        return k, v

    def select(self, rows: Tensor) -> KVCache:
        """A cache whose sequence i is this cache's sequence ``rows[i]``."""

        def pick(part: Tensor) -> Tensor:
            # part[rows], several times faster: it copies whole sequences.
            return embedding(rows, part.flatten(1)).unflatten(1, part.shape[1:])

        picked = KVCache()
        picked.layers = {i: (pick(k), pick(v)) for i, (k, v) in self.layers.items()}
        return picked


class SelfAttention(nn.Module):
    """Multi-head self-attention, causal unless told otherwise.

    Source: Vaswani et al. (2017), section 3.2.
    """

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(
                f"d_model={d_model} must be a multiple of num_heads={num_heads}: "
                "each head gets d_model / num_heads features"
            )
        self.num_heads, self.dropout = num_heads, dropout
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def forward(
        self,
        h: Tensor,
        cache: KVCache | None = None,
        layer: int = 0,
        visible: Tensor | None = None,
    ) -> Tensor:
        """Mix each position of ``h`` (N, T, d_model) with those before it.

        With ``visible`` (N, P+T), P of them in the ``cache``, mix it with all positions
        where that is True, also later ones.
        """
        q, k, v = self.qkv(h).chunk(3, dim=-1)
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)) for part in (q, k, v))
        dropout = self.dropout if self.training else 0.0
        if visible is not None:
            mixed = attend(q, k, v, visible[:, None, None], dropout)
        elif q.shape[1] == 1:
            mixed = attend_last(q, k, v, dropout)
        else:
            mixed = attend_causally(q, k, v, dropout)
        return self.out(mixed.flatten(2))


def attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor, dropout: float = 0.0
) -> Tensor:
    """softmax(q kᵀ / √d_head) v over the keys where the mask is True.

    q (N, T, H, d_head); k, v (N, P+T, H, d_head); mask to be broadcast to
    (N, H, T, P+T) -> (N, T, H, d_head).
    """
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    mixed = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    return mixed.transpose(1, 2)


def attend_causally(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """The same, each of the last T positions seeing those before it, and itself."""
    mask = causal_mask(q.shape[1], k.shape[1], q.device)
    return attend(q, k, v, mask, dropout)


def attend_last(q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0) -> Tensor:
    """The same for the last position alone (T = 1), which sees everything.

    One query makes matrices of one row; plain products and sums are several times
    faster than a routine made for large ones.
    """
    scores = (q * k).sum(dim=-1) / q.shape[-1] ** 0.5  # (N, P+1, H)
    weights = torch.nn.functional.dropout(scores.softmax(dim=1), dropout)
    return (weights[..., None] * v).sum(dim=1, keepdim=True)


def causal_mask(num_queries: int, num_keys: int, device=None) -> Tensor:
    """True where a query may look: at keys up to its own position.

    The queries are the last ``num_queries`` of ``num_keys`` positions.
    """
    ones = torch.ones(num_queries, num_keys, dtype=torch.bool, device=device)
    return ones.tril(num_keys - num_queries)


class Block(nn.Module):
    """Pre-norm transformer block: h + attention(norm h), then h + MLP(norm h)."""

    def __init__(
        self, d_model: int, num_heads: int, d_ff: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(d_model)
        self.attention = SelfAttention(d_model, num_heads, dropout)
        self.norm_mlp = nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(
            nn.Linear(d_model, d_ff),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(d_ff, d_model),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        h: Tensor,
        cache: KVCache | None = None,
        layer: int = 0,
        visible: Tensor | None = None,
    ) -> Tensor:
        """(N, T, d_model) -> (N, T, d_model); ``visible`` as in the attention."""
        mixed = self.attention(self.norm_attention(h), cache, layer, visible)
        h = h + self.dropout(mixed)
        return h + self.dropout(self.mlp(self.norm_mlp(h)))


class Transformer(nn.Module):
    """A stack of causal blocks and a final LayerNorm."""

    def __init__(
        self,
        d_model: int = 64,
        num_heads: int = 4,
        num_layers: int = 2,
        d_ff: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        d_ff = 4 * d_model if d_ff is None else d_ff
        self.blocks = nn.ModuleList(
            Block(d_model, num_heads, d_ff, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(d_model)

    def forward(self, h: Tensor, cache: KVCache | None = None) -> Tensor:
        """Read ``h`` (N, T, d_model); with a ``cache``, T more positions of it."""
        for layer, block in enumerate(self.blocks):
            h = block(h, cache, layer)
        return self.norm(h)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout off inside the block; the previous mode comes back after it.

    Rollouts and the gradients of their log-probabilities must come from one and
    the same distribution, and dropout draws another network every time.
    """
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
