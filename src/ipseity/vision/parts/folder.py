"""Reading an encoder from a folder in the transformers layout, bundled, local or from the Hub."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from ipseity.core.errors import WeightsError
from ipseity.core.files import read_json
from ipseity.core.options import Options
from ipseity.core.weights import check_loaded, licence_of, locate, quiet, unreadable, weight_files

PATTERNS = ("*.json", "*.txt", "README.md", "model.safetensors", "model-0*.safetensors")


class EncoderOptions(Options):
    """Where an encoder comes from."""

    weights: str
    """Folder in the transformers layout, or a Hub id ("owner/name")."""
    revision: str | None = None
    """Branch, tag or commit of a Hub id."""
    download: bool = False
    """Whether a Hub id may be fetched from the network; to say yes is to accept the licence of the weights."""


def bundled(name: str) -> str:
    """Give the folder of an encoder that comes with the package."""
    return str(files("ipseity") / "assets" / "toybox" / name)


def read_encoder(
    makers: Mapping[str, str], options: EncoderOptions, device: torch.device | str
) -> tuple[Any, Path, str]:
    """Read a frozen encoder, in fp32.

    Args:
        makers: `model_type` of its config.json -> transformers class, for each kind that is understood.
        options: where it is.
        device: where it shall live.

    Returns:
        The model, its folder, and its licence as far as a card states it.

    Raises:
        WeightsError: it is not here, cannot be trusted, or is of another kind.
    """
    folder = locate(options.weights, allow=PATTERNS, revision=options.revision, download=options.download)
    if not (folder / "config.json").is_file():
        raise WeightsError(
            f"{folder} has no config.json",
            "an encoder in the transformers layout",
            "name its folder, or fetch it again",
        )
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in makers:
        raise WeightsError(
            f"{folder} is a model of the kind '{kind}'", f"one of: {', '.join(makers)}", "choose another encoder"
        )
    weight_files(folder)
    import transformers

    try:
        with quiet():
            model, told = getattr(transformers, makers[kind]).from_pretrained(
                folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise unreadable(folder, error) from error
    # vision transformers are published without the pooler, which nothing here looks at
    lacking = [name for name in told.get("missing_keys", ()) if not str(name).startswith("pooler.")]
    check_loaded(str(folder), model, {**told, "missing_keys": lacking})
    return model.to(device).eval().requires_grad_(False), folder, licence_of(folder) or "not stated"


def absent(weights: str) -> str | None:
    """Say that a Hub id has no copy on this machine, or None where it has one."""
    from huggingface_hub import try_to_load_from_cache

    if isinstance(try_to_load_from_cache(weights, "config.json"), str):
        return None
    return f"the weights {weights} are not on this machine: name a local folder as `weights`, or set `download = true`"
