"""The CLIP that an image adapter was trained with: found by its widths, run once, and told apart by its weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from ipseity.core.errors import WeightsError
from ipseity.core.files import read_json, sha256_of_file
from ipseity.core.weights import check_loaded, quiet, unreadable, weight_files

CLIP_KINDS = ("clip_vision_model", "clip")
"""`model_type` of a config.json: the half that looks at pictures, alone or in its whole."""


@dataclass(frozen=True)
class PictureEncoder:
    """A frozen CLIP."""

    model: Any
    prepare: Any
    space: str
    """Names the space that its embeddings lie in, by its weights: "clip:0f1e2d3c4b5a"."""

    @torch.no_grad()
    def pooled(self, pictures: Sequence[Image]) -> Float[Tensor, "B D"]:
        """Give one projected embedding a picture, as the model does: not normalized."""
        return self.model(self._pixels(pictures)).image_embeds.float().cpu()

    @torch.no_grad()
    def states(self, pictures: Sequence[Image]) -> Float[Tensor, "B T D"]:
        """Give the hidden states of the last layer but one: the class token and all patches."""
        return self.model(self._pixels(pictures), output_hidden_states=True).hidden_states[-2].float().cpu()

    @torch.no_grad()
    def nobody(self) -> Float[Tensor, "1 T D"]:
        """Give the hidden states of a picture that is zero once it is prepared: what adapters hear without guidance."""
        side = self.model.config.image_size
        blank = torch.zeros(1, 3, side, side, device=self.model.device, dtype=self.model.dtype)
        return self.model(blank, output_hidden_states=True).hidden_states[-2].float().cpu()

    def _pixels(self, pictures: Sequence[Image]) -> Float[Tensor, "B 3 H W"]:
        shown = self.prepare(images=[picture.convert("RGB") for picture in pictures], return_tensors="pt").pixel_values
        return shown.to(self.model.device, self.model.dtype)


def find_picture_encoder(root: Path, *, width: int, pooled: bool) -> Path:
    """Find the one CLIP below a folder whose embeddings have a width.

    Args:
        root: is looked through with all folders below.
        width: of the embeddings that are needed.
        pooled: whether those are the projected ones, and not hidden states.

    Raises:
        WeightsError: none fits, or several do.
    """
    configs = {
        *root.rglob("config.json"),
        *root.glob("*/config.json"),
        *root.glob("*/*/config.json"),
    }  # behind links too
    found = {path.parent: widths for path in sorted(configs) if (widths := _widths(path)) is not None}
    fitting = [place for place, widths in found.items() if widths[pooled] == width]
    if len(fitting) == 1:
        return fitting[0]
    seen = "; ".join(f"{place} gives {states} (projected: {projected})" for place, (states, projected) in found.items())
    what = "projected embeddings" if pooled else "hidden states"
    raise WeightsError(
        f"{root} holds {len(fitting)} picture encoders with {what} of width {width}{f' ({seen})' if seen else ''}",
        "the CLIP that the adapter was trained with, in the transformers layout",
        "put its folder (published as image_encoder) beside the adapter, or name it as method.image_encoder",
    )


def check_width(folder: Path, *, width: int, pooled: bool) -> None:
    """Refuse a CLIP whose embeddings have another width.

    Raises:
        WeightsError: they have, or the folder holds no CLIP.
    """
    config = folder / "config.json"
    widths = _widths(config) if config.is_file() else None
    if widths is None:
        raise WeightsError(
            f"{folder} holds no CLIP in the transformers layout", "its config.json and weights", "check the path"
        )
    if widths[pooled] != width:
        raise WeightsError(
            f"{folder} gives embeddings of width {widths[pooled]}, and the adapter takes {width}",
            "the picture encoder that the adapter was trained with",
            "choose the one that its card names",
        )


def load_picture_encoder(folder: Path, device: torch.device | str) -> PictureEncoder:
    """Read a CLIP's picture half, in fp32.

    Raises:
        WeightsError: its files are not whole, cannot be trusted, or do not belong together.
    """
    files = weight_files(folder)
    import transformers

    maker: Any = transformers.CLIPVisionModelWithProjection
    try:
        with quiet():
            model, told = maker.from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
            prepare = preparation(model.config.image_size, folder)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise unreadable(folder, error) from error
    check_loaded(str(folder), model, told)
    return PictureEncoder(model.to(device).eval().requires_grad_(False), prepare, space_of(files))


def preparation(side: int, folder: Path | None = None) -> Any:
    """Give CLIP's image processor: the folder's own, or the usual one for pictures of `side` pixels."""
    from transformers import CLIPImageProcessor

    maker: Any = CLIPImageProcessor
    with quiet():  # it says on each start that torchvision is not installed
        if folder is not None and (folder / "preprocessor_config.json").is_file():
            return maker.from_pretrained(folder, local_files_only=True)
        return maker(size=side, crop_size=side)


def space_of(files: Sequence[Path]) -> str:
    """Name the space of a CLIP by the hash of its weights."""
    marks = "".join(sha256_of_file(path)[:12] for path in files)
    return f"clip:{marks}"


def _widths(config: Path) -> tuple[int, int] | None:
    """Give the widths of hidden states and of projected embeddings, or None where it is no CLIP."""
    told = read_json(config)
    if not isinstance(told, dict) or told.get("model_type") not in CLIP_KINDS:
        return None
    vision = told.get("vision_config", told)
    return int(vision.get("hidden_size", 768)), int(told.get("projection_dim", vision.get("projection_dim", 512)))
