"""The variance that each baseline leaves, exactly, while a policy is trained.

``python -m genre2_mini.experiments.baselines`` looks at all strings of some training
rows, with their probabilities, rewards and scores ∇log π: from an untrained policy,
after cross-entropy, and after some steps of ReMax. From these it computes the variance
of a policy gradient under each baseline. Nothing is drawn but what training draws.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Annotated, NamedTuple

import pandas as pd
import torch
import typer
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from genre2_mini.encoders import RowEncoder
from genre2_mini.experiments.learning_curves import OPTIMISER
from genre2_mini.experiments.options import CeSteps, Jobs, Out, Seeds, TaskName
from genre2_mini.experiments.processes import in_processes
from genre2_mini.experiments.results import record
from genre2_mini.objectives import CrossEntropy, ReMax
from genre2_mini.policy import DecodingPolicy
from genre2_mini.rewards import squared_error_reward
from genre2_mini.rollouts import enumerate_strings
from genre2_mini.runs import Run
from genre2_mini.tasks import Task, load_task
from genre2_mini.tokenizers import NormalizedTokenizer
from genre2_mini.training import fit
from genre2_mini.transformer import evaluating

SCORES_AT_ONCE = 64  # bounds the memory
SIZES = (2, 4, 16)  # samples of an input that leave-one-out is computed for


class Survey(NamedTuple):
    """All V strings of N inputs, float64.

    probability, reward, size : (N, V); ``size`` is ‖∇log π(t | x)‖².
    signal : (N,), ‖g‖², g the gradient of E[r] of the input.
    greedy : (N,), the reward of the greedy string.
    """

    probability: Tensor
    reward: Tensor
    size: Tensor
    signal: Tensor
    greedy: Tensor

    @property
    def value(self) -> Tensor:
        """E[r] (N,)."""
        return (self.probability * self.reward).sum(dim=1)

    @property
    def best_constant(self) -> Tensor:
        """b* = E[r ‖∇log π‖²] / E ‖∇log π‖² (N,), the baseline of least variance."""
        weight = self.probability * self.size
        return (weight * self.reward).sum(dim=1) / weight.sum(dim=1)

    def variance(self, baseline: Tensor) -> Tensor:
        """Of one string's (r − b) ∇log π, summed over weights, b (N,): (N,)."""
        square = (self.reward - baseline[:, None]).square() * self.size
        return (self.probability * square).sum(dim=1) - self.signal

    def leave_one_out_variance(self, num_samples: int) -> Tensor:
        """S times the variance of RLOO's mean over S strings: (N,).

        Var(E[r]) + (Var r · E ‖∇log π‖² + ‖g‖²)/(S − 1): the second term is what the
        noise of the others' mean adds to the exact mean.
        """
        spread = (self.reward - self.value[:, None]).square()
        price = (self.probability * spread).sum(dim=1)
        price = price * (self.probability * self.size).sum(dim=1) + self.signal
        return self.variance(self.value) + price / (num_samples - 1)


class _LogProb(nn.Module):
    """``policy.log_prob`` as a call, which is what functional_call calls."""

    def __init__(self, policy: DecodingPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        return self.policy.log_prob(x, tokens)


def squared_scores(policy: DecodingPolicy, row: Tensor, strings: Tensor) -> Tensor:
    """‖∇log π(t | x)‖² of strings (V, K) of one input (1, …): (V,), dropout off."""
    reader = _LogProb(policy)
    weights = {name: w.detach() for name, w in reader.named_parameters()}

    def log_prob(weights: dict[str, Tensor], string: Tensor) -> Tensor:
        return functional_call(reader, weights, (row, string[None]))[0]

    def size(string: Tensor) -> Tensor:
        score = grad(log_prob)(weights, string)
        return sum(s.square().sum() for s in score.values())

    # The fused attention kernels have no rule for a batch of gradients.
    with evaluating(policy), sdpa_kernel(SDPBackend.MATH):
        return vmap(size, chunk_size=SCORES_AT_ONCE)(strings).double()


def survey(policy: DecodingPolicy, x: Tensor, z: Tensor) -> Survey:
    """Enumerate all strings of each input, with a gradient for each string."""
    weights, rows = list(policy.parameters()), []
    greedy = squared_error_reward(policy.tokenizer.decode(policy.greedy(x)), z)
    for row, target in zip(x.split(1), z.split(1), strict=True):
        strings, log_prob = enumerate_strings(policy, row)
        values = policy.tokenizer.decode(strings)[None]
        reward = squared_error_reward(values, target)[0].double()
        p = log_prob[0].double().exp()
        gradient = torch.autograd.grad(p @ reward, weights)
        signal = sum(g.double().square().sum() for g in gradient)
        size = squared_scores(policy, row, strings)
        rows.append((p.detach(), reward, size, signal))
    return Survey(*map(torch.stack, zip(*rows, strict=True)), greedy.double())


def variances(found: Survey) -> pd.DataFrame:
    """A row for each baseline: what it leaves, relative to no baseline.

    ``variance`` : mean over inputs, divided by the mean without a baseline.
    ``noisier`` : share of inputs where it leaves more than no baseline does.
    ``greedy_better`` : share of inputs where the greedy baseline leaves less.
    ``above``, ``equal``, ``below`` : share of samples with A > 0, = 0, < 0, where the
        baseline is a number.
    """
    mean = found.value
    numbers = {
        "none": torch.zeros_like(mean),
        "one for all rows": mean.mean().expand(len(mean)),
        "greedy": found.greedy,
        "greedy, wrong row": found.greedy.roll(1),
        "mean reward": mean,
        "best constant": found.best_constant,
    }
    left = {name: found.variance(b) for name, b in numbers.items()}
    left |= {f"leave one out, S = {s}": found.leave_one_out_variance(s) for s in SIZES}
    rows = []
    for name, variance in left.items():
        row = {
            "baseline": name,
            "variance": (variance.mean() / left["none"].mean()).item(),
            "noisier": (variance > left["none"]).double().mean().item(),
            "greedy_better": (left["greedy"] < variance).double().mean().item(),
        }
        if name in numbers:
            advantage = found.reward - numbers[name][:, None]
            signs = {"above": 1, "equal": 0, "below": -1}
            for word, sign in signs.items():
                share = found.probability * (advantage.sign() == sign)
                row[word] = share.sum(dim=1).mean().item()
        rows.append(row)
    return pd.DataFrame(rows)


def states(
    task: Task, seed: int, ce_steps: int, steps: list[int]
) -> Iterator[tuple[str, DecodingPolicy]]:
    """The policy untrained, after cross-entropy, and after steps of ReMax."""
    torch.manual_seed(seed)
    tokenizer = NormalizedTokenizer(base=2, num_digits=8).fit(task.train.z)
    policy = DecodingPolicy(RowEncoder(task.num_features), tokenizer)
    yield "untrained", policy
    fit(policy, task, CrossEntropy(), steps=ce_steps, metric="rmse_k1", seed=seed)
    yield "cross-entropy", policy
    with torch.random.fork_rng(devices=[]):
        settings = OPTIMISER | {"seed": seed}
        run = Run(copy.deepcopy(policy), task, ReMax(), settings, checkpoint=None)
        for end in sorted(steps):
            while run.step < end:
                run.train_one_batch()
            yield f"ReMax {end}", run.model


def run_seed(
    name: str, seed: int, ce_steps: int, steps: list[int], rows: int
) -> pd.DataFrame:
    """One seed: split, initial weights and batches vary; the first training rows."""
    task = load_task(name, max_rows=4000, seed=seed)
    x, z = task.train.x[:rows], task.train.z[:rows]
    tables = []
    for state, policy in states(task, seed, ce_steps, steps):
        table = variances(survey(policy, x, z))
        tables.append(table.assign(task=name, seed=seed, state=state))
    columns = ["task", "seed", "state", *table.columns]
    return pd.concat(tables, ignore_index=True)[columns]


def main(
    task: TaskName = "concrete",
    seeds: Seeds = 5,
    ce_steps: CeSteps = 300,
    steps: Annotated[
        list[int] | None, typer.Option(help="survey after so many; repeatable")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="training rows looked at")] = 48,
    jobs: Jobs = 2,
    out: Out = None,
) -> None:
    """Record the variance of every baseline."""
    grid = [(task, seed) for seed in range(seeds)]
    settings = {"ce_steps": ce_steps, "steps": steps or [20, 100], "rows": rows}
    table = in_processes(run_seed, grid, jobs, **settings)
    record(table, "baselines", out)


if __name__ == "__main__":
    typer.run(main)
