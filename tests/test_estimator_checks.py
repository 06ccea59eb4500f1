"""scikit-learn's own specification of an estimator, whole, for every kind of model."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from genre2_mini.regressor import DecodingRegressor
from genre2_mini.tokenizers import NormalizedTokenizer, ScientificTokenizer

# Small and quick; the checks ask for behaviour, and for an R² above one half once.
SMALL = {
    "d_model": 16,
    "hidden": 32,
    "num_heads": 2,
    "num_layers": 1,
    "dropout": 0.0,
    "learning_rate": 1e-2,
    "rl_learning_rate": 1e-2,
    "ce_steps": 50,
    "rl_steps": 10,
}
ESTIMATORS = [
    DecodingRegressor(tokenizer=NormalizedTokenizer(2, 5), **SMALL),
    DecodingRegressor("ce", tokenizer=ScientificTokenizer(2, 1), **SMALL),
    DecodingRegressor("pointwise", **SMALL),
    DecodingRegressor("pointwise", periodic=True, **SMALL),
]
# Checks that cannot apply, by name and with the reason. There are none.
EXCUSED: dict[str, str] = {}


@pytest.mark.filterwarnings("ignore:Can't check dok sparse matrix:UserWarning")
@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda estimator: EXCUSED)
def test_estimator_checks(estimator, check):
    check(estimator)
