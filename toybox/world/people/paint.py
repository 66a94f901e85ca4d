"""Paints a face flat, as seen from the front on the undeformed head: brows, freckles, beard, blush and lines.

The painting moves with the face, because every vertex keeps its place on the undeformed head. It spans x from -1.1 to
1.1 and y from 6.1 to 8.3 decimetres.
"""

from functools import lru_cache

import numpy as np

SIDE = 320
LOW, SPAN = (-1.1, 6.1), 2.2
# Corners of the beard's upper edge on one half of the face, from the middle outwards: (x, y).
_EDGES = {
    "stubble": ((0.0, 6.94), (0.20, 6.92), (0.30, 6.80), (0.42, 6.70), (0.60, 6.86), (0.72, 7.20), (1.1, 7.3)),
    "beard": ((0.0, 6.92), (0.20, 6.91), (0.31, 6.80), (0.42, 6.68), (0.60, 6.84), (0.70, 7.20), (1.1, 7.3)),
    "goatee": ((0.0, 6.91), (0.18, 6.90), (0.29, 6.80), (0.34, 6.62), (0.36, 6.3), (0.38, 6.0), (1.1, 6.0)),
    "moustache": ((0.0, 6.93), (0.18, 6.91), (0.29, 6.80), (0.36, 6.66), (0.38, 6.60), (0.4, 6.0), (1.1, 6.0)),
}
BEARDS = tuple(_EDGES)


@lru_cache(maxsize=1)
def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Gives x and y of every texel, the first row on top."""
    steps = (np.arange(SIDE) + 0.5) / SIDE * SPAN
    return np.meshgrid((LOW[0] + steps).astype(np.float32), (LOW[1] + steps[::-1]).astype(np.float32))


def _ramp(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """Rises smoothly from 0 at `low` to 1 at `high`."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _spot(x: np.ndarray, y: np.ndarray, middle: tuple[float, float], reach: tuple[float, float]) -> np.ndarray:
    """Makes a soft round spot."""
    return np.exp(-(((x - middle[0]) / reach[0]) ** 2) - ((y - middle[1]) / reach[1]) ** 2)


def _strands(along: np.ndarray, across: np.ndarray, rng: np.random.Generator, pitch: float) -> np.ndarray:
    """Makes hairs in 0..1: noise that changes fast across (every `pitch`) and slowly along."""
    table = rng.random((64, 16)).astype(np.float32)
    row = across / pitch
    column = along / (pitch * 7) + 0.37 * np.floor(row)
    here = row - np.floor(row)
    value = table[np.floor(row).astype(int) % 64, np.floor(column).astype(int) % 16]
    return value * (1 - (2 * here - 1) ** 2)


def _brows(x: np.ndarray, y: np.ndarray, brows: tuple[float, float, float], rng: np.random.Generator) -> np.ndarray:
    """Paints both brows: thickness, arch and density in 0..1."""
    thick, arch, dense = brows
    whole = np.zeros_like(x)
    band = np.s_[int((LOW[1] + SPAN - 7.76) / SPAN * SIDE) : int((LOW[1] + SPAN - 7.36) / SPAN * SIDE)]
    x, y, out = x[band], y[band], whole[band]
    for side in (-1, 1):
        t = (side * x - 0.105) / 0.53
        rise = 0.03 + 0.045 * arch
        line = 7.515 + rise * np.sin(np.clip(t, 0, 1) * 2.5) - 0.02 * _ramp(t, 0.6, 1.0)
        half = (0.030 + 0.040 * thick) * (0.35 + 0.65 * _ramp(t, -0.02, 0.20)) * (1 - 0.80 * _ramp(t, 0.42, 1.02))
        distance = (y - line) / np.maximum(half, 1e-4)
        lean = 1.15 - 0.95 * np.clip(t, 0, 1)
        hairs = _strands(
            side * x * np.cos(lean) + y * np.sin(lean), y * np.cos(lean) - side * x * np.sin(lean), rng, 0.011
        )
        body = _ramp(-np.abs(distance), -1.25, -0.45) * _ramp(t, -0.05, 0.10) * _ramp(-t, -1.03, -0.90)
        out = np.maximum(out, body * np.clip(0.45 + 0.45 * dense + 0.7 * (hairs - 0.25), 0, 1))
    whole[band] = np.clip(out * (0.72 + 0.4 * dense), 0, 1)
    return whole


def _beard(x: np.ndarray, y: np.ndarray, kind: str | None, rng: np.random.Generator) -> np.ndarray:
    """Paints beard or moustache, 0..1."""
    if kind is None:
        return np.zeros_like(x)
    wide, high = np.array(_EDGES[kind]).T
    edge = np.interp(np.abs(x), wide, high)
    soft = 0.10 if kind == "stubble" else 0.06
    cover = _ramp(edge - y, -0.2 * soft, soft)
    if kind == "moustache":
        cover *= _ramp(y, 6.56, 6.66)
    hollow = _spot(x, y, (0.0, 6.86), (0.05, 0.10)) + (kind == "goatee") * _spot(x, y, (0.22, 6.5), (0.05, 0.05))
    hairs = _strands(y + 0.5 * np.abs(x), x + 0.15 * np.sin(7 * y), rng, 0.013)
    return np.clip(cover * (1 - 0.55 * hollow) * (0.72 + 0.5 * hairs), 0, 1)


def _dots(count: int, rng: np.random.Generator, *, moles: int) -> np.ndarray:
    """Paints freckles over nose and cheeks, and a few moles."""
    x, y = _grid()
    out = np.zeros_like(x)
    side = rng.choice([-1, 0, 1], count, p=[0.4, 0.2, 0.4])
    middle = np.stack(
        [side * 0.36 + rng.normal(0, 0.13, count), 7.0 + 0.06 * (side == 0) + rng.normal(0, 0.11, count)], 1
    )
    spots = [(p, rng.uniform(0.006, 0.014), rng.uniform(0.35, 0.85)) for p in middle]
    spots += [((rng.uniform(-0.6, 0.6), rng.uniform(6.45, 7.8)), rng.uniform(0.010, 0.017), 1.3) for _ in range(moles)]
    for (cx, cy), radius, depth in spots:
        column, row = int((cx - LOW[0]) / SPAN * SIDE), int((LOW[1] + SPAN - cy) / SPAN * SIDE)
        window = np.s_[max(row - 8, 0) : row + 9, max(column - 8, 0) : column + 9]
        bump = depth * _ramp(-np.hypot(x[window] - cx, y[window] - cy), -1.5 * radius, -0.4 * radius)
        out[window] = np.maximum(out[window], bump)
    return out


@lru_cache(maxsize=1)
def _redness() -> np.ndarray:
    """Paints where blood shines through: cheeks, nose, chin."""
    x, y = _grid()
    red = 0.55 * (_spot(x, y, (-0.45, 6.98), (0.24, 0.17)) + _spot(x, y, (0.45, 6.98), (0.24, 0.17)))
    return red + 0.50 * _spot(x, y, (0.0, 6.97), (0.14, 0.12)) + 0.2 * _spot(x, y, (0.0, 6.42), (0.16, 0.10))


@lru_cache(maxsize=1)
def _lines() -> np.ndarray:
    """Paints the lines that years draw: brow, beside the eyes, from nose to mouth, below the eyes."""
    x, y = _grid()
    out = np.zeros_like(x)
    for height, bend in ((7.72, 0.05), (7.80, 0.06), (7.88, 0.05)):
        out += (
            0.5
            * np.exp(-(((y - height + bend * x * x * 2 + 0.012 * np.sin(9 * x)) / 0.012) ** 2))
            * _ramp(-np.abs(x), -0.5, -0.3)
        )
    for shift in (-0.07, 0.0, 0.07):
        out += 0.5 * np.exp(-(((y - 7.27 - shift - 1.1 * shift * (np.abs(x) - 0.5) / 0.1 * 0.6) / 0.010) ** 2)) * _ramp(
            np.abs(x), 0.52, 0.56) * _ramp(-np.abs(x), -0.68, -0.60)  # fmt: skip
    fold = 0.17 + (6.98 - y) * 0.62
    out += 0.8 * np.exp(-(((np.abs(x) - fold) / 0.022) ** 2)) * _ramp(y, 6.66, 6.74) * _ramp(-y, -6.98, -6.90)
    out += (
        0.35
        * np.exp(-(((y - 7.10 - 0.9 * (np.abs(x) - 0.31) ** 2) / 0.022) ** 2))
        * _ramp(-np.abs(np.abs(x) - 0.31), -0.17, -0.10)
    )
    return np.clip(out, 0, 1)


def paint(
    *, brows: tuple[float, float, float], beard: str | None, freckles: float, blush: float, age: float, seed: int
) -> np.ndarray:
    """Paints a face.

    Args:
        brows: Thickness, arch and density, each in 0..1.
        beard: One of `BEARDS` or None.
        freckles: How many, in 0..1.
        blush: Redness of cheeks and nose, in 0..1.
        age: 0 young to 1 old.
        seed: Seed of where hairs, freckles and moles lie.

    Returns:
        (SIDE, SIDE, 4) uint8: brows, freckles and lines, beard, blush.
    """
    rng = np.random.default_rng([seed, 3])
    x, y = _grid()
    moles = int(rng.integers(0, 3))
    layers = [
        _brows(x, y, brows, rng),
        np.maximum(_dots(round(170 * freckles), rng, moles=moles) * 0.62, 0.42 * _lines() * max(age - 0.35, 0) / 0.65),
        _beard(x, y, beard, rng),
        _redness() * (0.35 + 0.65 * blush),
    ]
    return (np.clip(np.stack(layers, -1), 0, 1) * 255 + 0.5).astype(np.uint8)
