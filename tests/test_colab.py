"""A chapter as Colab runs it: the notebook alone, the package installed by its cell.

A new environment sees the libraries that are installed here, as Colab brings its own,
but not the package; the notebook lies alone in an empty folder; ``google.colab`` can be
imported; and the set-up cell installs from this checkout instead of the public address.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest
from set_address import notebooks, read_address

ROOT = Path(__file__).parents[1]
ADDRESS = read_address(ROOT)
QUICK = (
    "01-numbers-as-tokens"  # `make test` runs this one, `make check-colab` the others
)
EACH = [
    pytest.param(
        path, id=path.stem, marks=[] if path.stem == QUICK else pytest.mark.every
    )
    for path in notebooks(ROOT)
]

# What a reader does next: import the package and load one of its tables.
PROBE = """\
import google.colab
import genre2_mini
from genre2_mini.tasks import load_task

print(genre2_mini.__file__, len(load_task("concrete").train))"""

# Only the kernel of the Python that runs this, whatever else the machine has.
EXECUTE = """\
import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient

own = KernelSpecManager(kernel_dirs=[])
kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=own)
notebook = nbformat.read("chapter.ipynb", as_version=4)
# Also the cells that the page skips, because they need a live kernel.
NotebookClient(notebook, km=kernel, timeout=600, skip_cells_with_tag="").execute()
nbformat.write(notebook, "chapter.ipynb")"""

pytestmark = pytest.mark.colab


def run(*command, cwd, **environment):
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A commit of the working tree, so that what is edited is what is tested."""
    copy = tmp_path_factory.mktemp("repository")
    for name in ("genre2_mini", "data", "pyproject.toml", "README.md", "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, copy / name, ignore=ignored)
        else:
            shutil.copy(source, copy / name)
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    run("git", "init", "--quiet", cwd=copy)
    run("git", "add", "--all", cwd=copy)
    run("git", *identity, "commit", "--quiet", "--message", "as it is", cwd=copy)
    return copy


@pytest.fixture
def colab(tmp_path_factory):
    """The Python of an environment with every library but the package itself."""
    folder = tmp_path_factory.mktemp("colab")
    # Links to what is installed here, without any trace of an editable genre2_mini.
    libraries = folder / "libraries"
    libraries.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "genre2_mini" not in entry.name:
            (libraries / entry.name).symlink_to(entry)
    stub = libraries / "google" / "colab"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text("")

    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    site = run(
        python,
        "-c",
        "import sysconfig; print(sysconfig.get_path('purelib'))",
        cwd=folder,
    )
    Path(site, "libraries.pth").write_text(f"{libraries}\n")
    return python


@pytest.mark.parametrize("path", EACH)
def test_a_chapter_runs_in_an_empty_folder(path, repository, colab, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    setup = next(cell for cell in notebook.cells if cell.cell_type == "code")
    setup.source = setup.source.replace(ADDRESS.url, repository.as_uri())
    assert repository.as_uri() in setup.source
    notebook.cells.append(nbformat.v4.new_code_cell(PROBE))
    folder = tmp_path / "content"
    folder.mkdir()
    nbformat.write(notebook, folder / "chapter.ipynb")

    run(
        colab,
        "-c",
        EXECUTE,
        cwd=folder,
        PYTHONPATH="",
        IPYTHONDIR=str(tmp_path / "ipython"),
        PIP_DISABLE_PIP_VERSION_CHECK="1",
        PIP_NO_BUILD_ISOLATION="0",  # pip takes this as "isolation: off"
        PIP_NO_INDEX="1",  # so that nothing but the package can be installed
    )

    executed = nbformat.read(folder / "chapter.ipynb", as_version=4)
    # A kernel may send one print in several pieces.
    printed = "".join(piece.text for piece in executed.cells[-1].outputs)
    package, rows = printed.split()
    assert Path(package).is_relative_to(colab.parents[1])
    assert int(rows) > 0


def test_the_setup_cell_installs_nothing_where_the_package_is():
    """Then only its condition runs, which must be false."""
    condition, install = ADDRESS.setup_cell.rsplit("\n", 1)
    assert install.strip().startswith("%pip install")
    installed = {}
    exec(f"{condition}\n    installed = True", installed)
    assert "installed" not in installed
