"""A fitted estimator on disk: one checkpoint file in a folder, nothing unpickled."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from genre2_mini.checkpoints import load_checkpoint, plain, save_checkpoint
from genre2_mini.methods import find_method
from genre2_mini.rebuilding import INVALID, CheckpointError, check_counts
from genre2_mini.tasks import TableSchema
from genre2_mini.tokenizers import Tokenizer, tokenizer_from_config

if TYPE_CHECKING:
    from genre2_mini.regressor import DecodingRegressor

FILE = "model.safetensors"


def save_regressor(regressor: DecodingRegressor, folder: Path) -> Path:
    """Write a fitted ``regressor`` to ``folder``; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    names = getattr(regressor, "feature_names_in_", None)
    history = regressor.history_
    state = {
        "params": json_params(regressor.get_params(deep=False)),
        "n_features_in": regressor.n_features_in_,
        "feature_names_in": None if names is None else list(names),
        "target_names": regressor.target_names_,
        "column_target": regressor._column_target,
        "history": {
            "rows": history.to_dict(orient="records"),
            "attrs": history.attrs,
        },
    }
    return save_checkpoint(
        folder / FILE,
        regressor.model_,
        preprocessing=regressor.schema_.to_dict(),
        training={"regressor": state},
    )


def load_regressor(cls: type[DecodingRegressor], folder: Path) -> DecodingRegressor:
    """Read what :func:`save_regressor` wrote.

    Raises
    ------
    CheckpointError : no model there, or one that is damaged, changed or foreign.
    """
    saved = load_checkpoint(folder / FILE)
    state = (saved.training or {}).get("regressor")
    if state is None:
        raise CheckpointError(f"{folder / FILE} holds a network, no fitted regressor")
    try:
        params, history = state["params"], state["history"]
        if params["tokenizer"] is not None:
            check_counts(params["tokenizer"], saved.model.state_dict())
            params["tokenizer"] = tokenizer_from_config(params["tokenizer"])
        find_method(params["method"])
        params.setdefault("periodic", False)  # a file older than the parameter
        regressor = cls(**params)
        regressor.model_ = saved.model
        regressor.schema_ = TableSchema.from_dict(saved.preprocessing)
        if regressor.schema_.num_features != saved.model.encoder.num_features:
            raise ValueError("columns of the table do not fit the network")
        regressor.history_ = pd.DataFrame(history["rows"])
        regressor.history_.attrs = history["attrs"]
        regressor.clipped_targets_ = history["attrs"]["clipped_targets"]
        regressor.n_features_in_ = state["n_features_in"]
        regressor.target_names_ = state["target_names"]
        regressor._column_target = state["column_target"]
        if (names := state["feature_names_in"]) is not None:
            regressor.feature_names_in_ = np.array(names, dtype=object)
    except INVALID as error:
        raise CheckpointError(
            f"{folder / FILE}: incomplete state ({error!r})"
        ) from error
    return regressor


def json_params(params: dict) -> dict:
    """Parameters as JSON types; what has none becomes None, with a warning.

    A reward function or a generator cannot be written as data. They were of use in
    training only: the predictions do not need them.
    """
    kept = {}
    for name, value in params.items():
        if isinstance(value, Tokenizer):
            value = value.config
        elif isinstance(value, Path):
            value = str(value)
        try:
            kept[name] = json.loads(json.dumps(value, default=plain))
        except TypeError:
            kept[name] = None
            warnings.warn(
                f"{name}={value!r} is no plain data and is not saved; a loaded model "
                "predicts the same, but a new fit needs it again",
                stacklevel=5,
            )
    return kept
