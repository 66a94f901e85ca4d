"""Brushes that the painted places share: gradients, noise, floors in perspective, silhouettes.

All positions are shares of the picture's side (x to the right, y down), so that a place looks alike at any size.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from toybox.world.colours import RGB, jittered

Point = tuple[float, float]
VARIANTS = 6  # tiles made and kept of each texture


class Canvas:
    """A picture being painted, with its own source of chance."""

    def __init__(self, side: int, rng: np.random.Generator) -> None:
        """Starts an empty canvas.

        Args:
            side: Side in pixels.
            rng: Chance for all details.
        """
        self.side, self.rng = side, rng
        self.image = Image.new("RGB", (side, side))
        self.pen = ImageDraw.Draw(self.image)

    def uniform(self, low: float, high: float) -> float:
        """Returns: a number between low and high."""
        return float(self.rng.uniform(low, high))

    def tone(self, rgb: RGB, amount: float = 0.06) -> RGB:
        """Returns: the shade, moved a little."""
        return jittered(rgb, amount, self.rng)

    def pick(self, *choices: RGB) -> RGB:
        """Returns: one of the shades, moved a little."""
        return self.tone(choices[int(self.rng.integers(len(choices)))])

    def put(self, image: Image.Image) -> None:
        """Replaces the whole picture."""
        self.image = image
        self.pen = ImageDraw.Draw(image)

    def blur(self, radius: float) -> None:
        """Softens everything painted so far; the radius is in thousandths of the side."""
        self.put(self.image.filter(ImageFilter.BoxBlur(radius * self.side / 1000)))

    def box(self, x0: float, y0: float, x1: float, y1: float, *, fill: RGB) -> None:
        """Fills a rectangle."""
        s = self.side
        self.pen.rectangle((x0 * s, y0 * s, max(x0, x1) * s, max(y0, y1) * s), fill=fill)

    def disc(self, x: float, y: float, rx: float, ry: float | None = None, *, fill: RGB) -> None:
        """Fills an ellipse around a point."""
        s, ry = self.side, rx if ry is None else ry
        self.pen.ellipse(((x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s), fill=fill)

    def shape(self, points: Sequence[Point], *, fill: RGB) -> None:
        """Fills a polygon."""
        self.pen.polygon([(x * self.side, y * self.side) for x, y in points], fill=fill)

    def stroke(self, points: Sequence[Point], width: float, *, fill: RGB) -> None:
        """Draws a line."""
        pixels = max(1, round(width * self.side))
        self.pen.line([(x * self.side, y * self.side) for x, y in points], fill=fill, width=pixels, joint="curve")


def gradient(canvas: Canvas, stops: Sequence[tuple[float, RGB]], top: float = 0.0, bottom: float = 1.0) -> None:
    """Fills the rows from top to bottom with a vertical run of shades; stops are (share of the run, shade)."""
    first, last = round(top * canvas.side), round(bottom * canvas.side)
    rows = np.linspace(0, 1, max(1, last - first))
    places = [place for place, _ in stops]
    column = np.stack([np.interp(rows, places, [rgb[channel] for _, rgb in stops]) for channel in range(3)], -1)
    strip = Image.fromarray(column.astype(np.uint8)[:, None], "RGB")
    canvas.image.paste(strip.resize((canvas.side, max(1, last - first)), Image.Resampling.NEAREST), (0, first))


def cloud(rng: np.random.Generator, size: tuple[int, int], cells: int, octaves: int = 2) -> Image.Image:
    """Makes smooth noise as a grey image.

    Args:
        rng: Chance.
        size: Width and height in pixels.
        cells: Bumps along the width.
        octaves: Layers, each twice as fine and half as strong.

    Returns:
        An image of mode L around 128.
    """
    image = None
    for octave in range(octaves):
        count = cells * 2**octave
        rows = max(2, round(count * size[1] / size[0]))
        grid = Image.fromarray(rng.integers(0, 256, (rows, max(2, count)), dtype=np.uint8), "L")
        layer = grid.resize(size, Image.Resampling.BICUBIC)
        image = layer if image is None else Image.blend(image, layer, 0.36)
    return image


def mottle(
    canvas: Canvas, rgb: RGB, *, cells: int = 4, strength: float = 0.5, top: float = 0.0, bottom: float = 1.0
) -> None:
    """Lays a shade over a band in soft patches."""
    first, last = round(top * canvas.side), round(bottom * canvas.side)
    if last <= first:
        return
    noise = cloud(canvas.rng, (canvas.side, last - first), cells)
    levels = np.clip((np.arange(256) - 96) * 3, 0, 255) * strength
    mask = noise.point(np.rint(levels).astype(int).tolist())
    canvas.image.paste(rgb, (0, first), mask)


@lru_cache(maxsize=96)
def _tile(name: str, variant: int, maker: Callable[[np.random.Generator], Image.Image]) -> np.ndarray:
    """Makes a floor's texture once; seeded by its name and number."""
    seed = [ord(letter) for letter in name] + [variant]
    return np.asarray(maker(np.random.default_rng(seed)).convert("RGB"))


@lru_cache(maxsize=64)
def _plane(side: int, first: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Gives the ground coordinates of each pixel under a horizon (both in rows at camera height)."""
    down = (np.arange(first, side, dtype=np.float32) - horizon + 0.02 * side) / side
    depth = 0.5 / np.maximum(down, 1e-3)
    across = (np.arange(side, dtype=np.float32) / side - 0.5)[None, :] * depth[:, None] * 2
    return across, np.broadcast_to(depth[:, None], across.shape)


def floor(
    canvas: Canvas,
    name: str,
    maker: Callable[[np.random.Generator], Image.Image],
    *,
    horizon: float,
    top: float | None = None,
    scale: float = 1.0,
    turn: float = 0.0,
    haze: RGB | None = None,
) -> None:
    """Paints a textured floor in perspective below a horizon.

    Args:
        canvas: Where to paint.
        name: Name of the texture (its seed).
        maker: Draws one square tile that repeats.
        horizon: Height of the vanishing line; may lie above the picture for a view from above.
        top: First row to paint, the horizon by default.
        scale: Tiles per camera height; greater is finer.
        turn: Turn of the texture in degrees.
        haze: Shade that far parts fade to.
    """
    side = canvas.side
    first = max(0, round((horizon if top is None else top) * side))
    across, depth = _plane(side, first, round(horizon * side))
    tile = _tile(name, int(canvas.rng.integers(VARIANTS)), maker)
    count = tile.shape[0]
    cos, sin = np.cos(np.deg2rad(turn)) * scale * count, np.sin(np.deg2rad(turn)) * scale * count
    shift = canvas.rng.integers(0, count, 2)
    u = (across * cos + depth * sin + (shift[0] + 64 * count)).astype(np.int32) % count
    v = (depth * cos - across * sin + (shift[1] + 64 * count)).astype(np.int32) % count
    painted = tile[v, u]
    if haze is not None:
        far = np.clip((depth[:, :1, None] - 1.2) / 5, 0, 0.85)
        painted = (painted * (1 - far) + np.asarray(haze, np.float32) * far).astype(np.uint8)
    canvas.image.paste(Image.fromarray(painted, "RGB"), (0, first))


def cover(canvas: Canvas, below: Image.Image, outline: Callable[[ImageDraw.ImageDraw], None]) -> None:
    """Keeps what was painted last only inside an outline; outside, what was below it shows again."""
    mask = Image.new("L", below.size)
    outline(ImageDraw.Draw(mask))
    below.paste(canvas.image, (0, 0), mask)
    canvas.put(below)


def ridge(rng: np.random.Generator, base: float, height: float, *, levels: int = 4, rough: float = 0.5) -> list[Point]:
    """Makes a jagged skyline from left to right by halving steps.

    Args:
        rng: Chance.
        base: Height of the ends.
        height: How far peaks rise above it.
        levels: How often each step is halved.
        rough: How strong finer levels are.

    Returns:
        Points from x = 0 to x = 1.
    """
    line = [0.0, float(rng.uniform(0.3, 1)), 0.0]
    amplitude = 0.5
    for _ in range(levels):
        middles = [(a + b) / 2 + amplitude * rough * rng.uniform(-1, 1) for a, b in zip(line, line[1:], strict=False)]
        line = [value for pair in zip(line, middles, strict=False) for value in pair] + [line[-1]]
        amplitude *= 0.5
    return [(index / (len(line) - 1), base - height * value) for index, value in enumerate(line)]


def foliage(canvas: Canvas, count: int, *, x: Point, y: Point, radius: Point, fills: Sequence[RGB]) -> None:
    """Dabs many small discs: leaves, bushes, petals."""
    rng = canvas.rng
    xs, ys, rs = rng.uniform(*x, count), rng.uniform(*y, count), rng.uniform(*radius, count)
    which = rng.integers(0, len(fills), count)
    for px, py, pr, index in zip(xs, ys, rs, which, strict=True):
        canvas.disc(px, py, pr, fill=fills[index])
