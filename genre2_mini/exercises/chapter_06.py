"""Chapter 6: values by hand, advantages, dense rewards, hidden truths."""

from collections.abc import Callable, Mapping

import gymnasium
import numpy as np
import torch
from torch import Tensor

from genre2_mini.exercises import exercise, require, require_close
from genre2_mini.mdp import DecodingEnv, reachable
from genre2_mini.tasks import load_task
from genre2_mini.tokenizers import NormalizedTokenizer


@exercise
def check_by_hand(answer: Mapping[str, float | None]) -> None:
    """``answer``: V of the prefixes "", "0" and "1" of the exercise's tree."""
    require(set(answer) == {"", "0", "1"}, 'the prefixes are "", "0" and "1"')
    for prefix in ("0", "1", ""):
        require(answer[prefix] is not None, f"V of {prefix!r} is None: fill it in")
    after_0, after_1, start = (float(answer[prefix]) for prefix in ("0", "1", ""))
    require(
        (after_0, after_1) != (0, -1),
        "these are the best rewards still reachable, V*; V is what to expect",
    )
    require(after_0 <= 0 and after_1 <= 0, "no reward is above 0, so no mean of them")
    require(after_0 != -0.25, "0.25 is how likely the 1 is after a 0, not the 0")
    require(after_0 != -0.5, "after a 0 the two digits are not equally likely")
    require_close(after_0, -0.75, "V of '0'")
    require_close(after_1, -2.5, "V of '1'")
    require_close(start, -1.625, "V of ''")


@exercise
def check_advantages(answer: Callable) -> None:
    """``answer(q, chance)``: Q and π, both (N, n, B) -> A of the same shape."""
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 3, 4, generator=generator).double()
    chance = torch.rand(2, 3, 4, generator=generator).double().softmax(dim=-1)
    value = (chance * q).sum(dim=-1, keepdim=True)
    got = answer(q, chance)
    require(got is not None, "it returned None: return the advantages")
    require(got.shape == q.shape, f"A has a number for each Q: shape {tuple(q.shape)}")
    require(not _equal(got, value - q), "the sign: better than V is above 0")
    plain = q - q.mean(dim=-1, keepdim=True)
    require(not _equal(got, plain), "V is the mean under the policy, not a plain one")
    centred = torch.allclose((chance * got).sum(dim=-1), torch.zeros(2, 3).double())
    require(centred, "under the policy the advantages of a state have mean 0")
    require_close(got, q - value, "the advantages")


@exercise
def check_paid_as_you_go(answer: Callable[..., gymnasium.Env]) -> None:
    """``answer(env, z)``: an environment that pays Φ after a step minus Φ before it."""
    task = load_task("concrete", max_rows=60, seed=0)
    tokenizer = NormalizedTokenizer(base=3, num_digits=4).fit(task.train.z)
    env = answer(DecodingEnv(task, tokenizer, split="test"), task.test.z)
    generator = np.random.default_rng(0)
    for row in range(len(task.test.z)):
        env.reset(seed=row, options={"row": row})
        digits = generator.integers(3, size=4)
        paid, old = [], 0.0
        for digit in digits:
            _, reward, over, _, info = env.step(digit)
            require(isinstance(reward, int | float), "a payment is a number")
            paid.append(float(reward))
        require(over, "an episode still ends with the last digit")
        truth = info["target"]
        phi = [_potential(tokenizer, digits[:k], truth) for k in range(5)]
        want, old = np.diff(phi), -((info["value"] - truth) ** 2)
        slipped = np.abs(want[:-1]).max() > 1e-9
        late = not np.any(paid[:-1]) and np.isclose(paid[-1], old)
        require(
            not (slipped and late),
            "it pays all at the end, as before: a slip should be felt at once",
        )
        require(not np.allclose(paid, -want) or np.allclose(want, 0), "the sign")
        require(
            not np.allclose(paid, phi[1:]) or np.allclose(paid, want),
            "it pays Φ itself: pay only what the step has changed",
        )
        require_close(sum(paid), old - phi[0], f"the sum of the episode of row {row}")
        require_close(paid, want, f"the payments for the digits {digits.tolist()}")


def _potential(tokenizer: NormalizedTokenizer, prefix: np.ndarray, z: float) -> float:
    low, high = reachable(tokenizer, prefix)
    return -(max(low - z, z - high, 0.0) ** 2)


@exercise
def check_told_after(answer: Callable) -> None:
    """``answer(reward, share, k)``: (M, 2^K), (M,), k -> the best mean reward."""
    generator = torch.Generator().manual_seed(0)
    reward = -10 * torch.rand(4, 16, generator=generator).double()
    share = torch.rand(4, generator=generator).double().softmax(dim=0)
    told, never = share @ reward.amax(dim=1), (share @ reward).max()
    for k in (0, 4, 1, 2, 3):
        got = answer(reward, share, k)
        require(got is not None, "it returned None: return a number")
        got = torch.as_tensor(got).double()
        require(got.ndim == 0, f"return one number, not shape {tuple(got.shape)}")
        blocks = reward.reshape(4, 2**k, -1)
        want = max(share @ blocks[:, i].amax(dim=1) for i in range(2**k))
        other = (share @ reward.reshape(4, -1, 2**k).amax(dim=1)).max()
        if 0 < k < 4:
            ignored = torch.isclose(got, told) or torch.isclose(got, never)
            require(not ignored, f"k = {k} lies between the two kinds of best")
            swapped = torch.isclose(got, other) and not torch.isclose(other, want)
            require(not swapped, "the first k digits are chosen before being told")
        plain = blocks.amax(dim=-1).mean(dim=0).max()
        require(
            not torch.isclose(got, plain) or torch.isclose(plain, want),
            "weigh the truths by their shares",
        )
        when = {0: " (before the first)", 4: " (too late to use it)"}.get(k, "")
        require_close(got, want, f"the best mean reward, told after {k} digits{when}")


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b)
