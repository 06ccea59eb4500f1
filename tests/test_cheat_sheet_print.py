"""The cheat sheet on paper and on a phone, in a real browser.

Run by ``make check-site`` after ``make book``.
"""

import re
from pathlib import Path

import pytest
from browser import PHONE, in_a_browser

PAGE = Path(__file__).parents[1] / "_build" / "html" / "book" / "cheat-sheet.html"
pytestmark = [
    *in_a_browser,
    pytest.mark.skipif(not PAGE.exists(), reason="the book is not built"),
]
A4_LANDSCAPE, MARGIN = (297, 210), 7  # mm
MM, POINT = 96 / 25.4, 96 / 72  # in CSS pixels
each_mode = pytest.mark.parametrize("scheme", ["light", "dark"])

# Font size, colour and place of every text that is seen, formulas left out.
TEXTS = """() => {
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const parent = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || !parent.checkVisibility()
        || parent.closest("mjx-container, script, style")) continue;
    const style = getComputedStyle(parent);
    found.push([parseFloat(style.fontSize), style.color,
                !!parent.closest("#cheat-sheet-the-objectives")]);
  }
  return found;
}"""


@pytest.fixture
def sheet(browser):
    """Open the page, its formulas typeset."""
    contexts = []

    def sheet(**settings):
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.goto(PAGE.as_uri())
        page.wait_for_function("!!window.MathJax?.startup?.promise")
        page.evaluate("MathJax.startup.promise")
        return page

    yield sheet
    for context in contexts:
        context.close()


@each_mode
def test_it_prints_on_one_page_of_a4_landscape(sheet, scheme):
    pdf = sheet(color_scheme=scheme).pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
    [box] = re.findall(rb"/MediaBox\s*\[([^\]]+)\]", pdf)
    size = [float(side) / 72 * 25.4 for side in box.split()[2:]]
    assert size == pytest.approx(A4_LANDSCAPE, abs=0.5)


@each_mode
def test_the_print_is_black_whole_and_not_small(sheet, scheme):
    """7.5 points at least; the sheet and nothing else; nothing beyond the margins."""
    width, height = (int((side - 2 * MARGIN) * MM) for side in A4_LANDSCAPE)
    page = sheet(color_scheme=scheme, viewport={"width": width, "height": height})
    page.emulate_media(media="print", color_scheme=scheme)
    texts = page.evaluate(TEXTS)
    assert len(texts) > 200
    assert min(size for size, *_ in texts) >= 7.5 * POINT - 0.01
    assert {colour for _, colour, _ in texts} == {"rgb(0, 0, 0)"}
    assert all(of_the_sheet for *_, of_the_sheet in texts)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    section = page.locator("#cheat-sheet-the-objectives").bounding_box()
    assert section["height"] < height


def test_on_a_phone_the_table_scrolls_in_its_own_box(sheet):
    page = sheet(viewport=PHONE, is_mobile=True, has_touch=True)
    box = page.locator("article .pst-scrollable-table-container")
    wide, shown = box.evaluate("box => [box.scrollWidth, box.clientWidth]")
    assert shown <= PHONE["width"] < wide / 2
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    box.evaluate("box => box.scrollLeft = 400")
    name = page.locator("article tbody td:first-child").first.bounding_box()
    assert 0 <= name["x"] < PHONE["width"] / 4  # the name of the row stays in sight
