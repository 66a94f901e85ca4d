"""The subject's colors: read from its photos under their masks, looked for in a picture without a mask."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as Pillow
from PIL.Image import Image
from torch import Tensor
from torch.nn.functional import max_pool2d

from ipseity.evaluation.metrics.parts.sliding import Templates, oklab, shrink

SIDE_PX = 64
"""Side at which colors are compared; fine patterns are the business of marks."""
COLOURS = 6
"""Of a palette; shading splits a painted color in two or three."""
LIGHTNESS = 0.5
"""How much a difference in lightness counts: light and shadow move it, and leave the color."""
NEAR = 0.03
"""Distance in this space at which a color belongs to another by half a width; beyond three of them it belongs to none."""
SIZES = (0.3, 0.38, 0.48, 0.6)
"""Square roots of the area of a subject's box, as shares of the picture's side: from far to near."""
SILHOUETTES = 3
"""Photos whose outline is looked for; outlines of one thing are alike, and time counts."""
WORTH = 0.7
"""Share of the palette below which the subject is said not to be there at all: 94 of 96 fresh renders of the shipped
subjects have .77 and more, 57 of 60 other members of their classes less."""
EQUAL = 0.9
"""Of the best place's share, how much another place needs to be one more subject."""
OVERLAP = 0.25
"""Share of the smaller outline's box that two subjects may have in common."""


@dataclass(frozen=True, eq=False)
class Palette:
    """The subject's colors with their shares, and its outlines in several sizes."""

    colours: Float[Tensor, "K 3"]
    """OKLab with lightness at `LIGHTNESS`."""
    shares: Float[Tensor, "K"]
    outlines: Templates


@dataclass(frozen=True)
class Places:
    """Where the palette is found together."""

    best: float
    """The largest share of the palette in one outline, in [0, 1]."""
    count: int
    """Outlines apart from each other that hold nearly as much; 0 where even the best holds less than `WORTH`."""


def read_palette(images: Sequence[Image], masks: Sequence[Image]) -> Palette:
    """Read the colors under the masks, each photo counting once.

    Args:
        images: photos of one subject.
        masks: L, 255 where the subject is, one a photo; none may be empty.

    Returns:
        The palette, by k-means from the colors that lie farthest apart, so that equal photos give equal palettes.
    """
    assert images and len(images) == len(masks), f"{len(images)} photos but {len(masks)} masks"
    inside = [_small_mask(mask) for mask in masks]
    pixels = [
        _colours(image)[:, shape > 0.98 * float(shape.max())].T for image, shape in zip(images, inside, strict=True)
    ]
    weights = torch.cat([torch.full((len(one),), 1 / len(one)) for one in pixels])
    seen = torch.cat(pixels)
    colours = _means(seen, _far_apart(seen))
    nearest = torch.cdist(seen, colours).argmin(1)
    shares = torch.zeros(len(colours)).index_add_(0, nearest, weights) / weights.sum()
    return Palette(colours, shares, _outlines(masks[:SILHOUETTES]))


def find(image: Image, palette: Palette) -> Places:
    """Look for the outline that holds most of the palette: the shares of its colors there, none above its own share.

    Args:
        image: any picture; it is looked at in `SIDE_PX`.
        palette: what to look for.
    """
    held = palette.outlines.slide(_belonging(image, palette.colours))
    shared = torch.minimum(held, palette.shares[:, None, None]).sum(1)
    responses = palette.outlines.within(shared)
    best = float(responses.max())
    return Places(best, _apart(responses, palette.outlines.sizes, best) if best >= WORTH else 0)


def _colours(image: Image) -> Float[Tensor, "3 s s"]:
    return oklab(shrink(image, SIDE_PX)) * torch.tensor((LIGHTNESS, 1.0, 1.0))[:, None, None]


def _belonging(image: Image, colours: Float[Tensor, "K 3"]) -> Float[Tensor, "K s s"]:
    """Say how much each pixel is of each color; a pixel that is near to none is of none."""
    squared = (_colours(image)[None] - colours[:, :, None, None]).square().sum(1)
    return (-squared / (2 * NEAR**2)).softmax(0) * (squared.amin(0) < (3 * NEAR) ** 2)


def _small_mask(mask: Image) -> Float[Tensor, "s s"]:
    return torch.from_numpy(np.array(shrink(mask.convert("L"), SIDE_PX), dtype=np.float32)) / 255


def _far_apart(seen: Float[Tensor, "P 3"]) -> Float[Tensor, "K 3"]:
    chosen = [seen[(seen - seen.mean(0)).square().sum(1).argmax()]]
    while len(chosen) < COLOURS:
        gaps = torch.cdist(seen, torch.stack(chosen)).amin(1)
        chosen.append(seen[gaps.argmax()])
    return torch.stack(chosen)


def _means(seen: Float[Tensor, "P 3"], colours: Float[Tensor, "K 3"], *, rounds: int = 20) -> Float[Tensor, "K 3"]:
    for _ in range(rounds):
        nearest = torch.cdist(seen, colours).argmin(1)
        groups = [seen[nearest == row] for row in range(len(colours))]
        colours = torch.stack(
            [group.mean(0) if len(group) else old for group, old in zip(groups, colours, strict=True)]
        )
    return colours


def _outlines(masks: Sequence[Image]) -> Templates:
    """Cut the outlines out and bring them to `SIZES`; what one of them holds in sum is 1."""
    cut = []
    for mask in masks:
        box = mask.getbbox()
        assert box is not None, "an empty mask has no outline"
        outline, (width, height) = mask.convert("L").crop(box), (box[2] - box[0], box[3] - box[1])
        for size in SIZES:
            scale = size * SIDE_PX / (width * height) ** 0.5
            shape = (min(SIDE_PX, max(3, round(width * scale))), min(SIDE_PX, max(3, round(height * scale))))
            small = torch.from_numpy(np.array(outline.resize(shape, Pillow.Resampling.BOX), dtype=np.float32))
            cut.append((small / small.sum())[None])
    return Templates.of(cut, SIDE_PX)


def _apart(responses: Float[Tensor, "N s s"], sizes: Sequence[tuple[int, int]], best: float) -> int:
    """Count the places that hold nearly as much as the best one and do not overlap, best first."""
    peaks = (responses == max_pool2d(responses[:, None], 5, 1, 2)[:, 0]) & (responses >= EQUAL * best)
    found = sorted(((float(responses[n, y, x]), n, y, x) for n, y, x in peaks.nonzero().tolist()), reverse=True)
    kept: list[tuple[int, int, int, int]] = []
    for _, n, y, x in found:
        place = (x, y, sizes[n][1], sizes[n][0])
        if all(_common(place, other) <= OVERLAP for other in kept):
            kept.append(place)
    return len(kept)


def _common(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Give the share of the smaller of two boxes (left, top, width, height) that both cover."""
    wide, high = (
        min(one[axis] + one[axis + 2], other[axis] + other[axis + 2]) - max(one[axis], other[axis]) for axis in (0, 1)
    )
    return max(0, wide) * max(0, high) / min(one[2] * one[3], other[2] * other[3])
