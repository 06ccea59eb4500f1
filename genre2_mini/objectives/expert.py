"""Expert supervision: at every prefix the policy wrote, the token that repairs it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genre2_mini.objectives.expert_target import expert_target
from genre2_mini.objectives.objective import Losses, check_at_least
from genre2_mini.objectives.reinforce import REINFORCE, policy_gradient, report
from genre2_mini.objectives.remax import ReMax
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rollouts import Rollout, read_with_dropout
from genre2_mini.tokenizers import Tokenizer


def expert_loss(rollout: Rollout, tokenizer: Tokenizer, z: Tensor) -> Tensor:
    """Mean over sampled (i, s, k) of −log π(e_k | x, t_<k), in nats a token.

    e_k starts the completion closest to the truth. The sampled prefix is given: no
    gradient flows through it. z (N,).
    """
    expert = expert_target(tokenizer, rollout.tokens, z[rollout.owner])
    return -rollout.mean(rollout.log_prob_of(expert).mean(dim=1))


@dataclass(frozen=True)
class GenRe2(ReMax):
    """ReMax + weight · expert supervision (arXiv 2512.06533, ICML version).

    The reward is one signal a string; the expert is one a token.

    Parameters
    ----------
    expert_weight : the paper's code has 0.05 for tables, 0.1 for programs.
    dropout : read the drawn strings once more with dropout on, and differentiate that:
        a regulariser where rows are few. Strings are always drawn without dropout.
    """

    expert_weight: float = 0.05
    dropout: bool = False

    def __post_init__(self) -> None:
        check_at_least(1, num_samples=self.num_samples)
        check_at_least(0, expert_weight=self.expert_weight)

    def losses(self, model: DecodingPolicy, x, z, generator=None) -> Losses:
        """Yield one loss for a batch x (N, …), z (N,)."""
        rollout, reward = self.roll(model, x, z, generator)
        advantage = self.advantage(rollout, reward)
        if self.dropout:
            rollout = read_with_dropout(model, x, rollout)
        expert = expert_loss(rollout, model.tokenizer, z)
        loss = policy_gradient(rollout, advantage) + self.expert_weight * expert
        yield loss, report(rollout, reward, advantage) | {"expert": expert.detach()}


@dataclass(frozen=True)
class ExpertSupervision(REINFORCE):
    """The expert alone, on the same rollouts: the control without a reward.

    ``reward`` is only reported. ``dropout`` is that of :class:`GenRe2`.
    """

    dropout: bool = False

    def losses(self, model: DecodingPolicy, x, z, generator=None) -> Losses:
        """Yield one loss for a batch x (N, …), z (N,)."""
        rollout, reward = self.roll(model, x, z, generator)
        if self.dropout:
            rollout = read_with_dropout(model, x, rollout)
        expert = expert_loss(rollout, model.tokenizer, z)
        none = torch.zeros_like(reward)
        yield expert, report(rollout, reward, none) | {"expert": expert.detach()}
