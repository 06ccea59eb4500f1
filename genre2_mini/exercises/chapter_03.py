"""Chapter 3: log-likelihood, quantiles, temperature, two-hot targets, a leak."""

from collections.abc import Callable

import torch
from torch import Tensor

from genre2_mini.exercises import exercise, require, require_close
from genre2_mini.policy import DecodingPolicy
from genre2_mini.tasks import Split


@exercise
def check_string_nll(answer: Callable) -> None:
    """``answer(logits, tokens)``: (N, K, V), (N, K) -> −log π of each string (N,)."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4, 5, 3, generator=generator)
    tokens = torch.randint(3, (4, 5), generator=generator)
    each = torch.nn.functional.cross_entropy(logits.mT, tokens, reduction="none")
    want, got = each.sum(dim=1), answer(logits, tokens)
    require(got is not None, "it returned None: return one number a string, (N,)")
    require(not _equal(got, -want), "the sign: a probability below 1 has −log > 0")
    require(not _equal(got, each.mean(dim=1)), "a string's is the sum over its tokens")
    require(not _equal(got, want.mean()), "keep the rows apart: (N,), not their mean")
    require_close(got, want, "−log π of four strings", 1e-5)


@exercise
def check_best_under_pinball(answer: Callable) -> None:
    """``answer(values, weights, q)``: (V,), (V,) -> the value of least pinball loss."""
    values = torch.tensor([3.0, 0.0, 10.0, 1.0, 2.0]).double()
    weights = torch.tensor([0.05, 0.35, 0.2, 0.25, 0.15]).double()
    for q in (0.1, 0.5, 0.7, 0.9):
        gap = values[None, :] - values[:, None]  # what comes minus what was said
        loss = (torch.maximum(q * gap, (q - 1) * gap) * weights).sum(dim=1)
        got = answer(values, weights, q)
        require(got is not None, "it returned None: return one of the values")
        mirrored = values[torch.maximum((1 - q) * gap, -q * gap).mv(weights).argmin()]
        right = values[loss.argmin()]
        require(
            right == mirrored or not _equal(got, mirrored),
            f"at q = {q} this is the {1 - q:.2g} quantile: saying too little costs q",
        )
        require_close(got, right, f"the best answer at q = {q}")


@exercise
def check_best_temperature(
    answer: Callable, policy: DecodingPolicy, split: Split
) -> None:
    """``answer(policy, split, temperatures)``: the one of least cross-entropy."""
    temperatures = [0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0]
    tokens = policy.tokenizer.encode(split.z)
    with torch.no_grad():
        logits = policy.logits(split.x, tokens[:, None])[:, 0]
    nll = []
    for t in temperatures:
        log_probs = (logits / t).log_softmax(dim=-1)
        nll.append(-log_probs.gather(-1, tokens[..., None]).sum().item())
    best = temperatures[nll.index(min(nll))]
    got = answer(policy, split, temperatures)
    require(got is not None, "it returned None: return one of the temperatures")
    require(
        float(got) != temperatures[nll.index(max(nll))] or got == best,
        f"{got} is the worst of them: is the smallest loss the best?",
    )
    require_close(float(got), best, "the temperature")
    require(
        float(answer(policy, split, [0.5])) == 0.5,
        "choose among the temperatures that are given",
    )


@exercise
def check_two_hot(answer: Callable) -> None:
    """``answer(z, centres)``: (N,), rising (J,) -> target (N, J) with mean z."""
    centres = torch.tensor([-1.0, 0.0, 1.0, 2.0]).double()
    z = torch.tensor([0.25, -1.0, 1.9, 2.0]).double()
    got = answer(z, centres)
    require(got is not None, "it returned None: return the target (N, J)")
    require(got.shape == (4, 4), f"its shape is {tuple(got.shape)}, wanted (4, 4)")
    got = got.detach().double()
    require((got > -1e-9).all(), "a probability is negative")
    require_close(got.sum(dim=1), torch.ones(4), "the sum of each row")
    require(
        ((got > 1e-9).sum(dim=1) <= 2).all(), "use the two nearest centres, no others"
    )
    require_close(got @ centres, z, "the mean of each row")
    uneven = torch.tensor([0.0, 1.0, 5.0]).double()
    got = answer(torch.tensor([2.0]).double(), uneven)
    require_close(got, [[0.0, 0.75, 0.25]], "the target of 2 between 1 and 5")


@exercise
def check_shifted_logits(answer: Callable, policy: DecodingPolicy, x: Tensor) -> None:
    """``answer(policy, x, tokens)``: (N, K) -> logits (N, K, V) that leak nothing."""
    policy.eval()
    generator = torch.Generator().manual_seed(0)
    size, legal = policy.tokenizer.num_tokens, min(policy.tokenizer.vocab_sizes)
    tokens = torch.randint(legal, (len(x), size), generator=generator)
    with torch.no_grad():
        got = answer(policy, x, tokens)
        require(got is not None, "it returned None: return logits (N, K, V)")
        for k in range(size):
            changed = tokens.clone()
            changed[:, k] = (changed[:, k] + 1) % legal
            moved = answer(policy, x, changed)[:, : k + 1] - got[:, : k + 1]
            require(
                moved.nan_to_num().abs().max() < 1e-4,
                f"position {k + 1} still knows token {k + 1}, which it has to predict",
            )
        want = policy.logits(x, tokens[:, None])[:, 0]
    require_close(got, want, "the logits", 1e-4)


def _equal(a: object, b: Tensor) -> bool:
    a = torch.as_tensor(a).double()
    return a.shape == b.shape and torch.allclose(a, b.double(), atol=1e-5)
