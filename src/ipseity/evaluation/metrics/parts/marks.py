"""A subject's badge or letters: cut from its photos, looked for in a picture at many places, sizes and small turns."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from PIL import Image as Pillow
from PIL.Image import Image
from torch import Tensor

from ipseity.evaluation.metrics.parts.sliding import Templates, oklab, shrink

SIDE_PX = 128
"""Side at which marks are looked for: the toybox's own; larger pictures are shrunk to it."""
SCALES = (0.55, 0.75, 1.0, 1.35)
"""Size of the mark in the picture against that in the photo, both as shares of the side."""
TURNS = (-10, 0, 10)
"""Degrees."""
MARGIN = 0.12
"""Of a mark's width and height, shown around it on each side, so that its ground counts too."""
FAINT = 0.6
"""Share of its contrast in the photo that a mark may lose and still count in full; fainter ones count in proportion.
Without it, blurred folds of a background pass for marks."""
TONE = 0.1
"""Distance in OKLab (lightness halved) of the mean color at which a correlation counts for 0.6 of itself: a mark is its colors too,
and without them any spot of the right size passes for a badge."""
Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels of the photo."""


@dataclass(frozen=True, eq=False)
class Marks:
    """Cut-outs of a subject's mark."""

    templates: Templates
    """Without their mean colors and with length 1; those of one photo follow each other."""
    contrasts: Float[Tensor, "N"]
    """Their lengths before: what the colors of a cut-out differ by in sum."""
    tones: Float[Tensor, "N 3"]
    """Their mean colors before."""
    photos: int
    """How many photos they are cut from."""


def cut_marks(images: Sequence[Image], boxes: Sequence[Box]) -> Marks:
    """Cut the mark from photos that show it, in `SCALES` and `TURNS`.

    Args:
        images: square photos of one subject.
        boxes: where the mark is in each.
    """
    assert images and len(images) == len(boxes), f"{len(images)} photos but {len(boxes)} boxes"
    assert all(image.width == image.height for image in images), "marks are cut from square photos"
    cut = [
        _template(image, box, scale, turn)
        for image, box in zip(images, boxes, strict=True)
        for scale in SCALES
        for turn in TURNS
    ]
    tones = torch.stack([one.mean((1, 2)) for one in cut])
    centred = [one - tone[:, None, None] for one, tone in zip(cut, tones, strict=True)]
    contrasts = torch.stack([one.norm() for one in centred])
    unit = [one / length.clamp_min(1e-6) for one, length in zip(centred, contrasts, strict=True)]
    return Marks(Templates.of(unit, SIDE_PX), contrasts, tones, len(images))


def read_marks(image: Image, marks: Marks) -> Float[Tensor, "N"]:
    """Correlate every cut-out with every place of a picture, over the three channels of OKLab.

    Returns:
        For each photo that the cut-outs are from, the best normalized correlation, in [-1, 1], less where the contrast is
        below `FAINT` or the mean color is off by `TONE`: 1 is the very same mark.

    Source:
        Lewis, Fast normalized cross-correlation, 1995: sums from spectra and from running sums.
    """
    seen = oklab(shrink(image, SIDE_PX))
    agreed = marks.templates.slide(seen).sum(1)
    areas = torch.tensor([rows * columns for rows, columns in marks.templates.sizes], dtype=torch.float64)[
        :, None, None
    ]
    sums, squares = marks.templates.boxes(seen), marks.templates.boxes(seen.square().sum(0, keepdim=True))
    spread = (squares[:, 0] - sums.square().sum(1) / areas).clamp_min(0).sqrt()
    least = (1 - FAINT) * marks.contrasts.clamp_min(1e-6)[:, None, None]
    off = (sums / areas[:, None] - marks.tones[:, :, None, None]) * torch.tensor((0.5, 1.0, 1.0))[:, None, None]
    toned = (-off.square().sum(1) / (2 * TONE**2)).exp().float()
    correlations = marks.templates.within(toned * agreed / torch.maximum(spread.float(), least))
    return correlations.flatten(1).amax(1).unflatten(0, (marks.photos, -1)).amax(1)


def _template(image: Image, box: Box, scale: float, turn: float) -> Float[Tensor, "3 h w"]:
    left, top, right, bottom = box
    middle = ((left + right) / 2, (top + bottom) / 2)
    half = ((right - left) * (0.5 + MARGIN), (bottom - top) * (0.5 + MARGIN))
    turned = image.convert("RGB").rotate(turn, Pillow.Resampling.BICUBIC, center=middle)
    region = (middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1])
    factor = scale * SIDE_PX / image.width
    width, height = (min(SIDE_PX, max(4, round(2 * edge * factor))) for edge in half)
    return oklab(turned.resize((width, height), Pillow.Resampling.LANCZOS, box=_inside(region, image)))


def _inside(region: tuple[float, float, float, float], image: Image) -> tuple[float, float, float, float]:
    left, top, right, bottom = region
    return max(0.0, left), max(0.0, top), min(float(image.width), right), min(float(image.height), bottom)
