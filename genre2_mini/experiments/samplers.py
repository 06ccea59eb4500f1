"""Three ways to draw the same strings, and the ReMax step that each one makes.

``uncached`` reads a string's whole prefix again for every new token, ``cached`` keeps
keys and values, ``tree`` also reads a prefix that several samples share only once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from genre2_mini.objectives import ReMax
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rewards import ClippedReward
from genre2_mini.rollouts import Rollout, tree_rollout
from genre2_mini.transformer import evaluating

# Bounded: one early string of the scientific tokenizer can be wrong by 10^13.
REMAX = ReMax(num_samples=16, reward=ClippedReward(limit=4.0))


@torch.no_grad()
def sample_uncached(
    policy: DecodingPolicy, x: Tensor, num_samples: int, generator=None
) -> Tensor:
    """S strings an input, no cache, one batched call a position: (N, S, K) int64."""
    with evaluating(policy):
        inputs = policy.encoder(x).repeat_interleave(num_samples, dim=0)[:, None]
        tokens = []
        for k in range(policy.tokenizer.num_tokens):
            h = policy.read(inputs, start=0)[:, -1]
            logits = policy.unembedding(h).masked_fill(~policy.legal[k], -torch.inf)
            drawn = torch.multinomial(logits.softmax(-1), 1, generator=generator)
            tokens.append(drawn)
            inputs = torch.cat([inputs, policy.token_embedding(drawn)], dim=1)
    return torch.cat(tokens, dim=1).unflatten(0, (len(x), num_samples))


def sample_cached(
    policy: DecodingPolicy, x: Tensor, num_samples: int, generator=None
) -> Tensor:
    """S strings an input, each token read once: (N, S, K) int64."""
    return policy.sample(x, num_samples, generator=generator)


@torch.no_grad()
def sample_tree(
    policy: DecodingPolicy, x: Tensor, num_samples: int, generator=None
) -> Rollout:
    """S strings an input, each distinct prefix read once."""
    return tree_rollout(policy, x, num_samples, generator=generator)


SAMPLERS: dict[str, Callable] = {
    "uncached": sample_uncached,
    "cached": sample_cached,
    "tree": sample_tree,
}


def textbook_remax(
    sampler: Callable, policy: DecodingPolicy, x: Tensor, z: Tensor, generator=None
) -> Tensor:
    """ReMax's loss, string by string: sample, decode greedily, score, weigh."""
    tokens = sampler(policy, x, REMAX.num_samples, generator)
    greedy = policy.tokenizer.decode(policy.greedy(x))
    reward = REMAX.reward(policy.tokenizer.decode(tokens), z)
    advantage = reward - REMAX.reward(greedy, z)[:, None]
    with evaluating(policy):
        log_prob = policy.log_prob(x, tokens)
    return -(log_prob * advantage.to(log_prob.dtype)).mean()


def tree_remax(policy: DecodingPolicy, x: Tensor, z: Tensor, generator=None) -> Tensor:
    """ReMax's loss as the package computes it."""
    [(loss, _)] = REMAX.losses(policy, x, z, generator)
    return loss


REMAX_LOSSES: dict[str, Callable] = {
    "uncached": partial(textbook_remax, sample_uncached),
    "plain": partial(textbook_remax, sample_cached),
    "tree": tree_remax,
}


def still_optimiser(policy: nn.Module) -> torch.optim.AdamW:
    """AdamW that does all its work and moves nothing: every step times one policy."""
    return torch.optim.AdamW(policy.parameters(), lr=0.0, fused=True)


def remax_step(
    loss: Callable,
    policy: DecodingPolicy,
    optimiser: torch.optim.Optimizer,
    x: Tensor,
    z: Tensor,
) -> None:
    """One step on a batch x (N, …), z (N,): rollout, gradient, optimiser."""
    optimiser.zero_grad()
    remax_gradient(loss, policy, x, z)
    optimiser.step()


def remax_gradient(
    loss: Callable, policy: DecodingPolicy, x: Tensor, z: Tensor
) -> None:
    """A step without its optimiser, as a work of ``peak_megabytes``."""
    loss(policy, x, z).backward()


def sample_strings(
    sampler: Callable, num_samples: int, policy: DecodingPolicy, x: Tensor, z: Tensor
) -> None:
    """A sampler as a work of ``peak_megabytes``, which also passes targets."""
    sampler(policy, x, num_samples)


def positions_read(
    policy: DecodingPolicy, x: Tensor, num_samples: int
) -> dict[str, list[float]]:
    """How many positions of each depth 0 … K−1 a sampler reads, an input.

    The tree's are counted in one rollout of x.
    """
    s, depth = num_samples, policy.tokenizer.num_tokens
    node = sample_tree(policy, x, s).node  # levels are consecutive ranges of nodes
    widths = (node.amax(dim=0) - node.amin(dim=0) + 1) / len(x)
    return {
        "uncached": [float(s * (depth - k)) for k in range(depth)],
        "cached": [float(s)] * depth,
        "tree": widths.tolist(),
    }


def flops(policy: DecodingPolicy, reads: list[float], num_logits: float) -> float:
    """Floating-point operations an input needs: two a multiply-add.

    Parameters
    ----------
    reads : positions read of each depth k; attention looks back at k + 1 of them.
    num_logits : how many of the positions are unembedded.
    """

    def weights(module: nn.Module) -> int:
        linear = (m for m in module.modules() if isinstance(m, nn.Linear))
        return sum(m.weight.numel() for m in linear)

    layers, width = len(policy.transformer.blocks), policy.unembedding.in_features
    total = weights(policy.encoder) + num_logits * weights(policy.unembedding)
    for k, read in enumerate(reads):
        attention = layers * 2 * (k + 1) * width  # q kᵀ and its product with v
        total += read * (weights(policy.transformer) + attention)
    return 2 * total
