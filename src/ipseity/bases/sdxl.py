"""Stable Diffusion XL (arXiv:2307.01952): two text encoders, a U-Net, and hints of size and crop."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor

from ipseity.bases.parts.checkpoint import CheckpointOptions, Layout
from ipseity.bases.parts.tiny import tiny_checkpoint
from ipseity.bases.parts.unet import UNetDiffusion
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Base
from ipseity.core.types import Cond


class SDXLOptions(CheckpointOptions):
    """Which SDXL checkpoint, and how it is held."""

    use: Literal["sdxl"] = "sdxl"
    """Stable Diffusion XL."""
    weights: str = "stabilityai/stable-diffusion-xl-base-1.0"
    """Folder in the diffusers layout, one original .safetensors file, or a Hub id ("owner/name")."""


class SDXL(UNetDiffusion):
    """Any checkpoint in the SDXL layout, of any width. Texts are two encoders wide; pictures carry size hints."""

    Options: ClassVar[type[AnyOptions]] = SDXLOptions
    name = "sdxl"
    native_resolution: ClassVar[int] = 1024
    offers: ClassVar[frozenset[str]] = frozenset({"text", "pooled_text", "token_table", "cross_attention"})
    slots = frozenset({"text", "pooled", "size_hints"})
    stock: ClassVar = {
        "text": "StableDiffusionXLPipeline",
        "image": "StableDiffusionXLImg2ImgPipeline",
        "inpaint": "StableDiffusionXLInpaintPipeline",
    }
    layout = Layout(
        base="sdxl",
        pipelines=frozenset(stock.values()),
        stock_text=stock["text"],
        modules={
            "text_encoder": "transformers.CLIPTextModel",
            "text_encoder_2": "transformers.CLIPTextModelWithProjection",
            "unet": "diffusers.UNet2DConditionModel",
            "vae": "diffusers.AutoencoderKL",
        },
        tokenizers=("tokenizer", "tokenizer_2"),
        settings={"force_zeros_for_empty_prompt": True, "add_watermarker": False},
        read_settings=("force_zeros_for_empty_prompt",),
        original_key="conditioner.embedders.1.model.ln_final.weight",
        reads_latent_moments=True,
        licences={"stabilityai/stable-diffusion-xl-base-1.0": "CreativeML Open RAIL++-M"},
    )

    @classmethod
    def tiny(cls, seed: int = 0, device: torch.device | str = "cpu") -> Self:
        """Make the true architecture at toy widths, with random weights, for 64 px pictures.

        Args:
            seed: decides every weight.
            device: where it shall live.
        """
        widths = (32, 48)
        unet: dict[str, Any] = {
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": widths[1] + 6 * 8,
        }
        return cls(tiny_checkpoint(cls.layout, seed, unet, widths), device)

    def encode_text(self, prompts: Sequence[str]) -> Cond:
        """Encode prompts by both text encoders: their last hidden states but one, and the second one's pooled output.

        Args:
            prompts: one a row. The empty string gives what the stock pipeline uses as its unconditional side: zeros
                where the checkpoint says `force_zeros_for_empty_prompt`, else the encoded empty prompt.

        Returns:
            Text and pooled text; the caller adds size hints. Gradients flow to the text encoders.
        """
        text, _, pooled, _ = self._encode(prompts)
        if self._checkpoint.settings["force_zeros_for_empty_prompt"]:
            said = torch.tensor([bool(prompt) for prompt in prompts], device=text.device)
            text = torch.where(said[:, None, None], text, torch.zeros_like(text))
            pooled = torch.where(said[:, None], pooled, torch.zeros_like(pooled))
        return Cond(text=text, pooled=pooled)

    def size_hints(self, original: Sequence[tuple[int, int]], crop: Sequence[tuple[int, int]]) -> Float[Tensor, "B 6"]:
        """Give the hints for pictures cut from larger ones.

        Args:
            original: (height, width) of each picture before the cut, in pixels.
            crop: (top, left) of each cut.

        Returns:
            Original size, crop, and the native size as target, in the order the U-Net was trained with.
        """
        target = (self.resolution, self.resolution)
        rows = [(*size, *corner, *target) for size, corner in zip(original, crop, strict=True)]
        return torch.tensor(rows, dtype=torch.float32, device=self.device)

    def _told(self, cond: Cond) -> dict[str, Any]:
        assert cond.pooled is not None, "SDXL needs pooled text: use the whole result of encode_text"
        assert cond.size_hints is not None, (
            "SDXL needs size hints: dataclasses.replace(cond, size_hints=base.size_hints(...))"
        )
        return {**super()._told(cond), "added_cond_kwargs": {"text_embeds": cond.pooled, "time_ids": cond.size_hints}}


PLUGIN: type[Base] = SDXL
