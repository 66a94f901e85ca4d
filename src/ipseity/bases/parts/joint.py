"""What bases with a joint transformer share: it attends to text and picture at once and follows a straight path to noise."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ipseity.bases.parts.checkpoint import Checkpoint
from ipseity.bases.parts.joint_weights import read_joint
from ipseity.bases.parts.unet import UNetDiffusion
from ipseity.core.errors import CapabilityError
from ipseity.core.noise import FlowPath, NoisePath
from ipseity.core.protocols import PipelineKind
from ipseity.core.types import Cond


class JointDiffusion(UNetDiffusion):
    """A transformer over patches of VAE latents, taught by flow matching.

    How modules are held, checked and handed to stock pipelines is that of the U-Nets; what is different stands here:
    the path, the latents' shift, and what the denoiser is told.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.licence = checkpoint.licence
        self._checkpoint = checkpoint
        self._modules = {
            name: module.to(self.device).eval().requires_grad_(False) for name, module in checkpoint.modules.items()
        }
        self._pipelines: dict[str, Any] = {}
        transformer, vae = self._modules["transformer"].config, self._modules["vae"].config
        self.dtype: torch.dtype = self._modules["transformer"].dtype
        self.latent_stride: int = 2 ** (len(vae.block_out_channels) - 1)
        self.latent_channels: int = vae.latent_channels
        self.resolution: int = transformer.sample_size * self.latent_stride
        self.path: NoisePath = FlowPath.from_config(checkpoint.scheduler.config)

    @classmethod
    def load(cls, options: Any, device: torch.device | str = "cpu") -> Self:
        """Read a checkpoint and put it on a device.

        Args:
            options: which weights, in which number format, and whether with T5.
            device: where the modules shall live.

        Raises:
            WeightsError: the weights are not here, cannot be trusted, or belong to another base.
        """
        return cls(read_joint(cls.layout, options, torch.device(device)), device)

    def parts(self) -> Mapping[str, nn.Module]:
        """Give the modules by diffusers' names."""
        return dict(self._modules)

    def tokenizers(self) -> Mapping[str, Any]:
        """Give the tokenizer of each CLIP text encoder, under the text encoder's name; T5 learns no words."""
        return {name: one for name, one in super().tokenizers().items() if name != "text_encoder_3"}

    def pipeline(self, kind: PipelineKind = "text") -> Any:
        """Give the stock diffusers pipeline of a kind over the very same modules, built once and kept.

        The stock pipeline for inpainting forgets the latents' shift when it decodes (diffusers 0.42.1): ask it for
        `output_type="latent"` and decode by `decode`.

        Raises:
            CapabilityError: there is no such pipeline for this base, or it does not take latents of this width.
        """
        channels = self._modules["transformer"].config.in_channels
        if kind == "inpaint" and channels != 16:
            raise CapabilityError(
                f"these weights of '{self.name}' have {channels} latent channels",
                "16: the stock pipeline for inpainting takes no other",
                "use pipeline 'image', or other weights",
            )
        return super().pipeline(kind)

    def encode_image(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Encode pixels as latents of unit variance: the middle of the VAE's distribution, so the same each time.

        Raises:
            CapabilityError: a side cannot be cut into whole patches.
        """
        patch = self.latent_stride * self._modules["transformer"].config.patch_size
        if wrong := [side for side in pixels.shape[-2:] if side % patch]:
            raise CapabilityError(
                f"a picture is {wrong[0]} px long on a side",
                f"multiples of {patch} px, which base '{self.name}' cuts into patches",
                f"set data.resolution to {wrong[0] // patch * patch or patch}",
            )
        with self._steady_vae() as vae:
            latents = vae.encode(pixels.to(self.device, vae.dtype)).latent_dist.mode()
        return ((latents.float() - vae.config.shift_factor) * vae.config.scaling_factor).to(self.dtype)

    def decode(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]:
        """Decode latents to pixels; they may reach a little beyond [-1, 1]."""
        with self._steady_vae() as vae:
            moved = latents.to(self.device).float() / vae.config.scaling_factor + vae.config.shift_factor
            return vae.decode(moved.to(vae.dtype), return_dict=False)[0].to(self.dtype)

    def predict(self, latents: Float[Tensor, "B C h w"], t: Float[Tensor, "B"], cond: Cond) -> Float[Tensor, "B C h w"]:
        """Give the velocity, noise minus picture, that the network sees in noisy latents.

        Args:
            latents: noisy, on the path of `self.path`; sides are whole numbers of patches.
            t: noise level in [0, 1], one for each sample.
            cond: one row a sample.

        Returns:
            The velocity, in the dtype of `latents`.

        Raises:
            CapabilityError: a slot is filled that this base does not offer.
        """
        self._check(cond)
        assert cond.pooled is not None, "a joint transformer needs pooled text: use the whole result of encode_text"
        heard = cond.to(self.device, self.dtype)
        return self._modules["transformer"](
            hidden_states=latents.to(self.device, self.dtype),
            timestep=self.path.timesteps(t.to(self.device)),
            encoder_hidden_states=heard.text,
            pooled_projections=heard.pooled,
            return_dict=False,
        )[0].to(latents.dtype)
