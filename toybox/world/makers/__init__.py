"""Makers: classes with endless members, built and lit in three dimensions. Adding one is one entry in a file here."""

from functools import lru_cache

from PIL import Image

from toybox.world.description import Light, Pose, Thing
from toybox.world.makers import playthings, vessels, wear
from toybox.world.makers.maker import Maker
from toybox.world.makers.mesh import Mesh, Solid
from toybox.world.makers.shading import draw
from toybox.world.makers.texture import BADGES, LETTERS

MAKERS: dict[str, Maker] = {maker.noun: maker for maker in vessels.MAKERS + wear.MAKERS + playthings.MAKERS}
VOCABULARY: tuple[str, ...] = tuple(
    sorted({*BADGES, *LETTERS, *(shape for maker in MAKERS.values() for shape in maker.shapes)})
)


@lru_cache(maxsize=32)
def _made(thing: Thing) -> tuple[Solid, Image.Image]:
    """Builds a member's mesh and texture; the latest are kept."""
    maker, mesh = MAKERS[thing.drawing], Mesh()
    maker.build(mesh, thing)
    return mesh.solid(), maker.texture(thing)


def draw_member(thing: Thing, pose: Pose, light: Light, pixels: int) -> Image.Image:
    """Draws one member of a maker.

    Args:
        thing: The member.
        pose: Gives its turn.
        light: Where the light comes from.
        pixels: Longer side of the drawing.

    Returns:
        RGBA, cropped to the member.

    Raises:
        RuntimeError: No OpenGL context could be opened; the message names the packages.
    """
    mesh, texture = _made(thing)
    return draw(mesh, texture, pose=pose, light=light, pixels=pixels, gloss=MAKERS[thing.drawing].gloss)
