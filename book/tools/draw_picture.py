"""Draw the pictures that no notebook makes: digit-tree.svg and roadmap.svg.

    python book/tools/draw_picture.py

The trees are those of a trained policy. As in the quickstart, a network learns
the table concrete (seed 0, eight binary digits), 500 steps with cross-entropy
and then 200 with GenRe². Drawn is what it would write for the first test row,
before and after those 200 steps; every number in the picture is computed here.
About a minute on one core.
"""

import copy
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import torch
from genre2_mini.encoders import RowEncoder
from genre2_mini.objectives import CrossEntropy, GenRe2
from genre2_mini.plotting import PALETTE, book_style, digit_tree, roadmap
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rollouts import enumerate_strings
from genre2_mini.tasks import Task, load_task
from genre2_mini.tokenizers import NormalizedTokenizer
from genre2_mini.training import evaluate, fit

ASSETS = Path(__file__).resolve().parents[1] / "assets"
DEPTH = 5  # digits drawn, of eight: a tree of 256 leaves is a blot


def train(task: Task) -> dict[str, DecodingPolicy]:
    """The policy after cross-entropy, and the same one after GenRe²."""
    torch.manual_seed(0)
    tokenizer = NormalizedTokenizer(base=2, num_digits=8).fit(task.train.z)
    policy = DecodingPolicy(RowEncoder(task.num_features), tokenizer)
    common = {"metric": "rmse_k1", "seed": 0}
    fit(policy, task, CrossEntropy(), steps=500, **common)
    before = copy.deepcopy(policy)
    fit(policy, task, GenRe2(), steps=200, validate_every=20, **common)
    return {"CE": before, "GenRe²": policy}


def draw_trees(task: Task, policies: dict[str, DecodingPolicy]) -> plt.Figure:
    """The first test row's tree under each policy, one above the other."""
    fig, axes = plt.subplots(2, 1, figsize=(6.6, 6.4), sharex=True)
    titles = ["After cross-entropy", "After GenRe²"]
    for ax, title, (name, policy) in zip(
        axes, titles, policies.items(), strict=True
    ):
        report = draw_tree(task, policy, ax, PALETTE[name])
        ax.set_title(f"{title}: {report}", loc="left", fontsize=11)
        ax.set_xlabel("")
    axes[-1].set_xlabel("compressive strength written (MPa)")
    truth = axes[0].lines[-1]  # the dotted line, which is drawn last
    axes[0].legend([truth], ["measured"], loc="upper left")
    return fig


@torch.no_grad()
def draw_tree(
    task: Task, policy: DecodingPolicy, ax: plt.Axes, color: str
) -> str:
    """One panel; returns how far one string misses, here and on all rows."""
    row, z = task.test.x[:1], task.test.z[0]
    strings, log_prob = enumerate_strings(policy, row)
    probability = log_prob[0].exp().double()  # (256,)
    values = policy.tokenizer.decode(strings)
    groups = policy.tokenizer.base**DEPTH, -1  # the same first digits
    digit_tree(
        probability.reshape(groups).sum(1).numpy(),
        task.schema.unstandardise(values.reshape(groups).mean(1)).numpy(),
        policy.tokenizer.base,
        task.schema.unstandardise(z).item(),
        ax,
        color,
    )
    mse = probability @ (values - z).square()
    r2 = evaluate(policy, task.test)["r2_k1"]
    return (
        "one string of this row misses by "
        f"{mse.sqrt() * task.schema.target_std:.1f} MPa\n"
        f"(root mean square); on all {len(task.test)} test rows one string "
        f"has R² {r2:.2f}"
    )


def main() -> None:
    matplotlib.use("svg")
    book_style()
    task = load_task("concrete", seed=0)
    figures = {
        "digit-tree": draw_trees(task, train(task)),
        "roadmap": roadmap(),
    }
    for name, figure in figures.items():
        path = ASSETS / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
