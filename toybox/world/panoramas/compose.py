"""Puts one thing, or a row of equal things, into a real place: its light on them, their shadows, and the true masks."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops

from toybox.world.contact import reflection, shadow, sink
from toybox.world.cutouts import draw_cutout
from toybox.world.description import Light, Pose, Thing
from toybox.world.makers import MAKERS, draw_member
from toybox.world.panoramas.registry import PLACES, PURPOSE, light_of, relit, throw
from toybox.world.places.brushes import Canvas
from toybox.world.places.place import Place

_PLACE_OF: dict[str, Place] = {place.name: place for place in PLACES}
SUPERSAMPLING = 2  # as in the painter


@dataclass(frozen=True)
class Composed:
    """A drawn picture.

    Attributes:
        image: uint8 (H, W, 3).
        masks: uint8 (N, H, W): 255 where the thing shows, in the order of the poses.
    """

    image: np.ndarray
    masks: np.ndarray


def compose(thing: Thing, poses: tuple[Pose, ...], name: str, *, seed: int, size: int = 128) -> Composed:
    """Draws a thing, as often as there are poses, in a real place.

    Args:
        thing: What.
        poses: Where each copy stands.
        name: Name of the place, one of `registry.BY_NAME`.
        seed: Seed of the view.
        size: Side of the picture in pixels.

    Returns:
        The picture and a mask for each copy.

    Raises:
        KeyError: No panorama has that name.
        RuntimeError: The thing is a maker's and no EGL driver is there; the message names the packages.
    """
    side, place = size * SUPERSAMPLING, _PLACE_OF[name]
    light = light_of(name, seed)
    canvas = Canvas(side, np.random.default_rng([seed, PURPOSE]))
    place.paint(canvas)
    covers = [Image.new("L", (side, side)) for _ in poses]
    for index in sorted(range(len(poses)), key=lambda number: poses[number].y):
        drawn = _tinted(_drawn(thing, poses[index], (name, seed), side), place, light)
        shown = _stand(canvas.image, drawn, poses[index], (place, seed))
        covers = [ImageChops.subtract(cover, shown) for cover in covers]
        covers[index] = shown
    masks = [np.asarray(cover.resize((size, size), Image.Resampling.BOX)) >= 128 for cover in covers]
    image = canvas.image.resize((size, size), Image.Resampling.BOX)
    return Composed(np.array(image), np.where(np.stack(masks), 255, 0).astype(np.uint8))


def _drawn(thing: Thing, pose: Pose, where: tuple[str, int], side: int) -> Image.Image:
    """Draws one copy alone as RGBA, in the light of the place."""
    pixels = max(4, round(pose.scale * side))
    if thing.drawing in MAKERS:
        return draw_member(thing, pose, light_of(*where), pixels)
    return relit(draw_cutout(thing.drawing, thing.colour, side=pixels, roll=pose.roll, flip=pose.flip), *where)


def _tinted(image: Image.Image, place: Place, light: Light) -> Image.Image:
    """Takes on the tint and brightness of the place."""
    gains = [share * place.dim * light.strength for share in place.tint]
    tables = np.clip(np.rint(np.arange(256)[None] * np.array(gains)[:, None]), 0, 255).astype(int)
    return image.point([*tables.ravel().tolist(), *range(256)])


def _stand(image: Image.Image, thing: Image.Image, pose: Pose, where: tuple[Place, int]) -> Image.Image:
    """Pastes a copy with its shadows; gives the mask of what shows."""
    (place, seed), side = where, image.width
    corner = (round(pose.x * side - thing.width / 2), round(pose.y * side - thing.height))
    alpha = thing.getchannel("A")
    if place.ground in ("water", "milk"):
        alpha = sink(image, thing, corner, place)
    else:
        if place.ground == "mirror":
            reflection(image, thing, (corner[0], corner[1] + thing.height))
        throw(image, alpha, corner, place.name, seed)
        shadow(image, alpha, corner, place)
    image.paste(thing, corner, alpha)
    mask = Image.new("L", image.size)
    mask.paste(alpha, corner)
    return mask
