"""Draws a scene: place, shadow, things, style; and the mask of the main thing."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageEnhance, ImageFilter

from toybox.world.description import Light, Pose, Scene, Thing
from toybox.world.makers import MAKERS, draw_member
from toybox.world.cutouts import draw_cutout
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
        drawn = _draw(thing, pose, scene.light, side)
        covered = _place_thing(canvas.image, _lit(drawn, place, scene.light), pose, place)
        mask = covered if main else ImageChops.subtract(mask, covered)
    small = (size, size)
    image = canvas.image.resize(small, Image.Resampling.BOX)
    mask = mask.resize(small, Image.Resampling.BOX)
    if scene.style is not None:
        image = STYLES[scene.style].apply(image, np.random.default_rng([scene.place.seed, 13]))
    return Rendered(np.asarray(image), np.asarray(mask.point(lambda value: 255 * (value >= 128))))


def _draw(thing: Thing, pose: Pose, light: Light, side: int) -> Image.Image:
    """Draws one thing alone as RGBA, cropped to what shows."""
    pixels = max(4, round(pose.scale * side))
    if thing.drawing in MAKERS:
        return draw_member(thing, pose, light, pixels)
    return draw_cutout(thing.drawing, thing.colour, side=pixels, roll=pose.roll, flip=pose.flip)


def _lit(image: Image.Image, place: Place, light: Light) -> Image.Image:
    """Takes on the tint and brightness of the place."""
    gains = [share * place.dim * light.strength for share in place.tint]
    tables = [min(255, round(value * gain)) for gain in gains for value in range(256)]
    return image.point(tables + list(range(256)))


def _place_thing(image: Image.Image, thing: Image.Image, pose: Pose, place: Place) -> Image.Image:
    """Pastes a thing with its contact with the ground; gives the mask of what shows."""
    side = image.width
    left, top = round(pose.x * side - thing.width / 2), round(pose.y * side - thing.height)
    alpha = thing.getchannel("A")
    if place.ground in ("water", "milk"):
        alpha = _sunken(image, thing, alpha, (left, top), place)
    elif place.ground == "mirror":
        _reflect(image, thing, (left, top + thing.height))
    if place.ground not in ("water", "milk"):
        _shadow(image, alpha, (left, top), place)
    image.paste(thing, (left, top), alpha)
    mask = Image.new("L", image.size)
    mask.paste(alpha, (left, top))
    return mask


def _shadow(image: Image.Image, alpha: Image.Image, corner: tuple[int, int], place: Place) -> None:
    """Darkens the ground under a thing: a wide soft pool and a thin dark line of contact."""
    wide, tall = alpha.size
    for height, reach, strength, blur in ((0.16, 1.12, 0.42, 0.05), (0.05, 0.9, 0.5, 0.014)):
        w, h = max(4, round(wide * reach)), max(3, round(wide * height))
        pad = round(wide * blur) + 2
        foot = alpha.crop((0, round(tall * 0.62), wide, tall)).resize((w, h), Image.Resampling.BOX)
        pool = Image.new("L", (w + 2 * pad, h + 2 * pad))
        pool.paste(foot.point(lambda value, s=strength: round(value * s)), (pad, pad))
        pool = pool.filter(ImageFilter.BoxBlur(max(1, pad / 2))).filter(ImageFilter.BoxBlur(max(1, pad / 2)))
        x, y = corner[0] + (wide - w) // 2 - pad, corner[1] + tall - round(h * 0.62) - pad
        image.paste(place.shadow, (x, y), pool)


def _reflect(image: Image.Image, thing: Image.Image, corner: tuple[int, int]) -> None:
    """Pastes the mirror image below the foot, fading out."""
    turned = thing.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    fade = Image.linear_gradient("L").transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize(turned.size)
    weight = ImageChops.multiply(turned.getchannel("A"), fade.point(lambda value: round(value * 0.62)))
    image.paste(turned, (corner[0], corner[1] - 2), weight)


def _sunken(image: Image.Image, thing: Image.Image, alpha: Image.Image, corner: tuple[int, int], place: Place) -> Image.Image:
    """Hides the foot under the surface; draws the reflection and the bright ring. Gives the alpha that shows."""
    wide, tall = thing.size
    line = round(tall * 0.86)
    turned = thing.transpose(Image.Transpose.FLIP_TOP_BOTTOM).crop((0, tall - line, wide, tall))
    turned = turned.resize((wide, max(1, line // 2)), Image.Resampling.BOX)
    fade = Image.linear_gradient("L").transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize(turned.size)
    weight = ImageChops.multiply(turned.getchannel("A"), fade.point(lambda value: round(value * 0.4)))
    image.paste(turned, (corner[0], corner[1] + line), weight)
    row = np.asarray(alpha)[max(0, line - 2)]
    inside = np.flatnonzero(row > 128)
    if inside.size:
        pad = max(2, wide // 14)
        x0, x1 = corner[0] + int(inside[0]) - pad, corner[0] + int(inside[-1]) + pad
        ring = Image.new("L", (max(1, x1 - x0), max(3, (x1 - x0) // 6)))
        from PIL import ImageDraw

        ImageDraw.Draw(ring).ellipse((1, 1, ring.width - 2, ring.height - 2), fill=150)
        ring = ring.filter(ImageFilter.BoxBlur(max(1, pad / 4)))
        shade = (236, 248, 255) if place.ground == "water" else (255, 255, 252)
        image.paste(shade, (x0, corner[1] + line - ring.height // 2), ring)
    shown = alpha.copy()
    curve = max(1, round(wide * 0.05))
    cut = Image.new("L", (wide, tall), 255)
    from PIL import ImageDraw

    pen = ImageDraw.Draw(cut)
    pen.rectangle((0, line, wide, tall), fill=0)
    if inside.size:
        pen.ellipse((int(inside[0]), line - curve, int(inside[-1]), line + curve), fill=255)
    return ImageChops.multiply(shown, cut)
