"""The explorers with a kernel behind them: a changed control changes what is shown.

Neither a browser nor a kernel is needed: a widget's value is what a notebook shows.
"""

import re
from base64 import b64decode
from collections import Counter

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from conftest import TINY_TOKENIZERS, make_policy, policy_for
from matplotlib.figure import Figure
from traitlets import TraitError

from genre2_mini.encoders import RowEncoder
from genre2_mini.evaluation import predict_distribution
from genre2_mini.exhibits import explore_policy, explore_tokenizer
from genre2_mini.exhibits.policy_report import _tree, report
from genre2_mini.exhibits.policy_widget import predictive
from genre2_mini.heads import PointwiseHead
from genre2_mini.metrics import weighted_mean, weighted_median
from genre2_mini.rollouts import enumerate_strings
from genre2_mini.tasks import Split
from genre2_mini.tokenizers import (
    ConcatenatedTokenizer,
    IEEETokenizer,
    NormalizedTokenizer,
    ScientificTokenizer,
)

each_tokenizer = pytest.mark.parametrize(
    "tokenizer", [make() for make in TINY_TOKENIZERS.values()], ids=TINY_TOKENIZERS
)
POSITIONS = {
    NormalizedTokenizer: ["d1", "d2", "d3"],
    ScientificTokenizer: ["sign", "d1", "d2", "exponent"],
    IEEETokenizer: ["sign", "exponent ±", "exponent 1", "d1", "d2"],
}


@pytest.fixture(autouse=True)
def _no_figure_stays_open():
    yield
    assert plt.get_fignums() == []


def labelled(widget):
    """Every control by its label, and what the widget shows."""
    *rows, shown = widget.children
    return {box.description: box for row in rows for box in row.children}, shown


def cells(html):
    """The table in some HTML: a list of cells by the name of the row."""
    (body,) = re.findall("<tbody>(.*)</tbody>", html, re.S)
    rows = [re.findall("<t[hd]>(.*?)</t[hd]>", row) for row in body.split("</tr>")]
    return {row[0]: row[1:] for row in rows if row}


def bold(html):
    """String and value of the number, string and value that are written."""
    return re.findall("<b>(.*?)</b>", html)


def near(number, **tolerance):
    return pytest.approx(float(number), **({"rel": 1e-5, "abs": 1e-12} | tolerance))


class TestTokenizer:
    @each_tokenizer
    @pytest.mark.parametrize("z", [0.0, 0.37, -1.3])
    def test_a_number_sets_its_tokens_and_shows_what_they_read(self, tokenizer, z):
        controls, shown = labelled(explore_tokenizer(tokenizer))
        controls["number z"].value = z
        own = tokenizer.encode(torch.tensor(z))
        value = tokenizer.decode(own).item()
        names = POSITIONS[type(tokenizer)]
        assert list(controls) == ["number z", "as it should be", *names]
        assert [controls[name].value for name in names] == own.tolist()
        string, read, *written = bold(shown.value)
        assert string == tokenizer.to_strings(own)
        assert float(read) == near(value)
        assert written == [string, read]
        assert f"error {abs(value - z):.3g}" in shown.value

    @each_tokenizer
    def test_every_change_of_one_token_costs_what_the_package_says(self, tokenizer):
        controls, shown = labelled(explore_tokenizer(tokenizer, 0.37))
        right = tokenizer.encode(torch.tensor(0.37))
        for k, name in enumerate(POSITIONS[type(tokenizer)]):
            costs = []
            for token in range(tokenizer.vocab_sizes[k]):
                controls[name].value = token
                written = right.clone()
                written[k] = token
                distance = tokenizer.decode(written) - tokenizer.decode(right)
                costs.append(distance.abs().item())
                *_, string, read = bold(shown.value)
                assert string == tokenizer.to_strings(written)
                assert float(read) == near(tokenizer.decode(written))
                assert float(cells(shown.value)[name][2]) == near(costs[-1])
                wrong = int(token != right[k])
                assert f"Wrong tokens: {wrong} of {len(right)}." in shown.value
            own = costs.pop(right[k])
            least, most = map(float, cells(shown.value)[name][3:])
            assert (own, least, most) == (0, near(min(costs)), near(max(costs)))
            controls["as it should be"].click()
            assert [controls[n].value for n in POSITIONS[type(tokenizer)]] == (
                right.tolist()
            )

    @each_tokenizer
    def test_tokens_are_spelled_as_the_string_spells_them(self, tokenizer):
        controls, _ = labelled(explore_tokenizer(tokenizer))
        for name, size in zip(
            POSITIONS[type(tokenizer)], tokenizer.vocab_sizes, strict=True
        ):
            options = [text for text, _ in controls[name].options]
            assert len(options) == size
            assert (options == ["+", "−"]) == (name in ("sign", "exponent ±"))
            if name == "exponent":
                assert options == ["-1", "+0", "+1"]

    def test_a_number_that_clips_or_has_no_string_is_answered_in_words(self):
        controls, shown = labelled(
            explore_tokenizer(NormalizedTokenizer(10, 2, 0, 1), 7.0)
        )
        assert "Range 0 to 1: it clips." in shown.value
        controls["number z"].value = 0.5
        assert "clips" not in shown.value
        controls["number z"].value = float("nan")
        assert "NaN or infinite" in shown.value
        controls, shown = labelled(explore_tokenizer(IEEETokenizer(), 1e10))
        assert "beyond the largest representable 9999000000.0" in shown.value
        controls["d1"].value = 3  # nothing to compare with
        assert "beyond the largest" in shown.value
        controls["number z"].value = 2.0
        assert bold(shown.value)[1] == "2"

    def test_a_position_with_one_legal_token_has_no_wrong_one(self):
        _, shown = labelled(explore_tokenizer(ScientificTokenizer(2, 0)))
        assert cells(shown.value)["exponent"] == ["+0", "+0", "0", "", ""]

    @pytest.mark.parametrize(
        "tokenizer, error, said",
        [
            ("normalized", TypeError, "must be a Tokenizer, got str"),
            (
                ConcatenatedTokenizer([ScientificTokenizer()] * 2),
                TypeError,
                "several targets: explore one of its parts",
            ),
            (NormalizedTokenizer(2000, 2, 0, 1), ValueError, "2,000 legal ids"),
            (NormalizedTokenizer(2, 8), RuntimeError, r"no range yet: call fit"),
        ],
    )
    def test_what_cannot_be_explored_is_refused(self, tokenizer, error, said):
        with pytest.raises(error, match=said):
            explore_tokenizer(tokenizer)

    def test_a_first_number_that_is_none_is_refused(self):
        with pytest.raises(TraitError, match="a"):
            explore_tokenizer(ScientificTokenizer(), "a")


@pytest.fixture
def rows(x):
    """Three rows and their targets."""
    return Split(x.float(), torch.tensor([0.3, -0.9, 1.2]).double())


def mode(values, weights):
    """The likeliest number; of equally likely ones the smallest."""
    shares = Counter()
    for z, weight in zip(values, weights, strict=True):
        shares[z] += weight
    return max(sorted(shares), key=shares.get)


def drawing(html):
    """The text that stands for the drawing, and the drawing."""
    alt, svg = re.search(
        'alt="(.*?)" src="data:image/svg.xml;base64,(.*?)"', html
    ).groups()
    return alt, b64decode(svg).decode()


class TestPolicy:
    @pytest.mark.parametrize("samples", [None, 1, 32])
    def test_it_shows_the_packages_numbers_for_each_row(self, policy, rows, samples):
        controls, shown = labelled(explore_policy(policy, rows))
        controls["strings"].value, controls["seed"].value = samples or 0, 3
        for row, prediction in enumerate(["median", "mode", "mean"]):
            controls["row"].value, controls["prediction"].value = row, prediction
            values, weights = predict_distribution(
                policy, rows.x[[row]], samples, None if samples is None else 3
            )
            expected = {
                "mean": weighted_mean(values, weights).item(),
                "median": weighted_median(values, weights).item(),
                "mode": mode(values[0].tolist(), weights[0].tolist()),
            }
            truth = rows.z[row].item()
            found = cells(shown.value)
            assert found.pop("truth") == [f"{truth:.6g}", ""]
            for name, z in expected.items():
                assert float(found[name][0]) == near(z)
                assert float(found[name][1]) == near(abs(z - truth))
            error = abs(expected[prediction] - truth)
            assert f"The {prediction} is off by {error:.4g}." in shown.value

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
    @torch.no_grad()
    def test_temperature_is_that_of_every_token(self, policy, rows, temperature):
        """Where two strings spell one number, such as zero, it has both shares."""
        x = rows.x[:1]
        strings, _ = enumerate_strings(policy, x)
        log_probs = (policy.logits(x, strings[None])[0] / temperature).log_softmax(-1)
        p = log_probs.gather(-1, strings[..., None]).sum(dim=(1, 2)).exp()
        expected = Counter()
        for z, share in zip(policy.tokenizer.decode(strings), p, strict=True):
            expected[z.item()] += share.item()
        values, shares = predictive(policy, x, None, temperature, seed=0)
        assert values.tolist() == sorted(set(values.tolist()))
        found = dict(zip(values.tolist(), shares.tolist(), strict=True))
        for z, share in expected.items():  # the least likely branches are left out
            assert found.get(z, 0.0) == pytest.approx(share, abs=5e-6)

    @pytest.mark.parametrize(
        "control, value",
        [
            ("row", 1),
            ("strings", 128),
            ("seed", 5),
            ("temperature", 0.3),
            ("prediction", "median"),
        ],
    )
    def test_each_control_changes_what_is_shown(self, policy, rows, control, value):
        controls, shown = labelled(explore_policy(policy, rows))
        controls["strings"].value = 8
        before = shown.value
        controls[control].value = value
        assert shown.value != before

    @pytest.mark.parametrize(
        "digits, said", [(2, "all 4"), (15, "1,024, evenly spread")]
    )
    def test_it_begins_with_all_strings_or_evenly_spread_ones(self, rows, digits, said):
        tokenizer = NormalizedTokenizer(2, digits, -1.0, 1.0)
        controls, _ = labelled(explore_policy(make_policy(tokenizer), rows))
        assert controls["strings"].label == said
        assert controls["strings"].index == 0  # else the list would look empty

    def test_the_slider_redraws_when_it_is_let_go(self, policy, rows):
        controls, _ = labelled(explore_policy(policy, rows))
        assert not controls["temperature"].continuous_update

    def test_a_tasks_parts_can_be_chosen_and_it_begins_with_validation(self, task):
        controls, shown = labelled(explore_policy(policy_for(task), task))
        assert controls["part"].options == ("valid", "test", "train")
        controls["row"].value = 10_000
        assert controls["row"].value == len(task.valid) - 1
        for part in ("train", "test"):
            controls["part"].value = part
            last = len(getattr(task, part)) - 1
            controls["row"].value = 10_000
            assert controls["row"].value == last
            truth = getattr(task, part).z[last].item()
            assert float(cells(shown.value)["truth"][0]) == near(truth)

    def test_a_smaller_part_has_a_smaller_last_row(self, task):
        controls, _ = labelled(explore_policy(policy_for(task), task))
        controls["part"].value = "train"
        controls["row"].value = len(task.train) - 1
        controls["part"].value = "valid"
        assert controls["row"].value == len(task.valid) - 1

    def test_the_policy_is_read_anew_and_left_as_it_was(self, rows):
        policy = make_policy(TINY_TOKENIZERS["normalised"]()).train()
        controls, shown = labelled(explore_policy(policy, rows))
        before = cells(shown.value)["mean"]
        with torch.no_grad():
            policy.unembedding.weight.mul_(0)
        controls["prediction"].value = "median"
        assert cells(shown.value)["mean"] != before
        assert policy.training

    def test_normalised_strings_have_their_tree_others_their_shares(self, policy, rows):
        _, shown = labelled(explore_policy(policy, rows))
        alt, svg = drawing(shown.value)
        assert alt.startswith("The distribution of the numbers. Different numbers: ")
        tree = isinstance(policy.tokenizer, NormalizedTokenizer)
        assert ("<!-- digits written -->" in svg) == tree
        assert ("<!-- share of the numbers up to z -->" in svg) != tree
        assert "<!-- z (std. dev.) -->" in svg

    @pytest.mark.parametrize(
        "base, digits, depth",
        [(2, 6, 6), (2, 9, 6), (10, 4, 2), (5, 3, 2), (100, 2, 1)],
    )
    def test_of_a_large_tree_the_first_digits_are_drawn(self, base, digits, depth):
        tokenizer = NormalizedTokenizer(base, digits, -1.0, 1.0)
        values = tokenizer.decode(
            tokenizer.encode(torch.linspace(-0.9, 0.7, 40)).unique(dim=0)
        )
        share = torch.arange(1.0, len(values) + 1).double()
        ax = Figure().subplots()
        _tree(ax, tokenizer, values, share / share.sum())
        said = "" if depth == digits else f"first digits: {depth} of {digits}"
        assert ax.get_title() == said
        bars = [bar.get_height() for bar in ax.patches]
        middles = values + tokenizer.resolution / 2
        expected, _ = np.histogram(middles, base**depth, (-1, 1), weights=share)
        np.testing.assert_allclose(bars, -expected / expected.max())

    def test_a_base_too_large_for_a_tree_has_its_shares(self):
        values, share = torch.tensor([0.0, 0.5]).double(), torch.full((2,), 0.5)
        tokenizer = NormalizedTokenizer(10**6, 1, 0.0, 1.0)
        _, svg = drawing(report(tokenizer, values, share.double(), 0.2, "mean"))
        assert "share of the numbers up to z" in svg

    def test_a_prediction_outside_the_drawing_is_said_to_be(self):
        values = torch.tensor([0.0, 1.0, 1e9]).double()
        share = torch.tensor([0.50, 0.49, 0.01]).double()
        for name, outside in [("mean", True), ("median", False)]:
            _, svg = drawing(report(ScientificTokenizer(), values, share, 0.2, name))
            assert (f"<!-- {name} (outside) -->" in svg) == outside

    def test_what_cannot_be_explored_is_refused(self, rows, task):
        policy = make_policy(TINY_TOKENIZERS["normalised"]())
        head = PointwiseHead(RowEncoder(4))
        with pytest.raises(TypeError, match="must be a DecodingPolicy, got Pointwise"):
            explore_policy(head, rows)
        with pytest.raises(TypeError, match="must be a Task or a Split, got Tensor"):
            explore_policy(policy, rows.x)
        with pytest.raises(ValueError, match="the split has no rows"):
            explore_policy(policy, Split(rows.x[:0], rows.z[:0]))
        with pytest.raises(ValueError, match=r"reads rows of 4 features: \(N, 4\)"):
            explore_policy(policy, task)  # which has three

    def test_several_targets_are_refused_on_either_side(self, rows):
        normalised = TINY_TOKENIZERS["normalised"]()
        two = make_policy(ConcatenatedTokenizer([normalised] * 2))
        pairs = Split(rows.x, rows.z[:, None].expand(-1, 2))
        for policy, split in [
            (two, pairs),
            (two, rows),
            (make_policy(normalised), pairs),
        ]:
            with pytest.raises(ValueError, match="must have one target, not several"):
                explore_policy(policy, split)
