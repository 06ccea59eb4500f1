"""Sphinx extension: an EPUB builder that says what Sphinx's leaves out.

The manifest has to say which pages hold MathML. A table of contents is
easier to use with the book's parts and the chapters' numbers. And a page names
only style sheets that are in the file: other extensions write theirs after it
is packed.
"""

import re
from pathlib import Path

from sphinx.builders.epub3 import Epub3Builder

STYLES = ("_static/pygments.css", "_static/pages.css")


class BookEpub(Epub3Builder):
    """Sphinx's EPUB 3 builder, completed."""

    def build_content(self):
        super().build_content()
        manifest = Path(self.outdir, "content.opf")
        manifest.write_text(
            re.sub(
                r'<item id="[^"]+" href="([^"]+)"',
                self.declared,
                manifest.read_text("utf-8"),
            ),
            "utf-8",
        )

    def declared(self, item: re.Match) -> str:
        """A line of the manifest, with the property that its page needs."""
        page = Path(self.outdir, item[1])
        with_maths = page.parent.name == "book" and "<math" in page.read_text(
            "utf-8"
        )
        return item[0] + (' properties="mathml"' if with_maths else "")

    def with_parts(self, entries: list[dict]) -> list[dict]:
        """The table of contents, chapters numbered and under their parts."""
        first = {
            part.items[0] + self.out_suffix: part.caption
            for part in self.config.external_site_map.root.subtrees
        }
        listed, below = [], 0
        for entry in entries:
            page = entry["refuri"]
            if page in first:
                listed.append(entry | {"level": 1, "text": first[page]})
                below = 1
            numbers = self.env.toc_secnumbers.get(
                page.removesuffix(self.out_suffix)
            )
            number = (
                f"{numbers[''][0]}. " if numbers and numbers.get("") else ""
            )
            listed.append(
                entry
                | {
                    "level": entry["level"] + below,
                    "text": number + entry["text"],
                }
            )
        return listed

    def build_navlist(self, navnodes):
        return super().build_navlist(self.with_parts(navnodes))

    def toc_metadata(self, level, navpoints):
        """For old readers, under the same identifier as in the manifest."""
        metadata = super().toc_metadata(level, navpoints)
        return metadata | {"uid": self.config.epub_identifier}


def tidy(app, pagename, templatename, context, doctree):
    """Only styles that are packed, and no role that EPUB 3.3 has given up."""
    context["css_files"] = [
        file for file in context["css_files"] if file.filename in STYLES
    ]
    if "body" in context:
        context["body"] = context["body"].replace(
            ' role="doc-biblioentry"', ""
        )


def setup(app):
    app.add_builder(BookEpub, override=True)
    app.connect("html-page-context", tidy, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
