"""Sphinx extension: the landing page offers the PDF and the EPUB.

``make pdf`` and ``make epub`` make them. A file that is newer than everything
it was made from is copied beside the site's pages, and the tag ``with_pdf`` or
``with_epub`` lets ``{only}`` show the link. An older one is not offered.
"""

from pathlib import Path

from build_epub import NAME


def sources(root: Path) -> list[Path]:
    """What the book is made of."""
    book = [path for path in (root / "book").rglob("*") if path.is_file()]
    code = [
        *(root / "genre2_mini").rglob("*.py"),
        *(root / "data").rglob("*.*"),
    ]
    return [path for path in book + code if "__pycache__" not in path.parts]


def offered(root: Path) -> dict[str, Path]:
    """Kind -> file, of those that are there and up to date."""
    newest = max(path.stat().st_mtime for path in sources(root))
    files = {
        kind: root / "_build" / kind / f"{NAME}.{kind}"
        for kind in ("pdf", "epub")
    }
    return {
        kind: file
        for kind, file in files.items()
        if file.exists() and file.stat().st_mtime > newest
    }


def offer(app, config):
    for kind, file in offered(Path(app.srcdir)).items():
        config.html_extra_path.append(str(file))
        app.tags.add(f"with_{kind}")


def setup(app):
    app.connect("config-inited", offer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
