"""Runs in processes of their own: the same results, and none outlives an error."""

from multiprocessing import active_children

import pandas as pd
import pytest
import torch

from genre2_mini.experiments import processes, quickstart
from genre2_mini.experiments.processes import in_processes

SMALL = {"max_rows": 60, "ce_steps": 3, "rl_steps": 2}


@pytest.fixture
def one_thread():
    """As in the processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def others():
    """Processes that were there before, such as those of joblib in another test."""
    return set(active_children())


def test_a_process_gives_what_this_one_gives(one_thread):
    found = in_processes(quickstart.run, [("concrete", 0)], jobs=1, **SMALL)
    expected = quickstart.run("concrete", 0, **SMALL)
    pd.testing.assert_frame_equal(
        found.drop(columns="seconds"), expected.drop(columns="seconds")
    )


def test_a_run_that_fails_is_named_and_ends_the_others(others):
    grid = [("concrete", 0), ("concrete", 1)]
    with pytest.raises(RuntimeError, match=r"^concrete, seed 0: max_rows must be"):
        in_processes(quickstart.run, grid, jobs=1, max_rows=3)
    assert set(active_children()) <= others


def test_ctrl_c_ends_every_process(monkeypatch, others):
    def interrupted(*args, **kwargs):
        assert set(active_children()) - others
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(processes, "tqdm", interrupted)
    grid = [("concrete", 0), ("concrete", 1)]
    with pytest.raises(KeyboardInterrupt):
        in_processes(quickstart.run, grid, ce_steps=10**6)
    assert set(active_children()) <= others
