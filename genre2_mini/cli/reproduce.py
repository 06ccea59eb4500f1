"""``genre2-mini reproduce``: one command a study."""

from __future__ import annotations

import typer

from genre2_mini.cli.grid_studies import forecasting, multi_target
from genre2_mini.cli.studies import study_command

STUDIES = {
    "tabular": "Every method on every table: does the reward beat cross-entropy?",
    "tokenisation": "Cross-entropy and GenRe² under seven tokenizers.",
    "reward": "ReMax under every reward.",
    "expert": "How much expert beside the reward, and dropout in the gradient.",
    "data-size": "From 250 training rows to all.",
    "periodic": "The methods again, with periodic embeddings of numbers.",
    "scale": "The methods again, at the paper's sizes.",
    "gap": "With periodic embeddings: longer training, dropout, two networks averaged.",
    "code-metrics": "A program's text, and what a call of it costs, on two splits.",
    "what-rl-changes": "Six methods on three tables, their distributions in detail.",
}

reproduce = typer.Typer(no_args_is_help=True, help="Run a study and print its table.")


@reproduce.callback()
def studies() -> None:
    """Run a study and print its table."""


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
