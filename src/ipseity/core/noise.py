"""The noise path: how clean latents become noise, for `t` in [0, 1] (0 clean, 1 noise), whatever a checkpoint counts in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ipseity.core.errors import WeightsError
from ipseity.core.rng import Rng

PredictionType = Literal["epsilon", "v_prediction", "sample"]


@dataclass(frozen=True, eq=False)
class NoisePath:
    """A variance-preserving path with as many levels as the checkpoint was trained on.

    Level k of n stands for `t = (k + 1) / n`; `t = 0` is the clean picture itself, which no network was trained on.

    Source:
        arXiv:2006.11239, eq. 4 (our t is the paper's t divided by its T); v-prediction: arXiv:2202.00512, section 4.
    """

    alphas_cumprod: Float[Tensor, "n"]
    """fp32 on the processor, falling; the square of the signal's share."""
    prediction_type: PredictionType

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "NoisePath":
        """Read the path from a diffusers scheduler's configuration.

        Raises:
            WeightsError: the scheduler is of a kind that this path does not describe.
        """
        from diffusers.schedulers.scheduling_ddpm import (
            DDPMScheduler,  # the library's own arithmetic decides what the checkpoint means
        )

        kind = config.get("prediction_type", "epsilon")
        if kind not in ("epsilon", "v_prediction", "sample") or config.get("use_flow_sigmas"):
            raise WeightsError(
                f"the checkpoint's scheduler predicts '{kind}'",
                "epsilon, v_prediction or sample over a diffusion path",
                "choose a checkpoint of the kind that the base's file names",
            )
        keys = (
            "num_train_timesteps",
            "beta_start",
            "beta_end",
            "beta_schedule",
            "trained_betas",
            "rescale_betas_zero_snr",
        )
        scheduler = DDPMScheduler(**{key: config[key] for key in keys if config.get(key) is not None})
        return cls(scheduler.alphas_cumprod.float().cpu(), kind)

    @property
    def num_levels(self) -> int:
        """How many noise levels the checkpoint was trained on."""
        return len(self.alphas_cumprod)

    def timesteps(self, t: Float[Tensor, "B"]) -> Int[Tensor, "B"]:
        """Give the checkpoint's own whole-numbered timesteps for noise levels in [0, 1]; 0 gives its lowest."""
        return (t * self.num_levels).round().long().sub(1).clamp(0, self.num_levels - 1)

    def signal_and_noise(self, t: Float[Tensor, "B"]) -> tuple[Float[Tensor, "B 1 1 1"], Float[Tensor, "B 1 1 1"]]:
        """Give the factors of the clean latents and of the noise at level `t`; exactly (1, 0) at `t = 0`."""
        kept = self.alphas_cumprod.to(t.device)[self.timesteps(t)]
        kept = torch.where(t <= 0, torch.ones_like(kept), kept)[:, None, None, None]
        return kept.sqrt(), (1 - kept).sqrt()

    def corrupt(
        self, latents: Float[Tensor, "B C h w"], noise: Float[Tensor, "B C h w"], t: Float[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Move clean latents along the path to noise level `t`; 0 leaves them as they are."""
        signal, spread = self.signal_and_noise(t)
        return (signal * latents + spread * noise).to(latents.dtype)

    def target(
        self, latents: Float[Tensor, "B C h w"], noise: Float[Tensor, "B C h w"], t: Float[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Give what the network shall predict at level `t`."""
        if self.prediction_type == "epsilon":
            return noise
        if self.prediction_type == "sample":
            return latents
        signal, spread = self.signal_and_noise(t)
        return (signal * noise - spread * latents).to(latents.dtype)

    def snr(self, t: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
        """Give the ratio of signal to noise power; 0 at the end of a zero-terminal-SNR path, infinite at `t = 0`."""
        signal, spread = (factor.flatten() for factor in self.signal_and_noise(t))
        return (signal / spread) ** 2

    def snr_weight(self, t: Float[Tensor, "B"], gamma: float) -> Float[Tensor, "B"]:
        """Weigh levels by min(SNR, gamma), expressed for this path's prediction type.

        Source:
            arXiv:2303.09556, section 3.4: epsilon divides by SNR, v by SNR + 1, sample by nothing.
        """
        snr = self.snr(t)
        clipped = snr.clamp(max=gamma)
        if self.prediction_type == "epsilon":
            return torch.where(snr > 0, clipped / snr.clamp(min=1e-8), torch.ones_like(snr))
        return clipped / (snr + 1) if self.prediction_type == "v_prediction" else clipped


def draw_levels(num_levels: int, count: int, rng: Rng) -> Float[Tensor, "B"]:
    """Draw noise levels evenly from the checkpoint's own, each above 0 and up to 1."""
    level = (rng.uniform((count,)) * num_levels).floor().clamp(max=num_levels - 1)
    return (level + 1) / num_levels
