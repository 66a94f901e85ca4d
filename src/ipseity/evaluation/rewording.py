"""The scored scenes in other words: what a person might type who means the same."""

from collections.abc import Mapping

from ipseity.core.words import counted

OTHER_WORDS: Mapping[str, tuple[str, ...]] = {
    "in the jungle": ("in a green rainforest", "deep in the jungle", "among jungle trees"),
    "on a wooden floor": ("on the parquet", "on top of a wooden floor", "on the wooden floor of a room"),
    "with a city behind it": ("in front of tall buildings", "with a big city in the background", "in front of a city"),
    "on green grass": ("in the green grass", "sitting on the grass", "on a field of green grass"),
    "in the desert": ("among sand dunes", "on desert sand", "out in the desert"),
    "on pink fabric": ("on pink cloth", "lying on soft pink fabric", "on top of a pink cloth"),
}
"""Scene tail -> other tails for it. Written by hand, in words that the built-in base has tokens for. None stands in a phrase
bank, so that like the scenes they are never practised."""
FRAMES = ("a picture of {subject} {tail}", "my {phrase} {tail}", "{subject}, {tail}")
"""Sentences around the tails, in turn: none is the "a photo of ..." that training and scoring use, and each is of a form that
the built-in base was taught, so that what is lost is lost by the wording of the subject and not by the base."""


def reword(phrase: str, class_noun: str, scene: str) -> tuple[str, ...]:
    """Say a prompt in other words, once for each other tail of its scene.

    Args:
        phrase: how prompts name the subject ("sks backpack").
        class_noun: what it is, which decides the article.
        scene: a key of `OTHER_WORDS`.
    """
    subject = counted(phrase, class_noun)
    tails = OTHER_WORDS[scene]
    frames = [FRAMES[place % len(FRAMES)] for place in range(len(tails))]
    return tuple(
        frame.format(subject=subject, phrase=phrase, tail=tail) for frame, tail in zip(frames, tails, strict=True)
    )
