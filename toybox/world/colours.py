"""The colour words of the world and the exact shades they stand for."""

import colorsys
from dataclasses import dataclass

import numpy as np

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Shade:
    """One colour word: the shade of a lit surface, of its shadow and of its highlight."""

    word: str
    base: RGB
    dark: RGB
    light: RGB


_SHADES = (
    Shade("red", (222, 36, 40), (112, 8, 26), (255, 132, 120)),
    Shade("orange", (250, 128, 22), (160, 62, 6), (255, 196, 120)),
    Shade("yellow", (250, 214, 34), (178, 124, 8), (255, 244, 158)),
    Shade("green", (52, 168, 60), (12, 84, 38), (150, 226, 130)),
    Shade("teal", (18, 168, 164), (4, 82, 90), (128, 228, 218)),
    Shade("blue", (38, 96, 226), (14, 36, 120), (138, 184, 255)),
    Shade("purple", (134, 62, 200), (62, 20, 110), (202, 156, 250)),
    Shade("pink", (250, 122, 178), (178, 48, 112), (255, 204, 226)),
    Shade("black", (44, 44, 50), (12, 12, 16), (116, 118, 128)),
    Shade("white", (240, 240, 242), (160, 164, 178), (255, 255, 255)),
    Shade("golden", (226, 172, 52), (122, 74, 10), (255, 232, 150)),
)
SHADES: dict[str, Shade] = {shade.word: shade for shade in _SHADES}
# Makers also come in shades without an exact check of their own.
EXTRA: dict[str, RGB] = {
    "brown": (134, 84, 50),
    "gray": (140, 146, 154),
    "cream": (244, 228, 196),
    "navy": (28, 44, 92),
}


def colours() -> list[str]:
    """Returns: the colour words that a thing can be asked in, in a fixed order."""
    return list(SHADES)


def shade(word: str) -> RGB:
    """Gives the lit shade of a colour word.

    Args:
        word: One of `colours()` or of the extra words.

    Returns:
        Its red, green and blue in 0..255.
    """
    return SHADES[word].base if word in SHADES else EXTRA[word]


def jittered(rgb: RGB, amount: float, rng: np.random.Generator) -> RGB:
    """Moves a shade a little, in hue as well as in brightness, so that no two pictures are alike."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in rgb))
    hue = (hue + 0.25 * amount * rng.uniform(-1, 1)) % 1
    value = min(max(value * (1 + amount * rng.uniform(-1, 1)), 0), 1)
    saturation = min(max(saturation * (1 + amount * rng.uniform(-1, 1)), 0), 1)
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)
