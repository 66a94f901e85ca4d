"""The body behind every person: sliders and facial actions move its vertices, bones turn them, hair hangs on them.

Axes: x to the picture's right for who faces the viewer's camera (the person's left), y up, z towards the viewer.
Lengths are decimetres. Data: MakeHuman (CC0), thinned by `toybox.world.people.bake`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from toybox.world.people.names import BONES, HAIR_MESHES

FILE = Path(__file__).resolve().parents[2] / "assets" / "makehuman" / "people.npz"
_STEPS = 2000.0
EYES = ("l-eye", "r-eye")


@dataclass(frozen=True)
class Hanging:
    """A hair mesh: every vertex is a mix of three vertices of the body, and a shift that grows with the head.

    Attributes:
        hang: (n, 3) vertices of the body.
        share: (n, 3) their shares.
        shift: (n, 3) decimetres at the size the mesh was made for.
        scale: (3, 3) for each axis two vertices of the body and their distance at that size.
        faces: (k, 3) triangles.
        open: (n,) how open each vertex is to the sky, in 0..1.
        rest: (n, 3) the mesh on the plain body.
        border: (n,) decimetres to the mesh's nearest open edge, at most 0.6.
    """

    hang: np.ndarray
    share: np.ndarray
    shift: np.ndarray
    scale: np.ndarray
    faces: np.ndarray
    open: np.ndarray
    rest: np.ndarray
    border: np.ndarray

    def on(self, points: np.ndarray) -> np.ndarray:
        """Hangs the mesh on a body.

        Args:
            points: (V, 3) vertices of the body.

        Returns:
            (n, 3) vertices of the mesh.
        """
        pairs = self.scale[:, :2].astype(int)
        spans = np.abs(points[pairs[:, 0], range(3)] - points[pairs[:, 1], range(3)])
        stretch = spans / self.scale[:, 2]
        return np.einsum("nk,nkd->nd", self.share, points[self.hang]) + self.shift * stretch


@dataclass(frozen=True)
class Body:
    """All that is known of bodies.

    Attributes:
        points: (V, 3) float32, the plain body.
        faces: Triangles (k, 3) by part.
        masks: (V, 4) float32 in 0..1: lips, lids, ears, inside of the mouth.
        weights: (V, bones) float32, how much each bone moves a vertex.
        joints: (bones, 2, 8) vertices around each bone's two ends.
        shapes: Name of a shape to its rows and displacements.
        hair: Hair meshes by name.
        open: (V,) how open each vertex is to the sky, in 0..1, under each hair mesh and under "none".
    """

    points: np.ndarray
    faces: dict[str, np.ndarray]
    masks: np.ndarray
    weights: np.ndarray
    joints: np.ndarray
    shapes: dict[str, tuple[np.ndarray, np.ndarray]]
    hair: dict[str, Hanging]
    open: dict[str, np.ndarray]

    def shaped(self, sliders: Mapping[str, float], start: np.ndarray | None = None) -> np.ndarray:
        """Moves the vertices.

        Args:
            sliders: Shape name to strength; a name without sign picks the shape "name+" or "name-" by its sign.
            start: (V, 3) where to start, the plain body by default.

        Returns:
            (V, 3) float32 positions.

        Raises:
            KeyError: A shape is unknown.
        """
        rows, moves = [], []
        for name, strength in sliders.items():
            key = name if name in self.shapes else name + ("+" if strength >= 0 else "-")
            where, move = self.shapes[key]
            rows.append(where)
            moves.append(move * np.float32(strength if key == name else abs(strength)))
        where, move = np.concatenate(rows), np.concatenate(moves)
        added = [np.bincount(where, move[:, axis], len(self.points)) for axis in range(3)]
        return (self.points if start is None else start) + np.stack(added, 1).astype(np.float32)

    def joint(self, points: np.ndarray, bone: str, end: int = 0) -> np.ndarray:
        """Gives where a bone starts (0) or ends (1), (3,)."""
        return points[self.joints[list(BONES).index(bone), end]].mean(0)

    def turned(self, points: np.ndarray, turns: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Turns bones about their heads.

        Args:
            points: (V, 3) positions at rest.
            turns: Bone to its (3, 3) turn, in the axes of the body at rest, relative to its parent.

        Returns:
            (V, 3) turned positions, and the bones' (bones, 3, 4) movements.
        """
        moves: dict[str, np.ndarray] = {}
        for bone, (parent, *_) in BONES.items():
            above = moves[parent] if parent else np.eye(3, 4)
            pivot, turn = self.joint(points, bone), turns.get(bone, np.eye(3))
            own = np.concatenate([turn, (pivot - turn @ pivot)[:, None]], 1)
            moves[bone] = np.concatenate([above[:, :3] @ own[:, :3], above[:, :3] @ own[:, 3:] + above[:, 3:]], 1)
        table = np.stack(list(moves.values())).astype(np.float32)
        return moved(points, self.weights, table), table


def moved(points: np.ndarray, weights: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Moves points by bones.

    Args:
        points: (n, 3) positions.
        weights: (n, bones) shares that sum to 1.
        moves: (bones, 3, 4) movements.

    Returns:
        (n, 3) float32 positions.
    """
    mixed = (weights @ moves.reshape(len(moves), 12)).reshape(-1, 3, 4)
    return np.einsum("nij,nj->ni", mixed[:, :, :3], points) + mixed[:, :, 3]


def normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Computes smooth normals.

    Args:
        points: (n, 3) positions.
        faces: (k, 3) triangles, counter-clockwise from outside.

    Returns:
        (n, 3) float32 unit vectors, weighted by area.
    """
    a, b, c = (points[faces[:, corner]] for corner in range(3))
    flat = np.cross(b - a, c - a)
    out = np.empty((len(points), 3), np.float32)
    corners = faces.T.ravel()
    for axis in range(3):
        out[:, axis] = np.bincount(corners, np.tile(flat[:, axis], 3), len(points))
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)


def rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """Makes a turn from degrees.

    Args:
        yaw: Positive turns the face to the picture's right.
        pitch: Positive nods down.
        roll: Positive leans to the picture's left (counter-clockwise).

    Returns:
        (3, 3) float32.
    """
    y, p, r = np.deg2rad([yaw, pitch, roll])
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    lean = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return (lean @ turn @ nod).astype(np.float32)


@lru_cache(maxsize=1)
def body() -> Body:
    """Returns: the body, read at first use.

    Raises:
        FileNotFoundError: The baked file is missing.
    """
    if not FILE.is_file():
        raise FileNotFoundError(
            f"the shapes of people are missing at {FILE}; people are drawn from this file; "
            "restore toybox/assets/makehuman from the repository"
        )
    with np.load(FILE) as file:
        data = {name: file[name] for name in file.files}
    ends = np.cumsum(data["shape_counts"])
    moves = data["shape_moves"].astype(np.float32) / _STEPS
    shapes = {
        str(name): (data["shape_rows"][low:high].astype(np.intp), moves[low:high])
        for name, low, high in zip(data["names"], np.concatenate([[0], ends[:-1]]), ends, strict=True)
    }
    weights = data["weights"].astype(np.float32)
    weights[weights.sum(1) == 0, list(BONES).index("head")] = 1
    points = data["points"].astype(np.float32) / _STEPS
    return Body(
        points=points,
        faces={k.removeprefix("faces/"): v.astype(np.intp) for k, v in data.items() if k.startswith("faces/")},
        masks=data["masks"].astype(np.float32) / 255,
        weights=weights / weights.sum(1, keepdims=True),
        joints=data["joints"].astype(np.intp),
        shapes=shapes,
        hair={name: _hanging(data, name, points) for name in HAIR_MESHES},
        open={k.removeprefix("open/"): v.astype(np.float32) / 255 for k, v in data.items() if k.startswith("open/")},
    )


def _hanging(data: dict[str, np.ndarray], name: str, points: np.ndarray) -> Hanging:
    """Unpacks one hair mesh and measures it on the plain body."""
    part = {key: data[f"hair/{name}/{key}"] for key in ("hang", "share", "shift", "scale", "faces")}
    faces = part["faces"].astype(np.intp)
    mesh = Hanging(
        part["hang"].astype(np.intp),
        part["share"].astype(np.float32) / 4096,
        part["shift"].astype(np.float32) / _STEPS,
        part["scale"],
        faces,
        data.get(f"hair/{name}/open", np.full(len(part["hang"]), 255, np.uint8)).astype(np.float32) / 255,
        np.empty(0),
        np.empty(0),
    )
    rest = mesh.on(points)
    return replace(mesh, rest=rest, border=_border(rest, faces), faces=faces[~_veils(rest)[faces].all(1)])


def _veils(rest: np.ndarray) -> np.ndarray:
    """Marks the points of hair that hang over the face on the plain body; the shader cuts the edge of the rest."""
    x, y, z = rest.T
    return (y < 7.36 + 0.35 * x * x) & (np.abs(x) < 0.64) & (z > 0.92)


def _border(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Measures along edges how far each vertex is from the mesh's nearest open edge, in decimetres, at most 0.6."""
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    far = np.full(len(points), 0.6, np.float32)
    far[unique[counts == 1].ravel()] = 0
    a, b = unique.T
    length = np.linalg.norm(points[a] - points[b], axis=1)
    for _ in range(14):
        np.minimum.at(far, a, far[b] + length)
        np.minimum.at(far, b, far[a] + length)
    return far
