"""The row encoder: the paper's plain network, and waves of the numeric columns."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from genre2_mini.encoders import PeriodicEmbedding, RowEncoder
from genre2_mini.heads import PointwiseHead
from genre2_mini.methods import METHODS, build_model
from genre2_mini.tasks import Task, task_from_frame


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


# The embedding


def test_each_feature_has_waves_and_a_map_of_its_own():
    embedding = PeriodicEmbedding(3, num_frequencies=2, width=4, sigma=1.0).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    expected = []
    for i in range(3):
        v = 2 * math.pi * x[:, i, None] * embedding.frequencies[i]
        linear = nn.Linear(4, 4).double()
        linear.weight.data, linear.bias.data = embedding.weight[i].T, embedding.bias[i]
        expected.append(linear(torch.cat([v.cos(), v.sin()], dim=1)).relu())
    torch.testing.assert_close(embedding(x), torch.cat(expected, dim=1))


def test_its_frequencies_start_at_the_scale_they_are_given():
    frequencies = PeriodicEmbedding(100, num_frequencies=100, sigma=0.3).frequencies
    assert frequencies.mean().item() == pytest.approx(0, abs=0.01)
    assert frequencies.std().item() == pytest.approx(0.3, rel=0.03)


def test_all_of_it_is_learned():
    embedding = PeriodicEmbedding(2, num_frequencies=3, width=8).double()
    embedding(torch.randn(6, 2, dtype=torch.float64)).sum().backward()
    learned = dict(embedding.named_parameters())
    assert learned.keys() == {"frequencies", "weight", "bias"}
    assert all(p.grad.abs().sum() > 0 for p in learned.values())
    assert (learned["frequencies"].grad != 0).all()


def test_no_rows_are_read_as_no_rows():
    assert PeriodicEmbedding(3, width=4)(torch.zeros(0, 3)).shape == (0, 12)


# The encoder


def test_without_periodic_features_it_is_the_plain_network_bit_for_bit():
    encoder = RowEncoder(4, d_model=8, hidden=16, dropout=0.1)
    torch.manual_seed(0)
    layers = [nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.1)]
    layers += [nn.Linear(16, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 8)]
    plain = nn.Sequential(*layers)
    expected = {f"net.{name}": value for name, value in plain.state_dict().items()}
    found = encoder.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    x = torch.randn(5, 4)
    outputs = []
    for network in (encoder, plain):
        torch.manual_seed(1)  # the same dropout
        outputs.append(network(x))
    assert torch.equal(*outputs)


def test_the_row_itself_is_read_beside_the_waves_of_its_first_features():
    encoder = RowEncoder(5, num_periodic=2)
    read = []
    encoder.net.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    x = torch.randn(3, 5)
    encoder(x)
    waves = encoder.periodic(x[:, :2])
    assert torch.equal(read[0], torch.cat([x, waves], dim=1))


@pytest.mark.parametrize("num_periodic", [-1, 5])
def test_no_more_features_than_there_are_can_be_periodic(num_periodic):
    with pytest.raises(ValueError, match=rf"num_periodic={num_periodic} must lie"):
        RowEncoder(4, num_periodic=num_periodic)


def test_a_function_that_wiggles_is_learnt_from_waves():
    """sin(8x) of x ~ N(0, 1), beside a feature that says nothing."""
    x = torch.randn(1024, 2)
    z = torch.sin(8 * x[:, 0])
    errors = []
    for num_periodic in (0, 2):
        torch.manual_seed(0)
        encoder = RowEncoder(2, 16, 64, dropout=0.0, num_periodic=num_periodic)
        head = PointwiseHead(encoder, 16)
        optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
        for _ in range(300):
            optimizer.zero_grad()
            (head(x[:512]) - z[:512]).square().mean().backward()
            optimizer.step()
        with torch.no_grad():
            errors.append((head(x[512:]) - z[512:]).square().mean().item())
    assert errors[1] < errors[0] / 2


# From a table


def mixed_task(num_targets=1):
    """Two numeric columns around one of three categories."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": generator.normal(size=60),
            "colour": generator.choice(["red", "green", "blue"], 60),
            "b": generator.random(60) < 0.5,
        }
    )
    y = pd.DataFrame(generator.normal(size=(60, num_targets))).squeeze(axis=1)
    thirds = {"train": slice(0, 20), "valid": slice(20, 40), "test": slice(40, 60)}
    parts = {name: (frame[rows], y[rows]) for name, rows in thirds.items()}
    return Task.from_parts("mixed", parts, card={})


@pytest.mark.parametrize(
    ("method", "num_targets"),
    [("ce", 1), ("ce", 2), ("pointwise", 1), ("pointwise", 2), ("histogram", 1)],
)
def test_every_model_reads_the_waves_of_its_numeric_columns(method, num_targets):
    task = mixed_task(num_targets)
    model = build_model(METHODS[method], task, periodic=True)
    assert task.schema.feature_names[:2] == ["a", "b"]
    assert (model.encoder.num_features, model.encoder.num_periodic) == (6, 2)
    assert model.encoder(task.train.x).shape == (len(task.train.x), 64)


@pytest.mark.parametrize("method", ["ce", "pointwise", "histogram"])
def test_unless_asked_no_model_has_any(method):
    encoder = build_model(METHODS[method], mixed_task()).encoder
    assert encoder.num_periodic == 0
    assert not hasattr(encoder, "periodic")


def test_a_table_without_numbers_has_none_either():
    frame = pd.DataFrame({"colour": ["red", "blue"] * 10, "y": range(20)})
    task = task_from_frame(frame, "y")
    model = build_model(METHODS["pointwise"], task, periodic=True)
    assert model.encoder.num_periodic == 0
