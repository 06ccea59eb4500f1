"""What the commands that record a small study owe alike."""

import itertools

import pandas as pd


def assert_it_writes_every_run(study, small, tmp_path, monkeypatch):
    """``study.main`` runs each task with each seed, and writes what all of them say.

    ``small`` are the settings that it hands to each run.
    """

    def few(task, seed, **settings):
        assert settings == small
        return pd.DataFrame({"task": [task], "seed": [seed]})

    def here(run, grid, jobs, **settings):
        assert run is few and jobs == 1
        return pd.concat([run(*which, **settings) for which in grid])

    monkeypatch.setattr(study, "run", few)
    monkeypatch.setattr(study, "in_processes", here)
    tasks, path = ["concrete", "mv"], tmp_path / "rows.csv"
    study.main(tasks, 2, **small, jobs=1, out=path)
    found = pd.read_csv(path).itertuples(index=False, name=None)
    assert list(found) == list(itertools.product(tasks, range(2)))
