"""The pages of the EPUB as one page of HTML, ready to print.

Every chapter keeps its own names: the anchor ``x`` of ``07-reinforce.xhtml``
becomes ``07-reinforce--x``, and links are rewritten to match. Formulas go back
to TeX: what MathJax draws is finer on paper than a browser's MathML.
"""

import html
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

XHTML, MATHML = (
    "http://www.w3.org/1999/xhtml",
    "http://www.w3.org/1998/Math/MathML",
)
OPS = "http://www.idpf.org/2007/ops"
SHEET = "size: A4 landscape; margin: 15mm 12mm 12mm; "


@dataclass
class Chapter:
    """A page of the book: its anchor, its heading and its HTML."""

    name: str
    title: str
    sections: list[
        tuple[str, str]
    ]  # anchor and text of each heading below the title
    body: str


@dataclass
class Part:
    """What stands together in the table of contents."""

    caption: str
    chapters: list[str]


def text_of(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def anchor(page: str, target: str) -> str:
    """Where a link of a page leads after joining; other addresses stay.

    >>> anchor("07-reinforce", "06-decoding-as-an-mdp.xhtml#values")
    '#06-decoding-as-an-mdp--values'
    """
    if re.match(r"[a-z]+:", target):
        return target
    file, _, name = unquote(target).partition("#")
    page = Path(file).stem if file else page
    return f"#{page}--{name}" if name else f"#{page}"


def rename(body: ET.Element, page: str, images: str):
    """Make a page's anchors, links and pictures fit for the joined page."""
    for node in body.iter():
        if "id" in node.attrib:
            node.set("id", f"{page}--{node.get('id')}")
        if "href" in node.attrib:
            node.set("href", anchor(page, node.get("href")))
        if "src" in node.attrib:
            node.set("src", f"{images}/{Path(node.get('src')).name}")
        for name in [
            name for name in node.attrib if name.startswith(f"{{{OPS}}}")
        ]:
            del node.attrib[name]


def to_tex(body: ET.Element):
    """Each formula by its TeX, between the marks that MathJax looks for."""
    for math in body.iter(f"{{{MATHML}}}math"):
        left, right = (
            (r"\[", r"\]")
            if math.get("display") == "block"
            else (r"\(", r"\)")
        )
        tex, tail = math.get("alttext"), math.tail
        math.clear()
        math.tag, math.text, math.tail = (
            f"{{{XHTML}}}span",
            f"{left}{tex}{right}",
            tail,
        )
        math.set("class", "tex")


def without_namespaces(element: ET.Element) -> str:
    for node in element.iter():
        node.tag = node.tag.rpartition("}")[2]
    return ET.tostring(element, encoding="unicode", method="html")


def read_chapter(path: Path, images: str) -> Chapter:
    """A page of the EPUB as a part of the joined page."""
    tree = ET.parse(path)
    body = next(
        div
        for div in tree.iter(f"{{{XHTML}}}div")
        if div.get("class") == "body"
    )
    rename(body, path.stem, images)
    title, *headings = (
        heading
        for section in body.iter(f"{{{XHTML}}}section")
        for heading in section
        if heading.tag in (f"{{{XHTML}}}h1", f"{{{XHTML}}}h2")
    )
    anchors = {
        heading: section.get("id")
        for section in body.iter(f"{{{XHTML}}}section")
        for heading in section
    }
    sections = [(anchors[heading], text_of(heading)) for heading in headings]
    name = text_of(title)
    to_tex(body)
    return Chapter(path.stem, name, sections, without_namespaces(body))


def read_parts(navigation: Path) -> list[Part]:
    """The parts of the EPUB's contents, the pages of each in order."""
    top = ET.parse(navigation).find(f".//{{{XHTML}}}nav/{{{XHTML}}}ol")
    parts = []
    for entry in top:
        links = [Path(a.get("href")).stem for a in entry.iter(f"{{{XHTML}}}a")]
        nested = entry.find(f"{{{XHTML}}}ol") is not None
        caption = text_of(entry[0]) if nested else ""
        parts.append(Part(caption, links[1:] if nested else links))
    return parts


def contents(
    parts: list[Part], chapters: dict[str, Chapter], pages: dict
) -> str:
    """The table of contents; what is not in ``pages`` has no number yet."""

    def line(name: str, text: str, kind: str) -> str:
        number = pages.get(name, "000")
        return (
            f'<li class="{kind}"><a href="#{name}"><span>{html.escape(text)}'
            f"</span><i></i><b>{number}</b></a></li>"
        )

    lines = []
    for part in parts:
        if part.caption:
            lines.append(f'<li class="part">{html.escape(part.caption)}</li>')
        for name in part.chapters:
            chapter = chapters[name]
            lines.append(line(name, chapter.title, "chapter"))
            lines += [
                line(*section, "section") for section in chapter.sections
            ]
    return (
        f'<nav id="contents"><h1>Contents</h1><ol>{"".join(lines)}</ol></nav>'
    )


def running_heads(chapters: dict[str, Chapter]) -> str:
    """A style for each chapter, whose title stands on its pages.

    The first chapter has the title of the book, which stands on all of them.
    """
    rules = []
    for number, chapter in enumerate(chapters.values()):
        title = chapter.title.replace('"', r"\"") if number else ""
        rules.append(
            f"section#{css_name(chapter.name)} {{ page: chapter{number}; }}"
        )
        size = SHEET if chapter.name == "cheat-sheet" else ""
        rules.append(
            f"@page chapter{number} "
            f'{{ {size}@top-right {{ content: "{title}"; }} }}'
        )
    return "\n".join(rules)


def css_name(name: str) -> str:
    r"""A name as a selector takes it: ``07-x`` is ``\30 7-x``."""
    return rf"\3{name[0]} {name[1:]}" if name[0].isdigit() else name
