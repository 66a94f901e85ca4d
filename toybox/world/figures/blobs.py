"""Soft bodies: round cones on bones that melt into each other, and the triangles of their skin.

The body is the zero level of `-k log sum exp(-d_i / k)` over the distances `d_i` to all blobs: a smooth minimum that does
not depend on their order. Axes: x to the body's left, y up, z to its front.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toybox.world.figures.surface import MARKED, rows

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Blob:
    """A round cone on a bone.

    Attributes:
        bone: The bone's name.
        start: One end, in the bone's space.
        end: The other end.
        radii: Radius at each end.
        rgb: Colour, each channel in 0..1.
        stretch: Scale of the whole blob along the bone's axes about the middle of its ends (flat ears).
    """

    bone: str
    start: Vector
    end: Vector
    radii: tuple[float, float]
    rgb: Vector
    stretch: Vector = (1.0, 1.0, 1.0)


def turned(x: float, y: float, z: float) -> np.ndarray:
    """Returns: the (4, 4) matrix that turns about z, then y, then x, from degrees."""
    matrix = np.eye(4)
    for angle, (one, two) in ((x, (1, 2)), (y, (2, 0)), (z, (0, 1))):
        turn, c, s = np.eye(4), np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        turn[one, one], turn[one, two], turn[two, one], turn[two, two] = c, -s, s, c
        matrix = matrix @ turn
    return matrix


@dataclass(frozen=True)
class Bone:
    """A joint: its name, the bone that it hangs on (or None) and where it sits in that bone's space."""

    name: str
    above: str | None
    offset: Vector


def placed(bones: Sequence[Bone], bends: dict[str, Vector], root: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Bends a skeleton.

    Args:
        bones: Every bone after the one that it hangs on.
        bends: Turn of each bone about its x, y and z axis in degrees; missing ones stay straight.
        root: (4, 4) matrix over all, or None.

    Returns:
        The (4, 4) matrix of each bone, from its space to the body's.
    """
    result: dict[str, np.ndarray] = {}
    for bone in bones:
        local = turned(*bends.get(bone.name, (0.0, 0.0, 0.0)))
        local[:3, 3] = bone.offset
        above = (np.eye(4) if root is None else root) if bone.above is None else result[bone.above]
        result[bone.name] = above @ local
    return result


class Body:
    """Blobs on a bent skeleton, ready for questions about its skin."""

    def __init__(self, blobs: Sequence[Blob], bones: dict[str, np.ndarray], melt: float) -> None:
        """Takes the blobs.

        Args:
            blobs: What the body consists of.
            bones: Matrices of all bones, as `placed` gives them.
            melt: How far blobs melt into each other, in units of the body.
        """
        self.blobs, self.bones, self.melt = tuple(blobs), bones, melt
        self._turn = np.stack([bones[blob.bone][:3, :3] for blob in blobs]).astype(np.float32)
        self._move = np.stack([bones[blob.bone][:3, 3] for blob in blobs]).astype(np.float32)
        self._start = np.array([blob.start for blob in blobs], np.float32)
        self._axis = np.array([blob.end for blob in blobs], np.float32) - self._start
        self._radii = np.array([blob.radii for blob in blobs], np.float32)
        self._stretch = np.array([blob.stretch for blob in blobs], np.float32)
        self._middle = self._start + self._axis / 2
        self._length = np.maximum((self._axis**2).sum(1), 1e-9)

    def _measure(self, points: np.ndarray) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
        """Measures points (n, 3) against every blob: distances (n, b), steps away along each bone's axes, steepness."""
        points = points.astype(np.float32)
        away: list[np.ndarray] = []
        along = np.zeros((len(points), len(self.blobs)), np.float32)
        for axis in range(3):
            shift = (self._move * self._turn[:, :, axis]).sum(1) + self._middle[:, axis]
            local = (points @ self._turn[:, :, axis].T - shift) / self._stretch[:, axis]
            away.append(local + (self._middle - self._start)[:, axis])
            along += away[axis] * self._axis[:, axis]
        share = np.clip(along / self._length, 0, 1)
        away = [part - share * self._axis[:, axis] for axis, part in enumerate(away)]
        far = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2 + 1e-12)
        away = [part / (far * self._stretch[:, axis]) for axis, part in enumerate(away)]
        steep = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2)
        radius = self._radii[:, 0] + share * (self._radii[:, 1] - self._radii[:, 0])
        return (far - radius) / steep, away, steep

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Returns: the (n,) distances of points (n, 3) from the melted body, negative inside."""
        far, _, _ = self._measure(points)
        nearest = far.min(1)
        return nearest - self.melt * np.log(np.exp((nearest[:, None] - far) / self.melt).sum(1))

    def field(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Measures points against the melted body.

        Args:
            points: (n, 3).

        Returns:
            (n,) distances, (n, 3) outward directions and (n, b) shares of the blobs, adding up to 1.
        """
        far, slopes, steep = self._measure(points)
        nearest = far.min(1)
        weight = np.exp((nearest[:, None] - far) / self.melt)
        total = weight.sum(1)
        share = weight / total[:, None]
        normal = sum((share * slope / steep) @ self._turn[:, :, axis] for axis, slope in enumerate(slopes))
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        return nearest - self.melt * np.log(total), normal, share

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns: (b, 3) lower and upper corners of boxes around the blobs."""
        ends = []
        for tip in (self._start, self._start + self._axis):
            local = (tip - self._middle) * self._stretch + self._middle
            ends.append(np.einsum("bij,bj->bi", self._turn, local) + self._move)
        reach = (self._radii.max(1) * self._stretch.max(1))[:, None]
        return np.minimum(*ends) - reach, np.maximum(*ends) + reach

    def volume(self, steps: int) -> tuple[np.ndarray, np.ndarray, float]:
        """Fills a grid with the body's distance; each blob touches only the cells near it.

        Args:
            steps: Cells along the longest side.

        Returns:
            The grid of distances, the position of its first cell and the cell's side.
        """
        low, high = self.bounds()
        margin = 4 * self.melt
        first = low.min(0) - margin
        cell = float((high.max(0) + margin - first).max()) / steps
        count = np.ceil((high.max(0) + margin - first) / cell).astype(int) + 1
        total = np.full(count, np.exp(-4.0), np.float32)
        for index in range(len(self.blobs)):
            begin = np.maximum(np.floor((low[index] - margin - first) / cell).astype(int), 0)
            stop = np.minimum(np.ceil((high[index] + margin - first) / cell).astype(int) + 1, count)
            lines = [first[axis] + cell * np.arange(begin[axis], stop[axis]) for axis in range(3)]
            block = tuple(slice(begin[axis], stop[axis]) for axis in range(3))
            total[block] += np.exp(np.clip(-self._near(index, lines) / self.melt, -20, 60))
        return -self.melt * np.log(total), first, cell

    def _near(self, index: int, lines: Sequence[np.ndarray]) -> np.ndarray:
        """Measures a block of cells, given by its three axes, against one blob."""
        turn, move = self._turn[index], self._move[index]
        middle, stretch = self._middle[index], self._stretch[index]
        x, y, z = (line.astype(np.float32) - move[axis] for axis, line in enumerate(lines))
        x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
        away, along = [], np.float32(0)
        for axis in range(3):
            local = x * turn[0, axis] + y * turn[1, axis] + z * turn[2, axis]
            away.append((local - middle[axis]) / stretch[axis] + middle[axis] - self._start[index, axis])
            along = along + away[axis] * self._axis[index, axis]
        share = np.clip(along / self._length[index], 0, 1)
        away = [part - share * self._axis[index, axis] for axis, part in enumerate(away)]
        far = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2 + 1e-12)
        steep = np.sqrt(sum((part / (far * stretch[axis])) ** 2 for axis, part in enumerate(away)) + 1e-12)
        radii = self._radii[index]
        return (far - radii[0] - share * (radii[1] - radii[0])) / steep

    def skin(self, rest: dict[str, np.ndarray], steps: int = 36) -> tuple[np.ndarray, np.ndarray]:
        """Makes the triangles of the skin.

        Args:
            rest: Matrices of the bones at rest; markings refer to that pose.
            steps: Cells along the longest side.

        Returns:
            The vertex table (n, 16), marked, and the faces.
        """
        from skimage.measure import marching_cubes

        volume, first, cell = self.volume(steps)
        points, faces, _, _ = marching_cubes(volume, 0.0)
        points = (points * cell + first).astype(np.float32)
        far, normal, _ = self.field(points)
        points -= normal * far[:, None]
        far, normal, share = self.field(points)
        sharp = share**3
        sharp /= sharp.sum(1, keepdims=True)
        table = rows(points, normal, rgb=sharp @ np.array([blob.rgb for blob in self.blobs], np.float32), finish=MARKED)
        back = np.stack([rest[blob.bone] @ np.linalg.inv(self.bones[blob.bone]) for blob in self.blobs])
        blended = (share @ back[:, :3].reshape(len(back), 12).astype(np.float32)).reshape(-1, 3, 4)
        table[:, 12:15] = (blended[..., :3] * points[:, None]).sum(-1) + blended[..., 3]
        size = cell * steps
        table[:, 15] = self._open(points, normal, (0.05 * size, 0.14 * size))
        return table, faces.astype(np.int32)[:, ::-1]

    def _open(self, points: np.ndarray, normal: np.ndarray, reaches: Sequence[float]) -> np.ndarray:
        """Says how open to the sky points of the skin are, in 0..1, from the free room above them."""
        seen = np.ones(len(points), np.float32)
        for reach in reaches:
            free = self.distance(points + normal * reach)
            seen *= np.clip(0.25 + 0.85 * free / reach, 0, 1)
        return np.clip(0.15 + seen, 0, 1)

    def touch(self, start: np.ndarray, towards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Walks from outside until the skin is met.

        Args:
            start: (n, 3) points outside.
            towards: (n, 3) what they head for.

        Returns:
            (n, 3) points on the skin and their outward directions.
        """
        points = np.asarray(start, np.float64)
        way = np.asarray(towards) - points
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        for _ in range(14):
            points = points + way * 0.92 * self.distance(points)[:, None]
        return points, self.field(points)[1]
