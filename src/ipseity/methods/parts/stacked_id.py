"""PhotoMaker's identity encoder (arXiv:2312.04461), of both versions: photos to tokens, and tokens fused with a word."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, linear

from ipseity.core.errors import WeightsError
from ipseity.methods.parts.picture_encoder import preparation

HEAD_WIDTH = 64
"""Of the CLIP inside; ViT-L/14 as published."""
FACE_HEAD_WIDTH = 128
"""Of the resampler that version 2 adds."""
_RESAMPLER = (
    (r"^token_proj\.0\.", "proj.net.0.proj."),
    (r"^token_proj\.2\.", "proj.net.2."),
    (r"^token_norm\.", "norm."),
    (r"^perceiver_resampler\.", ""),
    (r"^(layers\.\d+)\.0\.norm1\.", r"\1.ln0."),
    (r"^(layers\.\d+)\.0\.norm2\.", r"\1.ln1."),
    (r"^(layers\.\d+)\.0\.to_out\.", r"\1.attn.to_out.0."),
    (r"^(layers\.\d+)\.0\.to_", r"\1.attn.to_"),
    (r"^(layers\.\d+)\.1\.0\.", r"\1.ff.0."),
    (r"^(layers\.\d+)\.1\.1\.", r"\1.ff.1.net.0.proj."),
    (r"^(layers\.\d+)\.1\.3\.", r"\1.ff.1.net.2."),
)
"""The released names of version 2's resampler -> those of the same network in diffusers (FaceID-Plus)."""


class Fusing:
    """The part that makes one embedding of a word's and a photo's.

    Args:
        tensors: the checkpoint's `fuse_module`, without that word.

    Raises:
        WeightsError: some are missing.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        first = [f"{name}.{kind}" for name in ("layernorm", "fc1", "fc2") for kind in ("weight", "bias")]
        needed = [
            *(f"{mlp}.{name}" for mlp in ("mlp1", "mlp2") for name in first),
            "layer_norm.weight",
            "layer_norm.bias",
        ]
        if lacking := [name for name in needed if name not in tensors]:
            raise _lacking("fuse_module", lacking)
        self._tensors = {name: tensors[name].float() for name in needed}
        self.width = len(self._tensors["layer_norm.weight"])

    @property
    def space(self) -> str:
        """Names the space of the tokens that it understands, by its weights: "photomaker:0f1e2d3c4b5a"."""
        digest = hashlib.sha256()
        for name in sorted(self._tensors):
            digest.update(self._tensors[name].cpu().contiguous().numpy().tobytes())
        return f"photomaker:{digest.hexdigest()[:12]}"

    @torch.no_grad()
    def __call__(self, words: Float[Tensor, "N D"], stacked: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        """Fuse the class word's embeddings, one a token, with tokens of photos; both in fp32."""
        self._tensors = {name: value.to(words.device) for name, value in self._tensors.items()}
        fused = self._mlp("mlp1", torch.cat([words, stacked], dim=-1)) + words
        return self._norm("layer_norm", self._mlp("mlp2", fused) + fused)

    def _mlp(self, name: str, rows: Tensor) -> Tensor:
        inner = gelu(self._linear(f"{name}.fc1", self._norm(f"{name}.layernorm", rows)))
        return self._linear(f"{name}.fc2", inner)

    def _linear(self, name: str, rows: Tensor) -> Tensor:
        return linear(rows, self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"])

    def _norm(self, name: str, rows: Tensor) -> Tensor:
        weight, bias = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
        return layer_norm(rows, weight.shape, weight, bias)


def fusing_of(encoder: Mapping[str, Tensor]) -> Fusing:
    """Take the part that fuses out of the section `id_encoder` of a checkpoint."""
    return Fusing(_beneath(encoder, "fuse_module"))


@torch.no_grad()
def stacked_tokens(
    encoder: Mapping[str, Tensor],
    photos: Sequence[Image],
    faces: Float[Tensor, "N F"] | None,
    *,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "N K D"]:
    """Give the tokens of photos: one each by version 1, two by version 2.

    Args:
        encoder: the section `id_encoder` of a checkpoint.
        photos: of one subject.
        faces: raw embeddings of their faces, for version 2.
        device: where to compute, in fp32.

    Raises:
        WeightsError: the checkpoint lacks tensors.
    """
    clip = _clip(encoder).to(device)
    shown = preparation(clip.config.image_size)(images=[photo.convert("RGB") for photo in photos], return_tensors="pt")
    seen = clip.vision_model(shown.pixel_values.to(device))
    resampling = _beneath(encoder, "qformer_perceiver")
    if resampling:
        assert faces is not None, "version 2 looks at faces too"
        resampler = _resampler(resampling).to(device)
        resampler.clip_embeds = seen.last_hidden_state[None]
        return resampler(faces.float().to(device)).cpu()
    second = encoder["visual_projection_2.weight"].float().to(device)
    pair = (clip.visual_projection(seen.pooler_output), linear(seen.pooler_output, second))
    return torch.cat(pair, dim=-1)[:, None].cpu()


def _clip(encoder: Mapping[str, Tensor]) -> Any:
    """Make the CLIP whose sizes the tensors tell."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    named = {
        name: tensor for name, tensor in encoder.items() if name.startswith(("vision_model.", "visual_projection."))
    }
    named.pop("vision_model.embeddings.position_ids", None)  # older libraries saved it; it only counts
    start = "vision_model.embeddings"
    try:
        hidden, patch = len(named[f"{start}.class_embedding"]), named[f"{start}.patch_embedding.weight"].shape[-1]
        places = len(named[f"{start}.position_embedding.weight"]) - 1
        inner, out = len(named["vision_model.encoder.layers.0.mlp.fc1.weight"]), len(named["visual_projection.weight"])
    except KeyError as error:
        raise _lacking("vision_model", [str(error.args[0])]) from error
    layers = {name.split(".")[3] for name in named if name.startswith("vision_model.encoder.layers.")}
    settings: Any = CLIPVisionConfig
    config = settings(
        hidden_size=hidden, intermediate_size=inner, projection_dim=out, num_hidden_layers=len(layers),
        num_attention_heads=hidden // HEAD_WIDTH, image_size=math.isqrt(places) * patch, patch_size=patch,
    )  # fmt: skip
    return _filled(CLIPVisionModelWithProjection(config), named, "vision_model")


def _resampler(tensors: Mapping[str, Tensor]) -> Any:
    """Make version 2's resampler: the network of FaceID-Plus with wider heads, two tokens and its shortcut on."""
    from diffusers.models.embeddings import IPAdapterFaceIDPlusImageProjection

    try:
        width, states = tensors["perceiver_resampler.proj_in.weight"].shape
        inner, faces = tensors["token_proj.0.weight"].shape
        tokens = len(tensors["token_proj.2.weight"]) // width
        heads = len(tensors["perceiver_resampler.layers.0.0.to_q.weight"]) // FACE_HEAD_WIDTH
    except KeyError as error:
        raise _lacking("qformer_perceiver", [str(error.args[0])]) from error
    maker: Any = IPAdapterFaceIDPlusImageProjection
    network = maker(
        embed_dims=width, output_dims=width, hidden_dims=states, id_embeddings_dim=faces, dim_head=FACE_HEAD_WIDTH,
        heads=heads, num_tokens=tokens, ffproj_ratio=inner // faces,
    )  # fmt: skip
    network.shortcut = True
    named: dict[str, Tensor] = {}
    for released, tensor in tensors.items():
        name = reduce(lambda so_far, pair: re.sub(*pair, so_far), _RESAMPLER, released)
        if name.endswith("to_kv.weight"):
            keys, values = tensor.chunk(2)
            named |= {name.replace("to_kv", "to_k"): keys, name.replace("to_kv", "to_v"): values}
        else:
            named[name] = tensor
    return _filled(network, named, "qformer_perceiver")


def _filled(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> nn.Module:
    told = network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    if odd := [*told.missing_keys, *told.unexpected_keys]:
        raise _lacking(where, odd)
    return network.float().eval().requires_grad_(False)


def _beneath(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def _lacking(where: str, names: Sequence[str]) -> WeightsError:
    return WeightsError(
        f"in the checkpoint's {where}, {len(names)} tensors are missing or unknown, the first of them {names[0]}",
        "PhotoMaker's published layout, of version 1 or 2",
        "fetch the file again",
    )
