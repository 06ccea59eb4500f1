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

pytestmark = pytest.mark.parametrize(
    "path", notebooks(ROOT), ids=lambda path: path.stem
)


def cells(path, kind):
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def test_it_is_a_valid_notebook_for_one_kernel(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert re.fullmatch(r"\d\d-[a-z0-9-]+\.ipynb", path.name)


def test_it_is_committed_without_outputs(path):
    for cell in cells(path, "code"):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_it_opens_with_one_title_and_a_badge_for_this_file(path):
    texts = [cell.source for cell in cells(path, "markdown")]
    assert texts[0].startswith("# ")
    assert sum(len(re.findall(r"^# ", text, re.MULTILINE)) for text in texts) == 1
    badges = re.findall(r"\[!\[Open in Colab\].*", "\n".join(texts))
    assert badges == [ADDRESS.badge(f"book/{path.name}")]
    assert badges[0] in texts[0]


def test_its_first_code_cell_installs_the_package_where_it_is_missing(path):
    first, *others = (cell.source for cell in cells(path, "code"))
    assert first == ADDRESS.setup_cell
    assert not [source for source in others if "pip install" in source]


def test_its_code_is_narrow_and_in_short_cells(path):
    """Folded cells, which draw or solve exercises, may be longer than ten lines."""
    _, *code = cells(path, "code")  # the address may be long
    lines = [line for cell in code for line in cell.source.splitlines()]
    assert not [line for line in lines if len(line) > WIDTH]
    folded = {"hide-input", "hide-cell", "remove-cell"}
    shown = [c for c in code if not folded & set(c.metadata.get("tags", []))]
    assert statistics.median(len(c.source.splitlines()) for c in shown) <= 10


def test_its_display_maths_stands_on_lines_of_its_own(path):
    for cell in cells(path, "markdown"):
        for line in cell.source.splitlines():
            assert "$$" not in line or re.fullmatch(r"\s*\$\$(\s*\([\w:-]+\))?", line)


def test_it_shows_nothing_from_another_host(path):
    text = "\n".join(cell.source for cell in cells(path, "markdown"))
    assert not re.search(r"!\[[^\]]*\]\(https?:|<img[^>]+https?:|<script|<iframe", text)
