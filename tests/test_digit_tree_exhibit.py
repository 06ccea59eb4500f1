"""The live digit tree: its file of policies, and the package's network in JavaScript.

What needs a browser runs with ``make check-site``, on a page that is opened from disk.
"""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from browser import PHONE, in_a_browser, insert_as_jupyter
from safetensors import safe_open
from scipy.stats import norm
from test_exhibits import SVG, Elements
from torch.testing import assert_close

from genre2_mini.evaluation import evaluate
from genre2_mini.exhibits import (
    digit_tree_explorer,
    digit_tree_policy,
    digit_tree_stages,
)
from genre2_mini.exhibits.digit_tree import POLICIES
from genre2_mini.experiments import digit_tree_policies as study
from genre2_mini.mdp import exact_values
from genre2_mini.metrics import weighted_mean, weighted_median
from genre2_mini.objectives import CrossEntropy, GenRe2
from genre2_mini.rewards import squared_error_reward
from genre2_mini.rollouts import enumerate_strings

HTML = digit_tree_explorer().data
MARKUP = re.sub(r'const POLICIES = "[A-Za-z0-9+/=]+";', "", HTML)
STAGES = digit_tree_stages()
X = [-1.0, -0.73, -0.2, 0.0, 0.05, 0.31, 0.6, 1.0]


@pytest.fixture(scope="module")
def fork():
    return study.fork_task()


def rows(fork, x):
    """x in its own unit, as the policies read it."""
    return fork.schema.transform(pd.DataFrame({"x": x}))


# The policies


def test_the_file_holds_what_the_recipe_says(fork):
    stops = [f"{p.name}, {stop:,} steps" for p in study.PHASES for stop in p.stops]
    assert ["untrained", *stops] == STAGES
    with safe_open(POLICIES, "pt") as file:
        header = json.loads(file.metadata()["header"])
    policy = study.new_policy(fork)
    assert header["config"] == policy.config
    assert header["preprocessing"] == fork.schema.to_dict()
    untrained = digit_tree_policy(0).state_dict()
    for name, weight in policy.state_dict().items():
        assert_close(untrained[name], weight.half().float(), rtol=0, atol=0)


@pytest.mark.parametrize("stage", range(len(STAGES)))
def test_each_stage_is_a_policy_of_the_package_that_float16_can_write(stage):
    policy = digit_tree_policy(stage)
    for weight in policy.state_dict().values():
        assert_close(weight.half().float(), weight, rtol=0, atol=0)
    tokens, log_prob = enumerate_strings(policy, torch.zeros(1, 1))
    assert len(tokens) == 32
    assert log_prob.exp().sum().item() == pytest.approx(1)


@pytest.mark.parametrize("stage", [-1, len(STAGES)])
def test_there_is_no_other_stage(stage):
    with pytest.raises(IndexError, match=f"stage={stage} is not one of 0 … 6"):
        digit_tree_policy(stage)


@torch.no_grad()
def test_cross_entropy_learns_the_law_and_the_reward_sharpens_it(fork):
    """What a reader is to see, on rows that no policy was trained on."""
    policies = [digit_tree_policy(stage) for stage in range(len(STAGES))]
    scores = pd.DataFrame([evaluate(p, fork.test) for p in policies], index=STAGES)
    strings = policies[0].tokenizer.encode(fork.test.z)
    scores["nll"] = [-p.log_prob(fork.test.x, strings).mean().item() for p in policies]
    ce, genre2 = scores.loc["CE, 2,000 steps"], scores.loc["GenRe², 300 steps"]
    assert scores["rmse_k1"].idxmin() == genre2.name
    assert scores["nll"].idxmin() == ce.name
    assert genre2["rmse_k1"] < ce["rmse_k1"] - 0.15
    assert abs(genre2["rmse_mean"] - ce["rmse_mean"]) < 0.01  # the mean: no gain


def test_where_the_road_forks_mean_and_mode_differ_until_the_reward_joins_them(fork):
    for stage, apart in [(3, True), (6, False)]:
        policy = digit_tree_policy(stage)
        tokens, log_prob = enumerate_strings(policy, rows(fork, [0.8]))
        values = policy.tokenizer.decode(tokens)
        mean = (log_prob.exp() * values).sum()
        mode = values[log_prob.argmax()]
        assert (abs(mean - mode) > 0.4) == apart


def test_the_task_is_drawn_from_the_law_that_the_page_shows(fork):
    x = np.concatenate([part.x[:, 0] for part in (fork.train, fork.test)])
    z = np.concatenate([part.z for part in (fork.train, fork.test)])
    (mean, std) = fork.schema.numeric["x"]
    truth = law_of_z(fork, x.astype(float) * std + mean)
    residual = z - truth["mean"]
    for side in (x < -0.5, abs(x) < 0.3, x > 0.5):
        error = np.sqrt(truth["variance"][side].mean() / side.sum())
        assert abs(residual[side].mean()) < 4 * error
        ratio = np.square(residual[side]).mean() / truth["variance"][side].mean()
        assert ratio == pytest.approx(1, abs=0.1)


def law_of_z(fork, x):
    """Mean and variance of z at each x, and the share of z nearest to each string."""
    law, x = study.fork(np.asarray(x)), np.asarray(x)
    mean, std = fork.schema.target_mean, fork.schema.target_std
    shares = np.stack([1 - law.share, law.share])
    centres = (np.stack([law.lower, law.upper]) - mean) / std
    spread = law.spread / std
    centre = (shares * centres).sum(axis=0)
    variance = (shares * (centres - centre) ** 2).sum(axis=0) + spread**2
    tokenizer = digit_tree_policy(0).tokenizer
    edges = tokenizer.low + tokenizer.resolution * (np.arange(1, 32) - 0.5)
    edges = np.array([-np.inf, *edges, np.inf])[:, None, None]
    below = (shares * norm.cdf(edges, centres, spread)).sum(axis=1)
    return {"mean": centre, "variance": variance, "cells": np.diff(below, axis=0).T}


def test_the_recipe_gives_the_same_file_twice(tmp_path):
    task = study.fork_task(400)
    phases = (
        study.Phase("CE", CrossEntropy(), 1e-3, (1, 3)),
        study.Phase("GenRe²", GenRe2(num_samples=2), 1e-3, (2,)),
    )
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    names = study.record(one, task, phases)
    assert names == ["untrained", "CE, 1 steps", "CE, 3 steps", "GenRe², 2 steps"]
    assert digit_tree_stages(one) == names
    study.record(two, task, phases)
    assert one.read_bytes() == two.read_bytes()
    first, last = (digit_tree_policy(i, one).unembedding.weight for i in (0, 3))
    assert not first.equal(last)


# The output, without a browser


def test_the_exhibit_is_small_and_asks_no_other_host_for_anything():
    assert len(HTML.encode()) <= 300_000
    assert len(MARKUP) < len(HTML) - 100_000
    assert "//" not in MARKUP.replace(SVG, "").replace("// ", "")
    assert "import" not in MARKUP and "fetch" not in MARKUP
    assert "url(" not in MARKUP


def test_the_exhibit_is_one_balanced_root_with_its_style_and_one_script():
    page = Elements(MARKUP)
    assert page.open == []
    outermost = [(tag, a) for tag, a, around in page.found if not around]
    assert [tag for tag, _ in outermost] == ["style", "style", "div", "script"]
    assert outermost[2][1]["class"] == "g2-exhibit g2-digit-tree"
    assert "id" not in {name for _, a, _ in page.found for name in a}


def test_every_control_has_a_label_in_words():
    page = Elements(MARKUP)
    controls = [around for tag, _, around in page.found if tag == "input"]
    assert len(controls) == 5
    assert all("label" in around for around in controls)


# In a browser

SHOW = """([stage, x, z]) => {
  const root = document.querySelector(".g2-digit-tree");
  const put = (name, value) => {
    const field = root.querySelector(`[type=range][name=${name}]`);
    field.value = value;
    field.dispatchEvent(new Event("input", {bubbles: true}));
  };
  put("stage", stage);
  root.querySelector("[data-do=mean]").click();
  return x.map((value) => {
    put("x", value);
    if (z !== null) put("z", z);
    return {...root.dataset};
  });
}"""


@pytest.fixture
def explorer(exhibit):
    """Open a page with some explorers."""

    def explorer(copies=1, **settings):
        return exhibit(HTML * copies, **settings)

    return explorer


def numbers(text):
    return torch.tensor([float(word) for word in text.split()], dtype=torch.float64)


def data(page):
    return page.evaluate("({...document.querySelector('.g2-digit-tree').dataset})")


class TestInABrowser:
    pytestmark = in_a_browser

    @pytest.mark.parametrize("stage", range(len(STAGES)))
    @pytest.mark.parametrize("z", [None, -1.5, 2.0])
    @torch.no_grad()
    def test_its_numbers_are_the_packages(self, explorer, fork, stage, z):
        shown = explorer().evaluate(SHOW, [stage, X, z])
        policy, x = digit_tree_policy(stage), rows(fork, X)
        tokens, log_prob = enumerate_strings(policy, x)
        values = policy.tokenizer.decode(tokens).expand(len(X), -1)
        weights = log_prob.double().exp()
        truth = law_of_z(fork, X)["mean"] if z is None else np.full(len(X), z)
        truth = torch.as_tensor(truth)
        reward = squared_error_reward(values, truth)
        expected = {
            "input": x[:, 0].double(),
            "z": truth,
            "mean": weighted_mean(values, weights),
            "median": weighted_median(values, weights),
            "mode": values.gather(1, weights.argmax(1, keepdim=True))[:, 0],
            "reward": (weights * reward).sum(1),
            "entropy": -(weights * log_prob).sum(1),
        }
        for i, found in enumerate(shown):
            probabilities = numbers(found["probabilities"])
            assert_close(probabilities, weights[i], rtol=0, atol=1e-5)
            for name, right in expected.items():
                assert float(found[name]) == pytest.approx(
                    right[i].item(), rel=1e-5, abs=1e-5
                ), name

    @pytest.mark.parametrize("stage", range(len(STAGES)))
    @torch.no_grad()
    def test_in_float64_the_network_is_the_same_to_the_last_digits(
        self, explorer, fork, stage
    ):
        """float32 hides small slips, such as a coarse erf: here there is no room."""
        shown = explorer().evaluate(SHOW, [stage, X, None])
        _, log_prob = enumerate_strings(
            digit_tree_policy(stage).double(), rows(fork, X)
        )
        found = torch.stack([numbers(s["probabilities"]) for s in shown])
        assert_close(found, log_prob.exp(), rtol=1e-10, atol=1e-14)

    def test_its_truth_is_the_law_of_the_task(self, explorer, fork):
        law = law_of_z(fork, X)
        for i, found in enumerate(explorer().evaluate(SHOW, [0, X, None])):
            assert float(found["truthMean"]) == pytest.approx(law["mean"][i], abs=1e-12)
            variance = float(found["truthVariance"])
            assert variance == pytest.approx(law["variance"][i], abs=1e-12)
            cells = numbers(found["truth"]).numpy()
            np.testing.assert_allclose(cells, law["cells"][i], atol=1e-12)

    def test_what_a_prefix_is_worth_is_its_exact_value(self, explorer, fork):
        page = explorer()
        policy, x = digit_tree_policy(3), rows(fork, [0.6])
        z = torch.tensor([float(data(page)["z"])])
        exact = exact_values(policy, x, z)
        place = 0
        for k, digit in enumerate([1, 0, 1, 1, 0]):
            value = float(data(page)["value"])
            assert value == pytest.approx(exact.value[k][0, place].item(), abs=1e-5)
            page.get_by_role("button", name=f"write {digit}").click()
            place = 2 * place + digit
        told = page.locator("[data-part=walk]").inner_text()
        assert told.startswith("1 0 1 1 0 reads 1.35. The policy writes it with")
        assert data(page)["path"] == "1 0 1 1 0"

    def test_the_table_compares_the_ways_to_answer(self, explorer, fork):
        page = explorer()
        told = data(page)
        law = {key: float(told[key]) for key in ("truthMean", "truthVariance")}
        rewards = {}
        for line in page.locator("[data-part=rewards] tr").all():
            name, *cells = line.locator("th, td").all_inner_texts()
            rewards[name] = [c.replace("−", "-") for c in cells]
        assert list(rewards) == ["one string", "mean", "median", "mode"]
        assert float(rewards["one string"][1]) == pytest.approx(
            float(told["reward"]), abs=6e-4
        )
        for name in ("mean", "median", "mode"):
            z_hat = float(told[name])
            wanted = [z_hat, -((z_hat - float(told["z"])) ** 2)]
            wanted.append(-((z_hat - law["truthMean"]) ** 2) - law["truthVariance"])
            assert list(map(float, rewards[name])) == pytest.approx(wanted, abs=6e-4)

    def test_the_keyboard_suffices(self, explorer):
        page = explorer()
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        assert data(page)["x"] == "0.61"
        page.keyboard.press("Tab")
        page.keyboard.type("9")  # the field was selected; at most 1 is taken
        assert data(page)["x"] == "1"
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        assert data(page)["stage"] == "4"
        stage = page.get_by_label("training")
        assert stage.get_attribute("aria-valuetext") == "GenRe², 10 steps"
        assert page.locator("[data-part=stage]").inner_text() == "GenRe², 10 steps"
        page.keyboard.press("End")
        assert data(page)["stage"] == "6"
        page.get_by_role("button", name="write 1").focus()
        for _ in range(7):  # five digits, and nothing more
            page.keyboard.press("Enter")
        assert data(page)["path"] == "1 1 1 1 1"
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        assert data(page)["path"] == "1 1 1 1"

    def test_the_true_z_follows_x_until_it_is_set(self, explorer):
        page = explorer()
        typed = page.get_by_label("true z, typed")
        x = page.get_by_label("input x, typed")
        x.fill("0.2")
        assert data(page)["z"] == data(page)["truthMean"]
        typed.fill("-0.5")
        x.fill("0.9")
        assert data(page)["z"] == "-0.5"
        page.get_by_role("button", name="draw a z at x").click()
        drawn = data(page)["z"]
        assert drawn != "-0.5" and typed.input_value() == drawn
        page.get_by_role("button", name="z = its mean at x").click()
        assert data(page)["z"] == data(page)["truthMean"]

    def test_what_is_no_number_changes_nothing(self, explorer):
        page = explorer()
        x = page.get_by_label("input x, typed")
        x.fill("")
        assert data(page)["x"] == "0.6"
        x.blur()
        assert x.input_value() == "0.6"

    def test_drawn_strings_have_the_policys_frequencies(self, explorer):
        drawn = explorer().evaluate(
            """() => {
              const root = document.querySelector(".g2-digit-tree");
              return Array.from({length: 100}, () => {
                root.querySelector("[data-do=string]").click();
                return root.dataset.path;
              });
            }"""
        )
        policy = digit_tree_policy(3)
        values = policy.tokenizer.decode(torch.stack([*map(numbers, drawn)]).long())
        assert values.mean().item() == pytest.approx(0.95, abs=0.5)  # six errors

    def test_a_click_on_a_node_writes_its_prefix(self, explorer):
        page = explorer()
        spot = page.locator("[data-part=tree] circle:has(title)").nth(4)
        assert spot.locator("title").text_content().startswith("1 0: ")
        spot.click()
        assert data(page)["path"] == "1 0"
        assert "1 0: " in page.locator("[data-part=walk]").inner_text()

    def test_the_drawings_say_what_they_show(self, explorer):
        page = explorer()
        trees = page.locator("[data-part=tree]").get_attribute("aria-label")
        assert trees.startswith("Digit tree of 32 strings. The likeliest number is 0.4")
        curve = page.locator("[data-part=curve]").get_attribute("aria-label")
        assert curve.endswith("after: CE, 2,000 steps.")
        assert (
            page.locator("[data-part=result]").inner_text().startswith("ẑ by mean 0.9")
        )

    def test_it_works_as_jupyter_inserts_it_again_and_again(self, explorer):
        page = explorer(copies=0)
        for _ in range(2):  # the cell is run twice
            insert_as_jupyter(page, HTML)
            assert data(page)["stage"] == "3"

    def test_several_on_one_page_do_not_meet(self, explorer):
        page = explorer(copies=2)
        one, two = page.locator(".g2-digit-tree").all()
        one.get_by_label("training").fill("6")
        one.get_by_label("input x, typed").fill("-0.4")
        assert one.get_attribute("data-x") == "-0.4"
        assert one.get_attribute("data-stage") == "6"
        assert two.get_attribute("data-x") == "0.6"
        assert two.get_attribute("data-stage") == "3"

    @pytest.mark.parametrize("width", [320, PHONE["width"], 600])
    def test_it_fits_a_phone_with_text_large_enough(self, explorer, width):
        viewport = PHONE | {"width": width}
        page = explorer(viewport=viewport, is_mobile=True, has_touch=True)
        for stage in range(len(STAGES)):
            page.evaluate(SHOW, [stage, [-1, 1], 3])
            scroll = page.evaluate("document.documentElement.scrollWidth")
            assert scroll <= width
        inside = page.evaluate(
            """() => [...document.querySelectorAll("svg")].every((svg) => {
              const box = svg.getBBox(), {width, height} = svg.viewBox.baseVal;
              const drawn = svg.clientWidth / width;
              return box.x >= 0 && box.x + box.width <= width + 1
                && box.y + box.height <= height && Math.abs(drawn - 1) < 0.15;
            })"""
        )
        assert inside

    @pytest.mark.parametrize("ground, ink", [("white", "black"), ("#111", "#eee")])
    def test_it_takes_the_colours_of_the_page(self, explorer, ground, ink):
        page = explorer(
            style=f"<style>body {{background: {ground}; color: {ink}}}</style>"
        )
        own = page.evaluate("getComputedStyle(document.body).color")
        for part in ("input", "button", "output", "td", "th", "[data-part=result]"):
            color = page.evaluate(
                "(part) => getComputedStyle(document.querySelector(part)).color", part
            )
            assert color == own
