"""Identities in the formats of other programs, by diffusers' own converters, mended where they lose something."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ipseity.core.files import explain, write_tensors
from ipseity.methods.parts.adapters import of_part

LORA_FILE, KOHYA_FILE = "pytorch_lora_weights.safetensors", "lora_kohya.safetensors"
TOKEN_FILE = "learned_embeds.safetensors"


@contextmanager
def writing_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and say in words why it cannot be written.

    Raises:
        RunError: the disk is full, or the place cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise explain(error, folder) from error


def write_diffusers_lora(base: Any, parts: Sequence[str], folder: Path) -> Path:
    """Write the adapter "default" of a base's parts as `load_lora_weights` reads it.

    The keys are peft's own and the alphas go along as metadata: converted keys lose every layer that is not attention,
    and without metadata alpha is taken for the rank.
    """
    from diffusers.training_utils import _collate_lora_metadata
    from peft.utils import get_peft_model_state_dict

    layers = {}
    for part in parts:
        tensors = get_peft_model_state_dict(base.parts()[part], adapter_name="default")
        layers[f"{part}_lora_layers"] = _with_text_model(tensors, part)
    metadata = _collate_lora_metadata({part: base.parts()[part] for part in parts})
    with writing_folder(folder):
        type(base.pipeline("text")).save_lora_weights(folder, **layers, **metadata)
    return folder / LORA_FILE


def write_kohya(tensors: Mapping[str, Tensor], alpha: float, folder: Path) -> Path:
    """Write low-rank layers under the names that kohya's trainer, ComfyUI and A1111 know.

    diffusers' converter writes alpha = rank whatever the true alpha, so each alpha is set here.

    Args:
        tensors: peft's keys with the part's name before them.
        alpha: the layers count alpha / rank.
        folder: where the file goes.
    """
    from diffusers.utils.state_dict_utils import convert_state_dict_to_kohya

    spelled: dict[str, Tensor] = {}
    for part in sorted({name.split(".")[0] for name in tensors}):
        spelled |= {f"{part}.{name}": value for name, value in _with_text_model(of_part(tensors, part), part).items()}
    converted = convert_state_dict_to_kohya(spelled)
    true = torch.tensor(float(alpha))  # each key gets a copy: safetensors refuses shared memory
    whole = {name: true.clone() if name.endswith(".alpha") else value for name, value in converted.items()}
    write_tensors(folder / KOHYA_FILE, whole, {"ss_network_module": "networks.lora"})
    return folder / KOHYA_FILE


def write_tokens(rows: Mapping[str, Tensor], token: str, folder: Path) -> Path:
    """Write token vectors: under `clip_l` and `clip_g` for two encoders, under the token itself for one."""
    named = dict(rows) if len(rows) > 1 else {token: next(iter(rows.values()))}
    write_tensors(folder / TOKEN_FILE, named, {"token": token})
    return folder / TOKEN_FILE


def _with_text_model(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Spell text encoders' layers with `text_model.`, which transformers dropped in 5.6 and other programs look for."""
    if not part.startswith("text_encoder"):
        return dict(tensors)
    return {name if name.startswith("text_model.") else f"text_model.{name}": value for name, value in tensors.items()}
