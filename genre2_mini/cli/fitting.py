"""What ``genre2-mini fit`` does: a table in, a saved model and its scores out."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd

from genre2_mini.checkpoints import write_atomically
from genre2_mini.cli.options import Interrupted, aligned
from genre2_mini.cli.scores import RunningScores, score_cells
from genre2_mini.cli.table_files import check_suffix, read_table
from genre2_mini.methods import find_method
from genre2_mini.regressor import DecodingRegressor
from genre2_mini.saved_regressors import FILE
from genre2_mini.tasks.columns import target_values
from genre2_mini.tasks.table import shuffled_rows

TRAINING = ".training"  # in the model's folder, until the training is finished


def fit_table(
    table: Path,
    targets: list[str],
    out: Path,
    *,
    seed: int,
    max_rows: int | None,
    test_fraction: float,
    overwrite: bool,
    device: str,
    **params,
) -> dict:
    """Train on a part of a table, save the model, score it on the rest.

    Parameters
    ----------
    targets : columns to predict; all others are features.
    out : the model's folder. An interrupted run left its state in ``.training`` there,
        and goes on from it.
    test_fraction : share of the rows, chosen by ``seed``, that training never sees.
    params : of :class:`DecodingRegressor`.

    Returns
    -------
    What was done, as JSON types: see ``genre2-mini fit --json``.

    Raises
    ------
    FileExistsError : there is a model, and ``overwrite`` is false.
    Interrupted : Ctrl-C during training.
    ValueError : no such method or column, or a table that cannot be learnt from.
    """
    find_method(params["method"])  # before the table is read
    check_suffix(table)
    check_free(out, overwrite)
    settings = {"targets": targets, "seed": seed, "max_rows": max_rows}
    settings |= {"test_fraction": test_fraction} | params
    check_same_run(out / TRAINING, settings)
    features, target = split_columns(read_table(table), targets, table)
    train, test = split_rows(len(features), seed, max_rows, test_fraction)
    regressor = DecodingRegressor(
        **params,
        device=device,
        checkpoint=out / TRAINING,
        random_state=seed,
        verbose=1,
    )
    fit_and_save(regressor, features.iloc[train], target.iloc[train], out)
    y = target.to_numpy(dtype=float).reshape(len(target), -1)
    return settings | {
        "table": str(table),
        "rows": {"train": len(train), "test": len(test)},
        "columns": {
            "numeric": list(regressor.schema_.numeric),
            "categorical": list(regressor.schema_.categories),
        },
        "clipped_targets": regressor.clipped_targets_,
        "scores": score(regressor, features.iloc[test], y[test], y[train].mean(axis=0)),
        "model": str(out),
        "predict": f"genre2-mini predict {shlex.quote(str(out))} "
        f"{shlex.quote(str(table))} --out predictions.csv",
    }


def fit_and_save(
    regressor: DecodingRegressor,
    features: pd.DataFrame,
    target: pd.Series | pd.DataFrame,
    out: Path,
) -> None:
    """Train and save; then the training's state is needed no more."""
    try:
        regressor.fit(features, target)
        regressor.set_params(checkpoint=None, verbose=0).save(out)
    except KeyboardInterrupt:
        raise Interrupted("the same command goes on from there") from None
    shutil.rmtree(out / TRAINING)


def check_free(out: Path, overwrite: bool) -> None:
    """FileExistsError where an earlier model would be lost."""
    if (out / FILE).exists() and not overwrite:
        raise FileExistsError(
            f"there is a model in {out}: replace it with --overwrite, or choose "
            "another --out"
        )


def check_same_run(folder: Path, settings: dict) -> None:
    """Keep a run's settings in ``folder``; ValueError if another run's state is there.

    The training itself compares only what it needs to go on, not its length.
    """
    path = folder / "settings.json"
    if (folder / "stage1.safetensors").exists() and path.exists():
        earlier = json.loads(path.read_text("utf-8"))
        if differing := [n for n in settings if earlier.get(n) != settings[n]]:
            raise ValueError(
                f"{folder} holds an interrupted run that differs in "
                f"{', '.join(differing)}: repeat its command, or delete that folder"
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(settings).encode())


def split_columns(
    frame: pd.DataFrame, targets: list[str], table: Path
) -> tuple[pd.DataFrame, pd.Series | pd.DataFrame]:
    """Features, and one target or a table of several, all of them numbers.

    Raises
    ------
    ValueError : no such column, a target named twice, text or gaps in a target.
    """
    if len(set(targets)) < len(targets):
        raise ValueError(f"a target is named twice: {targets}")
    for name in targets:
        if name not in frame.columns:
            close = get_close_matches(name, frame.columns, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(
                f"{table} has no column {name!r}.{hint} Columns: "
                f"{', '.join(frame.columns)}"
            )
    features = frame.drop(columns=targets)
    if features.columns.empty:
        raise ValueError(f"{table} has no column beside the target to learn from")
    target = frame[targets[0]] if len(targets) == 1 else frame[targets]
    target_values(target)  # counts offending rows over the whole table
    return features, target


def split_rows(
    num_rows: int, seed: int, max_rows: int | None, test_fraction: float
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train on and to test on: by ``seed``, as ``load_task`` does."""
    rows = shuffled_rows(num_rows, seed, max_rows)
    num_test = math.ceil(test_fraction * len(rows))
    train, test = np.split(rows, [len(rows) - num_test])
    return train, test


def score(
    regressor: DecodingRegressor,
    features: pd.DataFrame,
    y: np.ndarray,
    mean: np.ndarray,
) -> dict[str, dict] | None:
    """Scores of the model and of the training ``mean`` (D,) for targets y (N, D)."""
    if not len(y):
        return None
    prediction = regressor.predict(features).reshape(y.shape)
    return {
        name: {
            "model": RunningScores().add(prediction[:, d], y[:, d]).result(),
            "mean": RunningScores().add(np.full(len(y), mean[d]), y[:, d]).result(),
        }
        for d, name in enumerate(regressor.target_names_)
    }


def fit_report(result: dict) -> str:
    """The same for a reader."""
    rows, columns = result["rows"], result["columns"]
    numeric, categorical = len(columns["numeric"]), len(columns["categorical"])
    method = find_method(result["method"])
    facts = [
        f"Rows     {rows['train']:,} to learn from, {rows['test']:,} held out",
        f"Columns  {numeric} numeric, {categorical} categorical",
        f"Method   {method.label} ({result['method']})",
        f"Model    {result['model']}",
    ]
    if result["scores"] is None:
        scores = "No rows were held out: there is no score."
    else:
        body = [
            [name, label, *score_cells(scores[key])]
            for name, scores in result["scores"].items()
            for key, label in (("model", method.label), ("mean", "training mean"))
        ]
        header = ["Held-out rows", "prediction", "R²", "RMSE", "MAE"]
        scores = aligned([header, *body])
    return "\n".join([*facts, "", scores, "", f"Next: {result['predict']}"])
