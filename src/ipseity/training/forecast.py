"""How much memory a run will need, told before it starts and held against the measured peak at its end."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ipseity.core.drawing import DrawOptions
from ipseity.core.events import Forecast
from ipseity.core.protocols import Base, Encoder, Learner
from ipseity.core.rng import Rng
from ipseity.core.types import Batch
from ipseity.training.loop import FitOptions, weigh
from ipseity.training.machine import GIB, free_gib, held_bytes, peak_gib

__all__ = ["forecast", "peak_gib"]

ADAM_MOMENTS = 2
SHRINK = 4
"""The decoder is watched on a picture whose sides are this many times smaller, and what it needs is scaled up."""

CONVOLUTION: Any = torch.ops.aten.convolution.default


@dataclass(frozen=True)
class Looking:
    """What the evaluators need, in bytes."""

    weights: int = 0
    """Held already, since they are loaded."""
    passing: int = 0
    """Taken while they look, by the one that takes most."""


def forecast(
    base: Base,
    learner: Learner,
    options: FitOptions,
    *,
    batch: Batch,
    draw: DrawOptions,
    looking: Looking = Looking(),
) -> Forecast:
    """Say what a run will need at its peak, from what is held now and forward passes of at most two rows.

    Args:
        base: loaded.
        learner: begun on that base.
        options: how it will be taught.
        batch: one of the batches to come; only its first rows are looked at.
        draw: how previews and scoring pictures are drawn.
        looking: what the evaluators need that are loaded by now.
    """
    device = base.device
    trained = sum(_bytes(parameter) for parameter in learner.trainable().values()) if options.max_train_steps else 0
    weights = _weight_bytes([*base.parts().values(), learner])
    parts = {
        "libraries and caches": max(0, held_bytes(device) - weights - looking.weights),
        "parameters": weights,
        "evaluators": looking.weights,
        "gradients": trained,
        "optimizer": ADAM_MOMENTS * trained,
        "activations": activation_bytes(learner, batch) if trained else 0,
        "drawing": drawing_bytes(base, draw),
        "scoring": looking.passing,
    }
    resident = sum(parts[name] for name in ("libraries and caches", "parameters", "evaluators", "optimizer"))
    # one after the other: gradients and activations are gone while pictures are drawn, and the drawing while they are scored
    peak = resident + max(parts["gradients"] + parts["activations"], parts["drawing"], parts["scoring"])
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
    """Give the memory that drawing one batch of pictures takes beside the weights: denoising it, or decoding it.

    Guidance shows the denoiser each picture twice.
    """
    height, width = draw.height or base.resolution, draw.width or base.resolution
    sides = [max(1, side // base.latent_stride) for side in (height, width)]
    small = [max(1, side // SHRINK) for side in sides]
    scale = sides[0] * sides[1] / (small[0] * small[1])

    def latents(rows: int, height: int, width: int) -> Tensor:
        return torch.zeros(rows, base.latent_channels, height, width, device=base.device, dtype=base.dtype)

    def denoise(rows: int) -> Any:
        hints = base.size_hints([(height, width)] * rows, [(0, 0)] * rows)
        cond = replace(base.encode_text(["a picture"] * rows), size_hints=hints)
        return base.predict(latents(rows, *sides), torch.ones(rows, device=base.device), cond)

    rows = draw.batch_size * (2 if draw.guidance_scale > 1 else 1)
    decoding = _passing(lambda count: base.decode(latents(count, *small)), draw.batch_size)
    return max(_passing(denoise, rows), round(decoding * scale))


def looking_bytes(encoders: Iterable[Encoder], *, rows: int, side: int) -> Looking:
    """Give what loaded evaluators hold, and what they take while they look at a batch of pictures.

    Args:
        encoders: loaded.
        rows: pictures that one looks at, at once.
        side: of the pictures, in pixels.
    """
    seen = [_watch_encoder(encoder, rows, side) for encoder in encoders]
    return Looking(sum(one.weights for one in seen), max((one.passing for one in seen), default=0))


def _watch_encoder(encoder: Encoder, rows: int, side: int) -> Looking:
    watched = _Watched()
    with torch.no_grad(), watched:
        encoder.embed(torch.zeros(1, 3, side, side))
        if "text" in encoder.offers:
            encoder.embed_text(["a picture"])
    passing = _passing(lambda count: encoder.embed(torch.zeros(count, 3, side, side)), rows)
    return Looking(watched.found_bytes, passing)


def _passing(work: Callable[[int], Any], rows: int) -> int:
    """Give the memory that work on so many rows takes for what it makes; one and two rows are computed."""
    counts = []
    for count in range(1, min(rows, 2) + 1):
        with torch.no_grad(), _Watched() as watched:
            work(count)
        counts.append(watched.peak)
    return counts[-1] + (counts[-1] - counts[0]) * (rows - len(counts))


class _Watched(TorchDispatchMode):
    """Adds up, operation by operation, the memory of the tensors that are made and still needed."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._made: dict[StorageWeakRef, int] = {}
        self._found: dict[StorageWeakRef, int] = {}

    @property
    def found_bytes(self) -> int:
        """What the work read and did not make: weights."""
        return sum(self._found.values())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        for storage in _storages((args, kwargs)):
            if (seen := StorageWeakRef(storage)) not in self._made:
                self._found[seen] = storage.nbytes()
        result = func(*args, **(kwargs or {}))
        self._made = {made: size for made, size in self._made.items() if not made.expired()}
        for storage in _storages(result):
            if (seen := StorageWeakRef(storage)) not in self._found:
                self._made[seen] = storage.nbytes()
        # a processor's convolutions copy what they read and write into an order of their own
        copied = _bytes(args[0]) + _bytes(result) if func is CONVOLUTION and result.device.type == "cpu" else 0
        self.peak = max(self.peak, sum(self._made.values()) + copied)
        return result


def _storages(values: Any) -> list[Any]:
    return [leaf.untyped_storage() for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


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
    tokenless = batch.tokenless
    if tokenless is not None:  # as many beside each row as in the whole batch
        tokenless = _first(tokenless, -(-count * len(tokenless.captions) // len(batch.captions)))
    cond = None if batch.cond is None else batch.cond.take(range(count))
    return replace(batch, **cut, cond=cond, tokenless=tokenless)


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
