"""Rivals that are not networks: two ensembles of trees, tuned on the same rows."""

from __future__ import annotations

from sklearn.base import RegressorMixin
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import ParameterGrid
from threadpoolctl import threadpool_limits

from genre2_mini.tasks import Task

# Boosting's own early stopping would keep a tenth of its training rows to itself. Here
# the validation rows, which all methods are chosen by, choose its length as well.
RIVALS = {
    "boosting": (
        HistGradientBoostingRegressor,
        {"early_stopping": [False], "max_iter": [100, 400]}
        | {"learning_rate": [0.03, 0.1], "max_leaf_nodes": [7, 31]},
    ),
    "forest": (
        RandomForestRegressor,
        {
            "n_estimators": [200],
            "min_samples_leaf": [1, 5],
            "max_features": [1 / 3, 1.0],
        },
    ),
}


def tuned_rival(name: str, task: Task, seed: int = 0) -> tuple[RegressorMixin, dict]:
    """The best of a grid: trained on ``task.train``, chosen by RMSE on ``task.valid``.

    One thread does it all. ``seed`` is the rival's ``random_state``.

    Returns
    -------
    model, params : a fitted scikit-learn regressor of z, and its place in the grid.

    Raises
    ------
    ValueError : ``name`` is no key of ``RIVALS``.
    """
    if name not in RIVALS:
        raise ValueError(f"unknown rival {name!r}; known: {list(RIVALS)}")
    regressor, grid = RIVALS[name]
    x, z = task.train.x.numpy(), task.train.z.numpy()

    def validation_rmse(candidate: tuple[RegressorMixin, dict]) -> float:
        prediction = candidate[0].predict(task.valid.x.numpy())
        return root_mean_squared_error(task.valid.z.numpy(), prediction)

    with threadpool_limits(1):
        candidates = (
            (regressor(random_state=seed, **params).fit(x, z), params)
            for params in ParameterGrid(grid)
        )
        return min(candidates, key=validation_rmse)
