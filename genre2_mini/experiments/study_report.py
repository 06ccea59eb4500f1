"""What a study's command prints: means, and the differences to cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from genre2_mini.experiments.statistics import overall_differences

BASELINE = "ce"


def interval_text(found: Mapping[str, float]) -> str:
    """A row of differences as "mean [low, high]", with signs and three decimals."""
    return "{mean:+.3f} [{low:+.3f}, {high:+.3f}]".format_map(found)


def study_report(table: pd.DataFrame) -> str:
    """R² of every method and aggregator over tasks and seeds; below, gains over CE.

    The gains need two seeds or more. Of a method with a run that diverged there is no
    mean to compare: it is named and left out.
    """
    if "setting" in table:  # each is a method of its own to compare
        text = table["method"] + ", " + table["setting"]
        table = table.assign(method=text.str.removesuffix(", none"))
    diverged = list(table.loc[table["r2"].isna(), "method"].unique())
    table = table[~table["method"].isin(diverged)]
    title = "Mean test R² over tasks and seeds"
    parts = [f"{title}\n{means(table).to_string(float_format='{:.3f}'.format)}"]
    if diverged:
        parts.append(f"Diverged in some run, left out: {', '.join(diverged)}")
    methods = table["method"].unique()
    if BASELINE in methods and len(methods) > 1 and table["seed"].nunique() > 1:
        parts.append(
            "R² minus that of cross-entropy: mean over tasks, 95% bootstrap interval, "
            f"tasks won and lost\n{gains(table).to_string()}"
        )
    return "\n\n".join(parts)


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean R² (methods, aggregators) and mean seconds of training."""
    by_method = table.groupby(["method", "aggregator"], sort=False)
    found = by_method["r2"].mean().unstack()
    found = found.reindex(
        index=table["method"].unique(), columns=table["aggregator"].unique()
    )
    return found.assign(seconds=table.groupby("method")["seconds"].mean())


def gains(table: pd.DataFrame) -> pd.DataFrame:
    """Differences to cross-entropy as text (methods, aggregators)."""
    overall = overall_differences(table, BASELINE)
    text = overall.apply(interval_text, axis=1)
    alone = overall["low"].isna()  # one task has no interval
    text = text.mask(alone, overall["mean"].map("{:+.3f}".format))
    score = overall["wins"].astype(str) + ":" + overall["losses"].astype(str)
    wide = overall.assign(text=text + " " + score)
    wide = wide.pivot(index="method", columns="aggregator", values="text")
    return wide.reindex(
        index=overall["method"].unique(), columns=overall["aggregator"].unique()
    )
