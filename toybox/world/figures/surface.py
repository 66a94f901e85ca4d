"""What is drawn: triangles with colours, the places that markings refer to, and how a surface shines."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from toybox.world.makers.mesh import Mesh

COLUMNS = 16  # position 3, normal 3, texture 2, plain colour 3, finish 1, place at rest 3, openness to light 1
PLAIN, TEXTURED, GLOWING, MARKED = 0.0, 1.0, 2.0, 3.0
MARKS = 24
Finish = Literal["natural", "shiny", "wet"]
FINISHES: tuple[Finish, ...] = ("natural", "shiny", "wet")


@dataclass(frozen=True)
class Mark:
    """A patch of colour on a marked surface: an ellipsoid in the space of the rest pose.

    Attributes:
        centre: Its middle.
        radii: Its half axes.
        rgb: Its colour, each channel in 0..1.
        soft: Width of its edge as a share of its size.
        ragged: How uneven its edge is, as a share of its size.
        boxy: Whether it is nearly a box instead of an ellipsoid.
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    rgb: tuple[float, float, float]
    soft: float = 0.12
    ragged: float = 0.0
    boxy: bool = False


@dataclass(frozen=True)
class Stripes:
    """Bands across a marked surface.

    Attributes:
        direction: Along which they follow each other; its length is their number in one unit.
        rgb: Their colour, each channel in 0..1.
        share: How much of the surface they take, in 0..1; 0 is none.
        above: Height in the rest pose under which they fade out.
        behind: Depth in the rest pose before which they fade out (the face).
    """

    direction: tuple[float, float, float] = (0.0, 0.0, 1.0)
    rgb: tuple[float, float, float] = (0.0, 0.0, 0.0)
    share: float = 0.0
    above: float = 0.0
    behind: float = 9.0


@dataclass(frozen=True)
class Surface:
    """A posed body, ready to be drawn.

    Attributes:
        table: (n, 16) float32, one row a vertex.
        faces: (k, 3) int32, corners of the triangles.
        marks: Patches on the marked part, later ones above earlier ones.
        stripes: Bands on the marked part.
        gloss: Strength of the highlight, in 0..1.
    """

    table: np.ndarray
    faces: np.ndarray
    marks: tuple[Mark, ...] = ()
    stripes: Stripes = Stripes()
    gloss: float = 0.35


def rows(
    position: np.ndarray,
    normal: np.ndarray,
    *,
    uv: np.ndarray | None = None,
    rgb: np.ndarray | Sequence[float] = (1.0, 1.0, 1.0),
    finish: float = PLAIN,
) -> np.ndarray:
    """Makes a vertex table.

    Args:
        position: (n, 3).
        normal: (n, 3), of unit length.
        uv: (n, 2) texture coordinates, v = 0 at the first row of the texture.
        rgb: One colour or (n, 3), each channel in 0..1.
        finish: PLAIN, TEXTURED, GLOWING or MARKED.

    Returns:
        (n, 16) float32; the place at rest is the position itself, and nothing keeps the light away.
    """
    table = np.zeros((len(position), COLUMNS), np.float32)
    table[:, :3], table[:, 3:6] = position, normal
    if uv is not None:
        table[:, 6:8] = uv
    table[:, 8:11], table[:, 11] = rgb, finish
    table[:, 12:15], table[:, 15] = position, 1.0
    return table


class Parts(Mesh):
    """Parts gathered with the tools of the makers (sheets, tubes, rounded boxes) and left where they were put."""

    def placed(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns: the vertex table (n, 16) and the faces of all parts; empty ones where nothing was gathered."""
        if not self._tables:
            return np.zeros((0, COLUMNS), np.float32), np.zeros((0, 3), np.int32)
        gathered = np.concatenate(self._tables)
        table = np.zeros((len(gathered), COLUMNS), np.float32)
        table[:, :12], table[:, 12:15], table[:, 15] = gathered, gathered[:, :3], 1.0
        return table, np.concatenate(self._faces)


def merged(pieces: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Puts vertex tables and their faces together.

    Args:
        pieces: Tables and faces.

    Returns:
        One table and its faces.
    """
    starts = np.cumsum([0, *(len(table) for table, _ in pieces)])
    faces = [faces + start for (_, faces), start in zip(pieces, starts[:-1], strict=True)]
    return np.concatenate([table for table, _ in pieces]).astype(np.float32), np.concatenate(faces).astype(np.int32)


def moved(table: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Moves a vertex table by a matrix (4, 4); the places at rest stay.

    Args:
        table: (n, 16).
        matrix: Turn, even scale and shift.

    Returns:
        A new table.
    """
    result = table.copy()
    result[:, :3] = table[:, :3] @ matrix[:3, :3].T + matrix[:3, 3]
    turned = table[:, 3:6] @ matrix[:3, :3].T
    result[:, 3:6] = turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-9)
    return result


def cubed(surface: Surface, strength: float = 0.85) -> Surface:
    """Makes a thing cube-shaped: its bounding ellipsoid is pressed out into a cube.

    Args:
        surface: Any body.
        strength: 0 leaves it as it is, 1 turns a ball into a cube with sharp edges.

    Returns:
        The pressed body, its normals computed anew; colours and markings stay on it.
    """
    table = surface.table.copy()
    low, high = table[:, :3].min(0), table[:, :3].max(0)
    unit = (table[:, :3] - (low + high) / 2) / np.maximum((high - low) / 2, 1e-6)
    ball = np.linalg.norm(unit, axis=1, keepdims=True)
    longest = np.maximum(np.abs(unit).max(1, keepdims=True), 1e-6)
    wanted = unit * np.minimum(ball, 1.0) / longest  # the ball of radius 1 becomes the cube
    filled = np.maximum(np.abs(wanted).max(1, keepdims=True), 1e-6)
    wanted *= np.clip(filled, 0, 1) ** -0.35  # inner parts move outwards, so that faces grow flat
    half = np.cbrt(np.prod((high - low) / 2))
    pressed = ((1 - strength) * unit + strength * np.clip(wanted, -1, 1)) * half
    table[:, :3] = pressed
    table[:, 3:6] = normals(pressed, surface.faces, table[:, 3:6])
    return replace(surface, table=table)


def normals(position: np.ndarray, faces: np.ndarray, hint: np.ndarray) -> np.ndarray:
    """Computes smooth normals from triangles.

    Args:
        position: (n, 3).
        faces: (k, 3).
        hint: (n, 3) directions that tell the outside, and that serve where a vertex has no triangle.

    Returns:
        (n, 3) of unit length.
    """
    a, b, c = (position[faces[:, corner]] for corner in range(3))
    flat = np.cross(b - a, c - a)
    total = np.zeros_like(position)
    for corner in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(faces[:, corner], flat[:, axis], minlength=len(position))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    unit = np.where(length > 1e-12, total / np.maximum(length, 1e-12), hint)
    return np.where((unit * hint).sum(1, keepdims=True) < 0, -unit, unit)
