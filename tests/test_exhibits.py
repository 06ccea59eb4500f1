"""The exhibits in a page: self-contained, labelled, and as exact as the package.

Those that need a browser run with ``make check-site``, each on a page of its own that
is opened from disk; no built book is needed.
"""

import math
from html.parser import HTMLParser

import pytest
import torch
from browser import PHONE, in_a_browser, insert_as_jupyter

from genre2_mini.exhibits import number_explorer
from genre2_mini.tokenizers import (
    IEEETokenizer,
    NormalizedTokenizer,
    ScientificTokenizer,
)

HTML = number_explorer().data
SVG = "http://www.w3.org/2000/svg"
VOID = ("input", "br")

# The explorer's settings of each tokenizer, and the package's tokenizer.
SETTINGS = [
    *(
        (
            "normalized",
            {"base": base, "digits": digits, "low": low, "high": high},
            NormalizedTokenizer(base, digits, low, high),
        )
        for base, digits, low, high in [
            (2, 8, -3.0, 3.0),
            (2, 1, 0.0, 8.0),
            (4, 4, -3.543690045662514, 3.2168745487691535),
            (6, 4, 0.1, 0.3),
            (8, 3, -1e6, 5.0),
            (10, 4, 0.0, 1.0),
            (10, 12, -1.0, 1e-3),
        ]
    ),
    *(
        ("scientific", {"digits": d, "most": most}, ScientificTokenizer(d, most))
        for d, most in [(4, 10), (1, 0), (3, 5), (8, 22)]
    ),
    *(
        (
            "ieee",
            {"base": base, "exponents": x, "digits": m},
            IEEETokenizer(base, x, m),
        )
        for base, x, m in [(10, 1, 4), (10, 2, 8), (10, 1, 1), (2, 3, 4), (2, 9, 8)]
    ),
]
each_setting = pytest.mark.parametrize(
    "kind, fields, tokenizer",
    SETTINGS,
    ids=[f"{kind}-{'-'.join(map(str, f.values()))}" for kind, f, _ in SETTINGS],
)


def numbers(tokenizer):
    """Numbers of every size, grid points, ties half-way between them, and the ends."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(40, generator=generator, dtype=torch.float64)
    sizes = 10 ** (24 * torch.rand(40, generator=generator, dtype=torch.float64) - 12)
    low, high = tokenizer.low, tokenizer.high
    inside = low / 2 + (high / 2 - low / 2) * torch.linspace(0, 2, 9).double()
    ties = torch.arange(-4, 8).double() + 0.5
    special = [0.0, -0.0, 9.9996, 0.99995, -99.999, 1.2345e-8, 0.6e-9, 5e-10]
    special += [low, high, 1.7e308, -1e300, 1e-300, 0.1 + 0.2]
    if isinstance(tokenizer, NormalizedTokenizer):
        ties = low + ties * tokenizer.resolution
    ends = torch.tensor(special, dtype=torch.float64)
    return torch.cat([z, z * sizes, inside, ties, ties * 1e-3, ends]).tolist()


class Elements(HTMLParser):
    """Start tags of a fragment with their attributes and the tags around them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.found, self.labels = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes), tuple(self.open)))
        if tag == "label":
            self.labels.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "label":
            self.labels[-1] += data


# Without a browser


def test_an_exhibit_asks_no_other_host_for_anything():
    assert "//" not in HTML.replace(SVG, "").replace("// ", "")
    assert "import" not in HTML
    assert "url(" not in HTML


def test_an_exhibit_is_one_balanced_root_with_its_style_and_one_script():
    page = Elements(HTML)
    assert page.open == []
    outermost = [(tag, a) for tag, a, around in page.found if not around]
    assert [tag for tag, _ in outermost] == ["style", "style", "div", "script"]
    assert outermost[2][1]["class"] == "g2-exhibit g2-number-explorer"
    assert "id" not in {name for _, a, _ in page.found for name in a}


def test_every_control_has_a_label_in_words():
    page = Elements(HTML)
    controls = [c for c in page.found if c[0] in ("input", "select")]
    assert len(controls) == 11
    assert all("label" in around for _, _, around in controls)
    assert len(page.labels) == len(controls)
    assert all(label.strip() for label in page.labels)


def test_what_changes_is_announced_and_the_drawing_is_an_image():
    attributes = [a for _, a, _ in Elements(HTML).found]
    live = [a["data-part"] for a in attributes if a.get("aria-live") == "polite"]
    assert live == ["result", "change"]
    assert [a["data-part"] for a in attributes if a.get("role") == "img"] == ["plot"]


# In a browser

SHOW = """([kind, fields, numbers]) => {
  const root = document.querySelector(".g2-number-explorer");
  const put = (field, value) => {
    field.value = value;
    field.dispatchEvent(new Event("input", {bubbles: true}));
  };
  put(root.querySelector("[name=kind]"), kind);
  const settings = root.querySelector(`[data-settings=${kind}]`);
  for (const [name, value] of Object.entries(fields)) {
    put(settings.querySelector(`[name=${name}]`), value);
  }
  return numbers.map((z) => {
    put(root.querySelector("[name=number]"), z);
    const text = root.querySelector("[data-part=result]").textContent;
    return {...root.dataset, text};
  });
}"""
WALK = """(steps) => steps.map(([position, key]) => {
  const root = document.querySelector(".g2-number-explorer");
  const buttons = root.querySelectorAll("[data-part=tokens] button");
  buttons[position].dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  return {...root.dataset};
})"""


@pytest.fixture
def explorer(exhibit):
    """Open a page with some explorers."""

    def explorer(copies=1, **settings):
        return exhibit(HTML * copies, **settings)

    return explorer


def show(page, kind, fields, z):
    """What the explorer shows for each number, given as text or as numbers."""
    texts = [value if isinstance(value, str) else repr(value) for value in z]
    return page.evaluate(SHOW, [kind, fields, texts])


def ids(text):
    return [int(token) for token in text.split()]


class TestInABrowser:
    pytestmark = in_a_browser

    @each_setting
    def test_tokens_value_and_error_are_the_packages(
        self, explorer, kind, fields, tokenizer
    ):
        z = numbers(tokenizer)
        for number, shown in zip(z, show(explorer(), kind, fields, z), strict=True):
            try:
                tokens = tokenizer.encode(torch.tensor(number, dtype=torch.float64))
            except ValueError:
                assert "beyond the largest" in shown["text"]
                assert "tokens" not in shown
                continue
            value = tokenizer.decode(tokens).item()
            assert ids(shown["tokens"]) == tokens.tolist(), number
            assert float(shown["value"]) == value, number
            assert float(shown["error"]) == abs(value - number), number

    @each_setting
    def test_a_changed_string_is_read_and_compared_as_the_package_does(
        self, explorer, kind, fields, tokenizer
    ):
        page = explorer()
        (first,) = show(page, kind, fields, [0.2])
        right = torch.tensor(ids(first["tokens"]))
        generator = torch.Generator().manual_seed(0)
        places = torch.randint(len(right), (40,), generator=generator).tolist()
        keys = ["ArrowUp", "ArrowUp", "ArrowUp", "ArrowDown"] * 10
        written = right.clone()
        walk = page.evaluate(WALK, list(zip(places, keys, strict=True)))
        for place, key, shown in zip(places, keys, walk, strict=True):
            written[place] += 1 if key == "ArrowUp" else -1
            written[place] %= tokenizer.vocab_sizes[place]
            distance = tokenizer.decode(written) - tokenizer.decode(right)
            assert ids(shown["written"]) == written.tolist()
            assert int(shown["wrong"]) == (written != right).sum()
            assert float(shown["distance"]) == distance.abs().item()

    @pytest.mark.parametrize(
        "kind, z, said",
        [
            ("normalized", 7.0, "outside the range: it clips"),
            ("normalized", 0.99996, "which has no string: it clips"),
            ("scientific", -1e300, "beyond the largest: it clips"),
            ("ieee", -1e10, "−10000000000 is beyond the largest, 9999000000"),
            ("ieee", 0.6e-9, "below the smallest"),
        ],
    )
    def test_it_says_where_a_number_cannot_be_written(self, explorer, kind, z, said):
        (shown,) = show(explorer(), kind, {}, [z])
        assert said in shown["text"]

    @pytest.mark.parametrize(
        "kind, fields, z, said",
        [
            ("normalized", {}, "", "Type a number."),
            (
                "normalized",
                {"digits": "2.5"},
                "1",
                "Digits: a whole number from 1 to 12.",
            ),
            ("normalized", {"digits": ""}, "1", "Digits: a whole number from 1 to 12."),
            ("normalized", {"low": "2"}, "1", "The range needs two numbers"),
            ("normalized", {"high": ""}, "1", "The range needs two numbers"),
            (
                "normalized",
                {"low": "1e9", "high": "1000000000.0000001"},
                "1",
                "The range",
            ),
            (
                "normalized",
                {"low": "0.9999999999999999"},
                "1",
                "The range is too narrow",
            ),
            ("scientific", {"most": "23"}, "1", "Largest exponent: a whole number"),
            ("ieee", {"exponents": "3"}, "1", "That leaves the range of float64"),
        ],
    )
    def test_what_makes_no_sense_is_answered_in_words(
        self, explorer, kind, fields, z, said
    ):
        page = explorer()
        (shown,) = show(page, kind, fields, [z])
        assert shown["text"].startswith(said)
        assert "tokens" not in shown
        assert page.locator("[data-part=shown]").is_hidden()

    @pytest.mark.parametrize("typed", ["nan", "1e999", "-", "abc"])
    def test_what_is_typed_and_is_no_number_is_answered_too(self, explorer, typed):
        page = explorer()
        page.locator("[name=number]").select_text()
        page.keyboard.press("Delete")
        page.keyboard.type(typed)
        assert page.locator("[data-part=result]").inner_text() == "Type a number."

    def test_the_carry_one_step_down_and_every_token_is_wrong(self, explorer):
        page = explorer()
        page.get_by_role("button", name="next number down").click()
        told = page.locator("[data-part=change]").inner_text()
        assert told == (
            "1 9 9 9 reads 0.1999. Hamming distance: 4 wrong tokens of 4. "
            "Numeric distance: 0.0001."
        )
        page.get_by_role("button", name="next number up").click()
        assert "0 wrong tokens of 4" in page.locator("[data-part=change]").inner_text()

    @each_setting
    def test_steps_up_are_the_next_numbers(self, explorer, kind, fields, tokenizer):
        page = explorer()
        show(page, kind, fields, [0.2])
        for _ in range(3):
            before = page.evaluate(
                "({...document.querySelector('.g2-exhibit').dataset})"
            )
            page.get_by_role("button", name="next number up").click()
            after = page.evaluate(
                "({...document.querySelector('.g2-exhibit').dataset})"
            )
            below, above = (
                tokenizer.decode(torch.tensor(ids(d["written"]))).item()
                for d in (before, after)
            )
            between = torch.tensor(below / 2 + above / 2, dtype=torch.float64)
            nearest = tokenizer.decode(tokenizer.encode(between)).item()
            assert below == above == tokenizer.decode(
                torch.tensor([n - 1 for n in tokenizer.vocab_sizes])
            ) or (below < above and nearest in (below, above))

    def test_the_keyboard_suffices(self, explorer):
        page = explorer()
        tokens = page.locator("[data-part=tokens] button")
        tokens.first.focus()
        page.keyboard.press("ArrowUp")
        assert tokens.first.get_attribute("aria-label") == "d1: 3, should be 2"
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.keyboard.press("Space")
        page.keyboard.press("Home")  # means nothing here
        assert [t.inner_text() for t in tokens.all()] == ["3", "1", "0", "0"]
        assert "2 wrong tokens of 4" in page.locator("[data-part=change]").inner_text()
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")  # there is nothing further left
        assert page.evaluate("document.activeElement.dataset.position") == "0"

    def test_a_click_near_a_dot_writes_its_string(self, explorer):
        page = explorer()
        plot = page.locator("[data-part=plot]")
        dot = page.evaluate(
            """() => {
              const {x, y} = document.querySelector("circle").getBBox();
              return [x + 7, y + 7];
            }"""
        )
        page.get_by_role("button", name="next number down").click()
        plot.click(position={"x": dot[0], "y": dot[1]})
        assert "0 wrong tokens" in page.locator("[data-part=change]").inner_text()
        assert "With one wrong token it lies between 0.0001 and 0.7" in (
            plot.get_attribute("aria-label")
        )

    def test_it_works_as_jupyter_inserts_it_again_and_again(self, explorer):
        page = explorer(copies=0)
        for _ in range(2):  # the cell is run twice
            insert_as_jupyter(page, HTML)
            told = page.locator("[data-part=result]").inner_text()
            assert told.startswith("2 0 0 0 reads 0.2.")

    def test_several_on_one_page_do_not_meet(self, explorer):
        page = explorer(copies=2)
        one, two = page.locator(".g2-number-explorer").all()
        one.get_by_label("number", exact=True).fill("0.75")
        one.locator("[data-part=tokens] button").first.click()
        assert one.get_attribute("data-tokens") == "7 5 0 0"
        assert one.get_attribute("data-written") == "8 5 0 0"
        assert two.get_attribute("data-tokens") == "2 0 0 0"

    @pytest.mark.parametrize("kind", ["normalized", "scientific", "ieee"])
    def test_it_fits_a_narrow_phone_with_text_large_enough(self, explorer, kind):
        phone = PHONE | {"width": 320}
        page = explorer(viewport=phone, is_mobile=True, has_touch=True)
        show(page, kind, {"digits": 8}, [-0.123456])
        assert page.evaluate("document.documentElement.scrollWidth") <= phone["width"]
        drawn = page.evaluate(
            """() => {
              const svg = document.querySelector("svg");
              return svg.clientWidth / svg.viewBox.baseVal.width;
            }"""
        )
        assert math.isclose(drawn, 1, abs_tol=0.15)

    @pytest.mark.parametrize("ground, ink", [("white", "black"), ("#111", "#eee")])
    def test_it_takes_the_colours_of_the_page(self, explorer, ground, ink):
        page = explorer(
            style=f"<style>body {{background: {ground}; color: {ink}}}</style>"
        )
        own = page.evaluate("getComputedStyle(document.body).color")
        for part in ("input", "select", "button", "[data-part=result]"):
            assert (
                page.evaluate(
                    "(part) => getComputedStyle(document.querySelector(part)).color",
                    part,
                )
                == own
            )
