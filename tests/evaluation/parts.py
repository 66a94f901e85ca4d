"""A deterministic encoder without weights, and small pictures, for the tests of evaluation."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize, one_hot

from ipseity.core.options import Options

COLORS = {
    "red": (0.7, -0.8, -0.8),
    "green": (-0.8, 0.7, -0.8),
    "blue": (-0.8, -0.8, 0.7),
    "yellow": (0.8, 0.7, -0.8),
    "gray": (0.0, 0.0, 0.0),
}


class ColorEncoder:
    """Histograms of five colors for pictures and words (roots, so that small things count), mean colors for patches."""

    Options = Options
    offers = frozenset({"image", "text", "patches"})
    name = "colors"
    licence = "Apache-2.0"
    width = len(COLORS)

    def __init__(self) -> None:
        self.seen = 0

    @classmethod
    def missing(cls) -> str | None:
        return None

    @classmethod
    def load(cls, options: Any = None, device: torch.device | str = "cpu") -> Self:
        return cls()

    def embed(self, pixels: Tensor) -> Tensor:
        self.seen += len(pixels)
        small = adaptive_avg_pool2d(pixels, 16).flatten(2).transpose(1, 2)
        nearest = torch.cdist(small, torch.tensor(list(COLORS.values()))).argmin(2)
        return normalize(one_hot(nearest, len(COLORS)).float().mean(1).sqrt() + 1e-6, dim=-1)

    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        rows = [[float(color in prompt.split()) for color in COLORS] for prompt in prompts]
        return normalize(torch.tensor(rows) + 1e-6, dim=-1)

    def patches(self, pixels: Tensor) -> Tensor:
        means = adaptive_avg_pool2d(pixels, 8)
        return normalize(torch.cat([means, torch.full_like(means[:, :1], 0.2)], 1).permute(0, 2, 3, 1), dim=-1)


class LayoutEncoder(ColorEncoder):
    """Pictures as 8 x 8 colored tiles: sees what lies where, so that copies stand out; reads no text."""

    offers = frozenset({"image"})
    name = "layout"
    width = 192

    def embed(self, pixels: Tensor) -> Tensor:
        self.seen += len(pixels)
        return normalize(adaptive_avg_pool2d(pixels, 8).flatten(1), dim=-1)


def scene(thing: str, place: str, *, at: tuple[int, int] = (24, 24), seed: int = 0, side: int = 20) -> Image.Image:
    """A square thing on a plain place, slightly noisy."""
    picture = np.empty((64, 64, 3))
    picture[:] = COLORS[place]
    left, top = at
    picture[top : top + side, left : left + side] = COLORS[thing]
    picture += np.random.default_rng(seed).normal(0, 0.05, picture.shape)
    return Image.fromarray(((picture.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8))


def mask_of(at: tuple[int, int] = (24, 24), side: int = 20) -> Image.Image:
    """Where the thing of `scene` is."""
    mask = np.zeros((64, 64), np.uint8)
    left, top = at
    mask[top : top + side, left : left + side] = 255
    return Image.fromarray(mask)
