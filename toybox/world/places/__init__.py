"""The painted places: a registry; adding one is one entry in a file of this folder."""

from toybox.world.places import indoors, landscapes, surfaces, towns
from toybox.world.places.place import Place

PLACES: dict[str, Place] = {
    place.name: place for place in landscapes.PLACES + towns.PLACES + surfaces.PLACES + indoors.PLACES
}


def places() -> list[str]:
    """Returns: the names of the places in a fixed order."""
    return list(PLACES)
