"""The noise path: how clean latents become noise, for `t` in [0, 1] (0 clean, 1 noise), whatever a checkpoint counts in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ipseity.core.errors import WeightsError
from ipseity.core.rng import Rng

PredictionType = Literal["epsilon", "v_prediction", "sample", "flow_prediction"]


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

    def levels(self, timesteps: Tensor) -> Float[Tensor, "B"]:
        """Give the noise levels in [0, 1] that the checkpoint's own timesteps stand for."""
        return ((timesteps.float() + 1) / self.num_levels).clamp(0, 1)

    def draw(self, count: int, rng: Rng) -> Float[Tensor, "B"]:
        """Draw noise levels to train at: evenly from the checkpoint's own, each above 0 and up to 1."""
        return draw_levels(self.num_levels, count, rng)

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


@dataclass(frozen=True, eq=False)
class FlowPath(NoisePath):
    """The straight path between a picture and noise: `t` is the noise's share, diffusers' sigma, and 1 - t the signal's.

    The network predicts the velocity, noise minus picture, and counts in n * t, not in whole numbers. `alphas_cumprod`
    holds the signal's share of the power at level k, where `t = (k + 1) / n`: what asks how much of a picture is left
    needs not know which path it is.

    Source:
        arXiv:2403.03206, eq. 13 (rectified flow; our t is the paper's).
    """

    shift: float = 1.0
    """How far levels lean towards noise: larger pictures need more of it to be hidden as well."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "FlowPath":
        """Read the path from the configuration of diffusers' `FlowMatchEulerDiscreteScheduler`.

        Raises:
            WeightsError: the scheduler is of another kind, or its shift depends on the picture's size.
        """
        if "shift" not in config or config.get("use_dynamic_shifting"):
            found = "shifts by the picture's size" if "shift" in config else "follows no straight path"
            raise WeightsError(
                f"the checkpoint's scheduler {found}",
                "a FlowMatchEulerDiscreteScheduler with a fixed shift",
                "choose a checkpoint of the kind that the base's file names",
            )
        t = torch.arange(1, config["num_train_timesteps"] + 1) / config["num_train_timesteps"]
        power = (1 - t) ** 2
        return cls(power / (power + t**2), "flow_prediction", float(config["shift"]))

    def timesteps(self, t: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
        """Give what the network is told for noise levels in [0, 1]: n * t."""
        return t * self.num_levels

    def levels(self, timesteps: Tensor) -> Float[Tensor, "B"]:
        """Give the noise levels in [0, 1] that the checkpoint's own timesteps stand for."""
        return (timesteps.float() / self.num_levels).clamp(0, 1)

    def draw(self, count: int, rng: Rng) -> Float[Tensor, "B"]:
        """Draw noise levels to train at: the sigmoid of a standard normal, shifted.

        Source:
            arXiv:2403.03206, section 3.1 (logit-normal with mean 0 and deviation 1) and eq. 23 (the shift).
        """
        return self.shifted(torch.sigmoid(rng.normal((count,))))

    def shifted(self, t: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
        """Move levels towards noise; 0 and 1 stay where they are."""
        return self.shift * t / (1 + (self.shift - 1) * t)

    def signal_and_noise(self, t: Float[Tensor, "B"]) -> tuple[Float[Tensor, "B 1 1 1"], Float[Tensor, "B 1 1 1"]]:
        """Give the factors of the clean latents and of the noise at level `t`: 1 - t and t."""
        share = t.float()[:, None, None, None]
        return 1 - share, share

    def target(
        self, latents: Float[Tensor, "B C h w"], noise: Float[Tensor, "B C h w"], t: Float[Tensor, "B"]
    ) -> Float[Tensor, "B C h w"]:
        """Give the velocity that the network shall predict, the same at every level of a line."""
        return noise - latents

    def snr_weight(self, t: Float[Tensor, "B"], gamma: float) -> Float[Tensor, "B"]:
        """Weigh levels by min(SNR, gamma) as it counts for the clean picture, which is off by t times the velocity's error.

        Source:
            arXiv:2303.09556, section 3.4, with x0 = x_t - t * velocity.
        """
        return self.snr(t).clamp(max=gamma) * t.float() ** 2


def draw_levels(num_levels: int, count: int, rng: Rng) -> Float[Tensor, "B"]:
    """Draw noise levels evenly from the checkpoint's own, each above 0 and up to 1."""
    level = (rng.uniform((count,)) * num_levels).floor().clamp(max=num_levels - 1)
    return (level + 1) / num_levels
