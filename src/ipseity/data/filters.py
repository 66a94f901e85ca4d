"""What a set of drawn pictures leaves out, and why: empty frames, near-duplicates, and pictures unlike their words.

Nothing here draws, reads or writes: pictures in, reasons out. What is left out stays in the pool.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL.Image import Image, Resampling
from pydantic import Field

from ipseity.core.errors import RecipeError
from ipseity.core.image import cover, to_pixels
from ipseity.core.options import Options
from ipseity.core.registry import find
from ipseity.core.types import Request
from ipseity.data.doctor import is_flat

SIMILAR_FROM = 0.97
"""Correlation of two pictures of 32 x 32 RGB cells from which one is a near-duplicate. Of the toybox's 367,653 pairs in
858 pictures three reach it, each the same thing in the same place; at .965 a dog and a cat drawn from one seed agree."""
EMPTY_SHARE = 0.98
"""Share of a picture within `EMPTY_WITHIN` of its median color from which it is nearly empty. Of 1,045 pictures looked at
(DreamBench's photos on white, the toybox's drawings, its subjects) the emptiest reach .77."""
EMPTY_WITHIN = 4.0
"""Levels, 0-255, in every channel."""
FLAT, EMPTY, COPY, UNLIKE = "one flat color", "nearly empty", "near-duplicate", "unlike its words"
"""Kinds of reason, as they are told and counted."""
BATCH = 16
"""Pictures that an encoder sees at once."""
_SIDE, _CELLS = 32, 64
_LARGEST_SIDE_PX = 512
"""Encoders work at 64 to 384 pixels; larger pictures are shrunk to this first."""
_ROWS = 512


class FilterOptions(Options):
    """What is left out of the pictures that a regularization shows; what is one flat color or nearly so always is."""

    filter_copies: bool = True
    """Leave out pictures that nearly repeat an earlier one."""
    filter_encoder: str | None = None
    """Evaluator that holds each picture against its words (it sees text and pictures); it neither picks nor scores. Unset holds none."""
    filter_share: float = Field(0.1, ge=0, lt=1)
    """Share of the set that `filter_encoder` leaves out at most: those that fit their own words worst, and no better than the set's pictures do on average."""


PLAIN = FilterOptions.model_validate({})
"""What holds where a regularization says nothing."""


def filters_of(options: Any) -> FilterOptions:
    """Take the filters out of a regularization's options; one that knows of none has the plain ones."""
    told = {name: getattr(options, name) for name in FilterOptions.model_fields if hasattr(options, name)}
    return FilterOptions(**told)


def check_filters(options: FilterOptions, *, picks: str, scores: Sequence[str]) -> None:
    """Refuse an evaluator that cannot filter, or that has another role already.

    Args:
        options: name it, or nobody.
        picks: evaluator that picks the checkpoint.
        scores: evaluators that score the result.

    Raises:
        RecipeError: it picks or scores, does not read both pictures and texts, or is not on the shelf.
    """
    name = options.filter_encoder
    if name is None:
        return
    offers = find("encoders", name).offers
    if not {"image", "text"} <= offers:
        raise RecipeError(
            f"regularization.filter_encoder is '{name}', which offers {' and '.join(sorted(offers))}",
            "an evaluator that reads both pictures and texts",
            "name another (`ipseity list encoders` says what each offers), or leave it unset",
        )
    if name == picks or name in scores:
        role = "evaluate.pick" if name == picks else "evaluate.score"
        raise RecipeError(
            f"regularization.filter_encoder is '{name}', which {role} names too",
            "an evaluator of its own: whoever chose the pictures to learn from would find the result good",
            f"name another to filter, or take '{name}' out of {role}",
        )


@dataclass(frozen=True)
class Sieve:
    """Filters, and the encoder that they ask for."""

    options: FilterOptions = PLAIN
    encoder: Any = None
    """Offers `image` and `text`; None where none is asked for."""
    mark: str = ""
    """Hash of the encoder's weights."""

    def facts(self) -> dict[str, Any]:
        """Give what a set's manifest says of its filters: sets of equal facts leave out the same."""
        mark = {"filter_encoder_hash": self.mark} if self.encoder is not None else {}
        numbers = {"similar_from": SIMILAR_FROM, "empty_share": EMPTY_SHARE}
        return {**self.options.model_dump(mode="json"), **mark, **numbers}


@dataclass(frozen=True)
class LeftOut:
    """Why one picture is left out."""

    kind: str
    """`FLAT`, `EMPTY`, `COPY` or `UNLIKE`."""
    more: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.more}".strip()


@dataclass(frozen=True, eq=False)
class Looks:
    """What is kept of pictures to compare them all: about 12 kilobytes each, however large they are."""

    cells: np.ndarray
    """(N, 3072) float32: 32 x 32 RGB, without its mean, of length 1."""
    bare: tuple[str, ...]
    """`FLAT`, `EMPTY`, or nothing."""
    seen: torch.Tensor | None = None
    """(N, D), what the encoder made of them."""

    @staticmethod
    def of(images: Sequence[Image], encoder: Any = None) -> "Looks":
        """Look at some pictures of one size.

        Args:
            images: RGB; at most `BATCH` of them where an encoder looks too.
            encoder: offers `image`.
        """
        cells = np.stack([_cells(image) for image in images])
        return Looks(cells, tuple(_bareness(image) for image in images), _seen(images, encoder) if encoder else None)

    @staticmethod
    def cat(parts: Sequence["Looks"]) -> "Looks":
        """Join looks in order."""
        seen = [part.seen for part in parts if part.seen is not None]
        bare = tuple(kind for part in parts for kind in part.bare)
        return Looks(np.concatenate([part.cells for part in parts]), bare, torch.cat(seen) if seen else None)


def is_nearly_empty(image: Image) -> bool:
    """Tell whether all but a fiftieth of a picture is one color, as where a small blemish stands on a blank frame.

    A sky or a wall with any shading is not: nobody could tell it from a picture that means to show just that.
    """
    levels = np.asarray(image.convert("RGB").resize((_CELLS, _CELLS), Resampling.BOX), dtype=np.float32).reshape(-1, 3)
    away = np.abs(levels - np.median(levels, axis=0)).max(axis=1)
    return float((away <= EMPTY_WITHIN).mean()) >= EMPTY_SHARE


def sift(requests: Sequence[Request], looks: Looks, sieve: Sieve) -> tuple[LeftOut | None, ...]:
    """Decide for each picture whether it is left out, and why.

    Empty frames go first, then what nearly repeats an earlier picture that stays (so that the first of a kind is kept),
    then what is unlike its words among what is left.

    Args:
        requests: what the pictures were asked to show, in the set's order.
        looks: of the pictures, in the same order.
        sieve: filters; `looks` must hold what its encoder saw.
    """
    found: list[LeftOut | None] = [LeftOut(kind) if kind else None for kind in looks.bare]
    if sieve.options.filter_copies:
        stays = np.array([reason is None for reason in found])
        for index, first in _repeats(looks.cells, stays):
            found[index] = LeftOut(COPY, f"of '{requests[first].prompt}' at seed {requests[first].seed}")
    if sieve.encoder is not None:
        left = [index for index, reason in enumerate(found) if reason is None]
        most = int(sieve.options.filter_share * len(requests))
        for index, fit in _worst(requests, looks, left, sieve)[:most]:
            found[index] = LeftOut(UNLIKE, f"({fit:+.3f} beside the set's mean, by {sieve.encoder.name})")
    return tuple(found)


def tell(counts: Mapping[str, int], total: int) -> str:
    """Say in a sentence what a set leaves out; nothing where it is whole.

    Args:
        counts: pictures left out, by kind.
        total: pictures asked for.
    """
    out = sum(counts.values())
    if not out:
        return ""
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return (
        f"{out} of {total} regularization pictures are left out of the set ({kinds}). They stay in the pool; a larger "
        "regularization.images draws new ones only."
    )


def _cells(image: Image) -> np.ndarray:
    small = np.asarray(image.convert("RGB").resize((_SIDE, _SIDE), Resampling.BOX), dtype=np.float32).ravel()
    away = small - small.mean()
    return away / max(float(np.linalg.norm(away)), 1e-3)


def _bareness(image: Image) -> str:
    return FLAT if is_flat(image) else EMPTY if is_nearly_empty(image) else ""


@torch.no_grad()
def _seen(images: Sequence[Image], encoder: Any) -> torch.Tensor:
    scale = min(1.0, _LARGEST_SIDE_PX / max(images[0].size))
    size = (round(images[0].height * scale), round(images[0].width * scale))
    return encoder.embed(to_pixels([cover(image, size) for image in images])).float().cpu()


def _repeats(cells: np.ndarray, stays: np.ndarray) -> list[tuple[int, int]]:
    """Find pictures that repeat an earlier one that stays: one matrix product, no pair is compared by itself.

    Mirrored and shifted copies are not looked for: those are what a photo album has and chance does not draw, and a
    search over shifts (`likeness.copies`) takes more than an hour for two million pairs.
    """
    kept, found = stays.copy(), []
    for start in range(0, len(cells), _ROWS):
        alike = cells[start : start + _ROWS] @ cells.T >= SIMILAR_FROM
        for index, row in enumerate(alike, start):
            earlier = np.flatnonzero(row[:index] & kept[:index])
            if kept[index] and len(earlier):
                kept[index] = False
                found.append((index, int(earlier[0])))
    return found


@torch.no_grad()
def _worst(requests: Sequence[Request], looks: Looks, left: Sequence[int], sieve: Sieve) -> list[tuple[int, float]]:
    """Rank the pictures that fit their own words no better than the set's pictures do on average, the worst first.

    The mean over the set is taken off each prompt's similarities, since some sentences are near to every picture and
    others to none. So the bound needs no encoder's own scale; for a set of one sentence it lies in the middle.
    """
    if not left:
        return []
    assert looks.seen is not None, "the pictures were not shown to the encoder"
    places = {prompt: place for place, prompt in enumerate(dict.fromkeys(requests[index].prompt for index in left))}
    prompts = list(places)
    parts = [prompts[start : start + BATCH] for start in range(0, len(prompts), BATCH)]
    heard = torch.cat([sieve.encoder.embed_text(part).float().cpu() for part in parts])
    alike = heard @ looks.seen[list(left)].T
    own = torch.tensor([places[requests[index].prompt] for index in left])
    fits = alike[own, torch.arange(len(left))] - alike.mean(1)[own]
    order = torch.argsort(fits, stable=True).tolist()
    return [(left[place], float(fits[place])) for place in order if fits[place] <= 0]
