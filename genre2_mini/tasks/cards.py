"""The data folder and its cards: what each named task is and where it comes from."""

import gzip
import hashlib
import json
import zlib
from pathlib import Path

REBUILD = "python -m genre2_mini.tasks.rebuild"


def data_folder() -> Path:
    """Where the tables live: inside an installed package, else beside it."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "data"
    return inside if inside.is_dir() else package.parent / "data"


def load_cards() -> dict[str, dict]:
    """Task name -> card, read from ``data/cards.json``."""
    return json.loads((data_folder() / "cards.json").read_text(encoding="utf-8"))


def read_table(name: str, sha256: str, remedy: str) -> bytes:
    """The CSV of ``name.csv.gz``, if it is the one whose sha256 its card has.

    Raises FileNotFoundError or ValueError, which end with the `remedy`.
    """
    path = data_folder() / f"{name}.csv.gz"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: {remedy}")
    try:
        text = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}): {remedy}") from error
    if hashlib.sha256(text).hexdigest() != sha256:
        raise ValueError(f"{path} does not have the sha256 of its card: {remedy}")
    return text


def render_cards(cards: dict[str, dict]) -> str:
    """All cards as one Markdown page, the text of ``data/README.md``."""
    return "\n".join([_INTRODUCTION, *(_render(*item) for item in cards.items())])


_INTRODUCTION = f"""# Data cards

Every task below works without a network. A task with a file is one gzipped CSV in this
folder, taken from a small published package that readers never need to install; a task
with a generator is code (`genre2_mini/tasks/generators.py`) with a fixed seed. The
sha256 is that of the CSV inside the gzip file and is checked whenever a task is loaded.
This page is written from `cards.json` by the command that rebuilds the files:

```
{REBUILD}            # all files
{REBUILD} abalone    # one of them
{REBUILD} --check    # compare, write nothing
```

"In the paper" means that the task is one of the 100 TALENT regression tasks of the
paper's benchmark. Rows are shuffled by a seed and split 64/16/20 when a task is loaded.
Licences are as the source package states them; the MIT licence of this repository does
not cover tables that come from elsewhere.
"""


def _render(name: str, card: dict) -> str:
    facts = {
        "In the paper": "yes" if card["in_paper"] else "no",
        "Rows": card["rows"],
        "Features": f"{card['features']} ({len(card['categorical'])} categorical)",
        "Target": f"`{card['target']}`, in {card['unit']}",
        "Target range": f"{card['target_min']:.10g} to {card['target_max']:.10g}",
        "Target mean, sd": f"{card['target_mean']:.6g}, {card['target_sd']:.6g}",
        "Licence": card["licence"],
    }
    if source := card.get("source"):
        facts |= {
            "Source": f"{source['package']} {source['version']}, `{source['member']}`",
            "Source sha256": f"`{source['sha256']}`",
            "File": f"`{name}.csv.gz`",
            "sha256": f"`{card['sha256']}`",
            "Rebuild": f"`{REBUILD} {name}`",
        }
    else:
        facts["Source"] = f"generator `{name}` in `genre2_mini/tasks/generators.py`"
    rows = [f"| {key} | {value} |" for key, value in facts.items()]
    notes = [card[key] for key in ("description", "columns", "caveats") if card[key]]
    table = ["| Fact | Value |", "|---|---|", *rows]
    return "\n".join([f"## {name}", "", "\n\n".join(notes), "", *table, ""])
