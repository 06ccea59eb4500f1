"""Your own tokenizer with a kernel behind it: type a number, change its tokens."""

from __future__ import annotations

from html import escape

import torch
from ipywidgets import HTML, Button, Dropdown, FloatText, HBox, VBox

from genre2_mini.exhibits.numbers_table import numbers_table
from genre2_mini.tokenizers import (
    ConcatenatedTokenizer,
    IEEETokenizer,
    ScientificTokenizer,
    Tokenizer,
)

MOST_IDS = 1000  # as many legal ids a list of them may have
WRAP = {"flex_flow": "row wrap"}
SIZE = {"layout": {"width": "11rem"}}


def explore_tokenizer(tokenizer: Tokenizer, z: float = 1.0) -> VBox:
    """A number's tokens, and what changing them costs: ipywidgets for a live notebook.

    :func:`number_explorer` needs no kernel and knows the three tokenizers; this takes
    yours, as it is.

    Parameters
    ----------
    tokenizer : of one number, with a range if it needs one.
    z : the first number shown.

    Raises
    ------
    TypeError : ``tokenizer`` is none, or writes several targets.
    ValueError : a position has more than 1,000 legal ids.
    RuntimeError : a normalised tokenizer has no range yet.
    """
    _check(tokenizer)
    number = FloatText(z, description="number z")
    reset = Button(description="as it should be")
    tokens = [
        Dropdown(options=[(s, i) for i, s in enumerate(ids)], description=name, **SIZE)
        for name, ids in _positions(tokenizer).items()
    ]
    shown = HTML()

    def show(_: object = None) -> None:
        try:
            written = [box.value for box in tokens]
            shown.value = _report(tokenizer, number.value, written)
        except ValueError as error:  # this number has no string
            shown.value = f"<p>{escape(str(error))}</p>"

    def write(_: object = None) -> None:
        """Choose the number's own tokens, then show them once."""
        try:
            own = tokenizer.encode(_tensor(number.value)).tolist()
        except ValueError:
            return show()
        for box, token in zip(tokens, own, strict=True):
            box.unobserve(show, "value")
            box.value = token
            box.observe(show, "value")
        show()

    for box in tokens:
        box.observe(show, "value")
    number.observe(write, "value")
    reset.on_click(write)
    write()
    return VBox([HBox([number, reset]), HBox(tokens, layout=WRAP), shown])


def _check(tokenizer: Tokenizer) -> None:
    if not isinstance(tokenizer, Tokenizer):
        raise TypeError(
            f"tokenizer must be a Tokenizer, got {type(tokenizer).__name__}; "
            "a policy has one: policy.tokenizer"
        )
    if isinstance(tokenizer, ConcatenatedTokenizer):
        raise TypeError(
            "a ConcatenatedTokenizer writes several targets: explore one of its parts"
        )
    if (most := max(tokenizer.vocab_sizes)) > MOST_IDS:
        raise ValueError(
            f"a position has {most:,} legal ids, more than the {MOST_IDS:,} that a "
            "list can show: use a smaller base"
        )


def _tensor(z: float) -> torch.Tensor:
    return torch.tensor(z, dtype=torch.float64)


def _positions(tokenizer: Tokenizer) -> dict[str, list[str]]:
    """What stands at each position, and how its legal ids are spelled."""
    ids = [list(map(str, range(size))) for size in tokenizer.vocab_sizes]
    first, last = {}, {}
    if isinstance(tokenizer, ScientificTokenizer):
        most = tokenizer.max_exponent
        first = {"sign": ["+", "−"]}
        last = {"exponent": [f"{e:+d}" for e in range(-most, most + 1)]}
    elif isinstance(tokenizer, IEEETokenizer):
        first = {"sign": ["+", "−"], "exponent ±": ["+", "−"]}
        for i in range(1, tokenizer.num_exponent_digits + 1):
            first[f"exponent {i}"] = ids[-1]
    digits = ids[len(first) : len(ids) - len(last)]
    return first | {f"d{i}": spelled for i, spelled in enumerate(digits, 1)} | last


def _report(tokenizer: Tokenizer, z: float, written: list[int]) -> str:
    """The string of z, the string that is written, and each position's costs."""
    number, tokens = _tensor(z), torch.tensor(written)
    own = tokenizer.encode(number)
    value, other = tokenizer.decode(own).item(), tokenizer.decode(tokens).item()
    outside = f" Range {tokenizer.low:.6g} to {tokenizer.high:.6g}: it clips."
    rows = {}
    for k, (name, spelled) in enumerate(_positions(tokenizer).items()):
        changed = own.repeat(len(spelled), 1)
        changed[:, k] = torch.arange(len(changed))
        cost = (tokenizer.decode(changed) - value).abs()
        wrong = cost[torch.arange(len(cost)) != own[k]].tolist()
        rows[name] = {
            "should be": spelled[own[k]],
            "is": spelled[written[k]],
            "this change alone costs": cost[written[k]].item(),
            "any wrong token: at least": min(wrong, default=None),
            "at most": max(wrong, default=None),
        }
    return (
        f"<p>{z:.9g} is written <b>{tokenizer.to_strings(own)}</b> and reads "
        f"<b>{value:.9g}</b>: error {abs(value - z):.3g}."
        f"{outside if tokenizer.out_of_range(number) else ''}<br>"
        f"Now it says <b>{tokenizer.to_strings(tokens)}</b>, which reads "
        f"<b>{other:.9g}</b>. Wrong tokens: {(tokens != own).sum()} of {len(own)}. "
        f"Distance: {abs(other - value):.3g}.</p>{numbers_table(rows)}"
    )
