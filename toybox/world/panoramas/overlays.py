"""What is laid on the ground of a real view: rugs, decks, sand, roads, cloth, snow, milk, a mirror.

Each function takes the canvas that shows the view and the shot it shows; chance comes from the canvas.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from toybox.world.panoramas.site import Shot
from toybox.world.places import tiles
from toybox.world.places.brushes import Canvas, cloud, floor

Tile = Callable[[np.random.Generator], Image.Image]
LUMA = np.array([0.30, 0.59, 0.11], np.float32)


def floats(canvas: Canvas) -> np.ndarray:
    """Gives the picture as float32 (H, W, 3) in 0..255."""
    return np.asarray(canvas.image, np.float32)


def show(canvas: Canvas, pixels: np.ndarray) -> None:
    """Shows float pixels."""
    canvas.put(Image.fromarray(np.clip(pixels + 0.5, 0, 255).astype(np.uint8)))


def below(canvas: Canvas, height: float, softness: float = 0.03) -> np.ndarray:
    """Gives (H, 1, 1) weights: 0 above a height, 1 below, with a soft edge."""
    rows = (np.arange(canvas.side, dtype=np.float32) + 0.5) / canvas.side
    return np.clip((rows - height) / softness + 0.5, 0, 1)[:, None, None]


def relief(canvas: Canvas, cells: int, octaves: int) -> np.ndarray:
    """Makes smooth noise without the steps of whole grey levels.

    Args:
        canvas: Gives size and chance.
        cells: Bumps along the side.
        octaves: Layers, each twice as fine and half as strong.

    Returns:
        float32 (side, side), about -0.7..0.7.
    """
    field = np.zeros((canvas.side, canvas.side), np.float32)
    for octave in range(octaves):
        count = cells * 2**octave + 1
        grid = Image.fromarray(canvas.rng.uniform(-0.5, 0.5, (count, count)).astype(np.float32))
        field += np.asarray(grid.resize(canvas.image.size, Image.Resampling.BICUBIC)) * 0.5**octave
    return field


@dataclass(frozen=True)
class Cover:
    """What lies on a ground: its texture, tiles per camera height, and how much light and shade it takes on (0..1)."""

    tile: Tile
    scale: float = 0.9
    dapple: float = 1.0


def lay(canvas: Canvas, shot: Shot, cover: Cover, outline: Callable[[ImageDraw.ImageDraw], None]) -> None:
    """Lays a texture on the ground, in the perspective of the view and with its light and shade.

    Args:
        canvas: The view.
        shot: What it shows.
        cover: What is laid.
        outline: Draws where it lies, filled with 255, on a mask of the canvas's size.
    """
    bare, side = canvas.image.copy(), canvas.side
    horizon = min(shot.camera.horizon, 0.5)
    soft = bare.convert("L").filter(ImageFilter.GaussianBlur(0.03 * side))
    name = cover.tile.__name__.replace("_", " ")
    floor(canvas, name, cover.tile, horizon=horizon, top=horizon + 0.015, scale=cover.scale)
    ground = np.asarray(soft, np.float32)[round(0.6 * side) :]
    light = (
        np.clip(np.asarray(soft, np.float32) / max(float(ground.mean()), 1), 0.62, 1.25) * cover.dapple
        + 1
        - cover.dapple
    )
    day = float(np.clip(0.55 + ground.mean() / 250, 0.5, 1.0))
    show(canvas, floats(canvas) * (light * day)[..., None])
    mask = Image.new("L", bare.size)
    outline(ImageDraw.Draw(mask))
    rim = mask.filter(ImageFilter.GaussianBlur(0.012 * side)).point(lambda level: level * 0.45)
    bare.paste((18, 14, 16), (0, round(0.006 * side)), rim)
    canvas.blur(2)
    bare.paste(canvas.image, (0, 0), mask.filter(ImageFilter.BoxBlur(0.002 * side)))
    canvas.put(bare)


def rug(canvas: Canvas, shot: Shot, *, tile: Tile) -> None:
    """Lays an oval rug that fills most of the near ground."""
    s, top = canvas.side, canvas.uniform(0.56, 0.64)
    lay(canvas, shot, Cover(tile), lambda pen: pen.ellipse((-0.06 * s, top * s, 1.06 * s, 1.08 * s), fill=255))


purple_rug, white_rug = partial(rug, tile=tiles.purple_rug), partial(rug, tile=tiles.white_rug)


def deck(canvas: Canvas, shot: Shot) -> None:
    """Lays a wooden floor over the near ground, from edge to edge."""
    s, top = canvas.side, canvas.uniform(0.58, 0.66)
    lay(canvas, shot, Cover(tiles.wood, 0.75), lambda pen: pen.rectangle((0, top * s, s, s), fill=255))
    canvas.stroke([(0, top), (1, top)], 0.009, fill=(74, 48, 30))


def road(canvas: Canvas, shot: Shot) -> None:
    """Lets a dirt road run from the camera to the horizon, with ragged edges."""
    s, far = canvas.side, shot.camera.horizon + 0.02
    end, steps = canvas.uniform(0.38, 0.62), np.linspace(0, 1, 24)
    bend = canvas.uniform(-0.12, 0.12)

    def edge(way: int) -> list[tuple[float, float]]:
        ragged = canvas.rng.uniform(-0.015, 0.015, len(steps)) * steps
        middle = end + (0.5 - end) * steps + bend * np.sin(np.pi * steps)
        xs = middle + way * (0.012 + 0.52 * steps) + ragged
        return [(float(x * s), float((far + (1.02 - far) * share) * s)) for x, share in zip(xs, steps, strict=True)]

    points = edge(-1) + edge(1)[::-1]
    lay(canvas, shot, Cover(tiles.dirt, 0.8, dapple=0.5), lambda pen: pen.polygon(points, fill=255))
    canvas.blur(1)


def cloth(canvas: Canvas, shot: Shot) -> None:
    """Spreads pink cloth with soft folds over the near ground."""
    s, top = canvas.side, canvas.uniform(0.4, 0.5)
    xs = np.linspace(0, 1, 41)
    waves = 0.02 * np.sin(xs * canvas.uniform(9, 15) + canvas.uniform(0, 6)) + 0.01 * np.sin(xs * 31)
    points = [(float(x * s), float((top + y) * s)) for x, y in zip(xs, waves, strict=True)]
    outline = [*points, (s, s), (0, s)]
    lay(canvas, shot, Cover(tiles.pink_fabric, 1.1, dapple=0.4), lambda pen: pen.polygon(outline, fill=255))
    folds, stretch = relief(canvas, 4, 2), canvas.uniform(0.3, 0.8)
    slope = np.gradient(folds, axis=1) * s / 16 + np.gradient(folds, axis=0) * s / 16 * stretch
    mask = Image.new("L", (s, s))
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    gain = 1 + np.clip(slope + 0.22 * folds, -0.34, 0.2) * np.asarray(mask, np.float32) / 255
    show(canvas, floats(canvas) * gain[..., None])


def sand(canvas: Canvas, shot: Shot) -> None:
    """Lets a beach begin in front of the water: wet sand, a line of foam, dry sand."""
    s, top = canvas.side, max(shot.camera.horizon + 0.12, 0.5) + canvas.uniform(0, 0.04)
    xs = np.linspace(0, 1, 33)
    bend = 0.012 * np.sin(xs * canvas.uniform(5, 9) + canvas.uniform(0, 6)) + 0.03 * canvas.uniform(-1, 1) * (xs - 0.5)
    shore = [(float(x), float(top + y)) for x, y in zip(xs, bend, strict=True)]
    outline = [(x * s, y * s) for x, y in shore]
    lay(canvas, shot, Cover(tiles.sand, 0.8, dapple=0.2), lambda pen: pen.polygon([*outline, (s, s), (0, s)], fill=255))
    rows = (np.arange(s) + 0.5)[:, None] / s - np.interp((np.arange(s) + 0.5) / s, xs, top + bend)[None]
    wet = np.clip(1 - np.abs(rows - 0.02) / 0.05, 0, 1)[..., None]
    foam = np.exp(-((rows / 0.007) ** 2))[..., None]
    pixels = floats(canvas) * (1 - 0.28 * wet * (rows[..., None] > 0))
    warm = 1 + 0.10 * below(canvas, top) * np.array([1.6, 1.1, 0.4], np.float32)
    show(canvas, pixels * warm * (1 - 0.85 * foam) + np.array([250, 252, 252]) * 0.85 * foam)


def snow(canvas: Canvas, shot: Shot) -> None:
    """Covers the ground with snow, powders the trees and lets flakes fall."""
    pixels = floats(canvas)
    luma = pixels @ LUMA
    ground = below(canvas, shot.camera.horizon + 0.015)
    relief = luma - np.asarray(
        canvas.image.convert("L").filter(ImageFilter.GaussianBlur(0.05 * canvas.side)), np.float32
    )
    white = 240 + np.clip(relief * 0.45, -34, 20)[..., None] * np.array([1.0, 0.8, 0.5], np.float32)
    white = white + np.array([-6, 0, 8], np.float32)
    grey = 1.15 * luma[..., None] * np.array([0.93, 0.98, 1.06], np.float32)
    trees = 0.35 * pixels + 0.65 * grey
    powder = np.clip((luma - 70) / 60, 0, 1)[..., None] * np.clip((relief + 8) / 20, 0, 1)[..., None]
    above = trees + (np.array([226, 233, 244], np.float32) - trees) * (0.30 + 0.45 * powder)
    show(canvas, above * (1 - ground) + white * ground)
    for x, y, r in canvas.rng.uniform(0, 1, (70, 3)):
        canvas.disc(x, y, 0.002 + 0.005 * r * r, fill=(255, 255, 255))
    canvas.blur(1.2)


def milk(canvas: Canvas, shot: Shot) -> None:
    """Turns a lake into milk and its sky into cream."""
    pixels = floats(canvas)
    luma = (pixels @ LUMA / 255)[..., None]
    sea = below(canvas, shot.camera.horizon, 0.06)
    cream = np.array([255, 251, 243], np.float32) * (0.9 + 0.12 * np.clip(luma * 1.5 - 0.3, 0, 1))
    pale = pixels * 0.22 + np.array([255, 234, 228], np.float32) * (0.66 + 0.18 * luma)
    ripples = np.asarray(cloud(canvas.rng, canvas.image.size, 3, 3), np.float32)[..., None] - 128
    show(canvas, pale * (1 - sea) + (cream + 0.12 * ripples) * sea)


def mirror(canvas: Canvas, shot: Shot) -> None:
    """Lays a mirror in front of the camera: it shows what stands behind it, upside down."""
    side, edge = canvas.side, canvas.uniform(0.5, 0.58)
    row = round(edge * side)
    upper = canvas.image.crop((0, 0, side, row)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    glass = upper.resize((side, side - row), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(0.004 * side))
    pixels = np.asarray(glass, np.float32) * 0.86 + np.array([16, 20, 26], np.float32)
    down = np.linspace(0, 1, side - row, dtype=np.float32)[:, None]
    across = np.linspace(0, 1, side, dtype=np.float32)[None]
    start = canvas.uniform(0.1, 0.7)
    for shift, strength in ((0.0, 26), (0.13, 16)):
        streak = np.clip(1 - np.abs(across + 0.5 * down - start - shift - 0.3) / 0.05, 0, 1)
        pixels = pixels + strength * streak[..., None]
    canvas.image.paste(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), (0, row))
    canvas.box(0, edge - 0.008, 1, edge + 0.012, fill=canvas.pick((196, 158, 88), (160, 162, 172), (120, 84, 60)))
    canvas.box(0, edge - 0.008, 1, edge - 0.004, fill=(238, 226, 196))
