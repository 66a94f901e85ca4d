"""What people wear: glasses, hats and the edges of clothes, built around the one who wears them.

Everything is built on the person at rest (decimetres, y up, facing +z) and turned with the head or chest afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toybox.world.makers.mesh import smooth

GLASSES = ("round", "square", "oval", "cat-eye")
HATS = ("beanie", "cap", "sun hat")
NECKS = {"t-shirt": 0.0, "sweater": 0.0, "turtleneck": 2.0, "shirt": 1.0, "hoodie": 0.0}


@dataclass(frozen=True)
class Surface:
    """A piece: (n, 3) positions, (k, 3) triangles, and whether it is see-through."""

    points: np.ndarray
    faces: np.ndarray
    clear: bool = False


@dataclass(frozen=True)
class Dome:
    """The upper head as an ellipsoid, tilted back a little: what hats are built around.

    Attributes:
        middle: (3,) its centre.
        half: (3,) its half sizes.
        lean: Degrees that its upright axis leans back.
    """

    middle: np.ndarray
    half: np.ndarray
    lean: float = -9.0

    def out(self, unit: np.ndarray) -> np.ndarray:
        """Gives points of the ellipsoid from (..., 3) points of the unit ball."""
        a = np.deg2rad(self.lean)
        turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        return (unit * self.half) @ turn.T + self.middle

    def into(self, points: np.ndarray) -> np.ndarray:
        """Gives points of the unit ball from (..., 3) points."""
        a = np.deg2rad(self.lean)
        turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        return ((points - self.middle) @ turn) / self.half


def grid(points: np.ndarray) -> Surface:
    """Makes a surface from a (n, m, 3) grid of points."""
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    faces = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    return Surface(points.reshape(-1, 3).astype(np.float32), faces)


def sweep(line: np.ndarray, radius: float | np.ndarray, *, flat: float = 1.0, segments: int = 10) -> Surface:
    """Makes a tube along (n, 3) points; `flat` squeezes it along y."""
    along = np.gradient(line, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    up = np.where(np.abs(along[:, 1:2]) > 0.95, [[0.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]])
    side = np.cross(along, up)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(side, along)
    angle = np.linspace(0, 2 * np.pi, segments + 1)[None, :, None]
    radii = np.broadcast_to(np.asarray(radius, float), (len(line),))[:, None, None]
    return grid(line[:, None] + radii * (np.cos(angle) * side[:, None] + np.sin(angle) * flat * other[:, None]))


def _rim(kind: str, width: float, height: float, side: int) -> np.ndarray:
    """Gives the outline of one glass around its middle, (n, 2)."""
    t = np.linspace(0, 2 * np.pi, 41)
    x, y = np.cos(t), np.sin(t)
    power = {"round": 1.0, "oval": 1.0, "square": 0.55, "cat-eye": 0.75}[kind]
    x, y = np.sign(x) * np.abs(x) ** power * width, np.sign(y) * np.abs(y) ** power * height
    if kind == "cat-eye":
        y = y + 0.10 * height + 0.55 * height * np.clip(side * x / width, 0, 1) ** 2 * (y > -0.3 * height)
    return np.stack([x, y], -1)


def glasses(kind: str, eyes: np.ndarray, *, bridge: np.ndarray, ears: np.ndarray) -> list[Surface]:
    """Builds glasses.

    Args:
        kind: One of `GLASSES`.
        eyes: (2, 3) fronts of the eyeballs, the picture's left one first.
        bridge: (3,) a point on the ridge of the nose, at the height of the eyes.
        ears: (2, 3) where the temples rest, in the same order.

    Returns:
        Frame and temples, then the two glasses.
    """
    width, height = {"round": (0.245, 0.235), "oval": (0.27, 0.185), "square": (0.275, 0.20), "cat-eye": (0.27, 0.19)}[
        kind
    ]
    front = max(float(eyes[:, 2].max()) + 0.10, float(bridge[2]) + 0.015)
    frame: list[Surface] = []
    clear: list[Surface] = []
    for side, eye, ear in zip((-1, 1), eyes, ears, strict=True):
        flat = _rim(kind, width, height, side)
        middle = np.array([eye[0] + 0.015 * side, eye[1] - 0.02, front])
        depth = -0.16 * (np.abs(flat[:, 0] + middle[0]) / 0.6) ** 2
        rim = middle + np.stack([flat[:, 0], flat[:, 1], depth], -1)
        frame.append(sweep(rim, 0.024, segments=8))
        clear.append(grid(np.stack([rim, np.broadcast_to(rim.mean(0) + [0, 0, 0.03], rim.shape)])))
        hinge = rim[np.argmax(side * rim[:, 0])] + [0, 0.03, 0]
        path = np.stack(
            [
                hinge,
                [hinge[0] + 0.05 * side, hinge[1], hinge[2] - 0.30],
                [0.94 * ear[0], ear[1] + 0.06, ear[2]],
                ear * [0.94, 1, 1] - [0, 0.12, 0.08],
            ]
        )
        frame.append(sweep(smooth(path, 20), 0.020, segments=6))
    left, right = frame[0].points[:, 0].max(), frame[2].points[:, 0].min()
    high = float(eyes[:, 1].mean()) + 0.03
    arch = [[left - 0.02, high, front], [(left + right) / 2, high + 0.045, front + 0.02], [right + 0.02, high, front]]
    frame.append(sweep(smooth(np.array(arch), 9), 0.022, segments=6))
    return [*frame, *(Surface(piece.points, piece.faces, clear=True) for piece in clear)]


def hat(kind: str, dome: Dome) -> list[Surface]:
    """Builds a hat.

    Args:
        kind: One of `HATS`.
        dome: The head it sits on.

    Returns:
        Its pieces.
    """
    t = np.linspace(0, 2 * np.pi, 49)
    start = {"beanie": -0.02, "cap": 0.10, "sun hat": 0.12}[kind]
    rise = np.linspace(start, np.pi / 2, 18)[:, None]
    swell = 1.0 + (0.05 if kind == "beanie" else 0.0) * np.sin(np.clip(rise / 1.2, 0, 1) * np.pi)
    tall = 1.12 if kind == "beanie" else 1.0
    ball = np.stack(
        [np.cos(rise) * np.sin(t), np.broadcast_to(np.sin(rise) * tall, (18, 49)), np.cos(rise) * np.cos(t)], -1
    )
    pieces = [grid(dome.out(ball * swell[..., None])[:, ::-1])]
    if kind == "beanie":
        low = np.linspace(-0.10, 0.22, 7)[:, None]
        thick = 1.0 + 0.075 * np.sin(np.linspace(0, np.pi, 7))[:, None]
        ring = np.stack(
            [np.cos(low) * np.sin(t) * thick, np.sin(low) * np.ones_like(t), np.cos(low) * np.cos(t) * thick], -1
        )
        pieces.append(grid(dome.out(ring)[:, ::-1]))
    if kind == "cap":
        turn = np.linspace(-1.05, 1.05, 25)
        reach = np.linspace(0, 1, 8)[:, None]
        far = reach * (0.78 * np.cos(turn * 1.2) ** 0.5)
        visor = np.stack(
            [
                np.sin(turn) * (1.0 + 0.15 * reach),
                0.10 - 0.10 * reach**1.5 - 0.10 * np.sin(turn) ** 2 * reach,
                np.cos(turn) + far,
            ],
            -1,
        )
        pieces.append(grid(dome.out(visor)[:, ::-1]))
    if kind == "sun hat":
        reach = np.linspace(0, 1, 8)[:, None]
        ring = 1.0 + 0.62 * reach
        brim = np.stack([ring * np.sin(t), 0.12 - 0.16 * reach**2 + 0 * t, ring * np.cos(t)], -1)
        pieces.append(grid(dome.out(brim)[:, ::-1]))
        band = np.linspace(0.13, 0.34, 4)[:, None]
        ribbon = 1.025 * np.stack([np.cos(band) * np.sin(t), np.sin(band) + 0 * t, np.cos(band) * np.cos(t)], -1)
        pieces.append(grid(dome.out(ribbon)[:, ::-1]))
    return pieces


def opening(points: np.ndarray, faces: np.ndarray, *, level: np.ndarray, count: int = 64) -> np.ndarray:
    """Finds where a surface crosses a level, as a closed line around the neck.

    Args:
        points: (n, 3) vertices.
        faces: (k, 3) triangles.
        level: (n,) signed distance from the cut.
        count: Points wanted.

    Returns:
        (count + 1, 3) points in order of their angle about the upright axis; the first comes again at the end.
    """
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1), axis=0)
    a, b = edges[level[edges[:, 0]] * level[edges[:, 1]] < 0].T
    share = (level[a] / (level[a] - level[b]))[:, None]
    crossing = points[a] + share * (points[b] - points[a])
    middle = np.median(crossing, axis=0)
    angle = np.arctan2(crossing[:, 0] - middle[0], crossing[:, 2] - middle[2])
    order = np.argsort(angle)
    wanted = np.linspace(-np.pi, np.pi, count + 1)
    ring = np.stack([np.interp(wanted, angle[order], crossing[order, axis], period=2 * np.pi) for axis in range(3)], 1)
    padded = np.concatenate([ring[-4:-1], ring, ring[1:4]])
    return np.stack([np.convolve(padded[:, axis], np.full(7, 1 / 7), "valid") for axis in range(3)], 1)


def collar(kind: str, ring: np.ndarray) -> list[Surface]:
    """Builds the edge of a garment on its opening.

    Args:
        kind: One of `NECKS`.
        ring: (n, 3) line around the neck, as `opening` gives it.

    Returns:
        Its pieces.
    """
    if kind == "shirt":
        return _flaps(ring)
    if kind == "hoodie":
        back = 0.5 - 0.5 * np.cos(np.arctan2(ring[:, 0], ring[:, 2] - ring[:, 2].mean()))
        away = ring - ring.mean(0)
        away[:, 1] = 0
        return [sweep(ring + 0.28 * away * back[:, None] + [0, 0.05, 0], 0.10 + 0.22 * back, flat=0.8, segments=12)]
    thick = {"t-shirt": 0.035, "sweater": 0.065, "turtleneck": 0.10}[kind]
    return [sweep(ring, thick, flat=1.0 if kind == "t-shirt" else 1.5)]


def _flaps(ring: np.ndarray) -> list[Surface]:
    """Builds the two flaps of a shirt's collar, open at the front."""
    middle = ring.mean(0)
    angle = np.arctan2(ring[:, 0] - middle[0], ring[:, 2] - middle[2])
    pieces = []
    for side in (-1, 1):
        half = ring[np.argsort(side * angle)]
        half = half[np.sort(side * angle) > 0.10]
        t = np.linspace(0, 1, len(half))[:, None]  # 0 at the front, 1 at the back
        away = half - middle
        away[:, 1] = 0
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        top = half + away * 0.02 + [0, 0.20, 0] * (0.35 + 0.65 * t)
        edge = half + away * (0.17 + 0.05 * t) - np.array([0, 0.30, 0]) * (1 - t) ** 2 - [0, 0.10, 0]
        edge[:, 2] += 0.16 * (1 - t[:, 0]) ** 2
        inner = half - away * 0.02 - [0, 0.05, 0]
        pieces.append(grid(np.stack([inner, top, top * 0.5 + edge * 0.5 + away * 0.02, edge])))
    return pieces


def inside(dome: Dome, points: np.ndarray, *, share: float, above: float) -> np.ndarray:
    """Presses points under a hat.

    Args:
        dome: The hat's.
        points: (n, 3) positions.
        share: Where they may reach, as a share of the dome.
        above: Only what lies higher than this in the dome's unit ball is pressed.

    Returns:
        (n, 3) positions.
    """
    unit = dome.into(points)
    far = np.linalg.norm(unit, axis=1, keepdims=True)
    strength = np.clip((unit[:, 1:2] - above) / 0.10, 0, 1)
    pressed = unit * np.minimum(1.0, share / np.maximum(far, 1e-6))
    return dome.out(unit + strength * (pressed - unit)).astype(np.float32)


def joined(surfaces: Sequence[Surface]) -> Surface:
    """Joins surfaces into one."""
    starts = np.cumsum([0, *[len(piece.points) for piece in surfaces[:-1]]])
    return Surface(
        np.concatenate([piece.points for piece in surfaces]),
        np.concatenate([piece.faces + start for piece, start in zip(surfaces, starts, strict=True)]),
    )
