"""What Stable Diffusion 1.x and SDXL share: a U-Net over VAE latents, told by CLIP text, drawn by stock pipelines."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ipseity.bases.parts.checkpoint import Checkpoint, Layout
from ipseity.bases.parts.weights import read_checkpoint
from ipseity.core.errors import CapabilityError
from ipseity.core.noise import NoisePath
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import PipelineKind
from ipseity.core.types import Cond


class UNetDiffusion:
    """A U-Net over VAE latents. A base names its layout and its stock pipelines, and adds what it is told beside text.

    The modules are frozen and in evaluation mode; whoever wants to train them says so and puts them back.
    """

    Options: ClassVar[type[AnyOptions]]
    layout: ClassVar[Layout]
    offers: ClassVar[frozenset[str]]
    slots: ClassVar[frozenset[str]]
    """Fields of `Cond` that `predict` understands."""
    stock: ClassVar[Mapping[str, str]]
    """Pipeline kind -> diffusers class."""
    targets: ClassVar[tuple[str, ...]] = ("to_q", "to_k", "to_v", "to_out.0")
    name: str

    def __init__(self, checkpoint: Checkpoint, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.licence = checkpoint.licence
        self._checkpoint = checkpoint
        self._modules = {
            name: module.to(self.device).eval().requires_grad_(False) for name, module in checkpoint.modules.items()
        }
        self._pipelines: dict[str, Any] = {}
        unet, vae = self._modules["unet"], self._modules["vae"]
        self.dtype: torch.dtype = unet.dtype
        self.latent_stride: int = 2 ** (len(vae.config.block_out_channels) - 1)
        self.latent_channels: int = vae.config.latent_channels
        self.resolution: int = unet.config.sample_size * self.latent_stride
        self.path = NoisePath.from_config(checkpoint.scheduler.config)

    @classmethod
    def load(cls, options: Any, device: torch.device | str = "cpu") -> Self:
        """Read a checkpoint and put it on a device.

        Args:
            options: which weights, and in which number format.
            device: where the modules shall live.

        Raises:
            WeightsError: the weights are not here, cannot be trusted, or belong to another base.
        """
        return cls(read_checkpoint(cls.layout, options, torch.device(device)), device)

    def parts(self) -> Mapping[str, nn.Module]:
        """Give the modules by diffusers' names."""
        return dict(self._modules)

    def tokenizers(self) -> Mapping[str, Any]:
        """Give the tokenizer of each text encoder, under the text encoder's name."""
        return {name.replace("tokenizer", "text_encoder"): one for name, one in self._checkpoint.tokenizers.items()}

    def fingerprint(self) -> str:
        """Hash the weights as loaded."""
        return self._checkpoint.fingerprint

    def pipeline(self, kind: PipelineKind = "text") -> Any:
        """Give the stock diffusers pipeline of a kind over the very same modules, built once and kept.

        Raises:
            CapabilityError: there is no such pipeline for this base.
        """
        if kind not in self.stock:
            needed = "a ControlNet" if kind == "control" else f"one of: {', '.join(self.stock)}"
            raise CapabilityError(
                f"base '{self.name}' has no '{kind}' pipeline", needed, f"use one of: {', '.join(self.stock)}"
            )
        if kind not in self._pipelines:
            import diffusers

            scheduler = self._checkpoint.scheduler
            self._pipelines[kind] = getattr(diffusers, self.stock[kind])(
                **self._modules,
                **self._checkpoint.tokenizers,
                **self._checkpoint.settings,
                scheduler=type(scheduler).from_config(
                    scheduler.config
                ),  # it counts steps, so each pipeline has its own
            )
        return self._pipelines[kind]

    def encode_image(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Encode pixels as latents of unit variance: the middle of the VAE's distribution, so the same each time."""
        with self._steady_vae() as vae:
            latents = vae.encode(pixels.to(self.device, vae.dtype)).latent_dist.mode()
        mean, std = self._latent_moments
        return ((latents.float() - mean) * vae.config.scaling_factor / std).to(self.dtype)

    def decode(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Decode latents to pixels; they may reach a little beyond [-1, 1]."""
        mean, std = self._latent_moments
        with self._steady_vae() as vae:
            scaled = latents.to(self.device).float() * std / vae.config.scaling_factor + mean
            return vae.decode(scaled.to(vae.dtype), return_dict=False)[0].to(self.dtype)

    def predict(self, latents: Float[Tensor, "B C h w"], t: Float[Tensor, "B"], cond: Cond) -> Float[Tensor, "B C h w"]:
        """Give the network's own prediction for noisy latents.

        Args:
            latents: noisy, on the path of `self.path`.
            t: noise level in [0, 1], one for each sample; 0 asks for the checkpoint's lowest level.
            cond: one row a sample.

        Returns:
            What `path.prediction_type` says, in the dtype of `latents`.

        Raises:
            CapabilityError: a slot is filled that this base does not offer.
        """
        self._check(cond)
        told = self._told(cond.to(self.device, self.dtype))
        steps = self.path.timesteps(t.to(self.device))
        return self._modules["unet"](latents.to(self.device, self.dtype), steps, **told, return_dict=False)[0].to(
            latents.dtype
        )

    def _told(self, cond: Cond) -> dict[str, Any]:
        """Give the U-Net's arguments for a condition."""
        return {"encoder_hidden_states": cond.text}

    def _encode(self, prompts: Sequence[str]) -> tuple[Tensor, ...]:
        """Let the stock pipeline encode prompts, so that training and drawing cannot hear different words."""
        pipeline = self.pipeline("text")
        return tuple(
            pipeline.encode_prompt(
                list(prompts), device=self.device, num_images_per_prompt=1, do_classifier_free_guidance=False
            )
        )

    def _check(self, cond: Cond) -> None:
        filled = {slot.name for slot in fields(Cond) if getattr(cond, slot.name) is not None}
        if extra := sorted(filled - self.slots):
            raise CapabilityError(
                f"the condition fills {', '.join(extra)}",
                f"only what base '{self.name}' offers: {', '.join(sorted(self.slots))}",
                "choose another base or method (`ipseity list bases` and `ipseity list methods` say what fits)",
            )

    @cached_property
    def _latent_moments(self) -> tuple[Tensor | float, Tensor | float]:
        config = self._modules["vae"].config
        mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
        if mean is None or std is None:
            return 0.0, 1.0
        return torch.tensor(mean, device=self.device).view(1, -1, 1, 1), torch.tensor(std, device=self.device).view(
            1, -1, 1, 1
        )

    @contextmanager
    def _steady_vae(self) -> Iterator[Any]:
        """Lend the VAE, in fp32 where it overflows in fp16; going there and back is exact."""
        vae: Any = self._modules["vae"]
        upcast = vae.dtype == torch.float16 and vae.config.force_upcast
        try:
            yield vae.float() if upcast else vae
        finally:
            if upcast:
                vae.half()
