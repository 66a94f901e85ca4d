"""How far an image is copied from a training photo: nearest photo, less what is normal between real photos.

Source: the nearest-neighbor tests of arXiv:2212.03860, with the subject's own photos as the yardstick.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from PIL.Image import Image
from torch import Tensor

from ipseity.core.protocols import Encoder, Metric
from ipseity.core.types import Gallery, References
from ipseity.evaluation.metrics.parts.looking import embed, same_picture

QUANTILE = 0.9
"""Nine of ten real photos lie no nearer to a (different) training photo than what counts as normal."""

ROUNDING = 1e-4
"""What arithmetic in batches may change a cosine by."""


class Memorization:
    """How much nearer the pictures come to a training photo than real photos of the subject come to each other.

    Above 0 a picture is nearer to some training photo than nine of ten real photos are to another one: a copy. Photos are
    taken as the base's autoencoder leaves them, for a base that blurs copies a photo with its blur.
    """

    title: ClassVar[str] = "Memorization"
    unit: ClassVar[str] = "cosine above normal"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    needs: ClassVar[frozenset[str]] = frozenset({"image"})

    @staticmethod
    def score(gallery: Gallery, references: References, encoder: Encoder) -> Float[Tensor, "N"] | None:
        """Subtract the normal nearness from each image's cosine with its nearest training photo.

        Normal is the 0.9 quantile, over all real photos, of the cosine with the nearest *other* training photo.

        Returns:
            Values in [-2, 2]; a copy has 1 - normal. None where no two photos can be compared.
        """
        photos = references.decoded or (*references.trained_on, *references.images)
        real = distinct(photos)
        if not references.trained_on or len(real) < 2:
            return None
        trained = distinct(photos[: len(references.trained_on)])
        known = embed(trained, encoder)
        nearness = embed(real, encoder) @ known.T
        itself = torch.zeros_like(nearness, dtype=torch.bool)
        itself[range(len(trained)), range(len(trained))] = True  # `real` begins with `trained`
        nearest = nearness.masked_fill(itself, -torch.inf).amax(1)
        normal = nearest[nearest.isfinite()].quantile(QUANTILE)
        return (embed(gallery.images, encoder) @ known.T).amax(1) - normal


def too_near(scores: Float[Tensor, "N"]) -> Bool[Tensor, "N"]:
    """Say which images are nearer to a training photo than is normal between real photos."""
    return scores > ROUNDING


def distinct(images: Sequence[Image]) -> list[Image]:
    """Leave out repeated pictures, keeping the order."""
    return list({same_picture(image): image for image in images}.values())


PLUGIN: type[Metric] = Memorization
