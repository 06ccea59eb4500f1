"""A Chromium without a window, for the tools that typeset and print.

It is the machine's own, found by its name. Nothing is downloaded.
"""

import shutil
from contextlib import contextmanager

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
# Without these, the browser itself talks to its maker.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

chromium = next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def headless(**settings):
    """An empty page of a fresh browser, closed at the end.

    Raises
    ------
    SystemExit
        If the machine has no Chromium, with what to do about it.
    """
    from playwright.sync_api import sync_playwright

    if chromium is None:
        raise SystemExit(
            "No Chromium on this machine. Formulas are typeset and pages are "
            "printed with it; install one (Debian: apt-get install chromium)."
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=ARGUMENTS
        )
        try:
            yield browser.new_page(**settings)
        finally:
            browser.close()
