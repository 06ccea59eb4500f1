"""The built book as a reader meets it: in a real browser, from disk and served.

Run by ``make check-site`` after ``make book``. No page may ask another host for
anything, and each must work at a phone's width and in dark mode.
"""

import http.server
import threading
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import PHONE, in_a_browser

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
PAGES = sorted(path.relative_to(HTML).as_posix() for path in HTML.glob("book/*.html"))
WITH_MATHS = [
    page for page in PAGES if "math notranslate" in (HTML / page).read_text("utf-8")
]
pytestmark = [
    *in_a_browser,
    pytest.mark.skipif(not PAGES, reason="the book is not built: run make book"),
]


@pytest.fixture(scope="module")
def server():
    """The site's address on this machine, served as `make serve` does."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = partial(Quiet, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def visit(browser):
    """Open an address in a fresh context; complaints are collected in `.problems`."""
    contexts = []

    def visit(address, **settings):
        context = browser.new_context(**settings)
        contexts.append(context)
        page = context.new_page()
        page.problems = []
        page.on("console", partial(note_console, page))
        page.on("pageerror", lambda error: page.problems.append(f"script: {error}"))
        page.on("request", partial(note_request, page))
        page.on("requestfailed", lambda r: page.problems.append(f"failed: {r.url}"))
        page.goto(address, wait_until="load")
        page.wait_for_function("!window.MathJax || !!MathJax.startup")
        page.evaluate("window.MathJax?.startup?.promise")
        return page

    yield visit
    for context in contexts:
        context.close()


def note_console(page, message):
    if message.type in ("error", "warning"):
        page.problems.append(f"console: {message.text}")


def note_request(page, request):
    url = urlsplit(request.url)
    local = url.scheme in ("file", "data", "blob") or url.hostname == "127.0.0.1"
    if not local:
        page.problems.append(f"external request: {request.url}")


def from_disk(page):
    return (HTML / page).as_uri()


def luminance(page, css_property, selector):
    """Relative luminance (0 black, 1 white; WCAG 2) of an element's colour."""
    return page.evaluate(
        """([property, selector]) => {
          let element = document.querySelector(selector), colour;
          do {  // a transparent background shows the parent's
            colour = getComputedStyle(element)[property];
            element = element.parentElement;
          } while (colour === 'rgba(0, 0, 0, 0)' && element);
          const [r, g, b] = colour.match(/[\\d.]+/g).map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        }""",
        [css_property, selector],
    )


@pytest.mark.parametrize("page", ["index.html", *PAGES])
def test_a_page_opened_from_disk_is_complete_and_asks_for_nothing(visit, page):
    shown = visit(from_disk(page))
    broken = shown.eval_on_selector_all(
        "img", "images => images.filter(i => !i.naturalWidth).map(i => i.src)"
    )
    assert not broken
    assert not shown.problems


def test_no_page_names_a_folder_of_the_machine_that_built_it():
    for page in HTML.rglob("*.html"):
        assert str(ROOT) not in page.read_text("utf-8"), page


def test_no_page_has_a_widget_that_would_need_a_kernel():
    """Neither one that is dead, nor its state, nor the scripts that would show it."""
    signs = ("jupyter.widget", "jupyter-widgets", "Box(children=")
    for page in HTML.rglob("*.html"):
        text = page.read_text("utf-8")
        assert not [sign for sign in signs if sign in text], page


@pytest.mark.parametrize("page", WITH_MATHS)
def test_maths_is_typeset_from_disk(visit, page):
    shown = visit(from_disk(page))
    formulas = shown.locator(".math.notranslate")
    assert formulas.count() > 0
    assert formulas.filter(has_not=shown.locator("mjx-container svg")).count() == 0
    # An unknown macro is drawn in red, other errors become an error node.
    wrong = shown.locator("mjx-container").locator(
        '[fill="red"], [data-mml-node="merror"], [data-mjx-error]'
    )
    assert wrong.count() == 0


def test_some_page_has_maths():
    assert WITH_MATHS


@pytest.mark.parametrize("page", PAGES)
def test_no_page_scrolls_sideways_on_a_phone(visit, page):
    shown = visit(from_disk(page), viewport=PHONE, is_mobile=True, has_touch=True)
    assert shown.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    # The theme may hide the overflow of <html>; then the article must fit by itself.
    assert (
        shown.evaluate(
            "document.querySelector('article').getBoundingClientRect().right"
        )
        <= (PHONE["width"])
    )


@pytest.mark.parametrize("page", PAGES)
def test_dark_mode_is_dark_and_legible(visit, page):
    shown = visit(from_disk(page), color_scheme="dark")
    ground = luminance(shown, "backgroundColor", "article p, article")
    text = luminance(shown, "color", "article p, article")
    assert ground < 0.1
    assert (text + 0.05) / (ground + 0.05) >= 4.5  # WCAG AA


def test_the_theme_switch_goes_from_light_to_dark(visit, server):
    shown = visit(f"{server}/book/index.html", color_scheme="light")
    assert luminance(shown, "backgroundColor", "article") > 0.8
    for _ in range(3):  # auto, light and dark, in the theme's own order
        shown.locator(".theme-switch-button:visible").first.click()
        if luminance(shown, "backgroundColor", "article") < 0.1:
            break
    else:
        pytest.fail("the theme switch never reached dark")
    assert not shown.problems


@pytest.mark.parametrize("page", [page for page in PAGES if "/0" in page])
def test_a_chapter_offers_colab_repository_issues_and_edit(visit, page):
    shown = visit(from_disk(page))
    links = shown.eval_on_selector_all("a[href]", "links => links.map(a => a.href)")
    notebook = page.replace(".html", ".ipynb")
    assert any(
        link.startswith("https://colab.research.google.com/github/")
        and link.endswith(f"/blob/main/{notebook}")
        for link in links
    )
    assert any(link.endswith(f"/edit/main/{notebook}") for link in links)
    assert any("/issues/new" in link for link in links)


def test_search_finds_a_word(visit, server):
    shown = visit(f"{server}/search.html?q=tokenizer")
    shown.wait_for_selector("#search-results li a")
    results = shown.locator("#search-results").inner_text()
    assert "tokenizer" in results.lower()
    assert not shown.problems
