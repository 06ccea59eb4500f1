"""Token-level cross-entropy: make the true string likely, digit by digit."""

from __future__ import annotations

from dataclasses import dataclass

from genre2_mini.policy import DecodingPolicy


@dataclass(frozen=True)
class CrossEntropy:
    """−log π_θ(t* | x), summed over tokens and averaged over rows (nats a string).

    t* is the true target's string. Every wrong token costs the same, however far
    the number it leads to: the blindness that the later objectives repair.
    """

    def losses(self, model: DecodingPolicy, x, z, generator=None):
        """Yield one loss for a batch x (N, …), z (N,)."""
        loss = -model.log_prob(x, model.tokenizer.encode(z)).mean()
        yield loss, {"cross_entropy": loss.detach()}
