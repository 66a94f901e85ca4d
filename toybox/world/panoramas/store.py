"""The stored panoramas: a small picture that shows all around, and its light in true proportions.

Both are made by `toybox.world.panoramas.convert` from CC0 panoramas; the folder's README names the source.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "panoramas"
LIGHTS = "light.npz"
LIGHT_ROWS, LIGHT_COLUMNS = 32, 64
UPSAMPLING = 2  # views magnify the sky and the ground; a smooth enlargement, made once, keeps them free of steps
# The filmic curve of K. Narkowicz, "ACES Filmic Tone Mapping Curve" (2015): y = x(ax + b) / (x(cx + d) + e).
_A, _B, _C, _D, _E = 2.51, 0.03, 2.43, 0.59, 0.14


@dataclass(frozen=True)
class Panorama:
    """One panorama.

    Attributes:
        name: Its name in the assets.
        pixels: uint8 (H, W, 3), sRGB, W = 2 H. The middle column is yaw 0, columns run to the right, the first row is
            straight up.
        packed: uint32 (H, W), the same pixels with four bytes each: red, green, blue and one that says nothing.
        light: float32 (32, 64, 3), linear light on the same grid, not clipped; 1 is what the picture shows as white.
    """

    name: str
    pixels: np.ndarray
    packed: np.ndarray
    light: np.ndarray


def names() -> list[str]:
    """Returns: the names of the stored panoramas, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.webp"))


@lru_cache(maxsize=32)
def panorama(name: str) -> Panorama:
    """Reads a panorama once.

    Args:
        name: One of `names()`.

    Returns:
        The panorama. Shared: its arrays are read-only.

    Raises:
        FileNotFoundError: There is none of that name; the message lists the names.
    """
    path = FOLDER / f"{name}.webp"
    if not path.is_file():
        raise FileNotFoundError(
            f"no panorama {name!r} at {path}: a name among {', '.join(names()) or 'none found'} is needed; "
            "restore toybox/assets/panoramas from the repository or make it with toybox.world.panoramas.convert"
        )
    stored = Image.open(path).convert("RGB")
    wrapped = Image.fromarray(np.pad(np.asarray(stored), ((0, 0), (8, 8), (0, 0)), mode="wrap"))
    wide = wrapped.resize((wrapped.width * UPSAMPLING, wrapped.height * UPSAMPLING), Image.Resampling.LANCZOS)
    pixels = np.ascontiguousarray(np.asarray(wide)[:, 8 * UPSAMPLING : -8 * UPSAMPLING])
    with np.load(FOLDER / LIGHTS) as lights:
        light = lights[name].astype(np.float32)
    padded = np.concatenate([pixels, np.zeros_like(pixels[..., :1])], -1)
    packed = np.ascontiguousarray(padded).view(np.uint32)[..., 0]
    for array in (pixels, packed, light):
        array.setflags(write=False)
    return Panorama(name, pixels, packed, light)


def shown(light: np.ndarray) -> np.ndarray:
    """Turns linear light into sRGB by a filmic curve.

    Args:
        light: Linear light, any shape, 0 and more; about 1 is white.

    Returns:
        sRGB in 0..1, the same shape, float32.
    """
    light = np.asarray(light, np.float32)
    curve = np.clip(light * (_A * light + _B) / (light * (_C * light + _D) + _E), 0, 1)
    return np.where(curve <= 0.0031308, 12.92 * curve, 1.055 * np.maximum(curve, 1e-9) ** (1 / 2.4) - 0.055)


def emitted(srgb: np.ndarray) -> np.ndarray:
    """Undoes `shown`.

    Args:
        srgb: sRGB in 0..1, any shape.

    Returns:
        Linear light, float32. What was brighter than white comes back as white.
    """
    srgb = np.asarray(srgb, np.float32)
    y = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    # The quadratic (a - c y) x^2 + (b - d y) x - e y = 0 has one root that is not negative.
    square, linear = np.maximum(_A - _C * y, 1e-3), _B - _D * y
    return (-linear + np.sqrt(linear**2 + 4 * square * _E * y)) / (2 * square)


def exposed(pixels: np.ndarray, stops: float, gains: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """Shows pixels as a longer or shorter exposure would.

    Args:
        pixels: uint8 (..., 3), sRGB made by `shown`.
        stops: Exposure, +1 doubles the light.
        gains: Further factors of red, green and blue light (white balance).

    Returns:
        uint8, the same shape.
    """
    if stops == 0 and gains == (1.0, 1.0, 1.0):
        return pixels
    levels = emitted(np.arange(256, dtype=np.float32) / 255) * 2.0**stops
    tables = [np.rint(shown(levels * gain) * 255).astype(np.uint8) for gain in gains]
    return np.stack([table[pixels[..., channel]] for channel, table in enumerate(tables)], -1)
