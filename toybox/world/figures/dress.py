"""What living things wear: hats, glasses, scarves and outfits, built in the frame of a head and around a neck.

The frame of a head has its origin in the middle of the skull, y up, z to the face, x to the wearer's left; lengths
are in radii of the skull.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toybox.world.colours import RGB, shade
from toybox.world.figures.surface import Parts, moved
from toybox.world.makers.maker import darker
from toybox.world.makers.mesh import box, revolve, smooth, tube

GOLD, WHITE, INK, NAVY, CRIMSON = (236, 186, 62), (248, 248, 250), (38, 36, 42), (34, 52, 104), (208, 30, 36)
RAINBOW = ((226, 46, 50), (246, 134, 34), (248, 212, 48), (70, 180, 76), (48, 112, 226), (140, 70, 200))
Piece = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Seat:
    """Where things are worn.

    Attributes:
        head: (4, 4) from the frame of the head, in radii, to the body.
        eyes: (x, y, z) of the left eye in that frame.
        top: Height of the crown in that frame.
        neck: (n, 3) a ring around the neck in the body's space, its throat in the middle of the list.
        thick: Thickness of a scarf, in the body's units.
    """

    head: np.ndarray
    eyes: tuple[float, float, float]
    top: float
    neck: np.ndarray
    thick: float


@dataclass(frozen=True)
class Garment:
    """One thing to wear.

    Attributes:
        word: Its name in traits.
        phrase: What captions say after the noun; `{colour}` is its colour word.
        colours: Whether it comes in any colour word.
        hat: Whether it takes the place of what is on the head.
        shirt: Colour word of the shirt that belongs to it, "{colour}" for its own, or None.
        build: Adds its parts in the frame of the head; takes the colour and the seat.
    """

    word: str
    phrase: str
    colours: bool = False
    hat: bool = True
    shirt: str | None = None
    build: Callable[[Parts, RGB, Seat], None] | None = None


def _cap(parts: Parts, rgb: RGB, seat: Seat) -> None:
    """A soft hat with a brim."""
    dark = darker(rgb, 0.68)
    revolve(parts, smooth([(0, 0.86), (0.42, 0.8), (0.66, 0.52), (0.74, 0.1), (0.76, 0.0)], 18), rgb=rgb)
    revolve(parts, smooth([(0.74, 0.14), (0.79, 0.1), (0.79, 0.0), (0.75, -0.03)], 8), rgb=dark)
    revolve(
        parts,
        smooth([(0.7, 0.03), (0.98, -0.02), (1.16, -0.12), (1.14, -0.17), (0.94, -0.08), (0.7, -0.03)], 14),
        rgb=rgb,
    )


def _santa(parts: Parts, rgb: RGB, seat: Seat) -> None:
    """A red cone that falls to one side, a white band and a pompom."""
    tube(
        parts,
        [(0, -0.05, 0), (0.02, 0.5, -0.02), (0.3, 0.92, -0.06), (0.78, 0.78, -0.04)],
        (0.84, 0.66, 0.34, 0.1),
        rgb=CRIMSON,
        count=22,
        segments=24,
    )
    box(parts, (0.86, 0.66, -0.02), (0.22, 0.22, 0.22), round_=1.0, rgb=WHITE, steps=12)
    revolve(parts, smooth([(0.72, 0.16), (0.94, 0.12), (0.98, -0.04), (0.92, -0.16), (0.72, -0.16)], 12), rgb=WHITE)


def _top_hat(parts: Parts, rgb: RGB, seat: Seat) -> None:
    """A black cylinder with a red band, and a monocle with its chain."""
    revolve(parts, [(0, 0.96), (0.62, 0.96)], rgb=INK)
    revolve(parts, smooth([(0.62, 0.96), (0.65, 0.92), (0.58, 0.4), (0.6, 0.0)], 14), rgb=INK)
    revolve(parts, [(0.597, 0.24), (0.612, 0.22), (0.612, 0.06), (0.6, 0.03)], rgb=CRIMSON)
    revolve(
        parts,
        smooth([(0.58, 0.03), (0.86, 0.0), (1.04, 0.07), (1.04, 0.02), (0.86, -0.05), (0.58, -0.03)], 14),
        rgb=INK,
    )


def _monocle(parts: Parts, seat: Seat) -> None:
    """A golden ring before the left eye, and its chain."""
    x, y, z = seat.eyes
    _ring(parts, (x, y, z + 0.08), 0.24, 0.04, GOLD)
    tube(
        parts,
        [(x + 0.22, y - 0.08, z + 0.06), (x + 0.34, y - 0.5, z - 0.1), (x + 0.3, y - 0.9, z - 0.3)],
        0.022,
        rgb=GOLD,
        count=9,
        segments=5,
    )


def _toque(parts: Parts, rgb: RGB, seat: Seat) -> None:
    """The tall white hat of a cook."""
    revolve(parts, smooth([(0.7, 0.02), (0.72, 0.2), (0.7, 0.42)], 6), rgb=(228, 230, 236))
    for angle in np.linspace(0, 2 * np.pi, 6, endpoint=False):
        box(
            parts,
            (0.46 * np.sin(angle), 0.66, 0.46 * np.cos(angle)),
            (0.42, 0.36, 0.42),
            round_=0.95,
            rgb=WHITE,
            steps=12,
        )
    box(parts, (0, 0.84, 0), (0.5, 0.34, 0.5), round_=1.0, rgb=WHITE, steps=12)


def _helmet(parts: Parts, rgb: RGB, seat: Seat) -> None:
    """A firefighter's helmet: dome with ridges, a brim that is long behind, a golden shield."""
    revolve(parts, smooth([(0, 0.72), (0.4, 0.66), (0.72, 0.38), (0.84, 0.02)], 16), rgb=rgb)
    for turn in (0.0, np.pi / 2):
        arc = [
            (0.8 * np.cos(a) * np.cos(turn), 0.06 + 0.72 * np.sin(a), 0.8 * np.cos(a) * np.sin(turn))
            for a in np.linspace(0, np.pi, 9)
        ]
        tube(parts, arc, 0.07, rgb=darker(rgb, 0.68), count=20, segments=8)
    angle = np.linspace(-np.pi, np.pi, 41)
    reach = 1.08 + 0.34 * (1 - np.cos(angle)) / 2
    edge = np.stack([reach * np.sin(angle) * 0.94, -0.04 - 0.16 * (1 - np.cos(angle)) / 2, reach * np.cos(angle)], -1)
    inner = np.stack([0.8 * np.sin(angle), np.full(41, 0.05), 0.8 * np.cos(angle)], -1)
    parts.sheet(np.stack([inner, edge, edge * (0.98, 1, 0.98) - (0, 0.05, 0), inner - (0, 0.06, 0)]), rgb=rgb)
    box(parts, (0, 0.34, 0.78), (0.2, 0.26, 0.06), round_=0.6, rgb=GOLD, steps=12)


def _police(parts: Parts, rgb: RGB, seat: Seat) -> None:
    """A flat navy cap with a peak and a golden badge."""
    revolve(parts, smooth([(0, 0.62), (0.7, 0.62), (0.96, 0.5), (0.9, 0.36), (0.74, 0.24)], 18), rgb=NAVY)
    revolve(parts, smooth([(0.75, 0.27), (0.78, 0.14), (0.76, 0.0)], 6), rgb=INK)
    angle = np.linspace(-1.1, 1.1, 21)
    inner = np.stack([0.75 * np.sin(angle), np.full(21, 0.04), 0.75 * np.cos(angle)], -1)
    outer = np.stack([0.9 * np.sin(angle), np.full(21, -0.1), 0.62 + 0.62 * np.cos(angle)], -1)
    parts.sheet(np.stack([inner, outer, outer - (0, 0.05, 0), inner - (0, 0.05, 0)]), rgb=INK)
    box(parts, (0, 0.4, 0.86), (0.16, 0.18, 0.06), round_=0.7, rgb=GOLD, steps=10)


def _cone(parts: Parts, rgb: RGB, seat: Seat) -> None:
    """A wizard's pointed hat with a wide brim and golden stars."""
    tube(
        parts,
        [(0, -0.02, 0), (0, 0.66, 0), (0.08, 1.25, -0.06), (0.36, 1.7, -0.1)],
        (0.86, 0.54, 0.24, 0.04),
        rgb=rgb,
        count=22,
        segments=24,
    )
    revolve(
        parts,
        smooth([(0.74, 0.06), (1.15, 0.0), (1.52, -0.1), (1.53, -0.15), (1.15, -0.06), (0.74, -0.02)], 14),
        rgb=rgb,
    )
    revolve(parts, smooth([(0.83, 0.2), (0.88, 0.12), (0.87, 0.02)], 6), rgb=GOLD)
    for x, y, z in (
        (0.2, 0.46, 0.6),
        (-0.28, 0.34, 0.66),
        (-0.06, 0.84, 0.42),
        (0.56, 0.34, 0.42),
        (-0.54, 0.56, 0.24),
    ):
        box(parts, (x, y, z), (0.08, 0.08, 0.05), round_=0.5, rgb=(250, 224, 110), steps=7, glow=True)


def _crown(parts: Parts, rgb: RGB, seat: Seat) -> None:
    """A golden crown with points and jewels."""
    angle = np.linspace(-np.pi, np.pi, 41)
    high = 0.34 + 0.2 * np.abs((np.arange(41) % 8) - 4) / 4
    foot = np.stack([0.78 * np.sin(angle), np.full(41, 0.08), 0.78 * np.cos(angle)], -1)
    tips = np.stack([0.86 * np.sin(angle), 0.1 + 1.15 * high, 0.86 * np.cos(angle)], -1)
    parts.sheet(np.stack([foot, tips, tips * (0.93, 1, 0.93), foot * (0.93, 1, 0.93)]), rgb=GOLD)
    for step in range(5):
        a = (step / 5) * 2 * np.pi
        box(
            parts,
            (0.82 * np.sin(a), 0.25, 0.82 * np.cos(a)),
            (0.09, 0.09, 0.09),
            round_=1.0,
            rgb=(CRIMSON, (40, 110, 220))[step % 2],
            steps=8,
        )


def _party(parts: Parts, rgb: RGB, seat: Seat) -> None:
    """A striped paper cone with a pompom."""
    heights = np.linspace(0, 1.0, 7)
    for index, (low, high) in enumerate(zip(heights[:-1], heights[1:], strict=True)):
        revolve(
            parts,
            [(0.6 * (1 - high), 0.26 + 1.1 * high), (0.6 * (1 - low), 0.26 + 1.1 * low)],
            rgb=rgb if index % 2 == 0 else WHITE,
            segments=28,
        )
    box(parts, (0, 1.38, 0), (0.18, 0.18, 0.18), round_=1.0, rgb=(250, 214, 60), steps=10)


def _glasses(parts: Parts, rgb: RGB, seat: Seat) -> None:
    """Round glasses before both eyes."""
    x, y, z = seat.eyes
    for way in (1, -1):
        _ring(parts, (way * x, y, z + 0.12), 0.3, 0.06, rgb)
        tube(
            parts,
            [(way * (x + 0.3), y + 0.04, z + 0.08), (way * 1.0, y + 0.1, 0.5 * z), (way * 1.02, y + 0.1, 0)],
            0.045,
            rgb=rgb,
            count=9,
            segments=7,
        )
    tube(
        parts,
        [(-x + 0.28, y + 0.06, z + 0.14), (0, y + 0.12, z + 0.2), (x - 0.28, y + 0.06, z + 0.14)],
        0.05,
        rgb=rgb,
        count=7,
        segments=7,
    )


def _ring(parts: Parts, middle: tuple[float, float, float], radius: float, thick: float, rgb: RGB) -> None:
    """A ring that faces the front."""
    angle = np.linspace(0, 2 * np.pi, 14)
    line = [(middle[0] + radius * np.cos(a), middle[1] + radius * np.sin(a), middle[2]) for a in angle]
    tube(parts, line, thick, rgb=rgb, count=30, segments=8)


GARMENTS: dict[str, Garment] = {
    garment.word: garment
    for garment in (
        Garment("hat", "wearing a {colour} hat", colours=True, build=_cap),
        Garment("santa hat", "wearing a santa hat", build=_santa),
        Garment("top hat", "wearing a black top hat and a monocle", build=_top_hat),
        Garment("party hat", "wearing a {colour} party hat", colours=True, build=_party),
        Garment("crown", "wearing a golden crown", build=_crown),
        Garment("glasses", "wearing {colour} glasses", colours=True, hat=False, build=_glasses),
        Garment("rainbow scarf", "wearing a rainbow scarf", hat=False),
        Garment("scarf", "wearing a {colour} scarf", colours=True, hat=False),
        Garment("shirt", "wearing a {colour} shirt", colours=True, hat=False, shirt="{colour}"),
        Garment("chef", "in a chef outfit", shirt="white", build=_toque),
        Garment("firefighter", "in a firefighter outfit", shirt="red", build=_helmet),
        Garment("police", "in a police outfit", shirt="navy", build=_police),
        Garment("wizard outfit", "in a {colour} wizard outfit", colours=True, shirt="{colour}", build=_cone),
    )
}


def shirt(worn: str | None, colour: str | None) -> str | None:
    """Returns: the colour word of the shirt that belongs to a garment, or None."""
    if worn is None:
        return None
    word = GARMENTS[worn].shirt
    return colour if word == "{colour}" else word


def dressed(worn: str, colour: str | None, seat: Seat) -> list[Piece]:
    """Builds a garment.

    Args:
        worn: One of `GARMENTS`.
        colour: Its colour word; None for those of one colour.
        seat: Where it is worn.

    Returns:
        Vertex tables and faces in the body's space.

    Raises:
        KeyError: The garment is unknown.
    """
    garment, rgb = GARMENTS[worn], shade(colour or "red")
    if worn in ("scarf", "rainbow scarf"):
        return [_scarf(seat, RAINBOW if worn == "rainbow scarf" else (rgb,))]
    if garment.build is None:
        return []
    parts, face = Parts(), Parts()
    garment.build(parts, rgb, seat)
    if worn == "top hat":
        _monocle(face, seat)
    lift = np.eye(4)
    if garment.hat:
        lift[:3, :3] = np.array([[1, 0, 0], [0, 0.985, -0.17], [0, 0.17, 0.985]])[:, :].T  # a little back on the head
        lift[:3, 3] = 0, seat.top - 0.42, -0.06
    pieces = [(parts.placed(), seat.head @ lift), (face.placed(), seat.head)]
    return [(moved(table, matrix), faces) for (table, faces), matrix in pieces if len(table)]


def _scarf(seat: Seat, tints: tuple[RGB, ...]) -> Piece:
    """A thick ring around the neck with two ends hanging at the throat, in one colour or in bands."""
    parts, ring = Parts(), seat.neck
    loop = smooth(np.concatenate([ring, ring[:1]]), 49)
    bands = 12 if len(tints) > 1 else 1
    for band in range(bands):
        piece = loop[band * 48 // bands : (band + 1) * 48 // bands + 1]
        tube(parts, piece, seat.thick, rgb=tints[band % len(tints)], count=max(5, len(piece)), segments=10)
    throat, middle = ring[len(ring) // 2], ring.mean(0)
    out = (throat - middle) / np.linalg.norm(throat - middle)
    aside = seat.head[:3, 0] / np.linalg.norm(seat.head[:3, 0])
    for way, length in ((1, 4.6), (-1, 3.4)):
        start = throat + 0.25 * seat.thick * out + way * 0.7 * seat.thick * aside
        fall = (
            np.array([0.0, -1.0, 0.0]) * length * seat.thick + out * 0.5 * seat.thick + way * 0.4 * seat.thick * aside
        )
        steps = len(tints)
        for band in range(steps):
            line = [start + fall * (band + share) / steps for share in (0.0, 0.5, 1.0)]
            tube(parts, line, 0.78 * seat.thick, rgb=tints[band], count=4, segments=10, flat=0.6)
    return parts.placed()
