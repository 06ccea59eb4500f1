"""Measure the programs of the code tasks again and compare with the tables in data/.

Every call runs twice in a sandbox (`genre2_mini.tasks.sandbox`), once for each count.
"""

import argparse
import gzip
import hashlib
import io
import json
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from genre2_mini.tasks.cards import data_folder
from genre2_mini.tasks.code_rows import (
    MEASURE,
    TARGETS,
    load_code_cards,
    unmeasured_rows,
)
from genre2_mini.tasks.sandbox import measure_call

COLUMNS = {
    "humaneval": ["program", "assert", "sha256", *TARGETS],
    "stdlib": ["program", "call", *TARGETS],
}


def measure_rows(rows: pd.DataFrame, jobs: int = 1) -> pd.DataFrame:
    """Rows with ``definitions`` and ``call`` -> the same with ``ops`` and ``peak``.

    A program that gives no answer has none, and is named on standard error.
    """
    pairs = rows["definitions"], rows["call"]
    with ThreadPoolExecutor(jobs) as pool:  # each thread waits for one process
        found = list(pool.map(measure_call, *pairs))
    for program, call, answer in zip(rows["program"], rows["call"], found, strict=True):
        if answer.status != "ok":
            print(
                f"{program} {call}: {answer.status} {answer.message}", file=sys.stderr
            )
    counts = pd.DataFrame({name: [getattr(a, name) for a in found] for name in TARGETS})
    rows = rows.reset_index(drop=True).join(counts)
    return rows[[answer.status == "ok" for answer in found]]


def new_card(card: dict, text: bytes) -> dict:
    """The card with the facts of the table whose CSV is `text`."""
    rows = pd.read_csv(io.BytesIO(text), keep_default_na=False)
    facts = {
        "python": platform.python_version(),
        "rows": len(rows),
        "programs": rows["program"].nunique(),
        "sha256": hashlib.sha256(text).hexdigest(),
    }
    for name in TARGETS:
        counts = rows[name]
        found = {"min": counts.min(), "median": counts.median(), "max": counts.max()}
        facts[name] = {key: int(value) for key, value in found.items()}
    return card | facts


def render_code_cards(cards: dict[str, dict]) -> str:
    """The cards as one Markdown page, the text of ``data/code-metrics.md``."""
    return "\n".join([_INTRODUCTION, *(_render(*item) for item in cards.items())])


_INTRODUCTION = f"""# Code metrics

Python programs and what one call of each costs: a text goes in, a number comes out.
They stand in for the paper's code metrics (peak memory of APPS programs, latency of
Triton kernels), which no small package carries. `ops` is the number of bytecode
instructions that CPython executes, `peak` the most bytes that its allocators hold at
once, above those held before; 56 of them are the measurement's own, so that every
`peak` has a logarithm. Each number is that of a fresh interpreter in a sandbox
(`genre2_mini/tasks/sandbox.py`). Both depend on the version of CPython.

```
{MEASURE}            # both tables, ten minutes
{MEASURE} stdlib     # one of them
{MEASURE} --check    # compare, write nothing
```

`load_code_task` splits 64/16/20 at random, where the test rows are other calls of known
programs, or by program, where they are new code.
"""


def _render(name: str, card: dict) -> str:
    facts = {
        "In the paper": "no",
        "Rows": f"{card['rows']} calls of {card['programs']} programs",
        "CPython": card["python"],
        "Licence": card["licence"],
    }
    for target in TARGETS:
        low, middle, high = (card[target][key] for key in ("min", "median", "max"))
        facts[f"`{target}`"] = f"{low} to {high}, median {middle}"
    if source := card.get("source"):
        facts["Source"] = (
            f"{source['package']} {source['version']}, `{source['member']}`"
        )
        facts["Source sha256"] = f"`{source['sha256']}`"
    facts |= {
        "File": f"`code_{name}.csv.gz`",
        "sha256": f"`{card['sha256']}`",
        "Rebuild": f"`{MEASURE} {name}`",
    }
    rows = [f"| {key} | {value} |" for key, value in facts.items()]
    notes = [card[key] for key in ("description", "columns", "caveats")]
    table = ["| Fact | Value |", "|---|---|", *rows]
    return "\n".join([f"## {name}", "", "\n\n".join(notes), "", *table, ""])


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns 0, or 1 when a table differs from its card."""
    cards, failed = load_code_cards(), 0
    parser = argparse.ArgumentParser(prog=MEASURE, description=__doc__)
    parser.add_argument("name", nargs="*", help=f"{' or '.join(cards)} (default: both)")
    parser.add_argument("--out", type=Path, help="folder to write to (default: data/)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument(
        "--accept", action="store_true", help="write what differs, and its new card"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.name) - set(cards):
        parser.error(f"no such table: {', '.join(sorted(unknown))}")
    tables = {}
    for name in options.name or list(cards):
        rows = measure_rows(unmeasured_rows(name, cards[name]), options.jobs)
        text = rows[COLUMNS[name]].to_csv(index=False, lineterminator="\n").encode()
        card = new_card(cards[name], text)
        same = card["sha256"] == cards[name]["sha256"]
        verdict = "same" if same else f"DIFFERS: sha256 {card['sha256']}"
        print(f"{name:10} {len(rows):5} rows  {verdict}", flush=True)
        failed += not (same or options.accept)
        if same or options.accept:
            cards[name], tables[name] = card, text
    if tables and not options.check:
        write_tables(options.out or data_folder(), tables, cards)
    return 1 if failed else 0


def write_tables(out: Path, tables: dict[str, bytes], cards: dict[str, dict]) -> None:
    """The tables, all cards and their page."""
    out.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        packed = gzip.compress(text, compresslevel=9, mtime=0)
        (out / f"code_{name}.csv.gz").write_bytes(packed)
    as_json = json.dumps(cards, indent=2, ensure_ascii=False) + "\n"
    (out / "code_cards.json").write_text(as_json, encoding="utf-8")
    (out / "code-metrics.md").write_text(render_code_cards(cards), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
