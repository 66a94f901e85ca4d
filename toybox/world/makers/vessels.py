"""Makers of vessels: mug, can, bowl, vase, teapot, candle."""

import numpy as np

from toybox.world.description import Thing
from toybox.world.makers.maker import Maker, Palette, darker
from toybox.world.makers.mesh import Mesh, box, revolve, smooth, tube

CREAM = (250, 244, 232)
STEEL = (196, 200, 208)


def _mug(mesh: Mesh, thing: Thing) -> None:
    """A mug with a handle on its right."""
    shades, shape = Palette(thing), thing.trait("shape")
    tall = {"tall": 1.36, "wide": 0.92}.get(shape, 1.14) * thing.trait("height")
    foot, belly, rim = {
        "round": (0.40, 0.62, 0.5),
        "tapered": (0.40, 0.48, 0.58),
        "tall": (0.44, 0.46, 0.46),
        "wide": (0.58, 0.6, 0.62),
    }.get(shape, (0.52, 0.52, 0.52))
    wall = smooth(
        [
            (foot, 0.02),
            ((foot + belly) / 2 + 0.03, 0.25 * tall),
            (belly, 0.5 * tall),
            ((belly + rim) / 2, 0.78 * tall),
            (rim, tall),
        ],
        18,
    )
    revolve(mesh, [(0, 0), (foot * 0.95, 0), (foot, 0.02)], rgb=shades.base)
    revolve(mesh, wall, painted=(tall, 0))
    inside = CREAM if thing.trait("inside") < 0.6 else shades.second
    revolve(mesh, smooth([(rim, tall), (rim - 0.025, tall + 0.022), (rim - 0.055, tall)], 6), rgb=shades.base)
    revolve(mesh, [(rim - 0.055, tall), (belly - 0.06, 0.5 * tall), (foot - 0.05, 0.1), (0, 0.1)], rgb=inside)
    if thing.trait("filled") < 0.5:
        revolve(mesh, [(rim - 0.06, tall * 0.86), (0, tall * 0.86)], rgb=(92, 54, 34))
    out = thing.trait("handle")
    handle = shades.second if thing.trait("inside") > 0.8 else shades.base
    tube(
        mesh,
        [
            (belly - 0.06, 0.8 * tall, 0),
            (belly + 0.55 * out, 0.84 * tall, 0),
            (belly + out, 0.52 * tall, 0),
            (belly + 0.5 * out, 0.22 * tall, 0),
            (belly - 0.08, 0.24 * tall, 0),
        ],
        0.062,
        rgb=handle,
    )


def _can(mesh: Mesh, thing: Thing) -> None:
    """A drinks can or a tin."""
    shades, shape = Palette(thing), thing.trait("shape")
    radius = {"slim": 0.34, "short": 0.52, "wide": 0.56}.get(shape, 0.42)
    tall = {"slim": 1.36, "short": 0.84, "wide": 1.05}.get(shape, 1.3) * thing.trait("height")
    if shape in ("short", "wide"):
        for y in (0.03, tall - 0.03):
            revolve(mesh, smooth([(radius, y - 0.035), (radius + 0.025, y), (radius, y + 0.035)], 7), rgb=STEEL)
        revolve(mesh, [(radius - 0.006, 0.06), (radius - 0.006, tall - 0.06)], painted=(tall - 0.06, 0.06))
        revolve(
            mesh, [(radius - 0.03, tall + 0.005), (radius - 0.045, tall - 0.03), (0, tall - 0.03)], rgb=(214, 216, 222)
        )
        revolve(mesh, [(0, 0), (radius, 0)], rgb=STEEL)
    else:
        revolve(mesh, smooth([(radius * 0.72, 0), (radius * 0.9, 0.04), (radius, 0.12)], 6), rgb=STEEL)
        revolve(mesh, [(radius, 0.12), (radius, tall - 0.17)], painted=(tall - 0.17, 0.12))
        revolve(
            mesh,
            smooth([(radius, tall - 0.17), (radius * 0.93, tall - 0.07), (radius * 0.83, tall - 0.02)], 6),
            rgb=shades.deep,
        )
        revolve(
            mesh,
            smooth([(radius * 0.83, tall - 0.02), (radius * 0.86, tall), (radius * 0.8, tall + 0.008)], 5),
            rgb=(220, 222, 228),
        )
        revolve(mesh, [(radius * 0.78, tall), (radius * 0.74, tall - 0.035), (0, tall - 0.035)], rgb=STEEL)
    box(mesh, (0, tall - 0.012, 0.1), (0.09, 0.012, 0.13), round_=0.7, rgb=(232, 234, 240), steps=8)


def _bowl(mesh: Mesh, thing: Thing) -> None:
    """A bowl, empty or with fruit."""
    shades, shape = Palette(thing), thing.trait("shape")
    tall = {"deep": 0.78, "shallow": 0.42}.get(shape, 0.6) * thing.trait("height")
    wall = smooth([(0.36, 0.06), (0.68, 0.22 * tall), (0.9, 0.58 * tall), (1.0, tall)], 16)
    if shape == "tapered":
        wall = smooth([(0.36, 0.06), (0.58, 0.3 * tall), (0.8, 0.65 * tall), (1.0, tall)], 12)
    revolve(mesh, [(0.0, 0.0), (0.34, 0), (0.36, 0.07)], rgb=shades.deep)
    revolve(mesh, wall, painted=(tall, 0.02))
    rim = shades.second if thing.trait("inside") > 0.85 else shades.base
    revolve(mesh, smooth([(1.0, tall), (0.985, tall + 0.025), (0.95, tall)], 6), rgb=rim)
    revolve(
        mesh,
        [(r * 0.95, y + 0.02) for r, y in wall[::-1]] + [(0, 0.1)],
        rgb=CREAM if thing.trait("inside") < 0.55 else darker(shades.base, 0.86),
    )
    if thing.trait("filled") > 0.6:
        rng = np.random.default_rng(int(thing.trait("filled") * 1000))
        tones = ((210, 36, 60), (70, 74, 168), (236, 120, 44), (120, 170, 60))
        tone = tones[int(rng.integers(4))]
        for x, z in rng.uniform(-0.62, 0.62, (16, 2)):
            box(
                mesh,
                (x, tall * 0.86 + 0.1 * (1 - x * x - z * z), z),
                (0.16, 0.16, 0.16),
                round_=1.0,
                rgb=darker(tone, float(rng.uniform(0.85, 1.1)) if max(tone) < 230 else 1.0),
                steps=7,
            )


def _vase(mesh: Mesh, thing: Thing) -> None:
    """A vase, with or without flowers."""
    shades, shape = Palette(thing), thing.trait("shape")
    tall = 1.3 * thing.trait("height")
    lines = {
        "round": [(0.3, 0), (0.56, 0.3), (0.58, 0.52), (0.3, 0.82), (0.22, 0.9), (0.34, 1)],
        "slim": [(0.26, 0), (0.34, 0.3), (0.3, 0.6), (0.16, 0.84), (0.2, 1)],
        "square": [(0.36, 0), (0.42, 0.05), (0.42, 0.5), (0.42, 0.95), (0.4, 1)],
        "curved": [(0.34, 0), (0.24, 0.16), (0.44, 0.6), (0.42, 0.76), (0.26, 0.9), (0.36, 1)],
    }
    wall = smooth([(r, y * tall) for r, y in lines[shape]], 26)
    revolve(mesh, wall, painted=(tall, 0))
    rim = wall[-1, 0]
    revolve(
        mesh, [(rim, tall), (rim - 0.04, tall + 0.012), (rim - 0.07, tall * 0.9), (0, tall * 0.86)], rgb=shades.deep
    )
    if thing.trait("filled") > 0.6:
        rng = np.random.default_rng(int(thing.trait("filled") * 1000))
        petals = ((240, 90, 110), (250, 200, 60), (240, 240, 250), (170, 110, 220))[int(rng.integers(4))]
        for angle in np.linspace(-0.9, 0.9, 5):
            tip = (
                0.62 * np.sin(angle),
                tall + 0.42 * np.cos(angle) + float(rng.uniform(0, 0.12)),
                float(rng.uniform(-0.1, 0.2)),
            )
            tube(
                mesh,
                [(0, tall * 0.85, 0), (tip[0] * 0.4, tall + 0.1, 0), tip],
                0.022,
                rgb=(70, 140, 70),
                count=8,
                segments=6,
            )
            box(mesh, tip, (0.15, 0.12, 0.15), round_=1.0, rgb=petals, steps=7)
            box(
                mesh, (tip[0], tip[1] + 0.02, tip[2] + 0.1), (0.06, 0.06, 0.06), round_=1.0, rgb=(250, 214, 90), steps=6
            )


def _teapot(mesh: Mesh, thing: Thing) -> None:
    """A teapot, spout on its left."""
    shades, shape = Palette(thing), thing.trait("shape")
    tall = {"tall": 1.15, "flat": 0.76}.get(shape, 0.94) * thing.trait("height")
    wide = {"tall": 0.56, "flat": 0.74}.get(shape, 0.64)
    wall = smooth(
        [(0.36, 0.03), (wide * 0.92, 0.26 * tall), (wide, 0.5 * tall), (wide * 0.8, 0.8 * tall), (0.32, tall)], 22
    )
    revolve(mesh, [(0, 0), (0.36, 0), (0.37, 0.04)], rgb=shades.deep)
    revolve(mesh, wall, painted=(tall, 0))
    lid = shades.second if thing.trait("inside") > 0.5 else shades.base
    revolve(mesh, smooth([(0.35, tall - 0.01), (0.3, tall + 0.06), (0.12, tall + 0.13), (0, tall + 0.14)], 10), rgb=lid)
    box(mesh, (0, tall + 0.2, 0), (0.09, 0.085, 0.09), round_=1.0, rgb=shades.second, steps=10)
    tube(
        mesh,
        [
            (-wide + 0.12, 0.3 * tall, 0),
            (-wide - 0.22, 0.42 * tall, 0),
            (-wide - 0.3, 0.72 * tall, 0),
            (-wide - 0.48, 0.96 * tall, 0),
        ],
        (0.17, 0.12, 0.085, 0.075),
        rgb=shades.base,
    )
    tube(
        mesh,
        [
            (wide - 0.1, 0.82 * tall, 0),
            (wide + 0.3, 0.9 * tall, 0),
            (wide + 0.42, 0.55 * tall, 0),
            (wide + 0.2, 0.25 * tall, 0),
            (wide - 0.06, 0.26 * tall, 0),
        ],
        0.065,
        rgb=lid,
    )


def _candle(mesh: Mesh, thing: Thing) -> None:
    """A candle with a flame."""
    shades, shape = Palette(thing), thing.trait("shape")
    radius, tall = {"slim": (0.2, 1.1), "short": (0.46, 0.66), "wide": (0.5, 0.9)}.get(shape, (0.34, 1.0))
    tall *= thing.trait("height")
    revolve(mesh, smooth([(radius, 0.0), (radius, 0.5 * tall), (radius, tall - 0.03)], 8), painted=(tall, 0))
    revolve(
        mesh,
        smooth([(radius, tall - 0.03), (radius - 0.03, tall), (radius * 0.7, tall - 0.03), (0, tall - 0.05)], 9),
        rgb=darker(shades.base, 0.94),
    )
    if thing.trait("inside") > 0.5:
        revolve(mesh, smooth([(radius * 1.5, 0.1), (radius * 1.45, 0.02), (radius, 0.0), (0, 0)], 8), rgb=shades.second)
        revolve(mesh, [(radius * 1.5, 0.1), (radius * 1.0, 0.06)], rgb=shades.second)
    tube(
        mesh,
        [(0, tall - 0.06, 0), (0.01, tall + 0.05, 0), (0.02, tall + 0.1, 0)],
        0.018,
        rgb=(50, 40, 36),
        count=6,
        segments=6,
    )
    flame = smooth([(0.0, 0), (0.085, 0.08), (0.075, 0.16), (0.03, 0.28), (0.0, 0.36)], 14)
    revolve(mesh, flame + [0, tall + 0.06], rgb=(255, 170, 40), glow=True, segments=16)
    revolve(
        mesh, flame * [0.55, 0.6] + [0, tall + 0.07], rgb=(255, 244, 170), glow=True, segments=12, centre=(0, 0, 0.06)
    )


_HEIGHT = ("height", 0.9, 1.1)
MAKERS = (
    Maker(
        "mug",
        ("round", "tall", "wide", "tapered", "straight"),
        _mug,
        (_HEIGHT, ("inside", 0, 1), ("filled", 0, 1), ("handle", 0.28, 0.42)),
        aspect=2.9,
        reach=0.62,
        turn=55,
    ),
    Maker("can", ("slim", "tall", "short", "wide"), _can, (_HEIGHT,), aspect=2.7, reach=0.6, turn=70, gloss=0.6),
    Maker(
        "bowl",
        ("deep", "shallow", "round", "tapered"),
        _bowl,
        (_HEIGHT, ("inside", 0, 1), ("filled", 0, 1)),
        aspect=8.5,
        reach=0.72,
        turn=40,
    ),
    Maker(
        "vase",
        ("round", "slim", "square", "curved"),
        _vase,
        (_HEIGHT, ("filled", 0, 1)),
        aspect=2.0,
        spot=(0.5, 0.56),
        reach=0.36,
        turn=70,
        gloss=0.5,
    ),
    Maker(
        "teapot",
        ("round", "tall", "flat"),
        _teapot,
        (_HEIGHT, ("inside", 0, 1)),
        aspect=4.0,
        reach=0.5,
        turn=45,
        gloss=0.55,
    ),
    Maker(
        "candle",
        ("slim", "tall", "short", "wide"),
        _candle,
        (_HEIGHT, ("inside", 0, 1)),
        aspect=2.4,
        reach=0.5,
        turn=70,
        gloss=0.2,
    ),
)
