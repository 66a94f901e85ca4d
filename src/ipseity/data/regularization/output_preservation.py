"""The captions of the structured set without its pictures: what the base predicts under them shall stay what it was.

The learner is taught by the base itself, at the subject's own noisy latents. Where `structured` shows samples of the
base and their noise, the mean over many samples has the gradient that this has at once: a denoiser's best answer is the
mean of the noises that could have led here, and that is what the frozen base gives. So `fit.prior_loss_weight` weighs
both alike. What differs is where one looks: there at pictures of the captions, here at the subject, where a learner
forgets first that other words mean other things. Distillation from one's own past: arXiv:1606.09282.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from PIL.Image import Image
from pydantic import Field
from torch import Tensor

from ipseity.core.losses import squared_error
from ipseity.core.noise import NoisePath, draw_levels
from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.penalty import Detachable, Penalty, Predictor
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Example, Request, Subject
from ipseity.data.grammar import with_crop
from ipseity.data.regularization.structured import Structured, StructuredSetOptions

LOST_SNR = 0.05
"""Where the signal has less than this share of the noise's power, a picture is as good as lost in it."""


class OutputPreservationOptions(Options):
    """Under how many captions, what they vary, and at which latents."""

    use: Literal["output_preservation"] = "output_preservation"
    """The base's own predictions, and no pictures."""
    captions: int = Field(200, ge=1)
    """Captions: those that `structured` would ask as many pictures for."""
    share_a: float = Field(0.2, ge=0, le=1)
    """Share of captions that mirror the training captions; the rest varies slots."""
    slot_dropout: float = Field(0.3, ge=0, lt=1)
    """Chance of each slot to stay unspoken where slots vary."""
    style_share: float = Field(0.3, ge=0, le=1)
    """Share of varied captions in a style of the bank; the rest are plain photos."""
    sibling_share: float | None = Field(None, ge=0, le=1)
    """Share of varied captions that name neighboring classes; unset means half for living things, else none."""
    bank: str = "auto"
    """Phrases: "auto" (by the class noun), "toybox" (what the built-in base knows), or the path of a JSON file."""
    crop_words: bool = True
    """Say "close-up" where the latents are a tight crop, as the training captions do."""
    noise_share: float = Field(0.0, ge=0, le=1)
    """Share of samples that are pure noise at the highest levels, where drawing begins, and not a noised photo."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Decides phrases, as it does for `structured`."""


class OutputPreservation:
    """Holds the base's own predictions under structured captions; the set's format without its pictures.

    A method that changes nothing where the token is unsaid (`textual_inversion`) has nothing to hold: its loss is zero.
    """

    Options: ClassVar[type[AnyOptions]] = OutputPreservationOptions

    @staticmethod
    def plan(
        subject: Subject, examples: Sequence[Example], options: OutputPreservationOptions, rng: Rng
    ) -> tuple[Request, ...]:
        """Ask for no pictures."""
        return ()

    @staticmethod
    def gather(images: Sequence[tuple[Request, Image]], options: OutputPreservationOptions) -> tuple[Example, ...]:
        """Show nothing."""
        return ()

    @staticmethod
    def captions(
        subject: Subject, examples: Sequence[Example], options: OutputPreservationOptions
    ) -> tuple[tuple[str, str], ...]:
        """List what the structured set of the same options would be drawn from.

        Raises:
            RecipeError: there is no such phrase bank.
        """
        shared = {name: getattr(options, name) for name in StructuredSetOptions.model_fields.keys() - {"use", "images"}}
        told = StructuredSetOptions(images=options.captions, **shared)
        prompts = [request.prompt for request in Structured.plan(subject, examples, told, Rng(options.seed))]
        close = with_crop(prompts) if options.crop_words else prompts
        return tuple(zip(prompts, close, strict=True))

    @staticmethod
    def loss(
        learner: Detachable, frozen: Predictor, *, batch: Batch, rng: Rng, options: OutputPreservationOptions
    ) -> dict[str, Float[Tensor, "b"]]:
        """Give the squared difference of the learner's predictions from the frozen base's, for the same noisy latents."""
        asked = batch.tokenless
        if asked is None:
            return {}
        clean = asked.latents.float()
        noise = rng.fork("noise").normal(clean.shape, like=clean)
        is_noise = rng.fork("pure").uniform((len(clean),)) < options.noise_share
        t = _levels(learner.path, is_noise, rng.fork("t")).to(clean.device)
        noisy = learner.path.corrupt(clean, noise, t)
        seen = torch.where(is_noise.to(clean.device)[:, None, None, None], noise, noisy)
        held = frozen.predict(seen, t, asked)  # first, so that nothing of the learner's is kept meanwhile
        return {"regularization": squared_error(learner.predict(seen, t, asked), held)}


def _levels(path: NoisePath, is_noise: Bool[Tensor, "B"], rng: Rng) -> Float[Tensor, "B"]:
    """Draw levels evenly, as learners do; for pure noise only from those where a picture is lost."""
    count = path.num_levels
    power = path.alphas_cumprod
    lost = max(1, int((power < LOST_SNR * (1 - power)).sum()))
    high = 1 - (draw_levels(lost, len(is_noise), rng.fork("lost")) * lost - 1) / count
    return torch.where(is_noise, high, draw_levels(count, len(is_noise), rng))


PLUGIN: type[Penalty] = OutputPreservation
