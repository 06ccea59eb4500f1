"""Token-level losses that know the order of digits: 8 is near 9, and far from 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import kl_div

from genre2_mini.objectives.objective import Losses, check_at_least
from genre2_mini.policy import DecodingPolicy
from genre2_mini.tokenizers import (
    ConcatenatedTokenizer,
    NormalizedTokenizer,
    ScientificTokenizer,
    Tokenizer,
)


def token_roles(tokenizer: Tokenizer) -> str:
    """A letter for each of the K positions: s a sign, d a digit, e an exponent."""
    if isinstance(tokenizer, ConcatenatedTokenizer):
        return "".join(map(token_roles, tokenizer.parts))
    if isinstance(tokenizer, NormalizedTokenizer):
        return "d" * tokenizer.num_digits
    if isinstance(tokenizer, ScientificTokenizer):
        return "s" + "d" * tokenizer.num_digits + "e"
    exponent, mantissa = tokenizer.num_exponent_digits, tokenizer.num_mantissa_digits
    return "ss" + "e" * exponent + "d" * mantissa


@dataclass(frozen=True)
class NTLMSE:
    """Cross-entropy + weight · mean (Σ_j p_j j − g)² (NTL-MSE, arXiv 2411.02083).

    p is the policy's distribution over the legal tokens j of a position, given the true
    tokens before it, and g the true token; a token's number is its id. The mean is over
    rows and number positions: digits and exponents, but not signs. A p whose mean is g
    costs nothing, even if g itself has no probability.

    Cross-entropy is the mean over tokens (nats a token) here, as in the paper that
    the weight comes from; reported is the sum (nats a string).

    Parameters
    ----------
    weight : of the number-token term.

    Raises
    ------
    ValueError : ``weight`` < 0.
    """

    weight: float = 0.3
    name: ClassVar[str] = "ntl_mse"
    roles: ClassVar[str] = "de"  # the positions that are numbers

    def __post_init__(self) -> None:
        check_at_least(0, weight=self.weight)

    def losses(self, model: DecodingPolicy, x, z, generator=None) -> Losses:
        """Yield one loss for a batch x (N, …), z (N,), or (N, D) for D > 1 targets."""
        tokens = model.tokenizer.encode(z)
        log_p = model.logits(x, tokens[:, None])[:, 0].log_softmax(dim=-1)  # (N, K, V)
        cross_entropy = -log_p.gather(-1, tokens[..., None]).mean()
        roles = token_roles(model.tokenizer)
        numbers = [k for k, role in enumerate(roles) if role in self.roles]
        ids = torch.arange(log_p.shape[-1], device=tokens.device)
        gap = (ids - tokens[:, numbers, None]).to(log_p.dtype)
        term = self.term(log_p[:, numbers], gap).mean()
        yield (
            cross_entropy + self.weight * term,
            {
                "cross_entropy": cross_entropy.detach() * tokens.shape[-1],
                self.name: term.detach(),
            },
        )

    def term(self, log_p: Tensor, gap: Tensor) -> Tensor:
        """(N, P) from log p (N, P, V), −∞ where illegal, and the gap j − g."""
        return (log_p.exp() * gap).sum(dim=-1).square()


@dataclass(frozen=True)
class NTLWAS(NTLMSE):
    """Cross-entropy + weight · mean Σ_j p_j |j − g| (NTL-WAS, arXiv 2411.02083).

    The Wasserstein-1 distance from p to the true token: zero there and nowhere else.
    """

    name: ClassVar[str] = "ntl_was"

    def term(self, log_p: Tensor, gap: Tensor) -> Tensor:
        """(N, P) from log p (N, P, V), −∞ where illegal, and the gap j − g."""
        return (log_p.exp() * gap.abs()).sum(dim=-1)


@dataclass(frozen=True)
class DIST2(NTLMSE):
    """Cross-entropy + weight · mean KL(q ‖ p), q_j ∝ exp(−(j − g)²/temperature).

    DIST² (arXiv 2503.02379): q shares the legal tokens out by their distance from the
    truth. Digits only: exponents are skipped as well as signs. Cross-entropy is that of
    :class:`NTLMSE`. Where all tokens are digits their sum is least not at the truth but
    at (1[j = g] + weight · q_j)/(1 + weight).

    Parameters
    ----------
    weight : of the number-token term.
    temperature : spread of q, in squared ids; near 0 all of q is at the truth.

    Raises
    ------
    ValueError : ``weight`` < 0 or ``temperature`` not above 0.
    """

    weight: float = 0.1
    temperature: float = 1.0
    name: ClassVar[str] = "dist2"
    roles: ClassVar[str] = "d"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0:
            raise ValueError(f"temperature={self.temperature} must be above 0")

    def term(self, log_p: Tensor, gap: Tensor) -> Tensor:
        """(N, P) from log p (N, P, V), −∞ where illegal, and the gap j − g."""
        illegal = log_p.isneginf()
        q = (-gap.square() / self.temperature).masked_fill(illegal, -torch.inf)
        finite = log_p.masked_fill(illegal, 0)  # where q = 0: 0 · ∞ would be NaN
        return kl_div(finite, q.softmax(-1), reduction="none").sum(dim=-1)
