"""Places that DreamBench's prompts name, made of real views: a chosen direction, or a view with something painted on.

Each is a twin of a painted place and is spoken of in the same words, so that a prompt calls for either.
"""

from dataclasses import replace

from toybox.world.panoramas import growth, overlays
from toybox.world.panoramas.site import Grain, Shot, Site
from toybox.world.panoramas.sites import SITES
from toybox.world.places import landscapes, surfaces, tiles, towns
from toybox.world.places.brushes import Canvas
from toybox.world.places.place import Place

_SOURCES: dict[str, Site] = {site.source: site for site in SITES}
_AWAY = ((-180, -20), (90, 180))  # where the meadow's sun is not in the picture
_PAINTED: dict[str, Place] = {place.name: place for place in landscapes.PLACES + towns.PLACES + surfaces.PLACES}


def _twin(painted: str, source: str, **changes) -> Site:
    """Makes the real twin of a painted place out of a site; changes are fields of `Site`."""
    place = _PAINTED[painted]
    taken = {"ground": place.ground, "tag": place.tag, "phrases": place.phrases, "twin": painted} | changes
    return replace(_SOURCES[source], name=f"real {painted}", **taken)


def _mountain_deck(canvas: Canvas, shot: Shot) -> None:
    """Paints mountains behind and a wooden floor in front."""
    growth.peaks(canvas, shot)
    overlays.deck(canvas, shot)


COMPOSED: tuple[Site, ...] = (
    _twin("snow", "park", over=overlays.snow, grain=None, shadow=(70, 84, 124)),
    _twin("beach", "sky", over=overlays.sand, feet=(0.82, 0.9), exposure=0.35, shadow=(108, 80, 52)),
    _twin("cobblestone", "venice", arcs=((-104, -4),), grain=Grain(tiles.cobbles, 1.1, 1.0), exposure=0.3),
    _twin("wooden floor", "lobby", arcs=((64, 128),)),
    _twin("city", "city"),
    _twin("mountain", "park", arcs=_AWAY, over=growth.peaks, pitch=(-6, 0)),
    _twin("blue house", "venice", arcs=((-142, -114),), over=growth.blue_house, exposure=0.95, pitch=(-10, -5)),
    _twin("purple rug", "forest", over=overlays.purple_rug, shadow=(34, 12, 52)),
    _twin("wheat field", "sunrise", arcs=((-180, -20), (110, 180)), over=growth.wheat, pitch=(-10, -5)),
    _twin("autumn", "sunrise", arcs=((-88, -42),), over=growth.leaves, pitch=(-9, -4), shadow=(60, 26, 8)),
    _twin("eiffel tower", "park", arcs=_AWAY, over=growth.tower, pitch=(-5, 1)),
    _twin("water", "sky"),
    _twin("jungle", "forest", over=growth.jungle, shadow=(10, 22, 10)),
    _twin("pink fabric", "apartment", grain=None, over=overlays.cloth, shadow=(130, 40, 80), feet=(0.8, 0.9)),
    _twin("crowded street", "city", over=growth.crowd, grain=None, pitch=(-8, -3)),
    _twin("milk", "sky", over=overlays.milk, shadow=(150, 132, 122)),
    _twin("sunflowers", "park", over=growth.sunflowers, pitch=(-14, -7)),
    _twin("mirror", "apartment", over=overlays.mirror, pitch=(-6, 2), feet=(0.7, 0.78), grain=None),
    _twin("dirt road", "park", over=overlays.road, shadow=(52, 34, 18)),
    _twin("white rug", "apartment", over=overlays.white_rug, shadow=(104, 92, 84)),
    replace(
        _SOURCES["city"],
        name="deck by a city",
        phrases=(
            "on top of a wooden floor with a city in the background",
            "on a wooden deck in front of a city",
            "on wooden boards with tall buildings behind",
        ),
        tag="wooden deck, city",
        grain=None,
        over=overlays.deck,
        shadow=(52, 30, 16),
    ),
    replace(
        _SOURCES["park"],
        name="deck by the mountains",
        phrases=(
            "on top of a wooden floor with mountains in the background",
            "on a wooden deck in front of mountains",
            "on wooden boards with mountains behind",
        ),
        tag="wooden deck, mountains",
        grain=None,
        arcs=_AWAY,
        pitch=(-10, -5),
        over=_mountain_deck,
        shadow=(52, 30, 16),
    ),
)
