"""Decoding-based regression with reinforcement learning, small and from scratch."""

import gymnasium

__version__ = "0.1.0"

# gymnasium.make knows only what an import has registered, and this import is the one
# that everybody has. Named by a string, the environment and torch load when it is made.
if "genre2_mini/Decoding-v0" not in gymnasium.registry:
    gymnasium.register("genre2_mini/Decoding-v0", "genre2_mini.mdp:DecodingEnv")
