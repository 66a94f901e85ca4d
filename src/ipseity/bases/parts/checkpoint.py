"""What a checkpoint is made of, whatever file or folder it came from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ipseity.core.options import Options


class CheckpointOptions(Options):
    """Where weights come from and how they are held."""

    weights: str
    """Folder in the diffusers layout, one original .safetensors file, or a Hub id ("owner/name")."""
    variant: str | None = None
    """Middle part of the weight files' names: "fp16" reads `model.fp16.safetensors`."""
    revision: str | None = None
    """Branch, tag or commit of a Hub id."""
    dtype: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """Number format of the frozen weights; auto is fp32 on a processor and bf16 (or fp16) on an accelerator."""
    download: bool = False
    """Whether a Hub id may be fetched from the network; to say yes is to accept the licence of the weights."""

    def torch_dtype(self, device: torch.device) -> torch.dtype:
        """Give the number format for a device."""
        if self.dtype != "auto":
            return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[self.dtype]
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


@dataclass(frozen=True)
class Layout:
    """Which parts a family of checkpoints has, and of which classes."""

    base: str
    """Name of the base that reads it."""
    pipelines: frozenset[str]
    """`_class_name` in `model_index.json` that this base accepts."""
    stock_text: str
    """The stock text-to-image pipeline among them."""
    modules: Mapping[str, str]
    """Part -> "library.Class"."""
    tokenizers: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the stock pipelines beside the parts."""
    read_settings: tuple[str, ...] = ()
    """Which of these `model_index.json` may say otherwise."""
    original_key: str = ""
    """A tensor name that tells the family in a single original file."""
    reads_latent_moments: bool = False
    """Whether the stock pipelines heed `latents_mean` and `latents_std`."""
    licences: Mapping[str, str] = field(default_factory=dict)
    """Hub id -> licence, for those that are named before anything is fetched."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Modules that belong together, ready to be used."""

    modules: Mapping[str, Any]
    tokenizers: Mapping[str, Any]
    scheduler: Any
    settings: Mapping[str, Any]
    licence: str
    fingerprint: str
    """Hash of the weights as they were loaded."""
    few_step: Path | None = None
    """Folder of the few-step LoRA that it ships."""


def hash_modules(modules: Mapping[str, nn.Module]) -> str:
    """Hash the names, shapes, dtypes and bytes of all tensors."""
    digest = hashlib.sha256()
    for part, module in sorted(modules.items()):
        for name, tensor in sorted(module.state_dict().items()):
            digest.update(f"{part}.{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
