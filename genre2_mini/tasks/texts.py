"""Texts as inputs and positive numbers of any size as targets."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from genre2_mini.tasks.columns import mean_and_std, target_values

SEAM = b"\0"  # where the middle of a long text was cut out; no text holds it
VOCAB_SIZE = 257  # padding 0, then each byte plus one


def cut_text(text: str, length: int) -> bytes:
    """A text as UTF-8, at most `length` bytes: the middle of a longer one is cut out.

    A quarter stays of the beginning, where a program says what it does, and the rest of
    the end, where its last lines and the call are. A zero byte marks the seam.
    """
    data = text.encode()
    if len(data) <= length:
        return data
    head = (length - 1) // 4
    tail = length - 1 - head
    return data[:head] + SEAM + data[len(data) - tail :]


def encode_texts(texts: Sequence[str], length: int) -> Tensor:
    """Texts (N) -> ids (N, length), int64: each byte plus one, then zeros.

    Raises ValueError for a `length` below 8, or an empty text.
    """
    if length < 8:
        raise ValueError(f"length={length}: a text keeps at least 8 bytes")
    ids = np.zeros((len(texts), length), dtype=np.int64)
    for row, text in zip(ids, texts, strict=True):
        if not text:
            raise ValueError("an empty text has nothing to read")
        data = np.frombuffer(cut_text(text, length), dtype=np.uint8)
        row[: len(data)] = data.astype(np.int64) + 1
    return torch.from_numpy(ids)


def count_long(texts: Sequence[str], length: int) -> int:
    """How many texts are longer than `length` bytes, and cut by `encode_texts`."""
    return sum(len(text.encode()) > length for text in texts)


@dataclass(frozen=True)
class TextSchema:
    """How texts become ids and targets y > 0 become z, by the training targets alone.

    Parameters
    ----------
    length : bytes of a text that are kept.
    scale : ``log``: z = (log₁₀ y − log_mean)/log_std. ``raw``: z is y itself, for
        tokenizers that write numbers of any size.
    log_mean, log_std : mean and population standard deviation of log₁₀ y in training.
    """

    length: int
    scale: str
    log_mean: float
    log_std: float

    @classmethod
    def fit(cls, y, length: int, scale: str = "log") -> "TextSchema":
        """Learn from training targets y (N,).

        Raises ValueError for another `scale` and for targets that are not positive,
        missing, infinite or all equal.
        """
        if scale not in ("log", "raw"):
            raise ValueError(f"scale={scale!r} must be 'log' or 'raw'")
        mean, std = mean_and_std(_log(y), "the logarithm of the target")
        if std == 0:
            raise ValueError("the target is constant: there is nothing to learn")
        return cls(length, scale, mean, std)

    @property
    def num_features(self) -> int:
        """Width of x: the length."""
        return self.length

    def transform(self, texts: Sequence[str]) -> Tensor:
        """Texts (N) -> ids (N, length), as :func:`encode_texts`."""
        return encode_texts(texts, self.length)

    def standardise(self, y) -> Tensor:
        """Targets y (N,) in their own unit -> z, float64 (N,)."""
        log = torch.from_numpy(_log(y))  # checks y
        if self.scale == "raw":
            return torch.from_numpy(target_values(y))
        return (log - self.log_mean) / self.log_std

    def unstandardise(self, z):
        """z, tensor or array of any shape -> y in the target's own unit."""
        return z if self.scale == "raw" else 10 ** (z * self.log_std + self.log_mean)

    def to_log(self, z: Tensor) -> Tensor:
        """z of either scale -> standardised log targets, where scores can be compared.

        A raw z below 1, the smallest count, counts as 1.
        """
        if self.scale == "log":
            return z
        return (z.clamp(min=1).log10() - self.log_mean) / self.log_std

    def to_dict(self) -> dict:
        """Plain JSON types; `from_dict` gives an equal schema back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict) -> "TextSchema":
        """Inverse of `to_dict`; ValueError when a field is missing or unknown."""
        expected = set(cls.__dataclass_fields__)
        if set(fields) != expected:
            raise ValueError(f"a schema has fields {sorted(expected)}, got {fields!r}")
        return cls(**fields)


def _log(y) -> np.ndarray:
    values = target_values(y)
    if not (values > 0).all():
        raise ValueError(
            f"the target has {(~(values > 0)).sum()} values that are not positive: "
            "they have no logarithm"
        )
    return np.log10(values)
