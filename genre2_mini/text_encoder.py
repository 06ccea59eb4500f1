"""From a text to the vectors that condition the decoder: a small transformer.

Shapes: N texts, L ids, T patches of ids, P vectors for the decoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from genre2_mini.transformer import Block, KVCache


class TextEncoder(nn.Module):
    """A text -> P vectors, which a decoder reads before its own positions.

    ``patch_size`` consecutive ids become one vector, T = L / patch_size in all, as the
    pixels of an image do in Dosovitskiy et al. (arXiv 2010.11929): attention costs T²,
    the rest T. In the blocks that follow each patch sees all others. In the last one P
    learned queries read the patches and each other, and nothing else is computed (close
    to Lee et al., arXiv 1810.00825, section 3.2): the decoder has P positions before
    its own, however long the text.

    Parameters
    ----------
    vocab_size : how many ids there are; 257 are padding and the bytes.
    max_length : ids of the longest text it reads.
    d_model, num_heads, num_layers, dropout : the blocks.
    patch_size : ids that are read as one position.
    num_vectors : P; a single one conditions a policy as a table's row does.

    Raises
    ------
    ValueError : a size below 1.
    """

    def __init__(
        self,
        vocab_size: int = 257,
        max_length: int = 512,
        d_model: int = 64,
        num_heads: int = 4,
        num_layers: int = 2,
        dropout: float = 0.1,
        patch_size: int = 8,
        num_vectors: int = 8,
    ) -> None:
        super().__init__()
        sizes = {
            "vocab_size": vocab_size,
            "max_length": max_length,
            "d_model": d_model,
            "num_heads": num_heads,
            "num_layers": num_layers,
            "patch_size": patch_size,
            "num_vectors": num_vectors,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name}={size} must be at least 1")
        self.config = {"type": "TextEncoder", **sizes, "dropout": dropout}
        self.vocab_size, self.max_length = vocab_size, max_length
        self.patch_size = patch_size
        self.id_embedding = nn.Embedding(vocab_size, d_model)
        positions = max_length + -max_length % patch_size  # in whole patches
        self.position_embedding = nn.Embedding(positions, d_model)
        self.merge = nn.Linear(patch_size * d_model, d_model)
        self.queries = nn.Parameter(0.02 * torch.randn(num_vectors, d_model))
        self.blocks = nn.ModuleList(
            Block(d_model, num_heads, 4 * d_model, dropout) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x: Tensor) -> Tensor:
        """Ids (N, L), int64 -> (N, P, d_model); (N, d_model) for P = 1.

        Id 0 is padding, after the text: more or less of it changes nothing.

        Raises
        ------
        ValueError : no int64 (N, L), ids outside the vocabulary, or a text longer than
            ``max_length``.
        """
        ids = self._read(x)
        h = self.id_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]
        h = self.merge(h.unflatten(1, (-1, self.patch_size)).flatten(2))
        visible = (ids > 0).unflatten(1, (-1, self.patch_size)).any(dim=2)  # (N, T)
        *blocks, last = self.blocks
        for block in blocks:
            h = block(h, visible=visible)
        h = self.norm(self._pool(last, h, visible))
        return h if len(self.queries) > 1 else h[:, 0]

    def _pool(self, block: Block, h: Tensor, visible: Tensor) -> Tensor:
        """The queries after a block in which they see the patches (N, T, d_model)."""
        _, k, v = block.attention.qkv(block.norm_attention(h)).chunk(3, dim=-1)
        patches = KVCache()
        patches.extend(0, k, v)
        visible = pad(visible, (0, len(self.queries)), value=True)
        return block(self.queries.expand(len(h), -1, -1), patches, visible=visible)

    def _read(self, x: Tensor) -> Tensor:
        """The ids in whole patches, without what is padding in all texts."""
        if x.ndim != 2 or x.dtype != torch.int64:
            raise ValueError(
                f"x has shape {tuple(x.shape)} and type {x.dtype}; this encoder reads "
                "ids: (N, length) int64"
            )
        if ((x < 0) | (x >= self.vocab_size)).any():
            raise ValueError(
                f"x has ids from {x.min()} to {x.max()}; this encoder knows "
                f"0 to {self.vocab_size - 1}"
            )
        used = (x > 0).any(dim=0).nonzero()
        length = int(used[-1]) + 1 if len(used) else 1
        if length > self.max_length:
            raise ValueError(
                f"a text has {length} ids; this encoder reads max_length="
                f"{self.max_length}: cut the texts, and say how many you cut"
            )
        length += -length % self.patch_size
        return pad(x[:, :length], (0, max(0, length - x.shape[1])))
