"""The owner of the caption format: slots in, natural English out, for training and regularization captions alike."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations

from ipseity.core.words import article, counted

CLOSE_UP = "close-up"
"""What a caption says of a tight crop."""
DROPPABLE = ("quality", "size", "shape", "colour", "texture", "motion", "background")
"""Slots that a variant may leave out. Token, noun and style are what the picture is; the crop word follows the crop."""
_TRIGGER = re.compile(r"\[(?:trigger|token)\]|\{(?:trigger|token)\}", re.IGNORECASE)


@dataclass(frozen=True)
class Caption:
    """A caption as slots. Empty slots are not spoken of.

    Rendered as `<quality> <style> of a <token> <size> <shape> <colour> <texture> <noun> <motion> <background>, <crop>`.

    Source:
        arXiv:2311.04315: training and regularization captions share one hand-made format; the slots are our reading.
    """

    noun: str
    token: str = ""
    quality: str = ""
    style: str = "photo"
    size: str = ""
    shape: str = ""
    colour: str = ""
    texture: str = ""
    motion: str = ""
    background: str = ""
    crop: str = ""

    def __post_init__(self) -> None:
        assert self.noun, "a caption needs a noun"

    def __str__(self) -> str:
        thing = _join(self.token, self.size, self.shape, self.colour, self.texture, self.noun)
        head = f"{article(_join(self.quality, self.style))} of {counted(thing, self.noun)}"
        scene = _join(head, self.motion, self.background)
        return f"{scene}, {self.crop}" if self.crop else scene

    def without(self, *slots: str) -> "Caption":
        """Leave slots unspoken."""
        assert all(slot in SLOTS and slot != "noun" for slot in slots), f"cannot drop {slots}"
        return replace(self, **dict.fromkeys(slots, ""))

    def filled(self) -> tuple[str, ...]:
        """Name the slots that may be dropped and have something to drop."""
        return tuple(slot for slot in DROPPABLE if getattr(self, slot))

    def variants(self, num_variants: int) -> tuple[str, ...]:
        """Say it in up to `num_variants` ways: in full, then with one slot dropped, then with two, and so on."""
        kept = self.filled()
        drops = (drop for count in range(len(kept) + 1) for drop in combinations(kept, count))
        return _first_distinct((str(self.without(*drop)) for drop in drops), num_variants)


SLOTS = tuple(slot.name for slot in fields(Caption))
"""Names that a user may give as columns of `metadata.jsonl`."""


def says(text: str, word: str) -> bool:
    """Tell whether a text holds a word or a phrase as whole words, in upper or lower case."""
    return _as_word(word).search(text) is not None


def with_token(text: str, token: str, class_noun: str) -> str:
    """Give a user's caption with the token in it.

    A caption that has it stays as it is; `[trigger]` and `[token]` are replaced; else the token goes before the class
    noun; a caption that lacks the noun too gets both in front.
    """
    text = _TRIGGER.sub(lambda _: token, " ".join(text.split()))
    if says(text, token):
        return text
    if says(text, class_noun):
        return _as_word(class_noun).sub(lambda found: f"{token} {found.group()}", text, count=1)
    return f"{article('photo')} of {counted(f'{token} {class_noun}', class_noun)}, {text}"


def without_token(text: str, token: str) -> str:
    """Take the token out of a caption and mend the article before it ("a sks owl" becomes "an owl")."""
    pattern = re.compile(rf"(?:\b(an?)\s+)?{_as_word(token).pattern}\s*", re.IGNORECASE)

    def mend(found: re.Match[str]) -> str:
        following = text[found.end() :]
        spoken = re.match(r"[\w-]+", following)
        return article(spoken.group())[: -len(spoken.group())] if found.group(1) and spoken else ""

    return " ".join(pattern.sub(mend, text).split()).replace(" ,", ",").strip(" ,")


def text_variants(text: str, token: str, num_variants: int) -> tuple[str, ...]:
    """Vary free text by leaving out comma parts; the parts up to the one that holds the token always stay."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    last_kept = next((place for place, part in enumerate(parts) if says(part, token)), len(parts) - 1)
    head, tail = parts[: last_kept + 1], parts[last_kept + 1 :]
    keeps = (keep for count in range(len(tail), -1, -1) for keep in combinations(tail, count))
    return _first_distinct((", ".join([*head, *keep]) for keep in keeps), num_variants)


def with_crop(texts: Sequence[str], word: str = CLOSE_UP) -> tuple[str, ...]:
    """Say of each text that the picture is a tight crop."""
    return tuple(text if says(text, word) else f"{text}, {word}" for text in texts)


def _first_distinct(texts: Iterable[str], count: int) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for text in texts:
        found.setdefault(text)
        if len(found) >= count:
            break
    return tuple(found)


def _as_word(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)


def _join(*words: str) -> str:
    return " ".join(word for word in words if word)
