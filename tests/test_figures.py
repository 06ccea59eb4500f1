"""The figures of the built book: each one explained, each axis labelled.

Run by ``make check-site`` after ``make book``.
"""

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
PAGES = sorted(path.relative_to(HTML).as_posix() for path in HTML.glob("book/*.html"))
SVG = "{http://www.w3.org/2000/svg}"

pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(not PAGES, reason="the book is not built: run make book"),
]
each_page = pytest.mark.parametrize("page", PAGES)


class Images(HTMLParser):
    """Every picture of a page's article with its alt text, and whether it is captioned.

    A figure is ``<figure> <img> <figcaption>``; the logo and badges are not figures.
    """

    def __init__(self, text):
        super().__init__()
        self.found, self.depth, self.open = [], 0, None
        self.feed(text[text.index("<article") : text.index("</article>")])

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "figure":
            self.open = len(self.found)
        elif tag == "img" and "badge" not in attributes["src"]:
            self.found.append([attributes["src"], attributes.get("alt", ""), False])
        elif tag == "figcaption":
            for image in self.found[self.open :]:
                image[2] = True


def images(page):
    return Images((HTML / page).read_text("utf-8")).found


def axes_without_label(path):
    """Axes of a matplotlib drawing that show numbers and do not say of what.

    Matplotlib writes a group an axis, in it a group a tick, and the label as a text
    directly below; it leaves each text's wording in a comment.
    """
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    root = ElementTree.parse(path, parser=parser).getroot()
    for axis in root.iter(f"{SVG}g"):
        if not axis.get("id", "").startswith("matplotlib.axis_"):
            continue
        ticks = [g for g in axis if re.match(r"[xy]tick_", g.get("id", ""))]
        words = [wording(tick) for tick in ticks]
        numbers = [w for w in words if is_number(w)]
        labels = [g for g in axis if g.get("id", "").startswith("text_")]
        if numbers and not any(re.search("[^\\W\\d]", wording(g)) for g in labels):
            yield f"{axis.get('id')} with ticks {numbers}"


def is_number(text):
    """Whether a tick shows a number, plain or as a power in TeX, and not a name."""
    plain = re.sub(r"\\[a-z]+", "", text)
    return bool(re.search(r"\d", plain)) and not re.search(r"[^\W\d_]", plain)


def wording(group):
    comments = [c for c in group.iter() if c.tag is ElementTree.Comment]
    return " ".join(html.unescape(c.text.strip()) for c in comments)


@each_page
def test_every_figure_has_a_caption_and_an_alt_text(page):
    for source, alt, captioned in images(page):
        assert len(alt) > 20 and not alt.endswith((".svg", ".png")), source
        assert captioned, source


@each_page
def test_every_axis_with_numbers_has_a_label(page):
    for source, _, _ in images(page):
        if source.endswith(".svg"):
            path = (HTML / page).parent / source
            assert not list(axes_without_label(path)), source


def test_the_test_itself_finds_a_missing_label(tmp_path):
    import matplotlib.pyplot as plt

    figure, (labelled, bare, named) = plt.subplots(1, 3)
    labelled.set(xlabel="z (std. dev.)", ylabel="count")
    bare.set(ylabel="count")
    named.set_xticks([0, 1], ["ReMax", "CE, T = 0.85"])
    named.set_yticks([])
    figure.savefig(tmp_path / "figure.svg")
    (found,) = axes_without_label(tmp_path / "figure.svg")
    assert "0.5" in found
    plt.close(figure)
