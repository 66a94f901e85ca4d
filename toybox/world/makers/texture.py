"""Paints the texture of a member: ground color, pattern, badge, letters."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from toybox.world.colours import RGB, shade
from toybox.world.description import Thing

WIDE, TALL = 512, 256
BADGES = ("star", "heart", "moon", "sun", "bolt", "flower", "leaf", "cloud", "drop", "fish")
PATTERNS = ("stripes", "dots", "checks", "zigzag", "band")
LETTERS = (
    *"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "KO",
    "AX",
    "UP",
    "GO",
    "HI",
    "OK",
    "TV",
    "NY",
    "XO",
    "ZU",
    "MO",
    "JAM",
    "ZIP",
    "POP",
    "SKY",
    "FOX",
    "MAX",
    "SUN",
    "TEA",
    "ICE",
    "RED",
    "FUN",
    "WOW",
    "ACE",
    "JET",
    "OWL",
    "BEE",
    "YES",
    "CAT",
    "LEO",
    "NOVA",
    "KIWI",
    "COOL",
    "ROCK",
    "STAR",
    "LUNA",
    "MILK",
    "PLAY",
    "ECHO",
    "ZETA",
    "HOPE",
    "FLOW",
)


def contrast(thing: Thing) -> RGB:
    """Gives the shade for badge and letters: the second color, or what stands out from the ground."""
    base, second = np.array(shade(ground(thing))), np.array(shade(thing.trait("second")))
    if abs((base - second) @ [0.3, 0.59, 0.11]) > 50 or np.abs(base - second).max() > 150:
        return tuple(int(v) for v in second)
    return (255, 255, 255) if base @ [0.3, 0.59, 0.11] < 150 else (34, 34, 44)


def ground(thing: Thing) -> str:
    """Gives the name of the ground color: the color word, or the plain base of a natural member."""
    return thing.colour or thing.trait("base")


def paint(thing: Thing, *, aspect: float, spot: tuple[float, float] = (0.5, 0.5), reach: float = 0.5) -> Image.Image:
    """Paints the texture that runs once around a member.

    Args:
        thing: The member.
        aspect: True width of the texture over its true height, so that nothing is squeezed.
        spot: Middle of badge and letters, in texture coordinates.
        reach: Room for them, as a share of the height.

    Returns:
        An RGB image of WIDE x TALL.
    """
    base, second = shade(ground(thing)), shade(thing.trait("second"))
    image = Image.new("RGB", (WIDE, TALL), base)
    pattern = thing.trait("pattern")
    unit_x, unit_y = WIDE / aspect, TALL  # pixels of one true height
    if pattern in _PATTERNS:
        _PATTERNS[pattern](ImageDraw.Draw(image), (unit_x, unit_y), second, thing.trait("grain", 6))
    marks = [mark for mark in (_badge(thing), _letters(thing)) if mark is not None]
    room = reach / max(1, len(marks))
    top = spot[1] - reach / 2 if len(marks) > 1 else spot[1] - room / 2
    for index, mark in enumerate(marks):
        scale = min(room * 0.92 * unit_y / mark.height, 0.8 * min(1.2 * reach, 0.42 * aspect) * unit_y / mark.width)
        size = (max(2, round(mark.width * scale * unit_x / unit_y)), max(2, round(mark.height * scale)))
        drawn = mark.resize(size, Image.Resampling.BICUBIC)
        middle = ((top + room * (index + 0.5)) * TALL) if len(marks) > 1 else spot[1] * TALL
        corner = (round(spot[0] * WIDE - size[0] / 2), round(middle - size[1] / 2))
        if pattern is not None:
            pad_x, pad_y = round(0.16 * size[0]) + 4, round(0.12 * size[1]) + 3
            plate = (corner[0] - pad_x, corner[1] - pad_y, corner[0] + size[0] + pad_x, corner[1] + size[1] + pad_y)
            ImageDraw.Draw(image).rounded_rectangle(plate, 12, fill=base)
        image.paste(contrast(thing), corner, drawn)
    return image


def _stripes(pen: ImageDraw.ImageDraw, unit: tuple[float, float], rgb: RGB, grain: int) -> None:
    step = unit[1] / grain
    for index in range(grain):
        pen.rectangle((0, (index + 0.25) * step, WIDE, (index + 0.72) * step), fill=rgb)


def _dots(pen: ImageDraw.ImageDraw, unit: tuple[float, float], rgb: RGB, grain: int) -> None:
    across = max(3, round(WIDE / (unit[0] / grain)))
    sx, sy, r = WIDE / across, unit[1] / grain, 0.29
    for row in range(grain):
        for column in range(across + 1):
            x, y = (column + 0.5 * (row % 2)) * sx, (row + 0.5) * sy
            pen.ellipse((x - r * sx, y - r * sy, x + r * sx, y + r * sy), fill=rgb)


def _checks(pen: ImageDraw.ImageDraw, unit: tuple[float, float], rgb: RGB, grain: int) -> None:
    across = max(4, 2 * round(WIDE / (unit[0] / grain) / 2))
    sx, sy = WIDE / across, unit[1] / grain
    for row in range(grain):
        for column in range(row % 2, across, 2):
            pen.rectangle((column * sx, row * sy, (column + 1) * sx, (row + 1) * sy), fill=rgb)


def _zigzag(pen: ImageDraw.ImageDraw, unit: tuple[float, float], rgb: RGB, grain: int) -> None:
    across = max(4, round(WIDE / (unit[0] / grain)))
    sx, sy = WIDE / across, unit[1] / max(2, grain // 2)
    for row in range(-1, grain):
        line = [(column * sx / 2, (row + 0.5 + 0.35 * (column % 2)) * sy) for column in range(2 * across + 1)]
        pen.line(line, fill=rgb, width=max(3, round(sy * 0.3)), joint="curve")


def _band(pen: ImageDraw.ImageDraw, unit: tuple[float, float], rgb: RGB, grain: int) -> None:
    pen.rectangle((0, 0.74 * TALL, WIDE, 0.9 * TALL), fill=rgb)
    pen.rectangle((0, 0.08 * TALL, WIDE, 0.14 * TALL), fill=rgb)


_PATTERNS: dict[str, Callable[..., None]] = {
    "stripes": _stripes,
    "dots": _dots,
    "checks": _checks,
    "zigzag": _zigzag,
    "band": _band,
}


@lru_cache(maxsize=256)
def _text(letters: str) -> Image.Image:
    """Draws letters as a mask, in the typeface that Pillow carries."""
    font = ImageFont.load_default(110)
    left, top, right, bottom = font.getbbox(letters, stroke_width=7)
    image = Image.new("L", (round(right - left) + 4, round(bottom - top) + 4))
    ImageDraw.Draw(image).text((2 - left, 2 - top), letters, fill=255, font=font, stroke_width=7)
    return image.crop(image.getbbox())


def _letters(thing: Thing) -> Image.Image | None:
    return _text(thing.trait("letters")) if thing.trait("letters") else None


def _badge(thing: Thing) -> Image.Image | None:
    return badge(thing.trait("badge")) if thing.trait("badge") else None


@lru_cache(maxsize=32)
def badge(name: str) -> Image.Image:
    """Draws a badge as a mask of 160 x 160.

    Args:
        name: One of `BADGES`.

    Returns:
        An image of mode L.
    """
    image = Image.new("L", (160, 160))
    _DRAWN[name](ImageDraw.Draw(image))
    return image.crop(image.getbbox())


def _ring(count: int, radii: tuple[float, ...], turn: float = -np.pi / 2) -> list[tuple[float, float]]:
    angles = np.arange(count) * 2 * np.pi / count + turn
    return [
        (80 + radii[i % len(radii)] * np.cos(a), 80 + radii[i % len(radii)] * np.sin(a)) for i, a in enumerate(angles)
    ]


def _heart(pen: ImageDraw.ImageDraw) -> None:
    t = np.linspace(0, 2 * np.pi, 60)
    x, y = 16 * np.sin(t) ** 3, 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    pen.polygon(list(zip(80 + 4.6 * x, 76 - 4.6 * y, strict=True)), fill=255)


def _moon(pen: ImageDraw.ImageDraw) -> None:
    pen.ellipse((10, 10, 150, 150), fill=255)
    pen.ellipse((50, -4, 174, 120), fill=0)


def _sun(pen: ImageDraw.ImageDraw) -> None:
    pen.polygon(_ring(24, (76, 76, 52, 52)), fill=255)
    pen.ellipse((34, 34, 126, 126), fill=0)
    pen.ellipse((42, 42, 118, 118), fill=255)


def _flower(pen: ImageDraw.ImageDraw) -> None:
    for x, y in _ring(6, (44,)):
        pen.ellipse((x - 30, y - 30, x + 30, y + 30), fill=255)
    pen.ellipse((56, 56, 104, 104), fill=0)


def _leaf(pen: ImageDraw.ImageDraw) -> None:
    t = np.linspace(0, np.pi, 30)
    right = [(80 + 54 * np.sin(a), 8 + 130 * a / np.pi) for a in t]
    pen.polygon(right + [(160 - x, y) for x, y in reversed(right)], fill=255)
    pen.line((80, 40, 80, 158), fill=0, width=8)
    for y in (70, 98):
        pen.line((80, y + 16, 108, y - 8), fill=0, width=6)
        pen.line((80, y + 16, 52, y - 8), fill=0, width=6)


def _cloud(pen: ImageDraw.ImageDraw) -> None:
    for x, y, r in ((46, 92, 34), (82, 68, 42), (118, 92, 32)):
        pen.ellipse((x - r, y - r, x + r, y + r), fill=255)
    pen.rectangle((46, 92, 118, 125), fill=255)


def _drop(pen: ImageDraw.ImageDraw) -> None:
    pen.ellipse((34, 60, 126, 152), fill=255)
    pen.polygon([(80, 6), (121, 90), (39, 90)], fill=255)


def _fish(pen: ImageDraw.ImageDraw) -> None:
    pen.ellipse((8, 38, 118, 122), fill=255)
    pen.polygon([(100, 80), (154, 36), (154, 124)], fill=255)
    pen.ellipse((32, 62, 48, 78), fill=0)


_DRAWN: dict[str, Callable[[ImageDraw.ImageDraw], None]] = {
    "star": lambda pen: pen.polygon(_ring(10, (78, 34)), fill=255),
    "heart": _heart,
    "moon": _moon,
    "sun": _sun,
    "flower": _flower,
    "leaf": _leaf,
    "cloud": _cloud,
    "drop": _drop,
    "fish": _fish,
    "bolt": lambda pen: pen.polygon([(96, 4), (30, 92), (74, 92), (58, 156), (130, 64), (86, 64)], fill=255),
}
