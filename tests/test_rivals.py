"""Trees as rivals: the best of their grids on the validation rows, and on no others."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_task
from sklearn.model_selection import ParameterGrid

from genre2_mini.experiments.rivals import RIVALS, tuned_rival
from genre2_mini.tasks import Split


def noise(num_rows=60):
    """A split whose z has nothing to do with x."""
    generator = torch.Generator().manual_seed(num_rows)
    x = torch.randn(num_rows, 3, generator=generator)
    return Split(x, torch.randn(num_rows, generator=generator).double())


def rmse(model, split):
    return np.sqrt(((model.predict(split.x.numpy()) - split.z.numpy()) ** 2).mean())


@pytest.mark.parametrize("name", RIVALS)
def test_a_rival_is_the_best_of_its_grid_on_the_validation_rows(name):
    """On noise: the best on the training rows is another one."""
    task = replace(make_task(), train=noise(90), valid=noise(60))
    regressor, grid = RIVALS[name]
    x, z = task.train.x.numpy(), task.train.z.numpy()
    fits = [(regressor(random_state=1, **p).fit(x, z), p) for p in ParameterGrid(grid)]
    best = min(fits, key=lambda fit: rmse(fit[0], task.valid))
    model, params = tuned_rival(name, task, seed=1)
    assert params == best[1]
    assert params != min(fits, key=lambda fit: rmse(fit[0], task.train))[1]
    np.testing.assert_array_equal(model.predict(x), best[0].predict(x))


def test_test_rows_choose_nothing(task):
    """With other test rows the choice and the model are the same."""
    x = task.valid.x.numpy()
    model, params = tuned_rival("boosting", task)
    other, chosen = tuned_rival("boosting", replace(task, test=noise()))
    assert chosen == params
    np.testing.assert_array_equal(other.predict(x), model.predict(x))


def test_an_unknown_rival_is_named_with_those_there_are(task):
    with pytest.raises(ValueError, match=r"'svm'; known: \['boosting', 'forest'\]"):
        tuned_rival("svm", task)
