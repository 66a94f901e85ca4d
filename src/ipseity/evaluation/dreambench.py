"""DreamBench (arXiv:2208.12242): subjects, classes and prompts from the data set's own list, and three ways of comparing.

The published tables follow three ways that must not be mixed; here each is a protocol with a name of its own.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ipseity.core.errors import RecipeError, SubjectError
from ipseity.core.files import sha256_of_file

LIST = "prompts_and_classes.txt"
"""The data set's own file; its words are read, never copied into code."""
SOURCE = "github.com/google/dreambooth, folder dataset"
Protocol = Literal["held-out", "original", "single-image"]
Kind = Literal["recontextualization", "accessory", "property"]
PROTOCOLS: Mapping[Protocol, str] = {
    "held-out": "One photo of each subject is kept from training, and pictures are compared with it only, since likeness to "
    "photos that training has seen flatters (arXiv:2503.06632).",
    "original": "All photos of a subject train, and pictures are compared with all of them (arXiv:2208.12242).",
    "single-image": "One fixed photo of each subject trains, and pictures are compared with it only (the list of Kosmos-G).",
}
"""What each one trains on and compares with."""
SINGLE_IMAGE: Mapping[str, str] = {
    "backpack": "02", "backpack_dog": "02", "bear_plushie": "03", "berry_bowl": "02", "can": "01", "candle": "02",
    "cat": "04", "cat2": "02", "clock": "03", "colorful_sneaker": "01", "dog": "02", "dog2": "02", "dog3": "05",
    "dog5": "00", "dog6": "02", "dog7": "01", "dog8": "04", "duck_toy": "01", "fancy_boot": "02",
    "grey_sloth_plushie": "04", "monster_toy": "04", "pink_sunglasses": "04", "poop_emoji": "00", "rc_car": "03",
    "red_cartoon": "00", "robot_toy": "00", "shiny_sneaker": "01", "teapot": "04", "vase": "02", "wolf_plushie": "04",
}  # fmt: skip
"""Subject -> name of its fixed photo without the ending (arXiv:2310.02992, as its evaluation code lists them)."""
_CLASSES, _OBJECTS, _LIVE = "subject_name,class", "object prompts", "live subject prompts"
_TEMPLATE = re.compile(r"""^\s*(?P<quote>['"])(?P<words>.*\{1\}.*)(?P=quote)\s*\.format\(""")


@dataclass(frozen=True)
class Prompt:
    """One prompt of the published list."""

    index: int
    """Its place in the list of its subject, from 0."""
    kind: Kind
    template: str
    """As published: `{0}` stands for the token, `{1}` for the class noun."""

    def words(self, token: str, class_noun: str) -> str:
        """Give what is drawn."""
        return self.template.replace("{0}", token).replace("{1}", class_noun)

    def meaning(self, class_noun: str) -> str:
        """Give what the picture is held against: the class noun without the token."""
        return " ".join(self.template.replace("{0}", "").replace("{1}", class_noun).split())


@dataclass(frozen=True)
class Listing:
    """What the data set's list says."""

    classes: Mapping[str, str]
    """Subject -> class noun."""
    objects: tuple[Prompt, ...]
    live: tuple[Prompt, ...]
    sha256: str
    """Of the file."""

    def prompts(self, *, living: bool) -> tuple[Prompt, ...]:
        """Give the prompts of a thing, or of a person or an animal."""
        return self.live if living else self.objects


def read_listing(folder: Path) -> Listing:
    """Read subjects, classes and prompts.

    A prompt with words between its article and the token changes the subject itself: `property`. Of the others,
    `accessory` are those that only living subjects have, and `recontextualization` the rest.

    Args:
        folder: a copy of the data set.

    Raises:
        SubjectError: the folder or its list is not there, or the list has another form.
    """
    path = folder / LIST
    if not path.is_file():
        raise SubjectError(
            f"{folder} has no {LIST}", f"a copy of DreamBench ({SOURCE})", "name the folder that holds that file"
        )
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SubjectError(f"{path} cannot be read ({error})", "a text file in UTF-8", "copy it again") from error
    parts = _sections(lines)
    classes = dict(row for line in parts[_CLASSES] if (row := _row(line)))
    objects, live = (
        [found["words"] for line in parts[name] if (found := _TEMPLATE.match(line))] for name in (_OBJECTS, _LIVE)
    )
    if not (classes and objects and live):
        lacking = "subjects" if not classes else "object prompts" if not objects else "live subject prompts"
        raise SubjectError(
            f"{path} lists no {lacking}",
            f"the list as published: '{_CLASSES}' with a line a subject, and two lists of prompts",
            f"copy it again from {SOURCE}",
        )
    return Listing(classes, _prompts(objects, ()), _prompts(live, objects), sha256_of_file(path))


def choose_subjects(listing: Listing, folder: Path, wanted: Sequence[str] = ()) -> list[str]:
    """Give the subjects that are listed and have a folder, by name.

    Args:
        listing: the data set's list.
        folder: the data set.
        wanted: only these; empty means all.

    Raises:
        SubjectError: one that is wanted is not in the list or has no folder, or no subject has one.
    """
    for name in wanted:
        if name not in listing.classes:
            raise SubjectError(f"there is no subject '{name}' in {folder / LIST}", *_known(name, listing.classes))
        if not (folder / name).is_dir():
            raise SubjectError(
                f"subject '{name}' is in the list, but {folder / name} is not there",
                "a folder with its photos",
                f"copy it from {SOURCE}, or leave it out of --subjects",
            )
    here = [name for name in sorted(wanted or listing.classes) if (folder / name).is_dir()]
    if not here:
        raise SubjectError(
            f"{folder} holds no folder of a subject",
            f"one of: {', '.join(listing.classes)}",
            f"copy them from {SOURCE}",
        )
    return list(dict.fromkeys(here))


def choose_prompts(prompts: Sequence[Prompt], wanted: str | None) -> tuple[Prompt, ...]:
    """Give the prompts of some places in the list.

    Args:
        prompts: all of a subject.
        wanted: places from 0 and ranges of them ("0,3,20-24"); None means all.

    Raises:
        RecipeError: that is no list of places, or there is no such place.
    """
    if wanted is None:
        return tuple(prompts)
    places: set[int] = set()
    for part in wanted.split(","):
        found = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not first <= last < len(prompts):
            raise RecipeError(
                f"--prompts {wanted!r}: '{part.strip()}' is no place in the list",
                f"places from 0 to {len(prompts) - 1}",
                "write for example --prompts 0-9,20-24",
            )
        places.update(range(first, last + 1))
    return tuple(prompt for prompt in prompts if prompt.index in places)


def check_protocol(name: str) -> Protocol:
    """Give the protocol of that name.

    Raises:
        RecipeError: there is none.
    """
    for known in get_args(Protocol):
        if name == known:
            return known
    raise RecipeError(f"there is no protocol '{name}'", *_known(name, PROTOCOLS))


def fixed_photo(subject: str, photos: Sequence[Path]) -> Path:
    """Give the photo that stands for a subject in the single-image protocol.

    Raises:
        SubjectError: none is fixed for this subject, or it is not among the photos.
    """
    if subject not in SINGLE_IMAGE:
        raise SubjectError(
            f"no single photo is fixed for '{subject}'",
            f"one of: {', '.join(SINGLE_IMAGE)}",
            "name those with --subjects, or choose --protocol held-out",
        )
    found = next((path for path in photos if path.stem == SINGLE_IMAGE[subject]), None)
    if found is None:
        raise SubjectError(
            f"subject '{subject}' has no photo named {SINGLE_IMAGE[subject]}",
            "the photo that the single-image protocol fixes",
            f"copy it from {SOURCE}, or choose another protocol",
        )
    return found


def _sections(lines: Iterable[str]) -> dict[str, list[str]]:
    parts: dict[str, list[str]] = {_CLASSES: [], _OBJECTS: [], _LIVE: []}
    current: list[str] = []
    for line in lines:
        current = parts.get(line.strip().lower(), current)
        current.append(line)
    return parts


def _row(line: str) -> tuple[str, str] | None:
    """Read "cat2,cat"; a subject's name is a folder's name and never leads out of the data set."""
    name, comma, noun = (part.strip() for part in line.partition(","))
    fits = comma and noun and re.fullmatch(r"[\w-]+", name) and re.fullmatch(r"[^\W\d_][\w '-]{0,59}", noun)
    return (name, noun) if fits and line.strip().lower() != _CLASSES else None


def _prompts(templates: Sequence[str], others: Sequence[str]) -> tuple[Prompt, ...]:
    def kind(template: str) -> Kind:
        if not re.match(r"(?:(?:an?|the)\s+)?\{[01]\}", template):
            return "property"
        return "accessory" if others and template not in others else "recontextualization"

    return tuple(Prompt(index, kind(template), template) for index, template in enumerate(templates))


def _known(name: str, known: Iterable[str]) -> tuple[str, str]:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"one of: {', '.join(names)}", f"Did you mean '{near[0]}'?" if near else "choose one of them"
