"""Eyes, nose, mouth, whiskers and collar of a creature, set on its skin."""

import numpy as np

from toybox.world.colours import RGB, shade
from toybox.world.description import Thing
from toybox.world.figures.blobs import Body
from toybox.world.figures.creatures import SPECIES, coat
from toybox.world.figures.gaits import Gait
from toybox.world.figures.surface import Parts, moved
from toybox.world.makers.mesh import box, tube

INK, WHITE, TONGUE, MOUTH = (38, 30, 34), (255, 255, 255), (246, 116, 128), (120, 36, 44)
_WARM = (196, 132, 66)  # iris on a dark coat, where a dark eye would not show
Piece = tuple[np.ndarray, np.ndarray]


def frame(point: np.ndarray, normal: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Makes the matrix of a seat on the skin: z outwards, y as near to `up` as can be.

    Args:
        point: (3,) where.
        normal: (3,) outward direction.
        up: (3,).

    Returns:
        (4, 4).
    """
    side = np.cross(up, normal)
    side /= np.linalg.norm(side)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([side, np.cross(normal, side), normal], 1)
    matrix[:3, 3] = point
    return matrix


def face(thing: Thing, body: Body, gait: Gait) -> list[Piece]:
    """Makes the face of a creature.

    Args:
        thing: The creature.
        body: Its posed body.
        gait: Says whether it sleeps and whether its mouth is open.

    Returns:
        Vertex tables and faces.
    """
    return [*_eyes(thing, body, gait.asleep), *_snout(thing, body, gait.happy), *_inner_ears(thing, body)]


def _on_head(
    thing: Thing, body: Body, spots: list[tuple[float, float, float]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds where rays from spots in front of the head, given in head radii, meet the skin."""
    head, matrix = thing.trait("head"), body.bones["head"]
    outside = np.array([(x, y, z) for x, y, z in spots]) * head
    inside = outside * (0.85, 0.85, 0)
    points, slopes = body.touch(outside @ matrix[:3, :3].T + matrix[:3, 3], inside @ matrix[:3, :3].T + matrix[:3, 3])
    return points, slopes, matrix[:3, 1]


def _eyes(thing: Thing, body: Body, asleep: bool) -> list[Piece]:
    """Two eyes: dark and glossy, with an iris where the species has one, closed when asleep."""
    head, iris = thing.trait("head"), SPECIES[thing.class_noun].eyes
    points, slopes, up = _on_head(thing, body, [(way * 0.42, 0.12, 2.2) for way in (1, -1)])
    pieces = []
    for way, point, slope in zip((1, -1), points, slopes, strict=True):
        eye, r = Parts(), (0.18 if iris else 0.165) * head
        if asleep:
            arc = [(-r, 0.25 * r, -0.1 * r), (0, -0.45 * r, 0.12 * r), (r, 0.25 * r, -0.1 * r)]
            tube(eye, arc, 0.2 * r, rgb=INK, count=9, segments=7)
        else:
            shown = iris[thing.trait("eye")] if iris else _WARM if sum(coat(thing)[0]) < 0.95 else None
            _open_eye(eye, r, shown, way)
        pieces.append(_seated(eye, frame(point, slope, up)))
    return pieces


def _open_eye(eye: Parts, r: float, iris: RGB | None, way: int) -> None:
    """One open eye, its pupil, and the light in it."""
    if iris:
        box(eye, (0, 0, 0), (1.1 * r, 1.2 * r, 0.42 * r), round_=1.0, rgb=INK, steps=9)
        box(eye, (0, 0, 0.12 * r), (0.98 * r, 1.08 * r, 0.42 * r), round_=1.0, rgb=iris, steps=9)
        box(eye, (-way * 0.08 * r, 0, 0.28 * r), (0.5 * r, 0.82 * r, 0.36 * r), round_=1.0, rgb=INK, steps=9)
    else:
        box(eye, (0, 0, 0), (0.95 * r, 1.15 * r, 0.45 * r), round_=1.0, rgb=INK, steps=9)
    box(eye, (0.3 * r, 0.42 * r, 0.52 * r), (0.27 * r, 0.3 * r, 0.16 * r), round_=1.0, rgb=WHITE, steps=6, glow=True)
    box(
        eye,
        (-0.3 * r, -0.4 * r, 0.5 * r),
        (0.14 * r, 0.15 * r, 0.1 * r),
        round_=1.0,
        rgb=(214, 220, 232),
        steps=6,
        glow=True,
    )


def _snout(thing: Thing, body: Body, happy: bool) -> list[Piece]:
    """Nose, mouth and whiskers."""
    species, head = SPECIES[thing.class_noun], thing.trait("head")
    out = thing.trait("muzzle") / head
    low = -0.3 if out < 0.25 else -0.27
    wide = 0.2 if out < 0.25 else 0.24
    front = 2.4 + out
    spots = [(0, low + 0.13, front), (0, low - 0.14, front)]
    spots += [(way * wide * share, low - drop, front) for way in (1, -1) for share, drop in ((0.55, 0.24), (1.1, 0.14))]
    points, slopes, up = _on_head(thing, body, spots)
    size = (0.1 if out < 0.25 else 0.145) * head
    nose = Parts()
    box(nose, (0, 0, 0), (1.1 * size, 0.8 * size, 0.6 * size), round_=0.85, rgb=species.nose, steps=9)
    box(
        nose,
        (0.05 * size, 0.4 * size, 0.48 * size),
        (0.4 * size, 0.14 * size, 0.1 * size),
        round_=1.0,
        rgb=WHITE,
        steps=7,
        glow=True,
    )
    pieces = [_seated(nose, frame(points[0], slopes[0], up))]
    lips = Parts()
    for near, far in ((2, 3), (4, 5)):
        tube(lips, [points[1], points[near], points[far]], 0.026 * head, rgb=INK, count=8, segments=6)
    if happy:
        under = (points[2] + points[4]) / 2
        tongue = Parts()
        box(tongue, (0, -0.11 * head, 0), (0.12 * head, 0.16 * head, 0.05 * head), round_=0.9, rgb=TONGUE, steps=8)
        box(
            tongue,
            (0, -0.02 * head, -0.03 * head),
            (0.16 * head, 0.09 * head, 0.07 * head),
            round_=0.9,
            rgb=MOUTH,
            steps=9,
        )
        pieces.append(_seated(tongue, frame(under, body.bones["head"][:3, 2], up)))
    if species.whiskers:
        _whiskers(lips, body, head)
    return [*pieces, lips.placed()]


def _whiskers(lips: Parts, body: Body, head: float) -> None:
    """Three thin whiskers on each side."""
    matrix = body.bones["head"]
    for way in (1, -1):
        for slant in (-0.14, 0.0, 0.14):
            line = (
                np.array(
                    [
                        (way * 0.34, -0.3 + 0.4 * slant, 0.86),
                        (way * 0.7, -0.3 + slant, 0.92),
                        (way * 1.02, -0.34 + 1.6 * slant, 0.84),
                    ]
                )
                * head
            )
            tube(
                lips,
                line @ matrix[:3, :3].T + matrix[:3, 3],
                (0.014 * head, 0.006 * head),
                rgb=(250, 246, 240),
                count=6,
                segments=5,
            )


def _inner_ears(thing: Thing, body: Body) -> list[Piece]:
    """The pink or dark inside of upright ears."""
    shape, e = thing.trait("ears"), thing.trait("head") * thing.trait("ear")
    if shape == "floppy":
        return []
    dark = thing.class_noun in ("dog", "fox", "bear")
    tint = (96, 62, 58) if dark else (246, 172, 176)
    pieces = []
    for side, way in (("l", 1), ("r", -1)):
        inside = Parts()
        if shape == "pointed":
            tube(
                inside,
                [
                    (way * 0.03 * e, 0.06 * e, 0.16 * e),
                    (way * 0.1 * e, 0.3 * e, 0.13 * e),
                    (way * 0.17 * e, 0.56 * e, 0.055 * e),
                ],
                (0.19 * e, 0.13 * e, 0.02 * e),
                rgb=tint,
                count=10,
                flat=0.4,
            )
        elif shape == "round":
            box(
                inside,
                (way * 0.04 * e, 0.16 * e, 0.14 * e),
                (0.2 * e, 0.2 * e, 0.08 * e),
                round_=1.0,
                rgb=tint,
                steps=8,
            )
        else:
            tube(
                inside,
                [
                    (way * 0.05 * e, 0.2 * e, 0.06 * e),
                    (way * 0.13 * e, 0.8 * e, 0.06 * e),
                    (way * 0.21 * e, 1.36 * e, 0.02 * e),
                ],
                (0.1 * e, 0.12 * e, 0.07 * e),
                rgb=tint,
                count=10,
                flat=0.5,
            )
        table, faces = inside.placed()
        pieces.append((moved(table, body.bones[f"ear.{side}"]), faces))
    return pieces


def collar(thing: Thing, body: Body) -> list[Piece]:
    """Makes the collar of a creature that has one: a band around its neck with a golden tag."""
    word = thing.trait("collar")
    if word is None:
        return []
    ring, middle, along = neckline(body)
    band = Parts()
    tube(band, [*ring, ring[0]], 0.1 * thing.trait("width"), rgb=shade(word), count=24, segments=7)
    front = ring[len(ring) // 2]
    box(
        band,
        tuple(front - 0.14 * thing.trait("width") * along),
        (0.05, 0.06, 0.05),
        round_=0.9,
        rgb=(240, 190, 60),
        steps=9,
    )
    return [band.placed()]


def neckline(body: Body, share: float = 0.42, count: int = 14) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Finds a ring on the skin around the neck.

    Args:
        body: A creature's posed body.
        share: Where between the chest (0) and the head (1).
        count: Points of the ring; the one in the middle of the list is at the throat.

    Returns:
        (count, 3) points, the ring's middle and the direction towards the head.
    """
    low, high = body.bones["neck"][:3, 3], body.bones["head"][:3, 3]
    middle, along = low + share * (high - low), (high - low) / np.linalg.norm(high - low)
    side = body.bones["neck"][:3, 0]
    front = np.cross(side, along)
    angle = np.linspace(-np.pi, np.pi, count, endpoint=False)[:, None]
    ways = np.sin(angle) * side + np.cos(angle) * front
    points, _ = body.touch(middle + 0.62 * ways, np.broadcast_to(middle, ways.shape))
    reach = np.linalg.norm(points - middle, axis=1, keepdims=True)
    return middle + ways * np.minimum(reach, 1.25 * np.median(reach)), middle, along


def _seated(parts: Parts, matrix: np.ndarray) -> Piece:
    table, faces = parts.placed()
    return moved(table, matrix), faces
