"""Random weights in InstantID's layout at toy width: an adapter, an IdentityNet, a second ControlNet, an identity."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor

from ipseity.bases.parts.tiny import tiny_checkpoint
from ipseity.bases.sdxl import SDXL
from ipseity.core.files import write_tensors
from ipseity.core.identity import Identity
from ipseity.methods.instantid import InstantIDOptions
from ipseity.methods.parts.image_adapter import cross_attentions

SPACE = "toy-face:0"
WIDTH, HIDDEN, TOKENS = 32, 128, 4
POINTS = ((18.0, 22.0), (41.5, 24.0), (31.0, 35.0), (21.0, 46.0), (40.0, 45.0))


@dataclass(frozen=True)
class Toy:
    """A base with what InstantID needs beside it."""

    base: Any
    folder: Path
    """Holds `ip-adapter.bin` and `ControlNetModel/`."""
    adapter: dict[str, dict[str, Tensor]]
    net: ControlNetModel
    other: ControlNetModel
    """Hears text, as ordinary ControlNets do."""

    def identity(self, seed: int = 0, **options: Any) -> Identity:
        """An identity that nobody has: a random embedding, and points in the middle of a 64 px picture."""
        chance = torch.Generator().manual_seed(1000 + seed)
        told = InstantIDOptions(weights=str(self.folder), face_space=SPACE, **options)
        tensors = {
            "embedding": torch.randn(WIDTH, generator=chance) * 3,
            "points": torch.tensor(POINTS),
            "box": torch.tensor([12.0, 14.0, 48.0, 52.0]),
            "size": torch.tensor([64.0, 64.0]),
        }
        known = (self.base.name, self.base.fingerprint(), "instantid", "sks", "person")
        return Identity(tensors, *known, options=told.model_dump(mode="json"))


def make_toy(folder: Path, *, own_unet: bool = False, header: dict[str, str] | None = None) -> Toy:
    """Write toy weights.

    Args:
        folder: where they go.
        own_unet: SDXL's own block types and two layers a block, as the released code's masks expect; else `SDXL.tiny()`.
        header: writes the adapter as safetensors with this header, not as `.bin`.
    """
    base = sdxl_with_two_layers() if own_unet else SDXL.tiny()
    unet = base.parts()["unet"]
    adapter = adapter_tensors(unet)
    if header is None:
        torch.save(adapter, folder / "ip-adapter.bin")
    else:
        flat = {f"{part}.{name}": value for part, inside in adapter.items() for name, value in inside.items()}
        write_tensors(folder / "anything.safetensors", flat, header)
    net, other = (filled(ControlNetModel.from_unet(unet), seed) for seed in (11, 12))
    net.save_pretrained(folder / "ControlNetModel")
    return Toy(base, folder, adapter, net, other)


def sdxl_with_two_layers() -> SDXL:
    """SDXL's layout with its own block types at toy width."""
    unet = {
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 48 + 6 * 8,
    }
    checkpoint = tiny_checkpoint(SDXL.layout, 0, unet, (32, 48))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        checkpoint.modules["unet"] = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(32, 64, 96),
            layers_per_block=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 1, 2),
            attention_head_dim=(1, 2, 3),
            cross_attention_dim=80,
            norm_num_groups=16,
            **unet,
        )
    return SDXL(checkpoint)


def filled(net: Any, seed: int) -> Any:
    """Give every parameter random values, so that zero convolutions do not hide what goes into them."""
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, value in sorted(net.named_parameters()):
            value.copy_(torch.randn(value.shape, generator=chance) * (0.5 / max(value[0].numel(), 1) ** 0.5))
    return net.eval()


def adapter_tensors(unet: Any) -> dict[str, dict[str, Tensor]]:
    """Random tensors under the published names."""
    chance = torch.Generator().manual_seed(7)

    def some(*shape: int) -> Tensor:
        return torch.randn(shape, generator=chance) / shape[-1] ** 0.5

    out = unet.config.cross_attention_dim
    proj = {"latents": some(1, TOKENS, HIDDEN), "proj_in.weight": some(HIDDEN, WIDTH), "proj_in.bias": some(HIDDEN)}
    for layer in range(4):
        for name in ("norm1", "norm2"):
            proj |= {f"layers.{layer}.0.{name}.weight": 1 + some(HIDDEN), f"layers.{layer}.0.{name}.bias": some(HIDDEN)}
        for name, rows in (("to_q", HIDDEN), ("to_kv", 2 * HIDDEN), ("to_out", HIDDEN)):
            proj[f"layers.{layer}.0.{name}.weight"] = some(rows, HIDDEN)
        proj |= {f"layers.{layer}.1.0.weight": 1 + some(HIDDEN), f"layers.{layer}.1.0.bias": some(HIDDEN)}
        proj[f"layers.{layer}.1.1.weight"] = some(4 * HIDDEN, HIDDEN)
        proj[f"layers.{layer}.1.3.weight"] = some(HIDDEN, 4 * HIDDEN)
    proj |= {"proj_out.weight": some(out, HIDDEN), "proj_out.bias": some(out)}
    proj |= {"norm_out.weight": 1 + some(out), "norm_out.bias": some(out)}
    layers = cross_attentions(unet).items()
    keys = {f"{index}.{name}_ip.weight": some(*shape) for index, shape in layers for name in ("to_k", "to_v")}
    return {"image_proj": proj, "ip_adapter": keys}
