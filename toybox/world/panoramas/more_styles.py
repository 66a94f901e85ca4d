"""Further styles as known operations, in the form of `toybox.world.styles`: oil painting, comic, sepia."""

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from toybox.world.places.brushes import cloud
from toybox.world.styles import Style

_LUMA = np.array([0.30, 0.59, 0.11], np.float32)


def _shifted(field: np.ndarray, down: int, right: int) -> np.ndarray:
    """Moves a picture, repeating its edges."""
    rows = np.clip(np.arange(field.shape[0]) - down, 0, field.shape[0] - 1)
    columns = np.clip(np.arange(field.shape[1]) - right, 0, field.shape[1] - 1)
    return field[rows][:, columns]


def _window(field: np.ndarray, radius: int) -> np.ndarray:
    """Takes the mean over squares of 2 radius + 1 by running sums."""
    for axis in (0, 1):
        padded = np.concatenate(
            [
                np.repeat(np.take(field, [0], axis), radius + 1, axis),
                field,
                np.repeat(np.take(field, [-1], axis), radius, axis),
            ],
            axis,
        )
        sums = np.cumsum(padded, axis, dtype=np.float64)
        count = field.shape[axis]
        upper = np.take(sums, range(2 * radius + 1, 2 * radius + 1 + count), axis)
        field = ((upper - np.take(sums, range(count), axis)) / (2 * radius + 1)).astype(np.float32)
    return field


def oil_painting(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Paints with short flat strokes: each point takes the calmest of four neighboring squares.

    Args:
        image: RGB.
        rng: Chance of the canvas's grain.

    Returns:
        An RGB image of the same size. Method: M. Kuwahara et al. (1976).
    """
    radius = max(1, image.width // 84)
    pixels = np.asarray(ImageEnhance.Color(image).enhance(1.25), np.float32)
    luma = (pixels @ _LUMA)[..., None]
    mean = _window(pixels, radius)
    spread = _window(luma**2, radius) - _window(luma, radius) ** 2
    best, least = mean, np.full_like(luma, np.inf)
    for down in (-radius, radius):
        for right in (-radius, radius):
            calmer = (calm := _shifted(spread, down, right)) < least
            best, least = np.where(calmer, _shifted(mean, down, right), best), np.minimum(calm, least)
    relief = best @ _LUMA
    lit = (relief - _shifted(relief, 1, 1))[..., None] * 0.35
    weave = np.asarray(cloud(rng, image.size, max(4, image.width // 3), 1), np.float32)[..., None] / 255 - 0.5
    return Image.fromarray(np.clip(best + lit + 10 * weave, 0, 255).astype(np.uint8))


def comic(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Draws flat bright colors, black outlines and dots in the shade.

    Args:
        image: RGB.
        rng: Chance of where the dots begin.

    Returns:
        An RGB image of the same size.
    """
    side = image.width
    calm = image.filter(ImageFilter.MedianFilter(max(3, side // 40 // 2 * 2 + 1)))
    flat = (
        ImageEnhance.Color(calm).enhance(1.5).point([min(255, (level + 24) // 48 * 48 + 8) for level in range(256)] * 3)
    )
    luma = np.asarray(calm.convert("L"), np.float32)
    fine, broad = (
        np.asarray(calm.convert("L").filter(ImageFilter.GaussianBlur(side / share)), np.float32) for share in (220, 90)
    )
    ink = np.clip((broad - fine - 9) / 7, 0, 1)[..., None]
    step, start = max(3.0, side / 36), rng.uniform(0, 8, 2)
    rows, columns = np.mgrid[:side, : image.width]
    angle = np.pi / 4
    u = (columns * np.cos(angle) + rows * np.sin(angle) + start[0]) * 2 * np.pi / step
    v = (rows * np.cos(angle) - columns * np.sin(angle) + start[1]) * 2 * np.pi / step
    dots = np.clip((np.cos(u) * np.cos(v) - (luma - 40) / 60) * 2, 0, 1)[..., None]
    pixels = np.asarray(flat, np.float32) * (1 - 0.35 * dots)
    return Image.fromarray(np.clip(pixels * (1 - ink) + 16 * ink, 0, 255).astype(np.uint8))


def sepia(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Shows one brown ink on cream paper, dark towards the corners, with grain.

    Args:
        image: RGB.
        rng: Chance of the grain.

    Returns:
        An RGB image of the same size.
    """
    luma = np.asarray(image.convert("L"), np.float32) / 255
    rows, columns = (np.linspace(-1, 1, count, dtype=np.float32) for count in luma.shape)
    corner = 1 - 0.2 * np.clip(rows[:, None] ** 2 + columns[None] ** 2 - 0.5, 0, 1.5)
    tone = np.clip((0.1 + 1.05 * (luma - 0.5) + 0.5 + rng.normal(0, 0.02, luma.shape)) * corner, 0, 1)
    stops = np.array([(40, 24, 14), (132, 92, 56), (252, 238, 208)], np.float32)
    channels = [np.interp(tone, (0, 0.45, 1), stops[:, channel]) for channel in range(3)]
    return Image.fromarray(np.stack(channels, -1).astype(np.uint8))


MORE_STYLES: dict[str, Style] = {
    "oil painting": Style(("an oil painting", "an oil painting on canvas"), oil_painting),
    "comic": Style(("a comic drawing", "a comic book picture"), comic),
    "sepia": Style(("an old sepia photo", "a sepia photo"), sepia),
}
