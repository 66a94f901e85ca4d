"""Meshes from numpy: surfaces of revolution, rounded boxes, tubes and lofts, gathered in one vertex table.

Axes: x to the right, y up, z towards the viewer, so that the front of a thing faces +z. Texture coordinates run once
around a thing (u = 0.5 is the middle of its front) and from its top (v = 0) to its foot (v = 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from toybox.world.colours import RGB

COLUMNS = 12  # position 3, normal 3, texture 2, plain color 3, finish 1
PLAIN, PAINTED, GLOWING = 0.0, 1.0, 2.0
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Solid:
    """A finished mesh.

    Attributes:
        table: (n, 12) float32, one row a vertex.
        faces: (k, 3) int32, corners of the triangles.
        closed: (k,) whether a triangle belongs to a closed part, whose back never shows.
    """

    table: np.ndarray
    faces: np.ndarray
    closed: np.ndarray

    def facing(self, flat: np.ndarray) -> np.ndarray:
        """Picks the triangles that can show.

        Args:
            flat: (n, 2) vertices as seen, y up.

        Returns:
            (m, 3) triangles: all open ones, and closed ones that face the viewer.
        """
        a, b, c = (flat[self.faces[:, corner]] for corner in range(3))
        one, two = b - a, c - a
        return self.faces[~self.closed | (one[:, 0] * two[:, 1] > one[:, 1] * two[:, 0])]


class Mesh:
    """Parts gathered for one drawing."""

    def __init__(self) -> None:
        """Starts without parts."""
        self._tables: list[np.ndarray] = []
        self._faces: list[np.ndarray] = []
        self._closed: list[np.ndarray] = []
        self._count = 0

    def sheet(
        self,
        points: np.ndarray,
        *,
        rgb: RGB = (255, 255, 255),
        uv: np.ndarray | None = None,
        glow: bool = False,
        closed: bool = False,
    ) -> None:
        """Adds a surface given as a grid of points.

        Args:
            points: (n, m, 3) positions; neighbors in the grid are neighbors on the surface.
            rgb: Plain color, used where there is no texture.
            uv: (n, m, 2) texture coordinates; with them the surface is painted.
            glow: Whether it shines by itself (a flame).
            closed: Whether it encloses a body, columns running so that triangles turn outwards.
        """
        rows, columns = points.shape[:2]
        table = np.empty((rows, columns, COLUMNS), np.float32)
        table[..., :3] = points
        table[..., 3:6] = _normals(points)
        table[..., 6:8] = 0 if uv is None else uv
        table[..., 8:11] = np.asarray(rgb, np.float32) / 255
        table[..., 11] = GLOWING if glow else PLAIN if uv is None else PAINTED
        self._tables.append(table.reshape(-1, COLUMNS))
        faces = _grid_faces(rows, columns)
        self._faces.append(faces + self._count)
        self._closed.append(np.full(len(faces), closed))
        self._count += rows * columns

    def solid(self) -> Solid:
        """Returns: all parts in one, its middle at the origin."""
        table = np.concatenate(self._tables)
        positions = table[:, :3]
        positions -= (positions.min(0) + positions.max(0)) / 2
        return Solid(table, np.concatenate(self._faces), np.concatenate(self._closed))


@lru_cache(maxsize=64)
def _grid_faces(rows: int, columns: int) -> np.ndarray:
    """Splits each cell of a grid into two triangles."""
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    return np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])


def _normals(points: np.ndarray) -> np.ndarray:
    """Computes smooth normals from differences along both directions; closed grids are joined."""
    p = points.astype(np.float32)
    down, across = np.empty_like(p), np.empty_like(p)
    down[1:-1], down[0], down[-1] = p[2:] - p[:-2], p[1] - p[0], p[-1] - p[-2]
    across[:, 1:-1], across[:, 0], across[:, -1] = p[:, 2:] - p[:, :-2], p[:, 1] - p[:, 0], p[:, -1] - p[:, -2]
    if np.abs(p[:, 0] - p[:, -1]).max() < 1e-5 and p.shape[1] > 3:
        across[:, 0] = across[:, -1] = p[:, 1] - p[:, -2]
    normal = np.empty_like(p)
    for axis in range(3):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        normal[..., axis] = down[..., one] * across[..., two] - down[..., two] * across[..., one]
    length = np.sqrt((normal * normal).sum(-1, keepdims=True))
    for edge, inner in ((0, 1), (-1, -2)):  # poles have no area of their own
        if length[edge].min() < 1e-9:
            normal[edge] = np.where(length[edge] < 1e-9, normal[inner].mean(0), normal[edge])
    return normal / np.maximum(np.sqrt((normal * normal).sum(-1, keepdims=True)), 1e-9)


def smooth(points: Points, count: int) -> np.ndarray:
    """Lays a smooth curve (Catmull-Rom) through points.

    Args:
        points: (k, d) points.
        count: Number of points wanted.

    Returns:
        (count, d) points from the first to the last.
    """
    p = np.asarray(points, np.float64)
    padded = np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    place = np.linspace(0, len(p) - 1 - 1e-9, count)
    start = place.astype(int)
    t = (place - start)[:, None]
    a, b, c, d = (padded[start + shift] for shift in range(4))
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def revolve(
    mesh: Mesh,
    profile: Points | np.ndarray,
    *,
    rgb: RGB = (255, 255, 255),
    painted: tuple[float, float] | None = None,
    centre: tuple[float, float, float] = (0, 0, 0),
    segments: int = 36,
    glow: bool = False,
    axis: str = "y",
) -> None:
    """Adds a surface of revolution.

    Args:
        mesh: Where to add it.
        profile: (radius, height) points along one smooth stretch; sharp edges are separate calls.
        rgb: Plain color.
        painted: (top, foot) heights that the texture spans; None for a plain surface.
        centre: Where the axis starts.
        segments: Steps around.
        glow: Whether it shines.
        axis: "y" for upright, "z" for an axis towards the viewer (wheels, clocks).
    """
    line = np.asarray(profile, np.float64)
    angle = np.linspace(-np.pi, np.pi, segments + 1)
    radius, height = line[:, :1], np.broadcast_to(line[:, 1:], (len(line), segments + 1))
    x, z = radius * np.sin(angle), radius * np.cos(angle)
    points = np.stack([x, height, z] if axis == "y" else [x, z, height], -1) + np.asarray(centre)
    uv = None
    if painted is not None:
        v = np.broadcast_to((painted[0] - line[:, 1:]) / (painted[0] - painted[1]), x.shape)
        uv = np.stack([np.broadcast_to(0.5 + angle / (2 * np.pi), x.shape), v], -1)
    mesh.sheet(points, rgb=rgb, uv=uv, glow=glow)


def front_uv(points: np.ndarray, centre: Sequence[float], half: Sequence[float]) -> np.ndarray:
    """Projects a texture from the front: its middle half covers the front, its outer quarters the back.

    Args:
        points: (..., 3) positions.
        centre: Middle of the painted box.
        half: Its half sizes.

    Returns:
        (..., 2) texture coordinates.
    """
    x = np.clip((points[..., 0] - centre[0]) / (4 * half[0]), -0.25, 0.25)
    front = points[..., 2] >= centre[2]
    u = np.where(front, 0.5 + x, np.where(x > 0, 1 - x, -x))
    return np.stack([u, (centre[1] + half[1] - points[..., 1]) / (2 * half[1])], -1)


def box(
    mesh: Mesh,
    centre: Sequence[float],
    half: Sequence[float],
    *,
    round_: float = 0.4,
    rgb: RGB = (255, 255, 255),
    painted: bool = False,
    steps: int = 18,
    glow: bool = False,
) -> None:
    """Adds a rounded box (superellipsoid); `round_` 1 is an ellipsoid, 0.2 nearly a box."""

    def power(value: np.ndarray) -> np.ndarray:
        return np.sign(value) * np.abs(value) ** round_

    up = np.linspace(-np.pi / 2, np.pi / 2, steps)[:, None]
    around = np.linspace(-np.pi, np.pi, 2 * steps + 1)[None, :]
    ring = power(np.cos(up))
    unit = np.stack(
        [
            ring * power(np.sin(around)),
            np.broadcast_to(power(np.sin(up)), (steps, 2 * steps + 1)),
            ring * power(np.cos(around)),
        ],
        -1,
    )
    points = unit * np.asarray(half) + np.asarray(centre)
    mesh.sheet(points, rgb=rgb, uv=front_uv(points, centre, half) if painted else None, glow=glow, closed=True)


def tube(
    mesh: Mesh,
    path: Sequence[Sequence[float]],
    radius: float | Sequence[float],
    *,
    rgb: RGB,
    count: int = 18,
    flat: float = 1.0,
    segments: int = 12,
) -> None:
    """Adds a bent tube along a smooth path; radii may change along it, `flat` squeezes it across the path's plane."""
    line = smooth(path, count)
    radii = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, np.size(radius)), np.atleast_1d(radius))[
        :, None, None
    ]
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    guide = np.cross(line[-1] - line[0], line[count // 2] - line[0])
    if np.linalg.norm(guide) < 1e-6:
        guide = np.array([0.0, 0.0, 1.0]) if abs(along[0, 2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    side = np.cross(along, guide / np.linalg.norm(guide))
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    other = np.cross(along, side) * flat
    angle = np.linspace(0, 2 * np.pi, segments + 1)[None, :, None]
    mesh.sheet(
        line[:, None] + radii * (np.cos(angle) * side[:, None] + np.sin(angle) * other[:, None]), rgb=rgb, closed=True
    )


def loft(
    mesh: Mesh,
    stations: Sequence[Sequence[float]],
    *,
    rgb: RGB = (255, 255, 255),
    painted: bool = False,
    square: float = 0.7,
    count: int = 26,
    segments: int = 28,
) -> None:
    """Adds a body through cross sections along x.

    Args:
        mesh: Where to add it.
        stations: (x, foot, top, half width) of each section.
        rgb: Plain color.
        painted: Whether the texture is projected onto its side.
        square: Exponent of the sections: 1 round, smaller is boxier.
        count: Sections drawn.
        segments: Points around a section.
    """
    curve = smooth(stations, count)
    x, foot, top, wide = (curve[:, column, None] for column in range(4))
    angle = np.linspace(-np.pi, np.pi, segments + 1)[None]
    up, out = np.cos(angle), np.sin(angle)
    y = (foot + top) / 2 + (top - foot) / 2 * np.sign(up) * np.abs(up) ** square
    z = wide * np.sign(out) * np.abs(out) ** square
    points = np.stack([np.broadcast_to(x, y.shape), y, z], -1)
    ends = points.mean(1, keepdims=True)
    closed = np.concatenate(
        [np.broadcast_to(ends[:1], points[:1].shape), points, np.broadcast_to(ends[-1:], points[-1:].shape)]
    )
    low, high = closed.reshape(-1, 3).min(0), closed.reshape(-1, 3).max(0)
    uv = front_uv(closed, (low + high) / 2, (high - low) / 2) if painted else None
    mesh.sheet(closed, rgb=rgb, uv=uv, closed=True)
