"""``genre2-mini reproduce multi-target`` and ``forecasting``: grid, table, refusals."""

import json

import pandas as pd
import pytest
from cli_runs import run

from genre2_mini.experiments import forecasting, multi_target, processes

COMMANDS = {"multi-target": multi_target, "forecasting": forecasting}


@pytest.fixture
def asked(monkeypatch):
    """Every study is answered by two runs of two methods; keeps what was asked."""
    calls = []

    def in_processes(run, grid, jobs, **settings):
        calls.append((run, grid, jobs, settings))
        names = sorted(set(multi_target.SCORES + forecasting.SCORES))
        rows = pd.DataFrame({"method": ["CE", "Point"] * 2, "task": "arm"})
        rows = rows.assign(ahead="12", **dict.fromkeys(names, 0.25))
        rows.loc[rows["method"] == "Point", "nll"] = float("nan")
        return rows

    monkeypatch.setattr(processes, "in_processes", in_processes)
    return calls


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_pair_or_cut_and_seed_is_run_once(asked, name):
    code, out, _ = run("reproduce", name, "--seeds", "2", "--ce-steps", "7")
    assert code == 0
    [(function, grid, jobs, settings)] = asked
    firsts = forecasting.CUTS if name == "forecasting" else multi_target.PAIRS
    assert function is COMMANDS[name].run
    assert grid == [(first, seed) for first in firsts for seed in range(2)]
    assert jobs == 2 and settings["ce_steps"] == 7
    assert "0.250" in out
    assert ("-" in out.split()) == (name == "multi-target")  # a point has no nll


@pytest.mark.parametrize("name", list(COMMANDS))
def test_runs_are_written_and_told_as_json(asked, name, tmp_path):
    out = tmp_path / "runs.csv"
    code, told, _ = run("reproduce", name, "--out", out, "--json")
    assert code == 0
    rows = json.loads(told)
    assert len(rows) == len(pd.read_csv(out)) == 4
    assert rows[1]["nll"] is None and rows[0]["nll"] == 0.25


@pytest.mark.parametrize(
    ("arguments", "known"),
    [(["multi-target", "--task", "leg"], "arm"), (["forecasting", "--cut", "x"], "19")],
)
def test_an_unknown_pair_or_cut_is_refused(asked, arguments, known):
    code, _, told = run("reproduce", *arguments)
    assert code != 0 and not asked
    assert known in told


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_missing_folder_is_refused_before_anything_runs(asked, name, tmp_path):
    code, _, told = run("reproduce", name, "--out", tmp_path / "no" / "runs.csv")
    assert code != 0 and not asked
    assert "there is no folder" in told
