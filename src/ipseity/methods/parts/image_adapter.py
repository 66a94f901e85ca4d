"""Image adapters inside a denoiser: put in by diffusers' own loader and taken out again without a trace."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ipseity.core.errors import CapabilityError
from ipseity.core.weights import quiet
from ipseity.methods.parts.adapter_file import AdapterFile, check_layers, check_resampler, read_adapter


@contextmanager
def adapters_inside(
    pipeline: Any, files: Sequence[AdapterFile], *, base: str, beside: bool = False
) -> Iterator[list[Any]]:
    """Load image adapters into a pipeline's denoiser for the length of a block.

    Only the denoiser changes: its attention processors, its projection of pictures and one entry of its configuration. The
    very objects go back to their places. Low-rank layers that a file holds are left out.

    Args:
        pipeline: any stock pipeline with `load_ip_adapter`; use one that nobody else holds, for it may gain a part.
        files: one a slot, in order; slots of the same file share its weights.
        base: what messages call the denoiser's base.
        beside: whether adapters that are inside already go on working, with the slots before these. The denoiser then takes
            tokens for the new slots and not embeddings, and holds no projection of theirs, so that nothing of a picture's
            stays behind in one and low-rank layers find the denoiser's own layers alone.

    Yields:
        The projection of each slot: embeddings to tokens (B, N, E).

    Raises:
        WeightsError: a file does not fit this denoiser.
        CapabilityError: the denoiser carries image adapters already, and not `beside`.
    """
    unet: Any = pipeline.unet
    if unet.encoder_hid_proj is not None and not beside:
        raise _carries_some()
    distinct = {file.path: file for file in files}
    order = [list(distinct).index(file.path) for file in files]
    for file in distinct.values():
        if file.kind in ("instantid", "plus", "faceid-plus"):
            check_resampler(file)
        check_layers(file, cross_attentions(unet), base)
    kept, hidden = dict(unet.attn_processors), unet.config.encoder_hid_dim_type
    before, states = unet.encoder_hid_proj, [_without_low_rank(read_adapter(file.path)) for file in distinct.values()]
    try:
        with quiet():
            pipeline.load_ip_adapter(states, subfolder="", weight_name=[""] * len(states), image_encoder_folder=None)
        projection: Any = unet.encoder_hid_proj
        projection.requires_grad_(False).eval()
        for name, processor in unet.attn_processors.items():
            if isinstance(processor, torch.nn.Module):
                _arrange(processor, order, kept.get(name))
                processor.requires_grad_(False).eval()
        if beside:
            _take_tokens(unet, before, len(order))
        yield [projection.image_projection_layers[index] for index in order]
    finally:
        del unet.encoder_hid_proj  # so that it is a plain None again, and no module; it has processors of its own
        unet.encoder_hid_proj = before
        unet.set_attn_processor(kept)
        unet.config.encoder_hid_dim_type = hidden


def cross_attentions(unet: Any) -> dict[int, tuple[int, int]]:
    """List a denoiser's cross-attentions: position among its processors -> (hidden width, width of text)."""
    layers = dict(unet.named_modules())
    found = {}
    for index, name in enumerate(own_processors(unet)):
        attention = layers[name.removesuffix(".processor")]
        if attention.is_cross_attention:
            found[index] = (attention.inner_dim, attention.cross_attention_dim)
    return found


def own_processors(unet: Any) -> dict[str, Any]:
    """Give a denoiser's attention processors in the order that adapter files count, less those of projections inside."""
    return {name: one for name, one in unet.attn_processors.items() if not name.startswith("encoder_hid_proj.")}


@torch.no_grad()
def tokens_of(projection: Any, embedding: Float[Tensor, "D"]) -> tuple[Float[Tensor, "1 N E"], Float[Tensor, "1 N E"]]:
    """Give the tokens of an embedding, and those of nobody: a zero embedding through the same projection."""
    like = projection.latents
    rows = torch.stack([embedding.to(like), torch.zeros_like(embedding).to(like)])
    tokens = projection(rows[:, None])
    return tokens[:1], tokens[1:]


def _without_low_rank(sections: Mapping[str, Mapping[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    """Leave out what diffusers' loader would load as a low-rank adapter, switching all others off."""
    return {
        section: {name: tensor for name, tensor in inside.items() if "_lora." not in name}
        for section, inside in sections.items()
    }


def _arrange(new: Any, order: Sequence[int], old: Any) -> None:
    """Give a processor a pair of keys and values for each slot, behind those of a processor that stood there before."""
    earlier: Any = old if isinstance(old, torch.nn.Module) else None
    for name in ("to_k_ip", "to_v_ip"):
        loaded = getattr(new, name)
        first = list(getattr(earlier, name)) if earlier is not None else []
        setattr(new, name, torch.nn.ModuleList([*first, *(loaded[index] for index in order)]))
    for name in ("num_tokens", "scale"):
        loaded = getattr(new, name)
        first = list(getattr(earlier, name)) if earlier is not None else []
        setattr(new, name, [*first, *(loaded[index] for index in order)])


def _take_tokens(unet: Any, before: Any, slots: int) -> None:
    from diffusers.models.embeddings import MultiIPAdapterImageProjection

    first = [] if before is None else list(before.image_projection_layers)
    unet.encoder_hid_proj = MultiIPAdapterImageProjection([*first, *(torch.nn.Identity() for _ in range(slots))])


def _carries_some() -> CapabilityError:
    return CapabilityError(
        "this base carries image adapters already",
        "a base without any, for this method feeds all that are inside by itself",
        "attach this method's identities first and the others inside, or all of one method at once",
    )
