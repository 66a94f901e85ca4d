"""Batches as a function of progress: `(seed, step, micro, rank)` in, samples out; nothing is remembered."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from ipseity.core.options import Options
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Example
from ipseity.data.cache import CropOptions, LatentCache, Telling, TextCache, cache_latents, silently
from ipseity.data.cache import cache_text as encode_captions
from ipseity.data.grammar import CLOSE_UP


class DataOptions(Options):
    """What a batch is made of."""

    train_batch_size: int = Field(1, ge=1, le=1024)
    """Photos of the subject in each batch."""
    regularization_per_subject: int = Field(1, ge=0, le=64)
    """Regularization images beside each photo, or captions held without one (the paper has one)."""
    resolution: int | None = Field(None, ge=32, le=4096, multiple_of=8)
    """Side in pixels at which is trained; unset means the base's native size."""
    crops: int = Field(8, ge=1, le=256)
    """Cuts of each photo that are encoded once; the first is the full view."""
    regularization_crops: int = Field(2, ge=1, le=256)
    """Cuts of each regularization image."""
    crop_scale_min: float = Field(0.6, gt=0, le=1)
    """Smallest cut, as a share of the photo's shorter side."""
    flip: bool = False
    """Mirror half of the cuts; harms writing and whatever is not symmetric."""
    slot_dropout: float = Field(0.3, ge=0, le=1)
    """Chance that a wording other than the full one is shown."""
    caption_dropout: float = Field(0.05, ge=0, le=1)
    """Chance that a caption is left out altogether, which keeps guidance working."""
    latent_cache: Path | None = None
    """Folder where latents are kept between runs; unset keeps them in memory only."""


@dataclass(frozen=True, eq=False)
class Shelf:
    """Examples of one kind with what was computed of them, ready to be picked from."""

    latents: LatentCache
    captions: tuple[tuple[tuple[str, ...], ...], ...]
    """For each picture: the wordings for wide cuts, and those for close-ups."""

    def __len__(self) -> int:
        return len(self.captions)

    def wordings(self) -> Iterator[str]:
        """Give every caption that can be shown: those for close-ups only where a cut is one."""
        count = self.latents.count
        for index, (wide, close) in enumerate(self.captions):
            yield from wide
            if any(self.latents.tight[index * count : (index + 1) * count]):
                yield from close


class Batches:
    """Gives the batches of any step at once, without having given those before."""

    def __init__(
        self,
        subject: Shelf,
        shown: Shelf | None,
        *,
        text: TextCache | None,
        options: DataOptions,
        rng: Rng,
        device: Any,
    ) -> None:
        self.subject, self.options, self.rng, self.device = subject, options, rng, device
        self._shelves = [(subject, options.train_batch_size, "subject")]
        per_batch = options.train_batch_size * options.regularization_per_subject
        if shown is not None and per_batch:
            self._shelves.append((shown, per_batch, "regularization"))
        self._text = text
        self._orders = lru_cache(maxsize=64)(self._order)
        self._is_subject = torch.tensor(
            [kind == "subject" for _, size, kind in self._shelves for _ in range(size)], device=device
        )
        self._any_mask = any(shelf.latents.mask is not None for shelf, _, _ in self._shelves)

    @property
    def images_per_step(self) -> int:
        """Samples in one micro batch of one process."""
        return sum(size for _, size, _ in self._shelves)

    def at(self, step: int, accumulate: int = 1, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Give the micro batches of an optimizer step.

        Args:
            step: which optimizer step.
            accumulate: micro batches in a step.
            rank: which process.
            world: number of processes; together they go through the pictures without repeat.
        """
        for micro in range(accumulate):
            yield self._batch((step * accumulate + micro) * world + rank)

    def tell(self, steps: int, accumulate: int = 1, world: int = 1) -> str:
        """Say how many of how many regularization images a run of `steps` shows; empty where there are none."""
        if len(self._shelves) < 2:
            return ""
        shelf, size, _ = self._shelves[1]
        draws = steps * accumulate * world * size
        seen = min(draws, len(shelf))
        often = f", each about {draws / len(shelf):.1f} times" if draws > len(shelf) else ""
        ratio = f"{size} beside {self._shelves[0][1]} of the subject in each batch"
        return f"In {steps} steps, {seen} of {len(shelf)} regularization images are shown{often}, {ratio}."

    def _batch(self, place: int) -> Batch:
        chance = self.rng.fork("batch", place).uniform((self.images_per_step, 4))
        parts, captions, at = [], [], 0
        for shelf, size, kind in self._shelves:
            chosen = [self.in_turn(len(shelf), kind, place * size + offset) for offset in range(size)]
            rows, worded = self._dress(shelf, chosen, chance[at : at + size].tolist())
            parts.append((shelf.latents, rows))
            captions += worded
            at += size
        hints = _gather([(cache.size_hints, rows) for cache, rows in parts])
        cond = None if self._text is None else self._text.take(captions).to(self.device)
        hints = None if hints is None else hints.to(self.device)
        latents = _gather([(cache.latents, rows) for cache, rows in parts])
        scale = _gather([(cache.crop_scale, rows) for cache, rows in parts])
        assert latents is not None and scale is not None, "a cache always holds latents and says how they were cut"
        return Batch(
            latents=latents.to(self.device),
            captions=tuple(captions),
            is_subject=self._is_subject,
            cond=cond if cond is None or hints is None else replace(cond, size_hints=hints),
            size_hints=hints,
            mask=self._masks(parts),
            crop_scale=scale.to(self.device),
        )

    def in_turn(self, count: int, kind: str, number: int) -> int:
        """Give which of `count` things is the `number`th of its kind to be shown: each once before any comes again."""
        round_, place = divmod(number, count)
        return self._orders(count, kind, round_)[place]

    def _order(self, count: int, kind: str, round_: int) -> list[int]:
        return self.rng.fork("order", kind, round_).permutation(count)

    def _dress(
        self, shelf: Shelf, chosen: Sequence[int], chance: Sequence[Sequence[float]]
    ) -> tuple[list[int], list[str]]:
        """Choose each picture's cut and wording."""
        rows, captions = [], []
        for index, (crop, varied, variant, dropped) in zip(chosen, chance, strict=True):
            row = index * shelf.latents.count + int(crop * shelf.latents.count)
            wordings = shelf.captions[index][shelf.latents.tight[row]]
            others = len(wordings) - 1
            place = 1 + int(variant * others) if others and varied < self.options.slot_dropout else 0
            rows.append(row)
            captions.append("" if dropped < self.options.caption_dropout else wordings[place])
        return rows, captions

    def _masks(self, parts: Sequence[tuple[LatentCache, list[int]]]) -> Tensor | None:
        if not self._any_mask:
            return None
        masks = [
            cache.latents.new_ones(len(rows), 1, *cache.latents.shape[2:], dtype=torch.float32)
            if cache.mask is None
            else cache.mask[rows]
            for cache, rows in parts
        ]
        return torch.cat(masks).to(self.device)


def make_batches(
    base: Any,
    examples: Sequence[Example],
    shown: Sequence[Example],
    options: DataOptions,
    *,
    cache_text: bool = True,
    seed: int = 0,
) -> Batches:
    """Do what `prepare_batches` does, and tell nobody of it."""
    return silently(prepare_batches(base, examples, shown, options, cache_text=cache_text, seed=seed))


def prepare_batches(
    base: Any,
    examples: Sequence[Example],
    shown: Sequence[Example],
    options: DataOptions,
    *,
    cache_text: bool = True,
    seed: int = 0,
) -> Telling[Batches]:
    """Encode what is shown, once, telling how far it is; the generator's value gives the batches.

    Args:
        base: encodes pictures and captions.
        examples: the subject's photos with their captions.
        shown: what is shown beside them; may be empty.
        options: sizes, cuts and dropouts.
        cache_text: False where the learner trains the text encoders; batches then come without `cond`.
        seed: decides cuts, order, wordings and dropouts.

    Raises:
        WeightsError: the base gives numbers that are not finite; the message names the picture.
    """
    assert examples, "there is nothing to learn from"
    resolution, rng = options.resolution or base.resolution, Rng(seed, ("data",))
    shown = shown if options.regularization_per_subject else ()
    cuts = CropOptions(resolution, options.crops, options.crop_scale_min, options.flip)
    fewer = replace(cuts, count=options.regularization_crops)
    subject = yield from _shelve(base, examples, cuts, rng.fork("subject"), options.latent_cache)
    other = rng.fork("regularization")
    beside = (yield from _shelve(base, shown, fewer, other, options.latent_cache)) if shown else None
    wordings = [*subject.wordings(), *(beside.wordings() if beside else ())]
    text = (yield from encode_captions(base, wordings)) if cache_text else None
    return Batches(subject, beside, text=text, options=options, rng=rng, device=base.device)


def _shelve(base: Any, examples: Sequence[Example], cuts: CropOptions, rng: Rng, folder: Path | None) -> Telling[Shelf]:
    captions = tuple((example.captions, example.crop_words.get(CLOSE_UP, example.captions)) for example in examples)
    stage = "cache latents" if examples[0].is_subject else "cache regularization latents"
    return Shelf((yield from cache_latents(base, examples, cuts, rng, folder=folder, stage=stage)), captions)


def _gather(parts: Sequence[tuple[Tensor | None, list[int]]]) -> Tensor | None:
    taken = [tensor[rows] for tensor, rows in parts if tensor is not None]
    return torch.cat(taken) if taken else None
