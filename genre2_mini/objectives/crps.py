"""CRPS: the samples of an input are one prediction, and each is paid for its part."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from genre2_mini.objectives.objective import Losses, check_at_least
from genre2_mini.objectives.reinforce import policy_gradient, report
from genre2_mini.objectives.rloo import RLOO
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rewards import absolute_error_reward, summed_over_targets
from genre2_mini.rollouts import Rollout


@dataclass(frozen=True)
class CRPS(RLOO):
    """RLOO that pays a string to be near the truth and far from the other strings.

    U = −mean_s |ẑ_s − z| + ½ mean_{s≠j} |ẑ_s − ẑ_j| scores the S samples as one
    distribution, with the S(S−1) pairs of different samples; E[U] = −CRPS(π, z)
    (Gneiting & Raftery 2007, equation 21). Each string is credited with what U loses
    without it, A_s = S (U − U_{−s}). U_{−s} does not depend on string s, so the
    gradient is that of CRPS on average, without bias. Written out, with the distance
    m_s = mean_{j≠s} |ẑ_s − ẑ_j|,

        A_s = −S/(S−1) (|ẑ_s − z| − mean) + S/(S−2) (m_s − mean).

    The idea, rollouts scored by CRPS with leave-one-out credit, is Park et al.'s
    (arXiv 2605.20740); the estimator is derived here. The plug-in score of S samples,
    whose S² pairs include each sample with itself, would train
    E|ẑ − z| − ½ (1 − 1/S) E|ẑ − ẑ'| instead: a sharper optimum, and not a proper score.

    ``reward`` is only reported. Of D targets, the sum of their scores.

    Raises
    ------
    ValueError : ``num_samples`` < 3; two samples without one have no pair.
    """

    def __post_init__(self) -> None:
        check_at_least(3, num_samples=self.num_samples)

    def losses(self, model: DecodingPolicy, x, z, generator=None) -> Losses:
        """Yield one loss for a batch x (N, …), z (N,); reports the ``crps`` as well."""
        rollout, reward = self.roll(model, x, z, generator)
        values = model.tokenizer.decode(rollout.tokens)
        near = summed_over_targets(absolute_error_reward, values, z[rollout.owner])
        near, apart = near.double(), self.distance_to_the_others(rollout, values)
        advantage = self.credit(rollout, near, apart)
        scores = report(rollout, reward, advantage)
        scores["crps"] = -rollout.mean(near + apart / 2)
        yield policy_gradient(rollout, advantage), scores

    def credit(self, rollout: Rollout, near: Tensor, apart: Tensor) -> Tensor:
        """S (U − U_{−s}) (M,) from −|ẑ − z| and the distance to the others, (M,)."""
        size = self.num_samples
        mean = rollout.mean_by_input(apart)[rollout.owner]
        return self.advantage(rollout, near) + size / (size - 2) * (apart - mean)

    def distance_to_the_others(self, rollout: Rollout, values: Tensor) -> Tensor:
        """Mean |ẑ_s − ẑ_j| (M,) over the S − 1 other samples j of the same input.

        Sums over the pairs of distinct strings, so L² a row for L of them, with counts;
        a string's equals are at distance 0. values (M,) or (M, D).
        """
        sizes = rollout.owner.bincount()
        parts = (p.double().split(sizes.tolist()) for p in (values, rollout.count))
        v, count = (pad_sequence(part, batch_first=True) for part in parts)
        gap = (v[:, :, None] - v[:, None]).abs()
        if values.ndim > 1:
            gap = gap.sum(dim=-1)
        share = count / count.sum(dim=1, keepdim=True)  # 0 for what only fills a row
        mean = (gap * share[:, None]).sum(dim=-1)  # (N, L), each among all S
        there = torch.arange(v.shape[1], device=v.device) < sizes[:, None]
        return self.num_samples / (self.num_samples - 1) * mean[there]
