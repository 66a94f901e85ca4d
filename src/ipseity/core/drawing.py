"""Drawing pictures with a stock diffusers pipeline: the one way for previews, sets, evaluation and final use."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from PIL.Image import Image
from pydantic import Field, model_validator

from ipseity.core.errors import CapabilityError
from ipseity.core.options import Options

FEW_STEPS = 4
"""What few-step LoRAs of this house are made for."""


class DrawOptions(Options):
    """How pictures are drawn."""

    num_inference_steps: int = Field(25, ge=1, le=1000)
    """Denoising steps a picture."""
    guidance_scale: float = Field(4.0, ge=0, le=50)
    """Classifier-free guidance; 1 or less switches it off."""
    negative_prompt: str | None = None
    """What the picture shall not show; unset means the base's own empty condition."""
    height: int | None = Field(None, ge=8, le=4096, multiple_of=8)
    """Pixels; unset means the base's native size."""
    width: int | None = Field(None, ge=8, le=4096, multiple_of=8)
    """Pixels; unset means the base's native size."""
    batch_size: int = Field(8, ge=1)
    """Pictures drawn at once."""
    few_step: bool = False
    """Whether the few-step LoRA draws that the base's weights ship: in 4 steps and without guidance, whatever is said of them."""

    @model_validator(mode="before")
    @classmethod
    def _in_few_steps(cls, given: Any) -> Any:
        """Write out what few-step drawing stands for, so that all who read steps and guidance read the truth."""
        few = isinstance(given, Mapping) and given.get("few_step") is True
        return {**given, "num_inference_steps": FEW_STEPS, "guidance_scale": 1.0} if few else given


def pipeline_for(base: Any, options: DrawOptions, kind: str = "text") -> Any:
    """Give the pipeline of a base that draws as options say.

    Args:
        base: draws, with or without something attached.
        options: say whether it draws in a few steps.
        kind: of pipeline, as bases name them.

    Raises:
        CapabilityError: `few_step` is asked for, and the base's weights ship no LoRA for it.
    """
    if not options.few_step:
        return base.pipeline(kind)
    if getattr(base, "few_step", None) is None:  # a base of another package may not know of it
        raise CapabilityError(
            f"draw.few_step is true, and the weights of base '{base.name}' ship no few-step LoRA",
            "few_step/pytorch_lora_weights.safetensors in the checkpoint's folder, such as an LCM-LoRA for these weights",
            "put one there, or set draw.few_step = false and draw with all steps",
        )
    return base.quick(kind)


def draw(
    pipeline: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    options: DrawOptions,
    told: Mapping[str, Any] | None = None,
) -> Iterator[list[Image]]:
    """Draw one picture a prompt, yielding a batch at a time.

    Each picture has a generator of its own, so a picture depends on its prompt and seed and not on its neighbours
    (up to the rounding of batched arithmetic).

    Args:
        pipeline: a stock diffusers pipeline for text, image or inpaint.
        prompts: one for each picture.
        seeds: one for each picture.
        options: steps, guidance, size and batch size.
        told: what the pipeline is told beside that, the same for each picture; with an `image` to start from among it the
            size is that picture's, or what `told` says.
    """
    more = dict(told or {})
    size = {} if "image" in more else {"height": options.height, "width": options.width}
    assert not options.few_step or getattr(pipeline, "in_few_steps", False), "take the pipeline from pipeline_for"
    assert len(prompts) == len(seeds), f"{len(prompts)} prompts but {len(seeds)} seeds"
    pipeline.set_progress_bar_config(disable=True)
    for start in range(0, len(prompts), options.batch_size):
        chosen = list(prompts[start : start + options.batch_size])
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds[start : start + options.batch_size]]
        negative = None if options.negative_prompt is None else [options.negative_prompt] * len(chosen)
        yield pipeline(
            prompt=chosen,
            negative_prompt=negative,
            generator=generators,
            num_inference_steps=options.num_inference_steps,
            guidance_scale=options.guidance_scale,
            **size,
            **more,
        ).images


def draw_all(
    pipeline: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    options: DrawOptions,
    told: Mapping[str, Any] | None = None,
) -> list[Image]:
    """Draw one picture a prompt and give them all at once; see `draw`."""
    return [image for images in draw(pipeline, prompts, seeds, options, told) for image in images]
