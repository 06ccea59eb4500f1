"""``genre2-mini fit`` and ``genre2-mini predict``: a model of your own table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genre2_mini.cli.options import AsJson, Device, DeviceName, Threads, as_json

KINDS = "a .csv, .csv.gz or .parquet file"
FIT_EXAMPLE = "Example: genre2-mini fit houses.csv --target price --out model/"
PREDICT_EXAMPLE = (
    "Example: genre2-mini predict model/ new.csv --out predictions.csv --interval 0.9"
)
Table = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help=f"The table: {KINDS}.")
]
Targets = Annotated[
    list[str], typer.Option("--target", help="Column to predict; repeatable.")
]
ModelOut = Annotated[
    Path, typer.Option("--out", file_okay=False, help="Folder for the model.")
]
Method = Annotated[
    str,
    typer.Option(
        help="What to train: genre2, remax, reinforce, rloo, grpo, dr_grpo, ppo, "
        "crps, exact, expert, ce, ntl_mse, ntl_was, dist2, histogram or pointwise."
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, max=2**32 - 1, help="Seed of split, weights and batches.")
]
CeSteps = Annotated[int, typer.Option(min=0, help="Batches of cross-entropy.")]
RlSteps = Annotated[int, typer.Option(min=0, help="Batches of the method after it.")]
LearningRate = Annotated[
    float, typer.Option(min=0, help="Step size of AdamW, from scratch.")
]
RlLearningRate = Annotated[
    float, typer.Option(min=0, help="Step size of a method after cross-entropy.")
]
Periodic = Annotated[
    bool, typer.Option(help="Read numeric columns through learned waves, too.")
]
MaxRows = Annotated[
    int | None, typer.Option(min=5, help="Use a random subset of so many rows.")
]


def check_fraction(fraction: float) -> float:
    """Refuse to hold out every row."""
    if not 0 <= fraction < 1:
        raise typer.BadParameter(f"{fraction} must be at least 0 and less than 1")
    return fraction


TestFraction = Annotated[
    float,
    typer.Option(
        callback=check_fraction, help="Share of the rows to score on, never trained on."
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a model that is in the folder.")
]


def fit(
    table: Table,
    target: Targets,
    out: ModelOut,
    method: Method = "genre2",
    seed: Seed = 0,
    ce_steps: CeSteps = 1000,
    rl_steps: RlSteps = 300,
    learning_rate: LearningRate = 1e-3,
    rl_learning_rate: RlLearningRate = 3e-4,
    periodic: Periodic = True,
    max_rows: MaxRows = None,
    test_fraction: TestFraction = 0.2,
    device: Device = DeviceName.auto,
    threads: Threads = None,
    overwrite: Overwrite = False,
    json: AsJson = False,
) -> None:
    """Learn to predict a column of a table, and save the model in a folder.

    All other columns are features: numbers, text, gaps. Some rows are held out and
    scored at the end. After Ctrl-C, or a crash, the same command goes on from the
    last validation.
    """
    from genre2_mini.cli.fitting import fit_report, fit_table

    set_threads(threads)
    result = fit_table(
        table,
        target,
        out,
        seed=seed,
        max_rows=max_rows,
        test_fraction=test_fraction,
        overwrite=overwrite,
        device=device.value,
        method=method,
        ce_steps=ce_steps,
        rl_steps=rl_steps,
        learning_rate=learning_rate,
        rl_learning_rate=rl_learning_rate,
        periodic=periodic,
    )
    typer.echo(as_json(result) if json else fit_report(result))


def set_threads(threads: int | None) -> None:
    """Let PyTorch use so many CPU threads; None leaves it as it is."""
    if threads:
        import torch

        torch.set_num_threads(threads)


def check_levels(text: str | None) -> str | None:
    """Refuse quantiles that are no numbers from 0 to 1, or given twice."""
    try:
        parsed = parse_levels(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} must look like 0.1,0.5,0.9") from None
    if len(set(parsed)) < len(parsed) or not all(0 <= q <= 1 for q in parsed):
        raise typer.BadParameter(f"{text!r} must be different numbers from 0 to 1")
    return text


def parse_levels(text: str | None) -> list[float]:
    """``"0.1,0.5"`` as numbers; None is none."""
    return [float(word) for word in text.split(",")] if text else []


def check_coverage(coverage: float | None) -> float | None:
    """Refuse a coverage that no interval has."""
    if coverage is not None and not 0 < coverage < 1:
        raise typer.BadParameter(f"{coverage} must lie between 0 and 1")
    return coverage


Model = Annotated[
    Path, typer.Argument(exists=True, file_okay=False, help="The folder fit wrote.")
]
PredictionsOut = Annotated[
    Path, typer.Option("--out", dir_okay=False, help=f"The predictions: {KINDS}.")
]
Quantiles = Annotated[
    str | None,
    typer.Option(callback=check_levels, help="Quantiles to add, such as 0.1,0.5,0.9."),
]
Interval = Annotated[
    float | None,
    typer.Option(callback=check_coverage, help="Coverage of an interval to add: 0.9."),
]


def predict(
    model: Model,
    table: Table,
    out: PredictionsOut,
    quantiles: Quantiles = None,
    interval: Interval = None,
    threads: Threads = None,
    json: AsJson = False,
) -> None:
    """Predict every row of a table, in its order.

    Columns are found by name; those the model does not know are ignored. A column of
    targets is used to score the predictions. A table of any size fits: it is read and
    written some rows at a time.
    """
    from genre2_mini.cli.predicting import predict_report, predict_table

    set_threads(threads)
    result = predict_table(model, table, out, parse_levels(quantiles), interval)
    typer.echo(as_json(result) if json else predict_report(result))
