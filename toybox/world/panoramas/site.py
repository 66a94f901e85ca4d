"""What a real place is, and how one view of it is painted."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from toybox.world.panoramas.projection import Camera, focused, grained, view
from toybox.world.panoramas.store import panorama
from toybox.world.places.brushes import Canvas

Range = tuple[float, float]
_CUT = 176  # side in pixels beyond which a view of a panorama 512 pixels long shows nothing more


@dataclass(frozen=True)
class Grain:
    """The fine grain of a ground: a floor texture, tiles per camera height, and how strong it shows."""

    tile: Callable[[np.random.Generator], Image.Image]
    scale: float
    strength: float


@dataclass(frozen=True)
class Site:
    """One panorama as a place.

    Attributes:
        source: Its name in the store.
        name: The place's name; no painted place has it.
        phrases: Ways to say it after "a photo of a mug"; the first is the usual one.
        tag: The shortest way to say it.
        arcs: Ranges of yaw in degrees whose foreground can be stood on.
        grain: The ground's grain, or None for water and smooth paper.
        pitch: Range in degrees.
        field: Range of the field of view in degrees.
        feet: Where the foot of a middle-sized thing is, as shares of the height.
        ground: As in `Place`.
        shadow: Shade of the contact shadow.
        exposure: In stops, beside what the store shows.
        twin: Name of the painted place that is spoken of in the same words, or None.
        over: Paints something over the view (a rug, snow), or None.
    """

    source: str
    name: str
    phrases: tuple[str, ...]
    tag: str
    arcs: tuple[Range, ...] = ((-180, 180),)
    grain: Grain | None = None
    pitch: Range = (-17, -9)
    field: Range = (60, 80)
    feet: Range = (0.82, 0.91)
    ground: str = "floor"
    shadow: tuple[int, int, int] = (26, 24, 28)
    exposure: float = 0.0
    twin: str | None = None
    over: "Callable[[Canvas, Shot], None] | None" = None


@dataclass(frozen=True)
class Shot:
    """One view of a site: the camera, the exposure in stops and the blur of what is far, in thousandths."""

    camera: Camera
    exposure: float
    blur: float


def shot(site: Site, rng: np.random.Generator) -> Shot:
    """Draws a view of a site.

    Args:
        site: Which.
        rng: Chance; the view's numbers are the first that are drawn from it.

    Returns:
        The view; longer arcs are drawn more often.
    """
    lengths = np.array([last - first for first, last in site.arcs], float)
    first, last = site.arcs[int(rng.choice(len(lengths), p=lengths / lengths.sum()))]
    camera = Camera(float(rng.uniform(first, last)), float(rng.uniform(*site.pitch)), float(rng.uniform(*site.field)))
    return Shot(camera, exposure=site.exposure + float(rng.normal(0, 0.16)), blur=float(rng.uniform(2, 8)))


@lru_cache(maxsize=32)
def _texture(tile: Callable[[np.random.Generator], Image.Image]) -> np.ndarray:
    """Draws a ground's texture once."""
    return np.asarray(tile(np.random.default_rng(5)).convert("RGB"))


def paint(site: Site, canvas: Canvas) -> None:
    """Paints one view of a site.

    Args:
        site: Which.
        canvas: Where; its chance chooses the view.
    """
    chosen = shot(site, canvas.rng)
    image = view(panorama(site.source), chosen.camera, min(canvas.side, _CUT), exposure=chosen.exposure)
    image = focused(image, chosen.camera, chosen.blur)
    if image.width < canvas.side:
        image = image.resize((canvas.side, canvas.side), Image.Resampling.BICUBIC)
    if site.grain is not None:
        texture = _texture(site.grain.tile)
        image = grained(image, chosen.camera, texture, scale=site.grain.scale, strength=site.grain.strength)
    canvas.put(image)
    if site.over is not None:
        site.over(canvas, chosen)
