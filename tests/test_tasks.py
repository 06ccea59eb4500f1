"""The named tasks: cards, files, generators, and the command that rebuilds them."""

import gzip
import hashlib
import io
import pickle
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from genre2_mini.tasks import (
    cards,
    describe_task,
    list_tasks,
    load_frame,
    load_task,
    rebuild,
    split_rows,
)
from genre2_mini.tasks.generators import GENERATORS, fried, mv, mv_target, planes2d

FILES = [name for name in list_tasks() if name not in GENERATORS]


@pytest.fixture
def copied_data(tmp_path, monkeypatch):
    """A data folder of one small task that a test may damage."""
    for name in ("cards.json", "concrete.csv.gz"):
        shutil.copy(cards.data_folder() / name, tmp_path)
    for module in (cards, rebuild):
        monkeypatch.setattr(module, "data_folder", lambda: tmp_path)
    return tmp_path


# ---- names and cards ----------------------------------------------------------------


def test_twelve_tasks_ten_of_them_the_papers():
    assert len(list_tasks()) == 12
    in_paper = [name for name in list_tasks() if describe_task(name)["in_paper"]]
    assert len(in_paper) == 10
    assert not {"deliveries", "bikeshare"} & set(in_paper)


def test_an_unknown_name_gets_a_suggestion_and_the_list():
    with pytest.raises(ValueError, match=r"Did you mean 'abalone'\?.*bikeshare"):
        load_task("abalones")
    with pytest.raises(ValueError, match=r"unknown task 'zzz'\. Tasks: abalone"):
        describe_task("zzz")


@pytest.mark.parametrize("name", list_tasks())
def test_each_card_tells_the_truth_about_its_table(name):
    card = describe_task(name)
    frame, target = load_frame(name)
    y = frame[target]
    assert target == card["target"]
    assert frame.shape == (card["rows"], card["features"] + 1)
    assert frame.notna().all(axis=None)
    texts = frame.select_dtypes(exclude="number").columns
    assert list(texts) == card["categorical"]
    facts = [card[f"target_{key}"] for key in ("min", "max", "mean", "sd")]
    # Cards carry six digits; the mean of planes2d is near 0, hence the absolute part.
    assert facts == pytest.approx(
        [y.min(), y.max(), y.mean(), y.std()], rel=1e-5, abs=1e-6
    )
    assert card["description"] and card["unit"] and card["licence"]


def test_the_page_of_cards_is_the_one_that_cards_json_gives():
    page = (cards.data_folder() / "README.md").read_text(encoding="utf-8")
    assert page == cards.render_cards(cards.load_cards())
    assert "](http" not in page and not re.search(r"</?\w+>", page)


def test_the_files_are_small_and_carry_no_time_stamp():
    paths = [cards.data_folder() / f"{name}.csv.gz" for name in FILES]
    assert sum(path.stat().st_size for path in paths) < 2.5e6
    for path in paths:
        assert path.read_bytes()[4:8] == bytes(4)  # the gzip header's mtime


# ---- loading ------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_tasks())
def test_each_task_loads(name):
    task = load_task(name, max_rows=1000)
    assert task.card["name"] == task.name == name
    assert [len(s) for s in (task.train, task.valid, task.test)] == [640, 160, 200]
    for split in (task.train, task.valid, task.test):
        assert torch.isfinite(split.x).all() and torch.isfinite(split.z).all()


def test_the_seed_moves_rows_between_splits_and_nothing_else():
    first, again, other = (load_task("concrete", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.train.x, again.train.x)
    assert torch.equal(first.test.z, again.test.z)
    assert not torch.equal(first.test.z, other.test.z)
    assert len(load_task("concrete", max_rows=100).train) == 64


@pytest.mark.parametrize("name", ["concrete", "fried"])
def test_load_frame_has_the_rows_in_the_order_load_task_cuts_them(name):
    frame, target = load_frame(name, seed=2)
    task = load_task(name, max_rows=500, seed=2)
    y = task.schema.unstandardise(torch.cat([task.train.z, task.valid.z, task.test.z]))
    np.testing.assert_allclose(y, frame[target].head(500), rtol=1e-9, atol=1e-9)
    assert sorted(load_frame(name, seed=3)[0][target]) == sorted(frame[target])


def test_a_missing_file_is_named_with_the_command_that_rebuilds_it(copied_data):
    (copied_data / "concrete.csv.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"csv\.gz is missing: .*rebuild concr"):
        load_task("concrete")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:500],
        lambda data: b"not gzip",
        lambda data: data[:3000] + bytes([data[3000] ^ 1]) + data[3001:],
    ],
    ids=["truncated", "foreign", "one bit"],
)
def test_a_damaged_file_is_named_with_the_command_that_rebuilds_it(copied_data, damage):
    path = copied_data / "concrete.csv.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        ValueError, match=r"concrete\.csv\.gz is damaged .*rebuild concr"
    ):
        load_task("concrete")


def test_a_file_with_other_contents_is_refused(copied_data):
    path = copied_data / "concrete.csv.gz"
    text = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(text.replace(b"28,79.99", b"28,99.99")))
    with pytest.raises(ValueError, match=r"concrete\.csv\.gz does not have the sha256"):
        load_task("concrete")


def test_an_installed_package_finds_its_data_inside_itself(tmp_path, monkeypatch):
    package = tmp_path / "genre2_mini"
    (package / "tasks").mkdir(parents=True)
    monkeypatch.setattr(cards, "__file__", str(package / "tasks" / "cards.py"))
    assert cards.data_folder() == tmp_path / "data"  # a checkout
    (package / "data").mkdir()
    assert cards.data_folder() == package / "data"  # a wheel


# ---- generators ---------------------------------------------------------------------


@pytest.mark.parametrize("generator", GENERATORS.values(), ids=list(GENERATORS))
def test_generators_give_the_same_table_every_time(generator):
    assert generator().shape == (40768, 11)
    pd.testing.assert_frame_equal(generator(50), generator(50))
    assert not generator(50).equals(generator(50, seed=1))


def test_fried_is_friedmans_surface_plus_unit_noise():
    frame = fried()
    x1, x2, x3, x4, x5 = (frame[f"x{j}"] for j in range(1, 6))
    surface = 10 * np.sin(np.pi * x1 * x2) + 20 * (x3 - 0.5) ** 2 + 10 * x4 + 5 * x5
    noise = frame["y"] - surface
    # Standard errors, n = 40768: 1/√n = .005 of the mean, 1/√(2n) = .0035 of the sd.
    assert abs(noise.mean()) < 0.02
    assert noise.std() == pytest.approx(1, abs=0.014)
    assert frame["y"].std() == pytest.approx(4.99, abs=0.06)
    features = frame.drop(columns="y")
    assert features.min().min() >= 0 and features.max().max() <= 1
    assert features.mean().to_numpy() == pytest.approx(0.5, abs=4 * 0.289 / 40768**0.5)


def test_planes2d_is_two_planes_plus_unit_noise():
    frame = planes2d()
    assert set(frame["x1"]) == {-1, 1} and set(frame["x2"]) == {-1, 0, 1}
    designs = {1: ([3, 2, 1, 0, 0, 0], 3), -1: ([0, 0, 0, 3, 2, 1], -3)}
    for side, (weights, intercept) in designs.items():
        half = frame[frame["x1"] == side]
        plane = half[[f"x{j}" for j in range(2, 8)]] @ weights + intercept
        noise = half["y"] - plane
        assert abs(noise.mean()) < 0.03  # four standard errors at n = 20,000
        assert noise.std() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("row", "y"),
    [
        (dict(x1=4, x4=-6, x6=-10, x7="no", x8="large"), 2),  # x1/2
        (dict(x1=4, x4=-6, x6=-10, x7="no", x8="normal"), -6),  # x6 + x1
        (dict(x1=4, x4=1, x6=5, x7="yes", x8="normal"), -1),  # 3 - x1/x4
        (dict(x1=4, x4=2, x6=9, x7="no", x8="normal"), 2),  # |x4| = 2 counts: 10 - 8
        (dict(x1=5, x4=2, x6=9, x7="no", x8="large"), 0),  # 10 - 2 x1
        (dict(x1=5, x4=2.1, x6=9, x7="no", x8="large"), 2.5),  # |x4| > 2
    ],
)
def test_mv_takes_the_least_of_its_terms(row, y):
    assert mv_target(pd.DataFrame([row])).tolist() == [y]


def test_mv_features_follow_their_own_rules():
    frame = mv()
    assert ((frame["x4"] == frame["x1"] / 2) | (frame["x4"] == frame["x2"] / 2)).all()
    assert (frame["x4"] == frame["x1"] / 2).mean() == pytest.approx(0.3, abs=0.01)
    assert (frame["x7"] == "yes").mean() == pytest.approx(0.3, abs=0.01)
    assert ((frame["x8"] == "normal") == (frame["x5"] < 0.5)).all()
    assert (frame["x6"] / frame["x4"]).between(0, 5).all()
    assert set(frame.loc[frame["x1"] <= 0, "x3"]) == {"brown", "red"}
    assert (frame["y"] == mv_target(frame)).all()
    assert frame["y"].std() == pytest.approx(10.42, abs=0.1)


# ---- the rebuild command (its network part is not run here) --------------------------


def test_every_task_with_a_file_has_a_reader():
    assert list(rebuild.READERS) == FILES


def test_tables_are_written_compactly_with_the_target_last():
    frame = pd.DataFrame({"y": [1.0, 2.0], "a": [0.5, 1.0], "b": ["u", "v"]})
    assert rebuild.table_text(frame, "y") == b"a,b,y\n0.5,u,1\n1.0,v,2\n"


@pytest.mark.parametrize("name", FILES)
def test_writing_a_table_again_gives_the_same_text(name):
    text = gzip.decompress((cards.data_folder() / f"{name}.csv.gz").read_bytes())
    frame = pd.read_csv(io.BytesIO(text))
    assert rebuild.table_text(frame, describe_task(name)["target"]) == text


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("co2", b"date,co2\n19580329,316.1\n19580405,\n", [[1958, 3, 29, 316.1]]),
        ("bikeshare", b"hr,casual,registered,bikers\n1,2,3,5\n", [[1, 5]]),
        (
            "house_sales",
            b"id,year,month,day,floors,price\n0,2014,5,2,1.5,9\n",
            [[1.5, 9]],
        ),
    ],
)
def test_readers_keep_what_the_card_says(name, source, expected):
    assert rebuild.READERS[name](source).to_numpy().tolist() == expected


def test_house_counts_undo_the_averages_per_household():
    copy = dict(MedInc=8.3, HouseAge=41, AveRooms=880 / 126, AveBedrms=129 / 126)
    copy |= dict(Population=322, AveOccup=322 / 126, Latitude=37.9, Longitude=-122.2)
    row = rebuild.house_counts(pd.DataFrame([copy | {"MedHouseVal": 4.526}])).iloc[0]
    assert row.tolist() == [8.3, 41, 880, 129, 322, 126, 37.9, -122.2, 452600]


def test_the_table_reader_refuses_pickles_of_anything_else():
    with pytest.raises(pickle.UnpicklingError, match=r"posix\.system|nt\.system"):
        rebuild.TableUnpickler(io.BytesIO(pickle.dumps(__import__("os").system))).load()


def run(monkeypatch, text, *arguments):
    monkeypatch.setattr(rebuild, "rebuild", lambda name, card, folder: text)
    return rebuild.main(["concrete", *arguments])


def test_a_rebuilt_table_is_written_if_it_is_the_same(copied_data, monkeypatch, capsys):
    path = copied_data / "concrete.csv.gz"
    text = gzip.decompress(path.read_bytes())
    path.unlink()
    assert run(monkeypatch, text, "--check") == 0
    assert not path.exists()
    assert run(monkeypatch, text) == 0
    assert gzip.decompress(path.read_bytes()) == text
    assert (copied_data / "README.md").exists()
    assert capsys.readouterr().out.splitlines()[0].split() == [
        *("concrete", "1030", "rows", "same")
    ]


def test_a_rebuilt_table_that_differs_is_not_written(copied_data, monkeypatch, capsys):
    out = copied_data / "elsewhere"
    assert run(monkeypatch, b"a,b\n1,2\n", "--out", str(out)) == 1
    assert not (out / "concrete.csv.gz").exists()
    assert hashlib.sha256(b"a,b\n1,2\n").hexdigest() in capsys.readouterr().out


@pytest.mark.parametrize("name", ["fried", "nonsense"])
def test_only_tasks_with_a_file_can_be_rebuilt(name, capsys):
    with pytest.raises(SystemExit):
        rebuild.main([name])
    assert f"no file to rebuild for {name}" in capsys.readouterr().err


def test_a_split_never_shares_a_row():
    split = split_rows(describe_task("abalone")["rows"])
    train, valid, test = (set(rows) for rows in split.values())
    assert not (train & valid or train & test or valid & test)
