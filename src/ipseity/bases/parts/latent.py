"""What all bases here share: a denoiser over VAE latents, told by text, drawn by stock pipelines over the very same modules."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import cached_property
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ipseity.bases.parts.checkpoint import Checkpoint, Layout
from ipseity.bases.parts.few_step import FewStep, Quick, few_step_hash, in_few_steps, read_few_step
from ipseity.core.errors import CapabilityError
from ipseity.core.noise import NoisePath
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import PipelineKind
from ipseity.core.types import Cond


class LatentDiffusion:
    """A denoiser over VAE latents. A base names its layout, its stock pipelines and its denoiser, and says what that is told.

    The modules are frozen and in evaluation mode; whoever wants to train them says so and puts them back.
    """

    Options: ClassVar[type[AnyOptions]]
    layout: ClassVar[Layout]
    offers: ClassVar[frozenset[str]]
    slots: ClassVar[frozenset[str]]
    """Fields of `Cond` that `predict` understands."""
    stock: ClassVar[Mapping[str, str]]
    """Pipeline kind -> diffusers class."""
    denoiser: ClassVar[str]
    """The part that denoises."""
    name: str

    def __init__(self, checkpoint: Checkpoint, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.licence = checkpoint.licence
        self._checkpoint = checkpoint
        self._modules = {
            name: module.to(self.device).eval().requires_grad_(False) for name, module in checkpoint.modules.items()
        }
        self._pipelines: dict[str, Any] = {}
        denoising, vae = self._modules[self.denoiser], self._modules["vae"]
        self.dtype: torch.dtype = denoising.dtype
        self.latent_stride: int = 2 ** (len(vae.config.block_out_channels) - 1)
        self.latent_channels: int = vae.config.latent_channels
        self.resolution: int = denoising.config.sample_size * self.latent_stride
        self.path = self._path_of(checkpoint.scheduler.config)

    def _path_of(self, config: Mapping[str, Any]) -> NoisePath:
        """Read the path to noise from the scheduler's configuration."""
        return NoisePath.from_config(config)

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

    @property
    def few_step(self) -> str | None:
        """Hash of the few-step LoRA that the checkpoint ships, or None where it ships none."""
        return self._few_step_hash

    @cached_property
    def _few_step_hash(self) -> str | None:
        folder = self._checkpoint.few_step
        return None if folder is None else few_step_hash(folder)

    def quick(self, kind: PipelineKind = "text") -> Any:
        """Give a pipeline of a kind that draws in a few steps without guidance, by the LoRA that the checkpoint ships.

        The LoRA is in the modules for the length of a call, beside whatever else is attached; `few_step` must not be None.

        Raises:
            CapabilityError: there is no such pipeline for this base.
            WeightsError: the LoRA does not fit the base, or cannot be trusted.
        """
        few = self._few_step_lora
        return Quick(self.pipeline(kind), lambda: in_few_steps(self._modules, tuple(self._pipelines.values()), few))

    @cached_property
    def _few_step_lora(self) -> FewStep:
        folder = self._checkpoint.few_step
        assert folder is not None, "ask pipeline_for, which refuses in words"
        return read_few_step(self._modules, self.pipeline("text"), folder)

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
