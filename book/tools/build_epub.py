"""Build the book as an EPUB: _build/epub/genre2-from-scratch.epub.

    python book/tools/build_epub.py

The settings are those of ``_config.yml`` but for what a site needs: its theme,
buttons and scripts. The results of notebooks are taken from the cache that
``make book`` fills; what is not there is executed.
"""

import shutil
import sys
import tomllib
from pathlib import Path

from jupyter_book.config import get_final_config
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils
from title_page import draw_cover, title_page

ROOT = Path(__file__).resolve().parents[2]
NAME = "genre2-from-scratch"
ONLY_FOR_A_SITE = {
    "sphinx_book_theme",
    "sphinx_comments",
    "sphinx_copybutton",
    "sphinx_togglebutton",
    "sphinxext.opengraph",
    "sphinx.ext.mathjax",
    "offline_mathjax",
    "offered_files",
}
COVER = "_build/cover.png"
OURS = ["sphinx_multitoc_numbering", "book_epub", "still_pages", "mathml"]


def site_settings(root: Path) -> dict:
    """Sphinx's configuration as Jupyter Book makes it of ``_config.yml``."""
    config, _ = get_final_config(
        user_yaml=root / "_config.yml",
        cli_config={
            "external_toc_path": str(root / "_toc.yml"),
            "latex_individualpages": False,
        },
        sourcedir=root,
    )
    return config


def settings(root: Path) -> dict:
    """Sphinx's configuration for the EPUB."""
    config = {
        name: value
        for name, value in site_settings(root).items()
        if not name.startswith(("ogp_", "comments_"))
    }
    text = (root / "pyproject.toml").read_text("utf-8")
    project = tomllib.loads(text)["project"]
    kept = [e for e in config["extensions"] if e not in ONLY_FOR_A_SITE]
    styles = root / "book" / "assets" / "pages.css"
    return config | {
        "extensions": kept + OURS,
        "nitpicky": True,
        "version": project["version"],
        "html_math_renderer": "mathml",
        "html_static_path": [str(styles), str(root / COVER)],
        "html_domain_indices": False,
        "html_copy_source": False,
        "epub_basename": NAME,
        "epub_cover": ("_static/cover.png", "epub-cover.html"),
        "epub_css_files": ["pages.css"],
        "epub_description": project["description"],
        "epub_exclude_files": ["index.html"],
        "epub_identifier": config["html_baseurl"],
        "epub_publisher": config["html_baseurl"],
        "epub_scheme": "URL",
        "epub_show_urls": "no",
        "epub_tocdepth": 2,
        "epub_tocscope": "includehidden",
        "epub_uid": "book",
        "epub_use_index": False,
    }


def build(root: Path = ROOT) -> int:
    """Write the EPUB, its pages beside it; 0 if nothing deserved a warning."""
    out = root / "_build" / "epub"
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(exist_ok=True)
    config = settings(root)
    draw_cover(
        root / COVER,
        title_page(root, config["version"], config["html_baseurl"]),
    )
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            srcdir=root,
            confdir=None,
            outdir=out,
            doctreedir=root / "_build" / ".doctrees-epub",
            buildername="epub",
            confoverrides=config,
            freshenv=True,
            warningiserror=True,
            keep_going=True,
        )
        app.build()
    return app.statuscode


if __name__ == "__main__":
    sys.exit(build())
