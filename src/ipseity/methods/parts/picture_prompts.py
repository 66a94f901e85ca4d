"""Drawing with pictures as prompts: tokens are added to all that a denoiser is told, whoever asks it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image, Resampling
from torch import Tensor

from ipseity.core.errors import RecipeError


@dataclass(frozen=True)
class PicturePrompt:
    """One identity that attention hears beside the text."""

    tokens: Float[Tensor, "1 N E"]
    no_tokens: Float[Tensor, "1 N E"]
    """What the unguided half hears."""
    scale: float
    blocks: Any = None
    """Scales by block as diffusers' `set_ip_adapter_scale` takes them; `scale` multiplies them."""
    region: Image | None = None
    """L, white where it is heard; of any size."""
    start: float = 0.0
    end: float = 1.0
    """Share of the steps after which it begins and ends."""


class PicturePrompts:
    """All identities of one attachment, inside a denoiser that takes tokens for them.

    Args:
        pipeline: over the denoiser, with the adapters inside; nobody else holds it.
        prompts: one a slot, in order; they are the last slots.
        stride: pixels a latent, each way.
    """

    def __init__(self, pipeline: Any, prompts: Sequence[PicturePrompt], *, stride: int) -> None:
        self._unet, self._prompts, self._stride = pipeline.unet, tuple(prompts), stride
        self._guided = False
        processors = self._unet.attn_processors.items()
        self._hearing: dict[str, Any] = {name: one for name, one in processors if isinstance(one, torch.nn.Module)}
        self._first = len(next(iter(self._hearing.values())).scale) - len(self._prompts)
        self._scales = self._read_scales(pipeline)
        self._act(None)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tell the denoiser for the length of a block, whatever asks it: a pipeline or `predict`."""
        hook = self._unet.register_forward_pre_hook(self._tell, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    @contextmanager
    def drawing(self, *, guided: bool) -> Iterator[None]:
        """Say for one call of a pipeline whether both halves are asked for; the steps begin at the first."""
        before = self._guided
        try:
            self._guided = guided
            self._act([one.start == 0 < one.end for one in self._prompts])
            yield
        finally:
            self._guided = before
            self._act(None)

    def stepped(self, index: int, steps: int) -> None:
        """Hear, in the step after `index`, those whose time it is: as ControlNets begin and end."""
        after = index + 1
        self._act([after / steps >= one.start and (after + 1) / steps <= one.end for one in self._prompts])

    @property
    def timed(self) -> bool:
        """Whether anybody is heard in some steps only."""
        return any((one.start, one.end) != (0, 1) for one in self._prompts)

    def _act(self, heard: Sequence[bool] | None) -> None:
        for name, processor in self._hearing.items():
            for slot, scale in enumerate(self._scales[name]):
                processor.scale[self._first + slot] = scale if heard is None or heard[slot] else 0.0

    def _read_scales(self, pipeline: Any) -> dict[str, list[float]]:
        """Let diffusers spread scales over blocks, and take down what each layer got."""
        kept = {name: list(one.scale[: self._first]) for name, one in self._hearing.items()}
        asked = [one.scale if one.blocks is None else one.blocks for one in self._prompts]
        unknown = [name for blocks in asked if isinstance(blocks, Mapping) for name in _unknown(pipeline.unet, blocks)]
        try:
            if unknown:
                raise KeyError(f"there is no {unknown[0]} that hears prompts")
            pipeline.set_ip_adapter_scale([*([0.0] * self._first), *asked])
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise RecipeError(
                f"method.blocks cannot be spread over this base's blocks ({error})",
                "blocks that it has, with one scale or one for each of their transformers",
                "write for example {up = {block_0 = [0.0, 1.0, 0.0]}}; what is not named is 0",
            ) from error
        found = {}
        for name, processor in self._hearing.items():
            pairs = zip(processor.scale[self._first :], self._prompts, strict=True)
            found[name] = [value if one.blocks is None else value * one.scale for value, one in pairs]
            processor.scale[: self._first] = kept[name]
        return found

    def _tell(self, module: Any, args: tuple[Any, ...], told: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        latents = args[0] if args else told["sample"]
        added = dict(told.get("added_cond_kwargs") or {})
        given = list(added.get("image_embeds") or [])
        added["image_embeds"] = [*given, *(self._rows(one, latents) for one in self._prompts)]
        told = {**told, "added_cond_kwargs": added}
        size = (latents.shape[-2] * self._stride, latents.shape[-1] * self._stride)
        others = dict(told.get("cross_attention_kwargs") or {})
        masks = [_mask(one, size, latents) for one in self._prompts]
        before = list(others.get("ip_adapter_masks") or [None] * len(given))
        if any(mask is not None for mask in (*before, *masks)):
            told["cross_attention_kwargs"] = {**others, "ip_adapter_masks": [*before, *masks]}
        return args, told

    def _rows(self, one: PicturePrompt, like: Tensor) -> Float[Tensor, "B 1 N E"]:
        shown, unshown = (tokens.to(like.device, like.dtype) for tokens in (one.tokens, one.no_tokens))
        if not self._guided:
            return shown.expand(len(like), -1, -1)[:, None]
        half = len(like) // 2
        return torch.cat([unshown.expand(half, -1, -1), shown.expand(len(like) - half, -1, -1)])[:, None]


class Prompted:
    """A pipeline that draws with picture prompts; what else it is asked, it passes on.

    Args:
        stock: what draws: a stock pipeline, or one that is told something itself.
        prompts: whom it shows.
    """

    def __init__(self, stock: Any, prompts: PicturePrompts) -> None:
        self._stock, self._prompts = stock, prompts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stock, name)

    def __call__(self, *args: Any, **asked: Any) -> Any:
        """Draw: the arguments of the pipeline itself."""
        strong = asked.get("guidance_scale", 5.0) > 1  # every stock pipeline's own is above 1
        guided = strong and self._stock.unet.config.time_cond_proj_dim is None
        if self._prompts.timed:
            asked["callback_on_step_end"] = self._chained(asked.get("callback_on_step_end"))
        with self._prompts.drawing(guided=guided):
            return self._stock(*args, **asked)

    def _chained(self, theirs: Any) -> Any:
        def step(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            self._prompts.stepped(index, pipeline.num_timesteps)
            return tensors if theirs is None else theirs(pipeline, index, timestep, tensors)

        return step


def _mask(one: PicturePrompt, size: tuple[int, int], like: Tensor) -> Float[Tensor, "1 1 H W"] | None:
    if one.region is None:
        return None
    scaled = one.region.convert("L").resize((size[1], size[0]), Resampling.NEAREST)
    return torch.from_numpy(np.asarray(scaled) >= 128).to(like.device, like.dtype)[None, None]


def _unknown(unet: Any, blocks: Mapping[str, Any]) -> list[str]:
    """List the named blocks that a denoiser lacks or that have no cross-attention; diffusers passes over them in silence."""
    known: dict[str, set[str]] = {"mid": set()}
    for side, those in (("down", unet.down_blocks), ("up", unet.up_blocks)):
        known[side] = {
            f"block_{number}" for number, block in enumerate(those) if getattr(block, "has_cross_attention", False)
        }
    odd = [side for side in blocks if side not in known]
    inside = [
        (side, part) for side, parts in blocks.items() if side in known and isinstance(parts, Mapping) for part in parts
    ]
    return odd + [f"{side}.{part}" for side, part in inside if part not in known[side]]
