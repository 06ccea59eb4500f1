"""ReMax: REINFORCE whose baseline is the greedy string's reward."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genre2_mini.objectives.reinforce import REINFORCE
from genre2_mini.rollouts import Rollout


@dataclass(frozen=True)
class ReMax(REINFORCE):
    """REINFORCE with A = r(t) − r(greedy) (Li et al., arXiv 2310.10505).

    The baseline depends on x alone, so the gradient stays that of −E[r], and its
    variance falls. Where all samples are the greedy string there is nothing to learn.
    """

    def advantage(self, rollout: Rollout, reward: Tensor) -> Tensor:
        """r − r(greedy string of the same input) (M,)."""
        return reward - reward[rollout.greedy][rollout.owner]
