"""A folder of finished runs, named by their settings: written at once or not at all.

``runs/KEY.json`` is the record of a run, ``weights/KEY.safetensors`` the weights that
others start from. Any number of studies may share a folder, also at the same time: a
run that two of them need is done once, or twice with the same result.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load

from genre2_mini.checkpoints import write_atomically
from genre2_mini.experiments.specs import RunSpec

PACKAGES = ("genre2-mini", "torch", "numpy", "scikit-learn")


class RunFolder:
    """Records and weights of finished runs.

    Parameters
    ----------
    path : made if it is not there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        for name in ("runs", "weights"):
            (self.path / name).mkdir(parents=True, exist_ok=True)

    def record(self, spec: RunSpec) -> dict | None:
        """The record of a run; None if it has none that can be used.

        A damaged record is named in a warning, and its run counts as missing.
        """
        path = self.record_path(spec)
        if not path.is_file():
            return None
        try:
            record = json.loads(path.read_text("utf-8"))
            fits = record["settings"] == spec.settings
        except (ValueError, KeyError, TypeError):
            fits = False
        if not fits:
            warnings.warn(f"{path} is damaged: its run is done again", stacklevel=2)
            return None
        promised = spec.keep_weights and "failed" not in record
        if promised and self.weights(spec.key) is None:
            return None
        return record

    def weights(self, key: str) -> bytes | None:
        """Weights of a run as safetensors; None if they are missing or damaged."""
        path = self.path / "weights" / f"{key}.safetensors"
        try:
            data = path.read_bytes()
            load(data)
        except (OSError, SafetensorError):
            return None
        return data

    def save(self, spec: RunSpec, record: dict, weights: bytes | None) -> dict:
        """Write a finished run; returns its record with settings and versions."""
        record = {"settings": spec.settings, **record, "versions": self.versions}
        if weights is not None:  # first: a record promises them
            path = self.path / "weights" / f"{spec.key}.safetensors"
            write_atomically(path, weights)
        text = json.dumps(record, indent=1, allow_nan=True) + "\n"
        write_atomically(self.record_path(spec), text.encode())
        return record

    def record_path(self, spec: RunSpec) -> Path:
        """Where a run's record is or will be."""
        return self.path / "runs" / f"{spec.key}.json"

    @cached_property
    def versions(self) -> dict[str, str | None]:
        """Versions of Python and of what computes, and the commit if there is one."""
        found = {"python": sys.version.split()[0]}
        found |= {package: version(package) for package in PACKAGES}
        return found | {"commit": commit()}


def commit() -> str | None:
    """The checked-out commit that the package is from; None outside a checkout."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
