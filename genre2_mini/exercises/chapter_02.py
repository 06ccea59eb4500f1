"""The checks of chapter 2: softmax, blocks, masks, temperature and beams."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from genre2_mini.exercises import exercise, require, require_close
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rollouts import enumerate_strings
from genre2_mini.transformer import Block


@exercise
def check_safe_softmax(answer):
    """``answer(scores (n,))``: softmax that survives large scores."""
    for scores in ([0.0, 1.0, 2.0], [1000.0, 1001.0], [-1000.0, -1000.0, -999.0]):
        given = answer(torch.tensor(scores))
        if given is not None:
            require(
                torch.as_tensor(given).isfinite().all(),
                f"the weights of {scores} are {torch.as_tensor(given).tolist()}: "
                "which number is too large, or too small, for exp?",
            )
        wanted = torch.tensor(scores).softmax(dim=0)
        require_close(given, wanted, f"softmax of {scores}")


@exercise
def check_block_parameters(answer):
    """``answer(d_model, d_ff)``: how many parameters a block has."""
    for d_model, d_ff in ((64, 256), (16, 32), (8, 8)):
        shapes = [p.shape for p in Block(d_model, 4, d_ff).parameters()]
        total = sum(shape.numel() for shape in shapes)
        matrices = sum(shape.numel() for shape in shapes if len(shape) == 2)
        given, sizes = answer(d_model, d_ff), f"block_parameters({d_model}, {d_ff})"
        require(
            given not in (matrices, matrices + 4 * d_model),
            f"{sizes} is {given}: each linear map also adds a bias to every output",
        )
        require(
            given != total - 4 * d_model,
            f"{sizes} is {given}: the two norms have a gain and a shift a feature",
        )
        require_close(given, total, sizes)


@exercise
def check_previous_token(answer):
    """``answer(length)``: W (length, length) that makes a head look one token back."""
    for length in (2, 8, 32):
        positions, w = torch.eye(length), answer(length)
        require(w is not None, "previous_token returned None: return a matrix W")
        w = torch.as_tensor(w).to(positions.dtype)
        require(
            w.shape == (length, length),
            f"W has shape {tuple(w.shape)}, wanted {(length, length)}",
        )
        scores = (positions @ w) @ positions.T / length**0.5
        future = torch.ones_like(scores, dtype=torch.bool).triu(1)
        weights = scores.masked_fill(future, -torch.inf).softmax(dim=-1)
        before = weights.diagonal(-1)  # position i's weight on i − 1
        worst = int(before.argmin())
        require(
            before.min() >= 0.99,
            f"with length {length}, position {worst + 1} gives position {worst} the "
            f"weight {before.min():.2f}, wanted at least 0.99",
        )


def _attend(mask: Callable[[int], Tensor]) -> Callable[[Tensor], Tensor]:
    """A model (N, T, d) -> (N, T, d) whose position i sees j where mask(T)[i, j]."""
    return lambda h: scaled_dot_product_attention(h, h, h, attn_mask=mask(h.shape[1]))


def _first_looks_ahead(length: int) -> Tensor:
    """A causal mask but for one entry: the first position sees the second."""
    mask = torch.ones(length, length).tril().bool()
    mask[0, 1:2] = True
    return mask


SUSPECTS = {
    "causal": (_attend(lambda t: torch.ones(t, t).tril().bool()), False),
    "no mask": (_attend(lambda t: torch.ones(t, t).bool()), True),
    "off by one": (_attend(lambda t: torch.ones(t, t).tril(1).bool()), True),
    "only the first position looks ahead": (_attend(_first_looks_ahead), True),
}


@exercise
def check_leaks(answer):
    """``answer(model)``: whether a model (N, T, 16) -> (N, T, 16) sees the future."""
    for name, (model, leaks) in SUSPECTS.items():
        given = answer(model)
        require(given is not None, "leaks returned None: return True or False")
        seen = "sees the future" if leaks else "does not see the future"
        require(
            bool(given) == leaks, f"the model “{name}” {seen}, you say {bool(given)}"
        )


@exercise
def check_tempered(answer, policy, x):
    """``answer(policy, x, T)``: probability (N, V) of all strings, tokens at T."""
    for temperature in (0.5, 2.0):
        wanted, power = _tempered(policy, x, temperature)
        given = answer(policy, x, temperature)
        if given is not None and given.shape == power.shape:
            require(
                not torch.allclose(given, power, rtol=1e-3, atol=1e-6),
                "that is π to the power 1/T, scaled to sum to one. So the guess is "
                "answered: no, they differ",
            )
        require_close(given, wanted, f"the probabilities at T = {temperature}", 1e-4)


@torch.no_grad()
def _tempered(policy: DecodingPolicy, x: Tensor, temperature: float) -> list[Tensor]:
    """Probabilities (N, V) of all strings: tokens at T, and π^(1/T) scaled to one."""
    tokens, log_prob = enumerate_strings(policy, x)
    tokens = tokens.expand(len(x), -1, -1)
    log_p = (policy.logits(x, tokens) / temperature).log_softmax(dim=-1)
    chosen = log_p.gather(-1, tokens[..., None]).squeeze(-1)
    return [chosen.sum(dim=-1).exp(), (log_prob / temperature).softmax(dim=1)]


@exercise
def check_beam(answer, policy, x):
    """``answer(policy, x (1, …), width)``: the likeliest string (K,) of a beam."""
    with torch.no_grad():
        tokens, log_prob = enumerate_strings(policy, x)
    likeliest, greedy = tokens[log_prob.argmax(dim=1)], policy.greedy(x)
    hard = (greedy != likeliest).any(dim=1).nonzero()[:, 0].tolist()
    require(hard, "greedy misses nothing here: take another policy or more rows")
    narrow = answer(policy, x[:1], 1)
    require_close(narrow, greedy[0], "a beam of width 1 is greedy; yours")
    for i in hard[:5]:
        exhaustive = answer(policy, x[i : i + 1], len(tokens))
        require(
            torch.equal(exhaustive, likeliest[i]),
            f"a beam as wide as all {len(tokens)} strings drops none, but yours "
            "does not end with the likeliest: rank by the sum over all tokens so far",
        )
    found = sum(
        bool(torch.equal(answer(policy, x[i : i + 1], 32), likeliest[i])) for i in hard
    )
    require(
        found >= len(hard) - 1,
        f"of {len(hard)} strings that greedy misses, width 32 finds {found}",
    )
