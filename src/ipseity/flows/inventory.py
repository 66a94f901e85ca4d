"""What is in the house, read from the folders themselves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipseity.core.errors import RecipeError
from ipseity.core.files import read_json
from ipseity.core.registry import ROOMS, find, names
from ipseity.flows.licences import licence_rows
from ipseity.recipe import shelf

SHELVES = (*ROOMS, "recipes", "licences", "runs")


def inventory(what: str | None, *, runs: Path) -> dict[str, list[dict[str, Any]]]:
    """List one shelf, or all but the runs.

    Raises:
        RecipeError: there is no such shelf.
    """
    if what is not None and what not in SHELVES:
        raise RecipeError(
            f"there is no list of '{what}'", f"one of: {', '.join(SHELVES)}", "leave it out to see them all"
        )
    wanted = [what] if what else [name for name in SHELVES if name != "runs"]
    return {name: _rows(name, runs) for name in wanted}


def _rows(shelf_name: str, runs: Path) -> list[dict[str, Any]]:
    if shelf_name == "recipes":
        return [{"name": name, "about": _comment(path)} for name, path in shelf().items()]
    if shelf_name == "licences":
        return licence_rows()
    if shelf_name == "runs":
        return [_run_row(path) for path in sorted(runs.glob("*/manifest.json"))]
    return [_plugin_row(shelf_name, name) for name in names(shelf_name)]


def _plugin_row(room: str, name: str) -> dict[str, Any]:
    plugin = find(room, name)
    row: dict[str, Any] = {
        "name": name,
        "about": (plugin.__doc__ or "").strip().splitlines()[0] if plugin.__doc__ else "",
    }
    for fact in ("offers", "needs"):
        if hasattr(plugin, fact):
            row[fact] = sorted(getattr(plugin, fact))
    if room == "encoders":
        row["missing"] = plugin.missing()
    return row


def _comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").lstrip().splitlines()[0]
    return first.lstrip("# ").strip()


def _run_row(path: Path) -> dict[str, Any]:
    manifest: Mapping[str, Any] = read_json(path)
    return {"name": path.parent.name, "state": manifest.get("state"), "about": manifest.get("started", "")}
