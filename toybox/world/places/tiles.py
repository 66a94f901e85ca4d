"""Floor textures: square tiles that repeat without a seam, one function each."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from toybox.world.colours import RGB, jittered

SIDE = 192


def _noise(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Makes smooth noise in -1..1 that repeats at the edges."""
    grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    padded = np.pad(grid, 2, mode="wrap")
    step = SIDE // cells
    image = Image.fromarray(padded).resize((SIDE + 4 * step,) * 2, Image.Resampling.BICUBIC)
    return np.asarray(image)[2 * step : 2 * step + SIDE, 2 * step : 2 * step + SIDE]


def _spots(rng: np.random.Generator, count: int, least: float, spread: float) -> np.ndarray:
    """Scatters spots: rows of x, y in pixels and a size from least to least + spread."""
    return rng.uniform(0, 1, (count, 3)) * (SIDE, SIDE, spread) + (0, 0, least)


def grain(rng: np.random.Generator, rgb: RGB, *, coarse: float, fine: float, cells: int = 6) -> Image.Image:
    """Makes rough ground: a shade with soft patches and fine grain (both in grey levels)."""
    relief = _noise(rng, cells) * coarse + _noise(rng, 48) * fine + rng.normal(0, fine / 3, (SIDE, SIDE))
    return Image.fromarray(np.clip(np.asarray(rgb, np.float32) + relief[..., None], 0, 255).astype(np.uint8), "RGB")


def sand(rng: np.random.Generator) -> Image.Image:
    """Pale beach sand."""
    return grain(rng, jittered((240, 214, 160), 0.04, rng), coarse=8, fine=8)


def desert_sand(rng: np.random.Generator) -> Image.Image:
    """Warm desert sand with ripples."""
    base = np.asarray(jittered((232, 170, 96), 0.05, rng), np.float32)
    rows = np.sin(np.arange(SIDE)[:, None] / SIDE * 2 * np.pi * 9 + 2.2 * _noise(rng, 4)) * 9
    return Image.fromarray(np.clip(base + (rows + 5 * _noise(rng, 48))[..., None], 0, 255).astype(np.uint8), "RGB")


def snow(rng: np.random.Generator) -> Image.Image:
    """Snow with bluish hollows."""
    relief = np.clip(_noise(rng, 6) + 0.4 * _noise(rng, 16), -1, 1)[..., None]
    tone = np.asarray((238, 244, 252), np.float32) + relief * np.asarray((15, 10, 4), np.float32)
    return Image.fromarray(np.clip(tone, 0, 255).astype(np.uint8), "RGB")


def grass(rng: np.random.Generator) -> Image.Image:
    """Meadow grass: many short blades."""
    image = grain(rng, jittered((86, 158, 62), 0.06, rng), coarse=14, fine=14)
    pen = ImageDraw.Draw(image)
    for x, y, length in rng.uniform(0, SIDE, (420, 3)):
        pen.line((x, y, x + length / 40 - 2, y - 4 - length / 24), fill=jittered((104, 184, 70), 0.14, rng), width=2)
    return image


def dirt(rng: np.random.Generator) -> Image.Image:
    """Dry brown earth with pebbles."""
    image = grain(rng, jittered((164, 116, 74), 0.05, rng), coarse=16, fine=14)
    pen = ImageDraw.Draw(image)
    for x, y, r in _spots(rng, 46, 1, 3):
        pen.ellipse((x - r, y - r, x + r, y + r), fill=jittered((146, 112, 84), 0.16, rng))
    return image


def forest_ground(rng: np.random.Generator) -> Image.Image:
    """Dark moss and leaves."""
    image = grain(rng, jittered((78, 96, 46), 0.06, rng), coarse=20, fine=14)
    pen = ImageDraw.Draw(image)
    for x, y, r in _spots(rng, 90, 2, 3):
        pen.ellipse((x - r, y - r / 2, x + r, y + r / 2), fill=jittered((112, 92, 48), 0.25, rng))
    return image


def autumn_ground(rng: np.random.Generator) -> Image.Image:
    """Fallen leaves, orange, red and yellow."""
    image = grain(rng, jittered((176, 104, 44), 0.05, rng), coarse=14, fine=12)
    pen = ImageDraw.Draw(image)
    shades = ((226, 120, 30), (200, 60, 30), (240, 176, 50), (160, 80, 34))
    for x, y, r in _spots(rng, 210, 4, 6):
        pen.ellipse((x - r, y - r / 2, x + r, y + r / 2), fill=jittered(shades[int(rng.integers(4))], 0.08, rng))
    return image


def cobbles(rng: np.random.Generator) -> Image.Image:
    """Rounded grey paving stones."""
    image = grain(rng, (92, 88, 86), coarse=6, fine=6)
    pen = ImageDraw.Draw(image)
    step = SIDE // 6
    for row in range(6):
        for column in range(-1, 6):
            x, y = column * step + (row % 2) * step // 2, row * step
            tone = jittered((158, 152, 148), 0.12, rng)
            pen.rounded_rectangle(
                (x + 2, y + 2, x + step - 3, y + step - 3), 9, fill=tuple(int(c * 0.86) for c in tone)
            )
            pen.rounded_rectangle((x + 3, y + 2, x + step - 6, y + step - 8), 8, fill=tone)
    return image


def slabs(rng: np.random.Generator) -> Image.Image:
    """Pale sidewalk slabs."""
    image = grain(rng, (196, 192, 186), coarse=6, fine=7)
    pen = ImageDraw.Draw(image)
    for line in (0, SIDE // 2):
        pen.line((line, 0, line, SIDE), fill=(140, 136, 132), width=3)
        pen.line((0, line, SIDE, line), fill=(140, 136, 132), width=3)
    return image


def _boards(rng: np.random.Generator, rgb: RGB, count: int) -> Image.Image:
    """Draws wooden boards along v."""
    base = np.zeros((SIDE, SIDE, 3), np.float32)
    width = SIDE // count
    for board in range(count):
        tone = np.asarray(jittered(rgb, 0.09, rng), np.float32)
        grain_lines = np.sin(np.arange(width) * 0.9 + rng.uniform(0, 6))[None, :] * 4 + _noise(rng, 12)[:, :width] * 8
        base[:, board * width : (board + 1) * width] = tone + grain_lines[..., None]
        base[:, board * width : board * width + 2] = tone * 0.62
        joint = int(rng.integers(0, SIDE - 2))
        base[joint : joint + 2, board * width : (board + 1) * width] = tone * 0.66
    return Image.fromarray(np.clip(base, 0, 255).astype(np.uint8), "RGB")


def wood(rng: np.random.Generator) -> Image.Image:
    """A parquet of warm boards."""
    shades = ((190, 132, 78), (168, 110, 62), (206, 156, 104))
    return _boards(rng, shades[int(rng.integers(3))], 6)


def table_wood(rng: np.random.Generator) -> Image.Image:
    """A table top of wide pale boards."""
    return _boards(rng, (214, 168, 116), 3)


def _cloth(rng: np.random.Generator, rgb: RGB, folds: float) -> Image.Image:
    """Draws cloth with soft folds and a fine weave."""
    relief = (_noise(rng, 4) + 0.6 * _noise(rng, 8)) * folds + rng.normal(0, 2, (SIDE, SIDE))
    return Image.fromarray(np.clip(np.asarray(rgb, np.float32) + relief[..., None], 0, 255).astype(np.uint8), "RGB")


def pink_fabric(rng: np.random.Generator) -> Image.Image:
    """Pink cloth."""
    return _cloth(rng, jittered((246, 148, 186), 0.03, rng), 22)


def carpet(rng: np.random.Generator) -> Image.Image:
    """A soft beige bedroom carpet."""
    return grain(rng, jittered((206, 190, 172), 0.05, rng), coarse=5, fine=9)


def checker(rng: np.random.Generator) -> Image.Image:
    """Black and white kitchen tiles."""
    image = Image.new("RGB", (SIDE, SIDE), (236, 234, 230))
    pen = ImageDraw.Draw(image)
    half = SIDE // 2
    dark = ((70, 74, 84), (92, 134, 150), (150, 86, 74))[int(rng.integers(3))]
    pen.rectangle((0, 0, half, half), fill=dark)
    pen.rectangle((half, half, SIDE, SIDE), fill=dark)
    return image


def shag(rng: np.random.Generator, rgb: RGB) -> Image.Image:
    """Long-haired rug."""
    image = grain(rng, rgb, coarse=7, fine=10)
    pen = ImageDraw.Draw(image)
    for x, y, turn in _spots(rng, 500, 0, 1):
        tone = jittered(rgb, 0.07, rng)
        pen.line((x, y, x + 10 * turn - 5, y + 7), fill=tone, width=2)
    return image.filter(ImageFilter.BoxBlur(0.6))


def white_rug(rng: np.random.Generator) -> Image.Image:
    """White long-haired rug."""
    return shag(rng, (238, 234, 228))


def purple_rug(rng: np.random.Generator) -> Image.Image:
    """Purple long-haired rug."""
    return shag(rng, jittered((126, 62, 176), 0.04, rng))


def _waves(rng: np.random.Generator, deep: RGB, crest: RGB) -> Image.Image:
    """Draws ripples between two shades."""
    rows = np.sin(np.arange(SIDE)[:, None] / SIDE * 2 * np.pi * 5 + 3.2 * _noise(rng, 4) + 1.4 * _noise(rng, 8))
    weight = np.clip(0.4 + 0.5 * rows, 0, 1)[..., None] ** 1.6
    tone = np.asarray(deep, np.float32) * (1 - weight) + np.asarray(crest, np.float32) * weight
    return Image.fromarray(tone.astype(np.uint8), "RGB")


def water(rng: np.random.Generator) -> Image.Image:
    """Blue rippled water."""
    return _waves(rng, jittered((28, 112, 178), 0.05, rng), (120, 196, 232))


def milk(rng: np.random.Generator) -> Image.Image:
    """Milk: white with soft cream ripples."""
    return _waves(rng, (228, 222, 210), (252, 250, 244))


def asphalt(rng: np.random.Generator) -> Image.Image:
    """Dark street."""
    return grain(rng, (96, 98, 106), coarse=6, fine=8)


def moon_dust(rng: np.random.Generator) -> Image.Image:
    """Grey dust with small craters."""
    image = grain(rng, (150, 150, 158), coarse=12, fine=9)
    pen = ImageDraw.Draw(image)
    for x, y, r in _spots(rng, 14, 4, 12):
        pen.ellipse((x - r, y - r, x + r, y + r), fill=(116, 116, 126))
        pen.ellipse((x - r * 0.8, y - r * 0.7, x + r * 0.9, y + r), fill=(138, 138, 148))
    return image.filter(ImageFilter.BoxBlur(1))
