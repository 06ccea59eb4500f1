"""One scale for all methods of a task, whatever numbers their strings spell.

Of a table it is z. The counts of a program are compared as standardised logarithms: a
policy that writes the count itself is scored there as well, string by string.
"""

from __future__ import annotations

import math

import torch
from scipy.stats import kendalltau
from torch import Tensor, nn

from genre2_mini.evaluation import ENUMERABLE, predict_distribution
from genre2_mini.metrics import distribution_scores, weighted_mean, weighted_median
from genre2_mini.rewards import QuantileReward
from genre2_mini.tasks import Split, Task, TextSchema

# Evenly spread strings that stand for all where those are too many to look at: a
# string of a text costs more than one of a row, for each carries the text's prefix.
SPREAD_OF_TEXT = 256


def counts_something(task: Task) -> bool:
    """Whether the task's inputs are texts and its targets counts."""
    return isinstance(task.schema, TextSchema)


def to_common(task: Task, z: Tensor) -> Tensor:
    """z of any shape on the common scale, in std. dev. of the training targets there.

    Counts below 1, such as negative ones, are 1.
    """
    return task.schema.to_log(z) if counts_something(task) else z


def answers(
    model: nn.Module,
    task: Task,
    split: Split,
    num_samples: int | None = 128,
    seed: int | None = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """``predict_distribution`` of a split and its targets, on the common scale.

    Where None would look at some of too many strings, it is at ``SPREAD_OF_TEXT``.

    Returns
    -------
    values, weights : both (N, L) float64; z : (N,).
    """
    if num_samples is None and counts_something(task) and too_many(model):
        num_samples, seed = SPREAD_OF_TEXT, None
    values, weights = predict_distribution(model, split.x, num_samples, seed)
    return to_common(task, values), weights, to_common(task, split.z)


def too_many(model: nn.Module) -> bool:
    """Whether a model is a policy with more strings than are ever enumerated."""
    sizes = model.tokenizer.vocab_sizes if hasattr(model, "tokenizer") else ()
    return math.prod(sizes) > ENUMERABLE


def common_scores(model: nn.Module, task: Task, split: Split, **sampling) -> dict:
    """``distribution_scores`` of a split on the common scale."""
    values, weights, z = answers(model, task, split, **sampling)
    return distribution_scores(values, z, weights)


def count_scores(
    task: Task, values: Tensor, weights: Tensor, z: Tensor, one: Tensor | None = None
) -> dict[str, float]:
    """What counts of programs are scored by beside ``distribution_scores``.

    Parameters
    ----------
    values, weights, z : as ``answers`` gives them.
    one : (N,), a single string's values, for ``kendall_k1``; None takes the mean's.

    Returns
    -------
    ``{kendall,rmse_quantile,tenfold}_{k1,mean,median}``: Kendall's tau-b; RMSE in the
    quantile space of :class:`QuantileReward`, fitted on the training targets; share of
    answers more than ten times too large or too small.
    """
    q = QuantileReward.fit(to_common(task, task.train.z)).q
    decade = 1 / task.schema.log_std
    of = {"mean": weighted_mean(values, weights)}
    of["median"] = weighted_median(values, weights)
    found = {}
    for ending, answer in {"k1": values, **of}.items():
        share = weights if ending == "k1" else torch.ones(len(z), 1).double()
        answer = answer.reshape(len(z), -1)
        error = (q(answer) - q(z)[:, None]).square()
        far = ((answer - z[:, None]).abs() > decade).double()
        found[f"rmse_quantile_{ending}"] = _mean_row(share, error) ** 0.5
        found[f"tenfold_{ending}"] = _mean_row(share, far)
    for ending, answer in of.items():
        found[f"kendall_{ending}"] = kendall(answer, z)
    return found | {"kendall_k1": kendall(of["mean"] if one is None else one, z)}


def kendall(prediction: Tensor, z: Tensor) -> float:
    """Kendall's tau-b of predictions (N,) and z (N,); 0 for a constant prediction."""
    if prediction.unique().numel() == 1:
        return 0.0
    return float(kendalltau(z.numpy(), prediction.numpy()).statistic)


def _mean_row(weights: Tensor, values: Tensor) -> float:
    return (weights * values).sum(dim=-1).mean().item()
