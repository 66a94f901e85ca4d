"""Captions of one format, slot by slot, shared with the regularization captions (after He et al., arXiv:2311.04315)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Captioner
from ipseity.core.types import Example, Photo, Subject
from ipseity.data.captions.parts.describe import describe
from ipseity.data.grammar import CLOSE_UP, Caption, text_variants, with_crop, with_token


class StructuredOptions(Options):
    """How captions are written."""

    use: Literal["structured"] = "structured"
    """Captions of one format, slot by slot."""
    quality: str = Field("high quality", max_length=100)
    """Said before "photo"; empty leaves it out."""
    noun: str | None = Field(None, max_length=100)
    """A more telling noun than the class noun ("hiking backpack"); what is told for a single photo goes before it."""
    own_words: bool = True
    """Use what the user wrote beside the photos."""
    captioner: str | None = None
    """Folder (or Hub id in the local cache) of an image captioner such as BLIP; nothing is downloaded."""
    num_variants: int = Field(16, ge=1, le=256)
    """Largest number of wordings a photo, made by leaving slots out; they are all cached."""
    crop_words: bool = True
    """Say "close-up" of tight crops."""


class Structured:
    """Fills the slots with what is known of each photo, and invents nothing."""

    Options: ClassVar[type[AnyOptions]] = StructuredOptions

    @staticmethod
    def examples(subject: Subject, options: StructuredOptions) -> tuple[Example, ...]:
        """Give each photo its wordings.

        What the user wrote is used with the token put in; slots that the user filled are put into the format; else a
        captioner speaks, if one is named; else only what is known is said.

        Raises:
            WeightsError: the captioner cannot be loaded.
        """
        described = _described(subject.photos, options)
        return tuple(
            _example(subject, photo, text, options) for photo, text in zip(subject.photos, described, strict=True)
        )


def _described(photos: Sequence[Photo], options: StructuredOptions) -> list[str | None]:
    """Ask the captioner about the photos of which the user said nothing."""
    if options.captioner is None:
        return [None] * len(photos)
    silent = [index for index, photo in enumerate(photos) if not (options.own_words and (photo.caption or photo.slots))]
    texts = dict(zip(silent, describe([photos[index].image for index in silent], options.captioner), strict=True))
    return [texts.get(index) for index in range(len(photos))]


def _example(subject: Subject, photo: Photo, described: str | None, options: StructuredOptions) -> Example:
    captions = _wordings(subject, photo, described, options)
    crop_words = {CLOSE_UP: with_crop(captions)} if options.crop_words else {}
    return Example(photo.image, captions, is_subject=True, mask=photo.mask, crop_words=crop_words, name=photo.path.name)


def _wordings(subject: Subject, photo: Photo, described: str | None, options: StructuredOptions) -> tuple[str, ...]:
    text = (photo.caption if options.own_words else None) or described
    if text and not (options.own_words and photo.slots):
        return text_variants(with_token(text, subject.token, subject.class_noun), subject.token, options.num_variants)
    known = Caption(noun=options.noun or subject.class_noun, token=subject.token, quality=options.quality.strip())
    if options.own_words:
        known = replace(known, **photo.slots)
    return known.variants(options.num_variants)


PLUGIN: type[Captioner] = Structured
