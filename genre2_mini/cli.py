"""The command ``genre2-mini``. What a command needs is imported when it runs."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from genre2_mini import __version__

INTERRUPTED = 130
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Decoding-based regression with reinforcement learning.",
)
bench = typer.Typer(no_args_is_help=True, help="Measure speed and memory here.")
app.add_typer(bench, name="bench")


class TokenizerName(StrEnum):
    """The tokenizers of the benchmark."""

    normalised = "normalised"
    scientific = "scientific"
    ieee = "ieee"


class DeviceName(StrEnum):
    """Where to compute; auto is the GPU if there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(f"genre2-mini {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error came from.")
    ] = False,
) -> None:
    """Decoding-based regression with reinforcement learning."""


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
Device = Annotated[DeviceName, typer.Option(help="Where to compute.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads (default: PyTorch's choice).")
]
Quick = Annotated[
    bool, typer.Option("--quick", help="A few seconds, to see whether it works.")
]


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
    if json and not json.absolute().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {json.absolute().parent}")
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


def main(arguments: list[str] | None = None) -> None:
    """Run the command. An error is one line and exit code 1, Ctrl-C is 130."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        app(arguments, prog_name="genre2-mini")
    except SystemExit as end:
        if end.code == INTERRUPTED:
            typer.echo("interrupted", err=True)
        raise
    except Exception as error:
        if "--debug" in arguments:
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        typer.echo(f"error: {message}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
