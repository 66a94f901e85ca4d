"""Square cuts of a picture, and what SDXL is told of them."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL.Image import Image, Resampling, Transpose
from torch import Tensor

from ipseity.core.image import to_pixels
from ipseity.core.rng import Rng

TIGHT_BELOW = 0.75
"""A cut whose side is a smaller share of the picture's shorter side is a close-up."""
_TRIES = 12
_KEPT_OF_MASK = 0.6
"""Share of the subject, where it is known, that a cut shall keep."""


@dataclass(frozen=True)
class Crop:
    """A square in the picture's own pixels."""

    top: float
    left: float
    side: float
    scale: float
    """Side as a share of the picture's shorter side."""
    flipped: bool = False

    @property
    def is_tight(self) -> bool:
        """Whether a caption should call it a close-up."""
        return self.scale < TIGHT_BELOW

    def hints(self, resolution: int) -> tuple[int, int]:
        """Give (top, left) as SDXL counts them: in the picture scaled so that this square has `resolution` a side.

        Source:
            arXiv:2307.01952, section 2.2 (crop coordinates after resizing).
        """
        return round(self.top * resolution / self.side), round(self.left * resolution / self.side)


def plan_crops(image: Image, mask: Image | None, count: int, rng: Rng, *, scale_min: float, flip: bool) -> list[Crop]:
    """Choose cuts: first the full view from the middle, then random ones that keep the subject where it is known.

    Args:
        image: what is cut.
        mask: where the subject is, if known.
        count: how many.
        rng: decides scale, place and flips.
        scale_min: smallest side, as a share of the shorter side.
        flip: whether half of the random ones are mirrored.
    """
    short = min(image.size)
    full = Crop((image.height - short) / 2, (image.width - short) / 2, short, 1.0)
    solid = None if mask is None else np.asarray(mask.convert("L").resize((64, 64), Resampling.BOX), dtype=np.float32)
    return [
        full,
        *(_random(image, solid, rng.fork(number), scale_min=scale_min, flip=flip) for number in range(1, count)),
    ]


def cut(image: Image, crop: Crop, resolution: int) -> Image:
    """Cut a square and scale it to `resolution` a side."""
    box = (crop.left, crop.top, crop.left + crop.side, crop.top + crop.side)
    square = image.resize((resolution, resolution), Resampling.LANCZOS, box=box)
    return square.transpose(Transpose.FLIP_LEFT_RIGHT) if crop.flipped else square


def cut_pixels(images: list[Image], crops: list[Crop], resolution: int) -> Tensor:
    """Cut squares and stack them as pixels."""
    return to_pixels([cut(image, crop, resolution) for image, crop in zip(images, crops, strict=True)])


def cut_mask(mask: Image | None, crop: Crop, side: int) -> Tensor:
    """Cut a mask like its picture, as (1, side, side) in [0, 1]; all ones where nothing is known."""
    if mask is None:
        return torch.ones(1, side, side)
    box = (crop.left, crop.top, crop.left + crop.side, crop.top + crop.side)
    square = mask.convert("L").resize((side, side), Resampling.BOX, box=box)
    square = square.transpose(Transpose.FLIP_LEFT_RIGHT) if crop.flipped else square
    return torch.from_numpy(np.asarray(square, dtype=np.float32) / 255)[None]


def _random(image: Image, solid: np.ndarray | None, rng: Rng, *, scale_min: float, flip: bool) -> Crop:
    """Take the first cut that keeps enough of the subject, or the best of a few."""
    tried: list[tuple[float, Crop]] = []
    for number in range(_TRIES):
        crop = _placed(image, rng.fork(number), scale_min, flip)
        share = 1.0 if solid is None else _share_kept(solid, crop, image)
        if share >= _KEPT_OF_MASK:
            return crop
        tried.append((share, crop))
    return max(tried, key=lambda pair: pair[0])[1]


def _placed(image: Image, rng: Rng, scale_min: float, flip: bool) -> Crop:
    zoom, down, right, mirror = rng.uniform((4,)).tolist()
    scale = scale_min + (1 - scale_min) * zoom
    side = scale * min(image.size)
    return Crop(down * (image.height - side), right * (image.width - side), side, scale, flipped=flip and mirror < 0.5)


def _share_kept(solid: np.ndarray, crop: Crop, image: Image) -> float:
    rows = (np.arange(64) + 0.5) / 64 * image.height
    columns = (np.arange(64) + 0.5) / 64 * image.width
    inside = np.outer(
        (rows >= crop.top) & (rows < crop.top + crop.side), (columns >= crop.left) & (columns < crop.left + crop.side)
    )
    return float((solid * inside).sum() / max(float(solid.sum()), 1e-6))
