"""Two tasks whose answer is a pair of numbers that only go together.

An arm with two joints reaches most places in two ways, elbow to the left or to the
right: a generator. The houses of California stand along a slanted coast: a table.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from genre2_mini.tasks.table import Task, split_rows
from genre2_mini.tasks.tabular import describe_task, load_frame

ANGLE_NOISE = 0.05  # radians
CARDS = {
    "arm": {
        "description": "Joint angles of a planar arm of two unit links that reaches a "
        "point, drawn by `tasks.vectors.arm`.",
        "target": "shoulder, elbow",
        "unit": "radians",
    },
    "places": {
        "description": "Where in California a census block is, from what it is like: "
        "the table `houses`, its two coordinates as targets.",
        "target": "longitude, latitude",
        "unit": "degrees",
    },
}


def hand(angles: np.ndarray) -> np.ndarray:
    """Where the hand is, (…, 2) in link lengths, for angles (…, 2) in radians.

    The elbow's angle is measured from the upper arm; 0 is a straight arm.
    """
    shoulder, elbow = angles[..., 0], angles[..., 0] + angles[..., 1]
    x, y = np.cos(shoulder) + np.cos(elbow), np.sin(shoulder) + np.sin(elbow)
    return np.stack([x, y], axis=-1)


def arm(rows: int = 3000, seed: int = 0) -> pd.DataFrame:
    """Hand positions and joint angles that reach them: an inverse problem.

    ``hand_x`` and ``hand_y`` at a distance uniform in [0.8, 1.6] link lengths, in a
    direction uniform within one radian of straight ahead. Of the two ways to reach it
    a fair coin takes one. ``shoulder`` and ``elbow`` are the angles, each read with
    N(0, 0.05²) noise. The mean of both ways is a straight arm, which reaches neither.
    """
    rng = np.random.default_rng(seed)
    distance, direction = rng.uniform(0.8, 1.6, rows), rng.uniform(-1, 1, rows)
    elbow = rng.choice([-1, 1], rows) * 2 * np.arccos(distance / 2)
    angles = np.stack([direction - elbow / 2, elbow], axis=1)
    noisy = angles + ANGLE_NOISE * rng.normal(size=(rows, 2))
    return pd.DataFrame(
        np.concatenate([hand(angles), noisy], axis=1),
        columns=["hand_x", "hand_y", "shoulder", "elbow"],
    )


PAIRS = {"arm": ("shoulder", "elbow"), "places": ("longitude", "latitude")}


def load_pair(
    name: str,
    targets: Sequence[str] | None = None,
    max_rows: int = 3000,
    seed: int = 0,
) -> Task:
    """``"arm"`` or ``"places"`` as a task, split 64/16/20 at random.

    Parameters
    ----------
    targets : the targets in the order they are to be written; one of them alone makes
        a task of one target. None is both. A target left out is no feature either.
    seed : governs which rows there are, and their split.

    Raises
    ------
    ValueError : an unknown task or target.
    """
    if name not in PAIRS:
        raise ValueError(f"unknown pair {name!r}; known: {list(PAIRS)}")
    targets = list(PAIRS[name] if targets is None else targets)
    if not targets or not set(targets) <= set(PAIRS[name]):
        raise ValueError(f"targets={targets} must be among {PAIRS[name]}")
    frame = arm(max_rows, seed) if name == "arm" else load_frame("houses", seed)[0]
    frame = frame.head(max_rows)
    card = CARDS[name] | {"in_paper": False}
    if name == "places":
        card |= {key: describe_task("houses")[key] for key in ("licence", "source")}
    y = frame[targets] if len(targets) > 1 else frame[targets[0]]
    features = frame.drop(columns=list(PAIRS[name]))
    parts = {
        part: (features.iloc[rows], y.iloc[rows])
        for part, rows in split_rows(len(frame), seed).items()
    }
    return Task.from_parts(name, parts, card)
