"""Strings as a tree of prefixes: no prefix is read twice.

Strings of one input share their first digits, so they are walks down one tree, and the
network reads each distinct prefix once, level by level. Which children a level gets is
all that differs: every legal token to enumerate all strings, the tokens of known
strings to score those, sampled tokens for a rollout (:mod:`genre2_mini.rollouts`).

Symbols: N inputs, R nodes of one level, M leaves (distinct strings), V tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from genre2_mini.policy import DecodingPolicy
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


def score_strings(
    policy: DecodingPolicy, x: Tensor, tokens: Tensor, owner: Tensor
) -> Strings:
    """Log-probabilities of known strings, each distinct prefix read once, dropout off.

    Parameters
    ----------
    x : (N, …); tokens (M, K) and owner (M,) : sorted, at least one string an input.
    """
    return scored(walk(policy, x, replay(tokens, owner)))


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
