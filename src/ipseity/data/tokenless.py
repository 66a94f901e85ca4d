"""The subject's latents once more under captions without the token: what a penalty needs, and no picture to make."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from ipseity.core.types import Batch
from ipseity.data.batches import Batches
from ipseity.data.cache import Telling, TextCache
from ipseity.data.cache import cache_text as encode_captions


class TokenlessBatches:
    """Batches that carry such rows beside their own, as many as there would be regularization pictures.

    Args:
        batches: gives everything else, unchanged.
        captions: each for wide cuts and for close-ups.
        text: all of them, encoded; None where the learner trains the text encoders.
    """

    def __init__(self, batches: Batches, captions: Sequence[tuple[str, str]], text: TextCache | None) -> None:
        self._batches, self._captions, self._text = batches, captions, text
        self._size = batches.options.train_batch_size * batches.options.regularization_per_subject

    @property
    def images_per_step(self) -> int:
        """Samples in one micro batch of one process, these rows among them."""
        return self._batches.images_per_step + self._size

    def at(self, step: int, accumulate: int = 1, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Give the micro batches of an optimizer step, as `Batches.at` does."""
        for micro, batch in enumerate(self._batches.at(step, accumulate, rank, world)):
            yield replace(batch, tokenless=self._rows((step * accumulate + micro) * world + rank))

    def tell(self, steps: int, accumulate: int = 1, world: int = 1) -> str:
        """Say how many of how many captions a run of `steps` shows, after what there is to say of pictures."""
        count, draws = len(self._captions), steps * accumulate * world * self._size
        own = (
            f"In {steps} steps, {min(draws, count)} of {count} captions without the token are held to what the base "
            f"predicts, {self._size} beside {self._batches.options.train_batch_size} of the subject in each batch."
        )
        return " ".join(word for word in (self._batches.tell(steps, accumulate, world), own) if word)

    def _rows(self, place: int) -> Batch:
        """Take photos and captions in turn, each on its own round, so that every pair comes about in time."""
        shelf, options, device = self._batches.subject, self._batches.options, self._batches.device
        numbers = range(place * self._size, (place + 1) * self._size)
        chance = self._batches.rng.fork("tokenless", place).uniform((self._size, 2)).tolist()
        rows, captions = [], []
        for number, (crop, dropped) in zip(numbers, chance, strict=True):
            photo = self._batches.in_turn(len(shelf), "tokenless photo", number)
            row = photo * shelf.latents.count + int(crop * shelf.latents.count)
            wordings = self._captions[self._batches.in_turn(len(self._captions), "tokenless caption", number)]
            rows.append(row)
            captions.append("" if dropped < options.caption_dropout else wordings[shelf.latents.tight[row]])
        hints = None if shelf.latents.size_hints is None else shelf.latents.size_hints[rows].to(device)
        cond = None if self._text is None else self._text.take(captions).to(device)
        return Batch(
            latents=shelf.latents.latents[rows].to(device),
            captions=tuple(captions),
            is_subject=torch.zeros(self._size, dtype=torch.bool, device=device),
            cond=cond if cond is None or hints is None else replace(cond, size_hints=hints),
            size_hints=hints,
        )


def add_tokenless(
    base: Any, batches: Batches, captions: Sequence[tuple[str, str]], *, cache_text: bool = True
) -> Telling[Batches | TokenlessBatches]:
    """Let batches carry the subject's latents once more under captions without the token.

    Latents are those that are cached already; of the captions' text each is encoded once.

    Args:
        base: encodes the captions.
        batches: as `prepare_batches` gives them.
        captions: each for wide cuts and for close-ups; with none, or with no regularization beside the subject
            (`data.regularization_per_subject` = 0), the batches stay as they are.
        cache_text: False where the learner trains the text encoders; the rows then come without `cond`.
    """
    if not captions or not batches.options.regularization_per_subject:
        return batches
    wordings = [wording for both in captions for wording in both]
    text = (yield from encode_captions(base, wordings)) if cache_text else None
    return TokenlessBatches(batches, captions, text)
