"""A run as plain data: everything its result depends on, and a name made from that."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace


@dataclass(frozen=True)
class RunSpec:
    """One training run of a study. Two equal specs are the same run, in any study.

    Attributes
    ----------
    task, max_rows : the table, and how many of its rows at most, split 64/16/20; of
        programs such as ``stdlib-ops-random-log`` (``programs``).
    method : a key of ``METHODS``, of ``RIVALS``, trees with a grid of their own, or of
        ``TEXT_RIVALS``.
    seed : split, initial weights, batches and rollouts.
    steps, validate_every, learning_rate, batch_size : the training.
    start : key of the run whose weights this one starts from; None is from scratch.
    keep_weights : whether other runs start from this one.
    train_rows : of the training rows, use only the first so many; None uses all.
    tokenizer : config of an unfitted tokenizer; None is 8 binary digits.
    model : further arguments of ``build_model``, such as ``{"periodic": True}``.
    objective : arguments of the method's objective; ``reward`` is a name.
    device : ``"cpu"`` or ``"cuda"``.
    member : which of several networks on one split: 0 is the one that None trains, the
        others begin elsewhere. The record has their answers to the test rows.
    detail : whether the record describes the predictive distributions, at every
        validation and of the chosen weights (``distribution_detail``).
    """

    task: str
    method: str
    max_rows: int | None
    steps: int
    validate_every: int = 50
    learning_rate: float = 3e-4
    batch_size: int = 128
    seed: int = 0
    train_rows: int | None = None
    start: str | None = None
    keep_weights: bool = False
    tokenizer: dict | None = None
    model: dict = field(default_factory=dict)
    objective: dict = field(default_factory=dict)
    device: str = "cpu"
    member: int | None = None
    detail: bool = False

    @property
    def settings(self) -> dict:
        """JSON types of the fields that are set.

        What is unset is left out, so a new kind of setting renames no old run.
        """
        unset = "null", "false", "{}"
        fields = {n: v for n, v in asdict(self).items() if json.dumps(v) not in unset}
        return json.loads(json.dumps(fields))

    @property
    def network_seed(self) -> int:
        """Of initial weights, batches and rollouts; the split has ``seed``."""
        return self.seed + 1000 * (self.member or 0)

    @property
    def key(self) -> str:
        """20 hex digits of a sha256 over all settings."""
        text = json.dumps(self.settings, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    def __str__(self) -> str:
        return f"{self.method} on {self.task}, seed {self.seed} ({self.key})"

    def but(self, **changes: object) -> RunSpec:
        """The same run with other settings."""
        return replace(self, **changes)
