"""Recorded results: CSV files in ``data/results``, made again by their commands."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from genre2_mini.tasks.cards import data_folder


def load_results(name: str) -> pd.DataFrame:
    """The rows that the study ``name`` recorded.

    Raises
    ------
    FileNotFoundError : nothing was recorded under that name; names the ones that were.
    """
    folder = data_folder() / "results"
    files = {path.name.split(".")[0]: path for path in folder.glob("*.csv*")}
    if name not in files:
        known = sorted(files)
        raise FileNotFoundError(f"no results named {name!r}; recorded: {known}")
    return pd.read_csv(files[name])


def save_results(rows: pd.DataFrame, path: Path) -> None:
    """Write rows with five significant digits, enough for any table of the book.

    A ``path`` that ends in .gz is compressed, the same rows to the same bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = {"method": "gzip", "mtime": 0} if path.suffix == ".gz" else None
    rows.to_csv(path, index=False, float_format="%.5g", compression=packed)


def record(rows: pd.DataFrame, name: str, out: Path | None = None) -> None:
    """Save a study's rows to ``out``, by default as what ``load_results(name)`` loads.

    Says on standard output how many were written, and where.
    """
    path = out or data_folder() / "results" / f"{name}.csv"
    save_results(rows, path)
    print(f"{len(rows)} rows written to {path}")
