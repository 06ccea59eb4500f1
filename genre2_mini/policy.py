"""The policy π_θ(t | x): a transformer that writes a number digit by digit.

π_θ(t | x) = Π_k π_θ(t_k | x, t_<k). Position k has its own legal tokens; illegal
ones get probability 0, so every string the policy can write is a number.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from genre2_mini.encoders import check_width
from genre2_mini.tokenizers import Tokenizer
from genre2_mini.transformer import KVCache, Transformer, evaluating


def check_sampling(num_samples: int, temperature: float) -> None:
    """Refuse what cannot be sampled.

    Raises
    ------
    ValueError : ``num_samples`` < 1 or ``temperature`` not positive and finite.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples={num_samples}: draw at least one string")
    if not 0 < temperature < float("inf"):
        raise ValueError(
            f"temperature={temperature} must be positive and finite; "
            "for the limit 0 use greedy()"
        )


class DecodingPolicy(nn.Module):
    """A causal transformer over digit strings, conditioned on an encoded input.

    Parameters
    ----------
    encoder : module (N, …) -> (N, d_model); its output is read as position 0. One that
        writes several vectors, (N, P, d_model), is read as a prefix: the last one as
        position 0, the others before it.
    tokenizer : the number ↔ digits map; fixes K and the legal tokens.
    d_model, num_heads, num_layers, d_ff, dropout : the transformer
        (``d_ff`` defaults to 4·d_model).

    Notes
    -----
    Symbols: N inputs, S strings an input, K tokens a string, V the largest
    vocabulary of any position.
    """

    def __init__(
        self,
        encoder: nn.Module,
        tokenizer: Tokenizer,
        d_model: int = 64,
        num_heads: int = 4,
        num_layers: int = 2,
        d_ff: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        check_width(encoder, d_model)
        self.encoder, self.tokenizer = encoder, tokenizer
        self._shape = {
            "d_model": d_model,
            "num_heads": num_heads,
            "num_layers": num_layers,
            "d_ff": d_ff,
            "dropout": dropout,
        }
        vocab = max(tokenizer.vocab_sizes)
        self.token_embedding = nn.Embedding(vocab, d_model)
        self.position_embedding = nn.Embedding(tokenizer.num_tokens, d_model)
        for embedding in (self.token_embedding, self.position_embedding):
            # PyTorch's N(0, 1) would drown the encoder's vector, of length about 1.
            nn.init.normal_(embedding.weight, std=0.02)
        self.transformer = Transformer(d_model, num_heads, num_layers, d_ff, dropout)
        self.unembedding = nn.Linear(d_model, vocab)
        self.register_buffer("legal", tokenizer.legal.clone(), persistent=False)

    @property
    def config(self) -> dict:
        """JSON types that rebuild this policy (without its weights)."""
        return {
            "type": "DecodingPolicy",
            "encoder": self.encoder.config,
            "tokenizer": self.tokenizer.config,
            **self._shape,
        }

    def begin(self, x: Tensor) -> tuple[Tensor, KVCache]:
        """Encode x (N, …), once however many strings follow.

        Returns position 0's input (N, d_model), and a cache of what stands before it:
        nothing, or all vectors but the last where the encoder writes several.
        """
        h, cache = self.encoder(x), KVCache()
        if h.ndim == 3:
            self.transformer(h[:, :-1], cache)
            h = h[:, -1]
        return h, cache

    def read(self, h: Tensor, start: int, cache: KVCache | None = None) -> Tensor:
        """Run the stack on inputs of positions ``start``… (R, T, d_model), same shape.

        A ``cache`` holds the positions before ``start``.
        """
        positions = self.position_embedding.weight[start : start + h.shape[1]]
        return self.transformer(h + positions, cache)

    def step(self, h: Tensor, k: int, cache: KVCache) -> Tensor:
        """Position k's input (R, d_model) -> its logits (R, V), −inf where illegal."""
        return self._unembed(self.read(h[:, None], k, cache), k)[:, 0]

    def _unembed(self, h: Tensor, start: int) -> Tensor:
        rows = slice(start, start + h.shape[1])
        return self.unembedding(h).masked_fill(~self.legal[rows], -torch.inf)

    def logits(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Logits of every position given the tokens before it (teacher forcing).

        x (N, …), tokens int64 (N, S, K) -> (N, S, K, V), −inf where illegal.
        """
        n, s, k = tokens.shape
        condition, cache = self._begin_copies(x, s)  # (N·S, d_model)
        read = self.token_embedding(tokens.reshape(n * s, k)[:, :-1])
        inputs = torch.cat([condition[:, None], read], dim=1)  # (N·S, K, d_model)
        return self._unembed(self.read(inputs, 0, cache), start=0).unflatten(0, (n, s))

    def _begin_copies(self, x: Tensor, copies: int) -> tuple[Tensor, KVCache]:
        """``begin``, each input ``copies`` times in a row."""
        h, cache = self.begin(x)
        rows = torch.arange(len(h), device=h.device).repeat_interleave(copies)
        return h.repeat_interleave(copies, dim=0), cache.select(rows)

    def log_prob(self, x: Tensor, tokens: Tensor) -> Tensor:
        """log π(t | x) in nats, summed over the K tokens; differentiable.

        tokens (N, S, K) -> (N, S); tokens (N, K) -> (N,).
        """
        if tokens.ndim == 2:
            return self.log_prob(x, tokens[:, None]).squeeze(1)
        log_probs = self.logits(x, tokens).log_softmax(dim=-1)
        return log_probs.gather(-1, tokens[..., None]).squeeze(-1).sum(dim=-1)

    @torch.no_grad()
    def _decode(self, x: Tensor, copies: int, pick: Callable) -> Tensor:
        """Write ``copies`` strings an input; ``pick``: logits (R, V) -> tokens (R,)."""
        with evaluating(self):
            (h, cache), tokens = self._begin_copies(x, copies), []
            for k in range(self.tokenizer.num_tokens):
                tokens.append(pick(self.step(h, k, cache)))
                h = self.token_embedding(tokens[-1])
        return torch.stack(tokens, dim=-1).unflatten(0, (len(x), copies))

    def sample(
        self,
        x: Tensor,
        num_samples: int,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draw S = ``num_samples`` strings an input, dropout off: (N, S, K) int64.

        ``temperature`` T samples from softmax(logits / T) at every position.

        Raises
        ------
        ValueError : ``num_samples`` < 1 or ``temperature`` not positive and finite.
        """
        check_sampling(num_samples, temperature)

        def draw(logits: Tensor) -> Tensor:
            probabilities = (logits / temperature).softmax(dim=-1)
            return torch.multinomial(probabilities, 1, generator=generator)[:, 0]

        return self._decode(x, num_samples, draw)

    def greedy(self, x: Tensor) -> Tensor:
        """The string of the likeliest token at each position: (N, K) int64."""
        return self._decode(x, 1, lambda logits: logits.argmax(dim=-1))[:, 0]

    def sample_values(
        self, x: Tensor, num_samples: int, generator: torch.Generator | None = None
    ) -> Tensor:
        """Decoded samples ẑ at temperature 1: (N, S) float64, in z units."""
        return self.tokenizer.decode(self.sample(x, num_samples, 1.0, generator))
