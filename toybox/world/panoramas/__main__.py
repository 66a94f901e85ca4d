"""Draws contact sheets of the real places: `python -m toybox.world.panoramas OUT.png [SIDE] [VIEWS]`.

Each row is a place with things standing in it; below, how many views a second one core cuts.
"""

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from toybox.world.description import Pose
from toybox.world.panoramas.compose import compose
from toybox.world.panoramas.composed import COMPOSED
from toybox.world.panoramas.registry import BY_NAME, PURPOSE
from toybox.world.panoramas.site import Site, paint
from toybox.world.panoramas.sites import SITES
from toybox.world.places.brushes import Canvas
from toybox.world.scenes import describe_member

_NOUNS = ("teapot", "dog", "backpack", "penguin", "mug", "car", "toy", "turtle", "sneaker", "apple", "vase", "guitar")
_MARGIN = 14


def pose_in(site: Site, rng: np.random.Generator) -> Pose:
    """Draws where a middle-sized thing stands.

    Args:
        site: The place.
        rng: Chance.

    Returns:
        A pose in the middle of the picture, its foot where the place has ground.
    """
    return Pose(
        x=float(rng.uniform(0.38, 0.62)),
        y=float(rng.uniform(*site.feet)),
        scale=float(rng.uniform(0.42, 0.62)),
        azimuth=float(rng.uniform(-25, 25)),
        elevation=float(rng.uniform(10, 20)),
        flip=bool(rng.random() < 0.5),
    )


def sheet(side: int, views: int) -> Image.Image:
    """Draws a row of views for each place.

    Args:
        side: Side of a picture in pixels.
        views: Pictures a row.

    Returns:
        The sheet.
    """
    page = Image.new("RGB", (views * (side + 2), len(BY_NAME) * (side + _MARGIN)), (24, 24, 28))
    pen = ImageDraw.Draw(page)
    for row, site in enumerate(BY_NAME.values()):
        top = row * (side + _MARGIN)
        pen.text((3, top), f"{site.name}: {site.phrases[0]}", fill=(230, 230, 230))
        for column in range(views):
            seed = 100 * row + column
            rng = np.random.default_rng([seed, 3])
            thing = describe_member(_NOUNS[(5 * row + column) % len(_NOUNS)], seed)
            drawn = compose(thing, (pose_in(site, rng),), site.name, seed=seed, size=side)
            page.paste(Image.fromarray(drawn.image), (column * (side + 2), top + _MARGIN - 1))
    return page


def rate(sites: tuple[Site, ...], side: int, count: int = 60) -> float:
    """Measures painted views a second.

    Args:
        sites: Which, one after the other.
        side: Side in pixels.
        count: How many to paint.

    Returns:
        Views a second of processor time, one core.
    """
    for index in range(count):  # panoramas and textures are read once
        paint(sites[index % len(sites)], Canvas(16, np.random.default_rng([index, PURPOSE])))
    started = time.process_time()
    for index in range(count):
        paint(sites[index % len(sites)], Canvas(side, np.random.default_rng([index, PURPOSE])))
    return count / (time.process_time() - started)


def main(out: Path, side: int, views: int) -> None:
    """Writes the sheet and prints the rates.

    Args:
        out: Where to write the picture.
        side: Side of a picture in pixels.
        views: Pictures a row.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet(side, views).save(out)
    print(f"{out}: {len(BY_NAME)} places, {views} views each")
    for name, sites in (("cut", SITES), ("painted on", COMPOSED)):
        for pixels in (128, 256):
            print(f"views {name}, {pixels} px: {rate(sites, pixels):.0f} a second and core (processor time)")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m toybox.world.panoramas OUT.png [SIDE] [VIEWS]")
    main(Path(sys.argv[1]), *(int(word) for word in (sys.argv[2:] + ["128", "8"][len(sys.argv) - 2 :])[:2]))
