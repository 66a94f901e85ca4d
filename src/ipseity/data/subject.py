"""From a folder of photos to a subject, and from a subject to what is trained on, picked by and scored by."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from ipseity.core.options import Options
from ipseity.core.types import Photo, Subject
from ipseity.data.doctor import FEW, inspect
from ipseity.data.grammar import says
from ipseity.data.likeness import copies, groups
from ipseity.data.photos import read_mask
from ipseity.data.phrases import is_living
from ipseity.data.sidecars import mask_for, read_words, words_for


def _one_word(token: str) -> str:
    if not re.fullmatch(r"[^\s,.;:()\[\]{}\"'|/\\]+", token) or not any(char.isalnum() for char in token):
        raise ValueError("one rare word without spaces or punctuation, such as sks or <ada>")
    return token


def _words(noun: str) -> str:
    if not re.fullmatch(r"[^\W\d_][\w '-]*", noun.strip()):
        raise ValueError("what the subject is, in a word or two, such as backpack or stuffed animal")
    return " ".join(noun.split())


class SubjectOptions(Options):
    """Whose photos, what they show, and by which word prompts name it."""

    photos: Path
    """Folder of photos."""
    class_noun: Annotated[str, Field(max_length=60), AfterValidator(_words)]
    """What the subject is, as one would say it: backpack, dog, stuffed animal."""
    token: Annotated[str, Field(max_length=40), AfterValidator(_one_word)] = "sks"
    """The rare word that stands for this very subject in prompts."""
    name: str | None = Field(None, max_length=100)
    """What the subject is called in reports; unset means the folder's name."""
    living: bool | None = None
    """Whether it is a person or an animal; unset means that the class noun decides."""
    max_photos: int = Field(50, ge=1)
    """Largest number of photos used; of more, some are chosen evenly over the names."""
    consent: str | None = Field(None, max_length=2000)
    """Who agreed to being learned and drawn, when, and to what; the note travels with the identity."""


@dataclass(frozen=True)
class Split:
    """Which photos train, which pick the checkpoint and which score it."""

    train: Subject
    pick: tuple[Photo, ...]
    """Chooses the checkpoint; empty where photos are too few."""
    score: tuple[Photo, ...]
    """Scores the chosen checkpoint; empty where photos are too few."""
    notes: tuple[str, ...]
    """What was held out, and what could not be separated."""


def read_subject(options: SubjectOptions, *, resolution: int | None = None) -> Subject:
    """Read a subject's photos with what the user wrote about them, and check them.

    Args:
        options: folder, class noun and token.
        resolution: the base's native side in pixels; photos that are smaller are told.

    Raises:
        SubjectError: no photo is there, or one cannot be used; the message names it.
    """
    seen = inspect(options.photos, resolution=resolution, max_photos=options.max_photos)
    if seen.refusal is not None:
        raise seen.refusal
    words = read_words(options.photos)
    photos = [reading.photo for reading in seen.readings]
    told = [(photo, words_for(photo.path, words)) for photo in photos]
    photos = [_masked(replace(photo, caption=said.caption, slots=said.slots)) for photo, said in told]
    subject = Subject(
        name=options.name or options.photos.resolve().name or "subject",
        photos=tuple(photos),
        class_noun=options.class_noun,
        token=options.token,
        living=is_living(options.class_noun) if options.living is None else options.living,
    )
    findings = (*(finding.message for finding in seen.findings), *_on_captions(subject), *_on_words(subject, words))
    return replace(subject, findings=findings)


def hold_out(subject: Subject) -> Split:
    """Set photos aside to pick the checkpoint and to score it.

    With four or more photos one picks and one scores; with three, one scores; with fewer, none. Copies and mirrored
    copies count as one photo and stay together, so that nothing is scored on a picture that training has seen.
    """
    photos = subject.photos
    together = groups(len(photos), copies([photo.image for photo in photos]))
    # The smallest groups first, so that copies stay in training; then by content, so that names do not matter.
    order = sorted(together, key=lambda group: (len(group), min(photos[index].sha256 for index in group)))
    scored = order[0] if len(order) >= FEW - 1 else []
    picked = order[1] if len(order) >= FEW else []
    kept = [photo for index, photo in enumerate(photos) if index not in (*scored, *picked)]
    pick, score = ([photos[index] for index in chosen] for chosen in (picked, scored))
    notes = (*_on_copies(photos, together), _on_split(pick, score, len(kept)))
    return Split(subject.with_photos(kept), tuple(pick), tuple(score), notes)


def _masked(photo: Photo) -> Photo:
    mask = mask_for(photo.path)
    return photo if mask is None else read_mask(mask, photo)


def _on_captions(subject: Subject) -> Iterator[str]:
    captions = [photo.caption for photo in subject.photos if photo.caption]
    if not captions:
        return
    without = [
        caption for caption in captions if not says(caption, subject.token) and "[trigger]" not in caption.lower()
    ]
    if without:
        yield (
            f"{len(without)} of {len(captions)} captions do not name '{subject.token}'; structured captions put it "
            f"before '{subject.class_noun}', or in front where that is missing too. Write it yourself to place it."
        )
    if len(captions) < len(subject.photos):
        yield f"{len(captions)} of {len(subject.photos)} photos have your caption; the others get one by the format."


def _on_words(subject: Subject, words: dict) -> Iterator[str]:
    known = {photo.path.name for photo in subject.photos} | {f"{photo.path.stem}.*" for photo in subject.photos}
    if lost := sorted(set(words) - known):
        more = " and others" if len(lost) > 3 else ""
        yield f"Captions for {', '.join(lost[:3])}{more} match no photo that is used. Check the names."


def _on_copies(photos: tuple[Photo, ...], together: list[list[int]]) -> Iterator[str]:
    for group in together:
        if len(group) > 1:
            names = ", ".join(photos[index].path.name for index in group)
            yield f"{names} show the same picture and are kept on one side."


def _on_split(pick: list[Photo], score: list[Photo], kept: int) -> str:
    trained = f"{kept} photos train" if kept > 1 else "1 photo trains"
    if pick:
        return f"{trained}, {_names(pick)} picks the checkpoint, {_names(score)} scores it."
    if score:
        return (
            f"{trained}, {_names(score)} scores the result. With three different photos none is left to pick the "
            "checkpoint: it is picked by photos that training has seen. Add one photo to separate them."
        )
    return (
        f"{trained} and nothing is held out: the checkpoint is picked and the result is scored by photos that training "
        f"has seen, so likeness scores flatter it. Add photos ({FEW} different ones or more) to separate them."
    )


def _names(photos: list[Photo]) -> str:
    return " and ".join(photo.path.name for photo in photos)
