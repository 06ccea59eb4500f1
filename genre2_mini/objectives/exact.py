"""The exact policy gradient: all strings instead of samples."""

from __future__ import annotations

from dataclasses import dataclass

from genre2_mini.objectives.objective import Losses
from genre2_mini.objectives.reinforce import Reward
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rewards import squared_error_reward, summed_over_targets
from genre2_mini.rollouts import enumerate_strings


@dataclass(frozen=True)
class ExactPolicyGradient:
    """−E[r] = −Σ_t π(t | x) r(x, t), differentiated directly: no variance at all.

    What every estimator is measured against. ValueError where there are too many
    strings to enumerate.

    Parameters
    ----------
    reward : (values (N, V), z (N,)) -> rewards (N, V); of D targets, their sum.
    """

    reward: Reward = squared_error_reward

    def losses(self, model: DecodingPolicy, x, z, generator=None) -> Losses:
        """Yield one loss for a batch x (N, …), z (N,) or (N, D)."""
        tokens, log_prob = enumerate_strings(model, x)  # (V, K), (N, V)
        values = model.tokenizer.decode(tokens)  # (V,), or (V, D) of D targets
        values = values.expand(len(x), *values.shape)
        reward = summed_over_targets(self.reward, values, z).to(log_prob.dtype)
        expected = (log_prob.exp() * reward).sum(dim=1).mean()
        entropy = -(log_prob.detach().exp() * log_prob.detach()).sum(dim=1).mean()
        yield -expected, {"reward": expected.detach(), "entropy": entropy}
