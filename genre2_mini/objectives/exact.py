"""The exact policy gradient: all strings instead of samples."""

from __future__ import annotations

from dataclasses import dataclass

from genre2_mini.objectives.objective import Losses
from genre2_mini.objectives.reinforce import Reward
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rewards import squared_error_reward
from genre2_mini.rollouts import enumerate_strings


@dataclass(frozen=True)
class ExactPolicyGradient:
    """−E[r] = −Σ_t π(t | x) r(x, t), differentiated directly: no variance at all.

    What every estimator is measured against. ValueError where there are too many
    strings to enumerate.

    Parameters
    ----------
    reward : (values (M,), z (M,)) -> rewards (M,).
    """

    reward: Reward = squared_error_reward

    def losses(self, model: DecodingPolicy, x, z, generator=None) -> Losses:
        """Yield one loss for a batch x (N, …), z (N,)."""
        tokens, log_prob = enumerate_strings(model, x)  # (V, K), (N, V)
        values = model.tokenizer.decode(tokens).expand(log_prob.shape)
        reward = self.reward(values, z).to(log_prob.dtype)
        expected = (log_prob.exp() * reward).sum(dim=1).mean()
        entropy = -(log_prob.detach().exp() * log_prob.detach()).sum(dim=1).mean()
        yield -expected, {"reward": expected.detach(), "entropy": entropy}
