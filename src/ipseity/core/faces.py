"""Faces in pictures: what is known of one, what finds them, and which of a photo's faces is meant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from ipseity.core.errors import CapabilityError, SubjectError

TINY_PX = 24
"""A face whose shorter side is below this is refused: recognizers look at 112 pixels or more."""
SMALL_PX = 80
"""Below this likeness suffers, which is said."""
RIVAL = 0.5
"""A second face of this share of the largest one's area makes it a guess who is meant."""

SURE, MARGIN, GUESS = 0.99, 0.02, 0.5
"""A face that is found less surely is looked for in the turned photo too; what is seen there must be as much surer, or more
than a guess where nothing is seen as the photo stands."""


@dataclass(frozen=True)
class Face:
    """One face of a picture, in that picture's pixels."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom."""
    points: Float[Tensor, "5 2"]
    """(x, y) of the eye on the picture's left, the eye on its right, the nose, the left and the right corner of the mouth."""
    embedding: Float[Tensor, "D"]
    """As the recognizer gives it, not normalized."""
    score: float
    """How sure the detector is, in [0, 1]."""

    @property
    def shorter_px(self) -> float:
        """Shorter side of the box, in pixels."""
        return min(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def area_px(self) -> float:
        """Area of the box, in pixels."""
        return max(0.0, self.box[2] - self.box[0]) * max(0.0, self.box[3] - self.box[1])

    @property
    def turned(self) -> bool:
        """Whether the nose lies beside the eyes, seen along the line between them: a profile."""
        left, right, nose = self.points[0], self.points[1], self.points[2]
        line = right - left
        share = float((nose - left) @ line) / max(float(line @ line), 1e-6)
        return not 0.05 < share < 0.95


@runtime_checkable
class FaceEncoder(Protocol):
    """An encoder that offers `face`."""

    name: str
    licence: str
    width: int
    space: str
    """Names the space that its embeddings lie in, by the recognizer's weights: "insightface:4ab1d6435d63"."""

    def faces(self, image: Image) -> list[Face]:
        """Find the faces of a picture, largest first; looser detection is tried before none is given."""
        ...


def find_face_encoder(encoders: Any) -> FaceEncoder:
    """Give the encoder among several that offers `face`.

    Args:
        encoders: by name.

    Raises:
        CapabilityError: there is none.
    """
    for encoder in encoders.values():
        if "face" in getattr(encoder, "offers", ()):
            return encoder
    here = ", ".join(sorted(encoders)) or "none"
    raise CapabilityError(
        f"no encoder here looks at faces (loaded: {here})",
        "one that offers 'face'",
        "install one: `ipseity list encoders` says what each offers and what it lacks",
    )


def choose_face(encoder: FaceEncoder, image: Image, name: str) -> tuple[Face, tuple[str, ...]]:
    """Give the face that a photo is of, and what is unusual about it.

    Args:
        encoder: finds the faces.
        image: the photo, upright.
        name: what messages call it.

    Returns:
        The largest face, and a sentence for each thing that may cost likeness.

    Raises:
        SubjectError: there is no face, it does not stand upright, it is tiny, or another one is nearly as large.
    """
    found = sorted(encoder.faces(image), key=lambda face: -face.area_px)
    if not found or found[0].score < SURE:
        _refuse_turned(encoder, image, name, above=found[0].score + MARGIN if found else GUESS)
    if not found:
        raise _no_face(encoder, name)
    face, others = found[0], found[1:]
    if face.shorter_px < TINY_PX:
        raise SubjectError(
            f"{name}: the largest face is {face.shorter_px:.0f} pixels wide",
            f"one of at least {TINY_PX} pixels, better {SMALL_PX}",
            "give a photo in which the face is larger, or a larger copy of this one",
        )
    if others and others[0].area_px > RIVAL * face.area_px:
        raise SubjectError(
            f"{name} shows {len(found)} faces, and two are of nearly the same size",
            "one face, or one that is clearly the largest",
            "crop the photo to the person who is meant",
        )
    return face, tuple(_remarks(face, others, name))


def mean_embedding(faces: Sequence[Face], *, unit: bool = False) -> Float[Tensor, "D"]:
    """Average the embeddings of several photos of one person.

    Args:
        faces: at least one.
        unit: whether each counts with length 1, and the result is as long as they are on average.

    Source:
        arXiv:2401.07519, section 4.2: the plain mean of the raw embeddings. Means of unit vectors are in no paper; a vector
        that is longer than the others then has no louder voice.
    """
    assert faces, "no face to average"
    raw = torch.stack([face.embedding for face in faces]).float()
    if not unit:
        return raw.mean(0)
    lengths = raw.norm(dim=1, keepdim=True)
    return torch.nn.functional.normalize((raw / lengths).mean(0), dim=0) * lengths.mean()


def _no_face(encoder: FaceEncoder, name: str) -> SubjectError:
    return SubjectError(
        f"{name}: encoder '{encoder.name}' finds no face, looser detection included",
        "a face that looks towards the camera and is not covered",
        "crop the photo closer to the face, or leave it out",
    )


def _refuse_turned(encoder: FaceEncoder, image: Image, name: str, *, above: float) -> None:
    """Refuse a photo that shows a face more surely when it is turned: some detectors see faces that lie on their side."""
    ways = {90: "a quarter to the left", 270: "a quarter to the right", 180: "by half"}
    turned = {way: encoder.faces(image.rotate(degrees, expand=True)) for degrees, way in ways.items()}
    sure = {way: max(face.score for face in faces) for way, faces in turned.items() if faces}
    best = max(sure, key=lambda way: sure[way], default=None)
    if best is not None and sure[best] > above:
        raise SubjectError(
            f"{name}: the face does not stand upright; turned {best} it is found more surely",
            "a face that stands upright",
            f"turn the photo {best}",
        )


def _remarks(face: Face, others: Sequence[Face], name: str) -> list[str]:
    told = []
    if others:
        told.append(f"{name} shows {len(others) + 1} faces; the largest is taken.")
    if face.shorter_px < SMALL_PX:
        told.append(f"{name}: the face is only {face.shorter_px:.0f} pixels wide; likeness may suffer.")
    if face.turned:
        told.append(f"{name}: the face is seen from the side; a photo from the front is more alike.")
    return told
