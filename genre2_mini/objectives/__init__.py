"""Objectives: a batch -> one or more losses. One file an idea."""

from genre2_mini.objectives.cross_entropy import CrossEntropy
from genre2_mini.objectives.crps import CRPS
from genre2_mini.objectives.exact import ExactPolicyGradient
from genre2_mini.objectives.expert import ExpertSupervision, GenRe2
from genre2_mini.objectives.expert_target import expert_target
from genre2_mini.objectives.grpo import GRPO
from genre2_mini.objectives.histogram import HistogramCrossEntropy
from genre2_mini.objectives.objective import Objective
from genre2_mini.objectives.ppo import PPO
from genre2_mini.objectives.reinforce import REINFORCE
from genre2_mini.objectives.remax import ReMax
from genre2_mini.objectives.rloo import RLOO
from genre2_mini.objectives.squared_error import SquaredError
from genre2_mini.objectives.token_level import DIST2, NTLMSE, NTLWAS

__all__ = [
    "CRPS",
    "DIST2",
    "GRPO",
    "NTLMSE",
    "NTLWAS",
    "PPO",
    "REINFORCE",
    "RLOO",
    "CrossEntropy",
    "ExactPolicyGradient",
    "ExpertSupervision",
    "GenRe2",
    "HistogramCrossEntropy",
    "Objective",
    "ReMax",
    "SquaredError",
    "expert_target",
]
