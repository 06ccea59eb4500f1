"""A causal transformer, from scratch: attention, pre-norm block, stack, KV cache.

Chapter 2 derives every line. Shapes: N sequences, T positions read in this call,
P positions read before (in the cache), ``d_model`` features, H heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class KVCache:
    """Keys and values of the positions already read, one pair a layer.

    A causal model never changes what it computed for earlier positions, so a
    decoder that keeps their keys and values reads each token once.
    """

    def __init__(self) -> None:
        self.layers: dict[int, tuple[Tensor, Tensor]] = {}

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values (N, H, T, d_head); return all (N, H, P+T, d_head)."""
        if layer in self.layers:
            past_k, past_v = self.layers[layer]
            k, v = torch.cat([past_k, k], dim=2), torch.cat([past_v, v], dim=2)
        self.layers[layer] = (k, v)
        return k, v

    def select(self, rows: Tensor) -> KVCache:
        """A cache whose sequence i is this cache's sequence ``rows[i]``."""
        picked = KVCache()
        picked.layers = {i: (k[rows], v[rows]) for i, (k, v) in self.layers.items()}
        return picked


class SelfAttention(nn.Module):
    """Multi-head causal self-attention (Vaswani et al. 2017, section 3.2)."""

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
        self, h: Tensor, cache: KVCache | None = None, layer: int = 0
    ) -> Tensor:
        """Mix each position of ``h`` (N, T, d_model) with those before it."""
        q, k, v = (
            part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for part in self.qkv(h).chunk(3, dim=-1)
        )  # each (N, H, T, d_head)
        if cache is not None:
            k, v = cache.extend(layer, k, v)
        # softmax(q kᵀ / √d_head) v. A single position may look at all it is given.
        mixed = scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=causal_mask(q.shape[2], k.shape[2], h.device),
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.out(mixed.transpose(1, 2).flatten(2))


def causal_mask(num_queries: int, num_keys: int, device=None) -> Tensor | None:
    """True where a query may look: at keys up to its own position.

    The queries are the last ``num_queries`` of ``num_keys`` positions. One query
    is the last position and sees everything, so it needs no mask (None).
    """
    if num_queries == 1:
        return None
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
        self, h: Tensor, cache: KVCache | None = None, layer: int = 0
    ) -> Tensor:
        """(N, T, d_model) -> (N, T, d_model)."""
        h = h + self.dropout(self.attention(self.norm_attention(h), cache, layer))
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
