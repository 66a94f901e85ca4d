"""Faces by InsightFace, from a model pack that the user brings: what InstantID's published weights were trained with."""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
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

_LEVELS = ((0.5, 640), (0.35, 320), (0.2, 192))
"""Least chance and the side that pictures are scaled to: smaller ones find faces that fill the picture."""
_INSTALL = "pip install 'insightface>=2' onnxruntime"
_TERMS = "non-commercial research only, as InsightFace's model zoo states for its packs; ask its makers for other use"


class FaceInsightFaceOptions(Options):
    """Which pack."""

    use: Literal["face_insightface"] = "face_insightface"
    """A model pack of InsightFace."""
    pack: str = "antelopev2"
    """Name of a pack below `root`/models (antelopev2, buffalo_l ...), or its folder. InstantID's published weights need antelopev2."""
    root: str = "~/.insightface"
    """Where InsightFace keeps its packs."""


class FaceInsightFace(Facing):
    """Faces found and told apart by an InsightFace pack (512 numbers).

    Packs are never fetched here, and a pack that was unpacked into a folder of its own name is found there.
    """

    Options: ClassVar[type[AnyOptions]] = FaceInsightFaceOptions
    name = "face_insightface"
    licence = f"{_TERMS}; the library is MIT"
    width = 512

    def __init__(self, app: Any, *, space: str) -> None:
        self._app, self.space = app, space

    @classmethod
    def missing(cls) -> str | None:
        """Say what is not here, or None when the default pack can be loaded."""
        if gone := [name for name in ("insightface", "onnxruntime") if find_spec(name) is None]:
            return f"not installed ({', '.join(gone)}): {_INSTALL}"
        options = FaceInsightFaceOptions()
        found = _pack_folder(options)
        return None if found else f"the pack {options.pack} is not on this machine: {_todo(options)}"

    @classmethod
    def load(cls, options: Any, device: torch.device | str = "cpu") -> Self:
        """Read a pack.

        Args:
            options: which one.
            device: "cuda" runs it there if onnxruntime can.

        Raises:
            MissingPackage: InsightFace is not installed.
            WeightsError: the pack is not there, or lacks its detector or its recognizer.
        """
        if find_spec("insightface") is None or find_spec("onnxruntime") is None:
            raise MissingPackage(f"encoder '{cls.name}' needs InsightFace", "its packages", _INSTALL)
        folder = _pack_folder(options)
        if folder is None:
            raise WeightsError(
                f"the pack {options.pack} is not on this machine",
                f"its .onnx files; their licence: {_TERMS}",
                _todo(options),
            )
        from insightface.app import FaceAnalysis as Library  # type: ignore[import-not-found] # it may be absent

        maker: Any = Library
        providers = ["CUDAExecutionProvider"] if torch.device(device).type == "cuda" else []
        try:
            app = maker(
                name=str(folder),
                allowed_modules=["detection", "recognition"],
                providers=[*providers, "CPUExecutionProvider"],
            )
            recognizer = app.models["recognition"]
        except (AssertionError, KeyError) as error:  # so the library says that a model is missing
            raise WeightsError(
                f"{folder} lacks a detector or a recognizer", "a whole pack of InsightFace", _todo(options)
            ) from error
        loaded = cls(app, space=mark_of("insightface", Path(recognizer.model_file)))
        loaded.width = int(recognizer.output_shape[-1])
        return loaded

    def _detect(self, image: Image, level: int) -> list[Found]:
        chance, side = _LEVELS[level]
        self._app.prepare(ctx_id=0, det_thresh=chance, det_size=(side, side))
        boxes, points = self._app.det_model.detect(_bgr(image), max_num=0, metric="default")
        if points is None:
            return []
        return [(box[:4].tolist(), five.tolist(), float(box[4])) for box, five in zip(boxes, points, strict=True)]

    def _recognize(self, image: Image, box: Sequence[float], points: Sequence[Sequence[float]]) -> Float[Tensor, "D"]:
        face = SimpleNamespace(kps=np.asarray(points, dtype=np.float32), embedding=None)
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", category=FutureWarning
            )  # its alignment asks scikit-image by an older name
            self._app.models["recognition"].get(_bgr(image), face)
        return torch.from_numpy(np.asarray(face.embedding, dtype=np.float32).copy()).flatten()


def _bgr(image: Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])


def _pack_folder(options: FaceInsightFaceOptions) -> Path | None:
    """Find a pack's folder; zip files often unpack into a second folder of the same name."""
    named = Path(options.pack).expanduser()
    outer = named if named.is_dir() else Path(options.root).expanduser() / "models" / options.pack
    return next((place for place in (outer, outer / outer.name) if any(place.glob("*.onnx"))), None)


def _todo(options: FaceInsightFaceOptions) -> str:
    where = Path(options.root) / "models" / options.pack
    return f"unpack it into {where} if you accept that licence, or name its folder as `pack`"


PLUGIN: type[Encoder] = FaceInsightFace
