"""What is computed once: latents of every crop with its size hints and mask, and the text of every caption variant."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ipseity.core.errors import WeightsError
from ipseity.core.events import Progressed
from ipseity.core.files import sha256_of, write_tensors
from ipseity.core.rng import Rng
from ipseity.core.types import Cond, Example
from ipseity.data.crops import Crop, cut_mask, cut_pixels, plan_crops

T = TypeVar("T")
ENCODED_AT_ONCE = 4
"""Pictures that the base encodes at once."""
TEXTS_AT_ONCE = 16
"""Captions that the base encodes at once."""


@dataclass(frozen=True)
class CropOptions:
    """How pictures are cut before they are encoded."""

    resolution: int
    """Side of each cut in pixels."""
    count: int
    """Cuts a picture; the first is the full view."""
    scale_min: float
    """Smallest side of a cut, as a share of the picture's shorter side."""
    flip: bool = False
    """Whether half of the random cuts are mirrored."""


@dataclass(frozen=True, eq=False)
class LatentCache:
    """N pictures with K cuts each; row `n * K + k` is cut k of picture n."""

    latents: Float[Tensor, "NK C h w"]
    size_hints: Float[Tensor, "NK 6"] | None
    mask: Float[Tensor, "NK 1 h w"] | None
    """None where no picture has one."""
    tight: tuple[bool, ...]
    """Which cuts a caption should call a close-up."""
    crop_scale: Float[Tensor, "NK"]
    """Side of each cut as a share of its picture's shorter side, in (0, 1]."""
    count: int
    """K."""


@dataclass(frozen=True, eq=False)
class TextCache:
    """Every caption that can be shown, encoded once."""

    cond: Cond
    rows: dict[str, int]
    """Caption -> row of `cond`. The empty caption is among them."""

    def take(self, captions: Sequence[str]) -> Cond:
        """Give the rows of captions, in order."""
        return self.cond.take([self.rows[caption] for caption in captions])


Telling = Generator[Progressed, None, T]
"""Tells how far the work has come; its value is the result."""


def silently(work: Telling[T]) -> T:
    """Do work that tells of itself without listening."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def cache_latents(
    base: Any,
    examples: Sequence[Example],
    options: CropOptions,
    rng: Rng,
    *,
    folder: Path | None = None,
    stage: str = "cache latents",
) -> Telling[LatentCache]:
    """Cut and encode pictures.

    Args:
        base: encodes them.
        examples: at least one.
        options: how they are cut.
        rng: decides the cuts; equal places give equal cuts.
        folder: where latents are kept between runs, by what made them; None keeps them in memory only.
        stage: what the telling calls this work.

    Raises:
        WeightsError: the base gives numbers that are not finite; the message names the picture.
    """
    plans = [
        plan_crops(
            example.image, example.mask, options.count, rng.fork(index), scale_min=options.scale_min, flip=options.flip
        )
        for index, example in enumerate(examples)
    ]
    crops = [(example, crop) for example, plan in zip(examples, plans, strict=True) for crop in plan]
    kept = None if folder is None else folder / f"latents-{_key(base, crops, options.resolution)}.safetensors"
    latents = None if kept is None else _read(kept)
    if latents is None:
        parts: list[Tensor] = []
        for start in range(0, len(crops), ENCODED_AT_ONCE):
            parts.append(_encoded(base, crops[start : start + ENCODED_AT_ONCE], options.resolution))
            yield Progressed(stage, min(start + ENCODED_AT_ONCE, len(crops)), len(crops))
        latents = torch.cat(parts)
    _refuse_nan(latents, examples, options.count)
    if kept is not None and not kept.is_file():
        write_tensors(kept, {"latents": latents})
    side = latents.shape[-1]
    has_mask = any(example.mask is not None for example in examples)
    mask = torch.stack([cut_mask(example.mask, crop, side) for example, crop in crops]) if has_mask else None
    hints = _hints(base, crops, options.resolution)
    tight, scale = tuple(crop.is_tight for _, crop in crops), torch.tensor([crop.scale for _, crop in crops])
    return LatentCache(latents, hints, mask, tight, scale, options.count)


def cache_text(base: Any, captions: Iterable[str]) -> Telling[TextCache]:
    """Encode a set of captions once, and the empty caption with them."""
    distinct = list(dict.fromkeys(["", *captions]))
    parts = []
    for start in range(0, len(distinct), TEXTS_AT_ONCE):
        with torch.no_grad():  # not around the telling: whoever listens has the switch as it was
            cond = base.encode_text(distinct[start : start + TEXTS_AT_ONCE])
            parts.append(cond.map(lambda value: value.detach().to("cpu", copy=True)))
        yield Progressed("cache text", min(start + TEXTS_AT_ONCE, len(distinct)), len(distinct))
    return TextCache(Cond.cat(parts), {caption: row for row, caption in enumerate(distinct)})


def _read(kept: Path) -> Tensor | None:
    """Give the latents of an earlier run; a broken file is taken away, so that it is made again."""
    if not kept.is_file():
        return None
    try:
        return load_file(kept)["latents"]
    except (OSError, SafetensorError, KeyError):
        kept.unlink(missing_ok=True)
        return None


@torch.no_grad()
def _encoded(base: Any, crops: list[tuple[Example, Crop]], resolution: int) -> Tensor:
    pixels = cut_pixels([example.image for example, _ in crops], [crop for _, crop in crops], resolution)
    return base.encode_image(pixels.to(base.device, base.dtype)).detach().to("cpu")


def _key(base: Any, crops: list[tuple[Example, Crop]], resolution: int) -> str:
    pictures = {id(example): [example.image.size, sha256_of([example.image.tobytes().hex()])] for example, _ in crops}
    cuts = [[pictures[id(example)], crop.top, crop.left, crop.side, crop.flipped] for example, crop in crops]
    return sha256_of([base.fingerprint(), str(base.dtype), resolution, cuts])[:32]


def _hints(base: Any, crops: list[tuple[Example, Crop]], resolution: int) -> Tensor | None:
    originals = [(example.image.height, example.image.width) for example, _ in crops]
    hints = base.size_hints(originals, [crop.hints(resolution) for _, crop in crops])
    if hints is None:
        return None
    hints = hints.detach().float().to("cpu").clone()
    hints[:, 4:] = resolution  # what is trained at is what the picture is to look like
    return hints


def _refuse_nan(latents: Tensor, examples: Sequence[Example], count: int) -> None:
    broken = (~torch.isfinite(latents.flatten(1))).any(1).nonzero().flatten().tolist()
    if not broken:
        return
    first = broken[0] // count
    name = examples[first].name or f"picture {first + 1}"
    raise WeightsError(
        f"the base's autoencoder gives numbers that are not finite for {name} ({len(broken)} of {len(latents)} cuts)",
        "finite latents",
        "load the base in bf16 or fp32 (base.dtype), or with an autoencoder made for fp16",
    )
