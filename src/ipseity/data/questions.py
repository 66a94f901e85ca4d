"""What a language model is asked, slot by slot, so that its phrases fit the caption format."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from ipseity.core.options import Options
from ipseity.core.words import counted, is_plural
from ipseity.data.phrases import Category, category, siblings

_REPEATED = 80
"""Phrases that a question tells not to repeat, at most: small models lose the thread of long ones."""


class Counts(Options):
    """How many phrases a slot shall have; with 0 it keeps the shipped ones, and slots that a class lacks stay empty.

    Source:
        arXiv:2311.04315 asks a language model for lists of each kind; the counts are ours.
    """

    quality: int = Field(20, ge=0, le=400)
    """Words before the style."""
    style: int = Field(20, ge=0, le=400)
    """Kinds of picture."""
    size: int = Field(10, ge=0, le=400)
    """Adjectives of size; persons have none."""
    shape: int = Field(40, ge=0, le=400)
    """Adjectives of shape; things only."""
    colour: int = Field(40, ge=0, le=400)
    """Adjectives of color; persons have none."""
    texture: int = Field(40, ge=0, le=400)
    """Adjectives of material, pattern, fur or looks."""
    motion: int = Field(60, ge=0, le=400)
    """What a living thing does."""
    background: int = Field(100, ge=0, le=400)
    """Where it is, with its preposition."""
    siblings: int = Field(12, ge=0, le=400)
    """Neighboring nouns."""


@dataclass(frozen=True)
class _Form:
    """How one slot is asked for."""

    wanted: str
    """What the phrases are; `{noun}` and `{a_noun}` become the class noun without and with its article."""
    examples: tuple[str, ...]
    max_words: int


_QUALITY = _Form(
    "words of praise or of light that may stand before the word 'photo'",
    ("high quality", "softly lit", "award-winning"),
    3,
)
_STYLE = _Form(
    "kinds of picture: photographic, painted, drawn, printed or made by hand",
    ("watercolor painting", "film photo", "paper cutout"),
    5,
)
_BACKGROUND = _Form(
    "places and surroundings in which {a_noun} may be seen, each beginning with its preposition",
    ("on a wooden bench", "in front of a red door", "beside a potted plant"),
    9,
)
_FORMS: Mapping[Category, Mapping[str, _Form]] = {
    "object": {
        "quality": _QUALITY,
        "style": _STYLE,
        "size": _Form("adjectives of size", ("tiny", "medium-sized", "oversized"), 2),
        "shape": _Form("adjectives of shape", ("round", "heart-shaped", "tapered"), 3),
        "colour": _Form("adjectives of color", ("navy", "mint green", "two-tone"), 4),
        "texture": _Form("adjectives of material, surface or pattern", ("wooden", "polka-dotted", "brushed steel"), 3),
        "background": _BACKGROUND,
        "siblings": _Form("other things that are near relatives of {a_noun}, as nouns in the singular", (), 4),
    },
    "animal": {
        "quality": _QUALITY,
        "style": _STYLE,
        "size": _Form("adjectives of size, build or age for {a_noun}", ("tiny", "young", "slender"), 2),
        "colour": _Form("adjectives of color for {a_noun}", ("golden", "black and white", "rust-colored"), 4),
        "texture": _Form("adjectives of coat, skin or looks for {a_noun}", ("fluffy", "wet", "short-haired"), 3),
        "motion": _Form(
            "things that {a_noun} does or wears, each beginning with a verb in -ing and naming no place",
            ("running", "catching a ball", "wearing a blue scarf"),
            7,
        ),
        "background": _BACKGROUND,
        "siblings": _Form("breeds and near relatives of {a_noun}, as nouns in the singular", (), 4),
    },
    "person": {
        "quality": _QUALITY,
        "style": _STYLE,
        "texture": _Form(
            "adjectives of looks, hair, age or dress for {a_noun}", ("curly-haired", "elegant", "freckled"), 3
        ),
        "motion": _Form(
            "things that {a_noun} does or wears, each beginning with a verb in -ing and naming no place",
            ("laughing", "reading a book", "wearing a straw hat"),
            7,
        ),
        "background": _BACKGROUND,
        "siblings": _Form("other kinds of people by age, looks or work, as nouns in the singular", (), 4),
    },
}


@dataclass(frozen=True)
class Question:
    """One slot of one class, to be asked about until there are enough phrases."""

    slot: str
    class_noun: str
    living: bool
    count: int
    """Phrases wanted in all."""

    @property
    def max_words(self) -> int:
        """Longest phrase that fits the slot."""
        return self._form.max_words

    def text(self, num_asked: int, known: Sequence[str] = ()) -> str:
        """Word the question.

        Args:
            num_asked: phrases wanted of this one answer.
            known: phrases that are there already and shall not come again; the newest are told.
        """
        noun = self.class_noun
        names = {"noun": noun, "a_noun": counted(noun, noun)}
        lines = [
            f"List {num_asked} different short phrases: {self._form.wanted.format(**names)}.",
            f'Each one must fit into the gap of this sentence: "{self._sentence()}"',
            f"Each has at most {self.max_words} words, in lower case, without comma, number or full stop.",
        ]
        if self.slot != "siblings":
            lines.append(f'Do not use the word "{noun}" in them.')
        if self._form.examples:
            lines.append(f"Phrases of the right form: {_listed(self._form.examples)}.")
        if known:
            lines.append(f"Give none of these again: {_listed(known[-_REPEATED:])}.")
        # small models repeat what the form holds: phrases that fit do no harm, and dots are no phrases
        form = json.dumps({"phrases": self._form.examples or siblings(noun)[:3] or ("...", "...")})
        lines.append(f"Answer with nothing but JSON of this form: {form}")
        return "\n".join(lines)

    @property
    def _form(self) -> _Form:
        return _FORMS[_kind(self.class_noun, self.living)][self.slot]

    def _sentence(self) -> str:
        noun, gap = self.class_noun, "___"
        after = {
            "quality": f"a {gap} photo of {counted(noun, noun)}",
            "style": f"a {gap} of {counted(noun, noun)}",
            "motion": f"a photo of {counted(noun, noun)} {gap}",
            "background": f"a photo of {counted(noun, noun)} {gap}",
            "siblings": f"a photo of a {gap}",
        }
        return after.get(self.slot, f"a photo of {'' if is_plural(noun) else 'a '}{gap} {noun}")


def questions(class_noun: str, *, living: bool, counts: Counts) -> tuple[Question, ...]:
    """List what is to be asked about a class: the slots that it has and that are wanted.

    Args:
        class_noun: what the subject is.
        living: whether it is a person or an animal.
        counts: phrases wanted by slot.
    """
    slots: Iterable[str] = _FORMS[_kind(class_noun, living)]
    return tuple(
        Question(slot, class_noun, living, count) for slot in slots if (count := int(getattr(counts, slot))) > 0
    )


def _kind(class_noun: str, living: bool) -> Category:
    """Go by the noun, but by `living` where the two disagree, as the shipped banks do."""
    if not living:
        return "object"
    return "person" if category(class_noun) == "person" else "animal"


def _listed(phrases: Sequence[str]) -> str:
    return ", ".join(f'"{phrase}"' for phrase in phrases)
