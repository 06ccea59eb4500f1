"""What the study of code metrics prints: errors by cell, and the gap to its rival."""

from __future__ import annotations

import pandas as pd

from genre2_mini.experiments.statistics import paired_differences
from genre2_mini.experiments.study_report import interval_text

AGGREGATOR, RIVAL = "median128", "ridge"
TWO_DIGITS = {"float_format": "%.2f", "na_rep": ""}


def code_report(table: pd.DataFrame) -> str:
    """RMSE, Spearman's ρ and seconds of every method; RMSE minus that of ridge.

    All of the median of 128 strings, on the logarithm's scale. The gaps need two seeds
    or more. A method with a run that diverged in a cell has no gap there.
    """
    table = table[(table["aggregator"] == AGGREGATOR) | table["aggregator"].isna()]
    strings = table["tokens"] != "log"
    names = table["method"].where(~strings, table["method"] + ", " + table["tokens"])
    table = table.assign(method=names)
    errors, ranks = by_cell(table, "rmse"), by_cell(table, "spearman")
    ranks = ranks.assign(seconds=table.groupby("method")["seconds"].mean())
    parts = [
        f"Mean test RMSE (std. dev. of the log)\n{errors.to_string(**TWO_DIGITS)}",
        f"Mean Spearman's ρ, and seconds\n{ranks.to_string(**TWO_DIGITS)}",
    ]
    if RIVAL in set(table["method"]) and table["seed"].nunique() > 1:
        parts.append(
            f"RMSE minus that of {RIVAL}: mean over seeds, 95% bootstrap interval\n"
            f"{gaps(table).to_string()}"
        )
    return "\n\n".join(parts)


def by_cell(table: pd.DataFrame, score: str) -> pd.DataFrame:
    """Mean of a score over seeds (methods, cells); NaN where a method did not run."""
    found = table.pivot_table(score, "method", "task", "mean", sort=False)
    return found.reindex(table["method"].unique())


def gaps(table: pd.DataFrame) -> pd.DataFrame:
    """RMSE minus the rival's as text (methods, cells)."""
    columns = {}
    for cell, rows in table.groupby("task", sort=False):
        whole = rows.groupby("method")["rmse"].transform(lambda s: s.notna().all())
        found = paired_differences(rows[whole], RIVAL, "rmse").set_index("method")
        columns[cell] = found.apply(interval_text, axis=1)
    names = [name for name in table["method"].unique() if name != RIVAL]
    return pd.DataFrame(columns).reindex(names).fillna("")
