"""Five points of a face as a picture: what an IdentityNet is shown (arXiv:2401.07519, in the released drawing)."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL.Image import Image

COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
"""RGB of the eye on the picture's left, the eye on its right, the nose, the left and the right corner of the mouth."""
NOSE = 2
LIMBS = (0, 1, 3, 4)
"""Points that a limb joins to the nose, in the order of drawing."""
HALF_WIDTH_PX = 4
RADIUS_PX = 10
"""Neither grows with the picture: networks were trained on these."""
ONE = 1 << 16
"""A pixel, in the steps that slopes are counted in."""
DIMMED = 0.6
"""What limbs keep of their color; the discs keep all of it."""


def draw_keypoints(points: Any, size: tuple[int, int]) -> Image:
    """Draw the five points of one face on black.

    Four limbs run from the nose, each a filled ellipse in the color of its other end; the whole canvas is dimmed, and five
    discs lie over it. On a canvas that holds all five, each pixel is that of the released drawing, which OpenCV fills.

    Args:
        points: five rows (x, y) in pixels: eye on the picture's left, eye on its right, nose, left and right corner of the
            mouth. What lies outside of the canvas is cut off.
        size: (height, width) of the canvas in pixels.

    Returns:
        An RGB picture.

    Source:
        arXiv:2401.07519, `draw_kps` of the released code; polygons and discs as OpenCV fills them.
    """
    rows = np.asarray(points, dtype=np.float64)
    assert rows.shape == (5, 2), f"five points of two numbers are drawn, not {rows.shape}"
    canvas = np.zeros((*size, 3), np.float64)
    for end in LIMBS:
        _fill(canvas, _limb(rows[end], rows[NOSE]), COLORS[end])
    canvas *= DIMMED
    for point, color in zip(rows, COLORS, strict=True):
        _disc(canvas, int(point[0]), int(point[1]), color)
    return Pillow.fromarray(canvas.astype(np.uint8))


def place(points: Any, size: tuple[int, int], canvas: tuple[int, int]) -> np.ndarray:
    """Move points from one picture onto another so that the whole picture fits, centred, its shape unchanged.

    Args:
        points: rows (x, y) in pixels.
        size: (height, width) of the picture that they come from.
        canvas: (height, width) of the picture that they go to.
    """
    scale = min(canvas[0] / size[0], canvas[1] / size[1])
    shift = ((canvas[1] - size[1] * scale) / 2, (canvas[0] - size[0] * scale) / 2)
    return np.asarray(points, dtype=np.float64) * scale + np.asarray(shift)


def _limb(end: np.ndarray, nose: np.ndarray) -> np.ndarray:
    """Give the corners of a limb: an ellipse walked in steps of a degree, rounded to pixels."""
    across, down = end - nose
    length = math.hypot(across, down)
    turn = int(math.degrees(math.atan2(down, across))) % 360
    half = (int(length / 2), HALF_WIDTH_PX)
    center = (int((end[0] + nose[0]) / 2), int((end[1] + nose[1]) / 2))
    around = np.arange(361)
    along, aside = half[0] * _sine(around + 90), half[1] * _sine(around)
    cosine, sine = float(_sine(turn + 90)), float(_sine(turn))
    corners = np.stack([center[0] + along * cosine - aside * sine, center[1] + along * sine + aside * cosine], axis=1)
    whole = np.rint(corners).astype(np.int64)
    kept = np.append(True, (whole[1:] != whole[:-1]).any(axis=1))
    return whole[kept]


def _sine(degrees: Any) -> np.ndarray:
    """Give the sine as OpenCV's table of whole degrees has it: seven decimals, in single precision."""
    return np.round(np.sin(np.radians(degrees)), 7).astype(np.float32).astype(np.float64)


def _fill(canvas: np.ndarray, corners: np.ndarray, color: tuple[int, int, int]) -> None:
    """Fill a convex polygon together with its outline."""
    for start, stop in zip(np.roll(corners, 1, axis=0).tolist(), corners.tolist(), strict=True):
        for x, y in _line(start, stop):
            _row(canvas, y, x, x, color)
    for y, left, right in _spans(corners.tolist()):
        _row(canvas, y, left, right, color)


def _spans(corners: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """List the rows of a polygon as (y, left, right), between two sides that run down from the highest corner.

    A side keeps its slope, in steps of 1 / 65536, until it reaches its next corner; the two take new corners from one
    supply, so that a side may run on past its last corner when the other has used it up. OpenCV fills so, and networks saw it.
    """
    count, bottom = len(corners), max(y for _, y in corners)
    top = min(range(count), key=lambda index: corners[index][1])
    y, supply = corners[top][1], count
    sides = [_Side(top, way, until=y) for way in (1, -1)]
    rows = []
    while y <= bottom:
        for side in sides:
            if y >= side.until:
                supply = side.turn(corners, y, supply)
        reach = sorted((side.x + ONE // 2) // ONE for side in sides)
        rows.append((y, reach[0], reach[1]))
        for side in sides:
            side.x += side.slope
        y += 1
    return rows


class _Side:
    """One side of a polygon, on its way down."""

    def __init__(self, corner: int, way: int, *, until: int) -> None:
        self.corner, self.way, self.until = corner, way, until
        self.x, self.slope = -ONE, 0

    def turn(self, corners: Sequence[Sequence[int]], y: int, supply: int) -> int:
        """Head for the next corner that lies below, and give what is left of the supply of corners."""
        here = self.corner
        while supply > 0:
            supply -= 1
            ahead = (here + self.way) % len(corners)
            rows = corners[ahead][1] - y
            if rows > 0:
                double = (corners[ahead][0] - corners[here][0]) * ONE * 2 + rows
                self.slope = int(math.copysign(abs(double) // (2 * rows), double))
                self.x, self.corner, self.until = corners[here][0] * ONE, ahead, corners[ahead][1]
                break
            here = ahead
        return supply


def _line(start: Sequence[int], stop: Sequence[int]) -> list[tuple[int, int]]:
    """List a line's pixels from its left end on; where a step lies halfway, it is taken late."""
    (x0, y0), (x1, y1) = (start, stop) if start[0] <= stop[0] else (stop, start)
    across, down, step = x1 - x0, abs(y1 - y0), 1 if y1 >= y0 else -1
    if across >= down:
        return [(x0 + k, y0 + step * _late(k * down, across)) for k in range(across + 1)]
    return [(x0 + _late(k * across, down), y0 + step * k) for k in range(down + 1)]


def _late(part: int, whole: int) -> int:
    """Round part / whole, halves down."""
    return -((whole - 2 * part) // (2 * whole)) if whole else 0


def _disc(canvas: np.ndarray, x: int, y: int, color: tuple[int, int, int]) -> None:
    """Fill a circle row by row, as the midpoint rule walks it."""
    across, down, error = RADIUS_PX, 0, 0
    while across >= down:
        for rise, reach in ((down, across), (across, down)):
            _row(canvas, y + rise, x - reach, x + reach, color)
            _row(canvas, y - rise, x - reach, x + reach, color)
        down += 1
        error += 2 * down - 1
        if error > 0:
            error -= 2 * across - 1
            across -= 1


def _row(canvas: np.ndarray, y: int, left: int, right: int, color: tuple[int, int, int]) -> None:
    if 0 <= y < canvas.shape[0] and right >= 0:
        canvas[y, max(left, 0) : right + 1] = color
