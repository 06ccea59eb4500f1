"""Recorded results: a CSV a study in ``data/results``, made again by its command."""

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
    path = folder / f"{name}.csv"
    if not path.is_file():
        known = sorted(file.stem for file in folder.glob("*.csv"))
        raise FileNotFoundError(f"no results named {name!r}; recorded: {known}")
    return pd.read_csv(path)


def save_results(rows: pd.DataFrame, path: Path) -> None:
    """Write rows with five significant digits, enough for any table of the book."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.to_csv(path, index=False, float_format="%.5g")
