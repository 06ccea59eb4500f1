"""The checks of chapter 4: gradients, bounds, first wrong digits, temperature."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from genre2_mini.exercises import exercise, require, require_close
from genre2_mini.experiments.mismatch import exact_distribution
from genre2_mini.tokenizers import NormalizedTokenizer


@exercise
def check_ce_gradient(answer):
    """``answer(logits (V,), true)``: the gradient (V,) of cross-entropy, by hand."""
    generator = torch.Generator().manual_seed(0)
    for size, true in ((2, 1), (10, 1), (10, 7)):
        logits = torch.randn(size, generator=generator)
        logits.requires_grad_()
        loss = cross_entropy(logits[None], torch.tensor([true]))
        (wanted,) = torch.autograd.grad(loss, logits)
        given = answer(logits.detach(), true)
        if given is not None and given.shape == wanted.shape:
            p = logits.detach().softmax(dim=0)
            require(
                not torch.allclose(given, -wanted),
                "that is the direction of descent: the gradient has the other sign",
            )
            require(
                not torch.allclose(given, p),
                "right for the wrong digits, but the true digit's own logit pulls too",
            )
        require_close(given, wanted, f"gradient with {size} digits, true {true}", 1e-5)


def _squared_error(p, values, true):
    return (p * (values - values[true]).square()).sum()


@exercise
def check_error_range(answer):
    """``answer(p, values (V,), true)``: least and largest E(ẑ − z)², z = values[true].

    p is the probability of the true string; nothing else about the policy is known.
    """
    for count, true, p in ((8, 3, 0.6), (8, 0, 0.25), (5, 4, 1.0)):
        values = torch.linspace(-1.0, 2.0, count, dtype=torch.float64)
        squared = (values - values[true]).square()
        wrong = squared[torch.arange(count) != true]
        given = answer(p, values, true)
        require(given is not None, "error_range returned None: return low, high")
        require(len(given) == 2, f"wanted two numbers, low and high, got {len(given)}")
        low, high = (float(number) for number in given)
        case = f"of {count} strings, true {true}, p = {p}"
        require(
            p == 1 or low > 0,
            f"{case}: low is 0, but with probability {1 - p:g} the string is wrong, "
            "and the nearest wrong string has an error",
        )
        require_close(low, (1 - p) * wrong.min(), f"low, {case}")
        require_close(high, (1 - p) * wrong.max(), f"high, {case}")


@exercise
def check_likelier_and_worse(answer):
    """``answer(p (V,), values (V,), true)``: q of lower cross-entropy, larger error."""
    values = torch.arange(8.0, dtype=torch.float64)
    for true, chance, other in ((3, 0.5, 4), (0, 0.2, 1), (6, 0.7, 5)):
        p = torch.zeros(8, dtype=torch.float64)
        p[true], p[other] = chance, 1 - chance
        q = answer(p.clone(), values, true)
        require(q is not None, "likelier_and_worse returned None: return q")
        q = torch.as_tensor(q, dtype=torch.float64)
        require(q.shape == p.shape, f"q has shape {tuple(q.shape)}, wanted (8,)")
        require(
            (q >= 0).all() and abs(q.sum().item() - 1) < 1e-6,
            f"q sums to {q.sum():.4g} with least entry {q.min():.3g}: no distribution",
        )
        case = f"true {true}, p = {chance}"
        require(
            q[true] > p[true],
            f"{case}: q gives the true string {q[true]:.3g}, so its cross-entropy is "
            "not lower",
        )
        before, after = (_squared_error(d, values, true) for d in (p, q))
        require(
            after > before,
            f"{case}: expected squared error {after:.3g} is not above {before:.3g}",
        )


@exercise
def check_first_wrong_digit(answer):
    """``answer(strings (V, K), truth (K,))``: position 1 … K, or K + 1 for none."""
    for base, digits in ((2, 3), (10, 2)):
        tokenizer = NormalizedTokenizer(base, digits, low=0, high=1)
        places = [torch.arange(base)] * digits
        strings = torch.cartesian_prod(*places)
        for truth in (strings[0], strings[len(strings) // 2 - 1], strings[-1]):
            wrong = (strings != truth).long()
            none = torch.ones(len(strings), 1, dtype=torch.long)
            wanted = torch.cat([wrong, none], dim=1).argmax(dim=1) + 1
            given = answer(strings, truth)
            if given is not None and given.shape == wanted.shape:
                require(
                    not torch.equal(given, wanted - 1),
                    "positions count from 1: yours count from 0",
                )
                distance = wrong.sum(dim=1)
                require(
                    not torch.equal(given, distance),
                    "that is how many digits are wrong, not which is the first",
                )
                same = (wanted == digits + 1).nonzero()[:, 0]
                require(
                    (given[same] == digits + 1).all(),
                    f"the truth itself has no wrong digit: {digits + 1}, you say "
                    f"{given[same].tolist()[0]}",
                )
            text = tokenizer.to_strings(truth)
            require_close(given, wanted, f"first wrong digit, truth {text}")


@exercise
def check_scores_at(answer, policy, x, z):
    """``answer(policy, x, z, T)``: nats a row, RMSE of one string, tokens at T."""
    tokenizer = policy.tokenizer
    temperatures = (0.5, 1.0, 1.5)
    tokens, log_prob = exact_distribution(policy, x, temperatures)
    true = (tokens == tokenizer.encode(z)[:, None]).all(dim=-1)
    squared = (tokenizer.decode(tokens) - z[:, None]).square()
    for temperature, log_p in zip(temperatures, log_prob.sum(dim=-1), strict=True):
        given = answer(policy, x, z, temperature)
        require(given is not None, "scores_at returned None: return nats, rmse")
        require(len(given) == 2, f"wanted two numbers, nats and rmse, got {len(given)}")
        nats, rmse = (float(number) for number in given)
        wanted_nats = -log_p[true].mean().item()
        mse = (log_p.double().exp() * squared).sum(dim=1).mean().item()
        require(
            abs(rmse - mse) > 1e-6 or abs(mse - 1) < 1e-3,
            "that is the mean squared error: take its root",
        )
        require(
            abs(nats * tokenizer.num_tokens - wanted_nats) > 1e-4,
            "nats a token: a string's log-probability is the sum over its tokens",
        )
        require_close(nats, wanted_nats, f"nats at T = {temperature}", 1e-3)
        require_close(rmse, mse**0.5, f"RMSE at T = {temperature}", 1e-3)
