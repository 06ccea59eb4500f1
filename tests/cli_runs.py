"""What the tests of fit and predict share: a small table, and the command itself."""

import io
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pandas as pd
import pytest

from genre2_mini.cli import main

QUICK = ["--ce-steps", "3", "--rl-steps", "2", "--device", "cpu"]
FEATURES = ["größe (m)", "code", "new"]
ROWS = 40


def make_table(num_rows=ROWS, seed=0):
    """Numbers with gaps, categories that look like numbers, booleans; two targets."""
    generator = np.random.default_rng(seed)
    size = generator.normal(size=num_rows)
    gaps = generator.random(num_rows) < 0.1
    return pd.DataFrame(
        {
            "größe (m)": np.where(gaps, np.nan, size),
            "code": generator.choice(["01", "1.0", "rot"], num_rows),
            "new": generator.random(num_rows) < 0.5,
            "y": 10 + 3 * size,
            "ŷ₂": -size,
        }
    )


def run(*arguments):
    """Run the command in this process: exit code, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code, out.getvalue(), err.getvalue()
