"""Studies in real processes: killed, resumed, two at once, and on a Dask cluster."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from faults import wait_for

TIMED = ["seconds", "peak_mb"]
STUDY = "reproduce tabular --budget smoke --tasks concrete --methods ce,remax"
STUDY += " --max-rows 60"
RUNS = 6  # two seeds of a checkpoint, of more cross-entropy and of ReMax


@contextmanager
def process(*words):
    """A Python process with all its children, killed at the end if it still runs."""
    child = subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        yield child
    finally:
        kill(child)
        child.communicate()


def kill(child):
    """Stop a process and its children at once, with no word of warning."""
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGKILL)


def study(folder, *options):
    return process("-m", "genre2_mini.cli", *STUDY.split(), "--out", folder, *options)


def finish(child):
    """What a process that ends well has printed."""
    output, _ = child.communicate(timeout=300)
    assert child.returncode == 0, output
    return output


def finished(folder):
    return list((Path(folder) / "runs").glob("*.json"))


def untimed(folder):
    """The study's table as text, without what a clock or a scale has measured."""
    return pd.read_csv(Path(folder) / "tabular.csv").drop(columns=TIMED).to_csv()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The table of a study that nothing disturbed."""
    folder = tmp_path_factory.mktemp("unbroken")
    with study(folder) as child:
        output = finish(child)
    assert "Mean test R²" in output
    assert len(finished(folder)) == RUNS
    return untimed(folder)


def test_a_killed_study_goes_on_to_the_same_table(tmp_path, unbroken):
    with study(tmp_path, "--jobs", 1) as child:
        wait_for(lambda: len(finished(tmp_path)) >= 2, child, seconds=300)
        kill(child)
    kept = {path: path.read_bytes() for path in finished(tmp_path)}
    assert 2 <= len(kept) < RUNS
    with study(tmp_path, "--resume") as child:
        finish(child)
    assert untimed(tmp_path) == unbroken
    assert {path: path.read_bytes() for path in kept} == kept  # none done again


def test_two_studies_at_once_in_one_folder(tmp_path, unbroken):
    options = tmp_path, "--jobs", 1, "--resume"
    with study(*options) as first, study(*options) as second:
        finish(first)
        finish(second)
    assert untimed(tmp_path) == unbroken
    assert len(finished(tmp_path)) == RUNS


def test_ctrl_c_says_how_to_go_on(tmp_path):
    with study(tmp_path, "--jobs", 1) as child:
        wait_for(lambda: finished(tmp_path), child, seconds=300)
        os.kill(child.pid, signal.SIGINT)
        output, _ = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "--resume goes on" in output


@pytest.fixture
def cluster(tmp_path):
    """A Dask scheduler's address and its two workers, each a process."""
    file = tmp_path / "scheduler.json"
    here = "--host", "127.0.0.1", "--no-dashboard"
    scheduler = "-m", "distributed.cli.dask_scheduler", *here, "--port", 0
    worker = "-m", "distributed.cli.dask_worker", *here, "--no-nanny", "--nthreads", 1
    worker += "--scheduler-file", file
    with process(*scheduler, "--scheduler-file", file) as boss:
        wait_for(file.is_file, boss, seconds=300)
        with process(*worker) as one, process(*worker) as two:
            address = json.loads(file.read_text("utf-8"))["address"]
            yield address, one, two


def test_a_cluster_that_loses_a_worker_completes_the_study(tmp_path, cluster, unbroken):
    from distributed import Client

    address, worker, _ = cluster
    with Client(address) as client:
        client.wait_for_workers(2, timeout=60)
    with study(tmp_path, "--dask", address) as child:
        wait_for(lambda: finished(tmp_path), child, seconds=300)
        kill(worker)
        finish(child)
    assert untimed(tmp_path) == unbroken


def test_an_address_without_a_scheduler_is_an_error(tmp_path):
    with study(tmp_path, "--dask", "tcp://127.0.0.1:9") as child:
        output, _ = child.communicate(timeout=120)
    assert child.returncode == 1
    assert "error: no Dask scheduler at tcp://127.0.0.1:9" in output
