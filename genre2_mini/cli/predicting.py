"""What ``genre2-mini predict`` does: a table in, its predictions out, in parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import typer
from tqdm import tqdm

from genre2_mini.cli.options import aligned, check_folder
from genre2_mini.cli.scores import RunningScores, score_cells
from genre2_mini.cli.table_files import (
    check_suffix,
    column_names,
    count_rows,
    read_parts,
    write_parts,
)
from genre2_mini.regressor import DecodingRegressor

ROWS_AT_ONCE = 10_000


def predict_table(
    folder: Path,
    table: Path,
    out: Path,
    quantiles: Sequence[float] = (),
    interval: float | None = None,
) -> dict:
    """Predict every row of a table; memory holds 10,000 rows, whatever its size.

    Parameters
    ----------
    folder : a saved :class:`DecodingRegressor`.
    out : file of the predictions, one row for each row of ``table``.
    quantiles : levels in [0, 1], a column each.
    interval : coverage in (0, 1) of a central interval, columns ``low`` and ``high``.

    Returns
    -------
    What was done, as JSON types: see ``genre2-mini predict --json``.

    Raises
    ------
    ValueError : a column is missing or holds what the model cannot read, the model
        predicts no distribution, or ``out`` is ``table``.
    FileNotFoundError : the folder of ``out`` is missing.
    CheckpointError : there is no model.
    """
    check_output(table, out)
    regressor = DecodingRegressor.load(folder)
    targets, ignored = check_columns(regressor, table)
    levels, names = levels_and_names(quantiles, interval)
    columns = output_columns(names, regressor.target_names_)
    scores = {name: RunningScores() for name in targets}
    features, rows = list(regressor.schema_.columns), 0
    parts = read_parts(
        table, [*features, *targets], regressor.schema_.categories, ROWS_AT_ONCE
    )
    bar = tqdm(total=count_rows(table), unit=" rows", disable=None)
    with bar, write_parts(out, columns) as append:
        for part in parts:
            if part.empty:
                continue
            values = estimates(regressor, part[features], levels)
            append(pd.DataFrame(values.reshape(len(part), -1), columns=columns))
            for name in targets:
                d = regressor.target_names_.index(name)
                y = pd.to_numeric(part[name], errors="coerce").to_numpy(float)
                scores[name].add(values[:, d, 0], y)
            rows += len(part)
            bar.update(len(part))
    found = {name: running.result() for name, running in scores.items()}
    return {
        "rows": rows,
        "file": str(out),
        "columns": columns,
        "ignored": ignored,
        "scores": {name: result for name, result in found.items() if result},
    }


def check_output(table: Path, out: Path) -> None:
    """What can be known to be wrong with the files before any work."""
    check_suffix(table)
    check_suffix(out)
    check_folder(out)
    if out.resolve() == table.resolve():
        raise ValueError(f"--out {out} would replace the table: choose another file")


def check_columns(
    regressor: DecodingRegressor, table: Path
) -> tuple[list[str], list[str]]:
    """Which of the model's targets a table has, and which columns nobody asks for.

    Raises
    ------
    ValueError : a feature is missing.
    """
    present, features = column_names(table), regressor.schema_.columns
    if missing := [name for name in features if name not in present]:
        raise ValueError(f"{table} lacks columns of the model: {', '.join(missing)}")
    targets = [name for name in regressor.target_names_ if name in present]
    ignored = [name for name in present if name not in (*features, *targets)]
    if ignored:
        typer.echo(f"ignored columns: {', '.join(ignored)}", err=True)
    return targets, ignored


def levels_and_names(
    quantiles: Sequence[float], interval: float | None
) -> tuple[list[float], list[str]]:
    """Levels of all quantiles, and the names of the prediction and of each quantile."""
    levels, names = list(quantiles), ["prediction", *(f"q{q}" for q in quantiles)]
    if interval is not None:
        levels += [(1 - interval) / 2, (1 + interval) / 2]
        names += ["low", "high"]
    return levels, names


def output_columns(names: list[str], targets: list[str]) -> list[str]:
    """The names, for each of several targets with its own name behind."""
    if len(targets) == 1:
        return names
    return [f"{name}_{target}" for target in targets for name in names]


def estimates(
    regressor: DecodingRegressor, features: pd.DataFrame, levels: list[float]
) -> np.ndarray:
    """Prediction and Q quantiles of every target: (N, D, 1 + Q)."""
    shape = len(features), -1, len(regressor.target_names_)
    if levels:
        found = regressor.predict_with_quantiles(features, levels)
    else:
        found = [regressor.predict(features)]
    parts = [part.reshape(shape) for part in found]
    return np.concatenate(parts, axis=1).swapaxes(1, 2)


def predict_report(result: dict) -> str:
    """The same for a reader."""
    lines = [f"{result['rows']:,} predictions in {result['file']}"]
    if result["scores"]:
        body = [
            [name, scores["rows"], *score_cells(scores)]
            for name, scores in result["scores"].items()
        ]
        lines += ["", aligned([["Target", "rows", "R²", "RMSE", "MAE"], *body])]
    return "\n".join(lines)
