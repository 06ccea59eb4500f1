"""GRPO: rewards compared within the group of samples of one input."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from torch import Tensor

from genre2_mini.objectives.objective import Losses, check_at_least
from genre2_mini.objectives.ratio import clip_fraction, clipped_surrogate, kl_k3
from genre2_mini.objectives.reinforce import REINFORCE, report
from genre2_mini.prefix_tree import score_strings
from genre2_mini.rollouts import Rollout


@dataclass(frozen=True)
class GRPO(REINFORCE):
    """Group relative policy optimisation (Shao et al., arXiv 2402.03300, eq. 3, 4).

    A = (r − r̄)/(std + 10⁻⁶) in each input's group of samples. The division makes the
    update blind to a·r + b: an error of 0.001 weighs as much as one of 10. Without it,
    ``divide_by_std=False``, this is Dr. GRPO (Liu et al., arXiv 2503.20783), and its
    gradient is (S−1)/S times that of −E[r]. Losses are summed over tokens.

    Parameters
    ----------
    divide_by_std : GRPO; False is Dr. GRPO.
    clip : ε of the ratio; it does nothing in the first epoch.
    epochs : losses, and so optimiser steps, for each batch of rollouts.
    kl_weight : weight of KL(π ‖ reference), estimated by k3; the reference is the
        policy as it was before training. Differentiated at fixed samples, as GRPO
        does, k3 pulls along the gradient of KL(reference ‖ π) at those prefixes.

    Raises
    ------
    ValueError : ``num_samples`` < 2, or another argument out of range.
    """

    divide_by_std: bool = True
    clip: float = 0.2
    epochs: int = 1
    kl_weight: float = 0.0

    def __post_init__(self) -> None:
        check_at_least(2, num_samples=self.num_samples)
        check_at_least(1, epochs=self.epochs)
        check_at_least(0, clip=self.clip, kl_weight=self.kl_weight)

    def companions(self, model):
        """The frozen reference policy, where there is a KL term."""
        if self.kl_weight:
            yield copy.deepcopy(model).requires_grad_(False)

    def losses(self, model, x, z, generator=None, reference=None) -> Losses:
        """Yield ``epochs`` losses for a batch x (N, …), z (N,)."""
        rollout, reward = self.roll(model, x, z, generator)
        advantage = self.advantage(rollout, reward)
        old, strings = rollout.token_log_prob.detach(), rollout
        weight = advantage.to(old.dtype)
        if self.kl_weight:
            known = score_strings(reference, x, rollout.tokens, rollout.owner)
        for epoch in range(self.epochs):
            if epoch > 0:
                strings = score_strings(model, x, rollout.tokens, rollout.owner)
            new = strings.token_log_prob
            gain = clipped_surrogate(new, old, weight[:, None], self.clip)
            scores = report(rollout, reward, advantage)
            scores["clip_fraction"] = rollout.mean(
                clip_fraction(new.detach(), old, self.clip).mean(dim=1)
            )
            loss = -rollout.mean(gain.sum(dim=1))
            if self.kl_weight:
                kl = rollout.mean(kl_k3(new, known.token_log_prob).sum(dim=1))
                loss, scores["kl"] = loss + self.kl_weight * kl, kl.detach()
            yield loss, scores

    def advantage(self, rollout: Rollout, reward: Tensor) -> Tensor:
        """(r − r̄)/(std + 10⁻⁶) (M,) over the samples of the same input."""
        centred = reward - rollout.mean_by_input(reward)[rollout.owner]
        if not self.divide_by_std:
            return centred
        std = rollout.mean_by_input(centred.square()).sqrt()[rollout.owner]
        return centred / (std + 1e-6)
