"""What each objective computes, by hand, and what its gradient is on average."""

import itertools

import pytest
import torch
from conftest import make_policy, policy_for

from genre2_mini.encoders import RowEncoder
from genre2_mini.heads import PointwiseHead
from genre2_mini.objectives import CrossEntropy, ReMax, SquaredError
from genre2_mini.rewards import squared_error_reward
from genre2_mini.tokenizers import NormalizedTokenizer


def gradient(policy, loss):
    """All parameters' gradients of ``loss`` as one vector."""
    parameters = [p for p in policy.parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss, parameters)
    return torch.cat([g.flatten() for g in grads])


def only_loss(objective, model, x, z, seed=0):
    """The single loss and report of a batch."""
    generator = torch.Generator().manual_seed(seed)
    [(loss, report)] = objective.losses(model, x, z, generator)
    return loss, report


def test_cross_entropy_is_minus_the_log_probability_of_the_true_string(policy, x):
    z = torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64)
    loss, report = only_loss(CrossEntropy(), policy, x, z)
    true = policy.tokenizer.encode(z)
    by_hand = 0.0
    for row, string in zip(x, true, strict=True):
        logits = policy.logits(row[None], string[None, None])[0, 0]
        for k, token in enumerate(string):
            by_hand -= logits[k].log_softmax(-1)[token] / 3
    torch.testing.assert_close(loss, by_hand)
    assert report["cross_entropy"] == loss


def test_squared_error_is_the_mean_squared_residual(x):
    head = PointwiseHead(RowEncoder(4, d_model=16), d_model=16).eval()
    z = torch.tensor([1.0, 2.0, -3.0], dtype=torch.float64)
    loss, _ = only_loss(SquaredError(), head, x, z)
    torch.testing.assert_close(loss, ((head(x) - z) ** 2).sum() / 3)


@pytest.fixture
def binary():
    """A tiny policy of 8 strings, so that expectations are sums of 8 terms."""
    return make_policy(NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0))


def exact_reward(policy, x, z):
    """E[r] over all strings and rows, differentiable: Σ_t π(t|x) r(x, t)."""
    strings = torch.tensor(list(itertools.product(range(2), repeat=3)))
    probability = policy.log_prob(x, strings.expand(len(x), -1, -1)).exp()
    reward = squared_error_reward(
        policy.tokenizer.decode(strings).expand(len(x), -1), z
    )
    return (probability * reward).sum(1).mean()


def test_remax_loss_by_hand(binary, x):
    z = torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64)
    loss, report = only_loss(ReMax(num_samples=4), binary, x, z, seed=7)
    tokens = binary.sample(x, 4, generator=torch.Generator().manual_seed(7))
    values = binary.tokenizer.decode(tokens)
    greedy = binary.tokenizer.decode(binary.greedy(x))
    terms = [
        binary.log_prob(x[n : n + 1], tokens[n : n + 1, s])
        * (-((values[n, s] - z[n]) ** 2) + (greedy[n] - z[n]) ** 2)
        for n, s in itertools.product(range(3), range(4))
    ]
    torch.testing.assert_close(loss, -torch.cat(terms).mean())
    torch.testing.assert_close(report["reward"], -(values - z[:, None]).pow(2).mean())


def test_the_mean_remax_gradient_is_the_exact_gradient(binary, x):
    """60,000 strings against the gradient of the enumerated E[r]."""
    z = torch.tensor([-1.0, 0.0, 0.5], dtype=torch.float64)
    exact = gradient(binary, -exact_reward(binary, x, z))
    loss, _ = only_loss(ReMax(num_samples=20_000), binary, x, z)
    estimate = gradient(binary, loss)
    cosine = torch.nn.functional.cosine_similarity(estimate, exact, dim=0)
    assert cosine > 0.999
    assert (estimate - exact).norm() < 0.02 * exact.norm()


def test_remax_never_differentiates_through_dropout(x):
    """In training mode the loss is still that of the sampled distribution."""
    tokenizer = NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0)
    policy = make_policy(tokenizer, dropout=0.5)
    z = torch.zeros(3, dtype=torch.float64)
    evaluated, _ = only_loss(ReMax(4), policy.eval(), x, z)
    trained, _ = only_loss(ReMax(4), policy.train(), x, z)
    assert trained == evaluated
    assert policy.training


def test_a_point_mass_policy_has_no_remax_gradient(binary, x):
    """Every sample is the greedy string: all advantages are zero."""
    with torch.no_grad():
        binary.unembedding.bias.copy_(torch.tensor([1e4, 0.0]))
    loss, report = only_loss(ReMax(8), binary, x, torch.zeros(3).double())
    assert report["advantage_std"] == 0
    assert gradient(binary, loss).abs().max() == 0


def test_targets_outside_the_range_train_towards_the_end_of_it(task):
    policy = policy_for(task)
    far = torch.tensor([10 * policy.tokenizer.high], dtype=torch.float64)
    end = torch.tensor([policy.tokenizer.high], dtype=torch.float64)
    x = task.train.x[:1]
    assert only_loss(CrossEntropy(), policy.eval(), x, far) == only_loss(
        CrossEntropy(), policy, x, end
    )
