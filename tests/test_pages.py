"""Pages that speak about the code, the tests and the papers: what they say is so."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import nbformat
import pytest
from pybtex.database import parse_file

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "book"
SOURCES = sorted((ROOT / "genre2_mini").rglob("*.py"))
PAGES = sorted([*BOOK.glob("*.md"), *BOOK.glob("*.ipynb")])


def text_of(path):
    """What a page says and computes, or a module."""
    if path.suffix != ".ipynb":
        return path.read_text("utf-8")
    return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)


# Messages


def pattern(template):
    """A regular expression for what a string literal or f-string may become."""
    if isinstance(template, ast.Constant):
        return re.escape(template.value) if isinstance(template.value, str) else None
    if isinstance(template, ast.JoinedStr):
        return "".join(pattern(part) or ".*" for part in template.values)
    return None


def messages():
    """(kind, pattern) of everything that the package raises or warns of."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                kind, call = ast.unparse(node.exc.func), node.exc
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == (
                "warnings.warn"
            ):
                kind, call = "UserWarning", node
            else:
                continue
            if call.args and (found := pattern(call.args[0])):
                yield kind, found


MESSAGES = list(messages())


def is_said(quoted):
    """Whether the package, or make, can say this."""
    kind, found, message = quoted.partition(": ")
    if not found or not re.fullmatch(r"[A-Z]\w+(Error|Warning)", kind):
        return quoted in (ROOT / "Makefile").read_text("utf-8")
    return any(
        kind == raised and re.fullmatch(template, message, re.DOTALL)
        for raised, template in MESSAGES
        if len(template.replace(".*", "")) > 15  # else it would match anything
    )


QUOTED = [
    quoted.strip()
    for page in BOOK.glob("*.md")
    for quoted in re.findall(r"^```text error\n(.*?)^```", text_of(page), re.M | re.S)
]


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_quoted_message_is_the_packages(quoted):
    assert is_said(quoted)


@pytest.mark.parametrize(
    "invented",
    [
        "ValueError: PyTorch found no CUDA device here: use device='cpu'",
        "TypeError: PyTorch finds no CUDA device here: use device='cpu'",
        "ValueError: the target is constant (5) in all 48 training rows",
        "Python 3.10 or newer is needed",
    ],
)
def test_an_invented_message_would_be_noticed(invented):
    assert not is_said(invented)


# Tests


def test_the_page_on_testing_names_every_file_of_tests_and_no_other():
    named = set(re.findall(r"`(test_[\w*]+\.py)`", text_of(BOOK / "testing.md")))
    files = {path.name for path in (ROOT / "tests").glob("test_*.py")}
    assert {name for name in named if not any(fnmatch(f, name) for f in files)} == set()
    assert {f for f in files if not any(fnmatch(f, name) for name in named)} == set()


def test_the_page_on_testing_names_commands_that_make_has():
    targets = set(re.findall(r"`make ([\w-]+)`", text_of(BOOK / "testing.md")))
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert targets == {"lint", "book", "check-site", "check-colab", "test"}
    assert all(f"\n{target}: " in makefile for target in targets)


# Results


def test_the_first_picture_shows_what_its_caption_says():
    """Its numbers are the script's, which trains for a minute and is not run here."""
    drawn = (BOOK / "assets" / "digit-tree.svg").read_text("utf-8")
    before, after = map(float, re.findall(r"misses by (\d+\.\d) MPa", drawn))
    assert after < before
    before, after = map(float, re.findall(r"has R² (\d\.\d\d)", drawn))
    assert before < after


def test_every_recorded_result_has_a_row_with_its_command():
    folder = ROOT / "data" / "results"
    rows = re.findall(
        r"^\| `([\w.]+)` \| `(.+?)` \|", text_of(folder / "README.md"), re.M
    )
    files = sorted(path.name for path in folder.iterdir() if path.suffix != ".md")
    assert sorted(name for name, _ in rows) == files
    assert "../data/results/README.md" in text_of(BOOK / "data-cards.md")


# Papers


BIBLIOGRAPHY = parse_file(BOOK / "references.bib").entries
ARXIV = re.compile(r"(?:arXiv[: ]?|arxiv\.org/(?:abs|pdf)/)\s*(\d{4}\.\d{4,5})", re.I)
EVERYTHING = {path: text_of(path) for path in [*PAGES, *SOURCES]}


@pytest.mark.parametrize("key", BIBLIOGRAPHY)
def test_a_paper_can_be_found_and_is_named(key):
    fields = BIBLIOGRAPHY[key].fields
    assert {"eprint", "doi", "url"} & set(fields)
    cited = rf"\{{cite(?::[tp])?\}}`[^`]*\b{key}\b"
    assert any(re.search(cited, text) for text in EVERYTHING.values())


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: path.name)
def test_a_paper_named_by_its_arxiv_number_is_in_the_bibliography(path):
    known = {entry.fields.get("eprint") for entry in BIBLIOGRAPHY.values()}
    assert set(ARXIV.findall(EVERYTHING[path])) <= known


@pytest.mark.parametrize("field", ["title", "eprint", "doi", "url"])
def test_no_paper_is_listed_twice(field):
    values = [
        entry.fields[field].lower()
        for entry in BIBLIOGRAPHY.values()
        if field in entry.fields
    ]
    assert len(values) == len(set(values))
