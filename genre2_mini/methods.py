"""Every method by name: what it trains, on which objective, starting from where.

The estimator, the command line and the studies read one table, so that a name means the
same everywhere. All methods share the encoder, the training loop, the steps and the
validation metric; those that fine-tune a policy start from the same cross-entropy.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

import torch
from torch import nn

from genre2_mini.encoders import RowEncoder
from genre2_mini.heads import HistogramHead, PointwiseHead
from genre2_mini.objectives import (
    CRPS,
    DIST2,
    GRPO,
    NTLMSE,
    NTLWAS,
    PPO,
    REINFORCE,
    RLOO,
    CrossEntropy,
    ExactPolicyGradient,
    ExpertSupervision,
    GenRe2,
    HistogramCrossEntropy,
    Objective,
    ReMax,
    SquaredError,
)
from genre2_mini.policy import DecodingPolicy
from genre2_mini.tasks import Task
from genre2_mini.text_encoder import TextEncoder
from genre2_mini.tokenizers import ConcatenatedTokenizer, NormalizedTokenizer, Tokenizer

POLICY, POINT, HISTOGRAM = "policy", "pointwise", "histogram"


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes
    ----------
    label : its name in tables and figures, a key of the book's palette.
    objective : makes the objective; takes the objective's own arguments.
    model : ``"policy"``, ``"pointwise"`` or ``"histogram"``.
    """

    label: str
    objective: Callable[..., Objective]
    model: str = POLICY

    @property
    def fine_tunes(self) -> bool:
        """Whether it starts from a cross-entropy policy."""
        return self.model == POLICY and self.objective is not CrossEntropy


METHODS: dict[str, Method] = {
    "ce": Method("CE", CrossEntropy),
    "ntl_mse": Method("NTL-MSE", NTLMSE),
    "ntl_was": Method("NTL-WAS", NTLWAS),
    "dist2": Method("DIST²", DIST2),
    "reinforce": Method("REINFORCE", REINFORCE),
    "rloo": Method("RLOO", RLOO),
    "remax": Method("ReMax", ReMax),
    "grpo": Method("GRPO", GRPO),
    "dr_grpo": Method("Dr. GRPO", partial(GRPO, divide_by_std=False)),
    "ppo": Method("PPO", PPO),
    "crps": Method("CRPS", CRPS),
    "exact": Method("Exact gradient", ExactPolicyGradient),
    "expert": Method("Expert alone", ExpertSupervision),
    "genre2": Method("GenRe²", GenRe2),
    "pointwise": Method("Pointwise", SquaredError, POINT),
    "histogram": Method("Histogram", HistogramCrossEntropy, HISTOGRAM),
}


def find_method(name: str) -> Method:
    """The method of that name.

    Raises
    ------
    ValueError : there is none; names the closest and all others.
    """
    if name not in METHODS:
        close = get_close_matches(str(name), METHODS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"unknown method {name!r}.{hint} Methods: {', '.join(METHODS)}"
        )
    return METHODS[name]


def choose_device(name: str) -> str:
    """``auto``: the GPU if there is one. ValueError for a device that is not there."""
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device={name!r} must be 'auto', 'cpu' or 'cuda'")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("PyTorch finds no CUDA device here: use device='cpu'")
    return name


def fit_tokenizer(tokenizer: Tokenizer | None, z: torch.Tensor) -> Tokenizer:
    """A tokenizer for training targets z, (N,) or (N, D): one part for each target.

    A copy of the one given, which stays as it is; None is eight binary digits.
    """
    fresh = copy.deepcopy(tokenizer) or NormalizedTokenizer(base=2, num_digits=8)
    if z.ndim == 1 or isinstance(fresh, ConcatenatedTokenizer):
        return fresh.fit(z)
    return ConcatenatedTokenizer([fresh] * z.shape[1]).fit(z)


def build_model(
    method: Method,
    task: Task,
    tokenizer: Tokenizer | None = None,
    *,
    d_model: int = 64,
    hidden: int = 256,
    encoder_layers: int = 2,
    num_heads: int = 4,
    num_layers: int = 2,
    dropout: float = 0.1,
    periodic: bool = False,
    seed: int = 0,
) -> nn.Module:
    """The method's network for a task, with the initial weights of ``seed``.

    Rows are read by a :class:`RowEncoder`, ids (x in int64) by a :class:`TextEncoder`.

    Parameters
    ----------
    tokenizer : a copy is fitted to the training targets; None is 8 binary digits.
    d_model, num_heads, num_layers, dropout : the transformer.
    hidden, encoder_layers : width and number of the encoder's hidden layers; a text's
        encoder has as many blocks, and no use for ``hidden``.
    periodic : whether the encoder reads numeric columns through waves, too.

    Raises
    ------
    ValueError : a histogram for several targets, periodic embeddings of a text, or
        sizes that do not fit together.
    """
    several = task.train.z.ndim == 2
    if several and method.model == HISTOGRAM:
        raise ValueError(
            "method='histogram' predicts one target; train one model for each target, "
            "or use a policy or 'pointwise'"
        )
    with torch.random.fork_rng(devices=[]):  # leaves the caller's generator alone
        torch.manual_seed(seed)
        encoder = build_encoder(
            task, d_model, hidden, encoder_layers, num_heads, dropout, periodic
        )
        if method.model == POINT:
            targets = task.train.z.shape[1] if several else 1
            return PointwiseHead(encoder, d_model, targets)
        if method.model == HISTOGRAM:
            return HistogramHead(encoder, d_model)
        tokenizer = fit_tokenizer(tokenizer, task.train.z)
        return DecodingPolicy(
            encoder, tokenizer, d_model, num_heads, num_layers, dropout=dropout
        )


def build_encoder(
    task: Task,
    d_model: int,
    hidden: int,
    num_layers: int,
    num_heads: int,
    dropout: float,
    periodic: bool,
) -> nn.Module:
    """What reads the task's inputs: rows of numbers, or ids of texts (int64).

    Raises
    ------
    ValueError : ``periodic`` for texts, which have no numeric columns.
    """
    if task.train.x.dtype != torch.int64:
        waves = len(task.schema.numeric) if periodic else 0
        sizes = {"num_layers": num_layers, "dropout": dropout, "num_periodic": waves}
        return RowEncoder(task.num_features, d_model, hidden, **sizes)
    if periodic:
        raise ValueError("periodic=True is for numeric columns; texts have none")
    sizes = {"num_heads": num_heads, "num_layers": num_layers, "dropout": dropout}
    return TextEncoder(257, task.train.x.shape[1], d_model, **sizes)
