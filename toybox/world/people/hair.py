"""Hair that grows as a shell of curls around the head, beside MakeHuman's hair meshes."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from toybox.world.people.wear import grid

_ROWS, _COLUMNS = 72, 120


@dataclass(frozen=True)
class Growth:
    """A kind of shell.

    Attributes:
        volume: Thickness over the crown, as a share of the head's half size.
        curl: Radius of a curl, in the same unit.
        length: How far it hangs below the ears, in the same unit.
        front: Height of the hairline at the brow, in the same unit.
    """

    volume: float
    curl: float
    length: float
    front: float = 0.52


SHELLS = {
    "afro": Growth(0.44, 0.13, 0.05, 0.50),
    "curls": Growth(0.10, 0.19, -0.10, 0.48),
    "long curls": Growth(0.10, 0.21, 1.15, 0.50),
}


def _falloff(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """Rises smoothly from 0 at `low` to 1 at `high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@lru_cache(maxsize=8)
def shell(kind: str, variant: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grows a shell around the unit ball (y up, face towards +z).

    Args:
        kind: One of `SHELLS`.
        variant: Which arrangement of curls.

    Returns:
        (n, 3) points, (k, 3) triangles, and how open each point is, (n,) in 0..1.
    """
    growth, rng = SHELLS[kind], np.random.default_rng([variant, 17])
    around = np.linspace(-np.pi, np.pi, _COLUMNS + 1)[None]
    down = np.linspace(0, 1, _ROWS)[:, None]
    side = np.abs(around) / np.pi  # 0 front, 1 back
    # Where the hair ends: the brow in front, below the ears at the sides, the nape behind.
    low = growth.front + (-0.42 - growth.front) * _falloff(side, 0.20, 0.42) - 0.28 * _falloff(side, 0.5, 0.85)
    lobes = round(1.7 / growth.curl)
    low = low - 0.55 * growth.curl * np.abs(np.sin(lobes * around + 1.3 * np.sin(3 * around + variant)))
    hang = growth.length * _falloff(side, 0.24, 0.40)
    base = _meridians(down, around, np.arcsin(np.clip(low, -1, 1)), hang)
    spots = base.reshape(-1, 3)[
        rng.choice(_ROWS * (_COLUMNS + 1), round(9.5 / growth.curl**2), p=_even(base), replace=False)
    ]
    away = base.copy()
    away[..., 1] = np.maximum(away[..., 1], -0.15)
    away /= np.linalg.norm(away, axis=-1, keepdims=True)
    bump = _bumps(base.reshape(-1, 3), spots, growth.curl, rng).reshape(base.shape[:2])
    ends = _falloff(1 - down, 0.0, np.where(hang > 0.2, 0.06, 0.16))
    thick = (
        growth.volume * (0.45 + 0.55 * _falloff(base[..., 1], -0.3, 0.75)) * (0.55 + 0.45 * _falloff(side, 0.12, 0.4))
    )
    thick = thick + 0.16 * _falloff(hang * down, 0.0, 0.5)
    points = base + away * (thick * ends + growth.curl * 0.9 * bump * ends**0.4 - 0.06 * (1 - ends))[..., None]
    surface = grid(points[:, ::-1])
    return (
        surface.points,
        surface.faces,
        ((0.15 + 0.85 * bump) * (0.6 + 0.4 * ends))[:, ::-1].ravel(),
    )


def _meridians(down: np.ndarray, around: np.ndarray, low: np.ndarray, hang: np.ndarray) -> np.ndarray:
    """Runs from the crown over the ball to the hair's end, then straight down; (rows, columns, 3)."""
    arc = np.pi / 2 - np.minimum(low, np.where(hang > 0, np.maximum(low, -0.1), low))
    total = arc + np.maximum(hang, 0)
    run = down * total
    rise = np.pi / 2 - np.minimum(run, arc)
    drop = np.maximum(run - arc, 0)
    y = np.sin(rise) - drop
    ring = np.cos(rise) * (1 - 0.10 * _falloff(drop, 0.5, 1.2))
    return np.stack([ring * np.sin(around), y, ring * np.cos(around) - 0.12 * _falloff(drop, 0, 0.8)], -1)


def _even(base: np.ndarray) -> np.ndarray:
    """Weighs grid points by their area, so that curls lie evenly."""
    weight = np.hypot(base[..., 0], base[..., 2]) + 0.05
    return (weight / weight.sum()).ravel()


def _bumps(points: np.ndarray, spots: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Lays a round curl over every spot; the highest shows. (n,) in 0..1."""
    sizes = radius * rng.uniform(0.7, 1.15, len(spots))
    near, points, spots = np.full(len(points), np.inf, np.float32), np.float32(points), np.float32(spots)
    for low in range(0, len(spots), 64):
        some = np.s_[low : low + 64]
        far = (points**2).sum(1)[:, None] + (spots[some] ** 2).sum(1) - 2 * (points @ spots[some].T)
        np.minimum(near, (far / np.float32(sizes[some] ** 2)).min(1), out=near)
    return np.sqrt(np.clip(1 - near, 0, 1))
