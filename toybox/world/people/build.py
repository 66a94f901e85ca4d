"""Builds a person at rest: shape, painted face, hair and the dome that hats sit on. The latest are kept."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from toybox.world.people import wear
from toybox.world.people.figure import Body, body
from toybox.world.people.hair import SHELLS, shell
from toybox.world.people.names import BONES, RACES
from toybox.world.people.paint import paint
from toybox.world.people.person import STYLES, Person

_HEAD = 1.09  # heads a little larger than true, as in drawn films


@dataclass(frozen=True)
class Marks:
    """Vertices that truth is read from: tip of the nose, corners of the mouth, ridge, ears, face, chin and crown."""

    nose: int
    corners: tuple[int, int]
    ridge: int
    ears: tuple[int, int]
    face: np.ndarray
    chin: int
    crown: int
    scalp: np.ndarray


@lru_cache(maxsize=1)
def marks() -> Marks:
    """Returns: the marks, found on the plain body."""
    whole = body()
    rest, skin = whole.points, np.unique(whole.faces["body"])
    x, y, z = rest[skin].T
    lips = np.flatnonzero(whole.masks[:, 0] > 0.5)
    middle = np.abs(x) < 0.05
    ear = skin[(whole.masks[skin, 2] > 0.5) & (x > 0)]
    top = ear[np.argmax(rest[ear, 1] + 0.4 * rest[ear, 2] - 1.5 * rest[ear, 0])]

    def nearest(point: tuple[float, float, float]) -> int:
        return int(skin[np.argmin(((rest[skin] - point) ** 2).sum(1))])

    tip = int(skin[np.argmax(np.where(middle & (y > 6.8) & (y < 7.2), z, -9))])
    ridge = int(skin[np.argmax(np.where(middle & (np.abs(y - 7.24) < 0.04), z, -9))])
    corner = lips[np.argmax(rest[lips, 0] - 0.02 * (whole.masks[lips, 0] < 0.9))]
    mirror = np.array([-1, 1, 1], np.float32)
    return Marks(
        nose=tip,
        corners=(nearest(tuple(rest[corner] * mirror)), int(corner)),
        ridge=ridge,
        ears=(nearest(tuple(rest[top] * mirror)), int(top)),
        face=skin[(z > 0.75) & (y > 6.3) & (y < 7.95) & (np.abs(x) < 0.72)],
        chin=int(skin[np.argmin(np.where(middle & (z > 1.1) & (y > 6), y, 99))]),
        crown=int(skin[np.argmax(y)]),
        scalp=skin[(y > 7.35) & (whole.masks[skin, 2] < 0.1)],
    )


# Positions, places at rest, four numbers a vertex, triangles, shares of the bones.
Hair = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Built:
    """A person at rest: vertices of the body, of the hair, of what they wear, and the painting of the face."""

    points: np.ndarray
    paint: np.ndarray
    hair: Hair | None
    dome: wear.Dome


def sliders(person: Person) -> dict[str, float]:
    """Gives the strengths of all shapes of a person."""
    given = dict(person.sliders)
    sex = {"woman": "female", "man": "male"}[person.sex]
    years = {"young": 1 - person.age, "old": person.age}
    out = {f"macro/universal-{sex}-{word}-averagemuscle-averageweight": share for word, share in years.items()}
    for race in RACES:
        for word, share in years.items():
            out[f"macro/{race}-{sex}-{word}"] = share * given.pop(f"race/{race}", 0.0)
    weight, muscle = given.pop("weight", 0.0), given.pop("muscle", 0.0)
    out[f"macro/{sex}-averagemuscle-{'maxweight' if weight > 0 else 'minweight'}"] = abs(weight)
    out[f"macro/{sex}-maxmuscle-averageweight"] = muscle
    return out | given


@lru_cache(maxsize=32)
def built(person: Person) -> Built:
    """Builds a person at rest; the latest are kept.

    Args:
        person: Who.

    Returns:
        What is drawn in every view of them.
    """
    whole = body()
    points = whole.shaped(sliders(person))
    head = whole.weights[:, list(BONES).index("head"), None]
    points += (_HEAD - 1) * head * (points - whole.joint(points, "head"))
    face = paint(
        brows=person.brows,
        beard=person.beard,
        freckles=person.freckles,
        blush=person.blush,
        age=person.age,
        seed=person.seed,
    )
    skull = _dome(points[marks().scalp], 0.0)
    hair = _hair(whole, person, points, skull)
    around = points[marks().scalp] if hair is None else np.concatenate([points[marks().scalp], _upper(hair[0], skull)])
    dome = _dome(around, 0.02)
    if person.hat is not None:
        above = {"beanie": 0.0, "cap": 0.08, "sun hat": 0.08}[person.hat]
        snug = _dome(points[marks().scalp], 0.10)
        half = np.minimum((dome.half + 2 * snug.half) / 3, 1.12 * snug.half)  # much hair does not make a tall hat
        dome = wear.Dome((dome.middle + 2 * snug.middle) / 3, half)
        points[marks().scalp] = wear.inside(dome, points[marks().scalp], share=0.90, above=above)
        hair = hair and (wear.inside(dome, hair[0], share=0.93, above=above - 0.12), *hair[1:])
    return Built(points, face, hair, dome)


def _dome(points: np.ndarray, room: float) -> wear.Dome:
    """Fits the dome of a head around points of its upper half."""
    low, high = np.quantile(points, 0.002, axis=0), np.quantile(points, 0.998, axis=0)
    foot = float(np.quantile(points[:, 1], 0.03)) + 0.12
    half = np.array([(high[0] - low[0]) / 2, high[1] - foot, (high[2] - low[2]) / 2]) + room
    return wear.Dome(np.array([(high[0] + low[0]) / 2, foot, (high[2] + low[2]) / 2]), half)


def _upper(points: np.ndarray, dome: wear.Dome) -> np.ndarray:
    """Picks the points that lie over a dome's equator."""
    return points[dome.into(points)[:, 1] > 0.25]


def _hair(whole: Body, person: Person, points: np.ndarray, skull: wear.Dome) -> Hair | None:
    """Hangs the hair: positions, places at rest, four numbers a vertex, triangles, shares of the bones."""
    mesh = STYLES[person.hair].mesh
    if mesh is None:
        return None
    if mesh in SHELLS:
        unit, faces, open_ = shell(mesh, person.seed % 4)
        out = skull.out(unit)
        rest = (unit * [0.9, 0.95, 1.1] + [0, 7.45, 0.35]).astype(np.float32)
        extra = np.stack([np.ones(len(unit)), np.zeros(len(unit)), open_, np.ones(len(unit))], 1)
    else:
        hung = whole.hair[mesh]
        flip = np.array([-1, 1, 1], np.float32) if person.mirrored else np.ones(3, np.float32)
        faces = hung.faces[:, ::-1] if person.mirrored else hung.faces
        out, rest = hung.on(points) * flip, hung.rest * flip
        extra = np.stack(
            [
                hung.border,
                np.clip((7.75 - rest[:, 1]) / 0.5, 0.2, 1),
                np.clip(2.1 * hung.open, 0, 1),
                np.zeros(len(out)),
            ],
            1,
        )
    names = list(BONES)
    shares = np.zeros((len(out), len(names)), np.float32)
    up = np.clip((rest[:, 1] - 5.3) / 1.2, 0, 1)
    shares[:, names.index("head")], shares[:, names.index("chest")] = up, 1 - up
    return out.astype(np.float32), rest.astype(np.float32), extra.astype(np.float32), faces, shares
