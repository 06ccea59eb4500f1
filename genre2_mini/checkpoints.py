"""Models on disk: one safetensors file, its JSON header, nothing unpickled.

A file holds the model's weights, the configuration that rebuilds it (tokenizer
included), the standardisation of its task, the versions that wrote it, and, while
training runs, the optimiser's state. It is written beside its final name and
renamed, so a reader meets the old file or the new one, never half of one.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

import genre2_mini
from genre2_mini.rebuilding import INVALID, CheckpointError, rebuild

FORMAT = "genre2_mini checkpoint 1"
STALE = 3600  # seconds; no write takes so long
HEADER = ("preprocessing", "training", "versions")  # beside the model's config


@dataclass
class Checkpoint:
    """What a file held.

    model : the rebuilt model, in evaluation mode.
    preprocessing : the task's standardisation (``TableSchema.to_dict``) or None.
    training : JSON state of an unfinished or finished run, or None.
    tensors : that run's tensors (current weights, optimiser moments).
    versions : package and library versions that wrote the file.
    """

    model: nn.Module
    preprocessing: dict | None = None
    training: dict | None = None
    tensors: dict[str, Tensor] = field(default_factory=dict)
    versions: dict = field(default_factory=dict)


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    *,
    weights: dict[str, Tensor] | None = None,
    preprocessing: dict | None = None,
    training: dict | None = None,
    tensors: dict[str, Tensor] | None = None,
) -> Path:
    """Write ``model`` (and a run's state) to ``path``, replacing it atomically.

    ``weights`` stand in for the model's own (a run saves its best ones).

    Raises
    ------
    OSError : the folder is missing, read-only or full; an older file stays as it was.
    """
    path = Path(path)
    weights = model.state_dict() if weights is None else weights
    stored = {f"model.{name}": value for name, value in weights.items()}
    stored |= {f"training.{name}": value for name, value in (tensors or {}).items()}
    # Own contiguous memory: safetensors refuses tensors that share storage.
    stored = {name: t.detach().cpu().clone() for name, t in stored.items()}
    header = {
        "config": model.config,
        "preprocessing": preprocessing,
        "training": training,
        "versions": {
            "genre2_mini": genre2_mini.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
    text = json.dumps(header, default=plain)
    metadata = {
        "format": FORMAT,
        "header": text,
        "sha256": _digest(text, stored),
    }
    write_atomically(path, save(stored, metadata))
    return path


def load_checkpoint(path: str | Path, device: str | torch.device = "cpu") -> Checkpoint:
    """Read, check and rebuild what :func:`save_checkpoint` wrote.

    Raises
    ------
    CheckpointError : the file is missing, truncated, not a checkpoint of this
        package, changed since it was written, does not fit its own configuration, or
        holds NaN.
    """
    metadata, stored = _read(Path(path))
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a checkpoint of this package: its format is "
            f"{metadata.get('format')!r}, expected {FORMAT!r}"
        )
    text = metadata.get("header", "")
    if metadata.get("sha256") != _digest(text, stored):
        raise CheckpointError(
            f"{path} was changed after it was written (sha256 differs): "
            "use another copy or train again"
        )
    try:
        header = json.loads(text)
        config, rest = header.pop("config"), {n: header.pop(n) for n in HEADER}
        if not all(isinstance(part, dict | None) for part in rest.values()):
            raise TypeError(f"{', '.join(HEADER)} must be objects or null")
        model = rebuild(config, _under("model.", stored))
        finite = all(tensor.isfinite().all() for tensor in stored.values())
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except INVALID as error:
        raise CheckpointError(f"{path}: incomplete header ({error!r})") from error
    if not finite:
        raise CheckpointError(f"{path} holds NaN or infinite weights: train again")
    tensors = _under("training.", stored)
    return Checkpoint(model.to(device).eval(), tensors=tensors, **rest)


def _under(prefix: str, stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start with ``prefix``, without it."""
    return {
        n.removeprefix(prefix): t for n, t in stored.items() if n.startswith(prefix)
    }


def _read(path: Path) -> tuple[dict, dict[str, Tensor]]:
    """Header metadata and tensors of a safetensors file, by one read: it may change."""
    try:
        data = path.read_bytes() if path.is_file() else None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error})") from error
    if data is None:
        raise CheckpointError(f"no checkpoint at {path}")
    try:
        tensors = load(data)
        end = 8 + int.from_bytes(data[:8], "little")
        return json.loads(data[8:end]).get("__metadata__") or {}, tensors
    except (SafetensorError, *INVALID) as error:
        raise CheckpointError(
            f"{path} is truncated or not a safetensors file ({error})"
        ) from error


def _digest(text: str, tensors: dict[str, Tensor]) -> str:
    """sha256 over the header and every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file beside ``path``, flush it to disk, then rename it over ``path``.

    What a killed process left beside it is removed once it is an hour old.
    """
    for stale in path.parent.glob(f".{escape(path.name)}.{'[0-9a-f]' * 32}"):
        with suppress(FileNotFoundError):  # another process was quicker
            if time.time() - stale.stat().st_mtime > STALE:
                stale.unlink()
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def plain(value: object) -> object:
    """A number of numpy as JSON can write it; TypeError for anything else."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no plain data")
