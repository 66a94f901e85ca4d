"""Between PIL images and pixels. Sizes are (height, width); pixels are (B, 3, H, W) in [-1, 1]."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as Pillow
from PIL.Image import Image
from torch import Tensor


def to_pixels(images: Sequence[Image], size: tuple[int, int] | None = None) -> Float[Tensor, "B 3 H W"]:
    """Stack images as pixels, each scaled to cover `size` and cut in the middle; without `size` all must agree."""
    shaped = [cover(image, size) if size else image for image in images]
    arrays = np.stack([np.asarray(image.convert("RGB"), dtype=np.float32) for image in shaped])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).div(127.5).sub(1)


def to_images(pixels: Float[Tensor, "B 3 H W"]) -> list[Image]:
    """Turn pixels into images; what lies outside [-1, 1] is clipped."""
    arrays = (
        pixels.detach().float().cpu().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    )
    return [Pillow.fromarray(array) for array in arrays]


def cover(image: Image, size: tuple[int, int]) -> Image:
    """Scale an image so that it just covers (height, width), and cut the middle."""
    height, width = size
    scale = max(height / image.height, width / image.width)
    grown = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    image = image if image.size == grown else image.resize(grown, Pillow.Resampling.LANCZOS)
    left, top = (grown[0] - width) // 2, (grown[1] - height) // 2
    return image if image.size == (width, height) else image.crop((left, top, left + width, top + height))


def contact_sheet(images: Sequence[Image], columns: int, *, gap_px: int = 4) -> Image:
    """Lay images of one size on a white sheet, row by row."""
    assert images, "no image to lay out"
    width, height = images[0].size
    rows = -(-len(images) // columns)
    sheet = Pillow.new("RGB", (columns * (width + gap_px) + gap_px, rows * (height + gap_px) + gap_px), "white")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        sheet.paste(image.convert("RGB"), (gap_px + column * (width + gap_px), gap_px + row * (height + gap_px)))
    return sheet
