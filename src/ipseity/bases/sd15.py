"""Stable Diffusion 1.x (arXiv:2112.10752) and 2.x: one text encoder and a U-Net."""

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

import torch

from ipseity.bases.parts.checkpoint import CheckpointOptions, Layout
from ipseity.bases.parts.tiny import tiny_checkpoint
from ipseity.bases.parts.unet import UNetDiffusion
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Base
from ipseity.core.types import Cond


class SD15Options(CheckpointOptions):
    """Which Stable Diffusion 1.x or 2.x checkpoint, and how it is held."""

    use: Literal["sd15"] = "sd15"
    """Stable Diffusion 1.x or 2.x."""
    weights: str = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    """Folder in the diffusers layout, one original .safetensors file, or a Hub id ("owner/name")."""


class SD15(UNetDiffusion):
    """Any checkpoint in the layout of Stable Diffusion 1.x; 2.x has the same layout with a wider text encoder."""

    Options: ClassVar[type[AnyOptions]] = SD15Options
    name = "sd15"
    native_resolution: ClassVar[int] = 512
    offers: ClassVar[frozenset[str]] = frozenset({"text", "token_table", "cross_attention"})
    slots = frozenset({"text"})
    stock: ClassVar = {
        "text": "StableDiffusionPipeline",
        "image": "StableDiffusionImg2ImgPipeline",
        "inpaint": "StableDiffusionInpaintPipeline",
    }
    layout = Layout(
        base="sd15",
        pipelines=frozenset(stock.values()),
        stock_text=stock["text"],
        modules={
            "text_encoder": "transformers.CLIPTextModel",
            "unet": "diffusers.UNet2DConditionModel",
            "vae": "diffusers.AutoencoderKL",
        },
        tokenizers=("tokenizer",),
        settings={"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
        original_key="cond_stage_model.transformer.text_model.final_layer_norm.weight",
        licences={"stable-diffusion-v1-5/stable-diffusion-v1-5": "CreativeML Open RAIL-M"},
    )

    @classmethod
    def tiny(cls, seed: int = 0, device: torch.device | str = "cpu") -> Self:
        """Make the true architecture at toy widths, with random weights, for 64 px pictures.

        Args:
            seed: decides every weight.
            device: where it shall live.
        """
        return cls(tiny_checkpoint(cls.layout, seed, {}, (48,)), device)

    def encode_text(self, prompts: Sequence[str]) -> Cond:
        """Encode prompts: the text encoder's last hidden states after its final norm.

        Args:
            prompts: one a row; the empty string is encoded like any other, as the stock pipeline does.

        Returns:
            Text alone. Gradients flow to the text encoder.
        """
        return Cond(text=self._encode(prompts)[0])

    def size_hints(self, original: Sequence[tuple[int, int]], crop: Sequence[tuple[int, int]]) -> None:
        """Give None: this family is told no sizes."""


PLUGIN: type[Base] = SD15
