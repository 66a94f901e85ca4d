"""Tells which photos show the same picture: copies, near copies and mirrored copies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import ImageOps
from PIL.Image import Image, Resampling

MAX_BITS = 10
"""Of the 64 bits of a perceptual hash, how many may differ between copies."""
MIN_CORRELATION = 0.95
"""How well two small gray pictures must agree besides, so that hashes that agree by chance do not count."""
_SIDE = 32
_GRAY_SIDE = 256


@dataclass(frozen=True)
class Copy:
    """Two photos that show the same picture."""

    first: int
    second: int
    mirrored: bool


def copies(images: Sequence[Image]) -> list[Copy]:
    """Find the pairs of images that show the same picture, as it is or mirrored.

    Args:
        images: any sizes.

    Returns:
        Pairs by their places in `images`, the smaller place first.

    Source:
        Perceptual hash (imagehash.phash, 64 bits), confirmed by the correlation of 32 x 32 gray pictures.
    """
    from imagehash import phash

    plain = [_gray(image) for image in images]
    mirrors = [ImageOps.mirror(image) for image in plain]
    codes = [[phash(image).hash.flatten() for image in row] for row in (plain, mirrors)]
    small = [[_small(image) for image in row] for row in (plain, mirrors)]
    found = []
    for second in range(len(images)):
        for first in range(second):
            for side, mirrored in ((0, False), (1, True)):
                bits = int(np.count_nonzero(codes[0][first] != codes[side][second]))
                agree = float((small[0][first] * small[side][second]).mean())
                if bits <= MAX_BITS and agree >= MIN_CORRELATION:
                    found.append(Copy(first, second, mirrored))
                    break
    return found


def groups(count: int, pairs: Sequence[Copy]) -> list[list[int]]:
    """Gather what belongs together: each photo is in one group, alone if it has no copy."""
    leader = list(range(count))
    for pair in pairs:
        old, new = leader[pair.second], leader[pair.first]
        leader = [new if place == old else place for place in leader]
    return [[index for index in range(count) if leader[index] == head] for head in dict.fromkeys(leader)]


def _gray(image: Image) -> Image:
    return image.convert("L").resize((_GRAY_SIDE, _GRAY_SIDE), Resampling.BOX)


def _small(image: Image) -> np.ndarray:
    gray = np.asarray(image.resize((_SIDE, _SIDE), Resampling.BOX), dtype=np.float32)
    return (gray - gray.mean()) / max(float(gray.std()), 1e-3)
