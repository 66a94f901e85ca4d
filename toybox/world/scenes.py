"""Draws descriptions from seeds: which thing, which place, from where, in what light."""

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from toybox.world.colours import colours
from toybox.world.description import Companion, Light, Pose, Scene, Thing, Where
from toybox.world.kinds import KINDS, classes
from toybox.world.makers import MAKERS
from toybox.world.places import PLACES, places
from toybox.world.reserved import RESERVED, signature
from toybox.world.styles import STYLES

Split = Literal["train", "heldout", "fresh"]
_SPLITS = {"train": 1, "heldout": 2, "fresh": 3}
HELDOUT_PERCENT = 5


@dataclass(frozen=True)
class Variety:
    """How much scenes differ; whoever learns the world begins with less of it.

    Attributes:
        styled: Share of scenes in a style.
        paired: Share of scenes with a second thing.
        framed: Share of the others with a size word, a crop tag or a side.
        scale: Range of a thing's longer side where nothing is said, as a share of the picture's height.
        drift: How far a thing stands from the middle at most, as a share of the picture's width.
        turn: Share of a maker's own reach that things are turned by.
        roll: Usual tilt of cut-outs in degrees.
        flipped: Share of cut-outs that are mirrored.
        cropped: Share of pictures that are cut out of larger ones.
    """

    styled: float = 0.06
    paired: float = 0.16
    framed: float = 0.44
    scale: tuple[float, float] = (0.54, 0.74)
    drift: float = 0.09
    turn: float = 1.0
    roll: float = 3.5
    flipped: float = 0.5
    cropped: float = 0.28


FULL = Variety()
CALM = Variety(0.02, 0.06, 0.12, (0.62, 0.72), 0.03, 0.35, 1.5, 0.0, 0.08)
"""Things as one would first draw them: in the middle, of one size, from one side."""


def is_heldout(class_noun: str, colour: str | None, place: str) -> bool:
    """Says whether a combination is kept out of training; decided by a hash, the same everywhere.

    Args:
        class_noun: The main thing's class.
        colour: Its colour word, or None for natural.
        place: Name of the place.

    Returns:
        True for about `HELDOUT_PERCENT` of all combinations.
    """
    digest = hashlib.sha256(f"{class_noun}|{colour or 'natural'}|{place}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 100 < HELDOUT_PERCENT


def describe(seed: int, split: Split = "train", variety: Variety = FULL) -> Scene:
    """Draws the description of a scene.

    Args:
        seed: Any whole number from 0 on; the same seed gives the same bytes.
        split: "train" never holds a held-out combination, "heldout" holds nothing else, "fresh" holds anything.
        variety: How much scenes differ.

    Returns:
        The scene.

    Raises:
        ValueError: The split is unknown.
    """
    if split not in _SPLITS:
        raise ValueError(f"unknown split {split!r}: use one of {', '.join(_SPLITS)}")
    rng = np.random.default_rng([_SPLITS[split], seed])
    weights = np.array([kind.weight for kind in KINDS.values()])
    while True:
        noun = classes()[int(rng.choice(len(weights), p=weights / weights.sum()))]
        thing = describe_member(noun, int(rng.integers(2**31)))
        place = places()[int(rng.integers(len(PLACES)))]
        if split == "fresh" or is_heldout(noun, thing.colour, place) == (split == "heldout"):
            return _compose(rng, thing, place, seed=seed, split=split, variety=variety)


def scene_of(thing: Thing, seed: int, split: Split = "train") -> Scene:
    """Puts one given individual in a new place, pose and light.

    Args:
        thing: The individual.
        seed: Seed of the scene around it.
        split: As in `describe`; the place is chosen so that the combination fits.

    Returns:
        The scene: a single thing, as a photo.

    Raises:
        ValueError: The split is unknown, or no place fits it for this thing.
    """
    if split not in _SPLITS:
        raise ValueError(f"unknown split {split!r}: use one of {', '.join(_SPLITS)}")
    rng = np.random.default_rng([_SPLITS[split], seed, 7])
    fitting = [
        name
        for name in places()
        if split == "fresh" or is_heldout(thing.class_noun, thing.colour, name) == (split == "heldout")
    ]
    if not fitting:
        raise ValueError(f"no place makes a {split} combination with a {thing.colour or 'natural'} {thing.class_noun}")
    scene = _compose(rng, thing, fitting[int(rng.integers(len(fitting)))], seed=seed, split=split)
    return replace(scene, second=None, style=None)


def describe_member(class_noun: str, member_seed: int) -> Thing:
    """Draws one individual of a class.

    Args:
        class_noun: One of `classes()`.
        member_seed: Which one; the same seed is the same individual.

    Returns:
        The individual, with all that makes its looks. Cut-outs of one drawing and color are one individual.

    Raises:
        KeyError: The class is unknown.
    """
    kind = KINDS[class_noun]
    rng = np.random.default_rng([_stable(class_noun), member_seed])
    if class_noun in MAKERS:
        thing = MAKERS[class_noun].member(rng)
        while signature(thing) in RESERVED:
            thing = MAKERS[class_noun].member(rng)
        return named(thing)
    colour = colours()[int(rng.integers(len(colours())))] if kind.colours and rng.random() < 0.55 else None
    drawing = kind.drawings[int(rng.integers(len(kind.drawings)))]
    return named(Thing(class_noun, "", drawing, colour))


def named(thing: Thing) -> Thing:
    """Gives a thing the name that follows from its looks."""
    looks = repr((thing.class_noun, thing.drawing, thing.colour, thing.traits)).encode()
    return replace(thing, member_id=f"{thing.class_noun.replace(' ', '_')}-{hashlib.sha256(looks).hexdigest()[:12]}")


def _stable(text: str) -> int:
    """Turns a word into a number that is the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _compose(
    rng: np.random.Generator, thing: Thing, place: str, *, seed: int, split: Split, variety: Variety = FULL
) -> Scene:
    """Draws all but the thing and the place."""
    paired = rng.random() < variety.paired
    size_word, crop, side = _framing(rng, paired, variety.framed)
    scale = _scale(rng, size_word, crop, usual=variety.scale) * KINDS[thing.class_noun].size ** 0.35
    pose = _pose(rng, thing, place, scale, variety)
    if crop == "far away":
        pose = replace(pose, y=round(pose.y - 0.10, 4))
    if crop == "close-up":
        pose = replace(pose, y=round(float(rng.uniform(0.96, 1.08)), 4))
    if side is not None:
        shift = 0.5 - pose.scale * 0.36
        pose = replace(
            pose, x=round(float(np.clip(0.5 + (1 if side == "right" else -1) * min(0.27, shift), 0.2, 0.8)), 4)
        )
    second = None
    if paired:
        pose, second = _pair(rng, thing, pose, place, variety)
    style = list(STYLES)[int(rng.integers(len(STYLES)))] if rng.random() < variety.styled else None
    light = Light(
        round(float(rng.uniform(-52, 52)), 1),
        round(float(rng.uniform(20, 52)), 1),
        round(float(rng.uniform(0.92, 1.06)), 3),
    )
    where = Where(place, int(rng.integers(2**31)))
    return Scene(
        seed, split, thing, pose, where, light, size_word=size_word, crop=crop, side=side, second=second, style=style
    )


def _framing(rng: np.random.Generator, paired: bool, share: float) -> tuple[str | None, str | None, str | None]:
    """Draws size word, crop tag and side; at most one of them, and none where two things stand together."""
    draw = rng.random()
    if paired or draw < 1 - share:
        return None, None, None
    kind = (draw - (1 - share)) / share
    if kind < 18 / 44:
        return str(rng.choice(["small", "large"])), None, None
    if kind < 32 / 44:
        return None, str(rng.choice(["close-up", "far away"])), None
    return None, None, str(rng.choice(["left", "right"]))


def _scale(rng: np.random.Generator, size_word: str | None, crop: str | None, *, usual: tuple[float, float]) -> float:
    """Draws the true scale for a size word or crop tag."""
    ranges = {"small": (0.28, 0.36), "large": (0.80, 0.92), "close-up": (0.96, 1.10), "far away": (0.16, 0.22)}
    return round(float(rng.uniform(*ranges.get(crop or size_word, usual))), 4)


def _pose(rng: np.random.Generator, thing: Thing, place: str, scale: float, variety: Variety) -> Pose:
    """Draws where a thing stands and how it is turned."""
    low, high = PLACES[place].feet
    made = thing.drawing in MAKERS
    reach = MAKERS[thing.drawing].turn * variety.turn if made else 0.0
    y = rng.uniform(low, high) + 0.10 * (scale - 0.5)
    return Pose(
        x=round(float(0.5 + rng.uniform(-variety.drift, variety.drift)), 4),
        y=round(float(min(y, 0.96)), 4),
        scale=round(scale, 4),
        azimuth=round(float(np.clip(rng.normal(0, reach / 2), -reach, reach)), 1),
        elevation=round(float(rng.uniform(8, 30)), 1),
        roll=round(float(rng.normal(0, min(2.0, variety.roll) if made else variety.roll)), 1),
        flip=bool(not made and rng.random() < variety.flipped),
    )


def _pair(rng: np.random.Generator, thing: Thing, pose: Pose, place: str, variety: Variety) -> tuple[Pose, Companion]:
    """Moves the main thing aside and puts another class next to it."""
    others = [noun for noun in classes() if noun != thing.class_noun]
    other = describe_member(others[int(rng.integers(len(others)))], int(rng.integers(2**31)))
    way = 1 if rng.random() < 0.5 else -1
    sizes = KINDS[thing.class_noun].size, KINDS[other.class_noun].size
    middle = (sizes[0] * sizes[1]) ** 0.5
    main, rest = (0.47 * (size / middle) ** 0.5 for size in sizes)
    foot = float(np.clip(pose.y, 0, 0.9))
    beside = _pose(rng, other, place, rest, variety)
    pose = replace(pose, x=round(0.5 - way * 0.235, 4), y=round(foot, 4), scale=round(main, 4))
    beside = replace(beside, x=round(0.5 + way * 0.235, 4), y=round(foot + float(rng.uniform(-0.02, 0.03)), 4))
    return pose, Companion(other, beside)
