"""What all encoders of faces have in common: looser detection where none is found, and one vector a picture."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as Pillow
from PIL.Image import Image
from torch import Tensor
from torch.nn.functional import normalize

from ipseity.core.faces import Face
from ipseity.core.image import to_images
from ipseity.vision.parts.seeing import Seeing

Found = tuple[Sequence[float], Sequence[Sequence[float]], float]
"""Box (left, top, right, bottom), five points (x, y) and chance."""
CROP_POINTS = ((0.342, 0.462), (0.656, 0.460), (0.500, 0.640), (0.371, 0.825), (0.632, 0.823))
"""Where the points lie in a crop that fills the picture, as shares of its sides: recognizers' usual alignment."""
LOOSE = 3
"""Levels of detection, strict to loose."""


class Facing(Seeing):
    """An encoder of faces: it says how it detects and how it recognizes, and gets the rest."""

    offers: ClassVar[frozenset[str]] = frozenset({"image", "face"})
    width: int
    space: str

    def faces(self, image: Image) -> list[Face]:
        """Find the faces of a picture, largest first.

        Three levels of detection are tried, strict to loose; the last one also looks at the picture with a wide dark border,
        where a face that fills the picture is found.

        Args:
            image: upright, of any size.

        Returns:
            Faces in the picture's own pixels; none where no level finds one.
        """
        image = image.convert("RGB")
        for level in range(LOOSE):
            if found := self._detect(image, level):
                return self._described(image, found)
        return self._described(image, self._within_border(image))

    def embed(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Give one unit vector a picture: that of its largest face.

        A picture in which no face is found is taken whole, as if it were the crop of one: its vector is like nobody's, and
        says nothing of likeness. Metrics of faces ask `faces` instead.
        """
        rows = [
            self._whole(image) if not (found := self.faces(image)) else found[0].embedding
            for image in to_images(pixels)
        ]
        return normalize(torch.stack(rows).float(), dim=-1).to(pixels.device)

    def _detect(self, image: Image, level: int) -> list[Found]:
        """Find faces; level 0 is strict, higher ones are looser."""
        raise NotImplementedError

    def _recognize(self, image: Image, box: Sequence[float], points: Sequence[Sequence[float]]) -> Float[Tensor, "D"]:
        """Give the raw embedding of a face."""
        raise NotImplementedError

    def _described(self, image: Image, found: Sequence[Found]) -> list[Face]:
        faces = [
            Face(
                tuple(float(side) for side in box),  # type: ignore[arg-type] # four of them
                torch.tensor(np.asarray(points), dtype=torch.float32),
                self._recognize(image, box, points).detach().float().cpu(),
                float(score),
            )
            for box, points, score in found
        ]
        return sorted(faces, key=lambda face: -face.area_px)

    def _within_border(self, image: Image) -> list[Found]:
        edge = max(image.size) // 2
        wide = Pillow.new("RGB", (image.width + 2 * edge, image.height + 2 * edge))
        wide.paste(image, (edge, edge))
        return [
            ([side - edge for side in box], [[x - edge, y - edge] for x, y in points], score)
            for box, points, score in self._detect(wide, LOOSE - 1)
        ]

    def _whole(self, image: Image) -> Float[Tensor, "D"]:
        side = min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        points = [[left + x * side, top + y * side] for x, y in CROP_POINTS]
        return self._recognize(image.convert("RGB"), [left, top, left + side, top + side], points).float().cpu()


def mark_of(name: str, path: Path) -> str:
    """Name the space of embeddings by the recognizer's weights, so that no file's name can mislead."""
    with path.open("rb") as file:
        return f"{name}:{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
