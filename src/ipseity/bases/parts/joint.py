"""What bases with a joint transformer share: it attends to text and picture at once and follows a straight path to noise."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

from ipseity.bases.parts.joint_weights import read_joint
from ipseity.bases.parts.latent import LatentDiffusion
from ipseity.core.errors import CapabilityError
from ipseity.core.noise import FlowPath
from ipseity.core.protocols import PipelineKind
from ipseity.core.types import Cond


class JointDiffusion(LatentDiffusion):
    """A transformer over patches of VAE latents, taught by flow matching.

    Beside what all bases share stand the path, the latents' shift, and what the denoiser is told.
    """

    denoiser: ClassVar[str] = "transformer"

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

    def _path_of(self, config: Mapping[str, Any]) -> FlowPath:
        return FlowPath.from_config(config)

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
        return super().encode_image(pixels)

    @cached_property
    def _latent_moments(self) -> tuple[Tensor | float, Tensor | float]:
        return self._modules["vae"].config.shift_factor, 1.0

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
