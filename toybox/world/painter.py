"""Draws a scene: place, things and their contact with the ground, style; and the mask of the main thing."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops

from toybox.world.contact import reflection, shadow, sink
from toybox.world.cutouts import draw_cutout
from toybox.world.description import Light, Pose, Scene, Thing
from toybox.world.makers import MAKERS, draw_member
from toybox.world.places import PLACES
from toybox.world.places.brushes import Canvas
from toybox.world.places.place import Place
from toybox.world.styles import STYLES

SUPERSAMPLING = 2


@dataclass(frozen=True)
class Rendered:
    """A drawn scene.

    Attributes:
        image: uint8 (H, W, 3).
        mask: uint8 (H, W): 255 where the main thing shows.
    """

    image: np.ndarray
    mask: np.ndarray


def render(scene: Scene, size: int = 128) -> Rendered:
    """Draws a scene.

    Args:
        scene: What to draw.
        size: Side of the picture in pixels.

    Returns:
        The picture and the main thing's mask.

    Raises:
        RuntimeError: The scene holds a maker's thing and no EGL driver is there; the message names the packages.
    """
    side = size * SUPERSAMPLING
    place = PLACES[scene.place.name]
    canvas = Canvas(side, np.random.default_rng([scene.place.seed, 11]))
    place.paint(canvas)
    mask = Image.new("L", (side, side))
    stack = [(scene.thing, scene.pose, True)]
    if scene.second is not None:
        stack.append((scene.second.thing, scene.second.pose, False))
    for thing, pose, main in sorted(stack, key=lambda entry: entry[1].y):
        drawn = _lit(_draw(thing, pose, scene.light, side), place, scene.light)
        covered = _stand(canvas.image, drawn, pose, place)
        mask = covered if main else ImageChops.subtract(mask, covered)
    image = canvas.image.resize((size, size), Image.Resampling.BOX)
    mask = mask.resize((size, size), Image.Resampling.BOX)
    if scene.style is not None:
        image = STYLES[scene.style].apply(image, np.random.default_rng([scene.place.seed, 13]))
    return Rendered(np.array(image), np.where(np.asarray(mask) >= 128, 255, 0).astype(np.uint8))


def _draw(thing: Thing, pose: Pose, light: Light, side: int) -> Image.Image:
    """Draws one thing alone as RGBA, cropped to what shows."""
    pixels = max(4, round(pose.scale * side))
    if thing.drawing in MAKERS:
        return draw_member(thing, pose, light, pixels)
    return draw_cutout(thing.drawing, thing.colour, side=pixels, roll=pose.roll, flip=pose.flip)


def _lit(image: Image.Image, place: Place, light: Light) -> Image.Image:
    """Takes on the tint and brightness of the place."""
    gains = np.array([share * place.dim * light.strength for share in place.tint])
    table = np.minimum(255, np.rint(np.arange(256)[None] * gains[:, None])).astype(int).ravel()
    return image.point([*table.tolist(), *range(256)])


def _stand(image: Image.Image, thing: Image.Image, pose: Pose, place: Place) -> Image.Image:
    """Pastes a thing with its contact with the ground; gives the mask of what shows."""
    side = image.width
    corner = (round(pose.x * side - thing.width / 2), round(pose.y * side - thing.height))
    if place.ground in ("water", "milk"):
        alpha = sink(image, thing, corner, place)
    else:
        alpha = thing.getchannel("A")
        if place.ground == "mirror":
            reflection(image, thing, (corner[0], corner[1] + thing.height))
        shadow(image, alpha, corner, place)
    image.paste(thing, corner, alpha)
    mask = Image.new("L", image.size)
    mask.paste(alpha, corner)
    return mask
