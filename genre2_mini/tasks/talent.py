"""Tasks in the folder layout of TALENT, the benchmark of the paper's 100 tables.

One folder a task: ``info.json``, ``y_{train,val,test}.npy`` (N,), and one or both of
``N_{train,val,test}.npy`` (numeric features) and ``C_{train,val,test}.npy``
(categorical features), each (N, features). Source: https://github.com/LAMDA-Tabular/TALENT
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from genre2_mini.tasks.table import Task, shuffled_rows

_PARTS = {"train": "train", "valid": "val", "test": "test"}


def list_talent(root: str | Path) -> list[str]:
    """Names of the regression tasks among the folders of `root`, sorted."""
    infos = sorted(Path(root).glob("*/info.json"))
    return [path.parent.name for path in infos if _task_type(path) == "regression"]


def load_talent(folder: str | Path, max_rows: int | None = None, seed: int = 0) -> Task:
    """One TALENT task folder -> Task, with the split that its files give.

    Parameters
    ----------
    folder : path
        Numeric columns are named N0, N1, …, categorical ones C0, C1, ….
    max_rows : int, optional
        Keep a random subset of this size, by `seed`, in the same proportions.

    Raises
    ------
    FileNotFoundError
        No ``info.json``, or an array is missing.
    ValueError
        Not a regression task, an array that is not plain (nothing is ever unpickled),
        arrays that do not fit together, or what `TableSchema` refuses.
    """
    folder = Path(folder)
    info = folder / "info.json"
    if not info.exists():
        raise FileNotFoundError(f"{folder} is no TALENT task: it has no info.json")
    if (kind := _task_type(info)) != "regression":
        raise ValueError(f"{folder.name} is a {kind} task, not regression")
    parts = {part: _read_part(folder, suffix) for part, suffix in _PARTS.items()}
    total = sum(len(y) for _, y in parts.values())
    if max_rows is not None and max_rows < total:
        for part, (frame, y) in parts.items():
            keep = max(1, round(len(y) * max_rows / total))
            rows = shuffled_rows(len(y), seed, keep)
            parts[part] = (frame.iloc[rows], y.iloc[rows])
    card = {
        "description": f"TALENT task {folder.name}",
        "target": "y",
        "unit": "",
        "in_paper": False,
    }
    return Task.from_parts(folder.name, parts, card)


def _task_type(info: Path) -> str:
    return json.loads(info.read_text(encoding="utf-8")).get("task_type", "unknown")


def _read_part(folder: Path, suffix: str) -> tuple[pd.DataFrame, pd.Series]:
    y = _read_array(folder / f"y_{suffix}.npy")
    if y.size != len(y):
        raise ValueError(f"y_{suffix}.npy has shape {y.shape}, not one target a row")
    blocks = []
    for letter in "NC":
        path = folder / f"{letter}_{suffix}.npy"
        # A kind of feature is absent only if no part has it.
        if not any(folder.glob(f"{letter}_*.npy")):
            continue
        array = _read_array(path)
        if array.ndim != 2 or len(array) != len(y):
            raise ValueError(f"{path} has shape {array.shape}, y has {len(y)} rows")
        values = array.astype(str) if letter == "C" else array
        names = [f"{letter}{j}" for j in range(array.shape[1])]
        blocks.append(pd.DataFrame(values, columns=names))
    if not blocks:
        raise FileNotFoundError(f"{folder} has neither N_*.npy nor C_*.npy")
    return pd.concat(blocks, axis=1), pd.Series(y.reshape(len(y)), name="y")


def _read_array(path: Path) -> np.ndarray:
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing")
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        kind = "str" if path.name.startswith("C") else "float"
        raise ValueError(
            f"{path} is not a plain array ({error}). Python objects are never "
            "unpickled here; if you trust the file, save it once without them: "
            f"np.save({path.name!r}, np.load({path.name!r}, allow_pickle=True)"
            f".astype({kind}))"
        ) from error
