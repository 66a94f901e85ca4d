"""Where everybody is in a portrait, and what it starts from: regions, poses and pictures, brought to one size."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL.Image import Image

from ipseity.core.drawing import DrawOptions
from ipseity.core.errors import CapabilityError, MissingPackage, RecipeError, SubjectError
from ipseity.core.faces import Face, FaceEncoder, choose_face
from ipseity.core.identity import Identity, Sitting
from ipseity.core.image import cover
from ipseity.core.keypoints import place
from ipseity.data.photos import read_photo
from ipseity.flows.commission import BY_PROMPT, PortraitWish, dressed_prompt
from ipseity.flows.people import Box, Guest, Person, from_left, regions, within

STRENGTH = {"image": 0.8, "inpaint": 1.0}
"""Where none is given: the released InstantID code's for pictures, and all of what a mask frees."""


@dataclass(frozen=True)
class Pose:
    """Faces of another picture, from left to right, one a person."""

    faces: tuple[Face, ...]
    size: tuple[int, int]
    """(height, width) of that picture."""


@dataclass(frozen=True)
class Props:
    """Pictures that the user gave beside the photos."""

    pose: Pose | None = None
    start: Image | None = None
    mask: Image | None = None
    start_pose: Pose | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """All that is drawn with, at the size that is drawn."""

    prompt: str
    """In its style; where an identity is heard in a word, with the token before that word."""
    kind: str
    """Pipeline: text, image or inpaint."""
    size: tuple[int, int]
    sittings: tuple[Sitting, ...]
    boxes: tuple[Box | None, ...]
    """Where each person may be, as shares; None is the whole picture."""
    told: dict[str, Any]
    """What the pipeline is told beside prompts, steps and guidance."""
    notes: tuple[str, ...]


def read_props(wish: PortraitWish, encoder: FaceEncoder | None) -> Props:
    """Read the pictures of pose, start and mask, and look for the faces in them.

    Raises:
        SubjectError: a picture cannot be read, or shows too few faces.
        MissingPackage: a pose is given and no encoder looks at faces.
        CapabilityError: a mask without a picture.
    """
    count, pose = len(wish.people), None
    if wish.pose is not None and wish.pose != BY_PROMPT:
        if encoder is None:
            raise MissingPackage("a pose is read from a picture, and no face encoder is loaded", "one", "name it with --face-encoder")  # fmt: skip
        shown = read_photo(Path(wish.pose)).photo
        pose = _pose(encoder, shown.image, shown.path.name, count)
    if wish.start is None:
        return Props(pose)
    start = read_photo(wish.start.picture).photo.image
    mask = read_photo(wish.start.mask).photo.image.convert("L") if wish.start.mask else None
    if mask is not None and np.asarray(mask).max() < 128:
        raise SubjectError(f"the mask {wish.start.mask} is black everywhere", "white where the picture may change", "paint it white there")  # fmt: skip
    own, notes = None, []
    if pose is None and encoder is not None:
        found = [face for face in encoder.faces(start) if mask is None or _is_free(face, mask, start)]
        if len(found) >= count:
            own = Pose(tuple(from_left(sorted(found, key=lambda face: -face.area_px)[:count])), (start.height, start.width))  # fmt: skip
            notes.append(f"Pose: as in {wish.start.picture.name}.")
        else:
            notes.append(f"{wish.start.picture.name} shows no face where it may change; the photo's own pose is taken.")
    return Props(pose, start, mask, own, tuple(notes))


def set_scene(
    base: Any,
    wish: PortraitWish,
    options: DrawOptions,
    *,
    guests: Sequence[Guest],
    identities: Sequence[Identity],
    props: Props,
) -> Scene:
    """Bring everything to the size that is drawn and say where everybody is.

    Raises:
        RecipeError: a region is no place, or the prompt lacks the word that an identity is heard in.
        SubjectError: a region's mask cannot be read.
    """  # fmt: skip
    size = _size(base, options, props.start)
    people = [guest.person for guest in guests]
    pose = props.pose or props.start_pose
    if pose is not None and len(people) > 1 and not any(person.region for person in people):
        people, derived = _between(people, pose, size), "Regions: cut halfway between the faces of the pose."
        places, _ = regions(people, size)
    else:
        places, derived = regions(people, size)
    boxes = tuple(None if one is None else one[1] for one in places)
    order = sorted(range(len(people)), key=lambda index: _middle(boxes[index]))
    seats = {index: number for number, index in enumerate(order)}
    sittings = [
        _sit(identity, None if one is None else one, pose=pose, seat=seats[index], size=size)
        for index, (identity, one) in enumerate(zip(identities, places, strict=True))
    ]
    notes = [*props.notes, *([derived] if derived else [])]
    kind = "text" if props.start is None else "image" if props.mask is None else "inpaint"
    told: dict[str, Any] = {}
    if props.start is not None:
        strength = wish.start.strength if wish.start and wish.start.strength else STRENGTH[kind]
        told = {"image": cover(props.start, size), "strength": strength}
    if props.mask is not None:
        told |= {"mask_image": cover(props.mask, size), "height": size[0], "width": size[1]}
    prompt = spoken(dressed_prompt(wish), identities)
    return Scene(prompt, kind, size, tuple(sittings), boxes, told, tuple(notes))


def spoken(prompt: str, identities: Sequence[Identity]) -> str:
    """Put the token before the class noun, for identities that take the place of a word; others leave the prompt as it is.

    Raises:
        RecipeError: the prompt does not say the class noun.
    """
    for identity in identities:
        noun, token = identity.class_noun, identity.token
        if "stacked" not in identity.tensors or re.search(rf"(?<!\w){re.escape(token)}(?!\w)", prompt, re.IGNORECASE):
            continue
        prompt, count = re.subn(rf"\b({re.escape(noun)})\b", rf"{token} \1", prompt, count=1, flags=re.IGNORECASE)
        if not count:
            raise RecipeError(
                f"the prompt does not say '{noun}', and the photos take the place of that word",
                "the class noun in the prompt, once",
                "write it there, or name the word that stands there: --class woman",
            )
    return prompt


def check_pose(wish: PortraitWish, identities: Sequence[Identity]) -> None:
    """Refuse a pose for identities that have no points to move.

    Raises:
        CapabilityError: the method places no face.
    """
    bare = next((one for one in identities if "points" not in one.tensors), None)
    if wish.pose not in (None, BY_PROMPT) and bare is not None:
        raise CapabilityError(
            f"method '{bare.method}' places no face",
            "a method with points of faces, for --pose PICTURE",
            "leave --pose out, or draw with --method instantid",
        )


def _sit(
    identity: Identity, one: tuple[Image, Box] | None, *, pose: Pose | None, seat: int, size: tuple[int, int]
) -> Sitting:
    region, box = one or (None, None)
    if "points" not in identity.tensors:
        return Sitting(identity, region=region)
    if pose is not None:
        return Sitting(identity, points=pose.faces[seat].points, size=pose.size, region=region)
    if box is None:
        return Sitting(identity)
    height, width = (int(value) for value in identity.tensors["size"])
    return Sitting(identity, points=within(box, size, identity.tensors["points"], (height, width)), size=size, region=region)  # fmt: skip


def _pose(encoder: FaceEncoder, image: Image, name: str, count: int) -> Pose:
    size = (image.height, image.width)
    if count == 1:
        face, _ = choose_face(encoder, image, name)
        return Pose((face,), size)
    found = sorted(encoder.faces(image), key=lambda face: -face.area_px)
    if len(found) < count:
        raise SubjectError(f"the pose {name} shows {len(found)} faces", f"{count}, one for each person", "take another picture, or leave people out")  # fmt: skip
    return Pose(tuple(from_left(found[:count])), size)


def _between(people: Sequence[Person], pose: Pose, size: tuple[int, int]) -> list[Person]:
    """Cut a picture into upright parts, halfway between the faces of a pose."""
    middles = [place([face.points.mean(0).tolist()], pose.size, size)[0][0] / size[1] for face in pose.faces]
    cuts = [0.0, *((a + b) / 2 for a, b in zip(middles, middles[1:], strict=False)), 1.0]
    cuts = [min(max(cut, 0.0), 1.0) for cut in cuts]
    return [
        replace(person, region=f"{left:.4f},0,{right:.4f},1")
        for person, left, right in zip(people, cuts, cuts[1:], strict=False)
    ]


def _size(base: Any, options: DrawOptions, start: Image | None) -> tuple[int, int]:
    """Give (height, width): what is asked for, else the shape of the picture to start from at the base's own area."""
    own = base.resolution
    if start is None or options.height or options.width:
        return options.height or own, options.width or own
    step = max(8, own // 16)
    shrink = own / (start.height * start.width) ** 0.5
    height, width = (max(step, round(side * shrink / step) * step) for side in (start.height, start.width))
    return height, width


def _is_free(face: Face, mask: Image, start: Image) -> bool:
    scaled = mask.resize(start.size, Pillow.Resampling.NEAREST)
    x, y = (round((face.box[0] + face.box[2]) / 2), round((face.box[1] + face.box[3]) / 2))
    return scaled.getpixel((min(max(x, 0), start.width - 1), min(max(y, 0), start.height - 1))) >= 128  # type: ignore[operator] # L has one value a pixel


def _middle(box: Box | None) -> float:
    return 0.5 if box is None else (box[0] + box[2]) / 2
