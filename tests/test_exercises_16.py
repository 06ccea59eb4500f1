"""Chapter 16's checks: each takes a right answer, and tells typical wrong ones why."""

import numpy as np
from judged import judged, stub

from genre2_mini.exercises.chapter_16 import (
    check_expected_reads,
    check_resume,
    check_share_out,
)


def probabilities(p_one, strings=False):
    """P of every prefix that is read; of every finished string as well."""
    reached = {"": 1.0}
    for prefix in sorted(p_one, key=len):
        reached[prefix + "0"] = reached[prefix] * (1 - p_one[prefix])
        reached[prefix + "1"] = reached[prefix] * p_one[prefix]
    return [p for prefix, p in reached.items() if strings or prefix in p_one]


def expected_reads(p_one, num_samples):
    return sum(1 - (1 - p) ** num_samples for p in probabilities(p_one))


def each_sample_counts(p_one, num_samples):
    return sum(min(1, num_samples * p) for p in probabilities(p_one))


def prefixes_missed(p_one, num_samples):
    return sum((1 - p) ** num_samples for p in probabilities(p_one))


def strings_too(p_one, num_samples):
    return sum(1 - (1 - p) ** num_samples for p in probabilities(p_one, strings=True))


def share_among(count, p, rng, renormalise=True, drop_rest=False):
    shares, left = [], count
    for v, q in enumerate(p):
        chance = min(1.0, q / (sum(p[v:]) or 1)) if renormalise else q
        shares.append(int(rng.binomial(left, chance)))
        left -= shares[-1]
    if not renormalise and not drop_rest:
        shares[-1] += left
    return shares


def rounded(count, p, rng):
    shares = [round(count * q) for q in p]
    shares[int(np.argmax(p))] += count - sum(shares)
    return shares


def each_on_its_own(count, p, rng):
    return [int(rng.binomial(count, q)) for q in p]


def resume(keys, done, work, kept_late=False, failures="later", name_all=True):
    results, failed = {}, []
    for key in dict.fromkeys(keys):
        if key in done:
            continue
        try:
            (results if kept_late else done)[key] = work(key)
        except ValueError:
            if failures == "at once":
                raise
            if failures == "kept":
                done[key] = None
            failed.append(key)
            if failures == "stop":
                break
    done.update(results)
    if failed and failures != "silent":
        raise RuntimeError(f"failed: {failed if name_all else failed[0]}")
    return {key: done[key] for key in keys if key in done}


def all_again(keys, done, work):
    for key in dict.fromkeys(keys):
        done[key] = work(key)
    return {key: done[key] for key in keys}


def doubles_twice(keys, done, work):
    missing = [key for key in keys if key not in done]
    for key in missing:
        done[key] = work(key)
    return {key: done[key] for key in keys}


def everything(keys, done, work):
    resume(keys, done, work)
    return done


def sorted_keys(keys, done, work):
    return dict(sorted(resume(keys, done, work).items()))


RIGHT = [
    (check_expected_reads, expected_reads),
    (check_share_out, share_among),
    (check_resume, resume),
]
WRONG = [
    (check_expected_reads, each_sample_counts, "at least one does"),
    (check_expected_reads, prefixes_missed, "not reached"),
    (check_expected_reads, strings_too, "not read any more"),
    (check_expected_reads, lambda *_: 3.5, "the expected number for"),
    (check_share_out, lambda *_: [10], "one count for each"),
    (check_share_out, each_on_its_own, "must add up to 10"),
    (
        check_share_out,
        lambda *a: share_among(*a, renormalise=False),
        "among those that are left",
    ),
    (
        check_share_out,
        lambda *a: share_among(*a, renormalise=False, drop_rest=True),
        "must add up to 10",
    ),
    (check_share_out, lambda count, p, rng: [0] * (len(p) - 1) + [count], "on average"),
    (
        check_share_out,
        lambda count, p, rng: rng.multinomial(count, [1 / len(p)] * len(p)),
        "on average",
    ),
    (check_share_out, rounded, "never vary"),
    (check_resume, all_again, "done again"),
    (check_resume, doubles_twice, "asked for twice"),
    (check_resume, everything, "it returned"),
    (check_resume, sorted_keys, "order of the keys"),
    (check_resume, lambda *a: resume(*a, kept_late=True), "not kept before the next"),
    (check_resume, lambda *a: resume(*a, failures="at once"), "own error came through"),
    (check_resume, lambda *a: resume(*a, failures="silent"), "nothing was raised"),
    (check_resume, lambda *a: resume(*a, failures="stop"), "all others are still done"),
    (check_resume, lambda *a: resume(*a, failures="kept"), "must not be kept"),
    (check_resume, lambda *a: resume(*a, name_all=False), "names all runs"),
]
WRONG += [(check, stub, "returned None") for check, _ in RIGHT]

test_a_right_answer_is_correct, test_a_wrong_answer_is_told_why = judged(RIGHT, WRONG)
