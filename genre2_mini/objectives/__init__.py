"""Objectives: a batch -> one or more losses. One file an idea."""

from genre2_mini.objectives.cross_entropy import CrossEntropy
from genre2_mini.objectives.objective import Objective
from genre2_mini.objectives.remax import ReMax
from genre2_mini.objectives.squared_error import SquaredError

__all__ = ["CrossEntropy", "Objective", "ReMax", "SquaredError"]
