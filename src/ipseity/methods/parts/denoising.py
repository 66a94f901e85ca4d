"""The denoising objective that every trained method shares: add noise, let the base predict, compare."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor

from ipseity.core.losses import multiscale_error
from ipseity.core.noise import draw_levels
from ipseity.core.options import Options
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Cond

__all__ = ["DenoisingOptions", "condition", "denoising_loss", "draw_levels"]


class DenoisingOptions(Options):
    """What the objective weighs."""

    snr_gamma: float | None = Field(None, gt=0)
    """Weigh noise levels by min(SNR, gamma), as arXiv:2303.09556 does with 5; unset weighs all alike."""
    mask_floor: float | None = Field(None, ge=0, le=1)
    """Weight of places outside the subject's mask, 1 inside; unset weighs all places alike."""
    logit_mean: float | None = None
    """Draw noise levels as the sigmoid of a normal with this mean (above 0 leans towards noise), as arXiv:2403.03206 does with
    0; unset draws them as the base's path does."""
    logit_std: float = Field(1.0, gt=0)
    """Spread of that normal."""
    crop_level_power: float = Field(0.0, ge=0, le=8)
    """Move the noise levels of cuts down: a level is multiplied by the cut's scale (its side over the photo's shorter side)
    to this power, so that close-ups teach detail and full views layout; 0 draws them all alike."""
    loss_scales: dict[int, float] = {1: 1.0}
    """Side of the cells in latents that errors are averaged over -> what that size counts (arXiv:2301.11093)."""

    @field_validator("loss_scales")
    @classmethod
    def _sensible(cls, given: dict[int, float]) -> dict[int, float]:
        if not given or min(given) < 1 or min(given.values()) < 0 or sum(given.values()) <= 0:
            raise ValueError("sides are 1 or more, counts 0 or more and not all 0")
        return given


def denoising_loss(base: Any, batch: Batch, rng: Rng, options: DenoisingOptions) -> dict[str, Float[Tensor, "b"]]:
    """Corrupt latents at chance levels and compare what the base predicts with what it should.

    Unless the options say otherwise, levels are drawn as the base's path draws them: evenly over those that a diffusion
    checkpoint was trained on, around the middle of a flow. All sums are made in fp32; the base computes in its own format,
    or in the engine's. Cuts of the subject's photos and of regularization pictures are treated alike.

    Args:
        base: the base, with whatever learns inside it.
        batch: latents with captions or with their encoding.
        rng: a place of its own for this batch.
        options: levels, and weights of levels, places and scales.

    Returns:
        Squared errors, one a sample, under "subject" and "regularization"; a name without samples is absent.
    """
    latents = batch.latents.to(base.device).float()
    noise = rng.fork("noise").normal(latents.shape, like=latents)
    t = _lowered(base, _levels(base, len(latents), rng.fork("t"), options), batch, options).to(latents.device)
    predicted = base.predict(base.path.corrupt(latents, noise, t), t, condition(base, batch))
    mask = _weights(batch, options, latents.device)
    each = multiscale_error(predicted, base.path.target(latents, noise, t), mask, scales=options.loss_scales)
    if options.snr_gamma is not None:
        each = each * base.path.snr_weight(t, options.snr_gamma)
    is_subject = batch.is_subject.to(each.device)
    losses = {"subject": each[is_subject], "regularization": each[~is_subject]}
    return {name: values for name, values in losses.items() if values.numel()}


def condition(base: Any, batch: Batch) -> Cond:
    """Give a batch's condition: the cached one, or the captions encoded now, so that gradients reach the encoders."""
    if batch.cond is not None:
        return batch.cond
    return replace(base.encode_text(batch.captions), size_hints=batch.size_hints)


def _levels(base: Any, count: int, rng: Rng, options: DenoisingOptions) -> Float[Tensor, "b"]:
    if options.logit_mean is None:
        return base.path.draw(count, rng)
    leaning = torch.sigmoid(options.logit_mean + options.logit_std * rng.normal((count,)))
    return leaning.clamp(1 / base.path.num_levels, 1)


def _lowered(base: Any, t: Float[Tensor, "B"], batch: Batch, options: DenoisingOptions) -> Float[Tensor, "B"]:
    """Move the levels of tight cuts down, never below the path's lowest.

    A close-up shows the subject's detail at a size that no full view has, and layout that is true of no full view: it
    shall teach the first, which low levels decide, and not the second, which high ones do.

    Source:
        arXiv:2603.20755 joins patch size and timestep for the same reason; there the level decides the cut, and here the
        cut the level, since latents of cuts are made once.
    """
    if not options.crop_level_power or batch.crop_scale is None:
        return t
    lowest = t.clamp(max=1 / base.path.num_levels)  # a flow may draw one below it, which is not to be raised
    return torch.maximum(t * batch.crop_scale.to(t) ** options.crop_level_power, lowest)


def _weights(batch: Batch, options: DenoisingOptions, device: torch.device) -> Tensor | None:
    if options.mask_floor is None or batch.mask is None:
        return None
    return options.mask_floor + (1 - options.mask_floor) * batch.mask.to(device).float()
