"""Random weights in the published layouts at toy width: a CLIP, IP-Adapters of every kind, PhotoMakers, a finder of faces."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from ipseity.core.faces import Face
from ipseity.core.files import write_tensors
from ipseity.core.types import Photo, Subject
from ipseity.methods.parts.image_adapter import cross_attentions

FACE, STATES, POOLED, SIDE, PATCH = 24, 64, 40, 32, 8
SPACE = "toy-face:0"
POINTS = ((12.0, 14.0), (28.0, 15.0), (20.0, 23.0), (14.0, 31.0), (27.0, 30.0))
Some = Callable[..., Tensor]
Sections = dict[str, dict[str, Tensor]]


def chance(seed: int) -> Some:
    """Random tensors whose rows have about unit length."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(shape, generator=generator) / shape[-1] ** 0.5


def write_clip(folder: Path, *, states: int = STATES, pooled: int = POOLED, seed: int = 0) -> Path:
    """A CLIP's picture half in the transformers layout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = CLIPVisionConfig(
            hidden_size=states, intermediate_size=48, projection_dim=pooled, num_hidden_layers=3, num_attention_heads=2,
            image_size=SIDE, patch_size=PATCH,
        )  # fmt: skip
        CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def resampler(
    some: Some, hidden: int, entrance: int, out: int, *, queries: int | None, rows: int = 64
) -> dict[str, Tensor]:
    """A perceiver resampler of four layers."""
    found = {"latents": some(1, queries, hidden)} if queries else {}
    found |= {"proj_in.weight": some(hidden, entrance), "proj_in.bias": some(hidden)}
    for layer in range(4):
        for name in ("norm1", "norm2"):
            found |= {
                f"layers.{layer}.0.{name}.weight": 1 + some(hidden),
                f"layers.{layer}.0.{name}.bias": some(hidden),
            }
        found |= {
            f"layers.{layer}.0.to_q.weight": some(rows, hidden),
            f"layers.{layer}.0.to_kv.weight": some(2 * rows, hidden),
        }
        found |= {f"layers.{layer}.0.to_out.weight": some(hidden, rows)}
        found |= {f"layers.{layer}.1.0.weight": 1 + some(hidden), f"layers.{layer}.1.0.bias": some(hidden)}
        found |= {
            f"layers.{layer}.1.1.weight": some(4 * hidden, hidden),
            f"layers.{layer}.1.3.weight": some(hidden, 4 * hidden),
        }
    found |= {"proj_out.weight": some(out, hidden), "proj_out.bias": some(out)}
    return found | {"norm_out.weight": 1 + some(out), "norm_out.bias": some(out)}


def mlp(some: Some, entrance: int, hidden: int, out: int) -> dict[str, Tensor]:
    """Two layers, as FaceID adapters begin with."""
    first = {"proj.0.weight": some(hidden, entrance), "proj.0.bias": some(hidden)}
    return first | {"proj.2.weight": some(out, hidden), "proj.2.bias": some(out)}


def norm(some: Some, width: int) -> dict[str, Tensor]:
    """A layer norm."""
    return {"norm.weight": 1 + some(width), "norm.bias": some(width)}


def projection(kind: str, some: Some, out: int) -> dict[str, Tensor]:
    """The section `image_proj` of a kind."""
    if kind == "plain":
        return {"proj.weight": some(4 * out, POOLED), "proj.bias": some(4 * out), **norm(some, out)}
    if kind == "plus":
        return resampler(some, 64, STATES, out, queries=5)
    if kind == "full-face":
        first = {"proj.0.weight": some(STATES, STATES), "proj.0.bias": some(STATES), "proj.2.weight": some(out, STATES)}
        return {**first, "proj.2.bias": some(out), "proj.3.weight": 1 + some(out), "proj.3.bias": some(out)}
    if kind == "faceid":
        return {**mlp(some, FACE, 2 * FACE, 4 * out), **norm(some, out)}
    inner = resampler(some, out, STATES, out, queries=None)
    return {
        **mlp(some, FACE, 2 * FACE, 4 * out),
        **norm(some, out),
        **{f"perceiver_resampler.{k}": v for k, v in inner.items()},
    }


def adapter(kind: str, unet: Any, seed: int = 7) -> Sections:
    """Both sections of an IP-Adapter file for a denoiser; FaceID kinds bring low-rank layers."""
    some, keys = chance(seed), {}
    for index, shape in cross_attentions(unet).items():
        keys |= {f"{index}.{name}_ip.weight": 3 * some(*shape) for name in ("to_k", "to_v")}
    if kind.startswith("faceid"):
        layers = dict(unet.named_modules())
        for index, name in enumerate(unet.attn_processors):
            attention = layers[name.removesuffix(".processor")]
            for part in ("to_q", "to_k", "to_v", "to_out"):
                layer = attention.to_out[0] if part == "to_out" else getattr(attention, part)
                keys[f"{index}.{part}_lora.down.weight"] = some(2, layer.in_features)
                keys[f"{index}.{part}_lora.up.weight"] = some(layer.out_features, 2)
    return {"image_proj": projection(kind, some, unet.config.cross_attention_dim), "ip_adapter": keys}


def write_adapter(path: Path, sections: Sections, **header: str) -> Path:
    """A file as published: a pickle of dictionaries, or safetensors with a header."""
    if header:
        write_tensors(path.with_suffix(".safetensors"), flat(sections), header)
    else:
        torch.save(sections, path.with_suffix(".bin"))
    return path


def flat(sections: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """A file's tensors under their sections' names."""
    return {f"{section}.{name}": value for section, inside in sections.items() for name, value in inside.items()}


class Faces:
    """Finds one face in each photo, told by the photo's first pixel."""

    offers = frozenset({"image", "face"})
    name, licence, width, space = "toy_faces", "none", FACE, SPACE

    def faces(self, image: Image.Image) -> list[Face]:
        value = float(image.getpixel((0, 0))[0])
        if value == 0:
            return []
        embedding = torch.randn(FACE, generator=torch.Generator().manual_seed(int(value))) * value
        return [Face((6.0, 6.0, 36.0, 40.0), torch.tensor(POINTS), embedding, 1.0)]


def subject(*values: int) -> Subject:
    """A person in photos of colours; the first pixel tells who it is, and 0 shows nobody, however it is turned."""
    photos = []
    for value in values:
        image = Image.linear_gradient("L").resize((56, 44)).convert("RGB")
        image.paste((value, 255 - value, (7 * value) % 255), (0, 0, 30, 22) if value else (0, 0, 56, 44))
        photos.append(Photo(Path(f"{value}.png"), image, "0" * 64))
    return Subject("ada", tuple(photos), "person", "sks")


CLIP_WIDTH, WORD = 128, (32, 48)
"""Of PhotoMaker's own CLIP, whose heads are 64 wide; and of the two text encoders of a tiny SDXL."""


def photomaker(version: int, unet: Any, seed: int = 9) -> Sections:
    """Both sections of a PhotoMaker checkpoint for a denoiser, in the order that the released code asks for."""
    some, width = chance(seed), sum(WORD)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = CLIPVisionConfig(
            hidden_size=CLIP_WIDTH, intermediate_size=64, projection_dim=WORD[0], num_hidden_layers=2,
            num_attention_heads=2, image_size=SIDE, patch_size=PATCH,
        )  # fmt: skip
        encoder = dict(CLIPVisionModelWithProjection(config).state_dict())
    encoder["visual_projection_2.weight"] = some(WORD[1], CLIP_WIDTH)
    for name, entrance in (("mlp1", 2 * width), ("mlp2", width)):
        start = f"fuse_module.{name}"
        encoder |= {f"{start}.layernorm.weight": 1 + some(entrance), f"{start}.layernorm.bias": some(entrance)}
        encoder |= {f"{start}.fc1.weight": some(width, entrance), f"{start}.fc1.bias": some(width)}
        encoder |= {f"{start}.fc2.weight": some(width, width), f"{start}.fc2.bias": some(width)}
    encoder |= {"fuse_module.layer_norm.weight": 1 + some(width), "fuse_module.layer_norm.bias": some(width)}
    if version == 2:
        inner = {
            f"perceiver_resampler.{k}": v
            for k, v in resampler(some, width, CLIP_WIDTH, width, queries=None, rows=128).items()
        }
        inner |= {"token_proj.0.weight": some(4 * FACE, FACE), "token_proj.0.bias": some(4 * FACE)}
        inner |= {"token_proj.2.weight": some(2 * width, 4 * FACE), "token_proj.2.bias": some(2 * width)}
        inner |= {"token_norm.weight": 1 + some(width), "token_norm.bias": some(width)}
        encoder |= {f"qformer_perceiver.{name}": value for name, value in inner.items()}
    factors = {}
    layers = dict(unet.named_modules())
    for name in unet.attn_processors:
        layer = layers[name.removesuffix("processor") + "to_q"]
        factors[f"unet.{name}.to_q_lora.down.weight"] = some(2, layer.in_features)
        factors[f"unet.{name}.to_q_lora.up.weight"] = some(layer.out_features, 2)
    return {"id_encoder": encoder, "lora_weights": factors}
