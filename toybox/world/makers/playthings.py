"""Makers of playthings and clocks."""

import numpy as np
from PIL import Image, ImageDraw

from toybox.world.description import Thing
from toybox.world.makers.maker import Maker, Palette, darker
from toybox.world.makers.mesh import Mesh, box, revolve, smooth, tube

WHITE, INK = (250, 250, 250), (30, 30, 38)


def _eyes(mesh: Mesh, y: float, z: float, apart: float, size: float) -> None:
    """Two round eyes."""
    for way in (-1, 1):
        box(mesh, (way * apart, y, z), (size, size, size * 0.6), round_=1.0, rgb=WHITE, steps=9)
        box(mesh, (way * apart, y, z + size * 0.45), (size * 0.5, size * 0.5, size * 0.3), round_=1.0, rgb=INK, steps=8)


def _robot(mesh: Mesh, thing: Thing) -> None:
    """A robot with a plate on its chest."""
    shades = Palette(thing)
    box(mesh, (0, 0.72, 0), (0.46, 0.4, 0.3), round_=0.28, painted=True)
    box(mesh, (0, 1.38, 0), (0.36, 0.24, 0.27), round_=0.3, rgb=shades.second)
    box(mesh, (0, 1.38, 0.2), (0.28, 0.15, 0.1), round_=0.3, rgb=INK, steps=12)
    for way in (-1, 1):
        box(mesh, (way * 0.12, 1.4, 0.29), (0.06, 0.07, 0.03), round_=0.8, rgb=(120, 240, 255), steps=8, glow=True)
        tube(mesh, [(way * 0.44, 1.0, 0), (way * 0.66, 0.84, 0.04), (way * 0.68, 0.52, 0.14)], 0.085, rgb=shades.second)
        box(mesh, (way * 0.68, 0.44, 0.16), (0.11, 0.11, 0.11), round_=0.8, rgb=shades.deep, steps=10)
        box(mesh, (way * 0.22, 0.16, 0.02), (0.13, 0.18, 0.17), round_=0.4, rgb=shades.deep, steps=10)
        box(mesh, (way * 0.39, 1.38, 0), (0.06, 0.1, 0.1), round_=0.6, rgb=shades.deep, steps=8)
    tube(mesh, [(0, 1.6, 0), (0, 1.7, 0), (0, 1.8, 0)], 0.025, rgb=shades.deep, count=5, segments=6)
    box(mesh, (0, 1.83, 0), (0.07, 0.07, 0.07), round_=1.0, rgb=shades.base, steps=8)


def _car(mesh: Mesh, thing: Thing) -> None:
    """A toy car from its side."""
    shades = Palette(thing)
    box(mesh, (0, 0.42, 0), (1.0, 0.27, 0.42), round_=0.34, painted=True)
    box(mesh, (-0.1, 0.78, 0), (0.54, 0.25, 0.36), round_=0.42, rgb=shades.second)
    box(mesh, (-0.1, 0.8, 0.03), (0.43, 0.15, 0.36), round_=0.3, rgb=(170, 214, 236), steps=14)
    box(mesh, (-0.1, 0.8, 0.04), (0.03, 0.17, 0.37), round_=0.3, rgb=shades.second, steps=8)
    for x in (-0.58, 0.58):
        for z in (-0.4, 0.4):
            revolve(
                mesh,
                smooth([(0, 0.11), (0.2, 0.11), (0.24, 0.06), (0.24, -0.06), (0.2, -0.11), (0, -0.11)], 16),
                rgb=INK,
                centre=(x, 0.23, z),
                axis="z",
                segments=22,
            )
            revolve(mesh, [(0.13, 0.125), (0, 0.135)], rgb=(226, 226, 232), centre=(x, 0.23, z), axis="z", segments=18)
    box(mesh, (0.98, 0.44, 0.22), (0.05, 0.08, 0.09), round_=0.8, rgb=(255, 240, 170), steps=8)
    box(mesh, (0, 0.22, 0), (1.03, 0.06, 0.4), round_=0.3, rgb=shades.deep, steps=10)


def _duck(mesh: Mesh, thing: Thing) -> None:
    """A bath duck, beak to the right."""
    shades = Palette(thing)
    beak = shades.second
    box(mesh, (0, 0.44, 0), (0.78, 0.45, 0.55), round_=0.9, painted=True)
    box(mesh, (-0.68, 0.66, 0), (0.22, 0.24, 0.2), round_=1.0, rgb=shades.base, steps=12)
    box(mesh, (0.36, 1.1, 0), (0.42, 0.41, 0.41), round_=1.0, rgb=shades.base)
    box(mesh, (0.8, 1.04, 0), (0.19, 0.075, 0.19), round_=0.9, rgb=beak, steps=12)
    box(mesh, (0.78, 0.96, 0), (0.14, 0.05, 0.15), round_=0.9, rgb=darker(beak, 0.8), steps=10)
    for way in (-1, 1):
        box(mesh, (0.6, 1.24, way * 0.27), (0.08, 0.1, 0.08), round_=1.0, rgb=INK, steps=9)
        box(mesh, (0.64, 1.28, way * 0.32), (0.03, 0.03, 0.03), round_=1.0, rgb=WHITE, steps=6)


def _monster(mesh: Mesh, thing: Thing) -> None:
    """A friendly monster with horns."""
    shades = Palette(thing)
    box(mesh, (0, 0.76, 0), (0.56, 0.66, 0.46), round_=0.8, painted=True, steps=20)
    if thing.trait("inside") < 0.5:
        box(mesh, (0, 1.16, 0.33), (0.2, 0.2, 0.12), round_=1.0, rgb=WHITE)
        box(mesh, (0, 1.16, 0.43), (0.1, 0.1, 0.05), round_=1.0, rgb=INK, steps=10)
    else:
        _eyes(mesh, 1.16, 0.36, 0.18, 0.14)
    for way in (-1, 1):
        tube(
            mesh,
            [(way * 0.26, 1.3, 0), (way * 0.4, 1.5, 0), (way * 0.36, 1.72, 0)],
            (0.11, 0.08, 0.01),
            rgb=shades.second,
        )
        tube(mesh, [(way * 0.48, 0.8, 0.05), (way * 0.72, 0.74, 0.1), (way * 0.78, 0.98, 0.16)], 0.1, rgb=shades.base)
        box(mesh, (way * 0.26, 0.1, 0.1), (0.2, 0.12, 0.28), round_=0.8, rgb=shades.second, steps=12)
    tube(mesh, [(-0.16, 0.93, 0.42), (0, 0.87, 0.455), (0.16, 0.93, 0.42)], 0.024, rgb=INK, count=8, segments=6)


def _toy(mesh: Mesh, thing: Thing) -> None:
    """One of the toys."""
    _TOYS[thing.trait("shape")](mesh, thing)


_TOYS = {"robot": _robot, "car": _car, "duck": _duck, "monster": _monster}


def _clock(mesh: Mesh, thing: Thing) -> None:
    """An alarm clock with bells, or a boxy or plain one."""
    shades, shape = Palette(thing), thing.trait("shape")
    middle = 0.84
    if shape == "square":
        box(mesh, (0, middle, -0.06), (0.74, 0.74, 0.25), round_=0.26, rgb=shades.base)
    else:
        revolve(
            mesh,
            smooth([(0.0, -0.28), (0.5, -0.28), (0.72, -0.18), (0.76, 0.05), (0.74, 0.2)], 16),
            rgb=shades.base,
            centre=(0, middle, 0),
            axis="z",
        )
    revolve(
        mesh,
        smooth([(0.76, 0.16), (0.73, 0.24), (0.64, 0.2)], 8),
        rgb=shades.second if shape == "square" else shades.base,
        centre=(0, middle, 0),
        axis="z",
    )
    angle = np.linspace(-np.pi, np.pi, 37)
    radius = np.array([0.64, 0.0])[:, None]
    points = np.stack([radius * np.sin(angle), radius * np.cos(angle) + middle, np.full((2, 37), 0.205)], -1)
    uv = np.stack([0.5 + radius * np.sin(angle) * 0.25 / 0.64, 0.5 - radius * np.cos(angle) * 0.5 / 0.64], -1)
    mesh.sheet(points, uv=uv)
    for way in (-1, 1):
        tube(mesh, [(way * 0.36, 0.26, 0), (way * 0.5, 0.1, 0), (way * 0.58, 0.0, 0)], 0.075, rgb=shades.deep, count=6)
        if shape == "round":
            box(mesh, (way * 0.42, 1.62, 0), (0.28, 0.2, 0.2), round_=0.95, rgb=shades.second, steps=14)
    if shape == "round":
        tube(mesh, [(-0.12, 1.72, 0), (0, 1.88, 0), (0.12, 1.72, 0)], 0.035, rgb=shades.deep, count=8)


class _ClockMaker(Maker):
    """A maker whose texture is the clock's face."""

    def texture(self, thing: Thing) -> Image.Image:
        """Returns: the face with ticks and hands, as wide as the texture's middle half."""
        image = Image.new("RGB", (512, 256), WHITE)
        pen = ImageDraw.Draw(image)
        for hour in range(12):
            x, y = np.sin(hour * np.pi / 6), -np.cos(hour * np.pi / 6)
            pen.line((256 + 96 * x, 128 + 96 * y, 256 + 114 * x, 128 + 114 * y), fill=INK, width=7 if hour % 3 else 12)
        turn = thing.trait("hour") * 2 * np.pi
        for angle, length, width in ((turn, 56, 13), (turn * 12, 86, 9)):
            pen.line((256, 128, 256 + length * np.sin(angle), 128 - length * np.cos(angle)), fill=INK, width=width)
        pen.ellipse((246, 118, 266, 138), fill=Palette(thing).second)
        return image


MAKERS = (
    Maker("toy", tuple(_TOYS), _toy, (("inside", 0, 1),), aspect=3.4, spot=(0.5, 0.52), reach=0.62, turn=50, gloss=0.5),
    _ClockMaker(
        "clock", ("round", "square", "simple"), _clock, (("hour", 0, 1),), turn=45, gloss=0.4, patterns=(), marks=False
    ),
)
