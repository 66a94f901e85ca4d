"""Tells which photos show the same picture: copies, near copies, shifted and mirrored copies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import ImageOps
from PIL.Image import Image, Resampling

MAX_BITS = 10
"""Of the 64 bits of a perceptual hash, how many may differ between copies."""
MIN_CORRELATION = 0.97
"""How well gray pictures must agree where they overlap; on DreamBench copies reach 1.00 and other pairs at most 0.94."""
MIN_OVERLAP = 0.5
"""Share of the picture that a shifted copy must have in common."""
_SIDE = 64
_MIN_VARIANCE = 25.0
"""Gray levels squared; flatter overlaps agree with anything."""


@dataclass(frozen=True)
class Copy:
    """Two photos that show the same picture."""

    first: int
    second: int
    mirrored: bool
    shifted: bool = False
    """The same scene, cut elsewhere."""


@dataclass(frozen=True, eq=False)
class Look:
    """A small gray picture, prepared for comparison under every shift."""

    code: np.ndarray
    plain: np.ndarray
    spectrum: np.ndarray
    """Of the gray levels."""
    power: np.ndarray
    """Of the gray levels squared."""

    @classmethod
    def of(cls, image: Image) -> Self:
        """Prepare an image."""
        from imagehash import phash

        gray = image.convert("L").resize((4 * _SIDE, 4 * _SIDE), Resampling.BOX)
        levels = np.asarray(gray.resize((_SIDE, _SIDE), Resampling.BOX), dtype=np.float64)
        levels = levels - levels.mean()
        return cls(phash(gray).hash.flatten(), levels, _transform(levels), _transform(levels**2))


def copies(images: Sequence[Image]) -> list[Copy]:
    """Find the pairs of images that show the same picture, as it is, mirrored, or cut elsewhere.

    Args:
        images: any sizes.

    Returns:
        Pairs by their places in `images`, the smaller place first.

    Source:
        Perceptual hash (imagehash.phash, 64 bits), confirmed by correlation; shifts by masked normalized
        cross-correlation (Padfield, IEEE TIP 2012, eq. 7-11) over overlaps of at least `MIN_OVERLAP`.
    """
    looks = [Look.of(image) for image in images]
    mirrors = [Look.of(ImageOps.mirror(image)) for image in images]
    pairs = [(first, second) for second in range(len(images)) for first in range(second)]
    found = (_compared(looks[first], (looks[second], mirrors[second]), first, second) for first, second in pairs)
    return [copy for copy in found if copy is not None]


def groups(count: int, pairs: Sequence[Copy]) -> list[list[int]]:
    """Gather what belongs together: each photo is in one group, alone if it has no copy."""
    leader = list(range(count))
    for pair in pairs:
        old, new = leader[pair.second], leader[pair.first]
        leader = [new if place == old else place for place in leader]
    return [[index for index in range(count) if leader[index] == head] for head in dict.fromkeys(leader)]


def agreement(one: Look, other: Look) -> float:
    """Give the best correlation of two gray pictures where they overlap, over all shifts; 1 for shifted copies."""
    count = _COUNT
    sum_one, sum_other = _correlate(one.spectrum, _ONES), _correlate(_ONES, other.spectrum)
    shared = _correlate(one.spectrum, other.spectrum) - sum_one * sum_other / count
    spread_one = (_correlate(one.power, _ONES) - sum_one**2 / count) / count
    spread_other = (_correlate(_ONES, other.power) - sum_other**2 / count) / count
    usable = (count >= MIN_OVERLAP * _SIDE**2) & (spread_one > _MIN_VARIANCE) & (spread_other > _MIN_VARIANCE)
    if not usable.any():
        return 0.0
    return float((shared[usable] / count[usable] / np.sqrt(spread_one[usable] * spread_other[usable])).max())


def _compared(one: Look, sides: tuple[Look, Look], first: int, second: int) -> Copy | None:
    for other, mirrored in zip(sides, (False, True), strict=True):
        bits = int(np.count_nonzero(one.code != other.code))
        if bits <= MAX_BITS and _correlation(one.plain, other.plain) >= MIN_CORRELATION:
            return Copy(first, second, mirrored)
    for other, mirrored in zip(sides, (False, True), strict=True):
        if agreement(one, other) >= MIN_CORRELATION:
            return Copy(first, second, mirrored, shifted=True)
    return None


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float((one * other).mean() / max(float(one.std() * other.std()), 1e-3))


def _transform(levels: np.ndarray) -> np.ndarray:
    return np.fft.rfft2(levels, (2 * _SIDE, 2 * _SIDE))


def _correlate(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.fft.irfft2(one * other.conj(), (2 * _SIDE, 2 * _SIDE))


_ONES = _transform(np.ones((_SIDE, _SIDE)))
_COUNT = np.maximum(np.rint(_correlate(_ONES, _ONES)), 1)
"""How many places overlap under each shift."""
