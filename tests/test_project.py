"""The repository's own promises: dependencies, commands, documents, address."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import docstrings
import pytest
import set_address
import yaml
from forget_stale_results import forget_stale_results
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"pytorch": "torch"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def requirements(lines):
    """Name -> set of version clauses."""
    parsed = [Requirement(line) for line in lines]
    return {canonicalize_name(r.name): {str(s) for s in r.specifier} for r in parsed}


def conda_environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))


def constraints():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


# Dependencies


def test_conda_and_pip_ask_for_the_same_versions():
    *conda, pip = conda_environment()["dependencies"]
    conda = requirements(conda)
    assert conda.pop("python") == {PROJECT["requires-python"]}
    conda.pop("pip")
    conda = {CONDA_NAMES.get(name, name): bounds for name, bounds in conda.items()}
    of_pip = requirements(line for line in pip["pip"] if line != "-e .")
    extras = PROJECT["optional-dependencies"]
    assert conda | of_pip == requirements(PROJECT["dependencies"] + extras["book"])
    assert "-e ." in pip["pip"]


def test_requirements_are_lower_bounds():
    for name, bounds in requirements(PROJECT["dependencies"]).items():
        assert [bound[:2] for bound in bounds] == [">="], name


def test_every_requirement_is_pinned_within_its_bounds():
    pins = {
        canonicalize_name(r.name): next(iter(r.specifier)).version
        for r in map(Requirement, constraints())
    }
    extras = PROJECT["optional-dependencies"]
    itself, *tools = extras["dev"]
    assert itself == "genre2-mini[book,test]"
    for line in PROJECT["dependencies"] + extras["book"] + extras["test"] + tools:
        requirement = Requirement(line)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("line", constraints())
def test_a_constraint_is_one_exact_version(line):
    assert re.fullmatch(r"[\w.-]+==[\w.]+", line)  # no "+cpu": a wheel of any kind


# Commands


def makefile():
    return (ROOT / "Makefile").read_text("utf-8")


def make(*arguments):
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_make_alone_lists_the_targets():
    shown = make().stdout
    assert shown == make("help").stdout
    listed = set(re.findall(r"make ([a-z-]+)", shown))
    assert listed >= {"book", "serve", "test", "lint", "clean", "help"}
    for target in listed:
        assert make("-n", target).returncode == 0


def test_an_old_python_is_refused_with_a_clear_message(tmp_path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")  # what the version check of 3.10 returns
    old.chmod(0o755)
    refused = make("test", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert refused.returncode != 0
    assert "Python 3.11 or newer is needed" in refused.stderr
    assert not (tmp_path / "venv").exists()


def test_lint_reads_the_spelling_of_everything(tmp_path):
    assert re.search(r"^\t\$\(BIN\)/codespell$", makefile(), re.M)
    chapter = tmp_path / "chapter.ipynb"
    chapter.write_text('{"source": ["Recieve teh reward"]}')  # codespell:ignore
    command = [sys.executable, "-m", "codespell_lib", "--toml", ROOT / "pyproject.toml"]
    found = subprocess.run([*command, chapter], capture_output=True, text=True)
    assert found.stdout.count("==>") == 2


def test_ci_runs_lint_book_and_tests():
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert re.search(r"for target in lint book pdf check-site test\n", script)


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=str)
def test_a_workflow_is_valid_and_pins_nothing_by_hand(path):
    workflow = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["name"]
    assert True in workflow  # YAML 1.1 reads the key "on" so
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        assert all("uses" in step or "run" in step for step in job["steps"])


# Documents


README = (ROOT / "README.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PRINTED = [r"R² 0\.\d\d \[\[", r"R².*: -?\d.*\n.*row: \d+\.\d MPa"]


@pytest.mark.parametrize(
    ("example", "printed"),
    list(zip(EXAMPLES, PRINTED, strict=True)),
    ids=["estimator", "parts"],
)
def test_an_example_of_the_readme_runs(tmp_path, example, printed):
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", example],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"},  # the cores may be busy
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    assert re.search(printed, ran.stdout)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "LICENSE-text.md"])
def test_links_to_files_lead_somewhere(name):
    text = (ROOT / name).read_text("utf-8")
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert targets
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_citation_names_the_project_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"]
    assert {"message", "title", "authors"} <= set(citation)
    (paper,) = citation["references"]
    assert paper["identifiers"][0]["value"] == "arXiv:2512.06533"


def test_the_table_of_contents_names_files_that_exist_and_leaves_none_out():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    chapters = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    listed = {toc["root"], *chapters}
    pages = [*(ROOT / "book").glob("*.md"), *(ROOT / "book").glob("*.ipynb")]
    assert listed == {f"book/{page.stem}" for page in pages}


# The address


def test_the_address_is_the_same_everywhere():
    assert set_address.rewritten(ROOT, set_address.read_address(ROOT)) == {}


@pytest.mark.parametrize("name", ["README.md", "CITATION.cff", "pyproject.toml"])
def test_a_document_names_the_repository_and_the_site(name):
    address = set_address.read_address(ROOT)
    text = (ROOT / name).read_text("utf-8")
    assert address.url in text
    assert address.site in text
    for slug in re.findall(
        r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)", text
    ):
        assert address.url.endswith(slug)


def test_no_other_file_holds_the_address():
    """So that the script's list of documents is the whole list."""
    address = set_address.read_address(ROOT)
    skipped = {".git", ".venv", "_build", "dist", ".pytest_cache", "__pycache__"}
    holders = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*")
        if path.suffix in {".py", ".md", ".yml", ".cff", ".toml", ".txt", ".html"}
        and not skipped.intersection(path.relative_to(ROOT).parts)
        and address.url in path.read_text("utf-8")
    }
    assert holders <= set(set_address.DOCUMENTS)


def test_a_move_rewrites_url_site_and_colab_links():
    old = set_address.Address("https://github.com/a/b", "https://a.github.io/b/")
    new = set_address.Address("https://github.com/c/d", "https://c.github.io/d/")
    text = f"{old.url} {old.site} {old.colab}/book/x.ipynb"
    moved = set_address.rewrite_document(text, old, new)
    assert moved == f"{new.url} {new.site} {new.colab}/book/x.ipynb"


# The book's tools


def test_an_edit_of_package_data_or_pins_forgets_the_results(tmp_path):
    for name in ("genre2_mini/a.py", "data/t.csv", "constraints.txt", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("first")
    results = tmp_path / "_build" / ".jupyter_cache" / "results"

    assert forget_stale_results(tmp_path)  # there were none
    results.parent.mkdir()
    results.write_text("made")
    assert not forget_stale_results(tmp_path)
    (tmp_path / "README.md").write_text("no notebook depends on it")
    assert not forget_stale_results(tmp_path)
    assert results.exists()
    for name in ("genre2_mini/a.py", "data/t.csv", "constraints.txt"):
        results.parent.mkdir(exist_ok=True)
        results.write_text("made")
        (tmp_path / name).write_text("second")
        assert forget_stale_results(tmp_path), name
        assert not results.exists()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (
            ["x : rows, one each", "    and more"],
            ["x", "    rows, one each", "    and more"],
        ),
        (["x : Tensor", "    Rows."], ["x : Tensor", "    Rows."]),
        (["x : int or float, optional"], ["x : int or float, optional"]),
        (["a, b : two names"], ["a", "    two names", "b", "    two names"]),
        (["No field: a sentence."], ["No field: a sentence."]),
    ],
)
def test_short_docstring_fields_are_spelled_out(written, read):
    assert docstrings.move_descriptions(written) == read


def test_bars_in_docstrings_are_escaped_outside_literals():
    assert docstrings.escape_bars("|z| and ``a | b``") == r"\|z\| and ``a | b``"
