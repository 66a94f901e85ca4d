"""Under which licence each part stands: told before a first download, and listed for all that is in the house."""

from collections.abc import Iterator
from typing import Any

from ipseity.core.errors import WeightsError
from ipseity.core.registry import find, names
from ipseity.core.weights import licence_of, locate
from ipseity.recipe import Recipe

UNSTATED = "not stated here; read it on its page before you use it"
_ROOMS = ("bases", "methods", "encoders")


def before_fetching(recipe: Recipe) -> tuple[str, ...]:
    """Say the licence of each part of a recipe that would be fetched now; where it is not known here, its card is asked.

    Of a repository whose licence is unknown, only the card (README.md) is fetched for this, before any weights.

    Args:
        recipe: whose base and method may name a Hub id and `download = true`.

    Returns:
        A sentence a part; none where nothing would be fetched.
    """
    told = []
    for what, chosen in (("base", recipe.base), ("method", recipe.method)):
        where = _to_fetch(chosen.options)
        if where is None:
            continue
        known = _known(chosen.plugin, where)
        licence = known or _on_card(where, getattr(chosen.options, "revision", None)) or UNSTATED
        told.append(
            f"Weights of {what} '{chosen.name}' are fetched from https://huggingface.co/{where}; licence: {licence}."
        )
    return tuple(told)


def licence_rows() -> list[dict[str, Any]]:
    """List the licences that are known of what is in the house, a row a part."""
    return list(_rows())


def _rows() -> Iterator[dict[str, Any]]:
    for room in _ROOMS:
        for name in names(room):
            plugin = find(room, name)
            fetched = _default_weights(plugin) is not None  # what ships has a licence of its own
            published = dict(getattr(getattr(plugin, "layout", None), "licences", {})) if fetched else {}
            yield from (
                {"name": name, "room": room, "weights": where, "licence": said} for where, said in published.items()
            )
            said = getattr(plugin, "licence", None)
            if isinstance(said, str):
                yield {
                    "name": name,
                    "room": room,
                    "weights": _default_weights(plugin) or "in the package",
                    "licence": said,
                }
            elif not published and (where := _default_weights(plugin)):
                yield {"name": name, "room": room, "weights": where, "licence": UNSTATED}


def _default_weights(plugin: Any) -> str | None:
    field = plugin.Options.model_fields.get("weights")
    return field.default if field is not None and isinstance(field.default, str) else None


def _to_fetch(options: Any) -> str | None:
    """Give the Hub id that options allow to be fetched and that is not here, or None."""
    weights = getattr(options, "weights", None)
    if not getattr(options, "download", False) or not isinstance(weights, str):
        return None
    try:
        locate(weights, allow=("*.json",), revision=getattr(options, "revision", None))
    except WeightsError:
        return weights
    return None


def _known(plugin: Any, weights: str) -> str | None:
    """Give the licence that a plug-in states of some weights; what it says of its default ones says nothing of others."""
    published = getattr(getattr(plugin, "layout", None), "licences", {})
    said = getattr(plugin, "licence", None) if weights == _default_weights(plugin) else None
    return published.get(weights) or (said if isinstance(said, str) else None)


def _on_card(weights: str, revision: str | None) -> str | None:
    try:
        return licence_of(locate(weights, allow=("README.md",), revision=revision, download=True))
    except WeightsError:  # the fetching of the weights themselves says what is wrong
        return None
