"""Styles as known operations on the drawn picture; adding one is one entry."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageOps

from toybox.world.places.brushes import cloud


@dataclass(frozen=True)
class Style:
    """One style: how it is said instead of "a photo", and the operation."""

    phrases: tuple[str, ...]
    apply: Callable[[Image.Image, np.random.Generator], Image.Image]


def _watercolor(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Flat washes, darker rims, paper grain."""
    side = image.width
    flat = image.filter(ImageFilter.MedianFilter(max(3, side // 64 * 2 + 1)))
    pale = flat.point(lambda value: round(255 - (255 - value) * 0.8))
    rims = ImageOps.invert(flat.convert("L").filter(ImageFilter.FIND_EDGES)).point(
        lambda value: 150 + value * 105 // 255
    )
    paper = cloud(rng, image.size, side // 4, 1).point(lambda value: 226 + value * 29 // 255)
    return ImageChops.multiply(
        ImageChops.multiply(pale, Image.merge("RGB", [rims] * 3)), Image.merge("RGB", [paper] * 3)
    )


def _pencil(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Grey pencil lines on white paper."""
    grey = image.convert("L")
    soft = np.asarray(ImageOps.invert(grey).filter(ImageFilter.GaussianBlur(image.width / 48)), np.float32)
    base = np.asarray(grey, np.float32)
    sketch = np.clip(base * 255 / np.maximum(255 - soft, 1), 0, 255) * 0.72 + base * 0.28
    sketch += rng.normal(0, 5, sketch.shape)
    return Image.fromarray(np.clip(sketch, 0, 255).astype(np.uint8), "L").convert("RGB")


def _pixel(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Big square pixels of few shades."""
    small = image.resize((32, 32), Image.Resampling.BOX).point(lambda value: min(255, (value + 20) // 40 * 40))
    return small.resize(image.size, Image.Resampling.NEAREST)


STYLES: dict[str, Style] = {
    "watercolor": Style(("a watercolor painting", "a watercolor"), _watercolor),
    "pencil": Style(("a pencil sketch", "a pencil drawing"), _pencil),
    "pixel art": Style(("pixel art", "a pixel art picture"), _pixel),
}
