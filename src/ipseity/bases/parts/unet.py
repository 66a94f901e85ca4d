"""What Stable Diffusion 1.x and SDXL share: a U-Net, told by CLIP text."""

from typing import Any, ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor

from ipseity.bases.parts.latent import LatentDiffusion
from ipseity.bases.parts.weights import read_checkpoint
from ipseity.core.types import Cond


class UNetDiffusion(LatentDiffusion):
    """A U-Net over VAE latents. A base adds what it is told beside text."""

    denoiser: ClassVar[str] = "unet"
    targets: ClassVar[tuple[str, ...]] = ("to_q", "to_k", "to_v", "to_out.0")

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
