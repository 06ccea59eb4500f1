"""Decoding a number as a Markov decision process: an environment, exact V and Q.

The state is (x, t_<k), the action a token t_k that is legal at position k, and the
transition appends it. The horizon is K and γ = 1. Every reward is 0 but the last,
r(ẑ, z), once the string is a number. Source: GenRe² (arXiv 2512.06533).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from genre2_mini.policy import DecodingPolicy
from genre2_mini.prefix_tree import all_strings
from genre2_mini.rewards import squared_error_reward, summed_over_targets
from genre2_mini.tasks import Task, load_task
from genre2_mini.tokenizers import (
    ConcatenatedTokenizer,
    NormalizedTokenizer,
    Tokenizer,
)


def reachable(tokenizer: Tokenizer, prefix: Sequence[int]) -> tuple[float, float]:
    """The smallest and the largest value of the strings that begin with ``prefix``.

    A value is monotone in each token while the others stay fixed, so both lie at
    corners: every blank position at its smallest or its largest legal id. From the
    twelfth blank on the positions move together, which leaves at most 2^12 corners
    and loses none: so late in a string, all digits pull one way.

    Raises ValueError for a prefix longer than K or with an illegal id.
    """
    written = torch.as_tensor(prefix, dtype=torch.int64)
    largest = torch.tensor(tokenizer.vocab_sizes, dtype=torch.int64)[len(written) :] - 1
    bit = torch.arange(len(largest)).clamp(max=11)
    corners = (torch.arange(2 ** min(len(largest), 12))[:, None] >> bit & 1) * largest
    strings = torch.cat([written.expand(len(corners), -1), corners], dim=-1)
    values = tokenizer.decode(strings)
    return values.min().item(), values.max().item()


def _check(name: str, value: object, valid: bool, expected: str) -> None:
    if not valid:
        raise ValueError(f"{name} must be {expected}, got {value!r:.60}")


class DecodingEnv(gymnasium.Env):
    """One episode writes one number, for one row of a task, token by token.

    Observation: ``x`` (features,) float32, of a text its ids (length,) int64, and
    ``tokens`` (K,) int64, −1 where nothing is written yet. Info: always
    ``action_mask``, int8, 1 for the ids that are legal now; after ``reset`` also
    ``row``; at the end ``target`` (z) and ``value`` (ẑ).

    Parameters
    ----------
    task : a name for ``load_task``, or a Task.
    tokenizer : by default ``NormalizedTokenizer(2, 8)``, fitted to the train targets.
    reward : r(values, z), as in :mod:`genre2_mini.rewards`.
    split : ``"train"``, ``"valid"`` or ``"test"``, the rows that episodes draw from.
    illegal_penalty : with None an illegal token is a ValueError; with a number it
        ends the episode: nothing is written, there is no ẑ, the number is the reward.
    render_mode : ``"ansi"`` returns text, ``"human"`` prints it at every step, or None.

    Raises
    ------
    ValueError : an argument that is none of these.
    RuntimeError : a tokenizer that was never fitted.
    """

    metadata: ClassVar[dict] = {"render_modes": ["ansi", "human"], "render_fps": 4}

    def __init__(
        self,
        task: str | Task = "fried",
        tokenizer: Tokenizer | None = None,
        reward: Callable[[Tensor, Tensor], Tensor] = squared_error_reward,
        *,
        split: str = "train",
        illegal_penalty: float | None = None,
        render_mode: str | None = None,
    ) -> None:
        task = load_task(task) if isinstance(task, str) else task
        _check("task", task, isinstance(task, Task), "a name for load_task or a Task")
        if tokenizer is None:
            tokenizer = NormalizedTokenizer(2, 8).fit(task.train.z)
        several = isinstance(tokenizer, ConcatenatedTokenizer)
        known = isinstance(tokenizer, Tokenizer) and not several
        _check("tokenizer", tokenizer, known, "a Tokenizer of one number, or None")
        reachable(tokenizer, [])  # a tokenizer that needs fitting says so here
        _check("reward", reward, callable(reward), "a function of (values, z)")
        parts = {"train": task.train, "valid": task.valid, "test": task.test}
        parts = {name: part for name, part in parts.items() if len(part)}
        _check("split", split, split in parts, f"one of {list(parts)}")
        number = isinstance(illegal_penalty, Real) and math.isfinite(illegal_penalty)
        known = number or illegal_penalty is None
        _check("illegal_penalty", illegal_penalty, known, "None or a finite number")
        modes = [None, *self.metadata["render_modes"]]
        _check("render_mode", render_mode, render_mode in modes, f"one of {modes}")
        self.task, self.tokenizer, self.reward = task, tokenizer, reward
        self.illegal_penalty, self.render_mode = illegal_penalty, render_mode
        self._x, self._z = parts[split].x.numpy(), parts[split].z
        self._row, self._over = None, True
        legal = tokenizer.legal.numpy().astype(np.int8)
        self._masks = np.vstack([legal, np.zeros_like(legal[:1])])  # (K + 1, V)
        self.action_space = spaces.Discrete(max(tokenizer.vocab_sizes))
        # Gymnasium's checker warns of an infinite box. One box fits all three splits.
        widest = max(1.0, *(part.x.abs().max().item() for part in parts.values()))
        sizes = np.array(tokenizer.vocab_sizes)
        self.observation_space = spaces.Dict(
            x=spaces.Box(-widest, widest, self._x.shape[1:], self._x.dtype.type),
            tokens=spaces.MultiDiscrete(sizes + 1, start=np.full_like(sizes, -1)),
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict, dict]:
        """Begin a string for a row drawn uniformly, or for ``options={"row": i}``.

        Raises ValueError for a row that the split does not have, or another option.
        """
        super().reset(seed=seed)
        options, rows = options or {}, len(self._z)
        _check("options", options, set(options) <= {"row"}, '{"row": i} or None')
        row = options["row"] if options else self.np_random.integers(rows)
        known = isinstance(row, int | np.integer) and 0 <= row < rows
        _check("options['row']", row, known, f"an integer from 0 to {rows - 1}")
        self._row, self._written, self._over, self._ending = int(row), 0, False, ""
        self._tokens = np.full(self.tokenizer.num_tokens, -1)
        return self._report(row=self._row)

    def step(self, action: int) -> tuple[dict, float, bool, bool, dict]:
        """Append one token; ``terminated`` with the K-th, never ``truncated``.

        Raises ResetNeeded before ``reset`` and after the end, InvalidAction outside
        ``action_space``, ValueError for an illegal token without ``illegal_penalty``.
        """
        if self._over:
            raise gymnasium.error.ResetNeeded("no string is being written: call reset")
        if not self.action_space.contains(action):
            raise gymnasium.error.InvalidAction(
                f"action must be an integer from 0 to {self._masks.shape[1] - 1}, "
                f"got {action!r}"
            )
        k, reward, info = self._written, 0.0, {}
        legal = self._masks[k, action] == 1
        if legal:
            self._tokens[k], self._written = action, k + 1
        elif self.illegal_penalty is None:
            raise ValueError(
                f"token {action} at position {k} is not legal: ids there are 0 to "
                f"{self._masks[k].sum() - 1}; sample with info['action_mask'], or set "
                "illegal_penalty"
            )
        self._over = not legal or self._written == len(self._tokens)
        if self._over:
            reward, info = self._finish(legal)
        observation, info = self._report(**info)
        return observation, reward, self._over, False, info

    def _finish(self, legal: bool) -> tuple[float, dict]:
        z = self._z[self._row]
        if legal:
            value = self.tokenizer.decode(torch.from_numpy(self._tokens))
            reward = float(self.reward(value.reshape(1, 1), z.reshape(1)))
            info = {"target": z.item(), "value": value.item()}
        else:
            reward, info = float(self.illegal_penalty), {"target": z.item()}
        self._ending = f"{'' if legal else '   illegal token'}   reward {reward:.3g}"
        return reward, info

    def _report(self, **info: object) -> tuple[dict, dict]:
        if self.render_mode == "human":
            self.render()
        mask = self._masks[-1 if self._over else self._written]
        state = {"x": self._x[self._row].copy(), "tokens": self._tokens.copy()}
        return state, {"action_mask": mask.copy(), **info}

    def render(self) -> str | None:
        """The tokens, the values still reachable, the target; at the end ẑ and r.

        ``1 0 1 · · · · ·   0.31 … 0.46   true 0.4``, in units of z.
        """
        if self._row is None:
            raise gymnasium.error.ResetNeeded("no string to render yet: call reset")
        if self.render_mode is None:
            gymnasium.logger.warn("nothing to render: set render_mode in make")
            return None
        low, high = reachable(self.tokenizer, self._tokens[: self._written])
        string = " ".join("·" if t < 0 else str(t) for t in self._tokens)
        value = f"{low:.3g} … {high:.3g}"
        if self._written == len(self._tokens):
            string = self.tokenizer.to_strings(torch.from_numpy(self._tokens))
            value = f"{low:.3g}"
        text = f"{string}   {value}   true {self._z[self._row]:.3g}{self._ending}"
        return print(text) if self.render_mode == "human" else text


@dataclass(frozen=True)
class ExactValues:
    """V, Q and V* of every state of N inputs, level by level.

    Level k has the n_k = B_1 ⋯ B_k prefixes of length k in lexicographic order: prefix
    (t_1 … t_k) stands at its mixed-radix number (((t_1·B_2) + t_2)·B_3 + …).

    Attributes
    ----------
    value : K + 1 tensors (N, n_k), V(s) = E[r | s] under the policy. value[0] is E[r]
        of each input, value[K] the reward of each string.
    action_value : K tensors (N, n_k, B_{k+1}), Q(s, a) = V(s followed by a).
    optimal : K + 1 tensors (N, n_k), V*(s) = max over completions of the reward.
    """

    value: tuple[Tensor, ...]
    action_value: tuple[Tensor, ...]
    optimal: tuple[Tensor, ...]


@torch.no_grad()
def exact_values(
    policy: DecodingPolicy,
    x: Tensor,
    z: Tensor,
    reward: Callable[[Tensor, Tensor], Tensor] = squared_error_reward,
    limit: int = 20_000,
) -> ExactValues:
    """Backward recursion on the digit tree, from the rewards to the root.

    V(s) = Σ_a π(a | s) Q(s, a), Q(s, a) = V(s, a) and V*(s) = max_a V*(s, a): the
    transitions are deterministic, γ = 1, and only the last step is rewarded.

    Parameters
    ----------
    x : (N, …) inputs, z : (N,) or (N, D), their targets.
    reward : (values (N, V), z (N,)) -> (N, V), of all V strings; of D targets, the sum.

    Raises
    ------
    ValueError : the tokenizer has more than ``limit`` strings.
    """
    sizes = policy.tokenizer.vocab_sizes
    strings = all_strings(policy, x, limit)
    values = policy.tokenizer.decode(strings.tokens).unflatten(0, (len(x), -1))
    reward_of_all = summed_over_targets(reward, values, z)
    value = [reward_of_all.to(strings.log_probs.dtype)]
    optimal, action_value = value[:], []
    widths = [len(x) * math.prod(sizes[:k]) for k in range(len(sizes))]
    levels = strings.log_probs.exp().split(widths)
    for size, probabilities in zip(sizes[::-1], levels[::-1], strict=True):
        q = value[0].unflatten(1, (-1, size))
        value.insert(0, (probabilities[:, :size].view_as(q) * q).sum(dim=-1))
        action_value.insert(0, q)
        optimal.insert(0, optimal[0].unflatten(1, (-1, size)).amax(dim=-1))
    return ExactValues(tuple(value), tuple(action_value), tuple(optimal))
