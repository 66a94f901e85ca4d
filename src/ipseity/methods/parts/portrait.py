"""Drawing people: stock SDXL ControlNet pipelines that are told who sits, with each call."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image, Resampling
from torch import Tensor

from ipseity.core.image import cover, to_pixels
from ipseity.core.keypoints import draw_keypoints, place

STOCK: Mapping[str, tuple[str, str]] = {
    "text": ("StableDiffusionXLControlNetPipeline", "image"),
    "image": ("StableDiffusionXLControlNetImg2ImgPipeline", "control_image"),
    "inpaint": ("StableDiffusionXLControlNetInpaintPipeline", "control_image"),
}
"""Pipeline kind -> diffusers class, and the name that it gives the control picture."""


@dataclass(frozen=True)
class Sitter:
    """One identity in a picture."""

    embedding: Float[Tensor, "D"]
    points: Float[Tensor, "5 2"]
    """Where the face is, in pixels of a picture of `size`."""
    size: tuple[int, int]
    """(height, width)."""
    net: Any
    """The ControlNet whose weights its IdentityNet uses; None where none is asked: pose and framing follow the prompt."""
    slot: int
    """Which image adapter carries it."""
    id_tokens: Float[Tensor, "1 N E"]
    no_id_tokens: Float[Tensor, "1 N E"]
    adapter_scale: float
    control_scale: float
    region: Image | None = None
    """L, white where this identity may act; of any size."""
    box: tuple[float, float, float, float] | None = None
    """Left, top, right, bottom in pixels of a picture of `size`: where it may act, if no region is given."""
    start: float = 0.0
    end: float = 1.0
    """Share of the steps after which its IdentityNet begins and ends."""
    nobody: Float[Tensor, "D"] | None = None
    """Embedding that the unguided half hears; unset means zeros."""

    @property
    def bounded(self) -> bool:
        """Whether it may act in a part of the picture only."""
        return self.region is not None or self.box is not None


@dataclass(frozen=True)
class Control:
    """A picture for another ControlNet, which hears the text as ever."""

    net: Any
    picture: Image
    """RGB; scaled to what is drawn."""
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0
    """Share of the steps after which it begins and ends."""


class Portrait:
    """A stock ControlNet pipeline over a base's very modules, with people in it; what else it is asked, it passes on.

    Each call makes its own pipeline and its own IdentityNets, which hold no weights of their own, so calls share nothing but
    the modules. Attributes that are asked of it are those of the base's own pipeline.
    """

    takes_seats = True
    """A call may say where the people are: `seats`, for each (points, size), or None for where they are anyway."""
    takes_controls = True
    """A call may name other ControlNets: `controls`, a sequence of `Control`."""

    def __init__(self, stock: Any, kind: str, sitters: Sequence[Sitter], *, resolution: int) -> None:
        self._stock, self._kind, self._sitters, self._resolution = stock, kind, tuple(sitters), resolution
        self._bar: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stock, name)

    def set_progress_bar_config(self, **settings: Any) -> None:
        """Keep how the progress bar looks, for the calls to come."""
        self._bar = settings

    def __call__(self, **asked: Any) -> Any:
        """Draw: the arguments of the stock pipeline, all by name, less those that say who sits, and `seats` and `controls`."""
        height, width = size = self._size(asked)
        sitters = _seated(self._sitters, asked.pop("seats", None))
        controls: Sequence[Control] = asked.pop("controls", None) or ()
        guidance = asked.pop("guidance_scale", 5.0)
        guided = guidance > 1 and self._stock.unet.config.time_cond_proj_dim is None
        told: dict[str, Any] = {
            "guidance_scale": guidance,
            "ip_adapter_image_embeds": embeddings(sitters, rows=1, guided=guided, like=self._stock.unet),
        }
        if within := heard_within(sitters, size, like=self._stock.unet):
            told["cross_attention_kwargs"] = {**(asked.pop("cross_attention_kwargs", None) or {}), **within}
        steered = [one for one in sitters if one.net is not None]
        if not steered and not controls:
            sized = {} if self._kind == "image" else {"height": height, "width": width}
            unsized = {key: value for key, value in asked.items() if key not in ("height", "width")}
            self._stock.set_progress_bar_config(**self._bar)
            return self._stock(**unsized, **sized, **told)
        made = [*nets(steered, size, guided=guided), *(one.net for one in controls)]
        pipeline, word = self._pipeline(made)
        pictures = [draw_keypoints(place(one.points, one.size, size), size) for one in steered]
        everyone: list[Any] = [*steered, *controls]
        told[word] = _alone([*pictures, *(cover(one.picture, size) for one in controls)])
        told["controlnet_conditioning_scale"] = _alone(
            [*(one.control_scale for one in steered), *(one.scale for one in controls)]
        )
        told["control_guidance_start"] = _alone([one.start for one in everyone])
        told["control_guidance_end"] = _alone([one.end for one in everyone])
        return pipeline(**{**asked, "height": height, "width": width}, **told)

    def _size(self, asked: Mapping[str, Any]) -> tuple[int, int]:
        shown = asked.get("image")
        shown = shown[0] if isinstance(shown, list) else shown
        own = (self._resolution, self._resolution)
        if isinstance(shown, (Image, Tensor)):
            own = (shown.height, shown.width) if isinstance(shown, Image) else (shown.shape[-2], shown.shape[-1])
        return asked.get("height") or own[0], asked.get("width") or own[1]

    def _pipeline(self, made: Sequence[Any]) -> tuple[Any, str]:
        import diffusers

        name, word = STOCK[self._kind]
        kept = ("force_zeros_for_empty_prompt", "requires_aesthetics_score")
        settings = {key: self._stock.config[key] for key in kept if key in self._stock.config}
        scheduler = self._stock.scheduler
        pipeline = getattr(diffusers, name)(
            **{**self._stock.components, "scheduler": type(scheduler).from_config(scheduler.config)},
            **settings,
            controlnet=_together(made),
            add_watermarker=False,
        )
        pipeline.set_progress_bar_config(**self._bar)
        return pipeline, word


def heard_within(
    sitters: Sequence[Sitter], size: tuple[int, int], *, like: Any
) -> dict[str, list[Float[Tensor, "1 N H W"]]]:
    """Say where each identity's tokens are heard, as attention is told it; nothing where nobody's place is bounded."""
    if not any(one.bounded for one in sitters):
        return {}
    slots = range(1 + max(one.slot for one in sitters))
    rows = [torch.cat([_region(one, size) for one in sitters if one.slot == slot], dim=1) for slot in slots]
    return {"ip_adapter_masks": [row.to(like.device, like.dtype) for row in rows]}


def nets(sitters: Sequence[Sitter], size: tuple[int, int], *, guided: bool) -> list[Any]:
    """Give each sitter an IdentityNet."""
    from ipseity.methods.parts.identity_net import IdentityNet

    return [
        IdentityNet.of(
            one.net,
            one.id_tokens,
            no_id_tokens=one.no_id_tokens,
            guided=guided,
            region=_region(one, size) if one.bounded else None,
        )
        for one in sitters
    ]


def _together(made: Sequence[Any]) -> Any:
    """Give one net as itself, or several as a stock MultiControlNet."""
    from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel

    return made[0] if len(made) == 1 else MultiControlNetModel(list(made))


def _seated(sitters: Sequence[Sitter], seats: Sequence[Any] | None) -> tuple[Sitter, ...]:
    """Move sitters to where a call wants them; a box that bounds one is given up with its place."""
    if seats is None:
        return tuple(sitters)
    return tuple(
        one if seat is None else replace(one, points=torch.as_tensor(seat[0]).float(), size=seat[1], box=None)
        for one, seat in zip(sitters, seats, strict=True)
    )


def embeddings(sitters: Sequence[Sitter], *, rows: int, guided: bool, like: Any) -> list[Float[Tensor, "B N 1 D"]]:
    """Stack the sitters' embeddings as pipelines take them: one tensor an adapter, the unguided half first."""
    stacked = []
    for slot in range(1 + max(one.slot for one in sitters)):
        there = [one for one in sitters if one.slot == slot]
        own = torch.stack([one.embedding for one in there])
        nobody = torch.stack([torch.zeros_like(one.embedding) if one.nobody is None else one.nobody for one in there])
        both = torch.stack([nobody, own] if guided else [own])[:, :, None]
        stacked.append(both.to(like.device, like.dtype).repeat_interleave(rows, dim=0))
    return stacked


@contextmanager
def prediction_told(unet: Any, sitters: Sequence[Sitter], *, stride: int) -> Iterator[None]:
    """Let a denoiser that is asked by itself, and not by a pipeline, draw the same people: all its rows are guided ones.

    Args:
        unet: with the image adapters inside.
        sitters: who sits.
        stride: pixels a latent, each way.
    """

    def tell(module: Any, args: tuple[Any, ...], told: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        added = dict(told.get("added_cond_kwargs") or {})
        if "image_embeds" in added:  # a pipeline asks, and has told all
            return None
        latents, steps = args[0], args[1]
        size = (latents.shape[-2] * stride, latents.shape[-1] * stride)
        more: dict[str, Any] = {}
        if steered := [one for one in sitters if one.net is not None]:
            pictures = [_control(one, size).expand(len(latents), -1, -1, -1).to(latents) for one in steered]
            scales = [one.control_scale for one in steered]
            down, mid = _together(nets(steered, size, guided=False))(
                latents, steps, encoder_hidden_states=told["encoder_hidden_states"], controlnet_cond=_alone(pictures),
                conditioning_scale=_alone(scales), added_cond_kwargs=dict(added), return_dict=False,
            )  # fmt: skip
            more = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
        added["image_embeds"] = embeddings(sitters, rows=len(latents), guided=False, like=latents)
        if within := heard_within(sitters, size, like=latents):
            more["cross_attention_kwargs"] = {**(told.get("cross_attention_kwargs") or {}), **within}
        return args, {**told, **more, "added_cond_kwargs": added}

    hook = unet.register_forward_pre_hook(tell, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def drawn_by(base: Any, pipelines: Mapping[str, Any]) -> Iterator[None]:
    """Let a base give other pipelines for the length of a block; kinds that are not named stay what they are."""
    before, own = base.pipeline, vars(base).get("pipeline")
    base.pipeline = lambda kind="text": pipelines[kind] if kind in pipelines else before(kind)
    try:
        yield
    finally:
        del base.pipeline
        if own is not None:
            base.pipeline = own


def _control(one: Sitter, size: tuple[int, int]) -> Float[Tensor, "1 3 H W"]:
    """Draw the face's points as pixels in [0, 1], which is what ControlNets are shown."""
    return (to_pixels([draw_keypoints(place(one.points, one.size, size), size)]) + 1) / 2


def _region(one: Sitter, size: tuple[int, int]) -> Float[Tensor, "1 1 H W"]:
    """Give a region as a mask of zeros and ones; no region is the whole picture."""
    if one.region is not None:
        scaled = one.region.convert("L").resize((size[1], size[0]), Resampling.NEAREST)
        return torch.from_numpy(np.asarray(scaled) >= 128).float()[None, None]
    if one.box is None:
        return torch.ones(1, 1, *size)
    (left, top), (right, bottom) = (
        place([one.box[:2], one.box[2:]], one.size, size).round().astype(int).clip(0).tolist()
    )
    mask = torch.zeros(1, 1, *size)
    mask[..., top:bottom, left:right] = 1
    return mask


def _alone(values: list[Any]) -> Any:
    """Give the only one as itself, as pipelines with one ControlNet take it."""
    return values[0] if len(values) == 1 else values
