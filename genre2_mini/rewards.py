"""Rewards: what a finished string is worth once it is a number."""

import torch
from torch import Tensor


def squared_error_reward(values: Tensor, z: Tensor) -> Tensor:
    """r = −(ẑ − z)², in squared units of z, the reward of GenRe² (arXiv 2512.06533).

    Parameters
    ----------
    values : (N, S) samples of each row, or (N,).
    z : (N,) true targets.

    Returns
    -------
    Rewards of the shape of ``values``, 0 at best.

    Raises
    ------
    ValueError : z is not one target for each row of values.
    """
    values, z = torch.as_tensor(values), torch.as_tensor(z)
    if z.shape != values.shape[: z.ndim]:
        raise ValueError(
            f"z must hold one target for each row of values {tuple(values.shape)}, "
            f"got shape {tuple(z.shape)}"
        )
    trailing = (1,) * (values.ndim - z.ndim)
    return -(values - z.reshape(*z.shape, *trailing)).square()
