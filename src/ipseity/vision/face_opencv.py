"""Faces by OpenCV: YuNet's boxes and points, SFace's embedding, from two .onnx files that the user brings."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from ipseity.core.errors import MissingPackage, WeightsError
from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Encoder
from ipseity.vision.parts.facing import Facing, Found, mark_of

_CHANCES = (0.8, 0.6, 0.3)
"""Least chance of a face at each level of detection; OpenCV's samples take 0.8 or 0.9."""
_OVERLAP, _MOST = 0.3, 5000
_LARGEST_PX = 1280
"""Pictures are shrunk to this side before YuNet looks, which knows faces up to about 300 pixels."""
_WHERE = (
    "they lie in the model zoo of OpenCV: face_detection_yunet_*.onnx (MIT), face_recognition_sface_*.onnx (Apache-2.0)"
)


class FaceOpenCVOptions(Options):
    """Where the two networks are."""

    use: Literal["face_opencv"] = "face_opencv"
    """YuNet and SFace."""
    detector: str | None = None
    """Path of YuNet's .onnx file."""
    recognizer: str | None = None
    """Path of SFace's .onnx file."""


class FaceOpenCV(Facing):
    """Faces found by YuNet and told apart by SFace (128 numbers): small, and free for any use by their licences."""

    Options: ClassVar[type[AnyOptions]] = FaceOpenCVOptions
    name = "face_opencv"
    licence = "MIT (YuNet) and Apache-2.0 (SFace), as OpenCV's model zoo states them"
    width = 128

    def __init__(self, detector: Any, recognizer: Any, *, space: str) -> None:
        self._detector, self._recognizer, self.space = detector, recognizer, space

    @classmethod
    def missing(cls) -> str | None:
        """Say what is not here, or None: the files have no place of their own, so without options it cannot be loaded."""
        if find_spec("cv2") is None:
            return "not installed: pip install opencv-python-headless"
        return f"not set up: name YuNet's and SFace's files as `detector` and `recognizer`; {_WHERE}"

    @classmethod
    def load(cls, options: Any, device: torch.device | str = "cpu") -> Self:
        """Read the two networks.

        Args:
            options: where they are.
            device: ignored; both are small and run on the processor.

        Raises:
            MissingPackage: OpenCV is not installed.
            WeightsError: a file is not named, not there, or not what OpenCV reads.
        """
        if find_spec("cv2") is None:
            raise MissingPackage(
                f"encoder '{cls.name}' needs OpenCV", "its package", "pip install opencv-python-headless"
            )
        import cv2 as library  # type: ignore[import-not-found] # it may be absent

        cv2: Any = library
        paths = [_present(options, word) for word in ("detector", "recognizer")]
        try:
            detector = cv2.FaceDetectorYN.create(str(paths[0]), "", (320, 320), _CHANCES[0], _OVERLAP, _MOST)
            recognizer = cv2.FaceRecognizerSF.create(str(paths[1]), "")
        except cv2.error as error:
            told = " ".join(str(error).split())[:160]
            raise WeightsError(
                f"OpenCV cannot read {paths[0]} or {paths[1]} ({told})", "YuNet and SFace", _WHERE
            ) from error
        return cls(detector, recognizer, space=mark_of("opencv", paths[1]))

    def _detect(self, image: Image, level: int) -> list[Found]:
        shrink = min(1.0, _LARGEST_PX / max(image.size))
        size = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
        self._detector.setInputSize(size)
        self._detector.setScoreThreshold(_CHANCES[level])
        _, rows = self._detector.detect(_bgr(image.resize(size)))
        scale = np.tile([image.width / size[0], image.height / size[1]], 7)
        found = [(row[:14] * scale, float(row[14])) for row in (rows if rows is not None else [])]
        return [([*row[:2], *(row[:2] + row[2:4])], row[4:14].reshape(5, 2).tolist(), sure) for row, sure in found]

    def _recognize(self, image: Image, box: Sequence[float], points: Sequence[Sequence[float]]) -> Float[Tensor, "D"]:
        array, flat = _bgr(image), np.asarray(points, dtype=np.float32).ravel()
        row = np.concatenate([[box[0], box[1], box[2] - box[0], box[3] - box[1]], flat, [1.0]]).astype(np.float32)
        return torch.from_numpy(
            np.array(self._recognizer.feature(self._recognizer.alignCrop(array, row[None])))
        ).flatten()


def _bgr(image: Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])


def _present(options: Any, word: str) -> Path:
    named = getattr(options, word)
    path = Path(named).expanduser() if named else None
    if path is None or not path.is_file():
        found = f"`{word}` names no file" if path is None else f"{path} is not there"
        raise WeightsError(
            found, "the .onnx files of YuNet and SFace", f"name them as `detector` and `recognizer`; {_WHERE}"
        )
    return path


PLUGIN: type[Encoder] = FaceOpenCV
