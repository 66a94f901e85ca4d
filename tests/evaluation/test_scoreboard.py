"""Means and intervals over subjects, property prompts apart, and the forms they are written in."""

import csv
import io

import numpy as np
import pytest

from ipseity.evaluation.scoreboard import (
    CLASS_WORD,
    HEAD,
    REAL,
    Entry,
    Line,
    enter,
    tabulate_subjects,
    to_csv,
    to_markdown,
)

SCENE, LOOK = "recontextualization", "property"


def entry(subject: str, mean: float, *, prompts: str = SCENE, images: int = 4, metric: str = "identity") -> Entry:
    return Entry("held-out", subject, "dog", prompts, metric, "colors", mean, images)


def line(lines: list[Line], prompts: str, metric: str = "identity") -> Line:
    return next(one for one in lines if (one.prompts, one.metric) == (prompts, metric))


def test_the_interval_is_the_bootstrap_over_subjects() -> None:
    values = np.random.default_rng(3).normal(0.6, 0.1, 22)
    found = line(
        tabulate_subjects([entry(f"s{row}", value) for row, value in enumerate(values)]), "all prompts"
    ).summary
    rows = np.random.default_rng(0).integers(0, 22, (20_000, 22))
    low, high = np.percentile(values[rows].mean(1), (2.5, 97.5))
    assert found.mean == pytest.approx(values.mean()) and found.count == 22
    assert found.low == pytest.approx(low, abs=0.004) and found.high == pytest.approx(high, abs=0.004)


def test_an_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    chance, hits = np.random.default_rng(1), 0
    for _ in range(60):
        values = chance.normal(0.5, 0.1, 30)
        found = tabulate_subjects([entry(f"s{row}", value) for row, value in enumerate(values)])[0].summary
        assert found.low is not None and found.high is not None
        hits += found.low <= 0.5 <= found.high
    assert 51 <= hits <= 60


def test_one_subject_has_no_interval_and_equal_ones_a_narrow_one() -> None:
    alone = line(tabulate_subjects([entry("one", 0.5)]), "all prompts").summary
    assert (alone.mean, alone.low, alone.high, alone.count) == (0.5, None, None, 1)
    equal = line(tabulate_subjects([entry(name, 0.5) for name in "abc"]), "all prompts").summary
    assert (equal.low, equal.high) == (0.5, 0.5)


def test_each_subject_counts_once_and_each_picture_once_within_it() -> None:
    entries = [entry("a", 1.0, images=3), entry("a", 0.0, images=1, prompts="accessory"), entry("b", 0.25, images=400)]
    assert line(tabulate_subjects(entries), "without property").summary.mean == pytest.approx((0.75 + 0.25) / 2)


def test_property_prompts_stand_apart() -> None:
    entries = [entry("a", 0.8, images=20), entry("a", 0.3, images=5, prompts=LOOK), entry("a", 0.9, prompts=REAL)]
    lines = tabulate_subjects(entries)
    means = {one.prompts: one.summary.mean for one in lines}
    assert means == {"without property": 0.8, "property": 0.3, "all prompts": pytest.approx(0.7), REAL: 0.9}
    assert CLASS_WORD not in means


def test_protocols_never_mix() -> None:
    other = Entry("original", "a", "dog", SCENE, "identity", "colors", 0.5, 4)
    with pytest.raises(AssertionError, match="do not mix"):
        tabulate_subjects([entry("a", 0.5), other])


def test_what_is_no_number_is_left_out() -> None:
    found = enter(
        ("held-out", "a", "dog"), SCENE, {"identity/x": [0.5, float("nan"), None, 0.7], "diversity/x": [None]}
    )
    assert [(one.metric, one.evaluator, one.mean, one.images) for one in found] == [("identity", "x", 0.6, 2)]


def test_the_csv_reads_back() -> None:
    entries = [entry("a", 0.123456789), entry("b", 0.5, prompts=LOOK)]
    rows = list(csv.DictReader(io.StringIO(to_csv(entries))))
    assert [float(row["mean"]) for row in rows] == [0.123456789, 0.5]
    assert rows[1] == {
        "protocol": "held-out", "subject": "b", "class_noun": "dog", "prompts": LOOK, "metric": "identity",
        "evaluator": "colors", "mean": "0.5", "images": "4",
    }  # fmt: skip


def test_the_page_has_one_table_with_every_line() -> None:
    lines = tabulate_subjects([entry("a", 0.5), entry("b", 0.7), entry("a", 0.4, metric="pres", prompts=CLASS_WORD)])
    page = to_markdown("DreamBench, held-out: mine", ["done so"], lines, ["a note"])
    assert page.startswith("# DreamBench, held-out: mine\n") and "* a note" in page
    assert page.count(f"| {' | '.join(HEAD)} |") == 1
    assert all(f"| {' | '.join(one.cells())} |" in page for one in lines)
    assert line(lines, CLASS_WORD, "pres").better == "lower"
    assert "| identity | colors | all prompts | 0.600 (0.500 to 0.700) | higher | 2 |" in page
