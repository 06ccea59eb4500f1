"""``genre2-mini reproduce``: one command a study."""

from __future__ import annotations

from typing import Annotated

import typer

from genre2_mini.cli.grid_studies import forecasting, multi_target
from genre2_mini.cli.options import (
    AsJson,
    CeSteps,
    Jobs,
    MaxRows,
    OutFile,
    RlSteps,
    Seeds,
    as_json,
    check_folder,
    records,
)
from genre2_mini.cli.studies import study_command

STUDIES = {
    "tabular": "Every method on every table: does the reward beat cross-entropy?",
    "tokenisation": "Cross-entropy and GenRe² under seven tokenizers.",
    "reward": "ReMax under every reward.",
    "expert": "How much expert beside the reward, and dropout in the gradient.",
    "data-size": "From 250 training rows to all.",
    "periodic": "The methods again, with periodic embeddings of numbers.",
    "scale": "The methods again, at the paper's sizes.",
    "gap": "Periodic embeddings, longer training, dropout, several networks averaged.",
    "code-metrics": "A program's text, and what a call of it costs, on two splits.",
    "what-rl-changes": "Six methods on three tables, their distributions in detail.",
}

reproduce = typer.Typer(no_args_is_help=True, help="Run a study and print its table.")

Tasks = Annotated[
    list[str] | None,
    typer.Option(
        "--task", help="Repeatable (default: concrete, abalone, house_sales)."
    ),
]


@reproduce.callback()
def studies() -> None:
    """Run a study and print its table."""


@reproduce.command(
    epilog="Example: genre2-mini reproduce comparison --task concrete --seeds 1"
)
def comparison(
    task: Tasks = None,
    seeds: Seeds = 3,
    max_rows: MaxRows = 4000,
    ce_steps: CeSteps = 500,
    rl_steps: RlSteps = 200,
    jobs: Jobs = 2,
    out: OutFile = None,
    json: AsJson = False,
) -> None:
    """Compare the methods, tuned boosting and a tuned forest on test rows."""
    if out:
        check_folder(out)
    from genre2_mini.experiments import save_results
    from genre2_mini.experiments.comparison import TASKS, compare, differences, report

    steps = {"ce_steps": ce_steps, "rl_steps": rl_steps}
    rows = compare(task or TASKS, seeds, jobs, max_rows=max_rows, **steps)
    if out:
        save_results(rows, out)
    if json:
        tables = {"runs": rows, "differences": differences(rows)}
        typer.echo(as_json({name: records(table) for name, table in tables.items()}))
    else:
        typer.echo(report(rows))


reproduce.command(
    "multi-target",
    epilog="Example: genre2-mini reproduce multi-target --task arm --seeds 1",
)(multi_target)
reproduce.command(epilog="Example: genre2-mini reproduce forecasting --cut 1990-01")(
    forecasting
)

for name, summary in STUDIES.items():
    example = f"Example: genre2-mini reproduce {name} --budget smoke"
    reproduce.command(name, help=summary, epilog=example)(study_command(name))
