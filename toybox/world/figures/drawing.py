"""Draws a figure: from its description to RGBA and mask."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from toybox.world.colours import shade
from toybox.world.description import Light, Pose, Thing
from toybox.world.figures import figurines, store
from toybox.world.figures.creatures import unit
from toybox.world.figures.dress import GARMENTS, Seat, dressed, shirt
from toybox.world.figures.faces import neckline
from toybox.world.figures.growth import grown
from toybox.world.figures.motions import MOTIONS
from toybox.world.figures.props import PROPS
from toybox.world.figures.registry import FIGURES
from toybox.world.figures.shading import draw
from toybox.world.figures.surface import Mark, Surface, cubed, merged
from toybox.world.makers.shading import rotation

_DRESS = ("worn", "worn_colour", "material")
_SKULL, _MIDDLE, _COLLAR = 0.53, (0.0, 1.70, 0.0), (0.0, 1.21, 0.0)  # of a figurine, in its own units


@dataclass(frozen=True)
class Drawn:
    """A drawn figure.

    Attributes:
        image: RGBA, cropped to what shows.
        mask: uint8 (h, w), 255 where the figure covers at least half of a pixel.
    """

    image: Image.Image
    mask: np.ndarray


def draw_figure(thing: Thing, pose: Pose, light: Light, pixels: int) -> Drawn:
    """Draws a figure alone.

    Args:
        thing: A figure, as `describe_figure` and its changes give it.
        pose: Gives azimuth (0 is its front, 90 shows its left side), elevation and roll in degrees.
        light: Where the light comes from, as the camera sees it.
        pixels: Longer side of the drawing, at least 4.

    Returns:
        The picture and its mask. Living things turn their heads a little towards the viewer.

    Raises:
        ValueError: A trait is unknown.
        FileNotFoundError: The archives of KayKit are missing.
        RuntimeError: No OpenGL context could be opened; the message names the packages.
    """
    family = FIGURES[thing.class_noun].family
    build = {"figurine": _figurine, "creature": _creature, "prop": _prop}[family]
    surface, palette = build(thing if family == "prop" else _attentive(thing, pose))
    material = thing.trait("material")
    if material == "cube-shaped":
        surface = cubed(surface)
    turn = rotation(pose.azimuth + _aside(thing, pose), pose.elevation, pose.roll)
    finish = material if material in ("shiny", "wet") else "natural"
    image = draw(surface, palette, turn=turn, light=light, pixels=pixels, finish=finish)
    return Drawn(image, np.where(np.asarray(image.getchannel("A")) >= 128, 255, 0).astype(np.uint8))


def _aside(thing: Thing, pose: Pose) -> float:
    """Turns a figurine that lies or swims to its side, where its pose and its face show from all usual azimuths."""
    motion, azimuth = thing.trait("motion"), (pose.azimuth + 180) % 360 - 180
    if FIGURES[thing.class_noun].family != "figurine" or motion not in ("lying", "swimming"):
        return 0.0
    if motion == "lying":
        return -55.0 - 0.6 * azimuth
    return (62.0 if azimuth >= 0 else -62.0) - 0.7 * azimuth


def lift(thing: Thing) -> float:
    """Returns: how high a figure is above the ground, as a share of its drawn height (jumping)."""
    motion = thing.trait("motion")
    return MOTIONS[motion].lift if motion else 0.0


def _attentive(thing: Thing, pose: Pose) -> Thing:
    """Turns the head towards the viewer, as far as it goes; a sleeper rests on the side that shows its face."""
    azimuth = (pose.azimuth + 180) % 360 - 180
    traits: dict[str, Any] = dict(thing.traits)
    if traits.get("motion") == "sleeping":
        traits["moment"] = int(azimuth > 0)
    elif abs(azimuth) <= 110:
        traits["look"] = 10 * round(float(np.clip(-0.045 * azimuth, -4, 4)))
    return replace(thing, traits=tuple(sorted(traits.items())))


def _bare(thing: Thing) -> Thing:
    """Takes dress and property off, so that the body is built once."""
    return replace(thing, traits=tuple(pair for pair in thing.traits if pair[0] not in _DRESS))


def _creature(thing: Thing) -> tuple[Surface, None]:
    """Grows a creature and dresses it."""
    surface, body = grown(_bare(thing))
    worn, colour = thing.trait("worn"), thing.trait("worn_colour")
    if worn is None:
        return surface, None
    head, wide = thing.trait("head"), thing.trait("width")
    matrix = body.bones["head"] @ np.diag([head, head, head, 1.0])
    seat = Seat(matrix, (0.42, 0.15, 0.96), 0.93, neckline(body)[0], 0.26 * wide)
    table, faces = merged([(surface.table, surface.faces), *dressed(worn, colour, seat)])
    word = shirt(worn, colour)
    marks = surface.marks if word is None else (*surface.marks[:22], _shirt(thing, unit(shade(word))))
    return replace(surface, table=table, faces=faces, marks=marks), None


def _shirt(thing: Thing, rgb: tuple[float, float, float]) -> Mark:
    """Covers the front of a creature's trunk."""
    wide, leg, long = (thing.trait(name) for name in ("width", "legs", "length"))
    middle = (0.0, leg + 0.5 * wide, 0.24 * long + 0.4 * wide)
    return Mark(middle, (3.0 * wide, 1.02 * wide, 0.42 * long + 0.8 * wide), rgb, soft=0.02, boxy=True)


def _figurine(thing: Thing) -> tuple[Surface, np.ndarray]:
    """Poses a figurine, sits it on its chair, and dresses it."""
    worn, colour = thing.trait("worn"), thing.trait("worn_colour")
    traits = dict(_bare(thing).traits)
    if thing.trait("material") == "cube-shaped":
        traits.pop("held", None)  # a pressed sword is no sword
    if worn and GARMENTS[worn].hat:
        traits["bare_head"] = True
    surface, matrices = figurines.posed(replace(thing, traits=tuple(sorted(traits.items()))))
    if worn is None:
        return surface, figurines.palette(thing)
    names = figurines.skeleton()
    scale = np.diag([_SKULL, _SKULL, _SKULL, 1.0])
    scale[:3, 3] = _MIDDLE
    head = np.vstack([matrices[names.index("head")], [0, 0, 0, 1]]) @ scale
    seat = Seat(head, (0.37, -0.16, 0.84), 0.94, _neck_ring(matrices[names.index("chest")]), 0.12)
    table, faces = merged([(surface.table, surface.faces), *dressed(worn, colour, seat)])
    word = shirt(worn, colour)
    clad = thing if word is None else replace(thing, traits=tuple(sorted({**traits, "shirt": word}.items())))
    return replace(surface, table=table, faces=faces), figurines.palette(clad)


def _neck_ring(chest: np.ndarray) -> np.ndarray:
    """Makes the ring around a figurine's neck, (14, 3), its throat in the middle of the list."""
    angle = np.linspace(-np.pi, np.pi, 14, endpoint=False)
    ring = np.stack([0.33 * np.sin(angle), 0 * angle - 0.03 * np.cos(angle), 0.31 * np.cos(angle) + 0.02], -1) + _COLLAR
    return ring @ chest[:, :3].T + chest[:, 3]


@lru_cache(maxsize=128)
def _prop_surface(noun: str, key: str, tall: float, wide: float) -> Surface:
    """Reads a prop and gives it the member's proportions."""
    mesh = store.part("props", key)
    table = mesh.table.copy()
    scale = np.array([wide, tall, wide], np.float32)
    table[:, :3] *= scale
    table[:, 3:6] /= scale
    table[:, 3:6] /= np.maximum(np.linalg.norm(table[:, 3:6], axis=1, keepdims=True), 1e-9)
    return Surface(table, mesh.faces, gloss=PROPS[noun].gloss)


def _prop(thing: Thing) -> tuple[Surface, np.ndarray]:
    """Reads a prop in its colours: the swatch with the most surface takes the colour word, the next one the trim."""
    key = thing.trait("file")
    areas = store.part("props", key).areas
    order = [int(swatch) for swatch in np.argsort(-areas) if areas[swatch] > 0.06]
    wanted = [] if thing.colour is None else [(order[0], thing.colour)]
    if thing.trait("trim") and len(order) > 1:
        wanted.append((order[1], thing.trait("trim")))
    palette = store.palette("props", key.split(".")[0], tuple(wanted))
    return _prop_surface(thing.class_noun, key, thing.trait("tall"), thing.trait("wide")), palette
