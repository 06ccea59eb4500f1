"""Counted tree rollouts: S samples of an input as one walk down the tree of prefixes.

Instead of S strings a rollout carries counts: the number of samples that reached a
prefix is divided among the next tokens by one multinomial draw. The leaves and their
counts are distributed exactly as S independent samples, and the network reads each
distinct prefix once, for sampling and for the gradient alike.

Symbols: N inputs, R nodes of one level, M leaves (distinct strings), V tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genre2_mini.policy import DecodingPolicy, check_sampling
from genre2_mini.prefix_tree import (
    Edges,
    Strings,
    enumerate_strings,
    replay,
    scored,
    walk,
)

__all__ = [
    "Rollout",
    "divide_evenly",
    "enumerate_strings",
    "multinomial",
    "read_with_dropout",
    "tree_rollout",
]


@dataclass(frozen=True)
class Rollout(Strings):
    """S samples an input, as distinct strings with counts.

    Attributes
    ----------
    count : (M,) int64, how often a string was drawn; S in total for each input.
    greedy : (N,) int64, the leaf of each input's greedy string, where it was asked
        for; a greedy string that was not drawn has count 0.
    """

    count: Tensor
    greedy: Tensor | None = None

    def mean(self, f: Tensor) -> Tensor:
        """Mean over all samples of all inputs of f (M,)."""
        return (self.count * f).sum() / self.count.sum()

    def mean_by_input(self, f: Tensor) -> Tensor:
        """Mean over the samples of each input of f (M,): (N,)."""
        total = f.new_zeros(2, int(self.owner[-1]) + 1 if len(f) else 0)
        weighted = torch.stack([self.count * f, self.count.to(f.dtype)])
        numerator, samples = total.index_add(1, self.owner, weighted)
        return numerator / samples

    def of_inputs(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The strings of some inputs: which (m,), their owners among the sorted rows,
        and each one's share of the samples (m,)."""
        chosen = torch.zeros(int(self.owner[-1]) + 1, device=rows.device).bool()
        chosen[rows] = True
        leaf = chosen[self.owner].nonzero()[:, 0]
        owner = (chosen.cumsum(dim=0) - 1)[self.owner[leaf]]
        share = self.count[leaf].to(self.log_probs.dtype)
        return leaf, owner, share / share.sum()


def tree_rollout(
    policy: DecodingPolicy,
    x: Tensor,
    num_samples: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    greedy: bool = False,
    systematic: bool = False,
) -> Rollout:
    """S = ``num_samples`` strings an input as one counted walk; differentiable.

    Distributed as ``policy.sample``. The log-probabilities are those of π itself,
    also where ``temperature`` is not 1. Dropout is off for sampling and gradient.

    Parameters
    ----------
    x : (N, …), on the policy's device; so is ``generator``.
    greedy : also follow each input's greedy string, drawn or not.
    systematic : nothing is drawn: the strings are those at S evenly spaced places of
        π's cumulative distribution (:func:`divide_evenly`). They are closer to π than
        S drawn ones, and as S grows they become all strings.

    Raises
    ------
    ValueError : ``num_samples`` < 1 or ``temperature`` not positive and finite.
    """
    check_sampling(num_samples, temperature)
    count = torch.full((len(x),), num_samples, device=x.device)
    on_greedy = torch.ones_like(count, dtype=torch.bool)
    span = torch.tensor([0.0, 1.0], device=x.device).double().expand(len(x), 2)
    vocabulary = torch.arange(policy.legal.shape[1], device=x.device)

    def draw(k: int, logits: Tensor) -> Edges:
        nonlocal count, on_greedy, span
        logits = logits.detach()
        probabilities = (logits / temperature).softmax(-1)
        if systematic:
            counts, spans = divide_evenly(span, probabilities, num_samples)
        else:
            counts = multinomial(count, probabilities, generator)
        alive = counts > 0
        if greedy:
            best = vocabulary == logits.argmax(dim=-1, keepdim=True)
            best &= on_greedy[:, None]
            alive |= best
        parent, token = alive.nonzero(as_tuple=True)
        count = counts[parent, token]
        if systematic:
            span = spans[parent, token]
        if greedy:
            on_greedy = best[parent, token]
        return parent, token

    tokens, owner, node, logits = walk(policy, x, draw)
    leaf = on_greedy.nonzero()[:, 0] if greedy else None
    return Rollout(tokens, owner, node, logits.log_softmax(dim=-1), count, leaf)


def multinomial(
    count: Tensor, probabilities: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Divide ``count`` (R,) among tokens: (R, V) int64, rows ~ Multinomial(count, p).

    Token by token: of what is left, Binomial(left, p_v / (p_v + p_{v+1} + …)) take
    token v. The last possible token has chance p/p = 1, so nothing is left over.
    """
    p = probabilities.double()
    tail = p.flip(-1).cumsum(-1).flip(-1)
    chance = (p / tail).nan_to_num(0.0)  # 0/0: no token from here on is possible
    left, counts = count.double(), []
    for v in range(p.shape[1] - 1):
        counts.append(torch.binomial(left, chance[:, v], generator))
        left = left - counts[-1]
    return torch.stack([*counts, left], dim=1).long()


def divide_evenly(
    span: Tensor, probabilities: Tensor, num_samples: int
) -> tuple[Tensor, Tensor]:
    """Divide the prefixes' spans among tokens: counts (R, V) int64, spans (R, V, 2).

    All strings in order share [0, 1], each as much as it is likely; a prefix has the
    span (R, 2) of its strings. Of S = ``num_samples`` points in the middles of S equal
    parts, a count says how many lie in a span: systematic sampling (Madow and Madow
    1944).
    """
    cumulative = probabilities.double().cumsum(-1)
    cumulative = cumulative / cumulative[:, -1:]  # ends at 1: no point is left out
    low, high = span[:, :1], span[:, 1:]
    ends = torch.cat([low, low.lerp(high, cumulative)], dim=1)
    below = (num_samples * ends + 0.5).floor().long()
    return below.diff(dim=1), torch.stack([ends[:, :-1], ends[:, 1:]], dim=2)


def read_with_dropout(policy: DecodingPolicy, x: Tensor, rollout: Rollout) -> Rollout:
    """The strings of a rollout, read once more in training mode: one network of many.

    Its log-probabilities are not those the strings were drawn with.
    """
    again = walk(policy, x, replay(rollout.tokens, rollout.owner), dropout=True)
    return replace(rollout, **vars(scored(again)))
