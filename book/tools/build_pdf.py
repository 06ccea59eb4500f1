"""Print the pages of the EPUB: _build/pdf/genre2-from-scratch.pdf.

    python book/tools/build_pdf.py

Chromium prints them twice. The first time tells on which page each heading
fell, the second time the table of contents says so.
"""

from pathlib import Path

import matplotlib
import pikepdf
from build_epub import NAME, ROOT, settings
from headless import headless
from joined_pages import (
    Chapter,
    Part,
    contents,
    read_chapter,
    read_parts,
    running_heads,
)
from offline_mathjax import mathjax_script
from pikepdf import OutlineItem
from title_page import title_page

FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
FACES = {
    "STIX": (
        "STIXGeneral",
        "STIXGeneralItalic",
        "STIXGeneralBol",
        "STIXGeneralBolIta",
    ),
    "DejaVu Sans Mono": (
        "DejaVuSansMono",
        "DejaVuSansMono-Oblique",
        "DejaVuSansMono-Bold",
        "DejaVuSansMono-BoldOblique",
    ),
    "DejaVu Sans": (
        "DejaVuSans",
        "DejaVuSans-Oblique",
        "DejaVuSans-Bold",
        "DejaVuSans-BoldOblique",
    ),
}
COLUMN = 166 * 96 / 25.4  # mm between the margins of paper.css, in CSS pixels
# Chromium would print everything smaller until the widest thing fits.
FIT = """() => {
  const fit = (what, within, width) => {
    for (const wide of document.querySelectorAll(what)) {
      const room = wide.closest(within).getBoundingClientRect().width;
      const taken = width(wide).getBoundingClientRect().width;
      if (taken > room) wide.style.zoom = 0.99 * room / taken;
    }
  };
  fit("mjx-container[display=true]", "div", node => node.querySelector("svg"));
  fit("table", "section", node => node);
  for (const code of document.querySelectorAll("pre")) {
    if (code.offsetHeight < 250) continue;  // a short one stays on its page
    code.style.breakInside = "auto";
    code.closest(".output")?.style.setProperty("break-inside", "auto");
  }
}"""


def font_faces() -> str:
    """The fonts that matplotlib brings: every machine prints the same."""
    styles = [
        (weight, style)
        for weight in (400, 700)
        for style in ("normal", "italic")
    ]
    return "\n".join(
        f'@font-face {{ font-family: "{family}"; font-weight: {weight}; '
        f'font-style: {style}; src: url("{(FONTS / file).as_uri()}.ttf"); }}'
        for family, files in FACES.items()
        for (weight, style), file in zip(styles, files, strict=True)
    )


def read_book(epub: Path) -> tuple[list[Part], dict[str, Chapter]]:
    """The parts of the book, and its chapters by their names."""
    parts = read_parts(epub / "nav.xhtml")
    images = (epub / "_images").as_uri()
    names = [name for part in parts for name in part.chapters]
    pages = [epub / "book" / f"{name}.xhtml" for name in names]
    return parts, {page.stem: read_chapter(page, images) for page in pages}


def joined(root: Path, config: dict, book: tuple, pages: dict) -> str:
    """The whole book as one page of HTML."""
    epub, (parts, chapters) = root / "_build" / "epub", book
    title = title_page(root, config["version"], config["html_baseurl"])
    styles = [epub / "_static" / "pygments.css"]
    styles += [
        root / "book" / "assets" / name for name in ("pages.css", "paper.css")
    ]
    linked = "".join(
        f'<link rel="stylesheet" href="{s.as_uri()}">' for s in styles
    )
    text = "".join(
        f'<section class="page" id="{chapter.name}">{chapter.body}</section>'
        for chapter in chapters.values()
    )
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<title>{config["html_title"]}</title>{linked}
<style>{font_faces()}{running_heads(chapters)}</style>
<script>window.MathJax = {{svg: {{fontCache: "global"}}, options: {{
  processHtmlClass: "tex", ignoreHtmlClass: "document", enableMenu: false}}}}
</script><script src="{mathjax_script().as_uri()}"></script></head>
<body class="document">{title}
{contents(parts, chapters, pages)}{text}</body></html>"""


def printed(page, file: Path, text: str) -> Path:
    """Print HTML to the PDF beside its file."""
    file.write_text(text, "utf-8")
    page.goto(file.as_uri())
    page.evaluate("MathJax.startup.promise")
    page.evaluate("document.fonts.ready")
    page.evaluate(FIT)
    pdf = file.with_suffix(".pdf")
    page.pdf(
        path=pdf, prefer_css_page_size=True, tagged=True, print_background=True
    )
    return pdf


def page_numbers(pdf: pikepdf.Pdf) -> dict[str, int]:
    """Anchor -> page, from 1, of everything that a link leads to."""
    pages = {
        page.objgen: number for number, page in enumerate(pdf.pages, start=1)
    }
    return {
        name.lstrip("/"): pages[target[0].objgen]
        for name, target in pdf.Root.Dests.items()
    }


def describe(pdf: pikepdf.Pdf, config: dict):
    """Title, author and subject, in place of the browser's name."""
    with pdf.open_metadata() as metadata:
        metadata["dc:title"] = config["html_title"]
        metadata["dc:creator"] = [config["author"]]
        metadata["dc:description"] = config["epub_description"]
        metadata["dc:language"] = [config["language"]]


def write_outline(
    pdf: pikepdf.Pdf, parts: list[Part], chapters: dict[str, Chapter]
):
    """What a viewer shows beside the pages: parts, chapters, sections."""

    def item(name: str, text: str) -> OutlineItem:
        return OutlineItem(text, pdf.Root.Dests[f"/{name}"])

    with pdf.open_outline() as outline:
        for part in parts:
            items = []
            for name in part.chapters:
                items.append(item(name, chapters[name].title))
                items[-1].children += [
                    item(*at) for at in chapters[name].sections
                ]
            if part.caption:
                items, below = [item(part.chapters[0], part.caption)], items
                items[0].children += below
            outline.root += items


def build(root: Path = ROOT) -> Path:
    """Write the PDF and return where it is."""
    config, book = settings(root), read_book(root / "_build" / "epub")
    file = root / "_build" / "pdf" / "book.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    with headless(viewport={"width": round(COLUMN), "height": 1000}) as page:
        page.emulate_media(media="print")
        with pikepdf.open(
            printed(page, file, joined(root, config, book, {}))
        ) as first:
            pages = page_numbers(first)
        browsers = printed(page, file, joined(root, config, book, pages))
    target = file.with_name(f"{NAME}.pdf")
    with pikepdf.open(browsers) as pdf:
        describe(pdf, config)
        write_outline(pdf, *book)
        # Tags for screen readers are many small objects: pack them together.
        pdf.save(target, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    browsers.unlink()
    return target


if __name__ == "__main__":
    print(f"The PDF is at {build()}")
