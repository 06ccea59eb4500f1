"""Every notebook as it must be committed: clean, narrow, openable in Colab."""

import re
import statistics
from pathlib import Path

import nbformat
import pytest
from set_address import notebooks, read_address

ROOT = Path(__file__).parents[1]
ADDRESS = read_address(ROOT)
WIDTH = 79

CHAPTERS = [path for path in notebooks(ROOT) if not path.name.startswith("9")]
EXERCISE = re.compile(r"^### Exercise (\d) · (easy|medium|hard) · \d+ minutes$", re.M)


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


each_notebook, each_chapter = each(notebooks(ROOT)), each(CHAPTERS)


def cells(path, kind):
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == kind]


@each_notebook
def test_it_is_a_valid_notebook_for_one_kernel(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert re.fullmatch(r"\d\d-[a-z0-9-]+\.ipynb", path.name)


@each_notebook
def test_it_is_committed_without_outputs(path):
    for cell in cells(path, "code"):
        assert cell.outputs == []
        assert cell.execution_count is None


@each_notebook
def test_it_opens_with_one_title_and_a_badge_for_this_file(path):
    texts = [cell.source for cell in cells(path, "markdown")]
    assert texts[0].startswith("# ")
    assert sum(len(re.findall(r"^# ", text, re.MULTILINE)) for text in texts) == 1
    badges = re.findall(r"\[!\[Open in Colab\].*", "\n".join(texts))
    assert badges == [ADDRESS.badge(f"book/{path.name}")]
    assert badges[0] in texts[0]


@each_notebook
def test_its_first_code_cell_installs_the_package_where_it_is_missing(path):
    first, *others = (cell.source for cell in cells(path, "code"))
    assert first == ADDRESS.setup_cell
    assert not [source for source in others if "pip install" in source]


@each_notebook
def test_its_code_is_narrow_and_in_short_cells(path):
    """Folded cells, which draw or solve exercises, may be longer than ten lines."""
    _, *code = cells(path, "code")  # the address may be long
    lines = [line for cell in code for line in cell.source.splitlines()]
    assert not [line for line in lines if len(line) > WIDTH]
    folded = {"hide-input", "hide-cell", "remove-cell"}
    shown = [c for c in code if not folded & set(c.metadata.get("tags", []))]
    assert statistics.median(len(c.source.splitlines()) for c in shown) <= 10


@each_notebook
def test_its_display_maths_stands_on_lines_of_its_own(path):
    for cell in cells(path, "markdown"):
        for line in cell.source.splitlines():
            assert "$$" not in line or re.fullmatch(r"\s*\$\$(\s*\([\w:-]+\))?", line)


@each_notebook
def test_it_shows_nothing_from_another_host(path):
    text = "\n".join(cell.source for cell in cells(path, "markdown"))
    assert not re.search(r"!\[[^\]]*\]\(https?:|<img[^>]+https?:|<script|<iframe", text)


@each_notebook
def test_its_figures_have_a_caption_a_name_and_an_alt_text(path):
    """What a cell says it draws; the site's tests see that none draws unsaid."""
    for cell in cells(path, "code"):
        about = cell.metadata.get("mystnb", {})
        if about:
            assert len(about["figure"]["caption"]) > 20
            assert re.fullmatch(r"fig-\d\d-[a-z0-9-]+", about["figure"]["name"])
            assert len(about["image"]["alt"]) > 20


@each_notebook
def test_the_page_skips_what_needs_a_live_kernel_and_nothing_else(path):
    """Widgets: a page would show them dead. The tests of Colab do run these cells."""
    for cell in cells(path, "code"):
        live = re.search(r"^explore_\w+\(", cell.source, re.M) is not None
        assert ("skip-execution" in cell.metadata.get("tags", [])) == live


@each_chapter
def test_a_chapter_opens_with_a_promise_and_ends_with_measurements(path):
    opening, *_, ending = (cell.source for cell in cells(path, "markdown"))
    for promise in ("**You will be able to**", "**You need**", "**Run time**"):
        assert promise in opening
    text = "\n".join(cell.source for cell in cells(path, "markdown"))
    assert "## What was measured" in text
    assert "**Next question.**" in ending


@each_chapter
def test_an_exercise_has_a_stub_a_check_and_a_folded_solution_that_is_checked(path):
    notebook = nbformat.read(path, as_version=4)
    parts, part = [], None
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            titles = EXERCISE.findall(cell.source)
            assert len(titles) == len(re.findall("### Exercise", cell.source)) <= 1
            if titles:
                part = []
                parts.append((titles[0][0], part))
            elif re.search(r"^## ", cell.source, re.M):
                part = None
        elif part is not None:
            part.append(cell)
    assert [number for number, _ in parts] == [str(i + 1) for i in range(len(parts))]
    assert 3 <= len(parts) <= 6
    for _, code in parts:
        shown = [
            c.source for c in code if "hide-cell" not in c.metadata.get("tags", [])
        ]
        folded = [c.source for c in code if "hide-cell" in c.metadata.get("tags", [])]
        assert any("# your turn" in source for source in shown)
        (check,) = re.findall(r"^check_\w+", "\n".join(shown), re.M)
        (solution,) = folded
        assert solution.startswith("# Solution")
        assert f"assert {check}(" in solution
        assert re.search(
            rf"^from genre2_mini\.exercises\.chapter_{path.name[:2]} import \(?[^)]*"
            rf"\b{check}\b",
            "\n".join(c.source for c in notebook.cells if c.cell_type == "code"),
            re.M,
        )
