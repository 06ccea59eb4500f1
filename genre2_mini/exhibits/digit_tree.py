"""A trained policy in the page: drag x and the training stage, watch the digit tree."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

from IPython.display import HTML
from safetensors import safe_open

from genre2_mini.exhibits.fragment import fragment
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rebuilding import rebuild

POLICIES = Path(__file__).with_name("digit_tree_policies.safetensors")


def digit_tree_explorer() -> HTML:
    """The digit tree of a small policy, live: its weights and its network in the page.

    The reader sets x, the stage of the training and the true z. The numbers are those
    of :func:`digit_tree_policy`; the element's ``data-probabilities``, ``data-mean``,
    ``data-median``, ``data-mode``, ``data-entropy`` and ``data-reward`` hold them.
    """
    return fragment(
        "digit_tree",
        "tokenizers.js",
        "drawing.js",
        "policy.js",
        "digit_tree_plots.js",
        "digit_tree.js",
        POLICIES=b64encode(POLICIES.read_bytes()).decode(),
    )


def digit_tree_stages(path: Path | None = None) -> list[str]:
    """Names of the explorer's training stages, in their order."""
    with safe_open(path or POLICIES, "pt") as file:
        return json.loads(file.metadata()["header"])["stages"]


def digit_tree_policy(stage: int, path: Path | None = None) -> DecodingPolicy:
    """The explorer's policy of a stage, as the package has it.

    It reads x standardised, as ``fork_task().schema`` of
    ``genre2_mini.experiments.digit_tree_policies`` transforms it.

    Raises
    ------
    IndexError : there is no such stage.
    """
    last = len(digit_tree_stages(path)) - 1
    if not 0 <= stage <= last:
        raise IndexError(f"stage={stage} is not one of 0 … {last}")
    with safe_open(path or POLICIES, "pt") as file:
        config = json.loads(file.metadata()["header"])["config"]
        names = set(file.keys()) - {"dots"}
        weights = {name: file.get_tensor(name)[stage] for name in names}
    return rebuild(config, weights).eval()
