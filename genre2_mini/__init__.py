"""Decoding-based regression with reinforcement learning, small and from scratch."""

__version__ = "0.1.0"
