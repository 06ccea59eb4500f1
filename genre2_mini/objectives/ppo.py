"""PPO: a learned critic, and several careful steps on one batch of rollouts."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from genre2_mini.objectives.critic import Critic, generalised_advantage
from genre2_mini.objectives.objective import Losses, check_at_least
from genre2_mini.objectives.ratio import clip_fraction, clipped_surrogate, kl_k3
from genre2_mini.objectives.reinforce import REINFORCE, report
from genre2_mini.prefix_tree import score_strings


@dataclass(frozen=True)
class PPO(REINFORCE):
    """Proximal policy optimisation (Schulman et al., arXiv 1707.06347, equation 9).

    Each token has its own advantage, by GAE from a critic; the clipped ratio lets one
    batch of rollouts serve ``epochs`` · ``minibatches`` optimiser steps.

    Parameters
    ----------
    clip : ε of the ratio.
    epochs, minibatches : passes over a batch, and parts of it (by input) in a pass.
    gae_lambda : λ in [0, 1]; 1 is r − V, unbiased whatever the critic.
    value_weight : weight of the critic's squared error, ½(V − A − V_old)².
    entropy_weight : weight of the entropy bonus, in nats a string.
    normalise_advantage : divide by the batch's standard deviation after centring.
    """

    clip: float = 0.2
    epochs: int = 4
    minibatches: int = 1
    gae_lambda: float = 0.95
    value_weight: float = 1.0
    entropy_weight: float = 0.0
    normalise_advantage: bool = False

    def __post_init__(self) -> None:
        counts = {"epochs": self.epochs, "minibatches": self.minibatches}
        check_at_least(1, num_samples=self.num_samples, **counts)
        check_at_least(0, clip=self.clip, entropy_weight=self.entropy_weight)
        check_at_least(0, value_weight=self.value_weight)
        if not 0 <= self.gae_lambda <= 1:
            raise ValueError(f"gae_lambda={self.gae_lambda} must lie between 0 and 1")

    def companions(self, model):
        """The critic."""
        yield Critic(model)

    def losses(self, model, x, z, generator, critic: Critic) -> Losses:
        """Yield ``epochs`` · ``minibatches`` losses for a batch x (N, …), z (N,)."""
        with torch.no_grad():
            rollout, reward = self.roll(model, x, z, generator)
            value = critic(x, rollout.tokens, rollout.owner)  # (M, K)
            last = reward.to(value.dtype)
            advantage = generalised_advantage(last, value, self.gae_lambda)
            returns, old = advantage + value, rollout.token_log_prob
            if self.normalise_advantage:
                centred = advantage - rollout.mean(advantage.mean(dim=1))
                std = rollout.mean(centred.square().mean(dim=1)).sqrt()
                advantage = centred / (std + 1e-6)
            shared = report(rollout, reward, advantage.mean(dim=1))
        for _ in range(self.epochs):
            order = torch.randperm(len(x), generator=generator, device=x.device)
            for rows in order.tensor_split(min(self.minibatches, len(x))):
                leaf, owner, weight = rollout.of_inputs(rows)
                part, tokens = x[rows.sort().values], rollout.tokens[leaf]
                strings = score_strings(model, part, tokens, owner)
                new, before = strings.token_log_prob, old[leaf]
                gain = clipped_surrogate(new, before, advantage[leaf], self.clip)
                error = critic(part, tokens, owner) - returns[leaf]
                value_loss = 0.5 * weight @ error.square().mean(dim=1)
                loss = (
                    -weight @ gain.sum(dim=1)
                    + self.value_weight * value_loss
                    - self.entropy_weight * weight @ strings.entropy
                )
                new = new.detach()
                yield (
                    loss,
                    shared
                    | {
                        "value_loss": value_loss.detach(),
                        "clip_fraction": weight
                        @ clip_fraction(new, before, self.clip).mean(dim=1),
                        "approx_kl": weight @ kl_k3(before, new).sum(dim=1),
                    },
                )
