"""Captions of one format, slot by slot, shared with the regularization captions (after He et al., arXiv:2311.04315)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self

from PIL.Image import Image
from pydantic import Field, model_validator

from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Captioner
from ipseity.core.types import Example, Photo, Subject
from ipseity.data.captions.parts.choose import choosable, choose, load_describer
from ipseity.data.captions.parts.describe import describe
from ipseity.data.grammar import CLOSE_UP, Caption, text_variants, with_crop, with_token
from ipseity.data.phrases import phrases_for
from ipseity.data.sidecars import Words


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
    describer: str | None = None
    """Encoder that reads pictures and texts ("clip", "toy_clip") and chooses among a bank's phrases for photos of which the
    user says nothing; it may neither pick nor score. Unset leaves their slots empty."""
    bank: str = "auto"
    """Phrases that the describer chooses from: "auto" (by the class noun), "toybox", or the path of a JSON file."""
    describer_margin: float = Field(0.75, ge=0, le=10)
    """How clear a phrase must be to be said: its gain over the slot left empty, in standard deviations of all gains."""
    num_variants: int = Field(16, ge=1, le=256)
    """Largest number of wordings a photo, made by leaving slots out; they are all cached."""
    crop_words: bool = True
    """Say "close-up" of tight crops."""

    @model_validator(mode="after")
    def _one_speaks(self) -> Self:
        if self.captioner is not None and self.describer is not None:
            raise ValueError("a captioner that writes sentences or a describer that chooses phrases, not both")
        return self


class Structured:
    """Fills the slots with what is known of each photo, and invents nothing."""

    Options: ClassVar[type[AnyOptions]] = StructuredOptions

    @staticmethod
    def examples(subject: Subject, options: StructuredOptions) -> tuple[Example, ...]:
        """Give each photo its wordings.

        What the user wrote is used with the token put in; slots that the user filled are put into the format; else a
        captioner or a describer speaks, if one is named; else only what is known is said.

        Raises:
            RecipeError: the describer or its bank is not one.
            MissingPackage: the describer is not installed.
            WeightsError: the captioner or the describer cannot be loaded.
        """
        said = Structured.words(subject, options)
        return tuple(
            _example(subject, photo, words, options) for photo, words in zip(subject.photos, said, strict=True)
        )

    @staticmethod
    def words(subject: Subject, options: StructuredOptions) -> tuple[Words, ...]:
        """Give what is said of each photo, in order: the user's words, else the captioner's or the describer's, else none.

        Raises:
            RecipeError, MissingPackage, WeightsError: as `examples`.
        """
        own = [Words(photo.caption, photo.slots) if options.own_words else Words() for photo in subject.photos]
        silent = [index for index, said in enumerate(own) if not (said.caption or said.slots)]
        found = _found([subject.photos[index].image for index in silent], subject, options)
        answers = dict(zip(silent, found, strict=True))
        return tuple(answers.get(index, said) for index, said in enumerate(own))


def _found(images: Sequence[Image], subject: Subject, options: StructuredOptions) -> list[Words]:
    """Ask whoever is named about the photos of which the user said nothing."""
    if options.captioner is not None:
        return [Words(caption=text) for text in describe(images, options.captioner)]
    if options.describer is None or not images:
        return [Words()] * len(images)
    bank = choosable(phrases_for(subject.class_noun, living=subject.living, bank=options.bank), subject)
    noun, margin = options.noun or subject.class_noun, options.describer_margin
    chosen = choose(images, noun, bank, encoder=load_describer(options.describer), margin=margin)
    return [Words(slots=slots) for slots in chosen]


def _example(subject: Subject, photo: Photo, said: Words, options: StructuredOptions) -> Example:
    captions = _wordings(subject, said, options)
    crop_words = {CLOSE_UP: with_crop(captions)} if options.crop_words else {}
    return Example(photo.image, captions, is_subject=True, mask=photo.mask, crop_words=crop_words, name=photo.path.name)


def _wordings(subject: Subject, said: Words, options: StructuredOptions) -> tuple[str, ...]:
    if said.caption and not said.slots:
        text = with_token(said.caption, subject.token, subject.class_noun)
        return text_variants(text, subject.token, options.num_variants)
    known = Caption(noun=options.noun or subject.class_noun, token=subject.token, quality=options.quality.strip())
    return replace(known, **said.slots).variants(options.num_variants)


PLUGIN: type[Captioner] = Structured
