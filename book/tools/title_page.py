"""The title page: the first of the PDF, and the cover of the EPUB."""

from datetime import date
from pathlib import Path

from headless import headless

COVER = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 20px 30px; font: 20px "DejaVu Serif", serif; }}
body {{ text-align: center; background: #fff; color: #000; }}
.title {{ font: bold 40px "DejaVu Sans", sans-serif; }}
img {{ width: 75%; margin: 10px 0; }}
a {{ color: #000; font-size: 15px; text-decoration: none; }}
</style>{}"""


def title_page(root: Path, version: str, address: str) -> str:
    """A section of HTML; its picture is the first of the book."""
    picture = (root / "book" / "assets" / "digit-tree.svg").as_uri()
    return f"""<section id="title-page">
<p class="title">GenRe² from scratch</p>
<p class="subtitle">Regression by writing digits, tuned by reinforcement
learning: a book that builds it line by line</p><img src="{picture}" alt="">
<p>Version {version} · {date.today():%B %Y}</p>
<p><a href="{address}">{address}</a></p></section>"""


def draw_cover(file: Path, text: str):
    """Write the title page as a picture of 1200 by 1600 dots."""
    page_file = file.with_suffix(".html")
    page_file.write_text(COVER.format(text), "utf-8")
    size = {"width": 600, "height": 800}
    with headless(viewport=size, device_scale_factor=2) as page:
        page.goto(page_file.as_uri())
        page.screenshot(path=file)
    page_file.unlink()
