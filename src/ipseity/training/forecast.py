"""How much memory a run will need, told before it starts and held against the measured peak at its end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ipseity.core.drawing import DrawOptions
from ipseity.core.events import Forecast
from ipseity.core.protocols import Base, Learner
from ipseity.core.rng import Rng
from ipseity.core.types import Batch
from ipseity.training.loop import FitOptions, weigh
from ipseity.training.machine import GIB, free_gib, held_bytes, peak_gib

__all__ = ["forecast", "peak_gib"]

ADAM_MOMENTS = 2
LIVE_OUTPUTS = 3
"""Largest layer outputs that a decoder holds at once: what goes in, what comes out, and what is added around them."""
SHRINK = 4
"""The decoder is watched on a picture whose sides are this many times smaller, and its outputs scaled up."""


def forecast(base: Base, learner: Learner, options: FitOptions, *, batch: Batch, draw: DrawOptions) -> Forecast:
    """Say what a run will need at its peak, from what is held now and one forward pass of at most two rows.

    Args:
        base: loaded.
        learner: begun on that base.
        options: how it will be taught.
        batch: one of the batches to come; only its first rows are looked at.
        draw: how previews and scoring pictures are drawn.
    """
    device = base.device
    trained = sum(_bytes(parameter) for parameter in learner.trainable().values()) if options.max_train_steps else 0
    weights = _weight_bytes([*base.parts().values(), learner])
    parts = {
        "libraries and caches": max(0, held_bytes(device) - weights),
        "parameters": weights,
        "gradients": trained,
        "optimizer": ADAM_MOMENTS * trained,
        "activations": activation_bytes(learner, batch) if trained else 0,
        "drawing": drawing_bytes(base, draw),
    }
    resident = parts["libraries and caches"] + parts["parameters"] + parts["optimizer"]
    # gradients and activations are gone while pictures are drawn
    peak = resident + max(parts["gradients"] + parts["activations"], parts["drawing"])
    return Forecast(peak / GIB, free_gib(device), {name: size / GIB for name, size in parts.items()})


def activation_bytes(learner: Learner, batch: Batch) -> int:
    """Give the memory that one batch's backward pass will find saved, and the gradients that pass along it.

    One and two rows are computed; what they share (weights converted for the step) is counted once, the rest grows
    with the rows.
    """
    rows = len(batch.captions)
    counts = [_saved(learner, _first(batch, count)) for count in range(1, min(rows, 2) + 1)]
    each = counts[-1].total - counts[0].total if rows > 1 else 0
    passing = 2 * counts[-1].largest * rows // len(counts)
    return max(0, counts[-1].total + each * (rows - len(counts))) + passing


def drawing_bytes(base: Base, draw: DrawOptions) -> int:
    """Give the memory that decoding one batch of pictures takes beside the weights."""
    height, width = draw.height or base.resolution, draw.width or base.resolution
    sides = [max(1, side // base.latent_stride // SHRINK) for side in (height, width)]
    largest = 0

    def watch(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, _bytes(output))

    hooks = [leaf.register_forward_hook(watch) for leaf in base.parts()["vae"].modules() if not list(leaf.children())]
    try:
        with torch.no_grad():
            base.decode(torch.zeros(1, base.latent_channels, *sides, device=base.device))
    finally:
        for hook in hooks:
            hook.remove()
    scale = height * width / (sides[0] * sides[1] * base.latent_stride**2)
    return round(LIVE_OUTPUTS * largest * scale * draw.batch_size)


@dataclass
class _Saved:
    """Memory blocks that autograd keeps for the backward pass, each counted once."""

    known: set[int]
    blocks: dict[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.blocks.values())

    @property
    def largest(self) -> int:
        return max(self.blocks.values(), default=0)

    def keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.known:
            self.blocks[storage.data_ptr()] = storage.nbytes()
        return tensor


def _saved(learner: Learner, batch: Batch) -> _Saved:
    known = {parameter.untyped_storage().data_ptr() for parameter in _tensors(learner)}
    saved = _Saved(known)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(saved.keep, lambda tensor: tensor):
        weigh(learner.loss(batch, Rng(0, ("forecast",))), {})
    return saved


def _first(batch: Batch, count: int) -> Batch:
    slots = ("latents", "captions", "is_subject", "size_hints", "mask")
    cut: dict[str, Any] = {name: value[:count] for name in slots if (value := getattr(batch, name)) is not None}
    return replace(batch, **cut, cond=None if batch.cond is None else batch.cond.take(range(count)))


def _weight_bytes(modules: list[Any]) -> int:
    blocks: Mapping[int, int] = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for module in modules
        for tensor in _tensors(module)
    }
    return sum(blocks.values())


def _tensors(module: Any) -> Iterator[Tensor]:
    if isinstance(module, nn.Module):
        yield from module.parameters()
        yield from module.buffers()


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
