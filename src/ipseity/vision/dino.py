"""DINO (arXiv:2104.14294) and its successors: pictures and their patches, from any transformers checkpoint."""

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Encoder
from ipseity.vision.parts.folder import EncoderOptions
from ipseity.vision.parts.preprocess import Preprocess
from ipseity.vision.parts.published import Published

DREAMBENCH = Preprocess(256, (224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bicubic")
"""How the published scripts of DreamBench prepare pictures for DINO: 256, bicubic, the middle 224, ImageNet's colors."""


class DINOOptions(EncoderOptions):
    """Which vision transformer."""

    use: Literal["dino"] = "dino"
    """A vision transformer trained by self-distillation."""
    weights: str = "facebook/dino-vits16"
    """Folder in the transformers layout, or a Hub id ("owner/name")."""
    prepare: Literal["checkpoint", "dreambench"] = "checkpoint"
    """How pictures are prepared: as the checkpoint says, or as the published scripts of DreamBench do."""


class DINO(Published):
    """Pictures as unit vectors (the class token after the last norm), and their patches."""

    Options: ClassVar[type[AnyOptions]] = DINOOptions
    offers: ClassVar[frozenset[str]] = frozenset({"image", "patches"})
    makers: ClassVar = {
        "vit": "ViTModel",
        "dinov2": "Dinov2Model",
        "dinov2_with_registers": "Dinov2WithRegistersModel",
    }
    name = "dino"

    def __init__(self, model: Any, folder: Path, licence: str) -> None:
        self.licence = licence
        self.width: int = model.config.hidden_size
        self._model = model
        self._extra_tokens = 1 + getattr(model.config, "num_register_tokens", 0)
        self._prepare = Preprocess.read(folder)

    @classmethod
    def load(cls, options: Any, device: torch.device | str = "cpu") -> Self:
        """Read the encoder.

        Args:
            options: where it is, and how pictures are prepared.
            device: where it shall live.

        Raises:
            WeightsError: it is not here, cannot be trusted, or is of another kind.
        """
        loaded = super().load(options, device)
        if getattr(options, "prepare", "checkpoint") == "dreambench":
            loaded._prepare = DREAMBENCH
        return loaded

    def embed(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Give one unit vector a picture: the class token."""
        return normalize(self._tokens(pixels)[0][:, 0], dim=-1)

    def patches(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B h w D"]:
        """Give one unit vector a patch, as a grid over the prepared picture."""
        tokens, (rows, columns) = self._tokens(pixels)
        return normalize(tokens[:, self._extra_tokens :].unflatten(1, (rows, columns)), dim=-1)

    def _tokens(self, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
        prepared = self._prepare(pixels.to(self._model.device))
        patch = self._model.config.patch_size
        height, width = prepared.shape[-2:]
        stretch = (
            {"interpolate_pos_encoding": True} if self._model.config.model_type == "vit" else {}
        )  # the others always do
        return self._model(pixel_values=prepared, **stretch).last_hidden_state, (height // patch, width // patch)


PLUGIN: type[Encoder] = DINO
