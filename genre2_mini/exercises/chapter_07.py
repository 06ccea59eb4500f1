"""The checks of chapter 7: the policy-gradient loss, its score, noise and oracle."""

from __future__ import annotations

import torch
from torch import Tensor

from genre2_mini.encoders import RowEncoder
from genre2_mini.exercises import exercise, require, require_close
from genre2_mini.policy import DecodingPolicy
from genre2_mini.prefix_tree import all_strings
from genre2_mini.rewards import squared_error_reward
from genre2_mini.tokenizers import NormalizedTokenizer

__all__ = [
    "check_cosine_to_exact",
    "check_fresh_again",
    "check_noise",
    "check_reinforce_loss",
    "check_score",
]
DOUBLE = torch.float64


def _is(given: object, number: Tensor) -> bool:
    """Whether an answer is this number."""
    given = torch.as_tensor(given if given is not None else torch.nan).detach()
    return given.ndim == 0 and torch.isclose(given.double(), number.double()).item()


def _normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=DOUBLE)


@exercise
def check_reinforce_loss(answer):
    """``answer(log_prob (N, S), reward (N, S))``: −mean of their product."""
    log_prob = _normal(3, 4).requires_grad_()
    scale = torch.tensor(2.0, dtype=DOUBLE, requires_grad=True)
    reward = scale * _normal(3, 4, seed=1)
    loss = answer(log_prob, reward)
    product = (log_prob * reward).detach()
    require(not _is(loss, product.mean()), "the sign: `backward` walks downhill")
    slips = (product.sum(), product.sum(dim=1).mean(), product.sum(dim=0).mean())
    sums = any(_is(loss, sign * slip) for slip in slips for sign in (1, -1))
    require(not sums, "it sums somewhere: take the mean over all N · S strings")
    apart = log_prob.mean() * reward.mean()
    mixed = _is(loss, apart) or _is(loss, -apart)
    require(not mixed, "each string has its own reward: multiply before the mean")
    require_close(loss, -product.mean(), "the loss")
    require(loss.requires_grad, "the loss has no gradient: log_prob must keep its own")
    by_log_prob, by_reward = torch.autograd.grad(
        loss, [log_prob, scale], allow_unused=True
    )
    require_close(by_log_prob, -reward / 12, "the gradient on log_prob")
    require(
        by_reward is None or by_reward == 0,
        "the value is right, but a gradient goes through the reward: detach it",
    )


@exercise
def check_score(answer):
    """``answer(p (B,), token)``: the gradient (B,) of log p[token] on the logits."""
    for size in (2, 3, 10):
        logits = _normal(size, seed=size).requires_grad_()
        p = logits.softmax(dim=0).detach()
        for token in range(size):
            log_p = logits.log_softmax(dim=0)[token]
            (want,) = torch.autograd.grad(log_p, logits)
            given = answer(p.clone(), token)
            if torch.is_tensor(given) and given.shape == want.shape:
                require(
                    not torch.allclose(given, -want),
                    "that is the gradient of −log p: the drawn token's logit goes up",
                )
                require(
                    not torch.allclose(given, want * (want > 0)),
                    "the other tokens' logits have a gradient too: p is a softmax",
                )
            require_close(given, want, f"the score of token {token} of {size}")


@exercise
def check_noise(answer):
    """``answer(p, reward, score, num_samples)``: E‖ĝ − g‖² of S strings."""
    for strings, num_samples in ((4, 1), (8, 1), (8, 16)):
        p = _normal(strings).softmax(dim=0)
        reward, score = -_normal(strings, seed=1).square(), _normal(strings, 5, seed=2)
        each = reward[:, None] * score
        g = p @ each
        want = (p @ (each - g).square().sum(dim=1)) / num_samples
        given = answer(p, reward, score, num_samples)
        if given is not None:
            second = (p @ each.square().sum(dim=1)) / num_samples
            require(
                not torch.allclose(torch.as_tensor(given, dtype=DOUBLE), second),
                "that is the mean squared length: take the mean's own off",
            )
            require(
                num_samples == 1 or not _is(given, want * num_samples),
                "that is the variance of one string: S of them are averaged",
            )
            require(not _is(given, want.sqrt()), "that is its root: wanted, the square")
        what = f"the variance with {strings} strings and S = {num_samples}"
        require_close(given, want, what)


@exercise
def check_fresh_again(answer):
    """``answer(log_prob (S,), old_log_prob (S,), reward (S,))``: on average −∇E[r]."""
    times = torch.tensor([1, 2, 3, 4, 1, 1, 2, 2])  # drawn: the old policy, exactly
    which = torch.arange(8).repeat_interleave(times)
    old = (times / times.sum()).to(DOUBLE).log()
    reward = -_normal(8, seed=3).square()
    logits = (old + _normal(8, seed=4)).requires_grad_()
    log_prob = logits.log_softmax(dim=0)
    (want,) = torch.autograd.grad(-(log_prob.exp() @ reward), logits, retain_graph=True)
    loss = answer(log_prob[which], old[which], reward[which])
    require(loss is not None, "fresh_again returned None: return a loss")
    require(loss.requires_grad, "the loss has no gradient")
    (given,) = torch.autograd.grad(loss, logits, retain_graph=True)
    stale = torch.autograd.grad(
        -(logits.log_softmax(dim=0)[which] * reward[which]).mean(), logits
    )[0]
    require(
        not torch.allclose(given, stale),
        "this counts each string as often as it was drawn then, not as it would be now",
    )
    ratio = (log_prob - old).exp()
    flipped = (log_prob[which] * (reward / ratio.detach())[which]).mean()
    twice = (ratio * log_prob * reward)[which].mean()
    for slip, reason in (
        (flipped, "the ratio is upside down: likelier now must count more"),
        (twice, "ratio and log π both have a gradient here: one is enough"),
    ):
        (slipped,) = torch.autograd.grad(-slip, logits, retain_graph=True)
        require(not torch.allclose(given, slipped), reason)
    require_close(given, want, "the mean gradient of strings of the old policy")


def _tiny_policy() -> DecodingPolicy:
    """A policy of eight strings, as it is before any training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        tokenizer = NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0)
        encoder = RowEncoder(num_features=2, d_model=16, hidden=16)
        policy = DecodingPolicy(encoder, tokenizer, 16, num_heads=2, num_layers=1)
    with torch.no_grad():  # or the gradient of later tokens would drown the first's
        for embedding in (policy.token_embedding, policy.position_embedding):
            embedding.weight.mul_(25)
    return policy.double().eval()


def _gradient(policy: DecodingPolicy, x: Tensor, z: Tensor, first: int) -> Tensor:
    """Expected gradient of −r · Σ log π over the tokens from ``first`` on."""
    strings = all_strings(policy, x)
    values = policy.tokenizer.decode(strings.tokens)
    reward = squared_error_reward(values, z[strings.owner])
    drawn = strings.log_prob.detach().exp()
    loss = -(drawn * reward * strings.token_log_prob[:, first:].sum(dim=1)).sum()
    gradients = torch.autograd.grad(loss, list(policy.parameters()))
    return torch.cat([g.flatten() for g in gradients])


@exercise
def check_cosine_to_exact(answer):
    """``answer(loss_of, policy, x, z)``: cosine of the mean gradient and the exact."""
    policy, x = _tiny_policy(), _normal(2, 2, seed=5)
    z = torch.tensor([-2.0, 1.5], dtype=DOUBLE)
    exact, dropped = (_gradient(policy, x, z, first) for first in (0, 1))
    without_first = torch.cosine_similarity(exact, dropped, dim=0).item()

    def from_token(first, sign=-1.0):
        def loss_of(rollout, reward):
            log_prob = rollout.token_log_prob[:, first:].sum(dim=1)
            return sign * rollout.mean(log_prob * reward)

        return loss_of

    cases = [
        ("REINFORCE itself", from_token(0), 1.0),
        ("REINFORCE with the other sign", from_token(0, sign=1.0), -1.0),
        ("a loss without the first digit", from_token(1), without_first),
    ]
    for name, loss_of, want in cases:
        given = answer(loss_of, policy, x, z)
        require(given is not None, "it returned None: return the cosine")
        require(
            abs(float(given) - want) < 0.06,
            f"for {name} it is {float(given):.2f}, wanted about {want:.2f}. Average "
            "the gradients of many rollouts first, then take one cosine",
        )
