"""How a thing meets the ground of its place: shadow, reflection, waterline."""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from toybox.world.places.place import Place

Corner = tuple[int, int]


@lru_cache(maxsize=32)
def _ramp(share: float) -> list[int]:
    """Makes the table that scales grey levels."""
    return [round(value * share) for value in range(256)]


def scaled(image: Image.Image, share: float) -> Image.Image:
    """Scales the levels of a mask.

    Args:
        image: Mode L.
        share: Factor in 0..1.

    Returns:
        A new image.
    """
    return image.point(_ramp(share))


def shadow(image: Image.Image, alpha: Image.Image, corner: Corner, place: Place) -> None:
    """Darkens the ground under a thing: a wide soft pool and a thin dark line of contact."""
    wide, tall = alpha.size
    for height, reach, strength, blur in ((0.16, 1.12, 0.42, 0.05), (0.05, 0.9, 0.5, 0.014)):
        w, h = max(4, round(wide * reach)), max(3, round(wide * height))
        pad = round(wide * blur) + 2
        foot = alpha.crop((0, round(tall * 0.62), wide, tall)).resize((w, h), Image.Resampling.BOX)
        pool = Image.new("L", (w + 2 * pad, h + 2 * pad))
        pool.paste(scaled(foot, strength), (pad, pad))
        pool = pool.filter(ImageFilter.BoxBlur(max(1, pad / 2))).filter(ImageFilter.BoxBlur(max(1, pad / 2)))
        x, y = corner[0] + (wide - w) // 2 - pad, corner[1] + tall - round(h * 0.62) - pad
        image.paste(place.shadow, (x, y), pool)


def _fading(turned: Image.Image, strength: float) -> Image.Image:
    """Gives the weight of a mirror image that fades out downwards."""
    fade = scaled(Image.linear_gradient("L").transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize(turned.size), strength)
    return ImageChops.multiply(turned.getchannel("A"), fade)


def reflection(image: Image.Image, thing: Image.Image, corner: Corner) -> None:
    """Pastes the mirror image from a corner downwards, fading out."""
    turned = thing.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    image.paste(turned, (corner[0], corner[1] - 2), _fading(turned, 0.62))


def sink(image: Image.Image, thing: Image.Image, corner: Corner, place: Place) -> Image.Image:
    """Lets a thing float: reflection, bright ring, foot under the surface.

    Args:
        image: The picture; reflection and ring are painted on it.
        thing: RGBA.
        corner: Its upper left corner in the picture.
        place: Water or milk.

    Returns:
        The thing's alpha above the surface.
    """
    wide, tall = thing.size
    line, alpha = round(tall * 0.86), thing.getchannel("A")
    turned = thing.transpose(Image.Transpose.FLIP_TOP_BOTTOM).crop((0, tall - line, wide, tall))
    turned = turned.resize((wide, max(1, line // 2)), Image.Resampling.BOX)
    image.paste(turned, (corner[0], corner[1] + line), _fading(turned, 0.4))
    inside = np.flatnonzero(np.asarray(alpha)[max(0, line - 2)] > 128)
    cut = Image.new("L", (wide, tall), 255)
    pen = ImageDraw.Draw(cut)
    pen.rectangle((0, line, wide, tall), fill=0)
    if inside.size:
        left, right, curve = int(inside[0]), int(inside[-1]), max(1, round(wide * 0.05))
        _ring(image, (corner[0] + left, corner[0] + right), corner[1] + line, max(2, wide // 14), place)
        pen.ellipse((left, line - curve, right, line + curve), fill=255)
    return ImageChops.multiply(alpha, cut)


def _ring(image: Image.Image, ends: tuple[int, int], y: int, pad: int, place: Place) -> None:
    """Paints the bright ring where the surface touches a thing."""
    x0, x1 = ends[0] - pad, ends[1] + pad
    ring = Image.new("L", (max(1, x1 - x0), max(3, (x1 - x0) // 6)))
    ImageDraw.Draw(ring).ellipse((1, 1, ring.width - 2, ring.height - 2), fill=150)
    ring = ring.filter(ImageFilter.BoxBlur(max(1, pad / 4)))
    image.paste((236, 248, 255) if place.ground == "water" else (255, 255, 252), (x0, y - ring.height // 2), ring)
