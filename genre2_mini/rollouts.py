"""Strings as a tree of prefixes: no prefix is read twice.

S samples of one input share their first digits, so they are S walks down one tree.
Instead of S strings a rollout carries counts: the number of samples that reached a
prefix is divided among the next tokens by one multinomial draw. The leaves and their
counts are distributed exactly as S independent samples, and the network reads each
distinct prefix once, for sampling and for the gradient alike. The same walk
enumerates all strings when every legal token gets a child, and scores known strings
when they say which children there are.

Symbols: N inputs, R nodes of one level, M leaves (distinct strings), V tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from genre2_mini.policy import DecodingPolicy, check_sampling
from genre2_mini.transformer import evaluating

Edges = tuple[Tensor, Tensor]  # parents (C,) among a level's nodes, tokens (C,)


@dataclass(frozen=True)
class Strings:
    """Distinct strings of N inputs, and what the policy says at each prefix of theirs.

    Attributes
    ----------
    tokens : (M, K) int64, sorted by owner, then token by token.
    owner : (M,) int64, the row of x that a string answers.
    node : (M, K) int64, the row of ``log_probs`` that holds a string's k-th prefix.
    log_probs : (ΣR, V), log π(· | x, t_<k) at each distinct prefix, differentiable.
    """

    tokens: Tensor
    owner: Tensor
    node: Tensor
    log_probs: Tensor

    def log_prob_of(self, tokens: Tensor) -> Tensor:
        """log π (M, K) of tokens (M, K), each after the prefix that stands there."""
        width = self.log_probs.shape[1]
        return self.log_probs.flatten()[self.node * width + tokens]

    @cached_property
    def token_log_prob(self) -> Tensor:
        """log π(t_k | x, t_<k) of the strings' own tokens: (M, K)."""
        return self.log_prob_of(self.tokens)

    @cached_property
    def log_prob(self) -> Tensor:
        """log π(t | x) of the strings, summed over tokens: (M,)."""
        return self.token_log_prob.sum(dim=1)

    @cached_property
    def entropy(self) -> Tensor:
        """Entropy (M,) of the next token, in nats, summed over a string's prefixes.

        Its mean over sampled strings estimates the entropy of π(t | x).
        """
        possible = self.log_probs.clamp(min=torch.finfo(self.log_probs.dtype).min)
        return -(possible.exp() * possible).sum(dim=1)[self.node].sum(dim=1)


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


class Tree(NamedTuple):
    """Strings at the leaves of a walk, and the network's outputs on the way."""

    tokens: Tensor  # (M, K)
    owner: Tensor  # (M,)
    node: Tensor  # (M, K), rows of outputs
    outputs: Tensor  # (ΣR, …), level by level


def walk(
    reader,
    x: Tensor,
    children: Callable[[int, Tensor], Edges],
    dropout: bool = False,
) -> Tree:
    """Read a tree of prefixes, one batched step a level, dropout off unless asked for.

    Parameters
    ----------
    reader : a policy, or whatever has its ``tokenizer``, ``begin``,
        ``token_embedding`` and ``step``.
    x : (N, …), the roots.
    children : (k, outputs of level k (R, …)) -> the level's edges, sorted.
    """
    outputs, edges = [], []
    last = reader.tokenizer.num_tokens - 1
    with nullcontext() if dropout else evaluating(reader):
        h, cache = reader.begin(x)
        for k in range(last + 1):
            outputs.append(reader.step(h, k, cache))
            parent, token = children(k, outputs[-1])
            edges.append((parent, token))
            if k < last:
                h, cache = reader.token_embedding(token), cache.select(parent)
    # Back from the leaves to the roots: the tokens and the nodes passed.
    at = torch.arange(len(edges[-1][0]), device=x.device)
    tokens, nodes, end = [], [], sum(map(len, outputs))
    for (parent, token), level in zip(edges[::-1], outputs[::-1], strict=True):
        end -= len(level)  # where this level starts
        tokens.append(token[at])
        at = parent[at]
        nodes.append(end + at)
    tokens, node = (torch.stack(p[::-1], dim=1) for p in (tokens, nodes))
    return Tree(tokens, at, node, torch.cat(outputs))


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


def score_strings(
    policy: DecodingPolicy, x: Tensor, tokens: Tensor, owner: Tensor
) -> Strings:
    """Log-probabilities of known strings, each distinct prefix read once, dropout off.

    Parameters
    ----------
    x : (N, …); tokens (M, K) and owner (M,) : sorted, at least one string an input.
    """
    return scored(walk(policy, x, replay(tokens, owner)))


def read_with_dropout(policy: DecodingPolicy, x: Tensor, rollout: Rollout) -> Rollout:
    """The strings of a rollout, read once more in training mode: one network of many.

    Its log-probabilities are not those the strings were drawn with.
    """
    again = walk(policy, x, replay(rollout.tokens, rollout.owner), dropout=True)
    return replace(rollout, **vars(scored(again)))


def scored(tree: Tree) -> Strings:
    """A policy's tree, its logits normalised."""
    return Strings(tree.tokens, tree.owner, tree.node, tree.outputs.log_softmax(-1))


def replay(tokens: Tensor, owner: Tensor) -> Callable[[int, Tensor], Edges]:
    """The ``children`` of a walk that revisits sorted, distinct strings.

    A prefix of length k is new where the owner or one of the first k tokens differs
    from the string before.
    """
    strings = torch.cat([owner[:, None], tokens], dim=1)
    new = torch.ones_like(strings, dtype=torch.bool)
    new[1:] = (strings.diff(dim=0) != 0).cumsum(dim=1) > 0
    prefix = new.cumsum(dim=0) - 1  # (M, K+1): which distinct prefix of that length

    def children(k: int, _: Tensor) -> Edges:
        first = new[:, k + 1]
        return prefix[first, k], tokens[first, k]

    return children


class Enumeration(NamedTuple):
    """All legal strings and their exact log-probabilities."""

    tokens: Tensor  # (V, K), in lexicographic order
    log_prob: Tensor  # (N, V)


def enumerate_strings(
    policy: DecodingPolicy, x: Tensor, limit: int = 20_000
) -> Enumeration:
    """Every legal string, with log π(t | x) for each input; differentiable.

    Returns
    -------
    tokens (V, K) int64, log_prob (N, V): here V is the number of strings, Π_k B_k.

    Raises
    ------
    ValueError : there are more than ``limit`` strings.
    """
    log_prob = all_strings(policy, x, limit).log_prob
    sizes = policy.tokenizer.vocab_sizes
    tokens = torch.cartesian_prod(*map(torch.arange, sizes)).reshape(-1, len(sizes))
    log_prob = log_prob.unflatten(0, (len(x), len(tokens)))
    return Enumeration(tokens.to(log_prob.device), log_prob)


def all_strings(policy: DecodingPolicy, x: Tensor, limit: int = 20_000) -> Strings:
    """The full tree of every input: N·V strings; :func:`enumerate_strings` has errors.

    Level k has N·Π_{j<k} B_j nodes, in lexicographic order.
    """
    sizes = policy.tokenizer.vocab_sizes
    if math.prod(sizes) > limit:
        raise ValueError(
            f"the tokenizer has {math.prod(sizes):,} strings, more than "
            f"limit={limit:,}: use fewer digits, sample with tree_rollout, "
            "or raise limit"
        )

    def children(k: int, logits: Tensor) -> Edges:
        nodes = torch.arange(len(logits), device=logits.device)
        legal = torch.arange(sizes[k], device=logits.device)
        return nodes.repeat_interleave(sizes[k]), legal.repeat(len(nodes))

    return scored(walk(policy, x, children))
