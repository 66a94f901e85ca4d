"""Stable Diffusion 3 and 3.5 (arXiv:2403.03206): two CLIP text encoders, T5 if wanted, a joint transformer, flow matching."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import torch

from ipseity.bases.parts.checkpoint import Layout
from ipseity.bases.parts.joint import JointDiffusion
from ipseity.bases.parts.joint_tiny import tiny_joint
from ipseity.bases.parts.joint_weights import WITHOUT_T5, JointOptions
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Base
from ipseity.core.types import Cond

LICENCE = (
    "Stability AI Community License: research and non-commercial use, and commercial use by whoever earns less than "
    "1,000,000 US dollars a year; what is passed on must say 'Powered by Stability AI'"
)


class SD3Options(JointOptions):
    """Which Stable Diffusion 3 or 3.5 checkpoint, and how it is held."""

    use: Literal["sd3"] = "sd3"
    """Stable Diffusion 3 or 3.5."""
    weights: str = "stabilityai/stable-diffusion-3.5-medium"
    """Folder in the diffusers layout, one original .safetensors file with its text encoders, or a Hub id ("owner/name")."""


class SD3(JointDiffusion):
    """Any checkpoint in the layout of Stable Diffusion 3, of any width and of any number of latent channels."""

    Options: ClassVar[type[AnyOptions]] = SD3Options
    name = "sd3"
    native_resolution: ClassVar[int] = 1024
    offers: ClassVar[frozenset[str]] = frozenset({"text", "pooled_text", "token_table", "joint_attention"})
    slots = frozenset({"text", "pooled"})
    targets: ClassVar[tuple[str, ...]] = (
        "to_q",
        "to_k",
        "to_v",
        "to_out.0",
        "add_q_proj",
        "add_k_proj",
        "add_v_proj",
        "to_add_out",
    )
    stock: ClassVar = {
        "text": "StableDiffusion3Pipeline",
        "image": "StableDiffusion3Img2ImgPipeline",
        "inpaint": "StableDiffusion3InpaintPipeline",
    }
    layout = Layout(
        base="sd3",
        pipelines=frozenset(stock.values()),
        stock_text=stock["text"],
        modules={
            "text_encoder": "transformers.CLIPTextModelWithProjection",
            "text_encoder_2": "transformers.CLIPTextModelWithProjection",
            "transformer": "diffusers.SD3Transformer2DModel",
            "vae": "diffusers.AutoencoderKL",
        },
        tokenizers=("tokenizer", "tokenizer_2"),
        settings=WITHOUT_T5,
        original_key="model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight",
        licences=dict.fromkeys(
            (
                "stabilityai/stable-diffusion-3.5-medium",
                "stabilityai/stable-diffusion-3.5-large",
                "stabilityai/stable-diffusion-3-medium-diffusers",
            ),
            LICENCE,
        ),
    )

    @classmethod
    def tiny(cls, seed: int = 0, device: torch.device | str = "cpu") -> Self:
        """Make the true architecture at toy widths, with random weights and without T5, for 64 px pictures.

        Args:
            seed: decides every weight.
            device: where it shall live.
        """
        return cls(tiny_joint(cls.layout, seed, (32, 48)), device)

    def encode_text(self, prompts: Sequence[str]) -> Cond:
        """Encode prompts: the last hidden states but one of both CLIP encoders, side by side, then T5's behind them.

        CLIP's are padded with zeros to the transformer's width. Without T5 its 256 places hold zeros, as the stock
        pipeline does.

        Args:
            prompts: one a row; the empty string is encoded like any other, as the stock pipeline does.

        Returns:
            Text, and the pooled outputs of both CLIP encoders side by side. Gradients flow to the text encoders.
        """
        pipeline: Any = self.pipeline("text")
        text, _, pooled, _ = pipeline.encode_prompt(
            list(prompts), None, None, device=self.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        return Cond(text=text, pooled=pooled)

    def size_hints(self, original: Sequence[tuple[int, int]], crop: Sequence[tuple[int, int]]) -> None:
        """Give None: this family is told no sizes."""


PLUGIN: type[Base] = SD3
