"""Two to four equal things side by side: their words and where they stand."""

import numpy as np

from toybox.world.cutouts import cutout
from toybox.world.description import Light, Pose, Thing
from toybox.world.makers import MAKERS, draw_member

WORDS: dict[int, tuple[str, ...]] = {2: ("two", "two", "a pair of"), 3: ("three",), 4: ("four",)}
UNCOUNTED = frozenset({"glasses"})  # "two glasses" are something to drink from
_IRREGULAR = {"sheep": "sheep", "fish": "fish", "cactus": "cacti"}
_EDGE = 0.025  # share of the width that stays free on either side
_FILLED = 0.92  # share of its part of the row that a thing fills


def plural(noun: str) -> str:
    """Puts a noun of the world into the plural.

    Args:
        noun: One of `classes()`, or another word for one.

    Returns:
        Its plural; the last word of several changes.
    """
    *before, last = noun.split(" ")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2] not in "aeiou":
        last = f"{last[:-1]}ies"
    else:
        last += "s"
    return " ".join([*before, last])


def phrase(thing: Thing, count: int, rng: np.random.Generator) -> str:
    """Names several equal things: "three red apples".

    Args:
        thing: What.
        count: 2, 3 or 4.
        rng: Chance of the wording.

    Returns:
        Number, color and plural noun, without a place.

    Raises:
        ValueError: The count has no word here, or the thing is not counted.
    """
    _check(thing, count)
    colour = [thing.colour] if thing.colour else []
    words = WORDS[count]
    return " ".join([words[int(rng.integers(len(words)))], *colour, plural(thing.class_noun)])


def row(thing: Thing, count: int, feet: tuple[float, float], rng: np.random.Generator) -> tuple[Pose, ...]:
    """Places several equal things side by side so that none hides another.

    Args:
        thing: What.
        count: 2, 3 or 4.
        feet: Range of the foot, as shares of the height.
        rng: Chance.

    Returns:
        A pose for each, from left to right; sizes differ by at most 4 percent.

    Raises:
        ValueError: The count has no word here, or the thing is not counted.
        RuntimeError: The thing is a maker's and no EGL driver is there; the message names the packages.
    """
    _check(thing, count)
    part = (1 - 2 * _EDGE) / count
    wide, tall = _shape(thing)
    scale = min(0.6 / max(tall, 0.5), _FILLED * part / wide)
    foot = float(rng.uniform(*feet))
    poses = []
    for index in range(count):
        poses.append(
            Pose(
                x=round(_EDGE + part * (index + 0.5) + part * float(rng.uniform(-0.02, 0.02)), 4),
                y=round(foot + float(rng.uniform(-0.015, 0.015)), 4),
                scale=round(scale * float(rng.uniform(0.96, 1.0)), 4),
                azimuth=round(float(rng.uniform(-12, 12)), 1) if thing.drawing in MAKERS else 0.0,
                elevation=14.0,
                roll=round(float(rng.uniform(-1.5, 1.5)), 1),
                flip=bool(thing.drawing not in MAKERS and rng.random() < 0.3),
            )
        )
    return tuple(poses)


def _check(thing: Thing, count: int) -> None:
    """Refuses what cannot be counted."""
    if count not in WORDS:
        raise ValueError(f"count is {count}: one of {', '.join(map(str, WORDS))} is needed; ask for so many")
    if thing.class_noun in UNCOUNTED:
        raise ValueError(f"{thing.class_noun} are not counted: a class with a plain plural is needed; choose another")


def _shape(thing: Thing) -> tuple[float, float]:
    """Measures width and height of a thing, as shares of its longer side."""
    if thing.drawing in MAKERS:
        image = draw_member(thing, Pose(0.5, 0.9, 0.5, azimuth=12.0, elevation=14.0), Light(0, 40, 1), 64)
        wide, tall = image.width / 64, image.height / 64
    else:
        image = cutout(thing.drawing, thing.colour)
        wide, tall = image.width / max(image.size), image.height / max(image.size)
    return wide, tall
