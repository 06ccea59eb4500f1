"""The law of a pair of numbers as a table of cells, and exact scores of it.

Two normalised strings spell a point of a grid. With few digits the grid is small: the
probability of each cell is known, and so is every expectation, without one draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genre2_mini.evaluation import predict_distribution
from genre2_mini.policy import DecodingPolicy
from genre2_mini.tokenizers import NormalizedTokenizer
from genre2_mini.tokenizers.digits import from_digits


@dataclass(frozen=True)
class Grid:
    """The cells that two normalised tokenizers can write, C₁ · C₂ of them."""

    parts: tuple[NormalizedTokenizer, NormalizedTokenizer]

    @property
    def shape(self) -> tuple[int, int]:
        """C₁, C₂."""
        return tuple(part.base**part.num_digits for part in self.parts)

    @property
    def values(self) -> Tensor:
        """Both numbers of each cell: (C₁, C₂, 2), float64."""
        axes = [
            part.low + part.resolution * torch.arange(cells).double()
            for part, cells in zip(self.parts, self.shape, strict=True)
        ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)

    def cells(self, z: Tensor) -> Tensor:
        """Which cell of each axis pairs z (…, 2) fall into: (…, 2) int64."""
        axes = zip(self.parts, z.unbind(-1), strict=True)
        found = [from_digits(part.encode(column), part.base) for part, column in axes]
        return torch.stack(found, dim=-1)

    def law(self, values: Tensor, weights: Tensor) -> Tensor:
        """Weighted pairs (N, L, 2) and weights (N, L) -> probabilities (N, C₁, C₂)."""
        first, second = self.cells(values).unbind(-1)
        flat = weights.new_zeros(len(weights), self.shape[0] * self.shape[1])
        flat.scatter_add_(1, first * self.shape[1] + second, weights)
        return flat.unflatten(1, self.shape)


def grid_of(policy: DecodingPolicy) -> Grid:
    """The grid of a policy that writes two normalised strings, in their order.

    Raises
    ------
    ValueError : its tokenizer writes something else.
    """
    parts = getattr(policy.tokenizer, "parts", ())
    if [type(part) for part in parts] != [NormalizedTokenizer] * 2:
        raise ValueError(f"not two normalised targets: {policy.tokenizer!r}")
    return Grid(tuple(parts))


def chained_law(policy: DecodingPolicy, x: Tensor) -> Tensor:
    """Probabilities (N, C₁, C₂) of a policy that writes both, exact to 1e-6."""
    return grid_of(policy).law(*predict_distribution(policy, x, num_samples=None))


def product_law(policies: list[nn.Module], x: Tensor) -> Tensor:
    """Probabilities (N, C₁, C₂) of two policies of one target each: of each, alone."""
    margins = []
    for policy in policies:
        tokenizer = policy.tokenizer
        values, weights = predict_distribution(policy, x, num_samples=None)
        cell = from_digits(tokenizer.encode(values), tokenizer.base)
        margin = weights.new_zeros(len(x), tokenizer.base**tokenizer.num_digits)
        margins.append(margin.scatter_add_(1, cell, weights))
    return margins[0][:, :, None] * margins[1][:, None, :]


def shuffled(law: Tensor) -> Tensor:
    """The law without its dependence: each number as before, drawn on its own."""
    return law.sum(dim=2, keepdim=True) * law.sum(dim=1, keepdim=True)


def dependence(law: Tensor) -> Tensor:
    """Mutual information (N,) of the two numbers, in nats: 0 where one tells nothing
    about the other."""
    return (torch.xlogy(law, law) - torch.xlogy(law, shuffled(law))).sum(dim=(1, 2))


def energy_score(law: Tensor, grid: Grid, z: Tensor) -> Tensor:
    """E‖X − z‖ − ½ E‖X − X'‖ (N,), exact, in units of z; lower is better.

    The CRPS of a vector (Gneiting and Raftery 2007, equation 22). On a grid the second
    mean needs only how likely each *offset* between two draws is: the autocorrelation
    of the table, by one Fourier transform.
    """
    to_truth = (grid.values - z[:, None, None, :]).norm(dim=-1)  # (N, C₁, C₂)
    sizes = [2 * cells for cells in grid.shape]
    power = torch.fft.rfft2(law, s=sizes).abs().square()
    offsets = torch.fft.irfft2(power, s=sizes)
    steps = [
        part.resolution * torch.fft.fftfreq(size, 1 / size, dtype=torch.float64)
        for part, size in zip(grid.parts, sizes, strict=True)
    ]
    length = torch.hypot(steps[0][:, None], steps[1])
    near = (law * to_truth).sum(dim=(1, 2))
    return near - 0.5 * (offsets * length).sum(dim=(1, 2))
