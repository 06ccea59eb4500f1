"""Which digit decided the reward: exact shares of credit on the digit tree.

``python -m genre2_mini.experiments.credit`` trains one cross-entropy policy a task and
seed, and takes its decisions apart on the test rows: how much of the reward's variance
each position makes, how often a whole string's advantage has the sign of the digit's
own, what a wrong digit costs after a right prefix, and what other policies earn. All
strings are enumerated: nothing is drawn.
"""

from __future__ import annotations

import pandas as pd
import torch
import typer
from torch import Tensor

from genre2_mini.experiments.options import CeSteps, Jobs, MaxRows, Out, Seeds, Tasks
from genre2_mini.experiments.processes import in_processes
from genre2_mini.experiments.results import record
from genre2_mini.mdp import ExactValues, exact_values
from genre2_mini.methods import METHODS, build_model
from genre2_mini.metrics import weighted_mean
from genre2_mini.objectives import CrossEntropy
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rewards import squared_error_reward
from genre2_mini.rollouts import enumerate_strings
from genre2_mini.tasks import Split, load_task
from genre2_mini.training import fit

TASKS = ("concrete", "abalone")


def advantages(exact: ExactValues) -> list[Tensor]:
    """A(s, a) = Q(s, a) − V(s) of every token: K tensors (N, n_k, B_{k+1})."""
    levels = zip(exact.action_value, exact.value[:-1], strict=True)
    return [q - value[..., None] for q, value in levels]


def variance_by_position(exact: ExactValues, probability: Tensor) -> Tensor:
    """E A_k² of each input and position: (N, K); a row's sum is the reward's variance.

    Along a string V is a martingale, so the advantages of its tokens are uncorrelated
    and add up to r − V(s_1): Var r = Σ_k E A(s_k, t_k)².

    Parameters
    ----------
    probability : (N, V) of every string, in lexicographic order.
    """
    parts = []
    for a in advantages(exact):
        reached = probability.unflatten(1, (a.shape[1] * a.shape[2], -1)).sum(dim=-1)
        parts.append((reached * a.flatten(1).square()).sum(dim=1))
    return torch.stack(parts, dim=1)


def wrong_sign(exact: ExactValues, probability: Tensor) -> Tensor:
    """How often r − V(s_1) and the digit's own A(s_k, t_k) disagree in sign: (N, K).

    The first is what a whole string tells all of its digits, the second what is true
    of one of them.
    """
    whole = exact.value[-1] - exact.value[0]  # (N, V)
    parts = []
    for a in advantages(exact):
        own = a.flatten(1).repeat_interleave(whole.shape[1] // a[0].numel(), dim=1)
        parts.append((probability * (own * whole < 0)).sum(dim=1))
    return torch.stack(parts, dim=1)


def cost_of_wrong_digit(levels: tuple[Tensor, ...], truth: Tensor) -> Tensor:
    """V with the right digit minus V with a wrong one, after a right prefix: (N, K).

    Parameters
    ----------
    levels : ``value`` or ``optimal`` of :class:`~genre2_mini.mdp.ExactValues`.
    truth : (N, K) true tokens. Where several are wrong their values are averaged.
    """
    rows, at, parts = torch.arange(len(truth)), torch.zeros(len(truth)).long(), []
    for k, level in enumerate(levels[1:]):
        siblings = level.unflatten(1, (levels[k].shape[1], -1))[rows, at]  # (N, B)
        right = siblings[rows, truth[:, k]]
        wrong = (siblings.sum(dim=1) - right) / (siblings.shape[1] - 1)
        parts.append(right - wrong)
        at = at * siblings.shape[1] + truth[:, k]
    return torch.stack(parts, dim=1)


@torch.no_grad()
def policy_rewards(policy: DecodingPolicy, split: Split) -> dict[str, float]:
    """Exact mean rewards −(ẑ − z)² over the rows of a split, of five ways to decode.

    ``random`` writes every string equally often, ``sampled`` is the policy itself,
    ``greedy`` takes its likeliest token, ``nearest_mean`` writes the string next to its
    exact mean, and ``knows_z`` the string next to the truth.
    """
    tokenizer, z = policy.tokenizer, split.z
    strings, log_prob = enumerate_strings(policy, split.x)
    values = tokenizer.decode(strings).expand(len(z), -1)
    reward = squared_error_reward(values, z)  # (N, V)
    probability = log_prob.double().exp()
    mean = weighted_mean(values, probability)
    answers = {
        "greedy": policy.greedy(split.x),
        "nearest_mean": tokenizer.encode(mean),
    }
    rewards = {
        name: squared_error_reward(tokenizer.decode(tokens), z)
        for name, tokens in answers.items()
    }
    rewards["random"] = reward.mean(dim=1)
    rewards["sampled"] = (probability * reward).sum(dim=1)
    rewards["knows_z"] = reward.amax(dim=1)
    return {name: value.mean().item() for name, value in rewards.items()}


def by_position(policy: DecodingPolicy, split: Split) -> pd.DataFrame:
    """The decisions of a policy on the rows of a split, one row a position.

    Columns, means over rows: ``variance`` E A_k²; ``wrong_sign``; ``cost`` of a wrong
    digit under the policy, ``cost_optimal`` where everything after it is right; and
    ``cost_near`` and ``cost_far``, the cost in the quarter of the rows whose z is
    nearest to (farthest from) what the wrong digit can still reach.
    """
    exact = exact_values(policy, split.x, split.z)
    with torch.no_grad():
        probability = enumerate_strings(policy, split.x).log_prob.exp()
    truth = policy.tokenizer.encode(split.z)
    cost = cost_of_wrong_digit(exact.value, truth)
    best = cost_of_wrong_digit(exact.optimal, truth)
    order, quarter = best.argsort(dim=0), max(1, len(truth) // 4)
    ranked = cost.gather(0, order)
    columns = {
        "variance": variance_by_position(exact, probability),
        "wrong_sign": wrong_sign(exact, probability),
        "cost": cost,
        "cost_optimal": best,
        "cost_near": ranked[:quarter],
        "cost_far": ranked[-quarter:],
    }
    table = pd.DataFrame({n: c.double().mean(dim=0) for n, c in columns.items()})
    table.insert(0, "position", range(1, len(table) + 1))
    return table


def run_seed(name: str, seed: int, max_rows: int, steps: int) -> pd.DataFrame:
    """:func:`by_position` of one trained policy on test rows.

    ``reward_*``, the same in all rows, are :func:`policy_rewards`.
    """
    task = load_task(name, max_rows=max_rows, seed=seed)
    policy = build_model(METHODS["ce"], task, seed=seed)
    fit(policy, task, CrossEntropy(), steps=steps, metric="rmse_k1", seed=seed)
    policy.eval()
    table = by_position(policy, task.test)
    for key, reward in policy_rewards(policy, task.test).items():
        table[f"reward_{key}"] = reward
    table.insert(0, "task", name)
    table.insert(1, "seed", seed)
    return table


def main(
    tasks: Tasks = None,
    seeds: Seeds = 5,
    max_rows: MaxRows = 1500,
    steps: CeSteps = 500,
    jobs: Jobs = 2,
    out: Out = None,
) -> None:
    """Record which digits decide the reward of cross-entropy policies."""
    grid = [(task, seed) for task in tasks or TASKS for seed in range(seeds)]
    rows = in_processes(run_seed, grid, jobs, max_rows=max_rows, steps=steps)
    record(rows, "credit", out)


if __name__ == "__main__":
    typer.run(main)
