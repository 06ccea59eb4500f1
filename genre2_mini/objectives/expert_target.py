"""The expert: after any prefix, the token that still leads closest to the truth."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from genre2_mini.tokenizers import (
    ConcatenatedTokenizer,
    NormalizedTokenizer,
    ScientificTokenizer,
    Tokenizer,
)
from genre2_mini.tokenizers.digits import from_digits


def expert_target(tokenizer: Tokenizer, tokens: Tensor, z: Tensor) -> Tensor:
    """The first token of the best completion of every prefix of ``tokens``.

    Entry k belongs to the prefix tokens[..., :k] and starts the completion whose value
    is closest to z: the truth, clamped into what is still reachable. While the prefix
    is that of ``encode(z)`` the target is its next token. Equal distances go to the
    smallest exponent, where a later slip costs least. A dynamic oracle, as in DAgger
    (Ross et al. 2011): it judges the prefixes that the policy itself wrote. Of several
    targets each has its own expert: no token of one moves the error of another.
    Source: GenRe² (arXiv 2512.06533, ICML version).

    Parameters
    ----------
    tokens : int64 (..., K), legal strings.
    z : (...), the true target of each string, or (..., D) where it holds D targets.

    Returns
    -------
    int64 (..., K), a legal token for each position.

    Raises
    ------
    ValueError : z is not one target for each string, or ``encode`` refuses it.
    """
    tokens, z = tokenizer._check_tokens(tokens), tokenizer._check_values(z)
    if isinstance(tokenizer, ConcatenatedTokenizer):
        parts = zip(tokenizer.parts, tokenizer.split(tokens), z.unbind(-1), strict=True)
        return torch.cat([expert_target(*part) for part in parts], dim=-1)
    if z.shape != tokens.shape[:-1]:
        raise ValueError(
            f"z must hold one target for each string of tokens {tuple(tokens.shape)}, "
            f"got shape {tuple(z.shape)}"
        )
    truth = tokenizer.encode(z)
    if isinstance(tokenizer, NormalizedTokenizer):
        return _nearest_cell(tokens, truth, tokenizer.base)
    right = (tokens == truth).long().cumprod(-1)  # 1 up to the first slip
    on_course = pad(right[..., :-1], (1, 0), value=1).bool()
    return torch.where(on_course, truth, _nearest_float(tokenizer, tokens, z))


def _reachable(digits: Tensor, base: int) -> tuple[Tensor, Tensor]:
    """After j = 0 … D of the digits (..., D): lowest + 0, 1, … room − 1 (..., D+1)."""
    room = base ** torch.arange(digits.shape[-1], -1, -1, device=digits.device)
    lowest = pad((digits * room[1:]).cumsum(-1), (1, 0))  # j digits, then zeros
    return lowest, room  # each digit leaves one B-th of the room


def _nearest_cell(tokens: Tensor, truth: Tensor, base: int) -> Tensor:
    """Clamp the true cell: g_k on course, else 0 (too high) or B − 1 (too low)."""
    lowest, room = _reachable(tokens, base)
    cell = from_digits(truth, base)[..., None].clamp(lowest, lowest + room - 1)
    return cell[..., :-1] // room[1:] % base


def _nearest_float(tokenizer: Tokenizer, tokens: Tensor, z: Tensor) -> Tensor:
    """Clamp the mantissa m of m·B^p for every power p still possible, take the best.

    The sign s is in the prefix (entry 0 is left to the truth), so m·B^p ≥ 0 is sought
    for s·z. After the wrong sign s·z < 0, and the clamp gives the smallest m.
    """
    codes, powers, first = _exponents(tokenizer)
    codes, powers = codes.to(tokens.device), powers.to(tokens.device)
    last, base = first + codes.shape[1], tokenizer._radix
    digits = torch.cat([tokens[..., 1:first], tokens[..., last:]], dim=-1)
    lowest, room = _reachable(digits, base)
    goal = ((1 - 2 * tokens[..., 0]) * z)[..., None]  # s·z
    mantissa = tokenizer._scale(goal, -powers).round()  # (..., C)
    possible, written, targets = torch.ones_like(powers).bool(), 0, [tokens[..., 0]]
    for k in range(1, tokens.shape[-1]):
        low = lowest[..., written, None]
        m = mantissa.clamp(low, low + room[written] - 1)
        value = tokenizer._scale(m, powers).masked_fill(~possible, -torch.inf)
        # From afar all distances look equal in float64: step up to the largest value.
        error = (value - goal.minimum(value.amax(-1, keepdim=True))).abs()
        best = error.argmin(-1)  # the first of equals
        if first <= k < last:
            code = codes[:, k - first]
            possible = possible & (tokens[..., k, None] == code)
            targets.append(code[best])
        else:
            written += 1
            m = m.gather(-1, best[..., None])[..., 0].long()
            targets.append(m // room[written] % base)
    return torch.stack(targets, dim=-1)


def _exponents(tokenizer: Tokenizer) -> tuple[Tensor, Tensor, int]:
    """Every exponent's tokens (C, ·) and power p (C,), rising; its first position."""
    if isinstance(tokenizer, ScientificTokenizer):
        code = torch.arange(tokenizer.vocab_sizes[-1])
        return code[:, None], code - tokenizer.max_exponent, tokenizer.num_digits + 1
    sizes = tokenizer.vocab_sizes[1 : 2 + tokenizer.num_exponent_digits]
    codes = torch.cartesian_prod(*map(torch.arange, sizes))  # + and −, then digits
    power = from_digits(codes[:, 1:], tokenizer.base) * (1 - 2 * codes[:, 0])
    order = power.argsort(stable=True)
    return codes[order], power[order] - (tokenizer.num_mantissa_digits - 1), 1
