"""All places made of panoramas, by name, and the light that falls on a thing in them."""

from functools import lru_cache

import numpy as np
from PIL import Image

from toybox.world.description import Light
from toybox.world.panoramas import light as lighting
from toybox.world.panoramas.composed import COMPOSED
from toybox.world.panoramas.shadows import Ink, cast
from toybox.world.panoramas.site import Shot, Site, paint, shot
from toybox.world.panoramas.sites import SITES
from toybox.world.places.place import Place

PURPOSE = 11  # the painter seeds a place's canvas with (seed of the view, PURPOSE)
_SIDEWAYS = 70.0  # degrees beyond which makers' things would show their dark side only
BY_NAME: dict[str, Site] = {site.name: site for site in SITES + COMPOSED}


def called(name: str) -> str:
    """Gives the name under which captions and truth labels know a place.

    Twins share their words, so whether a combination is held out must be decided by this name: otherwise a caption of
    the painted snow's held-out scenes would be learned in the real snow.

    Args:
        name: Name of any place, painted or real.

    Returns:
        The painted twin's name for a real place that has one, else the name itself.
    """
    return (BY_NAME[name].twin or name) if name in BY_NAME else name


@lru_cache(maxsize=256)
def shot_of(name: str, seed: int) -> Shot:
    """Says which view a painted scene shows.

    Args:
        name: The place's name.
        seed: Seed of the scene's view of it (`Where.seed`).

    Returns:
        The same view that the place paints from this seed.

    Raises:
        KeyError: No panorama has that name.
    """
    return shot(BY_NAME[name], np.random.default_rng([seed, PURPOSE]))


def light_of(name: str, seed: int) -> Light:
    """Gives the light on a thing in a scene, as the makers take it.

    Args:
        name: The place's name.
        seed: Seed of the scene's view of it.

    Returns:
        The place's own light. Where it shines from behind, it is moved to the side it is nearer to, and the strength
        holds that the side we see is in the shade.

    Raises:
        KeyError: No panorama has that name.
    """
    found = lighting.main_light(BY_NAME[name].source, shot_of(name, seed).camera)
    azimuth = float(np.clip(found.azimuth, -_SIDEWAYS, _SIDEWAYS))
    return Light(round(azimuth, 1), round(float(np.clip(found.elevation, 15, 65)), 1), found.strength)


def relit(thing: Image.Image, name: str, seed: int) -> Image.Image:
    """Shades a cut-out by the light of the view it will stand in.

    Args:
        thing: RGBA, cropped to what shows.
        name: The place's name.
        seed: Seed of the scene's view of it.

    Returns:
        A new image of the same size and outline.

    Raises:
        KeyError: No panorama has that name.
    """
    return lighting.relit(thing, BY_NAME[name].source, shot_of(name, seed).camera)


def throw(image: Image.Image, alpha: Image.Image, corner: tuple[int, int], name: str, seed: int) -> None:
    """Casts the shadow of a thing on the ground of a view; on water and on a mirror there is none.

    Args:
        image: The picture, RGB; it is painted on.
        alpha: The thing's outline, mode L.
        corner: Upper left corner of the outline in the picture.
        name: The place's name.
        seed: Seed of the scene's view of it.

    Raises:
        KeyError: No panorama has that name.
    """
    site = BY_NAME[name]
    if site.ground == "floor":
        thrown = lighting.main_light(site.source, shot_of(name, seed).camera)
        cast(image, alpha, corner, light=thrown, ink=Ink(site.shadow, lighting.beam(site.source).hardness))


def _place(site: Site) -> Place:
    """Makes the entry that the world's registry takes."""
    felt = lighting.mood(site.source)
    return Place(
        site.name,
        site.phrases,
        site.tag,
        lambda canvas: paint(site, canvas),
        feet=site.feet,
        ground=site.ground,
        tint=felt.tint,
        shadow=site.shadow,
        dim=felt.dim,
    )


PLACES: tuple[Place, ...] = tuple(_place(site) for site in BY_NAME.values())
