"""Image adapters inside a denoiser: put in by diffusers' own loader and taken out again without a trace."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ipseity.core.weights import quiet
from ipseity.methods.parts.adapter_file import AdapterFile, check_layers, check_resampler, read_adapter


@contextmanager
def adapters_inside(pipeline: Any, files: Sequence[AdapterFile], *, base: str) -> Iterator[list[Any]]:
    """Load image adapters into a pipeline's denoiser for the length of a block.

    Only the denoiser changes: its attention processors, its projection of pictures and one entry of its configuration. The
    very objects go back to their places.

    Args:
        pipeline: any stock pipeline with `load_ip_adapter`; use one that nobody else holds, for it may gain a part.
        files: one a slot, in order; InstantID's kind.
        base: what messages call the denoiser's base.

    Yields:
        The projection of each, embeddings (B, 1, D) to tokens (B, N, E).

    Raises:
        WeightsError: a file does not fit this denoiser.
    """
    unet: Any = pipeline.unet
    assert unet.encoder_hid_proj is None, "this base carries image adapters already: attach all identities at once"
    for file in files:
        check_resampler(file)
        check_layers(file, cross_attentions(unet), base)
    kept, hidden = dict(unet.attn_processors), unet.config.encoder_hid_dim_type
    try:
        with quiet():
            states: Any = [read_adapter(file.path) for file in files]
            pipeline.load_ip_adapter(states, subfolder="", weight_name=[""] * len(states), image_encoder_folder=None)
        projection: Any = pipeline.unet.encoder_hid_proj
        projection.requires_grad_(False).eval()
        for processor in unet.attn_processors.values():
            if isinstance(processor, torch.nn.Module):
                processor.requires_grad_(False).eval()
        yield list(projection.image_projection_layers)
    finally:
        del unet.encoder_hid_proj  # so that it is a plain None again, and no module; it has processors of its own
        unet.encoder_hid_proj = None
        unet.set_attn_processor(kept)
        unet.config.encoder_hid_dim_type = hidden


def cross_attentions(unet: Any) -> dict[int, tuple[int, int]]:
    """List a denoiser's cross-attentions: position among its processors -> (hidden width, width of text)."""
    layers = dict(unet.named_modules())
    found = {}
    for index, name in enumerate(unet.attn_processors):
        attention = layers[name.removesuffix(".processor")]
        if attention.is_cross_attention:
            found[index] = (attention.inner_dim, attention.cross_attention_dim)
    return found


@torch.no_grad()
def tokens_of(projection: Any, embedding: Float[Tensor, "D"]) -> tuple[Float[Tensor, "1 N E"], Float[Tensor, "1 N E"]]:
    """Give the tokens of an embedding, and those of nobody: a zero embedding through the same projection."""
    like = projection.latents
    rows = torch.stack([embedding.to(like), torch.zeros_like(embedding).to(like)])
    tokens = projection(rows[:, None])
    return tokens[:1], tokens[1:]
