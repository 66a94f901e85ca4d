"""Sliding many small templates over small square maps at once, by products of their spectra."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as Pillow
from PIL.Image import Image
from torch import Tensor
from torch.nn.functional import pad

from ipseity.evaluation.metrics.parts.looking import square

NOWHERE = float("-inf")
_TO_CONES = ((0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566), (0.0883024619, 0.2817188376, 0.6299787005))  # fmt: skip
_TO_LAB = ((0.2104542553, 0.7936177850, -0.0040720468), (1.9779984951, -2.4285922050, 0.4505937099), (0.0259040371, 0.7827717662, -0.8086757660))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Templates:
    """Small pictures, ready to slide over square maps of one side."""

    spectra: Float[Tensor, "N C s f"]
    """Complex conjugates."""
    sizes: tuple[tuple[int, int], ...]
    """Rows and columns of each."""
    side: int

    @classmethod
    def of(cls, pictures: Sequence[Float[Tensor, "C h w"]], side: int) -> "Templates":
        """Prepare templates; each must fit into the side."""
        assert pictures, "no template to slide"
        sizes = tuple((one.shape[1], one.shape[2]) for one in pictures)
        laid = torch.stack([pad(one, (0, side - one.shape[2], 0, side - one.shape[1])) for one in pictures])
        return cls(torch.fft.rfft2(laid).conj(), sizes, side)

    def slide(self, maps: Float[Tensor, "C s s"]) -> Float[Tensor, "N C s s"]:
        """Sum the products of templates and maps, each channel by itself, at each place of a template's upper left corner.

        Args:
            maps: of the same side; one channel of either meets all of the other.

        Returns:
            The sums; places where a template hangs over the edge hold whatever wraps around, see `within`.
        """
        return torch.fft.irfft2(self.spectra * torch.fft.rfft2(maps), s=(self.side, self.side))

    def within(self, responses: Float[Tensor, "N s s"]) -> Float[Tensor, "N s s"]:
        """Put minus infinity where a template hangs over the edge."""
        places = torch.arange(self.side)
        rows, columns = (torch.tensor([self.side - size[axis] for size in self.sizes])[:, None] for axis in (0, 1))
        fits = (places <= rows)[:, :, None] & (places <= columns)[:, None, :]
        return responses.masked_fill(~fits, NOWHERE)

    def boxes(self, maps: Float[Tensor, "C s s"]) -> Float[Tensor, "N C s s"]:
        """Sum the maps under each template's rectangle, at the places of `slide`."""
        table = pad(maps.double().cumsum(1).cumsum(2), (1, 0, 1, 0))
        table = pad(table[None], (0, self.side, 0, self.side), mode="replicate")[0]

        def under(rows: int, columns: int) -> Tensor:
            end = self.side
            top, left = slice(0, end), slice(0, end)
            bottom, right = slice(rows, end + rows), slice(columns, end + columns)
            return table[:, bottom, right] - table[:, top, right] - table[:, bottom, left] + table[:, top, left]

        return torch.stack([under(*size) for size in self.sizes])


def oklab(image: Image) -> Float[Tensor, "3 H W"]:
    """Turn a picture's colors into OKLab: lightness in [0, 1] and two axes of color in about [-0.4, 0.4].

    Source:
        Ottosson, A perceptual color space for image processing, 2020, with its published matrices.
    """
    values = torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32)) / 255
    linear = torch.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    cones = (linear @ torch.tensor(_TO_CONES).T).clamp_min(0) ** (1 / 3)
    return (cones @ torch.tensor(_TO_LAB).T).permute(2, 0, 1).contiguous()


def shrink(image: Image, side: int) -> Image:
    """Make a picture square (gray beside it, 0 beside a mask) and bring it to a side in pixels."""
    squared = square(image)
    return squared if squared.width == side else squared.resize((side, side), Pillow.Resampling.BOX)
