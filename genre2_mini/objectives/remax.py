"""ReMax: policy gradient with the greedy string's reward as baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from genre2_mini.policy import DecodingPolicy
from genre2_mini.rewards import squared_error_reward
from genre2_mini.transformer import evaluating


@dataclass(frozen=True)
class ReMax:
    """−mean[ log π(t | x) · (r(t) − r(greedy)) ] (Li et al., arXiv 2310.10505).

    The baseline depends on x alone, so the gradient stays that of E[r], and its
    variance falls. The loss is not a performance measure: watch the reward.

    Parameters
    ----------
    num_samples : S, strings drawn for each input.
    reward : (values (N, S) or (N,), z (N,)) -> rewards of the values' shape.
    """

    num_samples: int = 16
    reward: Callable[[Tensor, Tensor], Tensor] = squared_error_reward

    def losses(self, model: DecodingPolicy, x, z, generator=None):
        """Yield one loss for a batch x (N, …), z (N,)."""
        decode = model.tokenizer.decode
        tokens = model.sample(x, self.num_samples, generator=generator)  # (N, S, K)
        reward = self.reward(decode(tokens), z)  # (N, S)
        baseline = self.reward(decode(model.greedy(x)), z)  # (N,)
        advantage = reward - baseline[:, None]
        with evaluating(model):  # the distribution that was sampled from
            log_prob = model.log_prob(x, tokens)
        loss = -(log_prob * advantage.to(log_prob.dtype)).mean()
        yield (
            loss,
            {
                "reward": reward.mean(),
                "reward_greedy": baseline.mean(),
                "advantage_std": advantage.std(),
                "entropy": -log_prob.detach().mean(),
            },
        )
