"""Makers of things to wear: backpack, sneaker, boot."""

import numpy as np

from toybox.world.description import Thing
from toybox.world.makers.maker import Maker, Palette, darker
from toybox.world.makers.mesh import Mesh, box, loft, revolve, smooth, tube


def _backpack(mesh: Mesh, thing: Thing) -> None:
    """A backpack seen from its pocket side."""
    shades, shape = Palette(thing), thing.trait("shape")
    wide, tall = {"slim": (0.5, 0.8), "boxy": (0.62, 0.72), "wide": (0.7, 0.7)}.get(shape, (0.6, 0.76))
    tall *= thing.trait("height")
    round_ = {"boxy": 0.3, "round": 0.66}.get(shape, 0.46)
    box(mesh, (0, tall, 0), (wide, tall, 0.34), round_=round_, painted=True, steps=22)
    pocket = shades.second if thing.trait("inside") > 0.35 else shades.deep
    low = 0.36 * tall
    box(mesh, (0, low + 0.08, 0.27), (wide * 0.76, low, 0.2), round_=0.42, rgb=pocket)
    zipper = darker(pocket, 0.6)
    tube(
        mesh,
        [(-wide * 0.56, low * 1.52, 0.43), (0, low * 1.6, 0.472), (wide * 0.56, low * 1.52, 0.43)],
        0.02,
        rgb=zipper,
        count=12,
        segments=6,
    )
    box(mesh, (wide * 0.5, low * 1.4, 0.47), (0.025, 0.07, 0.02), rgb=(220, 200, 130), steps=6)
    arc = [(wide * 0.86 * np.sin(a), tall * (1.02 + 0.86 * np.cos(a)), 0.22) for a in np.linspace(-1.7, 1.7, 9)]
    tube(mesh, arc, 0.026, rgb=shades.deep, count=28, segments=6)
    tube(
        mesh,
        [
            (-0.14, 1.94 * tall, -0.05),
            (-0.13, 2.13 * tall, -0.05),
            (0.13, 2.13 * tall, -0.05),
            (0.14, 1.94 * tall, -0.05),
        ],
        0.045,
        rgb=shades.deep,
    )
    for way in (-1, 1):
        tube(
            mesh,
            [
                (way * wide * 0.5, 1.8 * tall, -0.25),
                (way * wide * 1.06, 1.45 * tall, -0.42),
                (way * wide * 1.1, 0.7 * tall, -0.4),
                (way * wide * 0.8, 0.2 * tall, -0.22),
            ],
            0.07,
            rgb=shades.deep,
        )
        box(mesh, (way * wide * 0.98, low * 0.9, 0.02), (0.12, low * 0.8, 0.22), round_=0.5, rgb=pocket, steps=12)


def _sneaker(mesh: Mesh, thing: Thing) -> None:
    """A sneaker seen from its side, toe to the right."""
    shades, shape = Palette(thing), thing.trait("shape")
    ankle = {"high": 0.98, "low": 0.58}.get(shape, 0.7) * thing.trait("height")
    sole = (248, 246, 240) if thing.trait("inside") < 0.62 else shades.second
    thick = {"chunky": 0.26}.get(shape, 0.17)
    loft(
        mesh,
        [
            (-1.02, 0.03, thick, 0.16),
            (-0.9, 0.0, thick, 0.32),
            (-0.3, 0.0, thick, 0.32),
            (0.4, 0.0, thick, 0.37),
            (0.85, 0.01, thick + 0.01, 0.3),
            (1.08, 0.07, thick + 0.03, 0.1),
        ],
        rgb=sole,
        square=0.35,
    )
    low = thick - 0.05
    loft(
        mesh,
        [
            (-0.97, low, 0.5, 0.1),
            (-0.9, low, ankle * 0.97, 0.24),
            (-0.55, low, ankle * 0.95, 0.28),
            (-0.22, low, ankle * 0.96, 0.27),
            (0.02, low, 0.62, 0.29),
            (0.42, low, 0.43, 0.33),
            (0.82, low, 0.34, 0.27),
            (1.02, low, 0.22, 0.08),
        ],
        painted=True,
        square=0.78,
        count=34,
    )
    box(
        mesh,
        (0.84, thick + 0.035, 0),
        (0.235, 0.175, 0.285),
        round_=0.85,
        rgb=sole if thing.trait("filled") > 0.4 else shades.base,
        steps=14,
    )
    box(mesh, (-0.55, ankle * 0.965, 0), (0.31, 0.05, 0.2), round_=0.9, rgb=darker(shades.base, 0.35), steps=12)
    tube(
        mesh,
        [(-0.28, ankle * 0.8, 0), (-0.16, ankle + 0.04, 0), (-0.2, ankle + 0.15, 0)],
        0.11,
        rgb=shades.second,
        flat=1.5,
        count=8,
    )
    lace = (250, 250, 250) if sum(shades.base) < 620 else (60, 60, 70)
    for share in np.linspace(0.0, 1.0, 4):
        x, y = -0.12 + 0.5 * share, (ankle * 0.93) * (1 - share) + 0.47 * share
        tube(
            mesh,
            [(x - 0.04, y - 0.07, -0.26), (x, y + 0.045, 0), (x - 0.04, y - 0.07, 0.26)],
            0.032,
            rgb=lace,
            count=10,
            segments=7,
        )
    if thing.trait("badge") is None and thing.trait("letters") is None:
        for x in (-0.28, -0.12, 0.04):
            tube(
                mesh,
                [(x, thick + 0.02, 0.318), (x + 0.07, thick + 0.15, 0.318), (x + 0.16, thick + 0.28, 0.27)],
                0.034,
                rgb=shades.second,
                count=8,
                segments=6,
                flat=0.7,
            )
    box(mesh, (-0.92, 0.42, 0), (0.08, 0.16, 0.17), round_=0.6, rgb=shades.second, steps=10)


def _boot(mesh: Mesh, thing: Thing) -> None:
    """A rain boot, toe to the right."""
    shades, shape = Palette(thing), thing.trait("shape")
    tall = {"tall": 1.45, "short": 0.92}.get(shape, 1.18) * thing.trait("height")
    dark = darker(shades.base, 0.5)
    loft(
        mesh,
        [
            (-0.56, 0.0, 0.1, 0.2),
            (-0.48, 0.0, 0.12, 0.3),
            (0.1, 0.0, 0.12, 0.3),
            (0.5, 0.0, 0.12, 0.34),
            (0.8, 0.01, 0.12, 0.24),
            (0.92, 0.04, 0.1, 0.08),
        ],
        rgb=dark,
        square=0.35,
    )
    loft(
        mesh,
        [
            (-0.52, 0.08, 0.5, 0.14),
            (-0.42, 0.08, 0.62, 0.29),
            (0.05, 0.08, 0.6, 0.3),
            (0.4, 0.08, 0.46, 0.31),
            (0.72, 0.08, 0.34, 0.24),
            (0.87, 0.08, 0.2, 0.07),
        ],
        rgb=shades.base,
        square=0.85,
    )
    wall = smooth([(0.35, 0.3), (0.34, 0.6), (0.35, 0.8 * tall), (0.38, tall)], 14)
    revolve(mesh, wall, painted=(tall, 0.3), centre=(-0.14, 0, 0))
    revolve(
        mesh,
        smooth([(0.38, tall - 0.12), (0.41, tall - 0.06), (0.4, tall), (0.36, tall + 0.01)], 8),
        rgb=shades.second,
        centre=(-0.14, 0, 0),
    )
    revolve(mesh, [(0.36, tall), (0.33, tall * 0.9), (0, tall * 0.85)], rgb=(40, 36, 40), centre=(-0.14, 0, 0))


MAKERS = (
    Maker(
        "backpack",
        ("slim", "boxy", "wide", "round"),
        _backpack,
        (("height", 0.92, 1.08), ("inside", 0, 1)),
        aspect=1.6,
        spot=(0.5, 0.34),
        reach=0.3,
        turn=55,
        gloss=0.12,
    ),
    Maker(
        "sneaker",
        ("high", "low", "chunky", "sporty"),
        _sneaker,
        (("height", 0.94, 1.06), ("inside", 0, 1), ("filled", 0, 1)),
        aspect=7.0,
        spot=(0.39, 0.55),
        reach=0.6,
        turn=45,
        gloss=0.15,
        patterns=("stripes", "dots", "checks", "zigzag"),
    ),
    Maker(
        "boot",
        ("tall", "short", "sturdy"),
        _boot,
        (("height", 0.94, 1.06),),
        aspect=2.6,
        spot=(0.5, 0.45),
        reach=0.5,
        turn=50,
        gloss=0.55,
    ),
)
