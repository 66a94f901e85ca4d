"""What a language model said, made into phrases: read, cleaned, and each meaning kept once."""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from pydantic import BaseModel, ValidationError, model_validator

from ipseity.data.grammar import says
from ipseity.data.questions import Question

ADJECTIVES = frozenset({"quality", "size", "shape", "colour", "texture"})
"""Slots that stand before a noun."""
_MAX_CHARS = 80
_PICTURE = ("photo", "photograph", "picture", "image", "shot")
_PREPOSITION = re.compile(
    "about|above|across|after|against|along|alongside|amid|amidst|among|amongst|around|at|atop|before|behind|below|"
    "beneath|beside|between|beyond|by|during|floating|from|in|inside|near|next|on|onto|opposite|outside|over|past|"
    "surrounded|through|throughout|under|underneath|upon|with|within"
)
_SLOT_WORDS = {"size": ("size",), "shape": ("shape",), "colour": ("color", "colour")}
"""Nouns that models put behind an adjective and the caption does not say."""
_FORM_WORDS = re.compile(r"\b(?:phrases?|adjectives?|placeholders?|json)\b", re.IGNORECASE)
"""What small models say of the list instead of filling it: "first phrase"."""
_STUCK = re.compile(r"\b(\w+)[ -]\1\b|\w+(?:-\w+){4}", re.IGNORECASE)
"""A word said twice running, or words chained without end."""
_NO_ADJECTIVE = re.compile("at|for|from|in|is|like|of|on|or|that|the|to|with|which")
_UNSAID = re.compile("an?|the|its|his|her|their|of|colored|shaped|toned|looking")
"""Words that make no difference between two phrases."""
_SPELLINGS = {"grey": "gray", "colour": "color", "coloured": "colored", "colourful": "colorful", "multicoloured": "multicolored"}  # fmt: skip
_STRAIGHT = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": ";", "\u2010": "-", "\u2011": "-"})  # fmt: skip
_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(?=[,\]])')
_LINE = re.compile(r"^\s*(?:\d+[.)]|[-*\u2022])\s+(\S.*)$", re.MULTILINE)


class Answer(BaseModel):
    """What was asked for. A bare list, a list under another key, or a list of one-key objects is read as the same."""

    phrases: list[str]

    @model_validator(mode="before")
    @classmethod
    def _shaped(cls, given: object) -> object:
        if isinstance(given, Mapping):
            fields = cast(Mapping[str, Any], given)
            lists: list[Any] = [value for value in fields.values() if isinstance(value, list)]
            given = fields.get("phrases", lists[0] if len(lists) == 1 else None)
        if not isinstance(given, list):
            raise ValueError("no list of phrases")
        return {"phrases": [text for item in cast(list[object], given) if (text := _plain(item))]}


def read_answer(text: str) -> tuple[str, ...]:
    """Find the phrases in an answer: JSON, JSON amid other words, JSON that was cut short, or a list of lines.

    Raises:
        ValueError: there are none.
    """
    text = re.sub(r"<think>.*?(?:</think>|\Z)", "", text, flags=re.DOTALL)
    found = _whole(text) or _cut_short(text) or _LINE.findall(text)
    if not found:
        raise ValueError("no list of phrases")
    # a lone surrogate, which JSON allows, could not be written to a file
    return tuple(phrase.encode("utf-8", "ignore").decode() for phrase in found)


def clean(raw: str, question: Question) -> str:
    """Bring a phrase into the form of its slot, or give nothing where it does not fit.

    Only wrapping is taken off (numbers, quotes, articles, a full stop, the noun that the caption says itself); a phrase
    that would have to be reworded is left out.
    """
    text = " ".join(unicodedata.normalize("NFKC", raw).translate(_STRAIGHT).split())
    text = re.sub(r"^(?:\d+[.):]|[-*\u2022])\s+", "", text).strip("\"'` ").rstrip(".!;:, ")
    text = _unwrapped(text, question)
    if re.match(r"[A-Z][a-z'-]*(?![\w'-])", text):
        text = text[0].lower() + text[1:]
    return text if _fits(text, question) else ""


def distinct(phrases: Iterable[str], *, apart_from: Sequence[str] = ()) -> tuple[str, ...]:
    """Keep the first of those that mean the same: the same words but for case, order, spelling, number and articles.

    Args:
        phrases: as cleaned.
        apart_from: what none of them may mean or say, such as the scenes of an evaluation, or a token.
    """
    held = [(_meaning(phrase), phrase) for phrase in apart_from if phrase.strip()]
    kept: dict[str, frozenset[str]] = {}
    for phrase in phrases:
        words = _meaning(phrase)
        if any(_same(words, other) or says(phrase, said) for other, said in held):
            continue
        if phrase and not any(_same(words, other) for other in kept.values()):
            kept[phrase] = words
    return tuple(kept)


def _plain(item: object) -> str | None:
    if isinstance(item, str):
        return item
    values: list[object] = list(cast(Mapping[str, object], item).values()) if isinstance(item, Mapping) else []
    return values[0] if len(values) == 1 and isinstance(values[0], str) else None


def _whole(text: str) -> list[str]:
    """Read the first JSON value that holds phrases."""
    decoder = json.JSONDecoder()
    # a server can send any number of brackets, and each costs a try
    for start in [found.start() for found in re.finditer(r"[\[{]", text)][:20]:
        try:
            phrases = Answer.model_validate(decoder.raw_decode(text, start)[0]).phrases
        except (ValueError, ValidationError, RecursionError):
            continue
        if phrases:
            return phrases
    return []


def _cut_short(text: str) -> list[str]:
    """Read the strings that are whole in a list that is not."""
    inside = text[text.find("[") + 1 :] if "[" in text else ""
    found: list[str] = []
    for literal in _LITERAL.findall(inside):
        try:
            found.append(json.loads(f'"{literal}"'))
        except ValueError:
            continue
    return found


def _unwrapped(text: str, question: Question) -> str:
    """Take off what the caption says itself: articles before adjectives and nouns, and the noun after them."""
    slot = question.slot
    if slot in ADJECTIVES or slot in ("style", "siblings"):
        text = re.sub(r"^(?:an?|the)\s+", "", text, flags=re.IGNORECASE)
    if slot == "style":
        text = re.sub(r"\s+of$", "", text)
    if slot == "motion":
        text = re.sub(r"^(?:is|are)\s+", "", text, flags=re.IGNORECASE)
    if slot in ADJECTIVES:
        nouns = (question.class_noun, _plural(question.class_noun), *_SLOT_WORDS.get(slot, ()))
        tails = _PICTURE if slot == "quality" else nouns
        text = re.sub(rf"\s+(?:{'|'.join(map(re.escape, tails))})$", "", text, flags=re.IGNORECASE)
    return text


def _fits(text: str, question: Question) -> bool:
    words = text.split()
    if not words or len(words) > question.max_words or len(text) > _MAX_CHARS:
        return False
    if re.search(r"[^\w\s'&+-]|_", text) or not re.search(r"[a-zA-Z]", text) or "etc" in words:
        return False  # commas, brackets and slashes mean a list, an aside or code
    if _FORM_WORDS.search(text) or _STUCK.search(text) or text.lower() in _SLOT_WORDS.get(question.slot, ()):
        return False
    return _says_it_once(text, question) and _stands(words, question.slot)


def _says_it_once(text: str, question: Question) -> bool:
    noun = question.class_noun
    shown = any(says(text, word) for word in _PICTURE)
    if question.slot == "siblings":
        return text.lower() not in (noun.lower(), _plural(noun).lower()) and not shown
    if question.slot in ADJECTIVES and shown:
        return False
    return not says(text, noun) and not says(text, _plural(noun))


def _stands(words: Sequence[str], slot: str) -> bool:
    """Tell whether the words can stand where the caption puts them."""
    lowered = [word.lower() for word in words]
    if slot == "background":
        return len(words) > 1 and _PREPOSITION.fullmatch(lowered[0]) is not None
    if slot == "motion":
        return bool(re.fullmatch(r"\w{2,}(?:ing|ed)", lowered[0]))
    if slot in ADJECTIVES:
        return not any(map(_NO_ADJECTIVE.fullmatch, lowered))
    return not _PREPOSITION.fullmatch(lowered[0])


def _plural(noun: str) -> str:
    return noun if noun.endswith("s") else f"{noun}s"


def _meaning(phrase: str) -> frozenset[str]:
    """Reduce a phrase to the words that make the difference, each in one spelling and without the ending of a plural."""
    spoken: list[str] = re.findall(r"[\w']+", phrase.lower())
    words = [_SPELLINGS.get(word, word) for word in spoken]
    told = [word for word in words if not _UNSAID.fullmatch(word)] or words
    return frozenset(
        word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] not in "su" else word for word in told
    )


def _same(one: frozenset[str], other: frozenset[str]) -> bool:
    """Tell whether two meanings differ by one word in five at most, or by how their words are joined."""
    if "".join(sorted("".join(one))) == "".join(sorted("".join(other))) and len(one) != len(other):
        return True
    return len(one & other) >= 0.8 * len(one | other)
