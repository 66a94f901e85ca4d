"""Who agreed to being learned and drawn: a note that travels with an identity, and a reminder where it is missing.

A note is what the user writes down. It proves nothing and is no legal basis; it keeps the question from being forgotten and the
answer from being lost.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

from ipseity.core.errors import RecipeError
from ipseity.core.registry import find, names
from ipseity.data.phrases import category

MAX_LETTERS = 2000


def consent_facts(note: str | None, *, by: str | None = None, recorded: date | None = None) -> dict[str, Any]:
    """Give what an identity's facts hold of a consent, under `consent`; nothing where there is no note.

    Args:
        note: what was agreed to, in the user's words.
        by: who agreed; unset where the note says it.
        recorded: when the note was taken; today when not given.

    Raises:
        RecipeError: the note is empty or longer than `MAX_LETTERS`.
    """
    if note is None and by is None:
        return {}
    words = " ".join((note or "").split())
    if not words or len(words) > MAX_LETTERS:
        raise RecipeError(
            f"a consent note of {len(words)} letters",
            f"1 to {MAX_LETTERS}: who agreed, when, and to what",
            'write for example "Ada, by letter of 2026-11-02: portraits for the school play"',
        )
    said = {"note": words, "recorded": (recorded or date.today()).isoformat()}
    return {"consent": {"by": by.strip(), **said} if by and by.strip() else said}


def consent_of(facts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Give the consent that an identity's facts hold, or None."""
    consent = facts.get("consent")
    return consent if isinstance(consent, Mapping) and consent.get("note") else None


def shows_person(class_noun: str) -> bool:
    """Tell whether a class is a person; nouns that are not known are things."""
    return category(class_noun) == "person" if class_noun.split() else False


def holds_face(method: str, tensors: Mapping[str, Any]) -> bool:
    """Tell whether an identity's tensors are measures of a face, from which a person can be recognized.

    Args:
        method: its name; one that is not installed here is judged by the tensors alone.
        tensors: by name.
    """
    if method in names("methods") and "face" in getattr(find("methods", method), "needs_encoders", ()):
        return True
    return any(name.rpartition(".")[2] in ("embedding", "face_embedding") for name in tensors)


def consent_reminder(class_noun: str, method: str, consent: Mapping[str, Any] | None) -> str | None:
    """Give the sentence that reminds of a missing consent, or None where there is one or none is needed.

    Args:
        class_noun: what the subject is.
        method: name of the method.
        consent: what `consent_of` gives.
    """
    looks_at_faces = method in names("methods") and "face" in getattr(find("methods", method), "needs_encoders", ())
    if consent is not None or not (looks_at_faces or shows_person(class_noun)):
        return None
    return (
        "This subject is a person and no consent is noted. Make sure that they agree to being learned and drawn, and write it down "
        'with --consent "who, when, to what"; the note is stored in the identity.'
    )
