"""What is said of a study: differences, intervals, ranks, quartile means, profiles."""

import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

matplotlib.use("agg")
import matplotlib.pyplot as plt

from genre2_mini.experiments.resampling import (
    RESAMPLES,
    bootstrap_interval,
    choose_runs,
    interval,
    weights,
)
from genre2_mini.experiments.statistics import (
    average_ranks,
    interquartile_mean,
    overall_differences,
    paired_differences,
    performance_profile,
)
from genre2_mini.experiments.study_figures import (
    NEUTRAL,
    color_of,
    draw_critical_difference,
    draw_differences,
    draw_profiles,
    label_of,
)
from genre2_mini.experiments.study_table import AXES, METRICS, read_scores
from genre2_mini.plotting import PALETTE, book_style

THRESHOLDS = np.linspace(-1, 2, 31)
FUNCTIONS = {
    "paired": paired_differences,
    "overall": overall_differences,
    "ranks": average_ranks,
    "quartiles": interquartile_mean,
    "profile": lambda rows: performance_profile(rows, THRESHOLDS),
}


def study(methods, aggregators=("mean128",), metric="r2"):
    """The table of {method: scores (tasks, seeds)}, the same for every aggregator."""
    return pd.DataFrame(
        {
            "task": f"task{t}",
            "method": method,
            "seed": s,
            "aggregator": a,
            metric: score,
        }
        for method, scores in methods.items()
        for (t, s), score in np.ndenumerate(np.asarray(scores, float))
        for a in aggregators
    )


def random_study(methods=("ce", "remax", "genre2", "boosting"), tasks=6, seeds=5):
    rng = np.random.default_rng(0)
    level = rng.normal(0.5, 0.2, size=(tasks, 1))
    return study({m: level + rng.normal(0, 0.05, (tasks, seeds)) for m in methods})


# Paired differences


def test_a_difference_is_taken_within_task_and_seed():
    """CE varies by 0.6 between runs, a gain of 0.1 in each of them by nothing."""
    ce = np.array([[0.5, 0.7], [0.1, 0.3]])
    found = paired_differences(study({"ce": ce, "genre2": ce + 0.1, "ppo": ce - 0.2}))
    assert found["task"].tolist() == ["task0", "task0", "task1", "task1"]
    assert found["method"].tolist() == ["genre2", "ppo"] * 2
    for name in ("mean", "low", "high"):
        assert found[name].to_numpy() == pytest.approx([0.1, -0.2] * 2)
    assert (found[["n", "metric", "baseline"]] == [2, "r2", "ce"]).all(axis=None)


def test_aggregators_are_told_apart():
    k1 = study({"ce": [[0.0, 0.2]], "genre2": [[0.5, 0.7]]}, ["k1"])
    mean = study({"ce": [[0.4, 0.6]], "genre2": [[0.3, 0.5]]})
    found = paired_differences(pd.concat([mean, k1])).set_index("aggregator")["mean"]
    assert found.to_dict() == pytest.approx({"k1": 0.5, "mean128": -0.1})


def test_any_method_and_metric_can_be_the_measure():
    rows = study({"ce": [[3.0, 3.0]], "genre2": [[1.0, 2.0]]}, metric="rmse")
    [found] = paired_differences(rows, "genre2", "rmse").to_dict("records")
    assert (found["method"], found["mean"], found["metric"]) == ("ce", 1.5, "rmse")


@pytest.mark.parametrize("name", ["paired", "overall", "quartiles", "profile"])
def test_the_same_table_gives_the_same_intervals(name):
    rows = random_study()
    pd.testing.assert_frame_equal(FUNCTIONS[name](rows), FUNCTIONS[name](rows))


# Intervals


def test_chosen_runs_stay_within_their_task_unless_tasks_are_drawn_too():
    chosen = choose_runs(3, 5).reshape(RESAMPLES, 3, 5)
    assert (chosen // 5 == np.arange(3)[:, None]).all()
    chosen = choose_runs(3, 5, resample_tasks=True).reshape(RESAMPLES, 3, 5)
    assert (chosen // 5 == chosen[..., :1] // 5).all()  # a task comes with its seeds
    counts = np.bincount(chosen.ravel(), minlength=15)
    assert counts / counts.sum() == pytest.approx(np.full(15, 1 / 15), rel=0.05)


def test_weights_give_the_means_of_the_chosen_runs():
    values = np.random.default_rng(1).normal(size=6)
    chosen = choose_runs(2, 3)
    assert values @ weights(chosen) == pytest.approx(values[chosen].mean(axis=1))


def test_percentiles_are_those_that_give_normal_draws_students_interval():
    """Resampled means of n values x have the variance Σ (x − x̄)²/n²."""
    x = np.random.default_rng(2).normal(size=12)
    draws = stats.norm(x.mean(), x.std() / np.sqrt(12)).ppf(
        (np.arange(10**6) + 0.5) / 1e6
    )
    expected = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert interval(draws, 12) == pytest.approx([*expected], abs=1e-4)


def test_with_many_values_the_interval_is_the_percentile_interval_of_scipy():
    """Up to 4% of the width: noise of 10,000 draws, and Student's tails for normal."""
    x = np.random.default_rng(3).normal(size=200)
    theirs = stats.bootstrap((x,), np.mean, method="percentile", rng=4)
    low, high = theirs.confidence_interval
    assert bootstrap_interval(x) == pytest.approx((low, high), abs=0.04 * (high - low))


def test_with_nine_values_the_percentiles_are_moved_outwards():
    """At their levels scipy's interval is the same, up to noise of 10,000 draws."""
    x = np.random.default_rng(1).normal(size=9)
    tail = stats.norm.sf(np.sqrt(9 / 8) * stats.t.ppf(0.975, 8))
    assert tail == pytest.approx(0.0072, abs=1e-4)
    theirs = stats.bootstrap(
        (x,), np.mean, method="percentile", confidence_level=1 - 2 * tail, rng=2
    )
    low, high = theirs.confidence_interval
    assert bootstrap_interval(x) == pytest.approx((low, high), abs=0.05 * (high - low))


def test_the_interval_of_five_values_is_that_of_all_ways_to_draw_five():
    """There are 5⁵. Its ends: four times an outermost value and once the next to it."""
    x = np.array([0.3, -0.1, 0.2, 0.9, 0.4])
    drawn = np.array([*itertools.product(x, repeat=5)])
    low, high = bootstrap_interval(x)
    assert [low, high] == pytest.approx(interval(drawn.mean(axis=1), 5))
    assert [low, high] == pytest.approx([(4 * -0.1 + 0.2) / 5, (4 * 0.9 + 0.4) / 5])


@pytest.mark.parametrize("values", [[1.0, 0.0], [0.2, 1.0, 0.0]])
def test_the_interval_of_two_or_three_values_is_their_range(values):
    assert bootstrap_interval(values) == pytest.approx((0.0, 1.0))


def test_one_interval_serves_values_and_a_studys_tables():
    """A seed draws it; others agree up to the noise of 10,000 draws."""
    x = pd.Series(np.random.default_rng(4).normal(size=8), index=range(8, 16))
    rows = study({"ce": np.zeros((1, 8)), "genre2": x.to_numpy()[None]})
    [table] = paired_differences(rows)[["low", "high"]].to_numpy()
    low, high = found = bootstrap_interval(x)
    assert found == bootstrap_interval(x) == pytest.approx(tuple(table))
    other = bootstrap_interval(x, seed=1)
    assert found != other == pytest.approx(found, abs=0.05 * (high - low))


@pytest.mark.parametrize(
    "values", [[], [1.0], [1.0, np.nan], [np.inf, 1.0], 1.0, [[1.0, 2.0]]]
)
def test_what_has_no_interval_is_refused(values):
    with pytest.raises(ValueError, match="two or more finite values, not"):
        bootstrap_interval(values)


def test_plain_percentiles_of_five_values_hold_the_truth_less_often_than_they_say():
    """2,000 studies of five normal values: 92% with the moved percentiles, not 84%.
    ±0.025 leaves once in 100 tries or rarer."""
    noise = np.random.default_rng(5).normal(size=(2000, 5))
    draws = noise @ weights(choose_runs(1, 5))
    plain = np.quantile(draws, [0.025, 0.975], axis=-1)
    for (low, high), expected in ((plain, 0.84), (interval(draws, 5), 0.92)):
        held = ((low <= 0) & (high >= 0)).mean()
        assert held == pytest.approx(expected, abs=0.025)
    assert bootstrap_interval(noise[0]) == pytest.approx(interval(draws[0], 5))


def share_that_holds_zero(found):
    return ((found["low"] <= 0) & (found["high"] >= 0)).mean()


@pytest.mark.parametrize(("seeds", "expected"), [(3, 0.75), (5, 0.92), (10, 0.945)])
def test_the_interval_of_a_task_holds_the_truth_as_often_as_is_said(seeds, expected):
    """2,000 tasks without a difference: ±0.025 leaves once in 100 tries or rarer."""
    noise = np.random.default_rng(5).normal(size=(2000, seeds))
    found = paired_differences(study({"ce": 0 * noise, "genre2": noise}))
    assert share_that_holds_zero(found) == pytest.approx(expected, abs=0.025)


@pytest.mark.parametrize(("spread_of_tasks", "least"), [(0.0, 0.98), (3.0, 0.92)])
def test_the_interval_over_tasks_holds_the_truth_at_least_so_often(
    spread_of_tasks, least
):
    """400 methods on 10 tasks that differ little or much. It errs on the wide side:
    a coverage of 95% falls below 92% once in 200 tries or rarer."""
    rng = np.random.default_rng(6)
    noise = rng.normal(size=(400, 10, 5))
    noise += spread_of_tasks * rng.normal(size=(400, 10, 1))
    methods = {f"m{i}": scores for i, scores in enumerate(noise)}
    found = overall_differences(study({"ce": 0 * noise[0]} | methods))
    assert share_that_holds_zero(found) >= least
    # Of Wilcoxon's test 4.9% are false alarms; twice that comes once in 10,000 tries.
    assert (found["p"] < 0.05).mean() < 0.098


def test_the_interval_over_tasks_sees_that_tasks_differ():
    """Seeds agree, tasks do not: what is left is the bootstrap of the tasks' means."""
    gains = np.arange(8.0)
    rows = study({"ce": np.zeros((8, 2)), "genre2": np.tile(gains[:, None], 2)})
    [found] = overall_differences(rows).to_dict("records")
    expected = interval(gains @ weights(choose_runs(1, 8, seed=1)), 8)
    assert found["mean"] == 3.5
    assert [found["low"], found["high"]] == pytest.approx(expected, abs=0.15)


# Over tasks


def test_every_task_counts_alike_and_is_won_or_lost():
    gains = np.array([[0.2, 0.4], [0.1, 0.1], [-0.1, -0.3], [0.0, 0.0]])
    rows = study({"ce": np.zeros((4, 2)), "genre2": gains})
    [found] = overall_differences(rows).to_dict("records")
    assert found["mean"] == pytest.approx((0.3 + 0.1 - 0.2) / 4)
    assert (found["wins"], found["losses"], found["n"]) == (2, 1, 4)
    rows = rows.rename(columns={"r2": "rmse"})
    [found] = overall_differences(rows, metric="rmse").to_dict("records")
    assert (found["wins"], found["losses"]) == (1, 2)  # a lower error is a win


def test_p_is_of_the_signed_ranks_of_the_tasks_means():
    """Of 2⁶ sign patterns, those of all gains and of all losses are as extreme."""
    gains = 0.01 * np.arange(1, 7)[:, None] + np.array([[-0.005, 0.005]])
    rows = study({"ce": np.zeros((6, 2)), "genre2": gains, "ppo": -gains})
    assert overall_differences(rows)["p"].tolist() == [2 / 64, 2 / 64]
    rows = random_study(tasks=9)
    wide = rows.groupby(["task", "method"])["r2"].mean().unstack()
    expected = [stats.wilcoxon(wide[m], wide["ce"]).pvalue for m in wide if m != "ce"]
    found = overall_differences(rows).set_index("method")["p"]
    assert found[[m for m in wide if m != "ce"]].tolist() == pytest.approx(expected)


def test_a_method_that_equals_the_baseline_is_no_finding():
    scores = np.random.default_rng(7).normal(size=(6, 3))
    [found] = overall_differences(study({"ce": scores, "copy": scores})).to_dict(
        "records"
    )
    for name, expected in {"mean": 0, "low": 0, "high": 0, "p": 1, "wins": 0}.items():
        assert found[name] == expected


def test_one_task_tells_nothing_of_other_tasks():
    rows = study({"ce": [[0.0, 0.1]], "genre2": [[0.3, 0.2]]})
    [found] = overall_differences(rows).to_dict("records")
    assert found["mean"] == pytest.approx(0.2)
    assert np.isnan([found["low"], found["high"], found["p"]]).all()


# Average ranks


def test_ranks_are_of_the_means_over_seeds_and_the_best_is_first():
    """On the first task b and c tie for the places 2 and 3."""
    scores = {"c": [[0, 2], [1, 1]], "a": [[3, 3], [4, 6]], "b": [[1, 1], [0, 4]]}
    found = average_ranks(study(scores))
    assert found.ranks.to_dict() == {"a": 1.0, "b": 2.25, "c": 2.75}
    assert found.ranks.index.tolist() == ["a", "b", "c"]
    errors = study(scores, metric="mae")
    ranks = average_ranks(errors, "mae").ranks
    assert ranks.to_dict() == {"c": 1.25, "b": 1.75, "a": 3.0}


@pytest.mark.parametrize(
    ("methods", "q"), [(3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)]
)
def test_the_critical_difference_is_demsars(methods, q):
    """q is of his table 5(a), printed with three digits after the point."""
    names = [f"m{i}" for i in range(methods)]
    found = average_ranks(random_study(names, tasks=30, seeds=1)).critical_difference
    expected = q * np.sqrt(methods * (methods + 1) / (6 * 30))
    assert found == pytest.approx(expected, abs=1.1e-3)


def test_friedmans_p_is_that_of_the_formula():
    """χ² = 12 N/(k (k + 1)) (Σ R² − k (k + 1)²/4), with k − 1 degrees of freedom."""
    found = average_ranks(random_study(tasks=12))
    ranks = found.ranks.to_numpy()
    chi2 = 12 * 12 / (4 * 5) * ((ranks**2).sum() - 4 * 5**2 / 4)
    assert found.friedman_p == pytest.approx(stats.chi2.sf(chi2, 3))


def test_cliques_are_the_largest_groups_closer_than_the_critical_difference():
    """Four methods in the same order on N tasks: ranks 1, 2, 3, 4.

    The critical difference 2.569 √(20/6N) is 1.9 for N = 6, 1.2 for 16, 0.6 for 60.
    """
    for tasks, expected in {6: ["ab", "bc", "cd"], 60: []}.items():
        scores = {m: np.full((tasks, 1), -i) for i, m in enumerate("abcd")}
        found = average_ranks(study(scores))
        assert ["".join(clique) for clique in found.cliques] == expected
    scores = {m: np.full((3, 1), -i) for i, m in enumerate("abcd")}
    found = average_ranks(study(scores))  # 2.7
    assert ["".join(clique) for clique in found.cliques] == ["abc", "bcd"]


def test_methods_that_are_all_alike_are_one_clique():
    found = average_ranks(study({m: np.ones((4, 2)) for m in "abc"}))
    assert found.ranks.tolist() == [2.0, 2.0, 2.0]
    assert found.cliques == [["a", "b", "c"]]
    assert np.isnan(found.friedman_p)


# Interquartile means


def test_the_interquartile_mean_is_of_the_middle_half_of_all_runs():
    scores = np.array([[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, -100.0]])
    [found] = interquartile_mean(study({"ce": scores})).to_dict("records")
    assert found["mean"] == np.mean([1, 2, 3, 4])


def test_the_interquartile_mean_and_its_interval_are_scipys():
    """One sample a task, resampled by itself; 20 degrees of freedom widen it by 3% more
    than the factor √(5/4) does. Two times 10,000 draws agree up to 3% of the width."""
    scores = np.random.default_rng(8).normal(size=(5, 5)) + np.arange(5)[:, None]

    def statistic(*tasks, axis=-1):
        return stats.trim_mean(np.concatenate(tasks, axis=axis), 0.25, axis=axis)

    spread = np.sqrt(5 / 4) * stats.t.ppf(0.975, 20)
    theirs = stats.bootstrap(
        tuple(scores),
        statistic,
        method="percentile",
        vectorized=True,
        confidence_level=1 - 2 * stats.norm.sf(spread),
        rng=9,
    )
    [found] = interquartile_mean(study({"ce": scores})).to_dict("records")
    low, high = theirs.confidence_interval
    assert found["mean"] == pytest.approx(statistic(*scores))
    expected = pytest.approx([low, high], abs=0.03 * (high - low))
    assert [found["low"], found["high"]] == expected


def test_tasks_are_not_resampled_where_the_claim_is_of_these_tasks():
    """Tasks differ, seeds do not: there is nothing uncertain."""
    rows = study({"ce": np.tile(np.arange(6.0)[:, None], 3)})
    [found] = interquartile_mean(rows).to_dict("records")
    assert found["low"] == found["mean"] == found["high"]


# Performance profiles


def test_a_profile_counts_the_runs_beyond_each_threshold():
    rows = study({"ce": [[0.1, 0.3], [0.5, 0.7]]})
    found = performance_profile(rows, [0.0, 0.3, 0.6, 0.7])
    assert found["share"].tolist() == [1, 0.5, 0.25, 0]  # strictly beyond
    rows = rows.rename(columns={"r2": "crps"})
    found = performance_profile(rows, [0.0, 0.3, 0.6, 0.8], "crps")
    assert found["share"].tolist() == [0, 0.25, 0.75, 1]


def test_a_profile_falls_and_stays_within_its_band_and_the_band_within_0_and_1():
    found = performance_profile(random_study(), THRESHOLDS)
    for _, one in found.groupby("method"):
        for name in ("share", "low", "high"):
            assert (one[name].diff().dropna() <= 1e-12).all()
            assert one[name].between(0, 1 + 1e-12).all()
    assert (found["low"] <= found["share"] + 1e-12).all()
    assert (found["share"] <= found["high"] + 1e-12).all()


# What changes nothing


def test_a_constant_added_to_all_scores_of_a_task_changes_no_difference_and_no_rank():
    rows = random_study()
    moved = rows.assign(r2=rows["r2"] + rows["task"].str[4:].astype(int) ** 2)
    for function in (paired_differences, overall_differences):
        pd.testing.assert_frame_equal(function(moved), function(rows), atol=1e-12)
    pd.testing.assert_series_equal(
        average_ranks(moved).ranks, average_ranks(rows).ranks
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_order_of_rows_changes_nothing_but_the_order(name):
    rows = random_study()
    found = FUNCTIONS[name](rows), FUNCTIONS[name](rows.iloc[::-1])
    if name == "ranks":
        assert found[0].ranks.to_dict() == pytest.approx(found[1].ranks.to_dict())
        return
    axes = [c for c in ("aggregator", "task", "method", "threshold") if c in found[0]]
    first, second = (table.set_index(axes).sort_index() for table in found)
    exact = [c for c in first if c not in ("low", "high")]  # other runs are drawn
    pd.testing.assert_frame_equal(first[exact], second[exact])


def test_scores_are_where_their_names_say():
    rows = random_study().sample(frac=1, random_state=0)
    scores = read_scores(rows, "r2")
    names = (scores.aggregators, scores.methods, scores.tasks, scores.seeds)
    by_name = rows.set_index(AXES)["r2"]
    for i, value in np.ndenumerate(scores.values):
        assert value == by_name[tuple(n[j] for n, j in zip(names, i, strict=True))]


# What is refused


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda rows: rows.drop(rows.index[37]),
            "no run of method=remax, task=task1, seed=2$",
        ),
        (
            lambda rows: pd.concat([rows, rows.iloc[1:].assign(aggregator="k1")]),
            "no run of aggregator=k1, method=ce, task=task0, seed=0$",
        ),
        (
            lambda rows: pd.concat([rows, rows.iloc[[3, 3]]]),
            "more than one run of aggregator=mean128, method=ce, task=task0, seed=3$",
        ),
        (
            lambda rows: rows.assign(r2=rows["r2"].where(rows.index != 37)),
            "r2 is not finite in aggregator=mean128, method=remax, task=task1, seed=2$",
        ),
        (
            lambda rows: rows.assign(r2=rows["r2"].where(rows["seed"] != 2, -np.inf)),
            r"r2 is not finite in .*task=task4, seed=2; and 19 more$",
        ),
        (lambda rows: rows.drop(columns="seed"), r"the table has no column \['seed'\]"),
        (
            lambda rows: rows.rename(columns={"r2": "mae"}),
            r"metric='r2' must be one of \['mae'\]",
        ),
    ],
)
def test_a_table_with_a_flaw_is_refused_and_the_flaw_named(name, spoil, message):
    with pytest.raises(ValueError, match=message):
        FUNCTIONS[name](spoil(random_study()))


@pytest.mark.parametrize("name", ["paired", "overall", "quartiles", "profile"])
def test_one_seed_gives_no_interval(name):
    with pytest.raises(ValueError, match=r"only seed \[0\]: an interval over seeds"):
        FUNCTIONS[name](random_study(seeds=1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda rows: paired_differences(rows, "greedy"),
            r"baseline='greedy' must be one of \['ce', 'remax', 'genre2', 'boosting'\]",
        ),
        (
            lambda rows: overall_differences(rows, "greedy"),
            "baseline='greedy' must be one of",
        ),
        (
            lambda rows: average_ranks(rows, "r2", "best"),
            r"aggregator='best' must be one of \['mean128'\]",
        ),
        (
            lambda rows: average_ranks(rows[rows["task"] == "task0"]),
            r"ranks need 3 methods and 2 tasks, not .*, \['task0'\]",
        ),
        (
            lambda rows: average_ranks(rows[rows["method"].isin(["ce", "remax"])]),
            r"ranks need 3 methods and 2 tasks, not \['ce', 'remax'\]",
        ),
        (lambda rows: performance_profile(rows, []), r"thresholds=\[\] must be"),
        (lambda rows: performance_profile(rows, 0.5), "thresholds=0.5 must be"),
        (lambda rows: performance_profile(rows, [np.nan]), r"thresholds=\[nan\] must"),
    ],
)
def test_a_question_that_the_table_cannot_answer_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(random_study())


# Figures


@pytest.fixture
def ax():
    with matplotlib.rc_context():
        book_style()
        yield plt.subplots()[1]
    plt.close("all")


def marked(ax):
    """x of every marker that stands for a number."""
    return [
        x for line in ax.lines if line.get_marker() == "o" for x in line.get_xdata()
    ]


def test_a_forest_shows_every_task_and_all_together(ax):
    rows = random_study()
    paired, overall = paired_differences(rows), overall_differences(rows)
    assert draw_differences(paired, overall, ["genre2"], ax=ax) is ax
    means = paired[paired["method"] == "genre2"]["mean"].tolist()
    assert marked(ax) == pytest.approx(means)
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == [*(f"task{i}" for i in range(6)), "all tasks"]
    [diamond] = ax.patches
    row = overall.set_index("method").loc["genre2"]
    x = diamond.get_xy()[:, 0]
    assert (x.min(), x.max(), x[1]) == (row["low"], row["high"], row["mean"])
    assert ax.get_xlabel() == "R² of GenRe² − R² of CE\nbetter →"


def test_a_forest_of_several_methods_has_their_colours_and_names(ax):
    rows = random_study().rename(columns={"r2": "rmse"})
    tables = (f(rows, metric="rmse") for f in (paired_differences, overall_differences))
    draw_differences(*tables, ["genre2", "remax"], ax=ax)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["GenRe²", "ReMax"]
    colors = {matplotlib.colors.to_hex(patch.get_facecolor()) for patch in ax.patches}
    assert colors == {PALETTE[name].lower() for name in names}
    assert ax.get_xlabel() == "RMSE − RMSE of CE\n(std. dev.) ← better"


def test_a_forest_of_one_task_has_no_diamond_but_a_point(ax):
    rows = random_study(tasks=1)
    draw_differences(
        paired_differences(rows), overall_differences(rows), ["remax"], ax=ax
    )
    assert not ax.patches
    assert "D" in [line.get_marker() for line in ax.lines]


def test_the_rank_figure_has_a_row_a_method_and_a_bar_a_clique(ax):
    ranks = average_ranks(random_study())
    assert draw_critical_difference(ranks, ax) is ax
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == [label_of(name) for name in ranks.ranks.index]
    points = ax.collections[1].get_offsets()
    assert points[:, 0].tolist() == pytest.approx(ranks.ranks.tolist())
    bars = [line.get_ydata() for line in ax.lines if line.get_linewidth() == 3.5]
    spans = [[ranks.ranks.index[y - 1] for y in bar] for bar in bars]
    assert spans == [[clique[0], clique[-1]] for clique in ranks.cliques]
    assert ax.get_xlabel() == "average rank by R²\n← better"


def test_a_profile_is_drawn_with_its_band(ax):
    profiles = performance_profile(random_study(), THRESHOLDS)
    assert draw_profiles(profiles, ["ce", "boosting"], ax=ax) is ax
    shares = profiles[profiles["method"] == "ce"]["share"]
    assert ax.lines[0].get_ydata().tolist() == shares.tolist()
    assert len(ax.collections) == 2
    assert ax.get_ylabel() == "share of runs with R² > τ"


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_has_words_on_its_axes(ax, metric):
    rows = random_study().rename(columns={"r2": metric})
    draw_profiles(performance_profile(rows, THRESHOLDS, metric), ["ce"], ax=ax)
    assert ax.get_xlabel().startswith("threshold τ")
    draw_critical_difference(average_ranks(rows, metric), ax)
    assert ax.get_xlabel().startswith("average rank by ")


def test_methods_have_the_books_names_and_colours_and_others_are_grey():
    assert (label_of("genre2"), color_of("genre2")) == ("GenRe²", PALETTE["GenRe²"])
    for name, label in {"boosting": "Boosting", "forest": "Random forest"}.items():
        assert (label_of(name), color_of(name)) == (label, PALETTE[label])
    assert (label_of("ce_greedy"), color_of("ce_greedy")) == ("CE greedy", NEUTRAL)


def test_what_a_table_lacks_is_named(ax):
    rows = random_study()
    tables = paired_differences(rows), overall_differences(rows)
    with pytest.raises(ValueError, match=r"method='ppo' must be one of \['remax'"):
        draw_differences(*tables, ["ppo"], ax=ax)
    profiles = performance_profile(rows, THRESHOLDS)
    with pytest.raises(ValueError, match=r"aggregator='k1' must be one of \['mean128'"):
        draw_profiles(profiles, ["ce"], "k1", ax=ax)
