"""RLOO: REINFORCE whose baseline is the mean reward of the other samples."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genre2_mini.objectives.objective import check_at_least
from genre2_mini.objectives.reinforce import REINFORCE
from genre2_mini.rollouts import Rollout


@dataclass(frozen=True)
class RLOO(REINFORCE):
    """REINFORCE leave-one-out (Kool et al. 2019): A_s = r_s − mean of the other S − 1.

    The others do not depend on string s, so the gradient stays that of −E[r]. The
    same number, S/(S−1) · (r_s − r̄), needs only the mean of all.

    Raises
    ------
    ValueError : ``num_samples`` < 2.
    """

    def __post_init__(self) -> None:
        check_at_least(2, num_samples=self.num_samples)

    def advantage(self, rollout: Rollout, reward: Tensor) -> Tensor:
        """S/(S−1) · (r − r̄) (M,), r̄ the mean over the samples of the same input."""
        mean = rollout.mean_by_input(reward)[rollout.owner]
        return self.num_samples / (self.num_samples - 1) * (reward - mean)
