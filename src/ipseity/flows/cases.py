"""What a benchmark is asked for, and its cases: each subject with its prompts, and photos by the rules of one protocol."""

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ipseity.core.errors import RunError, SubjectError
from ipseity.core.types import Photo, References, Subject
from ipseity.data.phrases import is_living
from ipseity.data.subject import SubjectOptions, hold_out, read_subject
from ipseity.evaluation.dreambench import (
    Listing,
    Prompt,
    Protocol,
    choose_prompts,
    choose_subjects,
    fixed_photo,
)

TODO: Mapping[str, str] = {
    "held-out": "train with evaluate.hold_out = true, as recipes do unless told otherwise",
    "original": "train with --set evaluate.hold_out=false, or choose --protocol held-out",
    "single-image": "train on a folder with this one photo, or choose --protocol held-out",
}


@dataclass(frozen=True)
class BenchWish:
    """What a user says; each field is an option of the command line."""

    data: Path
    protocol: str = "held-out"
    run: tuple[Path, ...] = ()
    """Finished runs, identity files or folders of them; with `images` and without both, see there and `recipe`."""
    recipe: str | None = None
    """Trains each subject first, where neither `run` nor `images` is given; None means the shelf's `data-centric`."""
    images: Path | None = None
    """Pictures made elsewhere."""
    subjects: tuple[str, ...] = ()
    prompts: str | None = None
    images_per_prompt: int = 4
    seed: int | None = None
    out: Path = Path("bench")
    evaluator: tuple[str, ...] = ()
    dino: str | None = None
    clip: str | None = None
    download: bool = False
    set: tuple[str, ...] = ()
    split: str | None = None
    """Of the shipped subjects, which kind; None means all."""
    what: str = "dreambench"
    """Which benchmark."""

    def command(self) -> str:
        """Write the command that asks for this."""
        words = ["ipseity", "bench", self.what]
        for field in fields(self):
            if field.name == "what" or (field.name == "data" and self.what == "toybox"):
                continue  # the toybox's data is its own
            value: Any = getattr(self, field.name)
            flag = f"--{field.name.replace('_', '-')}"
            if value is True:
                words.append(flag)
            elif value != field.default:
                words += [
                    word for one in (value if isinstance(value, tuple) else (value,)) for word in (flag, str(one))
                ]
        return shlex.join(words)

    @property
    def label(self) -> str:
        """Name the folder of the tables: after the recipe, the runs or the pictures."""
        if self.images:
            return self.images.resolve().name
        if self.run:
            first = self.run[0].resolve()
            return first.stem if len(self.run) == 1 else first.parent.name
        return Path(self.recipe or "data-centric").stem


@dataclass(frozen=True)
class Case:
    """One subject under one protocol."""

    name: str
    subject: Subject
    """With all its photos."""
    prompts: tuple[Prompt, ...]
    protocol: Protocol
    train: tuple[Photo, ...]
    """What may be trained on."""
    compared: tuple[Photo, ...]
    """What pictures are compared with."""

    @property
    def references(self) -> References:
        """Give the photos to compare with, and beside them the others, for the real-against-real row."""
        known = {photo.sha256 for photo in self.compared}
        rest = tuple(photo.image for photo in self.subject.photos if photo.sha256 not in known)
        images, masks = (photo.image for photo in self.compared), (photo.mask for photo in self.compared)
        return References(tuple(images), tuple(masks), rest)

    def facts(self) -> dict[str, Any]:
        """Describe it for a manifest."""
        return {
            "subject": self.name,
            "class_noun": self.subject.class_noun,
            "living": self.subject.living,
            "train": {photo.path.name: photo.sha256 for photo in self.train},
            "compared": {photo.path.name: photo.sha256 for photo in self.compared},
        }


def read_cases(wish: BenchWish, listing: Listing, protocol: Protocol) -> list[Case]:
    """Read the photos of the subjects that are asked for, and split them as the protocol says.

    Raises:
        SubjectError: an unknown subject, photos that cannot be used, or too few for the protocol.
        RecipeError: prompts that are not in the list.
    """
    for living in (False, True):  # before any photo is read
        choose_prompts(listing.prompts(living=living), wish.prompts)
    cases = []
    for name in choose_subjects(listing, wish.data, wish.subjects):
        noun = listing.classes[name]
        options = SubjectOptions(photos=wish.data / name, class_noun=noun, name=name)  # type: ignore[call-arg] # the rest has defaults
        subject = read_subject(options)
        prompts = choose_prompts(listing.prompts(living=is_living(noun)), wish.prompts)
        cases.append(Case(name, subject, prompts, protocol, *SPLITS[protocol](subject)))
    return cases


def _held_out(subject: Subject) -> tuple[tuple[Photo, ...], tuple[Photo, ...]]:
    split = hold_out(subject)
    if not split.score:
        raise SubjectError(
            f"subject '{subject.name}' has too few different photos to hold one out",
            "three or more",
            "leave it out of --subjects, or choose --protocol original",
        )
    return split.train.photos, split.score


def _original(subject: Subject) -> tuple[tuple[Photo, ...], tuple[Photo, ...]]:
    return subject.photos, subject.photos


def _single_image(subject: Subject) -> tuple[tuple[Photo, ...], tuple[Photo, ...]]:
    path = fixed_photo(subject.name, [photo.path for photo in subject.photos])
    photo = next(photo for photo in subject.photos if photo.path == path)
    return (photo,), (photo,)


SPLITS: Mapping[Protocol, Callable[[Subject], tuple[tuple[Photo, ...], tuple[Photo, ...]]]] = {
    "held-out": _held_out,
    "original": _original,
    "single-image": _single_image,
}
"""Protocol -> what trains and what is compared with."""


def trained_photos(case: Case, facts: Mapping[str, Any]) -> set[str]:
    """Give the hashes of the photos that an identity was trained on, from the facts in its header."""
    given = set(facts.get("photos", {}).values())
    if "trained_on" in facts:
        return set(facts["trained_on"])
    # An identity of a version that did not tell always held out; which photos follows from their content.
    known = [photo for photo in case.subject.photos if photo.sha256 in given]
    held = hold_out(case.subject.with_photos(known)) if known else None
    kept = {photo.sha256 for photo in held.train.photos} if held else set()
    return kept | (given - {photo.sha256 for photo in known})


def check_trained(case: Case, trained: Collection[str], who: str) -> None:
    """Refuse an identity whose training does not follow the protocol, so that no table mixes two.

    Raises:
        RunError: it was trained on other photos; the message names them.
    """
    names = {photo.sha256: photo.path.name for photo in case.subject.photos}
    seen = [names.get(sha, "a photo that the data set lacks") for sha in sorted(trained)]
    found = f"{who} was trained on {_listed(seen)} of subject '{case.name}'"
    wanted = {photo.sha256 for photo in case.train}
    if case.protocol == "held-out":
        held = {photo.sha256 for photo in case.compared}
        fits = bool(trained) and set(trained) <= names.keys() - held
        needed = f"its photos without {_listed([names[sha] for sha in held])}, with which pictures are compared"
    else:
        fits, needed = set(trained) == wanted, f"{_listed([names[sha] for sha in wanted])}, as '{case.protocol}' says"
    if not fits:
        raise RunError(found, needed, TODO[case.protocol])


def _listed(words: Sequence[str]) -> str:
    return ", ".join(sorted(dict.fromkeys(words))) or "no photo"
