"""Draws a sheet of figures and measures how fast: `python -m toybox.world.figures [SHEET.png] [--part PART] [--count N]`."""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from toybox.world.colours import colours
from toybox.world.description import Light, Pose, Thing
from toybox.world.figures import FIGURES, GARMENTS, MATERIALS, describe_figure, doing, draw_figure, made, wearing

TILE, ACROSS = 128, 12
GROUND = (206, 211, 217)
PARTS = ("members", "motions", "dress", "props", "materials")


def _view(azimuth: float) -> Pose:
    return Pose(0.5, 0.9, 1.0, azimuth=azimuth, elevation=14)


def _living() -> list[str]:
    return [noun for noun, figure in FIGURES.items() if figure.living]


def members(count: int) -> Iterator[tuple[Thing, Pose]]:
    """Yields members of every living class from all around."""
    for noun in _living():
        for seed in range(count):
            yield describe_figure(noun, seed), _view(-60 + 360 * seed / count)


def motions(count: int) -> Iterator[tuple[Thing, Pose]]:
    """Yields every motion of every living class."""
    for noun in _living():
        for index in range(count):
            motion = FIGURES[noun].motions[index % len(FIGURES[noun].motions)]
            thing = describe_figure(noun, index)
            yield doing(thing, motion, index // len(FIGURES[noun].motions)), _view((55, -40, 25)[index % 3])


def dress(count: int) -> Iterator[tuple[Thing, Pose]]:
    """Yields every garment on every living class."""
    words = colours()
    for noun in _living():
        for index in range(count):
            garment = list(GARMENTS)[index % len(GARMENTS)]
            colour = words[index % len(words)] if GARMENTS[garment].colours else None
            yield wearing(describe_figure(noun, index + 20), garment, colour), _view((30, -25, 50)[index % 3])


def props(count: int) -> Iterator[tuple[Thing, Pose]]:
    """Yields props: each class once as it is and once as another member."""
    nouns = [noun for noun, figure in FIGURES.items() if figure.family == "prop"]
    for index in range(len(nouns) * 2):
        noun = nouns[index // 2]
        yield (
            describe_figure(noun, index),
            _view(float(np.clip((35, -40)[index % 2], -FIGURES[noun].turn, FIGURES[noun].turn))),
        )


def materials(count: int) -> Iterator[tuple[Thing, Pose]]:
    """Yields the properties on all kinds of things."""
    chosen = [*_living(), "burger", "pumpkin lantern", "taxi", "armchair", "cheese", "skull"]
    for material in MATERIALS:
        for index in range(count * 2):
            noun = chosen[index % len(chosen)]
            yield made(describe_figure(noun, 40 + index), material), _view((35, -30)[index % 2])


def sheet(views: list[tuple[Thing, Pose]]) -> Image.Image:
    """Draws figures on one sheet.

    Args:
        views: Figures and how they are seen.

    Returns:
        An RGB image, `ACROSS` tiles wide.
    """
    result = Image.new("RGB", (TILE * ACROSS, TILE * -(-len(views) // ACROSS)), GROUND)
    for index, (thing, pose) in enumerate(views):
        image = draw_figure(thing, pose, Light(-35, 40, 1.0), 2 * TILE - 12).image
        image = image.convert("RGBa").resize(
            (max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.BOX
        )
        image = image.convert("RGBA")
        left = index % ACROSS * TILE + (TILE - image.width) // 2
        result.paste(image, (left, (index // ACROSS + 1) * TILE - 4 - image.height), image)
    return result


def main() -> None:
    """Draws the sheet that is asked for and prints the rate."""
    reader = argparse.ArgumentParser(prog="python -m toybox.world.figures", description=__doc__)
    reader.add_argument("path", nargs="?", type=Path, default=Path("figures.png"))
    reader.add_argument("--part", choices=PARTS, default="members", help="which sheet")
    reader.add_argument("--count", type=int, default=ACROSS, help="pictures a class")
    chosen = reader.parse_args()
    build = {"members": members, "motions": motions, "dress": dress, "props": props, "materials": materials}
    views = list(build[chosen.part](chosen.count))
    started = time.process_time()
    sheet(views).save(chosen.path)
    spent = time.process_time() - started
    print(f"{chosen.path}: {len(views)} pictures, {len(views) / spent:.1f} a second of one core's time")


if __name__ == "__main__":
    main()
