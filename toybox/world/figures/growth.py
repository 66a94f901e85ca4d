"""From a creature's looks to a surface: skeleton, bends, skin, markings and face."""

from functools import lru_cache

import numpy as np

from toybox.world.description import Thing
from toybox.world.figures.blobs import Body, placed, turned
from toybox.world.figures.creatures import blobs, bones
from toybox.world.figures.faces import collar, face
from toybox.world.figures.gaits import GAITS, Gait
from toybox.world.figures.markings import markings
from toybox.world.figures.surface import Surface, merged

MELT = 0.035  # how far soft parts melt into each other, in units of the body


def gait(thing: Thing) -> Gait:
    """Returns: the moment of its motion that a creature shows."""
    moments = GAITS[thing.trait("motion", "standing")]
    return moments[thing.trait("moment", 0) % len(moments)]


def body(thing: Thing) -> tuple[Body, dict[str, np.ndarray]]:
    """Bends a creature's skeleton.

    Args:
        thing: A creature.

    Returns:
        Its posed body, and the matrices of its bones at rest.
    """
    skeleton, now = bones(thing), gait(thing)
    bends = dict(now.bends)
    x, y, z = bends.get("head", (0.0, 0.0, 0.0))
    bends["head"] = (x, y + thing.trait("look", 0.0), z)
    root = turned(now.pitch, 0, 0)
    return Body(blobs(thing), placed(skeleton, bends, root), MELT), placed(skeleton, {})


@lru_cache(maxsize=48)
def grown(thing: Thing) -> tuple[Surface, Body]:
    """Builds a creature; the latest are kept.

    Args:
        thing: A creature with its motion.

    Returns:
        Its surface and its body, for what it wears. Shared: do not change them.
    """
    shape, rest = body(thing)
    marks, stripes = markings(thing)
    pieces = [shape.skin(rest), *face(thing, shape, gait(thing)), *collar(thing, shape)]
    table, faces = merged(pieces)
    return Surface(table, faces, marks, stripes, gloss=0.42), shape
