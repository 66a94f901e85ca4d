"""Cutting faces out of photos, as the encoders of adapters were shown them."""

import numpy as np
from jaxtyping import Float
from PIL.Image import Image, Resampling, Transform
from torch import Tensor

ALIGNED = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Where recognizers of the ArcFace family want eyes, nose and corners of the mouth, in pixels of a picture of 112."""
AROUND = 0.5
"""Share of a face's longer side that is left around it on each side: hair and chin belong to a likeness."""


def aligned(image: Image, points: Float[Tensor, "5 2"], side: int = 224) -> Image:
    """Turn, scale and move a face until its points lie where recognizers want them.

    Args:
        image: the photo.
        points: of the face, in the photo's pixels: eyes, nose, corners of the mouth.
        side: of the square that is cut, in pixels; beyond the photo it is black.

    Source:
        The similarity of least squares; IP-Adapter's FaceID-Plus shows its CLIP faces of 224 pixels cut so.
    """
    target = np.asarray(ALIGNED, dtype=np.float64) * side / 112
    rows, wanted = [], []
    for (x, y), (u, v) in zip(target, points.double().tolist(), strict=True):  # from the square back into the photo
        rows += [(x, -y, 1.0, 0.0), (y, x, 0.0, 1.0)]
        wanted += [u, v]
    a, b, across, down = np.linalg.lstsq(np.asarray(rows), np.asarray(wanted), rcond=None)[0].tolist()
    half = 0.5 * (a - b - 1), 0.5 * (a + b - 1)  # Pillow counts from corners of pixels, points from their middles
    back = (a, -b, across - half[0], b, a, down - half[1])
    return image.convert("RGB").transform((side, side), Transform.AFFINE, back, Resampling.BILINEAR)


def framed(image: Image, box: tuple[float, float, float, float]) -> Image:
    """Cut the square around a face, with some of what surrounds it; it ends where the photo ends.

    Args:
        image: the photo.
        box: left, top, right and bottom of the face, in pixels.
    """
    left, top, right, bottom = box
    side = max(right - left, bottom - top) * (1 + 2 * AROUND)
    side = min(side, image.width, image.height)
    x = min(max((left + right - side) / 2, 0), image.width - side)
    y = min(max((top + bottom - side) / 2, 0), image.height - side)
    return image.convert("RGB").crop((round(x), round(y), round(x + side), round(y + side)))
