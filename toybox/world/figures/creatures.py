"""Creatures with endless members: four-legged animals built from soft blobs, as data about proportions and coats."""

from dataclasses import dataclass

import numpy as np

from toybox.world.colours import SHADES, colours, shade
from toybox.world.description import Thing, Trait
from toybox.world.figures.blobs import Blob, Bone, Vector

COATS: dict[str, tuple[int, int, int]] = {
    "tan": (222, 164, 98),
    "brown": (142, 90, 54),
    "chocolate": (96, 60, 42),
    "ginger": (238, 146, 62),
    "cream": (244, 222, 184),
    "gray": (150, 154, 162),
    "silver": (196, 200, 208),
    "black": (52, 50, 56),
    "white": (244, 242, 240),
    "fox red": (232, 110, 44),
}
PALE, DARK = (252, 240, 224), (62, 48, 46)


@dataclass(frozen=True)
class Species:
    """One class of creatures.

    Attributes:
        noun: Its noun.
        words: Other words for it.
        coats: Natural coats.
        markings: Markings that occur.
        ears: Ear shapes that occur: "floppy", "pointed", "round", "long".
        tails: Tail shapes that occur: "curved", "bushy", "thin", "stub".
        numbers: Ranges of the numbers that vary between members, in units of the body.
        eyes: Colours of the iris; an empty tuple is plain dark eyes.
        whiskers: Whether it has whiskers.
        nose: Colour of the nose in 0..255.
        size: How big it is beside others (1 is usual).
    """

    noun: str
    words: tuple[str, ...]
    coats: tuple[str, ...]
    markings: tuple[str, ...]
    ears: tuple[str, ...]
    tails: tuple[str, ...]
    numbers: dict[str, tuple[float, float]]
    eyes: tuple[tuple[int, int, int], ...] = ()
    whiskers: bool = False
    nose: tuple[int, int, int] = (44, 36, 40)
    size: float = 1.0


_GREEN, _AMBER, _BLUE = (112, 190, 84), (240, 178, 50), (92, 170, 230)
SPECIES: dict[str, Species] = {
    species.noun: species
    for species in (
        Species(
            "dog",
            ("puppy", "doggy"),
            ("tan", "brown", "chocolate", "cream", "gray", "black", "white", "ginger"),
            ("plain", "socks", "patches", "spots", "saddle", "mask", "mask"),
            ("floppy", "floppy", "pointed"),
            ("curved", "thin", "bushy"),
            {
                "head": (0.40, 0.47),
                "width": (0.28, 0.34),
                "length": (0.56, 0.82),
                "legs": (0.36, 0.54),
                "muzzle": (0.14, 0.30),
                "ear": (0.85, 1.25),
                "tail": (0.8, 1.2),
            },
        ),
        Species(
            "cat",
            ("kitten", "kitty"),
            ("ginger", "gray", "black", "white", "cream", "silver", "brown"),
            ("plain", "socks", "patches", "stripes", "stripes", "mask"),
            ("pointed",),
            ("thin", "thin", "bushy"),
            {
                "head": (0.40, 0.46),
                "width": (0.25, 0.30),
                "length": (0.58, 0.74),
                "legs": (0.38, 0.50),
                "muzzle": (0.04, 0.07),
                "ear": (0.85, 1.15),
                "tail": (1.1, 1.6),
            },
            eyes=(_GREEN, _AMBER, _BLUE),
            whiskers=True,
            nose=(238, 132, 140),
            size=0.9,
        ),
        Species(
            "bear",
            ("grizzly", "bear cub"),
            ("brown", "chocolate", "black", "white", "tan"),
            ("plain", "plain", "socks", "mask"),
            ("round",),
            ("stub",),
            {
                "head": (0.42, 0.48),
                "width": (0.38, 0.44),
                "length": (0.58, 0.72),
                "legs": (0.38, 0.46),
                "muzzle": (0.12, 0.18),
                "ear": (0.9, 1.15),
                "tail": (0.8, 1.1),
            },
            size=1.2,
        ),
        Species(
            "fox",
            ("red fox",),
            ("fox red", "ginger", "silver", "white"),
            ("socks", "socks", "plain"),
            ("pointed",),
            ("bushy",),
            {
                "head": (0.39, 0.44),
                "width": (0.24, 0.28),
                "length": (0.60, 0.76),
                "legs": (0.42, 0.52),
                "muzzle": (0.24, 0.32),
                "ear": (1.1, 1.4),
                "tail": (1.2, 1.5),
            },
            size=0.95,
        ),
        Species(
            "rabbit",
            ("bunny",),
            ("white", "gray", "brown", "cream", "tan", "black"),
            ("plain", "socks", "patches", "mask", "spots"),
            ("long",),
            ("stub",),
            {
                "head": (0.38, 0.43),
                "width": (0.28, 0.33),
                "length": (0.44, 0.56),
                "legs": (0.30, 0.36),
                "muzzle": (0.04, 0.07),
                "ear": (0.9, 1.3),
                "tail": (1.0, 1.3),
            },
            whiskers=True,
            nose=(238, 140, 146),
            size=0.85,
        ),
    )
}


def member(noun: str, rng: np.random.Generator) -> Thing:
    """Draws the looks of one creature.

    Args:
        noun: One of `SPECIES`.
        rng: Chance.

    Returns:
        A thing without name, motion and dress.

    Raises:
        KeyError: The species is unknown.
    """
    species = SPECIES[noun]
    words = colours()
    colour = words[int(rng.integers(len(words)))] if rng.random() < 0.4 else None
    traits: dict[str, Trait] = {"base": colour or _pick(rng, species.coats)}
    traits["marking"], traits["ears"] = _pick(rng, species.markings), _pick(rng, species.ears)
    traits["tail_shape"] = _pick(rng, species.tails)
    traits["eye"] = int(rng.integers(len(species.eyes))) if species.eyes else 0
    traits["patch"] = int(rng.integers(2**16))
    if rng.random() < 0.3:
        traits["collar"] = words[int(rng.integers(len(words)))]
    for name, (low, high) in species.numbers.items():
        traits[name] = round(float(rng.uniform(low, high)), 3)
    return Thing(noun, "", noun, colour, tuple(sorted(traits.items())))


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def unit(rgb: tuple[int, int, int]) -> Vector:
    """Returns: a colour with its channels in 0..1."""
    return rgb[0] / 255, rgb[1] / 255, rgb[2] / 255


def blended(one: Vector, two: Vector, share: float) -> Vector:
    """Returns: the first colour with a share of the second in it."""
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(one, two, strict=True))
    return red, green, blue


def coat(thing: Thing) -> tuple[Vector, Vector]:
    """Gives a creature's coat and the tone of its muzzle, belly and markings.

    Args:
        thing: A creature.

    Returns:
        Two colours, each channel in 0..1. A dark coat has pale or tan markings, a light one dark ones.
    """
    word = thing.trait("base")
    base = shade(word) if thing.colour else COATS[word]
    if thing.colour:
        second = SHADES[word].light if word not in ("white", "black") else (PALE, DARK)[word == "white"]
    else:
        second = {"white": (206, 160, 116), "silver": (250, 250, 250), "black": (250, 248, 246)}.get(word, PALE)
    return unit(base), unit(second)


def bones(thing: Thing) -> tuple[Bone, ...]:
    """Gives a creature's skeleton at rest, standing with its feet at height 0."""
    wide, leg, long, head = (thing.trait(name) for name in ("width", "legs", "length", "head"))
    high, knee = leg + 0.55 * wide, -0.5 * leg
    skeleton = [
        Bone("hips", None, (0, high, -long / 2)),
        Bone("chest", "hips", (0, 0.03, long)),
        Bone("neck", "chest", (0, 0.4 * wide, 0.35 * wide)),
        Bone("head", "neck", (0, 0.22 + 0.52 * head, 0.10 + 0.25 * head)),
        Bone("tail", "hips", (0, 0.45 * wide, -0.8 * wide)),
        Bone("tail.mid", "tail", (0, 0.02, -0.2 * thing.trait("tail"))),
        Bone("tail.tip", "tail.mid", (0, 0.02, -0.2 * thing.trait("tail"))),
    ]
    for side, way in (("l", 1), ("r", -1)):
        skeleton += [
            Bone(f"front.{side}", "chest", (way * 0.62 * wide, -0.45 * wide, 0.1 * wide)),
            Bone(f"front.{side}.low", f"front.{side}", (0, knee, 0)),
            Bone(f"hind.{side}", "hips", (way * 0.66 * wide, -0.45 * wide, -0.1 * wide)),
            Bone(f"hind.{side}.low", f"hind.{side}", (0, knee, 0)),
            Bone(f"ear.{side}", "head", _ear_root(thing.trait("ears"), head, way)),
        ]
    return tuple(skeleton)


def _ear_root(shape: str, head: float, way: int) -> Vector:
    x, y, z = {
        "floppy": (0.78, 0.52, -0.05),
        "pointed": (0.56, 0.66, -0.05),
        "round": (0.66, 0.66, -0.05),
        "long": (0.34, 0.8, -0.1),
    }[shape]
    return way * x * head, y * head, z * head


def blobs(thing: Thing) -> tuple[Blob, ...]:
    """Gives the soft parts of a creature on its bones."""
    base, second = coat(thing)
    wide, long = thing.trait("width"), thing.trait("length")
    belly = blended(base, second, 0.5)
    body = [
        Blob("hips", (0, 0, 0), (0, 0.03, long), (wide * 0.96, wide), base),
        Blob("hips", (0, -0.24 * wide, 0.2 * long), (0, -0.2 * wide, 0.85 * long), (wide * 0.8, wide * 0.82), belly),
        Blob("chest", (0, 0.1, 0.02), (0, 0.3 * wide, 0.45 * wide), (wide * 0.86, wide * 0.66), base),
        Blob("neck", (0, 0, 0), (0, 0.24, 0.1), (wide * 0.62, wide * 0.6), base),
    ]
    return (*body, *_head(thing, base, second), *_ears(thing, base), *_legs(thing, base), *_tail(thing, base, second))


def _head(thing: Thing, base: Vector, second: Vector) -> list[Blob]:
    """Skull, cheeks and muzzle."""
    head, out = thing.trait("head"), thing.trait("muzzle")
    parts = [Blob("head", (-0.08 * head, 0, 0), (0.08 * head, 0, 0), (head, head), base, (1.04, 0.95, 0.97))]
    small = out < 0.09  # a cat's muzzle is two cushions, a dog's is one snout
    for way in (-1, 1):
        cheek = (way * 0.48 * head, -0.34 * head, 0.44 * head)
        parts.append(Blob("head", cheek, cheek, (0.36 * head, 0.36 * head), base))
        if small:
            cushion = (way * 0.16 * head, -0.3 * head, 0.84 * head)
            parts.append(Blob("head", cushion, cushion, (0.2 * head, 0.2 * head), second))
    if small:
        parts.append(
            Blob(
                "head",
                (0, -0.46 * head, 0.7 * head),
                (0, -0.46 * head, 0.74 * head),
                (0.16 * head, 0.16 * head),
                second,
            )
        )
    else:
        start, tip = (0, -0.24 * head, 0.6 * head), (0, -0.27 * head, 0.62 * head + out)
        parts.append(Blob("head", start, tip, (0.42 * head, 0.33 * head), second, (1.12, 0.9, 1)))
        parts.append(
            Blob(
                "head", (0, 0.0, 0.72 * head), (0, -0.1 * head, 0.7 * head + 0.8 * out), (0.25 * head, 0.2 * head), base
            )
        )
    return parts


def _ears(thing: Thing, base: Vector) -> list[Blob]:
    """Two ears of the member's shape."""
    head, scale, shape = thing.trait("head"), thing.trait("ear"), thing.trait("ears")
    deep = blended(base, (0.0, 0.0, 0.0), 0.28)
    parts = []
    for side, way in (("l", 1), ("r", -1)):
        e = head * scale
        if shape == "floppy":
            bend = (way * 0.34 * e, 0.0, 0.02)
            parts += [
                Blob(f"ear.{side}", (0, 0, 0), bend, (0.2 * e, 0.24 * e), deep, (1, 1, 0.72)),
                Blob(
                    f"ear.{side}", bend, (way * 0.42 * e, -0.66 * e, 0.1 * e), (0.22 * e, 0.27 * e), deep, (0.62, 1, 1)
                ),
            ]
        elif shape == "pointed":
            tip = (way * 0.2 * e, 0.72 * e, 0.0)
            parts.append(Blob(f"ear.{side}", (0, -0.06 * e, 0), tip, (0.36 * e, 0.05 * e), base, (1, 1, 0.62)))
        elif shape == "round":
            parts.append(
                Blob(
                    f"ear.{side}",
                    (0, 0.08 * e, 0),
                    (way * 0.06 * e, 0.16 * e, 0),
                    (0.3 * e, 0.3 * e),
                    base,
                    (1, 1, 0.66),
                )
            )
        else:
            tip = (way * 0.22 * e, 1.35 * e, -0.1 * e)
            parts.append(Blob(f"ear.{side}", (0, -0.1 * e, 0), tip, (0.17 * e, 0.2 * e), base, (1, 1, 0.6)))
    return parts


def _legs(thing: Thing, base: Vector) -> list[Blob]:
    """Four legs with paws."""
    wide, leg = thing.trait("width"), thing.trait("legs")
    parts = []
    for side in ("l", "r"):
        for name, thigh in (("front", 0.56), ("hind", 0.72)):
            thick = 0.46 * wide
            low = (0, -0.5 * leg + 0.3 * thick, 0)
            paw = (0, -0.5 * leg + 0.12 * thick, 0.3 * thick)
            parts += [
                Blob(f"{name}.{side}", (0, 0.1 * wide, 0), (0, -0.5 * leg, 0), (thigh * wide, thick), base),
                Blob(f"{name}.{side}.low", (0, 0, 0), low, (thick, 0.9 * thick), base),
                Blob(
                    f"{name}.{side}.low",
                    paw,
                    (0, paw[1], 0.5 * thick),
                    (1.04 * thick, 1.0 * thick),
                    base,
                    (1.05, 0.8, 1.1),
                ),
            ]
    return parts


def _tail(thing: Thing, base: Vector, second: Vector) -> list[Blob]:
    """A tail of the member's shape."""
    wide, long, shape = thing.trait("width"), 0.2 * thing.trait("tail"), thing.trait("tail_shape")
    joints = ("tail", "tail.mid", "tail.tip")
    if shape == "stub":
        return [Blob("tail", (0, 0, 0), (0, 0.02, -0.06), (0.4 * wide, 0.4 * wide), second)]
    thick = {"curved": (0.34, 0.28, 0.2, 0.1), "thin": (0.24, 0.2, 0.18, 0.16), "bushy": (0.26, 0.52, 0.6, 0.2)}[shape]
    ends = [(0, 0.02, -long)] * 3
    tints = (base, base, second if shape == "bushy" else base)
    return [
        Blob(joint, (0, 0, 0), end, (near * wide, far * wide), tint)
        for joint, end, near, far, tint in zip(joints, ends, thick[:3], thick[1:], tints, strict=True)
    ]
