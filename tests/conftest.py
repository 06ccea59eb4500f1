"""Small models and tasks that the tests share."""

import numpy as np
import pandas as pd
import pytest
import torch
from browser import browser, exhibit  # noqa: F401

from genre2_mini.encoders import RowEncoder
from genre2_mini.policy import DecodingPolicy
from genre2_mini.tasks import task_from_frame
from genre2_mini.tokenizers import (
    IEEETokenizer,
    NormalizedTokenizer,
    ScientificTokenizer,
)

TINY_TOKENIZERS = {
    "normalised": lambda: NormalizedTokenizer(base=3, num_digits=3, low=-2.0, high=2.0),
    # Unequal legal sets: 2 signs, 3 digits, 2·1 + 1 exponents.
    "scientific": lambda: ScientificTokenizer(num_digits=2, max_exponent=1),
    "ieee": lambda: IEEETokenizer(base=4, num_exponent_digits=1, num_mantissa_digits=2),
}


def make_policy(tokenizer, num_features=4, seed=0, dropout=0.1, d_model=16):
    """A tiny float64 policy with weights large enough to be far from uniform."""
    torch.manual_seed(seed)
    encoder = RowEncoder(num_features, d_model=d_model, hidden=16, dropout=dropout)
    policy = DecodingPolicy(
        encoder, tokenizer, d_model=d_model, num_heads=2, num_layers=2, dropout=dropout
    ).double()
    with torch.no_grad():
        policy.unembedding.weight.mul_(4)
    return policy.eval()


@pytest.fixture(params=list(TINY_TOKENIZERS))
def policy(request):
    """One tiny policy for each tokenizer."""
    return make_policy(TINY_TOKENIZERS[request.param]())


@pytest.fixture
def x():
    """Three input rows of four features."""
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(1))


def make_task(num_rows=160, seed=0):
    """A noiseless linear table of three features: easy, so learning is visible."""
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(generator.normal(size=(num_rows, 3)), columns=list("abc"))
    frame["y"] = 3 * frame["a"] - 2 * frame["b"] + 10
    return task_from_frame(frame, "y", name="linear", seed=seed)


@pytest.fixture(scope="session")
def task():
    """160 rows, split 64/16/20."""
    return make_task()


def policy_for(task, seed=0, dropout=0.1, num_digits=4):
    """A small float32 policy on the task's targets."""
    torch.manual_seed(seed)
    tokenizer = NormalizedTokenizer(base=2, num_digits=num_digits).fit(task.train.z)
    encoder = RowEncoder(task.num_features, d_model=16, hidden=32, dropout=dropout)
    return DecodingPolicy(encoder, tokenizer, 16, 2, 1, dropout=dropout)
