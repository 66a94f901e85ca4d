"""Phrase banks: what may stand in the slots of a caption for a class, shipped as JSON and written by hand."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, ValidationError

from ipseity.core.errors import RecipeError
from ipseity.core.options import Options

Category = Literal["object", "animal", "person"]
SHIPPED = ("auto", "toybox", "object", "animal", "person")
"""Banks that a recipe may name; "auto" goes by the class noun."""
_MAX_BYTES = 2**20


class Phrases(Options):
    """Phrases by slot. A slot without phrases is never spoken of."""

    model_config = ConfigDict(extra="forbid")

    quality: tuple[str, ...] = ()
    """Words before the style: "high quality"."""
    style: tuple[str, ...] = ()
    """What kind of picture it is: "watercolor painting"."""
    size: tuple[str, ...] = ()
    """Adjectives of size."""
    shape: tuple[str, ...] = ()
    """Adjectives of shape; living things have none."""
    colour: tuple[str, ...] = ()
    """Adjectives of color."""
    texture: tuple[str, ...] = ()
    """Adjectives of material, pattern, fur or looks."""
    motion: tuple[str, ...] = ()
    """What a living thing does: "running"."""
    background: tuple[str, ...] = ()
    """Where it is, with its preposition: "on a wooden bench"."""
    siblings: tuple[str, ...] = ()
    """Neighboring nouns: other breeds, other things of the kind."""


def phrases_for(class_noun: str, *, living: bool, bank: str = "auto") -> Phrases:
    """Give the phrases for a class.

    Args:
        class_noun: what the subject is.
        living: whether it is a person or an animal.
        bank: a name of `SHIPPED`, or the path of a JSON file with the same keys.

    Raises:
        RecipeError: there is no such bank, or the file is not one.
    """
    if bank not in SHIPPED:
        return _own(Path(bank))
    name = _kind(class_noun, living) if bank == "auto" else bank
    shipped = Phrases.model_validate(_load(f"{name}.json"))
    return shipped.model_copy(update={"siblings": siblings(class_noun)})


def siblings(class_noun: str) -> tuple[str, ...]:
    """Give nouns of neighboring classes; empty where none are known."""
    table: Mapping[str, list[str]] = _load("classes.json")["siblings"]
    noun = next((noun for noun in _nouns(class_noun) if noun in table), None)
    return tuple(table[noun]) if noun else ()


def category(class_noun: str) -> Category:
    """Tell whether a noun is a person, an animal or a thing, by its whole or its last word ("guide dog" is a dog)."""
    known = _load("classes.json")
    nouns = _nouns(class_noun)
    if any(noun in known["siblings"] and noun not in (*known["animal"], *known["person"]) for noun in nouns[:1]):
        return "object"
    for noun in nouns:
        if noun in known["person"]:
            return "person"
        if noun in known["animal"]:
            return "animal"
    return "object"


def is_living(class_noun: str) -> bool:
    """Tell whether a noun is a person or an animal; what is not known is a thing."""
    return category(class_noun) != "object"


def _kind(class_noun: str, living: bool) -> Category:
    found = category(class_noun)
    if living:
        return "animal" if found == "object" else found
    return "object"


def _nouns(class_noun: str) -> list[str]:
    """List a noun, what it means, and its last word, the most telling first."""
    synonyms = _load("classes.json")["synonyms"]
    whole = class_noun.lower().strip()
    last = whole.split()[-1]
    return list(dict.fromkeys([synonyms.get(whole, whole), whole, synonyms.get(last, last), last]))


def _own(path: Path) -> Phrases:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError(f"it has more than {_MAX_BYTES // 2**20} MiB")
        return Phrases.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise RecipeError(
            f"there is no phrase bank '{path}'",
            f"one of {', '.join(SHIPPED)}, or the path of a JSON file",
            "set regularization.bank",
        ) from error
    except (ValidationError, ValueError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else error
        raise RecipeError(
            f"{path} is no phrase bank ({reason})",
            f"lists of phrases under {', '.join(Phrases.model_fields)}",
            'mend it, or set regularization.bank = "auto"',
        ) from error


@cache
def _load(name: str) -> dict[str, Any]:
    return json.loads((files("ipseity.data") / "banks" / name).read_text(encoding="utf-8"))
