"""Bringing pixels into the form that a published encoder was trained on, in torch and without its image processor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from ipseity.core.errors import WeightsError
from ipseity.core.files import read_json

_FILTERS: dict[int, Literal["bilinear", "bicubic"]] = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, as preprocessor_config.json uses them."""


@dataclass(frozen=True)
class Preprocess:
    """Resize, cut the middle, normalize: what a transformers image processor does to 8-bit pictures, on pixels."""

    resize: int | tuple[int, int]
    """Length of the shorter side, or (height, width) whatever the picture's shape."""
    crop: tuple[int, int] | None
    """(height, width) cut from the middle."""
    mean: tuple[float, ...]
    """Of each channel, for values in [0, 1]."""
    std: tuple[float, ...]
    filter: Literal["bilinear", "bicubic"] = "bicubic"

    @classmethod
    def read(cls, folder: Path) -> "Preprocess":
        """Read it from a folder's `preprocessor_config.json`.

        Raises:
            WeightsError: the file is not there, or asks for something that this code does not do.
        """
        path = folder / "preprocessor_config.json"
        if not path.is_file():
            raise WeightsError(
                f"{folder} has no preprocessor_config.json", "how its pictures are prepared", "fetch the encoder again"
            )
        config: dict[str, Any] = read_json(path)
        square = "ViT" in str(config.get("image_processor_type", config.get("feature_extractor_type", "")))
        resample = int(config.get("resample", 3))
        asked = config.get("do_resize", True) and config.get("do_normalize", True) and resample in _FILTERS
        if not asked or abs(config.get("rescale_factor", 1 / 255) - 1 / 255) > 1e-9:
            raise WeightsError(
                f"{path} asks for another preparation",
                "a bilinear or bicubic resize, and values of [0, 1] normalized",
                "choose another encoder",
            )
        crop = _size(config.get("crop_size", 224), square=True) if config.get("do_center_crop", False) else None
        return cls(
            resize=_size(config.get("size", 224), square=square),
            crop=crop if isinstance(crop, tuple) else None,
            mean=tuple(config["image_mean"]),
            std=tuple(config["image_std"]),
            filter=_FILTERS[resample],
        )

    def __call__(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 h w"]:
        """Prepare pixels of any size."""
        size = self.resize if isinstance(self.resize, tuple) else _shorter(pixels.shape[-2:], self.resize)
        values = (pixels.float() + 1) / 2
        for step in ((values.shape[-2], size[1]), size):  # across, then down, cut off after each: as Pillow does
            if tuple(values.shape[-2:]) != step:
                values = interpolate(values, step, mode=self.filter, antialias=True).clamp(0, 1)
        if self.crop is not None:
            height, width = self.crop
            top, left = (values.shape[-2] - height) // 2, (values.shape[-1] - width) // 2
            assert top >= 0 and left >= 0, f"pictures of {size} are too small to cut {self.crop} from"
            values = values[..., top : top + height, left : left + width]
        return (values - _channels(self.mean, values)) / _channels(self.std, values)


def _shorter(size: Sequence[int], side: int) -> tuple[int, int]:
    """Scale (height, width) until the shorter side has a length, rounding the longer one down as transformers does."""
    height, width = size
    return (side, int(side * width / height)) if height <= width else (int(side * height / width), side)


def _size(value: int | Mapping[str, int], *, square: bool) -> int | tuple[int, int]:
    if isinstance(value, int):
        return (value, value) if square else value
    return value["shortest_edge"] if "shortest_edge" in value else (value["height"], value["width"])


def _channels(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device, dtype=like.dtype).view(1, -1, 1, 1)
