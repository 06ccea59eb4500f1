"""What goes wrong on purpose: processes that die, and files that lie.

Run as a script, ``python faults.py NAME ARGUMENTS``, it calls the function so named;
so the tests start what has to die in a process of its own.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from genre2_mini import checkpoints
from genre2_mini.regressor import DecodingRegressor
from genre2_mini.runs import Run

TINY = {"d_model": 8, "hidden": 8, "num_heads": 2, "num_layers": 1, "dropout": 0.0}


def tiny(method="ce", **parameters):
    """An estimator that fits in a moment."""
    steps = {"ce_steps": 3, "rl_steps": 1, "random_state": 0}
    return DecodingRegressor(method, **(TINY | steps | parameters))


def longer(folder=None):
    """Two stages with two or more validations each, kept in ``folder``."""
    return tiny("genre2", dropout=0.1, ce_steps=55, rl_steps=22, checkpoint=folder)


def rows(num_rows=40, seed=0):
    """Features (N, 3) and targets (N,) of a linear table."""
    x = np.random.default_rng(seed).normal(size=(num_rows, 3))
    return x, 3 * x[:, 0] - 2 * x[:, 1] + 10


@contextmanager
def started(name, *arguments):
    """A process that calls the function of that name, with as many threads as here."""
    with subprocess.Popen(
        [sys.executable, __file__, name, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(condition, process, seconds=60):
    """Look every few milliseconds until ``condition()`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "too slow"
        time.sleep(0.005)


def rewrite(path, change):
    """Write ``path`` again, its checksum in step, after ``change(header, tensors)``."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    header = json.loads(metadata["header"])
    change(header, tensors)
    metadata["header"] = json.dumps(header)
    metadata["sha256"] = checkpoints._digest(metadata["header"], tensors)
    save_file(tensors, path, metadata)


# What a started process does


def train_with_a_pause(folder, stage, step, signal_to_go_on):
    """Before that step of that stage, wait until there is such a file."""
    train_one_batch = Run.train_one_batch

    def pausing(run):
        if run.checkpoint.name == f"stage{stage}.safetensors" and run.step == int(step):
            while not Path(signal_to_go_on).exists():
                time.sleep(0.005)
        train_one_batch(run)

    Run.train_one_batch = pausing
    x, y = rows()
    fitted = longer(folder).fit(x, y)
    print(json.dumps(fitted.predict(x).tolist()))


def die_while_writing(folder, moment):
    """SIGKILL at the third write: with half of the file written, or all but renamed."""
    calls = []

    def fatal(descriptor, *_):
        calls.append(descriptor)
        if len(calls) == 3:
            if moment == "fsync":
                os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return original(descriptor, *_)

    original = getattr(os, moment)
    setattr(os, moment, fatal)
    longer(folder).fit(*rows())


def save_again_and_again(model, folder, stop):
    """Save what is at ``model`` to ``folder`` until there is a file ``stop``."""
    regressor = DecodingRegressor.load(model)
    while not Path(stop).exists():
        regressor.save(folder)


def predict_a_million_rows():
    """Print MiB of a table of a million rows, and of what predicting it adds."""
    regressor = tiny("pointwise").fit(*wide(100))
    regressor.predict(wide(100)[0])  # libraries load more when first used
    x, _ = wide(1_000_000)
    before = peak_mib()
    assert regressor.predict(x).shape == (1_000_000,)
    print(json.dumps([x.nbytes / 2**20, peak_mib() - before]))


def wide(num_rows, num_columns=50):
    x = np.random.default_rng(0).random((num_rows, num_columns))
    return x, x[:, 0]


def peak_mib():
    """The largest resident memory so far, of this program alone."""
    # Not getrusage: its peak starts with that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 2**10


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
