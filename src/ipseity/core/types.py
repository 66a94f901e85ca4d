"""The nouns that travel between rooms. All are frozen; letters: `B` batch, `T` text tokens, `D` width, `h w` latents."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from PIL.Image import Image
from torch import Tensor


@dataclass(frozen=True)
class Photo:
    """A file that the user gave, read, turned upright, converted to sRGB and stripped of metadata."""

    path: Path
    image: Image
    """RGB; nothing but pixels."""
    sha256: str
    """Of the file's bytes."""
    mask: Image | None = None
    """L, 255 where the subject is; from alpha or from a `masks/` folder."""
    caption: str | None = None
    """What the user wrote about this photo (sidecar or `metadata.jsonl`), else None."""
    slots: Mapping[str, str] = field(default_factory=dict)
    """Caption slots that the user filled for this photo (columns of `metadata.jsonl`): "background" -> "on a table"."""


@dataclass(frozen=True)
class Subject:
    """Who or what is personalized: photos, class noun, token."""

    name: str
    photos: tuple[Photo, ...]
    class_noun: str
    token: str
    living: bool = False
    """A person or an animal: motion phrases apply, shapes do not."""
    findings: tuple[str, ...] = ()
    """What the checks noticed, one sentence each."""

    @property
    def phrase(self) -> str:
        """The token and the class noun, as prompts name the subject: "sks backpack"."""
        return f"{self.token} {self.class_noun}"

    def with_photos(self, photos: Sequence[Photo]) -> "Subject":
        """The same subject, shown by other photos."""
        return replace(self, photos=tuple(photos))


@dataclass(frozen=True)
class Example:
    """One picture to train on, with every wording it may be shown under."""

    image: Image
    captions: tuple[str, ...]
    """Caption variants; the first is the full one. Never empty."""
    is_subject: bool
    mask: Image | None = None
    crop_words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For captions that follow the crop: crop word -> the same variants with that crop word."""
    name: str = ""
    """What messages call it: a photo's file name, or the prompt that made it."""


@dataclass(frozen=True)
class Request:
    """A picture that the frozen base shall make."""

    prompt: str
    seed: int


@dataclass(frozen=True)
class Cond:
    """What a base is conditioned on, one row a sample. A base refuses a filled slot that it does not offer."""

    text: Float[Tensor, "B T D"]
    pooled: Float[Tensor, "B P"] | None = None
    image_tokens: Float[Tensor, "B N E"] | None = None
    control: Float[Tensor, "B C H W"] | None = None
    size_hints: Float[Tensor, "B 6"] | None = None
    """SDXL's: original height and width, crop top and left, target height and width, in pixels."""

    def map(self, change: Callable[[Tensor], Tensor]) -> "Cond":
        """Apply a function to each filled slot."""
        slots = {slot.name: getattr(self, slot.name) for slot in fields(self)}
        return replace(self, **{name: change(value) for name, value in slots.items() if value is not None})

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Cond":
        """Move all slots."""
        return self.map(lambda value: value.to(device=device, dtype=dtype))

    def take(self, rows: Sequence[int] | Tensor) -> "Cond":
        """Select rows, in the order given."""
        index = torch.as_tensor(rows, dtype=torch.long)
        return self.map(lambda value: value[index.to(value.device)])

    @staticmethod
    def cat(parts: Sequence["Cond"]) -> "Cond":
        """Join rows of several; all must fill the same slots."""
        assert parts, "nothing to join"
        joined = {}
        for slot in fields(Cond):
            values = [getattr(part, slot.name) for part in parts]
            filled = [value is not None for value in values]
            assert all(filled) or not any(filled), f"slot '{slot.name}' is filled in some rows only"
            joined[slot.name] = torch.cat(values) if all(filled) else None
        return Cond(**joined)


@dataclass(frozen=True)
class Batch:
    """What a learner sees in one micro step."""

    latents: Float[Tensor, "B C h w"]
    captions: tuple[str, ...]
    """One a sample; the empty string is a dropped caption."""
    is_subject: Bool[Tensor, "B"]
    """True for photos of the subject, False for regularization images."""
    cond: Cond | None = None
    """The captions, encoded (from the cache) with size hints; None when the learner trains the text encoders."""
    size_hints: Float[Tensor, "B 6"] | None = None
    mask: Float[Tensor, "B 1 h w"] | None = None
    """Where the subject is, 1 inside; all ones where nothing is known."""
    crop_scale: Float[Tensor, "B"] | None = None
    """Side of each sample's cut as a share of its picture's shorter side, in (0, 1]; None means that all are full views."""
    tokenless: "Batch | None" = None
    """The subject's latents once more, under captions without the token that a penalty asked for."""


@dataclass(frozen=True)
class Gallery:
    """Images drawn from prompts with their seeds, and, where asked for, the bare base's from the same seeds."""

    images: tuple[Image, ...]
    prompts: tuple[str, ...]
    """What each image is held against: the class noun stands in place of the token."""
    seeds: tuple[int, ...]
    before: tuple[Image, ...] = ()


@dataclass(frozen=True)
class References:
    """What a gallery is compared with."""

    images: tuple[Image, ...]
    """Photos that training has not seen, if any could be held out."""
    masks: tuple[Image | None, ...]
    trained_on: tuple[Image, ...] = ()
    """Photos that training has seen, for the memorization test."""
    decoded: tuple[Image, ...] = ()
    """`trained_on` and then `images`, each encoded and decoded by the base: what its autoencoder leaves of them. Empty where
    nobody asked the base."""
