"""The markings of creatures: socks, patches, spots, stripes, saddles and masks, in the space of the rest pose."""

from collections.abc import Callable

import numpy as np

from toybox.world.description import Thing
from toybox.world.figures.blobs import Vector
from toybox.world.figures.creatures import blended, coat
from toybox.world.figures.surface import Mark, Stripes

_BLACK = (0.0, 0.0, 0.0)


def markings(thing: Thing) -> tuple[tuple[Mark, ...], Stripes]:
    """Gives the markings of a creature, in the space of its rest pose.

    Args:
        thing: A creature.

    Returns:
        Patches and stripes.
    """
    rng = np.random.default_rng(thing.trait("patch"))
    base, second = coat(thing)
    kind = thing.trait("marking")
    if kind == "stripes":
        dark = blended(base, _BLACK, 0.48)
        long, wide, head = (thing.trait(name) for name in ("length", "width", "head"))
        face = long / 2 + 0.35 * wide + 0.1 + 0.42 * head
        return (), Stripes((0.0, 0.9, 4.6), dark, 0.36, thing.trait("legs") * 0.9, face)
    build: dict[str, Callable[[], list[Mark]]] = {
        "socks": lambda: _socks(thing, second),
        "patches": lambda: _patches(thing, second, rng),
        "spots": lambda: _spots(thing, blended(base, _BLACK, 0.6) if sum(base) > 1.2 else second, rng),
        "saddle": lambda: _saddle(thing, blended(base, _BLACK, 0.58) if sum(base) > 1.2 else second),
        "mask": lambda: _mask(thing, second, rng),
    }
    return tuple(build[kind]()) if kind in build else (), Stripes()


def _socks(thing: Thing, second: Vector) -> list[Mark]:
    """Four feet in the second tone, as white socks are."""
    wide, leg, long = thing.trait("width"), thing.trait("legs"), thing.trait("length")
    spots = [(way * 0.64 * wide, z) for way in (-1, 1) for z in (-long / 2, long / 2)]
    feet = [Mark((x, 0.0, z), (0.8 * wide, 0.46 * leg, 0.9 * wide), second) for x, z in spots]
    return [*feet, Mark((0, leg + 0.4 * wide, long / 2 + wide), (0.55 * wide, 0.9 * wide, 0.7 * wide), second)]


def _place(thing: Thing, rng: np.random.Generator) -> Vector:
    """Draws a point on the trunk or the head."""
    wide, leg, long, head = (thing.trait(name) for name in ("width", "legs", "length", "head"))
    way = float(rng.choice((-1, 1)))
    if rng.random() < 0.72:
        return way * wide * rng.uniform(0.4, 1.0), leg + wide * rng.uniform(0.2, 1.5), rng.uniform(-0.75, 0.6) * long
    top = leg + 0.95 * wide + 0.25 + 0.52 * head
    return (
        way * head * rng.uniform(0.3, 0.9),
        top + head * rng.uniform(-0.2, 0.6),
        long / 2 + 0.35 * wide + 0.1 + 0.5 * head,
    )


def _patches(thing: Thing, second: Vector, rng: np.random.Generator) -> list[Mark]:
    """Large ragged patches."""
    sizes = rng.uniform(0.2, 0.36, (int(rng.integers(4, 8)), 3))
    return [Mark(_place(thing, rng), tuple(size), second, soft=0.07, ragged=0.5) for size in sizes]


def _spots(thing: Thing, tint: Vector, rng: np.random.Generator) -> list[Mark]:
    """Many small round spots."""
    return [
        Mark(_place(thing, rng), (size, size, size), tint, soft=0.14, ragged=0.15)
        for size in rng.uniform(0.06, 0.11, 14)
    ]


def _saddle(thing: Thing, tint: Vector) -> list[Mark]:
    """A dark back."""
    wide, leg, long = thing.trait("width"), thing.trait("legs"), thing.trait("length")
    return [
        Mark((0, leg + 1.5 * wide, -0.05 * long), (1.1 * wide, 0.75 * wide, 0.72 * long), tint, soft=0.14, ragged=0.4)
    ]


def _mask(thing: Thing, second: Vector, rng: np.random.Generator) -> list[Mark]:
    """A blaze between the eyes, or a patch around one of them."""
    wide, leg, long, head = (thing.trait(name) for name in ("width", "legs", "length", "head"))
    y, z = leg + 0.98 * wide + 0.22 + 0.52 * head, long / 2 + 0.35 * wide + 0.1 + 1.15 * head
    blaze = Mark((0, y + 0.2 * head, z), (0.2 * head, 0.85 * head, 0.6 * head), second)
    eye = Mark(
        (float(rng.choice((-1, 1))) * 0.42 * head, y + 0.12 * head, z - 0.3 * head),
        (0.36 * head, 0.4 * head, 0.5 * head),
        second,
        ragged=0.3,
    )
    chest = Mark((0, leg + 0.4 * wide, long / 2 + wide), (0.6 * wide, 0.9 * wide, 0.7 * wide), second)
    return [blaze if rng.random() < 0.6 else eye, chest]
