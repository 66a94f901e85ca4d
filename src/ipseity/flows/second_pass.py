"""A second look at small faces: each is cut out, enlarged, drawn again with its person attached, and laid back softly."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter
from PIL.Image import Image

from ipseity.core.drawing import DrawOptions, draw_all
from ipseity.core.faces import Face
from ipseity.core.identity import Identity
from ipseity.flows.people import Box

SMALL_SHARE = 0.06
"""Share of the picture's area under which a face is small: a quarter of a square's side, 256 pixels of SDXL's 1024."""
ROOM = 2.5
"""Side of what is cut out, in longer sides of the face's box."""
GROWN = 1.25
"""Side of what is drawn again, in sides of the face's box: brow, chin and hairline lie outside of it."""
STRENGTH = 0.5
"""Share of the steps that are walked: the face's place and light stay, its features are drawn anew."""
FEATHER = 0.06
"""Blur of the seam, in sides of what is cut out."""


@dataclass(frozen=True)
class Cut:
    """A square of a picture with a face in its middle, as far as the picture's edge allows."""

    face: Face
    corner: tuple[int, int]
    """(left, top) in pixels of the picture."""
    side: int

    def moved(self, points: Any, scale: float) -> np.ndarray:
        """Move rows (x, y) of the picture into the enlarged square."""
        return (np.asarray(points, dtype=np.float64) - np.asarray(self.corner)) * scale


def is_small(face: Face, size: tuple[int, int]) -> bool:
    """Tell whether a face fills too little of a picture of (height, width) to have been drawn well."""
    return face.area_px < SMALL_SHARE * size[0] * size[1]


def whose(
    found: Sequence[Face],
    identities: Sequence[Identity],
    boxes: Sequence[Box | None],
    *,
    size: tuple[int, int],
    space: str,
) -> dict[int, Face]:
    """Give each person the face that is theirs: in their place, and of several there the most alike, or the largest.

    Args:
        found: faces of one picture.
        identities: one a person.
        boxes: where each may be; None is the whole picture.
        size: (height, width) of the picture.
        space: of the embeddings that the faces have; they are compared where the identity's are of the same.

    Returns:
        Person -> face; nobody has two, and no face belongs to two.
    """  # fmt: skip
    free = list(found)
    theirs: dict[int, Face] = {}
    for index, (identity, box) in enumerate(zip(identities, boxes, strict=True)):
        there = [face for face in free if _inside(face, box, size)]
        if there:
            theirs[index] = max(there, key=lambda face: _likeness(face, identity, space))
            free = [face for face in free if face is not theirs[index]]
    return theirs


def cut_around(face: Face, size: tuple[int, int]) -> Cut:
    """Choose the square that is drawn again: around the face, moved and shrunk until it lies in the picture."""
    left, top, right, bottom = face.box
    side = min(math.ceil(ROOM * max(right - left, bottom - top)), *size)
    x = min(max(0, round((left + right - side) / 2)), size[1] - side)
    y = min(max(0, round((top + bottom - side) / 2)), size[0] - side)
    return Cut(face, (x, y), side)


def draw_again(
    pipeline: Any, image: Image, cut: Cut, *, prompt: str, seed: int, options: DrawOptions, resolution: int
) -> Image:
    """Draw one face again at the base's own size and lay it back.

    Args:
        pipeline: for inpainting, with this one person attached.
        image: the whole picture.
        cut: what is drawn again.
        prompt: as the picture was drawn with.
        seed: as the picture was drawn with.
        options: as the picture was drawn with; its size is not used.
        resolution: side in pixels that the square is enlarged to.
    """
    (left, top), scale = cut.corner, resolution / cut.side
    square = image.crop((left, top, left + cut.side, top + cut.side))
    enlarged = square.resize((resolution, resolution), Pillow.Resampling.LANCZOS)
    oval = _oval(cut, scale, resolution)
    told: dict[str, Any] = {
        "image": enlarged, "mask_image": oval, "strength": STRENGTH, "height": resolution, "width": resolution,
    } | seated(pipeline, [(cut.moved(cut.face.points, scale), (resolution, resolution))])  # fmt: skip
    steps = max(options.num_inference_steps, math.ceil(1 / STRENGTH))
    (drawn,) = draw_all(pipeline, [prompt], [seed], options.model_copy(update={"num_inference_steps": steps}), told)
    soft = oval.filter(ImageFilter.GaussianBlur(FEATHER * resolution))
    whole = image.copy()
    small = drawn.convert("RGB").resize((cut.side, cut.side), Pillow.Resampling.LANCZOS)
    whole.paste(small, (left, top), soft.resize((cut.side, cut.side), Pillow.Resampling.BILINEAR))
    return whole


def seated(pipeline: Any, seats: Sequence[Any]) -> dict[str, Any]:
    """Say where the people are to a pipeline that takes it; others follow picture and prompt."""
    return {"seats": list(seats)} if getattr(pipeline, "takes_seats", False) else {}


def _oval(cut: Cut, scale: float, side: int) -> Image:
    left, top, right, bottom = cut.face.box
    middle = np.asarray(((left + right) / 2, (top + bottom) / 2))
    half = np.asarray((right - left, bottom - top)) * GROWN / 2
    corners = cut.moved([middle - half, middle + half], scale).clip(0, side).flatten().tolist()
    mask = Pillow.new("L", (side, side))
    ImageDraw.Draw(mask).ellipse(corners, fill=255)
    return mask


def _inside(face: Face, box: Box | None, size: tuple[int, int]) -> bool:
    x, y = (face.box[0] + face.box[2]) / 2 / size[1], (face.box[1] + face.box[3]) / 2 / size[0]
    return box is None or (box[0] <= x <= box[2] and box[1] <= y <= box[3])


def _likeness(face: Face, identity: Identity, space: str) -> tuple[float, float]:
    import torch

    known = identity.tensors.get("embedding")
    comparable = (
        known is not None and identity.options.get("face_space") == space and known.shape == face.embedding.shape
    )
    alike = (
        float(torch.cosine_similarity(known.float(), face.embedding, dim=0))
        if comparable and known is not None
        else 0.0
    )
    return alike, face.area_px
