"""The named tables: ten of the paper's benchmark, two more; no network needed."""

import difflib
import io

import pandas as pd

from genre2_mini.tasks.cards import REBUILD, load_cards, read_table
from genre2_mini.tasks.generators import GENERATORS
from genre2_mini.tasks.table import Task, shuffled_rows, task_from_frame


def list_tasks() -> list[str]:
    """Names that `load_task` knows."""
    return list(load_cards())


def describe_task(name: str) -> dict:
    """The task's card: description, target, unit, in_paper, source, licence, facts.

    Raises ValueError for an unknown name.
    """
    cards = load_cards()
    if name not in cards:
        close = difflib.get_close_matches(str(name), cards, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown task {name!r}.{hint} Tasks: {', '.join(cards)}")
    return {"name": name, **cards[name]}


def load_frame(name: str, seed: int = 0) -> tuple[pd.DataFrame, str]:
    """The whole table in its own units, and the name of its target column.

    Rows are in the order `load_task` cuts them with the same `seed`: train, valid,
    test. The same `max_rows` is `frame.head(max_rows)`.
    """
    card = describe_task(name)
    frame = _read(name, card)
    frame = frame.iloc[shuffled_rows(len(frame), seed)].reset_index(drop=True)
    return frame, card["target"]


def load_task(name: str, max_rows: int | None = None, seed: int = 0) -> Task:
    """One of `list_tasks` -> Task.

    Parameters
    ----------
    name : str
    max_rows : int, optional
        Keep a random subset of this size before splitting 64/16/20.
    seed : int
        Governs shuffle, subset and split; the table itself never changes.

    Raises
    ------
    ValueError
        Unknown name, or a file whose contents differ from its card.
    FileNotFoundError
        The file is not there; the message gives the command that rebuilds it.
    """
    card = describe_task(name)
    frame = _read(name, card)
    return task_from_frame(frame, card["target"], name, seed, max_rows, card)


def _read(name: str, card: dict) -> pd.DataFrame:
    if name in GENERATORS:
        return GENERATORS[name]()
    remedy = f"rebuild it with `{REBUILD} {name}`"
    return pd.read_csv(io.BytesIO(read_table(name, card["sha256"], remedy)))
