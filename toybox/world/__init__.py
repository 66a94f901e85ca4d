"""The toybox world: seeded scenes of things in places, with their captions, masks and truth.

A scene is described first (`describe`) and drawn afterwards (`render`), so that captions, masks and attribute checks
follow from one object.
"""

from toybox.world.colours import colours
from toybox.world.description import Scene, Thing
from toybox.world.grammar import caption, wordlist
from toybox.world.kinds import classes
from toybox.world.painter import Rendered, render
from toybox.world.places import places
from toybox.world.scenes import CALM, FULL, Variety, describe, describe_member, is_heldout, scene_of

__all__ = [
    "CALM",
    "FULL",
    "Rendered",
    "Scene",
    "Thing",
    "Variety",
    "caption",
    "classes",
    "colours",
    "describe",
    "describe_member",
    "is_heldout",
    "places",
    "render",
    "scene_of",
    "wordlist",
]
