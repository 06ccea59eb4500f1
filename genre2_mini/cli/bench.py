"""``genre2-mini bench``: what this computer needs, in time and memory."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from genre2_mini.cli.options import Device, DeviceName, Threads, check_folder

bench = typer.Typer(no_args_is_help=True, help="Measure speed and memory here.")


class TokenizerName(StrEnum):
    """The tokenizers of the benchmark."""

    normalised = "normalised"
    scientific = "scientific"
    ieee = "ieee"


Json = Annotated[Path | None, typer.Option(help="File to write the results to.")]
Rounds = Annotated[
    int | None, typer.Option(min=1, help="Rounds to take medians of (default: 5).")
]
Rows = Annotated[
    int | None, typer.Option(min=1, help="Rows for the tree (default: 1024).")
]
Samples = Annotated[
    list[int] | None,
    typer.Option(min=1, help="Strings a row; repeatable (default: 1, 16, 128, 1024)."),
]
Tokenizers = Annotated[
    list[TokenizerName] | None, typer.Option(help="Repeatable (default: all three).")
]
RowCounts = Annotated[
    list[int] | None,
    typer.Option(
        "--rows",
        min=1,
        help="Rows in a call; repeatable (default: 100, 1000, 10000, 100000).",
    ),
]
Quick = Annotated[
    bool, typer.Option("--quick", help="A few seconds, to see whether it works.")
]


@bench.callback()
def measurements() -> None:
    """Measure speed and memory here."""


@bench.command()
def rollouts(
    json: Json = None,
    rounds: Rounds = None,
    rows: Rows = None,
    samples: Samples = None,
    tokenizer: Tokenizers = None,
    device: Device = DeviceName.auto,
    threads: Threads = None,
    quick: Quick = False,
) -> None:
    """Time three samplers, without cache, with cache and as a tree, and ReMax steps."""
    if json:
        check_folder(json)
    from genre2_mini.experiments.rollout_benchmark import run, tables
    from genre2_mini.experiments.rollout_measurements import QUICK, Settings
    from genre2_mini.experiments.timing import save_json

    options = {
        "rounds": rounds,
        "rows": rows,
        "samples": tuple(samples or ()),
        "tokenizers": tuple(name.value for name in tokenizer or ()),
        "device": device.value,
        "threads": threads,
    }
    given = {name: value for name, value in options.items() if value}
    results = run(Settings(**((QUICK if quick else {}) | given)))
    typer.echo(tables(results))
    if json:
        save_json(results, json)


@bench.command()
def predict(
    json: Json = None,
    rounds: Rounds = None,
    rows: RowCounts = None,
    threads: Threads = None,
    quick: Quick = False,
) -> None:
    """Time predictions of a policy, of heads and of boosted trees on the CPU."""
    if json:
        check_folder(json)
    from genre2_mini.experiments.predict_benchmark import QUICK, Settings, run, tables
    from genre2_mini.experiments.timing import save_json

    options = {"rounds": rounds, "rows": tuple(rows or ()), "threads": threads}
    given = {name: value for name, value in options.items() if value}
    results = run(Settings(**((QUICK if quick else {}) | given)))
    typer.echo(tables(results))
    if json:
        save_json(results, json)
