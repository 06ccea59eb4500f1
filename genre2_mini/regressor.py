"""A scikit-learn estimator that writes its predictions digit by digit.

Any method of :mod:`genre2_mini.methods` on any table: numbers, categories and gaps.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, check_random_state
from torch import Tensor

from genre2_mini.estimator_tables import (
    feature_table,
    target_names,
    target_table,
    training_task,
)
from genre2_mini.evaluation import draw_samples, predict_distribution
from genre2_mini.methods import POINT, build_model, choose_device, find_method
from genre2_mini.metrics import weighted_mean, weighted_median, weighted_quantile
from genre2_mini.saved_regressors import load_regressor, save_regressor
from genre2_mini.stages import train
from genre2_mini.tokenizers import Tokenizer

Statistic = Callable[[Tensor, Tensor], Tensor]  # of values (N, L), weights (N, L)
# What predict reports, and the validation score of it that chooses the weights.
AGGREGATIONS = {
    "mean": (weighted_mean, "rmse_mean"),
    "median": (weighted_median, "mae_median"),
}
ROWS_AT_ONCE = 2**15  # a prediction holds no more of the table's copies than these


class DecodingRegressor(RegressorMixin, BaseEstimator):
    """Decoding-based regression: GenRe² by default, every method of the book by name.

    ``fit`` holds out a part of the rows to choose the best weights, standardises by the
    others, trains a policy with cross-entropy and then with the method's objective.
    Weights of samples are not supported: batches of weighted rows would answer another
    question than repeated rows do, and the tokenizer's range knows no weights.

    Parameters
    ----------
    method : ``"genre2"``, ``"remax"``, ``"ce"``, … a key of ``methods.METHODS``.
    tokenizer : how numbers become digits, fitted here; None is 8 binary digits.
    d_model, hidden, num_heads, num_layers, dropout : sizes of the network.
    periodic : whether the network reads numeric columns through waves of learned
        frequencies, too (``encoders.PeriodicEmbedding``); the studies of the book are
        without, unless they say so.
    ce_steps, rl_steps : batches of cross-entropy, then of the method. A method without
        a first stage gets the sum.
    batch_size : rows of a batch.
    learning_rate, rl_learning_rate : of AdamW: of cross-entropy and of whatever begins
        from scratch, then of a method that fine-tunes a policy.
    patience : validations without a better score after which a stage ends; None: never.
    objective_params : arguments of the objective, such as ``{"expert_weight": 0.1}``.
    validation_fraction : share of the rows that choose the weights.
    aggregation : what ``predict`` reports of the distribution: ``"mean"``, for squared
        error, or ``"median"``, for absolute error and for tokenizers without bounds,
        whose mean a single unlikely exponent decides. The validation rows choose the
        weights by the same.
    device : ``"cpu"``, ``"cuda"`` or ``"auto"``.
    checkpoint : folder that keeps the training's state. Where an interrupted run left
        one, ``fit`` goes on from it; None keeps nothing.
    random_state : seed of split, weights and batches; the same seed and number of
        threads give the same model.
    verbose : 1 shows a progress bar.

    Attributes
    ----------
    model_ : the trained network.
    schema_ : the table's columns and standardisation.
    history_ : DataFrame, one row a validation.
    clipped_targets_ : training targets the tokenizer cannot write.
    target_names_ : the targets' names as text.
    n_features_in_, feature_names_in_ : as everywhere in scikit-learn.
    """

    def __init__(
        self,
        method: str = "genre2",
        *,
        tokenizer: Tokenizer | None = None,
        d_model: int = 64,
        hidden: int = 256,
        num_heads: int = 4,
        num_layers: int = 2,
        dropout: float = 0.1,
        periodic: bool = True,
        ce_steps: int = 1000,
        rl_steps: int = 300,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        rl_learning_rate: float = 3e-4,
        patience: int | None = 8,
        objective_params: dict | None = None,
        validation_fraction: float = 0.2,
        aggregation: str = "mean",
        device: str = "cpu",
        checkpoint: str | Path | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.method = method
        self.tokenizer = tokenizer
        self.d_model = d_model
        self.hidden = hidden
        self.num_heads = num_heads
        self.num_layers = num_layers
        self.dropout = dropout
        self.periodic = periodic
        self.ce_steps = ce_steps
        self.rl_steps = rl_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.rl_learning_rate = rl_learning_rate
        self.patience = patience
        self.objective_params = objective_params
        self.validation_fraction = validation_fraction
        self.aggregation = aggregation
        self.device = device
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True  # a gap takes the training mean
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X, y) -> DecodingRegressor:
        """Train on a table X (N, features) and targets y (N,) or (N, D).

        Parameters
        ----------
        X : DataFrame (numbers, booleans, text, categories, gaps) or array of numbers.
        y : in its own unit; D targets are written one string after another.

        Raises
        ------
        ValueError : a parameter out of range; fewer than 5 rows; targets that are
            missing, infinite, not numbers or constant; features that are infinite;
            a row so far from the others that its scores overflow.
        """
        method = find_method(self.method)
        if self.aggregation not in AGGREGATIONS:
            raise ValueError(
                f"aggregation={self.aggregation!r} must be one of {list(AGGREGATIONS)}"
            )
        device = choose_device(self.device)
        frame = feature_table(self, X, reset=True)
        target = target_table(self, y, len(frame))
        self.target_names_ = target_names(target)
        self._column_target = target.ndim == 2 and target.shape[1] == 1
        if self._column_target:  # one target, reported as it came
            target = target.iloc[:, 0]
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        task = training_task(frame, target, self.validation_fraction, seed)
        names = "d_model", "hidden", "num_heads", "num_layers", "dropout", "periodic"
        network = {name: getattr(self, name) for name in names}
        model = build_model(method, task, self.tokenizer, seed=seed, **network)
        model.to(device)
        self.history_ = train(
            model,
            task,
            method,
            ce_steps=self.ce_steps,
            rl_steps=self.rl_steps,
            rl_learning_rate=self.rl_learning_rate,
            objective_params=self.objective_params,
            folder=None if self.checkpoint is None else Path(self.checkpoint),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            patience=self.patience,
            metric=AGGREGATIONS[self.aggregation][1],
            seed=seed,
            progress=None if self.verbose else False,
        )
        self.model_, self.schema_ = model, task.schema
        self.clipped_targets_ = self.history_.attrs["clipped_targets"]
        return self

    def predict(self, X) -> np.ndarray:
        """Mean or median of each row's distribution, in y's unit: (N,) or (N, D)."""
        [prediction] = self._report(X, AGGREGATIONS[self.aggregation][0])
        return prediction

    def predict_distribution(self, X) -> tuple[np.ndarray, np.ndarray]:
        """Each row's predictive distribution as weighted values, in y's unit.

        All strings of the tokenizer, up to branches less likely than one in a million;
        with more than 20,000 strings, the 1024 evenly spread ones that stand for them.
        A pointwise head answers with one value.

        Returns
        -------
        values (N, L), of D targets (N, L, D); weights (N, L) that sum to one.
        """
        pairs = list(self._distributions(X))
        longest = max(values.shape[1] for values, _ in pairs)
        # Each block is filled to the longest row: weight 0, a value that is there.
        filled = [
            (
                np.pad(v, ((0, 0), (0, longest - v.shape[1]), *rest), mode="edge"),
                np.pad(w, ((0, 0), (0, longest - w.shape[1]))),
            )
            for v, w in pairs
            for rest in [((0, 0),) * (v.ndim - 2)]
        ]
        values, weights = map(np.concatenate, zip(*filled, strict=True))
        return values, weights

    def predict_quantiles(self, X, q: Sequence[float] = (0.1, 0.5, 0.9)) -> np.ndarray:
        """Quantiles, in y's unit: (N, Q), of D targets (N, Q, D).

        Raises
        ------
        ValueError : a level outside [0, 1], or a method that predicts one number.
        """
        return self.predict_with_quantiles(X, q)[1]

    def predict_with_quantiles(
        self, X, q: Sequence[float] = (0.1, 0.5, 0.9)
    ) -> tuple[np.ndarray, np.ndarray]:
        """What ``predict`` and ``predict_quantiles`` say, in one pass over X."""
        self._check_has_distribution("quantiles")

        def quantiles(values: Tensor, weights: Tensor) -> Tensor:
            return weighted_quantile(values, list(q), weights)

        return tuple(self._report(X, AGGREGATIONS[self.aggregation][0], quantiles))

    def predict_interval(self, X, coverage: float = 0.9) -> np.ndarray:
        """The central interval that should hold y with this probability: (N, 2).

        Of D targets (N, 2, D). Whether it does is a question of calibration: the reward
        of a single number sharpens a policy, and intervals of ``"ce"`` are wider.

        Raises
        ------
        ValueError : ``coverage`` outside (0, 1), or a method that predicts one number.
        """
        self._check_has_distribution("an interval")
        if not 0 < coverage < 1:
            raise ValueError(f"coverage={coverage} must lie between 0 and 1")
        return self.predict_quantiles(X, [(1 - coverage) / 2, (1 + coverage) / 2])

    def sample(self, X, num_samples: int = 1, random_state: int | None = None):
        """S = ``num_samples`` draws from each row's distribution, in y's unit.

        Returns
        -------
        (N, S), of D targets (N, S, D).

        Raises
        ------
        ValueError : ``num_samples`` < 1, or a method that predicts one number.
        """
        self._check_has_distribution("a sample")
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        x = self.schema_.transform(feature_table(self, X, reset=False))
        values = draw_samples(self.model_, x, num_samples, seed)
        return self.schema_.unstandardise(values.numpy())

    def save(self, folder: str | Path) -> Path:
        """Write the fitted estimator to ``folder``; :meth:`load` reads it.

        One safetensors file that replaces an older one at once: weights, columns,
        parameters and history, nothing that is code.

        Raises
        ------
        NotFittedError : there is nothing to save yet.
        OSError : the folder cannot be written; an older model stays as it was.
        """
        check_is_fitted(self)
        return save_regressor(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> DecodingRegressor:
        """Read what ``save`` wrote, on the CPU; its predictions are the same.

        Raises
        ------
        CheckpointError : no model there, or one that is damaged, changed or foreign.
        """
        return load_regressor(cls, Path(folder))

    def _distributions(self, X) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Values in y's unit and weights, some rows at a time.

        In float64, where a row's prediction does not depend on the rows around it.
        """
        check_is_fitted(self)
        frame = feature_table(self, X, reset=False)
        model = copy.deepcopy(self.model_).double()
        for start in range(0, len(frame), ROWS_AT_ONCE):
            x = self.schema_.transform(frame.iloc[start : start + ROWS_AT_ONCE])
            values, weights = predict_distribution(model, x, num_samples=None)
            y = self.schema_.unstandardise(values)
            if not y.isfinite().all():
                raise ValueError("X is so far from the training rows that y overflows")
            yield y.numpy(), weights.numpy()

    def _report(self, X, *statistics: Statistic) -> list[np.ndarray]:
        """Statistics of each row's distribution, one target at a time."""
        blocks = []
        for values, weights in self._distributions(X):
            values, weights = torch.from_numpy(values), torch.from_numpy(weights)
            several = values.ndim == 3
            targets = values.unbind(-1) if several else [values]
            found = [[f(v, weights) for v in targets] for f in statistics]
            blocks.append([torch.stack(f, -1) if several else f[0] for f in found])
        reports = [torch.cat(part).numpy() for part in zip(*blocks, strict=True)]
        return [r[..., None] for r in reports] if self._column_target else reports

    def _check_has_distribution(self, what: str) -> None:
        check_is_fitted(self)
        if find_method(self.method).model == POINT:
            raise ValueError(
                f"method={self.method!r} predicts one number, no distribution: for "
                f"{what} choose another method"
            )
