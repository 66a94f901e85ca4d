"""Rooms."""

import numpy as np

from toybox.world.places import tiles
from toybox.world.places.brushes import Canvas, floor, gradient
from toybox.world.places.place import Place


def _window(c: Canvas, x: float, y: float, wide: float, tall: float) -> None:
    """Draws a bright window with a cross."""
    c.box(x - 0.02, y - 0.02, x + wide + 0.02, y + tall + 0.02, fill=(250, 246, 238))
    c.box(x, y, x + wide, y + tall, fill=c.tone((178, 222, 250), 0.04))
    c.box(x, y + tall * 0.7, x + wide, y + tall, fill=c.tone((140, 196, 130), 0.06))
    c.box(x + wide / 2 - 0.008, y, x + wide / 2 + 0.008, y + tall, fill=(250, 246, 238))
    c.box(x, y + tall / 2 - 0.008, x + wide, y + tall / 2 + 0.008, fill=(250, 246, 238))


def _kitchen(c: Canvas) -> None:
    foot = c.uniform(0.54, 0.62)
    wall = c.pick((246, 232, 196), (206, 230, 220), (236, 216, 206))
    gradient(c, [(0, wall), (1, tuple(int(v * 0.93) for v in wall))], 0, foot)
    for row in np.arange(0.3, foot, 0.06):
        c.stroke([(0, row), (1, row)], 0.004, fill=tuple(int(v * 0.9) for v in wall))
    cabinet = c.pick((112, 150, 160), (196, 120, 90), (240, 240, 236))
    for x in np.arange(c.uniform(-0.2, 0), 1, 0.27):
        c.box(x, -0.02, x + 0.25, 0.2, fill=cabinet)
        c.disc(x + 0.22, 0.15, 0.012, fill=(226, 200, 140))
    _window(c, c.uniform(0.1, 0.6), 0.25, 0.24, 0.2)
    for x in c.rng.uniform(0, 1, 3):
        c.box(x, foot - 0.1, x + 0.05, foot, fill=c.pick((210, 80, 70), (90, 140, 90), (240, 240, 240)))
    c.blur(9)
    floor(c, "table", tiles.table_wood, horizon=foot - 0.3, top=foot, scale=0.6, turn=90 + c.uniform(-4, 4))
    c.blur(2)


def _bedroom(c: Canvas) -> None:
    foot = c.uniform(0.56, 0.62)
    wall = c.pick((214, 206, 226), (200, 216, 230), (232, 212, 200))
    gradient(c, [(0, wall), (1, tuple(int(v * 0.92) for v in wall))], 0, foot)
    left = c.rng.random() < 0.5
    x = c.uniform(-0.15, 0.02) if left else c.uniform(0.38, 0.5)
    blanket = c.pick((96, 130, 196), (226, 120, 120), (120, 170, 130), (240, 200, 110))
    c.box(x, foot - 0.34, x + 0.62, foot, fill=c.tone((134, 92, 64)))
    c.box(x + 0.03, foot - 0.2, x + 0.59, foot, fill=blanket)
    c.box(x + 0.05, foot - 0.27, x + 0.27, foot - 0.16, fill=(250, 248, 244))
    c.box(x + 0.34, foot - 0.27, x + 0.56, foot - 0.16, fill=(250, 248, 244))
    lamp = x + 0.74 if left else x - 0.14
    c.box(lamp - 0.008, foot - 0.3, lamp + 0.008, foot, fill=(120, 100, 84))
    c.shape(
        [
            (lamp - 0.08, foot - 0.28),
            (lamp + 0.08, foot - 0.28),
            (lamp + 0.05, foot - 0.42),
            (lamp - 0.05, foot - 0.42),
        ],
        fill=(255, 236, 176),
    )
    c.blur(8)
    floor(c, "carpet", tiles.carpet, horizon=foot - 0.2, top=foot, scale=0.7)
    c.blur(2)


def _living(c: Canvas) -> None:
    foot = c.uniform(0.56, 0.62)
    wall = c.pick((236, 226, 206), (196, 214, 200), (224, 200, 180))
    gradient(c, [(0, wall), (1, tuple(int(v * 0.92) for v in wall))], 0, foot)
    _window(c, c.uniform(0.05, 0.6), 0.06, 0.3, 0.24)
    sofa, x = c.pick((206, 96, 76), (70, 130, 136), (210, 170, 80), (120, 110, 150)), c.uniform(0.02, 0.2)
    c.box(x, foot - 0.26, x + 0.72, foot, fill=tuple(int(v * 0.86) for v in sofa))
    c.box(x + 0.06, foot - 0.14, x + 0.66, foot, fill=sofa)
    c.disc(x + 0.03, foot - 0.1, 0.055, 0.1, fill=sofa)
    c.disc(x + 0.69, foot - 0.1, 0.055, 0.1, fill=sofa)
    c.box(x + 0.14, foot - 0.22, x + 0.28, foot - 0.1, fill=c.pick((250, 220, 140), (240, 240, 240), (150, 190, 210)))
    c.blur(8)
    floor(c, "wood", tiles.wood, horizon=foot - 0.24, top=foot, scale=0.6)
    c.blur(2)


def _shelf(c: Canvas) -> None:
    foot = c.uniform(0.66, 0.74)
    c.put(c.image)
    c.box(0, 0, 1, 1, fill=c.tone((96, 66, 48)))
    for base in (foot - 0.44, foot - 0.03):
        x = 0.0
        while x < 1:
            wide, tall = c.uniform(0.03, 0.07), c.uniform(0.22, 0.34)
            c.box(
                x,
                base - tall,
                x + wide * 0.92,
                base,
                fill=c.pick(
                    (190, 70, 60), (60, 100, 150), (80, 130, 90), (220, 180, 90), (130, 80, 130), (230, 220, 200)
                ),
            )
            x += wide
        c.box(0, base, 1, base + 0.04, fill=c.tone((140, 98, 68)))
    c.blur(9)
    floor(c, "table", tiles.table_wood, horizon=foot - 0.3, top=foot, scale=0.6, turn=90)
    c.blur(2)


def _tiled(c: Canvas) -> None:
    foot = c.uniform(0.3, 0.42)
    wall = c.pick((236, 238, 240), (200, 224, 232), (240, 228, 210))
    gradient(c, [(0, wall), (1, tuple(int(v * 0.9) for v in wall))], 0, foot)
    for row in np.arange(0.02, foot, 0.08):
        c.stroke([(0, row), (1, row)], 0.005, fill=tuple(int(v * 0.86) for v in wall))
    for column in np.arange(c.uniform(0, 0.1), 1, 0.1):
        c.stroke([(column, 0), (column, foot)], 0.005, fill=tuple(int(v * 0.86) for v in wall))
    c.blur(4)
    floor(c, "checker", tiles.checker, horizon=foot - 0.16, top=foot, scale=0.75, turn=c.uniform(-30, 30))
    c.blur(2)


PLACES = (
    Place(
        "kitchen table",
        ("on a kitchen table", "on the table in a kitchen", "in the kitchen"),
        "kitchen table",
        _kitchen,
        tint=(1.03, 1.0, 0.95),
        shadow=(80, 46, 24),
    ),
    Place(
        "bedroom",
        ("in a bedroom", "in the bedroom next to the bed", "in front of a bed"),
        "bedroom",
        _bedroom,
        tint=(1.03, 0.99, 0.96),
    ),
    Place(
        "living room",
        ("in a living room", "in front of a sofa", "in a cozy living room"),
        "living room",
        _living,
        tint=(1.02, 1.0, 0.97),
    ),
    Place(
        "library",
        ("in a library", "in front of a bookshelf", "with books behind it"),
        "library",
        _shelf,
        tint=(1.03, 0.98, 0.92),
        shadow=(60, 34, 18),
    ),
    Place("tiled floor", ("on a tiled floor", "on a checkered floor", "on checkered tiles"), "tiled floor", _tiled),
)
