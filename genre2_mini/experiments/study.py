"""A study: its arms, what each may choose from, all seeds, one tidy table.

An arm is a method with its settings on one task. On the first seed it is run with each
of its choices, such as learning rates, and the validation rows choose one of them; the
other seeds use that. Arms of one group, such as a method on all tasks, choose together:
the validation rows of one small table decide little.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from genre2_mini.experiments.engine import Grids, Records
from genre2_mini.experiments.specs import RunSpec
from genre2_mini.experiments.trial_scores import OF_CLIPPED, OF_COUNTS, SELECTION

AGGREGATORS = {  # name -> what chooses the weights, which scores, their ending
    "k1": ("rmse_k1", "exact", "k1"),
    "mean128": ("rmse_mean", "drawn", "mean"),
    "median128": ("rmse_median", "drawn", "median"),
    "exact_mean": ("rmse_mean", "exact", "mean"),
    "exact_median": ("rmse_median", "exact", "median"),
}
SMALLEST = 1e-9  # std. dev.: an error below it is none
SCORES = ("r2", "rmse", "mae", "spearman")
# What the exact distribution of the chosen weights says beside them.
ALSO = ("crps", "bias2", "spread", "outliers")


@dataclass(frozen=True, eq=False)
class Arm:
    """A method with its settings on one task: one line of a study.

    Attributes
    ----------
    labels : what tells it apart in the table, such as ``{"method": "remax"}``.
    spec : its run, but for the seed, the choice and the start.
    choices : changes of the spec to choose from, such as ``{"learning_rate": 3e-4}``.
    start : the arm whose weights, of the same seed, it starts from.
    group : arms of the same group, whose choices are the same, choose together.
    chosen_by : the validation scores that choose, averaged; some of ``SELECTION``.
    shown : whether the table has its rows.
    """

    labels: dict[str, object]
    spec: RunSpec
    choices: Sequence[dict] = ({},)
    start: Arm | None = None
    group: str | None = None
    chosen_by: Sequence[str] = SELECTION
    shown: bool = True

    @property
    def level(self) -> int:
        """How many arms it stands on."""
        return 0 if self.start is None else 1 + self.start.level


@dataclass
class Study:
    """Arms, seeds, and the choices that the validation rows made on the way.

    ``grids`` is what ``engine.run_grids`` completes; ``table`` needs its records.
    """

    arms: Sequence[Arm]
    seeds: Sequence[int]
    chosen: dict[Arm, dict] = field(default_factory=dict)

    def run(self, arm: Arm, seed: int, choice: dict | None = None) -> RunSpec:
        """An arm's run; without ``choice`` with the one made."""
        start = None if arm.start is None else self.run(arm.start, seed).key
        choice = self.chosen[arm] if choice is None else choice
        return arm.spec.but(seed=seed, start=start, **choice)

    def grids(self) -> Grids:
        """One level at a time, and with it the further seeds of the level below."""
        first, *others = self.seeds
        rest: list[RunSpec] = []
        for level in range(1 + max(arm.level for arm in self.arms)):
            arms = [arm for arm in self.arms if arm.level == level]
            tried = [self.run(arm, first, c) for arm in arms for c in arm.choices]
            records = yield rest + tried
            for members in groups(arms):
                choice = self.best_choice(members, records)
                self.chosen |= dict.fromkeys(members, choice)
            rest = [self.run(arm, seed) for seed in others for arm in arms]
        yield rest

    def best_choice(self, members: Sequence[Arm], records: Records) -> dict:
        """The choice of the lowest validation RMSE: the geometric mean over members.

        Of each, the RMSE is averaged over the arm's ``chosen_by``.

        Raises
        ------
        RuntimeError : with every choice the training of some member diverged.
        """
        first = self.seeds[0]

        def log_rmse(arm: Arm, choice: dict) -> float:
            record = records[self.run(arm, first, choice).key]
            return math.log(valid_rmse(record, arm.chosen_by))

        choices = members[0].choices
        errors = [sum(log_rmse(arm, choice) for arm in members) for choice in choices]
        if math.isinf(min(errors)):
            arm = members[0]
            raise RuntimeError(f"{arm.labels} diverged with all of {arm.choices}")
        return choices[errors.index(min(errors))]

    def table(self, records: Records) -> pd.DataFrame:
        """One row a (labels, seed, aggregator): test scores in z units, seconds.

        ``seconds`` includes the run that it started from. A run that diverged has no
        scores.
        """
        rows = [
            labels | row
            for arm in self.arms
            for seed in self.seeds
            if arm.shown
            for labels, row in self.rows(arm, seed, records)
        ]
        return pd.DataFrame(rows)

    def curves(self, records: Records) -> pd.DataFrame:
        """One row a (labels, seed, validation): what training had reached, and when.

        ``seconds`` and ``step`` go on from the run that it started from, which has rows
        of its own.
        """
        rows = []
        for arm in self.arms:
            for seed in self.seeds:
                spec = self.run(arm, seed)
                before = arm.start and self.run(arm.start, seed)
                steps = before.steps if before else 0
                spent = seconds(before, records) if before else 0.0
                for row in records[spec.key].get("history", ()):
                    later = {
                        "step": steps + row["step"],
                        "seconds": spent + row["seconds"],
                    }
                    errors = {f"valid_{m}": row[f"valid_{m}"] for m in SELECTION}
                    rows.append(arm.labels | {"seed": seed} | later | errors)
        return pd.DataFrame(rows)

    def rows(self, arm: Arm, seed: int, records: Records):
        """Labels and scores of each aggregator; cross-entropy's controls beside it."""
        spec = self.run(arm, seed)
        record = records[spec.key]
        choice = json.dumps(self.chosen[arm]) if len(arm.choices) > 1 else None
        about = {"seed": seed, "choice": choice}
        cost = {"seconds": seconds(spec, records), "peak_mb": record.get("peak_mb")}
        if "failed" in record:
            yield arm.labels, about | cost
            return
        for name, (metric, kind, ending) in AGGREGATORS.items():
            chosen = record["chosen"][metric]
            row = about | {"aggregator": name}
            step = {"best_step": chosen["step"]} | cost
            yield arm.labels, row | picked(chosen[kind], chosen["exact"], ending) | step
            if "cooled" in chosen:
                cooled = chosen["cooled"][metric]
                labels = arm.labels | {"method": "ce_cool"}
                yield labels, row | picked(cooled, cooled, ending) | step
            if "greedy" in chosen:
                labels = arm.labels | {"method": "ce_greedy"}
                greedy = {score: chosen["greedy"][score] for score in SCORES}
                greedy |= {
                    name: chosen["greedy"][f"{name}_k1"]
                    for name in OF_COUNTS
                    if f"{name}_k1" in chosen["greedy"]
                }
                yield labels, row | greedy | {"crps": greedy["mae"]} | step


def groups(arms: Sequence[Arm]) -> list[list[Arm]]:
    """Arms that choose together; one without a group chooses alone."""
    found: dict[object, list[Arm]] = {}
    for arm in arms:
        found.setdefault(arm.group or arm, []).append(arm)
    return list(found.values())


def picked(scores: dict, exact: dict, ending: str) -> dict[str, float]:
    """An aggregator's scores under their plain names."""
    found = {name: scores.get(f"{name}_{ending}") for name in SCORES}
    if ending == "k1":
        found["spearman"] = exact["spearman_k1"]
    further = (*OF_COUNTS, *OF_CLIPPED)  # where the record has them
    there = [name for name in further if f"{name}_{ending}" in exact]
    of = exact if ending == "k1" else scores  # one string's rank is of exact's
    found |= {name: of[f"{name}_{ending}"] for name in there}
    return found | {name: exact.get(name) for name in ALSO}


def valid_rmse(record: dict, metrics: Sequence[str] = SELECTION) -> float:
    """Validation RMSE, averaged over ``metrics``; infinite if the training diverged."""
    if "failed" in record:
        return math.inf
    errors = [record["chosen"][metric]["valid"] for metric in metrics]
    return max(sum(errors) / len(errors), SMALLEST)


def seconds(spec: RunSpec, records: Records) -> float:
    """Seconds of a run and of those it started from."""
    own = records[spec.key].get("seconds", math.nan)
    if spec.start is None:
        return own
    start = records[spec.start]
    return own + start["seconds"]
