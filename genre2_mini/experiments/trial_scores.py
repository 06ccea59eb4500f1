"""What a study wants to know of a trained model: its test scores, and two controls."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from genre2_mini.evaluation import ENUMERABLE
from genre2_mini.experiments.common_scale import (
    answers,
    count_scores,
    counts_something,
    to_common,
)
from genre2_mini.experiments.mismatch import exact_distribution
from genre2_mini.metrics import distribution_scores, point_scores, weighted_mean
from genre2_mini.policy import DecodingPolicy
from genre2_mini.tasks import Split, Task

# Whoever asks for one string, the mean or the median chooses the weights by that on
# the validation rows: the same rule for every method.
SELECTION = ("rmse_k1", "rmse_mean", "rmse_median")
TEMPERATURES = (1.0, 0.85, 0.7, 0.5, 0.35)
OF_COUNTS = ("kendall", "rmse_quantile", "tenfold")  # of count_scores
OF_CLIPPED = ("r2_clipped", "rmse_clipped")  # of clipped_scores
FAR = 3.0  # std. dev.: a string further off than this is an outlier


@torch.no_grad()
def scores_on_test(
    model: nn.Module, task: Task, with_controls: bool
) -> dict[str, dict]:
    """Test scores of a model as it is, in z units, of counts on the common scale.

    Returns
    -------
    ``exact`` : of all strings, with ``bias2``, ``spread`` and ``outliers``, the share
        of strings further than ``FAR`` off; ``drawn``, of 128 strings a row. Of a
        policy ``with_controls`` also ``greedy`` and, of tables, ``cooled``. Counts of
        programs have ``count_scores`` as well, and strings that can leave the range of
        a table's training targets have ``clipped_scores``.
    """
    model.eval()
    split, one = task.test, None
    values, weights, z = answers(model, task, split)
    found = {"drawn": distribution_scores(values, z, weights)}
    if counts_something(task):
        found["drawn"] |= count_scores(task, values, weights, z)
    elif leaves_the_range(model, task):
        found["drawn"] |= clipped_scores(values, weights, task)
    values, weights, z = answers(model, task, split, num_samples=None)
    found["exact"] = every_score(values, weights, z)
    if isinstance(model, DecodingPolicy):
        one = answers(model, task, split, num_samples=1)[0][:, 0]
        found["exact"]["spearman_k1"] = point_scores(one, z)["spearman"]
        if with_controls:
            found |= controls(model, task)
    if counts_something(task):
        found["exact"] |= count_scores(task, values, weights, z, one)
    elif leaves_the_range(model, task):
        found["exact"] |= clipped_scores(values, weights, task)
    return found


def leaves_the_range(model: nn.Module, task: Task) -> bool:
    """Whether a model is a policy whose strings pass the extremes of the train targets.

    Strings with a range of their own are fitted to those and cannot.
    """
    if not isinstance(model, DecodingPolicy):
        return False
    (least, most), tokenizer = train_range(task), model.tokenizer
    return tokenizer.low < least or tokenizer.high > most


def clipped_scores(values: Tensor, weights: Tensor, task: Task) -> dict[str, float]:
    """Test scores where each value (N, L) is clipped to the range of train targets.

    ``{r2,rmse}_clipped_{k1,mean,median}``: it is done before anything is averaged.
    """
    inside = values.clamp(*train_range(task))
    scores = distribution_scores(inside, task.test.z, weights)
    endings = ("k1", "mean", "median")
    return {
        f"{clipped}_{ending}": scores[f"{clipped.removesuffix('_clipped')}_{ending}"]
        for clipped in OF_CLIPPED
        for ending in endings
    }


def train_range(task: Task) -> tuple[float, float]:
    """The least and the largest training target, in z units."""
    z = task.train.z.double()
    return z.min().item(), z.max().item()


def every_score(values: Tensor, weights: Tensor, z: Tensor) -> dict[str, float]:
    """``distribution_scores``, the two parts of the squared error, and outliers."""
    mean = weighted_mean(values, weights)
    far = ((values - z[:, None]).abs() > FAR).double()
    found = distribution_scores(values, z, weights)
    found["bias2"] = (mean - z).square().mean().item()
    found["spread"] = found["rmse_k1"] ** 2 - found["bias2"]
    found["outliers"] = (weights * far).sum(dim=-1).mean().item()
    found["spearman_k1"] = found["spearman_mean"]
    return found


def controls(policy: DecodingPolicy, task: Task) -> dict[str, dict]:
    """What cross-entropy can do without further training: greedy, and cooled (tables).

    A temperature is chosen on the validation rows for each of ``SELECTION``; cooled
    scores are named by what chose them.
    """
    greedy = policy.tokenizer.decode(policy.greedy(task.test.x)).cpu()
    greedy, z = to_common(task, greedy), to_common(task, task.test.z)
    found = {"greedy": point_scores(greedy, z)}
    if counts_something(task):
        points = greedy[:, None]
        scores = count_scores(task, points, torch.ones_like(points), z)
        found["greedy"] |= {f"{name}_k1": scores[f"{name}_k1"] for name in OF_COUNTS}
        return found
    if math.prod(policy.tokenizer.vocab_sizes) > ENUMERABLE:
        return found
    valid = list(at_temperatures(policy, task.valid))
    test = list(at_temperatures(policy, task.test))
    cooled = {}
    for metric in SELECTION:
        errors = [distribution_scores(v, task.valid.z, w)[metric] for v, w in valid]
        i = min(range(len(errors)), key=errors.__getitem__)
        cooled[metric] = {
            "temperature": TEMPERATURES[i],
            "valid": errors[i],
            **every_score(*test[i], task.test.z),
        }
    return found | {"cooled": cooled}


def at_temperatures(
    policy: DecodingPolicy, split: Split
) -> Iterator[tuple[Tensor, Tensor]]:
    """Values and weights (N, V) of all strings at each of ``TEMPERATURES``."""
    tokens, log_prob = exact_distribution(policy, split.x, TEMPERATURES)
    values = policy.tokenizer.decode(tokens)
    for at_temperature in log_prob.double().sum(dim=-1).exp():
        yield values.expand_as(at_temperature), at_temperature
