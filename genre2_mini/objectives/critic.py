"""The critic: what reward to expect from a prefix, and the advantages it gives."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from genre2_mini.policy import DecodingPolicy
from genre2_mini.prefix_tree import replay, walk
from genre2_mini.transformer import KVCache


class Critic(nn.Module):
    """V(x, t_<k): a network of the policy's shape that ends in one number.

    It starts from the policy's weights, which already read prefixes, and from V = 0;
    it shares no weights.
    """

    def __init__(self, policy: DecodingPolicy) -> None:
        super().__init__()
        self.trunk = copy.deepcopy(policy).requires_grad_(True)
        width = policy.unembedding.in_features
        self.trunk.unembedding = nn.Linear(width, 1).to(policy.unembedding.weight)
        nn.init.zeros_(self.trunk.unembedding.weight)
        nn.init.zeros_(self.trunk.unembedding.bias)
        self.tokenizer = policy.tokenizer

    def begin(self, x: Tensor) -> tuple[Tensor, KVCache]:
        """x (N, …) -> position 0's input (N, d_model), and what stands before it."""
        return self.trunk.begin(x)

    def token_embedding(self, tokens: Tensor) -> Tensor:
        """(R,) -> (R, d_model)."""
        return self.trunk.token_embedding(tokens)

    def step(self, h: Tensor, k: int, cache: KVCache) -> Tensor:
        """Position k's input (R, d_model) -> value (R, 1) of the prefix before it."""
        return self.trunk.unembedding(self.trunk.read(h[:, None], k, cache))[:, 0]

    def forward(self, x: Tensor, tokens: Tensor, owner: Tensor) -> Tensor:
        """Values (M, K) of every prefix of sorted strings (M, K) of x (N, …)."""
        tree = walk(self, x, replay(tokens, owner))
        return tree.outputs[:, 0][tree.node]


def generalised_advantage(reward: Tensor, value: Tensor, lam: float) -> Tensor:
    """GAE (Schulman et al., arXiv 1506.02438, equation 16) with γ = 1.

    The reward (M,) comes at the end, value (M, K) is V before each token:
    A_k = Σ_l λ^l δ_{k+l}, δ_k = V_{k+1} − V_k, and V_{K+1} is the reward. λ = 1 gives
    r − V_k, λ = 0 the one-step difference. Returns (M, K).
    """
    after = torch.cat([value[:, 1:], reward[:, None]], dim=1)
    delta = after - value
    advantage, tail = [], torch.zeros_like(reward)
    for k in range(value.shape[1] - 1, -1, -1):
        tail = delta[:, k] + lam * tail
        advantage.append(tail)
    return torch.stack(advantage[::-1], dim=1)
