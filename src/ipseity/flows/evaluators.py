"""The evaluators of a benchmark: those at hand, and published DINO and CLIP where the user names them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ipseity.core.errors import MissingPackage
from ipseity.core.registry import find

AT_HAND = ("toy_vit", "efficientnet_lite2", "minilm_conse")
"""Evaluators that need no published weights; what is not installed is left out, said aloud."""


@dataclass(frozen=True)
class Evaluators:
    """Evaluators ready to look, and what is known of them."""

    loaded: Mapping[str, Any]
    marks: Mapping[str, str]
    """Name -> hash of weights and preparation: equal marks give equal scores."""
    named: Mapping[str, str]
    """Name -> folder or Hub id, where the user gave one."""
    missing: tuple[str, ...]
    """A sentence for each that is left out."""

    def facts(self) -> list[dict[str, Any]]:
        """Describe them for a manifest."""
        return [
            {
                "name": name,
                "weights": self.named.get(name, "bundled or installed"),
                "weights_hash": self.marks[name],
                "licence": getattr(encoder, "licence", "not stated"),
                "prepared": str(getattr(encoder, "_prepare", "not stated")),
            }
            for name, encoder in self.loaded.items()
        ]


def load_evaluators(
    names: Sequence[str], named: Mapping[str, str], device: Any, *, download: bool = False
) -> Evaluators:
    """Load evaluators.

    Args:
        names: those to use as they come; empty means those at hand.
        named: "dino" and "clip" -> folder in the transformers layout or Hub id. DINO's pictures are then prepared as the
            published scripts of DreamBench prepare them, CLIP's as its own checkpoint says.
        device: where they shall live.
        download: whether a Hub id may be fetched.

    Raises:
        RecipeError: nothing of that name is on the shelf.
        WeightsError: what was named is not here, cannot be trusted or is of another kind.
        MissingPackage: none can be loaded.
    """
    kinds = {name: find("encoders", name) for name in (*(names or AT_HAND), *named)}
    gone = {name: reason for name, kind in kinds.items() if name not in named and (reason := kind.missing())}
    loaded = {}
    for name, kind in kinds.items():
        where = {"weights": named[name], "download": download} if name in named else {}
        published = {"prepare": "dreambench"} if name in named and "prepare" in kind.Options.model_fields else {}
        if name not in gone:
            loaded[name] = kind.load(kind.Options(**where, **published), device)
    if not loaded:
        raise MissingPackage("no evaluator is here", "at least one", next(iter(gone.values())))
    missing = tuple(f"Evaluator {name} is left out: {reason}" for name, reason in gone.items())
    return Evaluators(loaded, {name: mark(encoder) for name, encoder in loaded.items()}, dict(named), missing)


def mark(encoder: Any) -> str:
    """Hash what decides an evaluator's scores: its name, its tensors and how it prepares pictures."""
    digest = hashlib.sha256(f"{encoder.name}".encode())
    for name, value in sorted(vars(encoder).items()):
        digest.update(name.encode())
        if isinstance(value, nn.Module):
            # poolers are looked at by nobody, and random where a checkpoint has none
            kept = {key: tensor for key, tensor in value.state_dict().items() if not key.startswith("pooler.")}
            for key, tensor in sorted(kept.items()):
                digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode() + _bytes(tensor))
        elif isinstance(value, Tensor):
            digest.update(_bytes(value))
        elif name == "_prepare":
            digest.update(repr(value).encode())
        elif name == "space":
            digest.update(str(value).encode())
        elif hasattr(value, "embed"):
            digest.update(mark(value).encode())
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
