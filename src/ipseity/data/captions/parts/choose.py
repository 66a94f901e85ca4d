"""Chooses phrases of a bank for photos, as an encoder that reads both pictures and texts finds them near."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from PIL import ImageOps
from PIL.Image import Image
from torch import Tensor

from ipseity.core.errors import MissingPackage, RecipeError
from ipseity.core.image import to_pixels
from ipseity.core.protocols import Encoder
from ipseity.core.registry import find, names
from ipseity.core.types import Subject
from ipseity.data.grammar import Caption
from ipseity.data.phrases import Phrases

CHOSEN = ("shape", "colour", "texture", "motion", "background")
"""Slots that a picture can tell of, in the order of the format."""
LARGEST_SIDE_PX = 512
"""Photos are shrunk to this before the encoder sees them; encoders work at 64 to 384 pixels."""


def choose(
    images: Sequence[Image], noun: str, phrases: Mapping[str, Sequence[str]], *, encoder: Encoder, margin: float
) -> list[dict[str, str]]:
    """Choose a phrase a slot for each image, and none where none is clear.

    A phrase gains as much as "a photo of a red mug" is nearer to the image (in cosine) than "a photo of a mug" is. The
    phrase that gains most is taken if its gain is at least `margin` times the spread of all gains on this image, which
    makes encoders with wide and with narrow cosines comparable. It is held against the slot left empty and not against
    the runner-up, since banks hold several phrases for one thing ("in a library", "in front of a bookshelf"). Of equal
    gains the first in the bank is taken, so that equal images get equal words.

    Args:
        images: what to describe.
        noun: what they show.
        phrases: slot -> phrases; a slot without phrases is left out.
        encoder: offers image and text.
        margin: how clear a phrase must be, in standard deviations of the gains.

    Returns:
        For each image, slot -> phrase, of the slots where one is clear.
    """
    texts = {slot: [str(Caption(noun, **{slot: phrase})) for phrase in bank] for slot, bank in phrases.items() if bank}
    if not images or not texts:
        return [{} for _ in images]
    with torch.no_grad():
        seen = torch.cat([encoder.embed(to_pixels([_small(image)])) for image in images])
        plain = seen @ encoder.embed_text([str(Caption(noun))]).T
        gains = {slot: (seen @ encoder.embed_text(said).T - plain).float().cpu() for slot, said in texts.items()}
    spread = torch.cat(list(gains.values()), dim=1).std(dim=1, correction=0)
    return [
        {slot: phrases[slot][best] for slot, gain in gains.items() if (best := _clear(gain[row], margin * spread[row])) >= 0}
        for row in range(len(images))
    ]  # fmt: skip


def choosable(bank: Phrases, subject: Subject) -> dict[str, tuple[str, ...]]:
    """Give the phrases that a photo of a subject can be told by: motion is for the living, shape for things."""
    unfit = "shape" if subject.living else "motion"
    return {slot: getattr(bank, slot) for slot in CHOSEN if slot != unfit and getattr(bank, slot)}


def load_describer(name: str) -> Encoder:
    """Load an encoder that reads both pictures and texts.

    Raises:
        RecipeError: it is not on the shelf, or does not read both.
        MissingPackage: it is not installed, or its weights are not here.
    """
    kind = find("encoders", name)
    if not {"image", "text"} <= kind.offers:
        able = [one for one in names("encoders") if {"image", "text"} <= find("encoders", one).offers]
        raise RecipeError(
            f"captions.describer is '{name}', which does not read both pictures and texts",
            f"one of: {', '.join(able)}",
            "choose one of them, or leave captions.describer out",
        )
    if reason := kind.missing():
        raise MissingPackage(
            f"encoder '{name}' shall describe the photos and is not here ({reason})",
            "an encoder that can be loaded",
            "get it as said, choose another, or leave captions.describer out",
        )
    return kind.load(kind.Options())


def _clear(gain: Float[Tensor, "P"], needed: Tensor) -> int:
    """Give the place of the phrase that gains most, or -1 where it gains too little or the plain caption is nearer."""
    best = int(gain.argmax())
    return best if gain[best] > 0 and gain[best] >= needed else -1


def _small(image: Image) -> Image:
    if max(image.size) <= LARGEST_SIDE_PX:
        return image
    return ImageOps.contain(image, (LARGEST_SIDE_PX, LARGEST_SIDE_PX))
