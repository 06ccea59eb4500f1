"""REINFORCE: make a string likelier in proportion to its reward."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genre2_mini.objectives.objective import Losses, check_at_least
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rewards import squared_error_reward, summed_over_targets
from genre2_mini.rollouts import Rollout, tree_rollout

Reward = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class REINFORCE:
    """−mean[ log π(t | x) · A ] with A = r(x, t) (Williams 1992).

    Its gradient is that of −E[r] on average, since ∇E[r] = E[r ∇log π]. The loss is
    not a performance measure: watch the reward.

    Parameters
    ----------
    num_samples : S, strings drawn for each input.
    reward : (values (M,), z (M,)) -> rewards (M,); of D targets, their sum.
    """

    num_samples: int = 16
    reward: Reward = squared_error_reward

    def __post_init__(self) -> None:
        check_at_least(1, num_samples=self.num_samples)

    def losses(self, model: DecodingPolicy, x, z, generator=None) -> Losses:
        """Yield one loss for a batch x (N, …), z (N,) or (N, D)."""
        rollout, reward = self.roll(model, x, z, generator)
        advantage = self.advantage(rollout, reward)
        yield policy_gradient(rollout, advantage), report(rollout, reward, advantage)

    def advantage(self, rollout: Rollout, reward: Tensor) -> Tensor:
        """A (M,) of each distinct string, from its reward (M,)."""
        return reward

    def roll(
        self, model: DecodingPolicy, x: Tensor, z: Tensor, generator
    ) -> tuple[Rollout, Tensor]:
        """S strings an input and the reward (M,), float64, of each distinct one.

        The greedy string rides along: a baseline for ReMax, a report for all.
        """
        rollout = tree_rollout(
            model, x, self.num_samples, generator=generator, greedy=True
        )
        values = model.tokenizer.decode(rollout.tokens)
        return rollout, self.score(values, z[rollout.owner]).double()

    def score(self, values: Tensor, z: Tensor) -> Tensor:
        """r (M,) of values (M,) or (M, D): of D targets, the sum of each one's."""
        return summed_over_targets(self.reward, values, z)


def policy_gradient(rollout: Rollout, advantage: Tensor) -> Tensor:
    """−mean[ log π(t | x) · A ] over all samples; A (M,) is a constant."""
    advantage = advantage.detach().to(rollout.log_prob.dtype)
    return -rollout.mean(rollout.log_prob * advantage)


@torch.no_grad()
def report(rollout: Rollout, reward: Tensor, advantage: Tensor) -> dict[str, Tensor]:
    """What every policy-gradient method reports of a batch."""
    spread = advantage - rollout.mean(advantage)
    return {
        "reward": rollout.mean(reward),
        "reward_greedy": reward[rollout.greedy].mean(),
        "advantage_std": rollout.mean(spread.square()).sqrt(),
        "entropy": rollout.mean(rollout.entropy),
        "distinct_leaves": (rollout.count > 0).sum() / len(rollout.greedy),
    }
