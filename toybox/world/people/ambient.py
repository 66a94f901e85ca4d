"""How much of the sky each vertex sees: found once, when people are baked, from shadows thrown from all sides."""

from collections.abc import Sequence

import numpy as np

_SIDES = 160
_SIDE = 512
_BIAS = 0.012


def openness(points: np.ndarray, faces: np.ndarray, *, outward: np.ndarray, blocks: Sequence[np.ndarray]) -> np.ndarray:
    """Measures the open share of the half sphere above each vertex, weighted by the cosine.

    Args:
        points: (n, 3) vertices.
        faces: (k, 3) triangles that stand in the way.
        outward: (n, 3) normals; (0, 0, 0) takes the whole sphere.
        blocks: Boxes as (2, 3) low and high corners that the pictures shall cover; one resolution each.

    Returns:
        (n,) in 0..1; vertices in no box are 1.

    Raises:
        RuntimeError: No OpenGL context could be opened.
    """
    from toybox.world.people.studio import studio

    gl, shadow = studio().gl, studio().shadow
    depth = gl.depth_texture((_SIDE, _SIDE))
    frame = gl.framebuffer([], depth)
    vertices, index = gl.buffer(np.float32(points)), gl.buffer(np.int32(faces))
    array = gl.vertex_array(shadow, [(vertices, "3f", "position")], index)
    out = np.ones(len(points))
    for low, high in blocks:
        inside = ((points >= low) & (points <= high)).all(1)
        middle, half = (low + high) / 2, float(np.linalg.norm(high - low)) / 2
        seen, total = np.zeros(inside.sum()), np.zeros(inside.sum())
        for direction in _directions():
            turn = _frame(direction)
            flat = (points[inside] - middle) @ turn.T / half
            move = np.eye(4)
            move[:3, :3] = np.diag([1, 1, -1]) @ turn / half
            move[:3, 3] = -move[:3, :3] @ middle
            frame.use()
            frame.clear(depth=1.0)
            gl.enable_only(gl.DEPTH_TEST)
            shadow["lamp"].write(move.T.astype(np.float32).tobytes())
            array.render()
            near = np.frombuffer(depth.read(), np.float32).reshape(_SIDE, _SIDE)
            row, column = (np.clip(((flat[:, axis] + 1) / 2 * _SIDE).astype(int), 0, _SIDE - 1) for axis in (1, 0))
            open_ = (1 - flat[:, 2]) / 2 - _BIAS / half <= near[row, column]
            above = outward[inside] @ direction
            weight = np.where((outward[inside] == 0).all(1), 1.0, np.maximum(above, 0))
            seen += weight * open_
            total += weight
        out[inside] = seen / np.maximum(total, 1e-9)
    return out


def _directions() -> np.ndarray:
    """Spreads directions evenly over the sphere (Fibonacci's spiral)."""
    index = np.arange(_SIDES) + 0.5
    y, turn = 1 - 2 * index / _SIDES, np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - y * y)
    return np.stack([ring * np.cos(turn), y, ring * np.sin(turn)], 1)


def _frame(z: np.ndarray) -> np.ndarray:
    """Makes axes whose third is `z`."""
    x = np.cross([0, 1, 0] if abs(z[1]) < 0.9 else [1, 0, 0], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])
