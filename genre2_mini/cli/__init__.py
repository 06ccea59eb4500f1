"""The command ``genre2-mini``. What a command needs is imported when it runs."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from genre2_mini import __version__
from genre2_mini.cli.bench import bench
from genre2_mini.cli.model import FIT_EXAMPLE, PREDICT_EXAMPLE, fit, predict
from genre2_mini.cli.options import Interrupted
from genre2_mini.cli.reproduce import reproduce
from genre2_mini.cli.tasks import tasks

INTERRUPTED = 130
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Decoding-based regression with reinforcement learning.",
)
app.add_typer(tasks, name="tasks")
app.command(epilog=FIT_EXAMPLE)(fit)
app.command(epilog=PREDICT_EXAMPLE)(predict)
app.add_typer(bench, name="bench")
app.add_typer(reproduce, name="reproduce")


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


def show_warning(message: Warning | str, *place: object) -> None:
    """One line on stderr, without the place in the code."""
    typer.echo(f"warning: {' '.join(str(message).split())}", err=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command. An error is one line and exit code 1, Ctrl-C is 130."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            app(arguments, prog_name="genre2-mini")
    except Interrupted as stop:
        typer.echo(f"interrupted: {stop}", err=True)
        raise SystemExit(INTERRUPTED) from None
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
