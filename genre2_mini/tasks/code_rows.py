"""The tables of measured programs: their cards, and their rows with texts.

``data/code_humaneval.csv.gz`` holds no program, only which one was measured;
``data/code_stdlib.csv.gz`` holds our own calls of the standard library.
"""

import difflib
import hashlib
import io
import json

import pandas as pd

from genre2_mini.tasks.cards import data_folder, read_table
from genre2_mini.tasks.human_eval import human_eval_calls
from genre2_mini.tasks.stdlib_calls import module_of, write_calls

MEASURE = "python -m genre2_mini.tasks.measure"
TARGETS = ("ops", "peak")
PER_FUNCTION = 75  # calls of each function of the standard library


def list_code_tasks() -> list[str]:
    """Names that `load_code_task` knows."""
    return list(load_code_cards())


def load_code_cards() -> dict[str, dict]:
    """Name -> card, read from ``data/code_cards.json``."""
    return json.loads((data_folder() / "code_cards.json").read_text(encoding="utf-8"))


def describe_code_task(name: str) -> dict:
    """The card: description, columns, caveats, source, licence, version, facts.

    Raises ValueError for an unknown name.
    """
    cards = load_code_cards()
    if name not in cards:
        close = difflib.get_close_matches(str(name), cards, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown code task {name!r}.{hint} Tasks: {', '.join(cards)}")
    return {"name": name, **cards[name]}


def load_code_rows(name: str) -> pd.DataFrame:
    """All measured programs, in the order of the file.

    Returns
    -------
    DataFrame with ``program`` (the problem or function), ``definitions``, ``call``,
    ``text`` (both, as a model reads them), ``ops`` (bytecode instructions) and ``peak``
    (bytes).

    Raises
    ------
    ValueError
        Unknown name, or a file whose contents differ from its card.
    FileNotFoundError
        The file is not there; the message gives the command that rebuilds it.
    ModuleNotFoundError
        ``humaneval`` without the package that holds its programs.
    """
    card = describe_code_task(name)
    remedy = f"rebuild it with `{MEASURE} {name}`"
    text = read_table(f"code_{name}", card["sha256"], remedy)
    rows = pd.read_csv(io.BytesIO(text), keep_default_na=False)
    if name == "humaneval":
        calls = human_eval_calls(card["source"])
        rows = rows.merge(calls, "left", ["program", "assert"], validate="1:1")
        found = _texts(rows).map(_digest)
        if changed := (found != rows["sha256"]).sum():
            raise ValueError(f"{changed} program texts are not those that were counted")
    else:
        rows["definitions"] = [_import_of(name) for name in rows["program"]]
    rows["text"] = _texts(rows)
    return rows[["program", "definitions", "call", "text", *TARGETS]]


def unmeasured_rows(name: str, card: dict) -> pd.DataFrame:
    """What there is to measure: the identifying columns, ``definitions``, ``call``."""
    if name == "humaneval":
        calls = human_eval_calls(card["source"])
        return calls.assign(sha256=_texts(calls).map(_digest))
    calls = pd.DataFrame(write_calls(PER_FUNCTION), columns=["program", "call"])
    return calls.assign(definitions=calls["program"].map(_import_of))


def _import_of(function: str) -> str:
    return f"import {module_of(function)}\n"


def _texts(rows: pd.DataFrame) -> pd.Series:
    return rows["definitions"].str.rstrip("\n") + "\n\n" + rows["call"] + "\n"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
