"""Write the repository's address into every file that has to repeat it.

The address lives in ``_config.yml``. Badges, set-up cells, README, CITATION
and a few more must repeat it, and this script is what keeps them in step::

    python book/tools/set_address.py https://github.com/OWNER/NAME
    python book/tools/set_address.py            # the present address
    python book/tools/set_address.py --check    # change nothing, only compare

After a move, the book is expected at https://OWNER.github.io/NAME/; ``--site``
says otherwise.
"""

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The files that may name the repository, beside the notebooks.
DOCUMENTS = (
    "_config.yml",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE-text.md",
    "README.md",
    "pyproject.toml",
    "book/index.md",
)

SETUP_CELL = """\
import importlib.util

if importlib.util.find_spec("genre2_mini") is None:  # as in a fresh Colab
    %pip install -q git+{url}"""

BADGE = "[![Open in Colab](assets/colab-badge.svg)]({colab}/{path})"


@dataclass(frozen=True)
class Address:
    """Where the repository is, and where the built book is read."""

    url: str
    site: str
    branch: str = "main"

    @property
    def colab(self) -> str:
        """What stands before a notebook's path in its Colab link."""
        owner_and_name = self.url.removeprefix("https://github.com/")
        return (
            "https://colab.research.google.com/github/"
            f"{owner_and_name}/blob/{self.branch}"
        )

    @property
    def setup_cell(self) -> str:
        """The source of every notebook's first code cell."""
        return SETUP_CELL.format(url=self.url)

    def badge(self, path: str) -> str:
        """The Markdown of a notebook's Colab badge; ``path`` from the root."""
        return BADGE.format(colab=self.colab, path=path)


def read_address(root: Path = ROOT) -> Address:
    """The address that ``_config.yml`` states."""
    config = (root / "_config.yml").read_text(encoding="utf-8")

    def value(key: str) -> str:
        return re.search(rf"^  {key}: (\S+)$", config, re.MULTILINE)[1]

    return Address(value("url"), value("baseurl"), value("branch"))


def notebooks(root: Path = ROOT) -> list[Path]:
    """The book's notebooks, in reading order."""
    return sorted((root / "book").glob("*.ipynb"))


def rewrite_document(text: str, old: Address, new: Address) -> str:
    """The text with the repository and the site at their new addresses."""
    for before, after in (
        (old.colab, new.colab),
        (old.site, new.site),
        (old.url, new.url),
    ):
        text = text.replace(before, after)
    return text


def rewrite_notebook(text: str, path: str, new: Address) -> str:
    """The notebook with its badge and its set-up cell as expected.

    The set-up cell is the first code cell. A notebook that is as expected
    already comes back unchanged to the last byte.
    """
    notebook = json.loads(text)
    badge = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)")
    setup = next(
        cell for cell in notebook["cells"] if cell["cell_type"] == "code"
    )
    changed = False
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        wanted = source
        if cell["cell_type"] == "markdown":
            wanted = badge.sub(new.badge(path), source)
        elif cell is setup:
            wanted = new.setup_cell
        if wanted != source:
            cell["source"], changed = wanted.splitlines(keepends=True), True
    if not changed:
        return text
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def rewritten(root: Path, new: Address) -> dict[Path, str]:
    """Every file that would change, with its new content."""
    old = read_address(root)
    texts = {}
    for name in DOCUMENTS:
        path = root / name
        texts[path] = rewrite_document(
            path.read_text(encoding="utf-8"), old, new
        )
    for path in notebooks(root):
        text = path.read_text(encoding="utf-8")
        texts[path] = rewrite_notebook(
            text, path.relative_to(root).as_posix(), new
        )
    return {
        path: text
        for path, text in texts.items()
        if text != path.read_text(encoding="utf-8")
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Write the repository's address wherever it is repeated."
    )
    parser.add_argument("url", nargs="?", help="https://github.com/OWNER/NAME")
    parser.add_argument("--site", help="where the built book is read")
    parser.add_argument("--check", action="store_true", help="only compare")
    options = parser.parse_args(arguments)

    address = read_address()
    if options.url:
        match = re.fullmatch(
            r"https://github\.com/([\w.-]+)/([\w.-]+?)(\.git)?/?", options.url
        )
        if not match:
            parser.error(f"{options.url} is not https://github.com/OWNER/NAME")
        owner, name, _ = match.groups()
        address = Address(
            url=f"https://github.com/{owner}/{name}",
            site=options.site or f"https://{owner}.github.io/{name}/",
            branch=address.branch,
        )

    changes = rewritten(ROOT, address)
    for path, text in changes.items():
        print(
            ("differs: " if options.check else "wrote ")
            + str(path.relative_to(ROOT))
        )
        if not options.check:
            path.write_text(text, encoding="utf-8")
    if options.check and changes:
        print(
            "Put them right with: python book/tools/set_address.py",
            file=sys.stderr,
        )
    return int(options.check and bool(changes))


if __name__ == "__main__":
    sys.exit(main())
