"""Sphinx extension: MathJax from an installed package instead of the network.

``sphinx-mathjax-offline`` carries MathJax 3. Of its files only the SVG output
is used: its glyphs are inside the script, whereas browsers refuse to load web
fonts for a page that is opened from disk.
"""

import shutil
from importlib.metadata import distribution
from pathlib import Path

PACKAGE = "sphinx-mathjax-offline"
SCRIPT = "tex-svg.js"
EXTENSIONS = "input/tex/extensions"  # loaded when a rarer macro asks for one


def mathjax_script() -> Path:
    """Where the installed script is, its extensions beside it."""
    files = distribution(PACKAGE).files
    script = next(file for file in files if file.name == SCRIPT)
    return Path(script.locate()).resolve()


def copy_mathjax(app, exception):
    """Put the script and its TeX extensions into the built site."""
    if exception is not None or app.builder.format != "html":
        return
    source = mathjax_script().parent
    target = Path(app.outdir) / "_static" / "mathjax"
    shutil.copytree(
        source / EXTENSIONS, target / EXTENSIONS, dirs_exist_ok=True
    )
    shutil.copy(source / SCRIPT, target / SCRIPT)


def setup(app):
    app.config.mathjax_path = f"mathjax/{SCRIPT}"
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
