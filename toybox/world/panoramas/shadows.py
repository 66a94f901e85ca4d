"""The shadow that a thing casts on the ground away from the light."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from toybox.world.description import Light

FORESHORTENING = 0.32  # how much shorter a length on the ground looks when it runs away from the camera
_SIDE = 80  # side in points that shadows are made at
_LONGEST = 1.5  # in heights of the thing; longer shadows leave the picture


@dataclass(frozen=True)
class Ink:
    """What a shadow is painted with: red, green and blue, and the hardness of the light.

    Hardness is 0..1; soft light (0) casts hardly any shadow.
    """

    shade: tuple[int, int, int]
    hardness: float


def fall(light: Light) -> tuple[float, float]:
    """Says where the shadow of a thing's top falls.

    Args:
        light: Azimuth and elevation in degrees; azimuth 0 is the camera's side, -90 the left.

    Returns:
        Steps to the right and down in the picture, in heights of the thing. A light on the camera's side throws the
        shadow up the picture, behind the thing.
    """
    azimuth, elevation = np.deg2rad(light.azimuth), np.deg2rad(max(light.elevation, 5.0))
    length = min(1 / np.tan(elevation), _LONGEST)
    return float(-np.sin(azimuth) * length), float(-np.cos(azimuth) * length * FORESHORTENING)


def cast(
    image: Image.Image,
    alpha: Image.Image,
    corner: tuple[int, int],
    *,
    light: Light,
    ink: Ink,
) -> None:
    """Darkens the ground where a thing stands in the light's way.

    Args:
        image: The picture, RGB; it is painted on.
        alpha: The thing's outline, mode L.
        corner: Upper left corner of the outline in the picture.
        light: Where the light comes from.
        ink: What the shadow is painted with.
    """
    shrink = max(1, max(alpha.size) // _SIDE)  # a soft shadow needs few points
    wide, tall = max(1, alpha.width // shrink), max(1, alpha.height // shrink)
    alpha, foot_line = alpha.resize((wide, tall), Image.Resampling.BOX), corner[1] + alpha.height
    across, down = fall(light)
    # A shadow along the picture's width would be a line: what has depth casts a band.
    down = float(np.copysign(max(abs(down), 0.09), down if down != 0 else -1))
    reach = (round(abs(across) * tall), max(3, round(abs(down) * tall)))
    pad = max(2, round(0.02 * tall * (2 - ink.hardness)))
    size = (wide + reach[0] + 2 * pad, reach[1] + 2 * pad)
    foot = reach[1] + pad if down < 0 else pad
    start = pad + (reach[0] if across < 0 else 0)
    # Each picture point (x, y) of the shadow looks up the outline's point that throws it.
    rise = 1 / (down * tall)
    lean = across * tall * rise
    matrix = (1, -lean, lean * foot - start, 0, -tall * rise, tall + tall * rise * foot)
    thrown = alpha.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    fade = np.abs(np.arange(size[1]) - foot) / max(reach[1], 1)
    weights = np.clip(1 - 0.5 * fade, 0, 1) * min(1.0, 0.2 + 1.1 * ink.hardness) * 0.78
    pixels = np.asarray(thrown, np.float32) * weights[:, None].astype(np.float32)
    pool = Image.fromarray(pixels.astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6 * pad))
    pool = pool.resize((size[0] * shrink, size[1] * shrink), Image.Resampling.BICUBIC)
    image.paste(ink.shade, (corner[0] - start * shrink, foot_line - foot * shrink), pool)
