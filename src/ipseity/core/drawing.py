"""Drawing pictures with a stock diffusers pipeline: the one way for previews, sets, evaluation and final use."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL.Image import Image
from pydantic import Field

from ipseity.core.options import Options


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


def draw(pipeline: Any, prompts: Sequence[str], seeds: Sequence[int], options: DrawOptions) -> Iterator[list[Image]]:
    """Draw one picture a prompt, yielding a batch at a time.

    Each picture has a generator of its own, so a picture depends on its prompt and seed and not on its neighbours
    (up to the rounding of batched arithmetic).

    Args:
        pipeline: a stock diffusers text-to-image pipeline.
        prompts: one for each picture.
        seeds: one for each picture.
        options: steps, guidance, size and batch size.
    """
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
            height=options.height,
            width=options.width,
        ).images


def draw_all(pipeline: Any, prompts: Sequence[str], seeds: Sequence[int], options: DrawOptions) -> list[Image]:
    """Draw one picture a prompt and give them all at once."""
    return [image for images in draw(pipeline, prompts, seeds, options) for image in images]
