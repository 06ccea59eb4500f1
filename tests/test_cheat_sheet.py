"""The cheat sheet: its rows are the package's objectives, its columns what they do.

A formula on the sheet is a key below, and its value is the same formula in plain code;
a cell that is edited has no entry until somebody writes down what it means. The columns
*kept for the step* and *use it when* are words and are not tested.
"""

import dataclasses
import re
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from conftest import make_policy
from test_objectives import OBJECTIVES, gradient
from test_oracle import (
    FAR,
    batch_gradients,
    cosine,
    expected_losses,
    oracle,
    relative_error,
)

from genre2_mini import objectives
from genre2_mini.encoders import RowEncoder
from genre2_mini.experiments import load_results
from genre2_mini.heads import HistogramHead, PointwiseHead
from genre2_mini.methods import METHODS, POINT, POLICY
from genre2_mini.objectives import CRPS, PPO, REINFORCE, ExpertSupervision, ReMax
from genre2_mini.objectives.critic import generalised_advantage
from genre2_mini.objectives.expert_target import expert_target
from genre2_mini.objectives.histogram import histogram_target
from genre2_mini.objectives.objective import companions_of
from genre2_mini.rollouts import Rollout, enumerate_strings, tree_rollout
from genre2_mini.tokenizers import NormalizedTokenizer

ROOT = Path(__file__).parents[1]
SHEET = (ROOT / "book" / "cheat-sheet.md").read_text("utf-8")
S = 4


class Row(NamedTuple):
    """A line of the table, and the objective that its class makes."""

    name: str
    chapter: str
    code: str
    advantage: str
    loss: str
    gradient: str
    variance: str
    strings: str
    passes: str
    networks: str
    kept: str
    use: str

    @property
    def objective(self):
        return eval(self.code, {}, vars(objectives))

    @property
    def method(self):
        return next(m for m in METHODS.values() if m.label == self.name)

    @property
    def bold(self):
        """What the sheet says of the gradient, without the explanation."""
        return self.gradient.split("**")[1]


def rows():
    for line in re.findall(r"^\| (\[.+) \|$", SHEET, re.M):
        first, *cells = re.split(r" \| ", line)
        yield Row(*re.fullmatch(r"\[(.+)\]\((.+)\) `(.+)`", first).groups(), *cells)


ROWS = list(rows())
each_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
each_policy_row = pytest.mark.parametrize(
    "row", [r for r in ROWS if r.method.model == POLICY], ids=lambda row: row.name
)


@pytest.fixture
def policy():
    """27 strings of three digits 0, 1, 2."""
    return make_policy(NormalizedTokenizer(base=3, num_digits=3, low=-2.0, high=2.0))


@pytest.fixture
def binary():
    """8 strings, few enough for all pairs of them."""
    return make_policy(NormalizedTokenizer(base=2, num_digits=3, low=-2.0, high=2.0))


@pytest.fixture
def z():
    return torch.tensor([-1.0, 0.0, 0.7], dtype=torch.float64)


def seeded():
    return torch.Generator().manual_seed(0)


# Rows


def test_the_rows_are_the_methods_in_their_order():
    assert [row.name for row in ROWS] == [m.label for m in METHODS.values()]


def test_every_objective_has_a_row():
    assert {type(row.objective) for row in ROWS} == set(OBJECTIVES)


@each_row
def test_the_class_makes_the_objective_of_that_name_with_its_defaults(row):
    assert row.objective == row.method.objective()


@each_row
def test_the_chapter_of_a_row_speaks_of_its_class(row):
    text = (ROOT / "book" / row.chapter).read_text("utf-8")
    assert type(row.objective).__name__ in text


# Advantages: S rewards (S,) and the greedy string's -> S advantages.

ADVANTAGES = {
    r"$r$": lambda r, greedy: r,
    r"$\frac{S}{S-1}(r - \bar r)$": lambda r, greedy: S / (S - 1) * (r - r.mean()),
    r"$r - r_{\text{greedy}}$": lambda r, greedy: r - greedy,
    r"$(r - \bar r)/(\text{std} + 10^{-6})$": lambda r, greedy: (
        (r - r.mean()) / (r.std(correction=0) + 1e-6)
    ),
    r"$r - \bar r$": lambda r, greedy: r - r.mean(),
}


def formula(row):
    """The advantage without the expert beside it."""
    return row.advantage.split(", and")[0]


@pytest.mark.parametrize(
    "row", [r for r in ROWS if formula(r) in ADVANTAGES], ids=lambda row: row.name
)
def test_the_advantage_of_toy_rewards(row):
    """Two inputs of four samples: −1, −4, −4, −9 and four times −0.25."""
    owner, count = torch.tensor([0, 0, 0, 1]), torch.tensor([1, 2, 1, 4])
    reward = torch.tensor([-1.0, -4.0, -9.0, -0.25], dtype=torch.float64)
    greedy = torch.tensor([2, 3])  # the string that earned −9, and the other
    rollout = Rollout(None, owner, None, None, count=count, greedy=greedy)
    objective = dataclasses.replace(row.objective, num_samples=S)
    found = objective.advantage(rollout, reward).repeat_interleave(count)
    groups = zip(reward.repeat_interleave(count).split(S), reward[greedy], strict=True)
    by_hand = [ADVANTAGES[formula(row)](*group) for group in groups]
    torch.testing.assert_close(found, torch.cat(by_hand))


def test_only_ppo_crps_and_rows_without_a_reward_have_no_such_advantage():
    others = {row.name for row in ROWS if formula(row) not in ADVANTAGES}
    rewarded = {row.name for row in ROWS if isinstance(row.objective, REINFORCE)}
    assert others & rewarded == {"PPO", "CRPS", "Expert alone"}


def test_ppos_advantage_is_the_sum_of_later_differences():
    [row] = [row for row in ROWS if row.name == "PPO"]
    assert row.advantage == r"$A_k = \sum_l \lambda^l \delta_{k+l}$"
    V, r, lam = [-3.0, -1.0, -2.0], -4.0, row.objective.gae_lambda
    delta = [after - v for v, after in zip(V, [*V[1:], r], strict=True)]
    A = [sum(lam**m * d for m, d in enumerate(delta[k:])) for k in range(3)]
    found = generalised_advantage(torch.tensor([r]), torch.tensor([V]), lam)
    torch.testing.assert_close(found, torch.tensor([A]))


def crps_advantage(values, z):
    """Of samples (N, S) of targets (N,); the sheet's a and m."""
    a = (values - z[:, None]).abs()
    m = (values[:, :, None] - values[:, None]).abs().sum(-1) / (S - 1)
    means = a.mean(-1, keepdim=True), m.mean(-1, keepdim=True)
    return S / (S - 1) * (means[0] - a) + S / (S - 2) * (m - means[1])


def test_the_crps_row_says_what_a_and_m_are():
    """``test_the_loss_is_the_formula`` compares with them."""
    [row] = [row for row in ROWS if row.name == "CRPS"]
    first, second = r"$\frac{S}{S-1}(\bar a - a)$", r"$+\, \frac{S}{S-2}(m - \bar m)$"
    assert row.advantage == f"{first} {second}"
    assert r"$a = \lvert\hat z - z\rvert$" in SHEET
    assert "mean distance to the other\n  $S - 1$" in SHEET


# Losses

V = 0.7  # a critic that says so of every prefix


def clipped(s, A):
    rho = (s.log_pi - s.log_pi.detach()).exp()
    return torch.minimum(rho * A, rho.clamp(0.8, 1.2) * A)


def gae(s):
    last = s.r[..., None] - V  # the only δ that is not 0
    return s.lam ** torch.arange(2, -1, -1) * last


LOSSES = {
    r"$-\operatorname{mean}(\log \pi(g))$": lambda s: -s.log_g.sum(-1).mean(),
    r"$\operatorname{mean}(-\log \pi(g_k) + 0.3\,(\sum_j p_j V_j - g)^2)$": lambda s: (
        -s.log_g + 0.3 * ((s.p * s.digit).sum(-1) - s.g) ** 2
    ).mean(),
    r"$\operatorname{mean}(-\log \pi(g_k) + 0.3 \sum_j p_j \lvert V_j - g\rvert)$": (
        lambda s: (-s.log_g + 0.3 * (s.p * s.gap.abs()).sum(-1)).mean()
    ),
    r"$\operatorname{mean}(-\log \pi(g_k) + 0.1 \sum_j q_j \log (q_j / p_j))$": (
        lambda s: (-s.log_g + 0.1 * (s.q * (s.q / s.p).log()).sum(-1)).mean()
    ),
    r"$-\operatorname{mean}(A \log \pi(t))$": lambda s: (
        -(s.A * s.log_pi.sum(-1)).mean()
    ),
    r"$-\operatorname{mean}(\sum_k \min(\rho_k A, [\rho_k] A))$": lambda s: (
        -clipped(s, s.A[..., None]).sum(-1).mean()
    ),
    r"$-\operatorname{mean}(\sum_k \min(\rho_k A_k, [\rho_k] A_k))$ "
    r"$+\, \frac12 \operatorname{mean}((V_k - V_k^{\text{old}} - A_k)^2)$": lambda s: (
        -clipped(s, gae(s)).sum(-1).mean() + ((V - V - gae(s)) ** 2).mean() / 2
    ),
    r"$-\operatorname{mean}(\sum_t \pi(t)\, r(t))$": lambda s: (
        -(s.pi_all * s.r_all).sum(-1).mean()
    ),
    r"$-\operatorname{mean}(\log \pi(e_k))$": lambda s: -s.log_e.mean(),
    r"$-\operatorname{mean}(A \log \pi(t))$ "
    r"$-\, 0.05 \operatorname{mean}(\log \pi(e_k))$": lambda s: (
        -(s.A * s.log_pi.sum(-1)).mean() - 0.05 * s.log_e.mean()
    ),
    r"$\operatorname{mean}((f(x) - z)^2)$": lambda s: ((s.f - s.z) ** 2).mean(),
    r"$-\operatorname{mean}(\sum_j q_j \log p_j)$": lambda s: (
        -(s.bins * s.f.log_softmax(-1)).sum(-1).mean()
    ),
}


def symbols(policy, x, z, row):
    """The sheet's symbols for a batch, strings drawn with the seed of ``seeded``."""
    tok = policy.tokenizer
    drawn = tree_rollout(policy, x, S, generator=seeded(), greedy=True)
    t = drawn.tokens.repeat_interleave(drawn.count, dim=0).unflatten(0, (-1, S))
    log_p = policy.logits(x, t).log_softmax(-1)  # (N, S, K, V)
    s = SimpleNamespace(z=z, g=tok.encode(z), digit=torch.arange(3))
    at_truth = policy.logits(x, s.g[:, None])[:, 0].log_softmax(-1)  # (N, K, V)
    s.p, s.gap = at_truth.exp(), s.digit - s.g[..., None]
    s.log_g = at_truth.gather(-1, s.g[..., None])[..., 0]
    s.q = (-s.gap.double().square()).softmax(-1)
    e = expert_target(tok, t, z[:, None].expand(-1, S))
    s.log_pi, s.log_e = (log_p.gather(-1, i[..., None])[..., 0] for i in (t, e))
    s.r = -((tok.decode(t) - z[:, None]) ** 2)
    strings, every = enumerate_strings(policy, x)
    s.pi_all, s.r_all = every.exp(), -((tok.decode(strings) - z[:, None]) ** 2)
    greedy = -((tok.decode(policy.greedy(x)) - z) ** 2)
    advantage = ADVANTAGES.get(formula(row), lambda r, _: r)
    s.A = torch.stack([advantage(*group) for group in zip(s.r, greedy, strict=True)])
    if row.name == "CRPS":
        s.A = crps_advantage(tok.decode(t), z)
    s.lam = getattr(row.objective, "gae_lambda", 1.0)
    return s


def first_loss(objective, model, x, z):
    companions = companions_of(objective, model)
    if isinstance(objective, PPO):
        torch.nn.init.constant_(companions[0].trunk.unembedding.bias, V)
    return next(objective.losses(model, x, z, seeded(), *companions))[0]


@each_policy_row
def test_the_loss_is_the_formula(row, policy, x, z):
    """In value and in gradient, for one batch; weights of NTL and expert included."""
    objective = row.objective
    if isinstance(objective, REINFORCE):
        objective = dataclasses.replace(objective, num_samples=S)
    loss = first_loss(objective, policy, x, z)
    by_hand = LOSSES[row.loss](symbols(policy, x, z, row))
    torch.testing.assert_close(loss, by_hand)
    torch.testing.assert_close(gradient(policy, loss), gradient(policy, by_hand))


@pytest.mark.parametrize(
    "row", [r for r in ROWS if r.method.model != POLICY], ids=lambda row: row.name
)
def test_the_loss_of_a_head_is_the_formula(row, x, z):
    kind = PointwiseHead if row.method.model == POINT else HistogramHead
    head = kind(RowEncoder(4, d_model=16), d_model=16).double().eval()
    s = SimpleNamespace(f=head(x.double()), z=z)
    if kind is HistogramHead:
        s.bins = histogram_target(z, head.edges, row.objective.sigma)
    loss = first_loss(row.objective, head, x.double(), z)
    torch.testing.assert_close(loss, LOSSES[row.loss](s))


# Gradients, expected over all pairs of strings


def expected(objective, policy, x, z):
    """E[gradient of the first loss of a batch], S = 2; CRPS needs 3."""
    if not isinstance(objective, REINFORCE):
        return gradient(policy, first_loss(objective, policy, x, z))
    size = 3 if isinstance(objective, CRPS) else 2
    pair = dataclasses.replace(objective, num_samples=size)
    companions = companions_of(pair, policy)
    loss, _ = next(expected_losses(pair, policy, x, z, *companions))
    return gradient(policy, loss)


def check_unbiased(row, policy, x, z):
    found = expected(row.objective, policy, x, z)
    assert relative_error(found, oracle(policy, x, z)) < 1e-12


def check_unbiased_at_lambda_1(row, policy, x, z):
    """Whatever the critic says; here it says V = 0."""
    objective = dataclasses.replace(row.objective, gae_lambda=1.0)
    check_unbiased(SimpleNamespace(objective=objective), policy, x, z)
    check_another_direction(row, policy, x, z, 1 - 1e-4)


def check_shortened(row, policy, x, z):
    found = expected(row.objective, policy, x, z)
    assert relative_error(found, oracle(policy, x, z) * (2 - 1) / 2) < 1e-12


def check_another_direction(row, policy, x, z, most=0.98):
    found = expected(row.objective, policy, x, z)
    assert cosine(found, oracle(policy, x, z)) < most


def check_plus_the_experts(row, policy, x, z):
    expert = expected(ExpertSupervision(), policy, x, z)
    found = expected(row.objective, policy, x, z)
    exact = oracle(policy, x, z)
    assert relative_error(found, exact + 0.05 * expert) < 1e-12
    assert relative_error(found, exact) > 1e-3


GRADIENTS = {
    "exact": check_unbiased,
    "unbiased": check_unbiased,
    r"unbiased at $\lambda = 1$": check_unbiased_at_lambda_1,
    r"times $(S-1)/S$": check_shortened,
    "biased": check_another_direction,
    "no": check_another_direction,
    "plus 0.05 of the expert's": check_plus_the_experts,
}


@each_policy_row
def test_the_gradient_is_what_the_sheet_says(row, binary, x):
    """Of three inputs whose errors are of unlike size."""
    GRADIENTS[row.bold](row, binary, x, FAR)


def test_only_heads_have_no_strings():
    strangers = {row.name for row in ROWS if row.bold == "no strings"}
    assert strangers == {row.name for row in ROWS if row.method.model != POLICY}


# Variance


def recorded_variance(baseline, state):
    """Of a step relative to no baseline: the mean over seeds, in per cent."""
    table = load_results("baselines")
    part = table[(table["baseline"] == baseline) & (table["state"] == state)]
    assert part["seed"].nunique() == 5
    return 100 * part["variance"].mean()


@pytest.mark.parametrize(
    ("name", "baseline", "factor"),
    [
        ("RLOO", "leave one out, S = 16", 1),
        ("ReMax", "greedy", 1),
        ("Dr. GRPO", "leave one out, S = 16", (15 / 16) ** 2),
    ],
)
def test_the_variance_is_the_recorded_one(name, baseline, factor):
    [row] = [row for row in ROWS if row.name == name]
    states = ("cross-entropy", "ReMax 100")
    after = [f"{factor * recorded_variance(baseline, s):.0f}%" for s in states]
    assert row.variance == " → ".join(after)


def test_the_variance_of_the_other_rows_is_told_in_words():
    told = {r.name: r.variance for r in ROWS if "→" not in r.variance}
    assert told.pop("REINFORCE") == "100%"
    assert told.pop("Exact gradient") == "0%"
    assert told.pop("PPO") == r"falls with $\lambda$"
    assert told.pop("GenRe²") == "as ReMax"
    assert told.pop("GRPO") == "other units"
    assert told.pop("Expert alone") == "other goal"
    assert told.pop("CRPS") == "other goal"
    assert set(told.values()) == {"–"}


def test_the_expert_of_genre2_adds_hardly_any_variance(binary, x, z):
    """The same draws for both. (190,000 weights on concrete: within 2 %, two seeds.)"""
    both = [r.objective for r in ROWS if r.name in ("ReMax", "GenRe²")]
    variance = [batch_gradients(o, binary, x, z).var(dim=0).sum() for o in both]
    assert variance[1].item() == pytest.approx(variance[0].item(), rel=0.1)


def test_ppos_variance_falls_with_lambda(binary, x, z):
    variance = [
        batch_gradients(PPO(16, epochs=1, gae_lambda=lam), binary, x, z).var(dim=0)
        for lam in (0.0, 0.5, 1.0)
    ]
    low, middle, high = (v.sum() for v in variance)
    assert low < middle < high


# Cost


@each_row
def test_strings_passes_and_networks(row, policy, x, z):
    """Counted by the encoders, which read a batch once a pass."""
    objective, epochs = row.objective, getattr(row.objective, "epochs", 1)
    assert str(epochs) == {"PPO": "4"}.get(row.name, "1")
    assert "GRPO has 1 epoch, PPO 4" in SHEET
    assert ("$S$" in row.strings) == hasattr(objective, "num_samples")
    assert ("greedy" in row.strings) == isinstance(objective, ReMax)
    assert ("all" in row.strings) == (row.name == "Exact gradient")
    model = policy
    if row.method.model != POLICY:
        kind = PointwiseHead if row.method.model == POINT else HistogramHead
        model = kind(RowEncoder(4, d_model=16), d_model=16)
    if "epochs" in row.passes:
        epochs = 3
        objective = dataclasses.replace(objective, epochs=epochs)
    companions = companions_of(objective, model)
    assert int(row.networks) == 1 + len(companions)
    read = []
    for part in (model, *companions):
        encoder = part.encoder if part is model else part.trunk.encoder
        encoder.register_forward_hook(lambda *_: read.append(1))
    list(objective.losses(model, x, z, seeded(), *companions))
    passes = {"1": 1, "epochs": epochs, "2 (epochs + 1)": 2 * (epochs + 1)}
    assert len(read) == passes[row.passes]
