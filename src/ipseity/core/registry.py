"""The folder is the registry: `bases/sdxl.py` is the base "sdxl". The only dynamic import of the house.

An outside package plugs in by an entry point of the group `ipseity.<room>` whose value is a module of the same shape
(its last line binds `PLUGIN`), or that object itself. Built-ins have no privilege but that they come first.
"""

import difflib
import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ipseity.core.errors import RecipeError

ROOMS = {
    "bases": "ipseity.bases",
    "encoders": "ipseity.vision",
    "captions": "ipseity.data.captions",
    "regularizations": "ipseity.data.regularization",
    "methods": "ipseity.methods",
    "engines": "ipseity.training.engines",
    "metrics": "ipseity.evaluation.metrics",
}
"""Shelf of plug-ins -> the folder that holds them. Sub-folders (`parts/`) are not plug-ins."""


def names(room: str) -> list[str]:
    """List what a room holds, built-ins and outside plug-ins, without importing any of them."""
    return sorted({*_files(room), *_outside(room)})


def find(room: str, name: str) -> Any:
    """Import one plug-in.

    Args:
        room: a key of `ROOMS`.
        name: the plug-in's file name without `.py`, or the name of an entry point.

    Returns:
        The object bound to `PLUGIN` in that file.

    Raises:
        RecipeError: nothing of that name is in the room; the message lists the known names and the nearest spelling.
    """
    if name in _files(room):
        return importlib.import_module(f"{ROOMS[room]}.{name}").PLUGIN
    if (outside := _outside(room).get(name)) is not None:
        loaded = outside.load()
        return getattr(loaded, "PLUGIN", loaded)
    raise unknown(room, name)


def unknown(room: str, name: str) -> RecipeError:
    """Say that a room holds nothing of that name, with the nearest spelling."""
    known = names(room)
    near = difflib.get_close_matches(name, known, n=1)
    todo = f"Did you mean '{near[0]}'?" if near else f"`ipseity list {room}` describes them"
    return RecipeError(f"'{name}' is not in {room}", f"one of: {', '.join(known)}", todo)


def _files(room: str) -> list[str]:
    package = importlib.import_module(ROOMS[room])
    return [module.name for module in pkgutil.iter_modules(package.__path__) if not module.ispkg]


def _outside(room: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"ipseity.{room}")}
