"""How much an image is of the subject, its surroundings left out: patches matched one by one (after MaSC, 2026)."""

from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image as Pillow
from PIL.Image import Image
from torch import Tensor

from ipseity.core.protocols import Encoder, Metric
from ipseity.core.types import Gallery, References
from ipseity.evaluation.metrics.parts.looking import patches, square

COVERED = 0.5
"""A patch belongs to the subject when at least this share of it lies inside the mask."""


class MaskedIdentity:
    """How alike the pictures and the subject are, part by part, whatever stands behind it.

    The score of whole frames rises when the photos' background is copied; this one does not see that background.
    """

    title: ClassVar[str] = "Identity of the subject alone"
    unit: ClassVar[str] = "cosine"
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"patches"})

    @staticmethod
    def score(gallery: Gallery, references: References, encoder: Encoder) -> Float[Tensor, "N"] | None:
        """Match each of the subject's patches with its best patch in the image, and average.

        Returns:
            Values in [-1, 1]; None where no reference has a mask.

        Source:
            The foreground half of MaSC (masked subject consistency), with whatever encoder is given for its SigLIP 2.
        """
        pairs = zip(references.images, references.masks, strict=True)
        masked = [(image, mask) for image, mask in pairs if mask is not None and mask.getbbox()]
        if not masked:
            return None
        drawn = patches(gallery.images, encoder).flatten(1, 2)
        real = patches([image for image, _ in masked], encoder)
        scores = []
        for (_, mask), grid in zip(masked, real, strict=True):
            subject = grid[foreground(mask, (grid.shape[0], grid.shape[1]))]
            scores.append((subject @ drawn.transpose(1, 2)).amax(2).mean(1))
        return torch.stack(scores).mean(0)


def foreground(mask: Image, grid: tuple[int, int]) -> Bool[Tensor, "h w"]:
    """Say which patches of a grid (rows, columns) show the subject; at least the one that shows most of it does."""
    height, width = grid
    share = square(mask.convert("L")).resize((width, height), Pillow.Resampling.BOX)
    inside = torch.from_numpy(np.asarray(share, dtype=np.float32) / 255)
    return inside >= min(COVERED, float(inside.max()))


PLUGIN: type[Metric] = MaskedIdentity
