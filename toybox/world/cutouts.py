"""Cut-outs (Fluent Emoji 3D, MIT): read once, recoloured exactly, turned and scaled."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from toybox.world.colours import SHADES

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "emoji"
SIDE = 224  # side in pixels that a cut-out is kept at
_BODY_HUE = {"1f68c": 0.11}  # where the commonest hue is not the body's: the bus has many windows
_LUMA = np.array([0.30, 0.59, 0.11], np.float32)


@lru_cache(maxsize=128)
def _pixels(drawing: str) -> np.ndarray:
    """Reads a cut-out, cropped to what it shows, as float RGBA in 0..1."""
    path = FOLDER / f"{drawing}.webp"
    if not path.is_file():
        raise FileNotFoundError(
            f"cut-out {drawing!r} is missing at {path}: restore toybox/assets/emoji from the repository"
        )
    image = Image.open(path).convert("RGBA")
    image = image.crop(image.getchannel("A").point(lambda a: 255 * (a > 8)).getbbox())
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32) / 255


def _body(rgb: np.ndarray, alpha: np.ndarray, known: float | None = None) -> np.ndarray:
    """Says how much each pixel belongs to the body colour, in 0..1.

    The body colour is the commonest hue among coloured pixels; where hardly anything is coloured (an elephant) the
    body is everything but the darkest parts (eyes, tires).
    """
    high, low = rgb.max(-1), rgb.min(-1)
    chroma = (high - low) * (alpha > 0.5)
    if (chroma > 0.22).sum() < 0.22 * (alpha > 0.5).sum():
        return np.clip((rgb @ _LUMA - 0.16) / 0.12, 0, 1)
    hue = _hue(rgb, high, low)
    counts, edges = np.histogram(hue, bins=36, range=(0, 1), weights=chroma)
    smooth = counts + 0.7 * (np.roll(counts, 1) + np.roll(counts, -1))
    middle = edges[int(smooth.argmax())] + 1 / 72 if known is None else known
    distance = np.abs((hue - middle + 0.5) % 1 - 0.5)
    return np.clip((0.13 - distance) / 0.05, 0, 1) * np.clip((high - low - 0.07) / 0.10, 0, 1)


def _hue(rgb: np.ndarray, high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Computes the hue in 0..1 (0 where there is none)."""
    spread = np.maximum(high - low, 1e-6)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    hue = np.where(high == red, (green - blue) / spread % 6, (blue - red) / spread + 2)
    hue = np.where((high == blue) & (high != red), (red - green) / spread + 4, hue)
    return hue / 6 % 1


@lru_cache(maxsize=1024)
def cutout(drawing: str, colour: str | None = None) -> Image.Image:
    """Gives a cut-out, recoloured where a colour word is given.

    The body's brightness is mapped to the word's dark, base and light shade, so that the colour is exact whatever the
    drawing's own is; eyes, tires and trimmings keep theirs.

    Args:
        drawing: The file's stem in `toybox/assets/emoji`.
        colour: A word of `colours()`, or None for the natural colour.

    Returns:
        An RGBA image whose longer side is `SIDE`. Shared: do not change it.

    Raises:
        FileNotFoundError: The cut-out's file is missing.
    """
    pixels = _pixels(drawing)
    rgb, alpha = pixels[..., :3], pixels[..., 3]
    if colour is not None:
        weight = _body(rgb, alpha, _BODY_HUE.get(drawing))
        luma = rgb @ _LUMA
        lit = luma[(weight > 0.5) & (alpha > 0.5)]
        low, middle, high = np.quantile(lit, (0.03, 0.5, 0.98)) if lit.size else (0.2, 0.5, 0.9)
        low, high = min(low, middle - 0.18), max(high, middle + 0.15)
        tones = SHADES[colour]
        ramp = np.array([tones.dark, tones.base, tones.light], np.float32) / 255
        mapped = np.stack([np.interp(luma, (low, middle, high), ramp[:, channel]) for channel in range(3)], -1)
        rgb = rgb + weight[..., None] * (mapped - rgb)
    merged = np.concatenate([rgb, alpha[..., None]], -1)
    return Image.fromarray((merged * 255 + 0.5).astype(np.uint8), "RGBA")


def draw_cutout(drawing: str, colour: str | None, *, side: int, roll: float, flip: bool) -> Image.Image:
    """Draws a cut-out at a size.

    Args:
        drawing: The file's stem.
        colour: Its colour word or None.
        side: Its longer side in pixels, before the tilt.
        roll: Tilt in degrees.
        flip: Whether it is mirrored.

    Returns:
        An RGBA image cropped to the turned cut-out.
    """
    image = cutout(drawing, colour)
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.convert("RGBa").resize(size, Image.Resampling.BICUBIC)
    if flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if abs(roll) > 0.5:
        image = image.rotate(roll, Image.Resampling.BICUBIC, expand=True)
    image = image.convert("RGBA")
    return image.crop(image.getbbox())
