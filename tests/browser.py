"""A real browser for the tests that look at pages: what it is called, and its fixtures.

``conftest`` imports the fixtures, so every test file has them.
"""

import pytest
from headless import ARGUMENTS, chromium

PHONE = {"width": 390, "height": 844}

in_a_browser = [
    pytest.mark.site,
    pytest.mark.skipif(chromium is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def exhibit(browser, tmp_path):
    """Open a page of some HTML from disk; a complaint of the browser fails the test."""
    contexts, problems = [], []

    def exhibit(html, style="", **settings):
        file = tmp_path / "page.html"
        head = (
            '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        )
        file.write_text(f"<!doctype html>{head}{style}{html}", "utf-8")
        contexts.append(browser.new_context(**settings))
        page, requests = contexts[-1].new_page(), []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        assert requests == [file.as_uri()]
        return page

    yield exhibit
    for context in contexts:
        context.close()
    assert not problems


def insert_as_jupyter(page, html):
    """Set the markup and then make each script anew, away from it, as Jupyter does."""
    page.evaluate(
        """(html) => {
          const output = document.createElement("div");
          output.innerHTML = html;
          document.body.replaceChildren(output);
          for (const old of output.querySelectorAll("script")) {
            const script = document.createElement("script");
            script.textContent = old.textContent;
            document.head.append(script);
          }
        }""",
        html,
    )
