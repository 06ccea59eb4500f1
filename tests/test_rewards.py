"""Specification of the rewards."""

import pytest
import torch

from genre2_mini.rewards import squared_error_reward


def test_it_is_minus_the_squared_error_of_each_sample():
    values = torch.tensor([[1.0, 2.0, 4.0], [0.0, -1.0, 3.0]])
    z = torch.tensor([1.0, -1.0])
    expected = [[0.0, -1.0, -9.0], [-1.0, 0.0, -16.0]]
    assert squared_error_reward(values, z).tolist() == expected


def test_one_value_a_row():
    z = torch.tensor([1.0, 3.0])
    assert squared_error_reward(torch.tensor([2.0, 3.0]), z).tolist() == [-1.0, 0.0]


def test_rows_stay_rows_where_n_equals_s():
    values = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    z = torch.tensor([1.0, 2.0])  # broadcasting along the columns would give zeros
    assert squared_error_reward(values, z).tolist() == [[0.0, -1.0], [-1.0, 0.0]]


def test_float64_is_kept():
    values = torch.tensor([[1 + 1e-9]], dtype=torch.float64)
    reward = squared_error_reward(values, torch.tensor([1.0], dtype=torch.float64))
    # 1 + 1e-9 is itself rounded, to within 1.1e-16: 2.2e-7 of the error, squared.
    assert reward.item() == pytest.approx(-1e-18, rel=5e-7)


@pytest.mark.parametrize(
    ("values_shape", "z_shape"), [((2, 3), (3,)), ((2, 3), (2, 1)), ((2,), (2, 3))]
)
def test_a_target_for_every_row_is_required(values_shape, z_shape):
    with pytest.raises(ValueError, match="z must hold one target for each row"):
        squared_error_reward(torch.zeros(values_shape), torch.zeros(z_shape))
