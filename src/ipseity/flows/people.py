"""The people of a portrait: whose photos, which of their faces, and where each stands in the picture."""

import tomllib
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw
from PIL.Image import Image

from ipseity.core.errors import RecipeError, SubjectError
from ipseity.core.events import Event, Noticed
from ipseity.core.faces import RIVAL, Face, FaceEncoder, choose_face
from ipseity.core.identity import Identity
from ipseity.core.keypoints import place
from ipseity.core.types import Subject
from ipseity.data.photos import Reading, list_photos, read_photo
from ipseity.data.subject import SubjectOptions

KEPT = ".safetensors"
SIDES = ("left", "middle", "right")
Box = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the picture's sides."""


@dataclass(frozen=True)
class Person:
    """One person as the user names them."""

    photos: tuple[Path, ...]
    """Photos, folders of photos, or one identity file that was kept."""
    name: str = "face"
    region: str | None = None
    """left, middle, right, a box "0.1,0.2,0.5,0.9" (left, top, right, bottom as shares), or a mask file."""
    face: str | None = None
    """largest, left, right, or a number counted from the left; unset refuses photos in which it is a guess."""


@dataclass(frozen=True)
class Guest:
    """One person as read: photos that have been looked at, or an identity that was kept."""

    person: Person
    subject: Subject | None
    identity: Identity | None
    encoder: Any = None
    """A face encoder that gives the face that is meant; None where nobody has looked."""


class Meant:
    """A face encoder that has looked at the photos already: of each it gives the one face that is meant."""

    name: str
    licence: str
    width: int
    space: str

    def __init__(self, encoder: FaceEncoder, seen: Sequence[tuple[Image, list[Face]]]) -> None:
        self._encoder, self._seen = encoder, tuple(seen)
        self.name, self.licence = encoder.name, encoder.licence
        self.width, self.space = encoder.width, encoder.space

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def faces(self, image: Image) -> list[Face]:
        """Give the face that is meant in a photo that is known; in another picture, all faces."""
        return next((faces for known, faces in self._seen if known is image), None) or self._encoder.faces(image)


def parse_person(words: str, *, face: str | None = None) -> list[Person]:
    """Read `name:photos[:region]`, or a TOML file with a table `[[person]]` for each.

    Args:
        words: what the user wrote.
        face: which of several faces is meant, where the words do not say it.

    Raises:
        RecipeError: it has another form, or a file cannot be read as TOML.
    """
    if words.endswith(".toml"):
        return [_from_table(row, Path(words), face) for row in _rows(Path(words))]
    name, sign, rest = words.partition(":")
    photos, _, region = rest.partition(":")
    if not sign or not name.strip() or not photos.strip():
        raise RecipeError(f"--person {words!r}", "NAME:PHOTOS or NAME:PHOTOS:REGION", "write for example --person ada:photos/ada:left")  # fmt: skip
    return [Person((Path(photos.strip()),), name.strip(), region.strip() or None, face)]


def meet(
    people: Iterable[Person], encoder: FaceEncoder | None, *, options: SubjectOptions
) -> Generator[Event, None, tuple[Guest, ...]]:
    """Read the photos of each person and choose the face that is meant, before any base is loaded.

    Args:
        people: at least one.
        encoder: looks at faces; None where the method does without.
        options: the class noun and the token that stand for each; names of people go into no file.

    Raises:
        SubjectError: a photo cannot be used, or shows no face, or it is a guess who is meant.
        WeightsError: an identity file is none.
    """
    guests: list[Guest] = []
    for person in people:
        if len(person.photos) == 1 and person.photos[0].suffix == KEPT:
            guests.append(Guest(person, None, Identity.load(person.photos[0])))
            continue
        readings = [reading for path in person.photos for reading in _read(path)]
        yield from (Noticed(f"{one.photo.path.name}: {remark}.") for one in readings for remark in one.remarks)
        photos = tuple(reading.photo for reading in readings)
        subject = Subject(person.name, photos, options.class_noun, options.token, living=True)
        if encoder is None:
            guests.append(Guest(person, subject, None))
            continue
        seen = [(photo.image, _look(encoder, photo.image, photo.path.name, person.face)) for photo in photos]
        meant = Meant(encoder, seen)
        for photo in photos:
            _, notes = choose_face(meant, photo.image, photo.path.name)
            yield from (Noticed(note) for note in notes)
        guests.append(Guest(person, subject, None, meant))
    return tuple(guests)


def pick(found: Sequence[Face], which: str, name: str) -> Face:
    """Give the face that is asked for.

    Args:
        found: at least one face.
        which: largest, left, right, or a number counted from the left, from 1.
        name: what messages call the photo.

    Raises:
        SubjectError: there is no such face.
        RecipeError: it is none of these words.
    """
    ordered = from_left(found)
    if which == "largest":
        return max(found, key=lambda face: face.area_px)
    if which in ("left", "right"):
        return ordered[0 if which == "left" else -1]
    if not which.isdigit() or which == "0":
        raise RecipeError(f"--face {which!r}", "largest, left, right, or a number counted from the left", "write for example --face 2")  # fmt: skip
    if int(which) > len(ordered):
        raise SubjectError(f"{name} shows {len(ordered)} faces, and --face asks for number {which}", f"a number from 1 to {len(ordered)}", "count from the left")  # fmt: skip
    return ordered[int(which) - 1]


def from_left(found: Sequence[Face]) -> list[Face]:
    """Order faces by where their middle is."""
    return sorted(found, key=lambda face: face.box[0] + face.box[2])


def regions(people: Sequence[Person], size: tuple[int, int]) -> tuple[list[tuple[Image, Box] | None], str | None]:
    """Give each person the place where they may act, and a sentence where it was derived.

    Args:
        people: in order; several without any region stand from left to right.
        size: (height, width) of what is drawn.

    Returns:
        For each a mask (L, white inside) with the box around it, or None for the whole picture.

    Raises:
        RecipeError: a region is none, or some have one and others not.
        SubjectError: a mask cannot be read.
    """
    named = [person.region for person in people]
    if not any(named):
        if len(people) == 1:
            return [None], None
        share = 1 / len(people)
        boxes = [(index * share, 0.0, (index + 1) * share, 1.0) for index in range(len(people))]
        names = ", ".join(person.name for person in people)
        return [(_filled(box, size), box) for box in boxes], f"From left to right: {names}, each in an equal part."
    if not all(named):
        bare = next(person.name for person in people if not person.region)
        raise RecipeError(f"'{bare}' has no region, and others have one", "a region for each person", f"write --person {bare}:PHOTOS:left")  # fmt: skip
    parts = 3 if "middle" in named else 2
    return [_region(str(region), size, parts) for region in named], None


def _region(words: str, size: tuple[int, int], parts: int) -> tuple[Image, Box]:
    if words in SIDES:
        index = {"left": 0, "middle": 1, "right": parts - 1}[words]
        box = (index / parts, 0.0, (index + 1) / parts, 1.0)
        return _filled(box, size), box
    path = Path(words)
    if path.is_file():
        mask = read_photo(path).photo.image.convert("L").resize((size[1], size[0]), Pillow.Resampling.NEAREST)
        inside = mask.point([0] * 128 + [255] * 128).getbbox()
        if inside is None:
            raise SubjectError(f"the mask {path} is black everywhere", "white where the person may be", "paint it white there")  # fmt: skip
        left, top, right, bottom = inside
        return mask, (left / size[1], top / size[0], right / size[1], bottom / size[0])
    try:
        box = tuple(float(part) for part in words.split(","))
    except ValueError:
        box = ()
    if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        raise RecipeError(
            f"the region {words!r} is no place",
            "left, middle, right, four shares such as 0.1,0.2,0.5,0.9 (left, top, right, bottom), or a mask file",
            "correct it",
        )
    return _filled(box, size), box


def _filled(box: Box, size: tuple[int, int]) -> Image:
    mask = Pillow.new("L", (size[1], size[0]))
    left, right = (round(share * size[1]) for share in (box[0], box[2]))
    top, bottom = (round(share * size[0]) for share in (box[1], box[3]))
    ImageDraw.Draw(mask).rectangle((left, top, right - 1, bottom - 1), fill=255)
    return mask


def within(box: Box, size: tuple[int, int], points: Any, own: tuple[int, int]) -> np.ndarray:
    """Move a face's points from its photo into a box of the picture, the whole photo fitted there.

    Args:
        box: where.
        size: (height, width) of the picture.
        points: rows (x, y) in pixels of the photo.
        own: (height, width) of the photo.
    """
    height, width = (box[3] - box[1]) * size[0], (box[2] - box[0]) * size[1]
    corner = np.asarray((box[0] * size[1], box[1] * size[0]))
    return place(points, own, (round(height), round(width))) + corner


def _look(encoder: FaceEncoder, image: Image, name: str, which: str | None) -> list[Face]:
    found = sorted(encoder.faces(image), key=lambda face: -face.area_px)
    if found and which is not None:
        return [pick(found, which, name)]
    if len(found) > 1 and found[1].area_px > RIVAL * found[0].area_px:
        raise SubjectError(
            f"{name} shows {len(found)} faces, and two are of nearly the same size",
            "one face, or a word which of them is meant",
            "say --face left, --face right or --face 2 (counted from the left), or crop the photo",
        )
    return found


def _read(path: Path) -> list[Reading]:
    if not path.is_dir():
        return [read_photo(path)]
    inside = list_photos(path)
    if not inside:
        raise SubjectError(f"there is no photo in {path}", "at least one picture of a face", "put one there, or name another folder")  # fmt: skip
    return [read_photo(one, path) for one in inside]


def _rows(path: Path) -> list[Mapping[str, Any]]:
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8")).get("person")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path} cannot be read ({error})", "a TOML file with [[person]] tables", "correct it") from error  # fmt: skip
    if not isinstance(rows, list) or not rows:
        raise RecipeError(f"{path} names nobody", "a table [[person]] for each", "write name and photos below [[person]]")  # fmt: skip
    return rows


def _from_table(row: Mapping[str, Any], path: Path, face: str | None) -> Person:
    known = ("name", "photos", "region", "face")
    if unknown := sorted(set(row) - set(known)):
        raise RecipeError(f"{path}: there is no key '{unknown[0]}'", f"one of: {', '.join(known)}", "correct it")
    given = row.get("photos")
    photos = [given] if isinstance(given, str) else given
    if not row.get("name") or not isinstance(photos, list) or not photos:
        raise RecipeError(f"{path}: a person lacks a name or photos", "both", 'write name = "ada" and photos = "photos/ada"')  # fmt: skip
    paths = tuple(path.parent / str(one) for one in photos)  # as they lie beside the file; absolute ones stay
    made = Person(paths, str(row["name"]), row.get("region"), str(row["face"]) if "face" in row else face)
    return replace(made, region=_beside(made.region, path))


def _beside(region: str | None, path: Path) -> str | None:
    beside = path.parent / region if region else None
    return str(beside) if beside is not None and beside.is_file() else region
