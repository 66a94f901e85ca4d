"""Showing pictures of any size to an encoder, in batches, each picture once."""

import hashlib
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image as Pillow
from PIL import ImageOps
from PIL.Image import Image
from torch import Tensor
from torch.nn.functional import normalize

from ipseity.core.image import to_pixels
from ipseity.core.protocols import Encoder

LARGEST_SIDE_PX = 512
"""Photos are shrunk to this before an encoder sees them; encoders work at 64 to 384 pixels."""
BATCH = 16


def embed(images: Sequence[Image], encoder: Encoder) -> Float[Tensor, "N D"]:
    """Give one unit vector an image, in order, whatever their sizes."""
    return normalize(_in_batches(images, encoder.embed), dim=-1)


def embed_text(prompts: Sequence[str], encoder: Encoder) -> Float[Tensor, "N D"]:
    """Give one unit vector a prompt, in order."""
    return normalize(encoder.embed_text(prompts).float().cpu(), dim=-1)


def patches(images: Sequence[Image], encoder: Encoder) -> Float[Tensor, "N h w D"]:
    """Give one unit vector a patch of each image; images are made square first, so that no patch falls off."""
    return normalize(_in_batches([square(image) for image in images], encoder.patches), dim=-1)


def square(image: Image) -> Image:
    """Pad an image to a square: gray beside a picture, nothing (0) beside a mask."""
    side = max(image.size)
    fill = 0 if image.mode == "L" else (127, 127, 127)
    return image if image.width == image.height else ImageOps.pad(image, (side, side), color=fill)


def same_picture(image: Image) -> Hashable:
    """Give a value that two images share when they show the same pixels."""
    return image.size, hashlib.blake2b(image.convert("RGB").tobytes()).digest()


class Remembering:
    """An encoder that looks at each picture and reads each prompt once, however many metrics ask."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[Hashable, Tensor] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def embed(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Give one unit vector a picture."""
        return self._recall("embed", pixels, self._encoder.embed)

    def patches(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B h w D"]:
        """Give one unit vector a patch."""
        return self._recall("patches", pixels, self._encoder.patches)

    def embed_text(self, prompts: Sequence[str]) -> Float[Tensor, "B D"]:
        """Give one unit vector a prompt."""
        new = [prompt for prompt in dict.fromkeys(prompts) if ("text", prompt) not in self._known]
        if new:
            self._known.update(zip((("text", prompt) for prompt in new), self._encoder.embed_text(new), strict=True))
        return torch.stack([self._known["text", prompt] for prompt in prompts])

    def _recall(self, verb: str, pixels: Tensor, look: Callable[[Tensor], Tensor]) -> Tensor:
        keys = [(verb, row.shape, hashlib.blake2b(row.numpy().tobytes()).digest()) for row in pixels.cpu().contiguous()]
        new = {key: row for row, key in enumerate(keys) if key not in self._known}
        if new:
            self._known.update(zip(new, look(pixels[list(new.values())]), strict=True))
        return torch.stack([self._known[key] for key in keys])


@torch.no_grad()
def _in_batches(images: Sequence[Image], look: Callable[[Tensor], Tensor]) -> Tensor:
    small = [_shrink(image) for image in images]
    seen: dict[int, Tensor] = {}
    for size in dict.fromkeys(image.size for image in small):
        rows = [row for row, image in enumerate(small) if image.size == size]
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            seen.update(zip(part, look(to_pixels([small[row] for row in part])).float().cpu(), strict=True))
    return torch.stack([seen[row] for row in range(len(small))])


def _shrink(image: Image) -> Image:
    if max(image.size) <= LARGEST_SIDE_PX:
        return image
    return ImageOps.contain(image, (LARGEST_SIDE_PX, LARGEST_SIDE_PX), Pillow.Resampling.LANCZOS)
