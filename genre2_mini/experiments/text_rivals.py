"""Rivals that read a text without a network: its n-grams, its length, or nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import root_mean_squared_error
from threadpoolctl import threadpool_limits
from torch import Tensor

from genre2_mini.tasks import CodeSplit, Task

Predict = Callable[[CodeSplit], Tensor]  # a split -> (N,), float64, in z units
NGRAMS = ((1, 2), (1, 4))
ALPHAS = (0.01, 0.1, 1.0, 10.0, 100.0)


def ridge_on_ngrams(task: Task) -> tuple[Predict, dict]:
    """Ridge regression on TF-IDF of the characters' n-grams, chosen by ``task.valid``.

    It reads whole texts, also where a network's are cut. Words keep their case, counts
    enter by their logarithm, and an n-gram has to be in two training texts.

    Returns
    -------
    predict, params : the best of ``NGRAMS`` × ``ALPHAS``, and which it is.
    """
    best = None
    for ngrams in NGRAMS:
        words = TfidfVectorizer(
            analyzer="char",
            ngram_range=ngrams,
            lowercase=False,
            sublinear_tf=True,
            min_df=2,
        )
        train = words.fit_transform(task.train.texts)
        valid = words.transform(task.valid.texts)
        for alpha in ALPHAS:
            ridge = Ridge(alpha, solver="sparse_cg", tol=1e-4)
            ridge.fit(train, task.train.z.numpy())
            error = root_mean_squared_error(task.valid.z, ridge.predict(valid))
            if best is None or error < best[0]:
                params = {"ngram_range": list(ngrams), "alpha": alpha}
                best = error, words, ridge, params
    _, words, ridge, params = best

    def predict(split: CodeSplit) -> Tensor:
        return torch.from_numpy(ridge.predict(words.transform(split.texts)))

    return predict, params


def line_through_length(task: Task) -> tuple[Predict, dict]:
    """Least squares on the logarithm of the text's length: no word of it is read."""

    def features(split: CodeSplit) -> np.ndarray:
        return np.log([[len(text)] for text in split.texts])

    line = LinearRegression().fit(features(task.train), task.train.z.numpy())
    return lambda split: torch.from_numpy(line.predict(features(split))), {}


def constant(task: Task) -> tuple[Predict, dict]:
    """The mean of the training targets, whatever the text."""
    mean = task.train.z.mean()
    return lambda split: mean.expand(len(split)), {}


TEXT_RIVALS: dict[str, Callable[[Task], tuple[Predict, dict]]] = {
    "ridge": ridge_on_ngrams,
    "length": line_through_length,
    "constant": constant,
}


def tuned_text_rival(name: str, task: Task) -> tuple[Predict, dict]:
    """One of ``TEXT_RIVALS``, fitted to ``task.train`` with one thread.

    The task's z are logarithms (``scale="log"``).
    """
    with threadpool_limits(1):
        return TEXT_RIVALS[name](task)
