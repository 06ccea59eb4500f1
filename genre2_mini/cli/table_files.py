"""Tables as files: CSV, gzipped CSV and Parquet, whole or some rows at a time."""

from __future__ import annotations

import gzip
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pandas as pd

Append = Callable[[pd.DataFrame], None]
PARQUET = ".parquet"
SUFFIXES = (".csv", ".csv.gz", PARQUET)


def check_suffix(path: Path) -> None:
    """Refuse a file that is no table this module knows.

    Raises
    ------
    ValueError : another suffix, or ``.parquet`` where pyarrow is not installed.
    """
    if not path.name.endswith(SUFFIXES):
        raise ValueError(f"{path} must end in {', '.join(SUFFIXES[:-1])} or {PARQUET}")
    if path.suffix == PARQUET:
        parquet_module()


def parquet_module() -> ModuleType:
    """``pyarrow.parquet``; ValueError with the remedy where it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise ValueError("a .parquet file needs pyarrow: pip install pyarrow") from None
    return pyarrow.parquet


def read_table(path: Path) -> pd.DataFrame:
    """The whole table; a column's type is that of all its rows.

    Raises
    ------
    ValueError : a wrong suffix, or a file that cannot be read; names the file.
    """
    check_suffix(path)
    with naming(path):
        if path.suffix == PARQUET:
            return pd.read_parquet(path)
        return pd.read_csv(path, low_memory=False)


def column_names(path: Path) -> list[str]:
    """The names of the columns, without reading the rows. Raises as ``read_table``."""
    check_suffix(path)
    with naming(path):
        if path.suffix == PARQUET:
            schema = parquet_module().read_schema(path)
            return list(schema.empty_table().to_pandas().columns)
        return list(pd.read_csv(path, nrows=0).columns)


def count_rows(path: Path) -> int | None:
    """How many rows a table has, where its file says so: a CSV does not."""
    if path.suffix != PARQUET:
        return None
    with naming(path):
        return parquet_module().read_metadata(path).num_rows


def read_parts(
    path: Path, columns: list[str], texts: Iterable[str], rows: int
) -> Iterator[pd.DataFrame]:
    """Some columns of a table, at most ``rows`` rows at a time, in the file's order.

    Parameters
    ----------
    texts : columns of categories. Read as text, so that "01" is the same category
        whatever else is in its part: by itself it would be the number 1.

    Raises
    ------
    ValueError : as ``read_table``, when the part that is broken is reached.
    """
    check_suffix(path)
    with naming(path):
        if path.suffix == PARQUET:
            file = parquet_module().ParquetFile(path)
            for batch in file.iter_batches(batch_size=rows, columns=columns):
                yield batch.to_pandas()[columns]
        else:
            kinds = dict.fromkeys(texts, str)
            options = {"usecols": columns, "dtype": kinds, "low_memory": False}
            with pd.read_csv(path, chunksize=rows, **options) as reader:
                for part in reader:
                    yield part[columns]


@contextmanager
def write_parts(path: Path, columns: list[str]) -> Iterator[Append]:
    """A function that appends rows of numbers to a new table at ``path``.

    The table is written beside ``path`` and renamed at the end: an error or Ctrl-C
    leaves an older file as it was.
    """
    check_suffix(path)
    temporary = path.with_name(f".{uuid.uuid4().hex}.{path.name}")
    write = _write_parquet if path.suffix == PARQUET else _write_csv
    try:
        with write(temporary, columns) as append:
            yield append
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error that reading ``path`` raises becomes a ValueError that names it."""
    try:
        yield
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error


@contextmanager
def _write_csv(path: Path, columns: list[str]) -> Iterator[Append]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8", newline="") as file:
        options = {"index": False, "lineterminator": "\n"}
        pd.DataFrame(columns=columns).to_csv(file, **options)
        yield lambda part: part.to_csv(file, header=False, **options)


@contextmanager
def _write_parquet(path: Path, columns: list[str]) -> Iterator[Append]:
    import pyarrow

    schema = pyarrow.schema([(name, pyarrow.float64()) for name in columns])
    with parquet_module().ParquetWriter(path, schema) as writer:
        yield lambda part: writer.write_table(
            pyarrow.Table.from_pandas(part, schema, preserve_index=False)
        )
