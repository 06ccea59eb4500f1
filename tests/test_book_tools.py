"""The tools that make the EPUB and the PDF, on a few lines of their own."""

import os
import xml.etree.ElementTree as ET

import joined_pages
import mathml
import offered_files
import pytest
import still_pages

# HTML for readers that run nothing


@pytest.mark.parametrize(
    ("html", "left"),
    [
        ("a<br>b", "a<br/>b"),
        ("<style scoped>p {}</style><script>f()</script><p>a</p>", "<p>a</p>"),
        (
            '<table border="1"><tr halign="left"></tr></table>',
            "<table><tr></tr></table>",
        ),
        (
            "<details><summary>Hint</summary>a</details>",
            '<div class="fold"><p class="summary">Hint</p>a</div>',
        ),
    ],
)
def test_raw_html_becomes_well_formed(html, left):
    assert still_pages.well_formed(html) == left
    ET.fromstring(f"<body>{still_pages.well_formed(html)}</body>")


# Formulas


@pytest.mark.parametrize(
    ("letter", "variant", "other"),
    [
        ("E", "double-struck", "𝔼"),
        ("R", "double-struck", "ℝ"),  # older than the alphabet, and named otherwise
        ("1", "double-struck", "𝟙"),
        ("L", "script", "ℒ"),
        ("x", "bold", "𝐱"),
        ("+", "bold", "+"),
    ],
)
def test_a_letter_of_another_alphabet_is_a_character(letter, variant, other):
    assert mathml.other_letter(letter, variant) == other


def fitted(inner):
    """What is left of MathJax's output inside ``math``."""
    written = f'<math xmlns="{mathml.NAMESPACE}">{inner}</math>'
    return ET.fromstring(mathml.fit_to_core(written, r"a  \b"))


def test_a_formula_keeps_its_tex_for_those_who_cannot_see_it():
    assert fitted("<mi>a</mi>").get("alttext") == r"a \b"


def test_an_error_of_mathjax_stops_the_build():
    with pytest.raises(ValueError, match=r"Undefined.*: a"):
        fitted('<merror data-mjx-error="Undefined control sequence"></merror>')


@pytest.mark.parametrize(
    ("row", "spaces"),
    [
        ("<mi>log</mi><mo>\u2061</mo><mi>p</mi>", 1),
        ("<mi>q</mi><mi>log</mi><mo>\u2061</mo><mi>p</mi>", 2),
        ("<mi>log</mi><mo>\u2061</mo><mo>(</mo><mi>p</mi>", 0),
        ("<mo>−</mo><mi>log</mi><mi>p</mi>", 1),
        ("<mi>q</mi><mi>p</mi>", 0),
    ],
)
def test_a_function_keeps_its_distance(row, spaces):
    assert len(fitted(row).findall(mathml.tag("mspace"))) == spaces


def test_a_numbered_equation_has_its_number_last_and_columns_their_sides():
    table = (
        '<mtable columnalign="right left"><mlabeledtr>'
        "<mtd><mtext>(1)</mtext></mtd><mtd><mi>a</mi></mtd><mtd><mi>b</mi></mtd>"
        "</mlabeledtr></mtable>"
    )
    row = fitted(table)[0][0]
    assert row.tag == mathml.tag("mtr")
    assert ["".join(cell.itertext()) for cell in row] == ["a", "b", "(1)"]
    assert "right" in row[0].get("style")
    assert "left" in row[1].get("style")


# One page of many


@pytest.mark.parametrize(
    ("link", "leads_to"),
    [
        ("06-mdp.xhtml#values", "#06-mdp--values"),
        ("06-mdp.xhtml", "#06-mdp"),
        ("#here", "#07-page--here"),
        ("https://a.org/b#c", "https://a.org/b#c"),
        ("mailto:a@b.org", "mailto:a@b.org"),
    ],
)
def test_links_lead_to_the_same_place_after_joining(link, leads_to):
    assert joined_pages.anchor("07-page", link) == leads_to


@pytest.fixture
def page(tmp_path):
    """A page of an EPUB with a link, a picture and a formula."""
    path = tmp_path / "07-page.xhtml"
    path.write_text(
        f"""<html xmlns="{joined_pages.XHTML}"><body><div class="body">
        <section id="top"><h1><span>7. </span>Title</h1><p><a href="#two">below</a>
        <img src="../_images/a.svg"/><math xmlns="{joined_pages.MATHML}"
        alttext="z &lt; 1"><mi>z</mi></math>.</p>
        <section id="two"><h2>Two</h2></section></section></div></body></html>""",
        "utf-8",
    )
    return joined_pages.read_chapter(path, "file:///pictures")


def test_a_joined_chapter_keeps_headings_links_pictures_and_formulas(page):
    assert (page.name, page.title) == ("07-page", "7. Title")
    assert page.sections == [("07-page--two", "Two")]
    assert '<a href="#07-page--two">' in page.body
    assert 'src="file:///pictures/a.svg"' in page.body
    assert r"\(z &lt; 1\)</span>." in page.body


def test_the_contents_have_a_line_for_each_heading_with_its_page(page):
    parts = [joined_pages.Part("Part I", ["07-page"])]
    shown = joined_pages.contents(parts, {"07-page": page}, {"07-page": 12})
    assert "Part I" in shown
    assert "7. Title</span><i></i><b>12</b>" in shown
    assert "Two</span><i></i><b>000</b>" in shown  # not printed yet


# What the landing page offers


def test_a_file_is_offered_while_it_is_newer_than_its_sources(tmp_path):
    source = tmp_path / "book" / "index.md"
    made = tmp_path / "_build" / "pdf" / f"{offered_files.NAME}.pdf"
    for path, time in ((source, 100), (made, 200)):
        path.parent.mkdir(parents=True)
        path.write_text("text")
        os.utime(path, (time, time))
    assert offered_files.offered(tmp_path) == {"pdf": made}
    os.utime(source, (300, 300))
    assert offered_files.offered(tmp_path) == {}
