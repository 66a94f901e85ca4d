"""Picking: never a beaten save, whatever the order; flags and the untrained base lose; settling."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipseity.core.errors import RunError
from ipseity.evaluation.pick import Choice, pick, settled

KEYS = {"identity_key": "identity/e", "fidelity_key": "prompt_fidelity/e"}
number = st.integers(-20, 20).map(lambda n: n / 20)


def saves(points, flags=()) -> list:
    return [
        (step, {"identity/e": i, "prompt_fidelity/e": f, "flag/memorization": float(step in flags)})
        for step, (i, f) in points.items()
    ]


steps = st.dictionaries(st.integers(1, 60), st.tuples(number, number), min_size=1, max_size=9)


@given(steps, st.randoms(use_true_random=False))
def test_the_order_of_saves_does_not_matter(points, chance) -> None:
    scored = saves(points)
    mixed = scored.copy()
    chance.shuffle(mixed)
    assert pick(mixed, **KEYS) == pick(scored, **KEYS)


@given(steps)
def test_what_is_beaten_is_never_picked(points) -> None:
    choice = pick(saves(points), **KEYS)
    i, f = points[choice.step]
    for step, (other_i, other_f) in points.items():
        assert not (other_i >= i and other_f >= f and (other_i, other_f) != (i, f)), f"step {step} beats it"
        assert (other_i, other_f) != (i, f) or step >= choice.step, "of equals the earliest"
    assert choice.step in choice.front and list(choice.front) == sorted(choice.front)


@given(steps, st.tuples(number, number))
def test_adding_a_beaten_save_changes_nothing(points, by) -> None:
    choice = pick(saves(points), **KEYS)
    i, f = points[choice.step]
    worse = {**points, 100: (i - abs(by[0]) - 0.01, f - abs(by[1]))}
    again = pick(saves(worse), **KEYS)
    assert (again.step, again.front) == (choice.step, choice.front)


@given(steps, st.sets(st.integers(1, 60)))
def test_a_flagged_save_loses_to_every_sound_one(points, flags) -> None:
    choice = pick(saves(points, flags), **KEYS)
    sound = set(points) - flags
    assert choice.step in (sound or points)
    assert sound or "Beware" in choice.reason
    if sound and sound != set(points):
        assert "Left out because flagged for memorization" in choice.reason


@given(steps)
def test_the_untrained_base_is_no_choice_and_no_yardstick(points) -> None:
    trained = pick(saves(points), **KEYS)
    with_base = pick(saves({0: (1.0, 1.0), **points}), **KEYS)
    assert (with_base.step, with_base.front) == (trained.step, trained.front)


def test_a_method_that_trains_for_no_step_keeps_step_zero() -> None:
    assert pick(saves({0: (0.5, 0.3)}), **KEYS).step == 0


def test_the_knee_is_picked_and_the_reason_has_the_numbers() -> None:
    points = {100: (0.50, 0.340), 200: (0.75, 0.335), 300: (0.82, 0.320), 400: (0.86, 0.27), 500: (0.85, 0.26)}
    choice = pick(saves(points), **KEYS)
    assert isinstance(choice, Choice) and choice.step in (200, 300) and choice.front == (100, 200, 300, 400)
    for words in (f"Step {choice.step} of 5 saves", "0.860 at step 400", "0.340 at step 100"):
        assert words in choice.reason


def test_a_hair_of_prompt_fidelity_does_not_outweigh_identity() -> None:
    assert pick(saves({100: (0.50, 0.3010), 200: (0.90, 0.3000)}), **KEYS).step == 200


def test_scores_that_are_missing_or_no_numbers_are_passed_over() -> None:
    scored = [
        *saves({100: (0.5, 0.3)}),
        (200, {"identity/e": 0.9}),
        (300, {"identity/e": math.nan, "prompt_fidelity/e": 0.9}),
    ]
    assert pick(scored, **KEYS).step == 100
    with pytest.raises(RunError, match="no save has both"):
        pick(scored[1:], **KEYS)


def test_settled_when_nothing_new_came() -> None:
    rising = {100: (0.5, 0.3), 200: (0.6, 0.3), 300: (0.7, 0.3)}
    assert not settled(saves(rising), 2, **KEYS)
    stalled = {**rising, 400: (0.65, 0.3), 500: (0.7, 0.3)}
    assert settled(saves(stalled), 2, **KEYS) and not settled(saves(stalled), 3, **KEYS)
    assert not settled(saves(stalled), 0, **KEYS) and not settled([], 1, **KEYS)


@given(steps, st.integers(1, 4))
def test_settling_agrees_with_the_front_before(points, patience) -> None:
    scored = saves(points)
    earlier = sorted(scored)[:-patience]
    if earlier:
        same = pick(earlier, **KEYS).front == pick(scored, **KEYS).front
        assert settled(scored, patience, **KEYS) == same
