"""Reading a checkpoint that somebody else made, from a folder or from one original file, or refusing it in words."""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ipseity.bases.parts.checkpoint import Checkpoint, CheckpointOptions, Layout
from ipseity.bases.parts.few_step import FOLDER, find_few_step
from ipseity.core import registry
from ipseity.core.errors import WeightsError
from ipseity.core.files import read_json, sha256_of, sha256_of_file
from ipseity.core.weights import check_file, check_loaded, licence_of, locate, quiet, unreadable, weight_files

LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, NotImplementedError)
"""What diffusers and transformers raise when configuration and weights do not agree."""


@dataclass(frozen=True)
class Reading:
    """What a family reads in a way of its own."""

    check: Callable[[Layout, Path, Mapping[str, Any]], None]
    """Sees that the parts fit each other, and that the stock pipelines draw what the configuration says."""
    parts: Mapping[str, Callable[[Path, str, str | None, torch.dtype], Any]] = field(default_factory=dict)
    """Readers of parts that the libraries hold otherwise."""
    tokenizers: Mapping[str, Callable[[Path], Any]] = field(default_factory=dict)
    """Readers of tokenizers that are not CLIP's."""
    scheduler: type | None = None
    """The only scheduler whose path the base knows; None for all that add noise."""
    lacking: Callable[[Layout, Path, Mapping[str, tuple[int, ...]]], None] | None = None
    """Refuses a single file without all parts."""


def read_checkpoint(
    layout: Layout, options: CheckpointOptions, device: torch.device, reading: Reading | None = None
) -> Checkpoint:
    """Read a whole checkpoint on the processor, all modules in one number format.

    Args:
        layout: which parts it must have.
        options: where it is.
        device: where it will be used, which decides the number format that `auto` stands for.
        reading: what is read in a way of its own; unset means as families with a U-Net are.

    Raises:
        WeightsError: it is not here, cannot be trusted, or belongs to another base.
    """
    place = locate(
        options.weights,
        allow=_patterns(layout, options.variant),
        revision=options.revision,
        download=options.download,
        licence=layout.licences.get(options.weights, ""),
    )
    told = reading or Reading(_check_fit)
    dtype = options.torch_dtype(device)
    with quiet():
        checkpoint = (
            _read_folder(layout, place, options, dtype=dtype, reading=told)
            if place.is_dir()
            else _read_file(layout, place, options, dtype=dtype, reading=told)
        )
    told.check(layout, place, checkpoint.modules)
    return checkpoint


def _read_folder(
    layout: Layout, folder: Path, options: CheckpointOptions, *, dtype: torch.dtype, reading: Reading
) -> Checkpoint:
    index = _index(layout, folder)
    files: list[Path] = []
    modules: dict[str, Any] = {}
    for part, path in layout.modules.items():
        files += weight_files(folder / part, options.variant)
        modules[part] = reading.parts.get(part, _read_module)(folder / part, path, options.variant, dtype)
    tokenizers = {name: reading.tokenizers.get(name, _read_tokenizer)(folder / name) for name in layout.tokenizers}
    settings = {**layout.settings, **{key: index[key] for key in layout.read_settings if key in index}}
    licence = licence_of(folder) or layout.licences.get(options.weights, "not stated")
    hashed = sha256_of((path.parent.name, path.name, sha256_of_file(path)) for path in files)
    scheduler = _read_scheduler(folder, index, reading.scheduler)
    return Checkpoint(modules, tokenizers, scheduler, settings, licence, hashed, find_few_step(folder))


def _read_file(
    layout: Layout, path: Path, options: CheckpointOptions, *, dtype: torch.dtype, reading: Reading
) -> Checkpoint:
    shapes = check_file(path)
    if layout.original_key not in shapes:
        raise WeightsError(
            f"{path} is {_tell_family(shapes)}",
            f"an original {layout.base} checkpoint",
            "choose the base or option that reads it",
        )
    if reading.lacking is not None:
        reading.lacking(layout, path, shapes)
    import diffusers

    beside = next(
        (folder for folder in (path.with_suffix(""), path.parent) if (folder / "model_index.json").is_file()), None
    )
    if beside is not None:
        _index(layout, beside)
    maker = getattr(diffusers, layout.stock_text)
    extra = {key: value for key, value in layout.settings.items() if key not in layout.read_settings}
    try:
        loaded = maker.from_single_file(
            str(path),
            config=str(beside) if beside else None,
            dtype=dtype,
            local_files_only=beside is not None or not options.download,
            **extra,
        )
    except LOAD_ERRORS as error:
        if beside is not None:
            raise unreadable(path, error) from error
        raise WeightsError(
            f"{path} holds weights but no configuration, and none could be fetched",
            f"the checkpoint's folder of configurations beside it (with model_index.json), as {path.with_suffix('')}",
            "put it there, or set `download = true` to fetch the family's own",
        ) from error
    modules = {part: getattr(loaded, part).to(dtype) for part in layout.modules}
    for part, module in modules.items():
        check_loaded(f"{path} ({part})", module, {})
    settings = {**layout.settings, **{key: loaded.config[key] for key in layout.read_settings}}
    tokenizers = {name: getattr(loaded, name) for name in layout.tokenizers}
    return Checkpoint(modules, tokenizers, loaded.scheduler, settings, "not stated", sha256_of_file(path))


def _index(layout: Layout, folder: Path) -> dict[str, Any]:
    """Read `model_index.json` and see that the folder is of this base and complete."""
    path = folder / "model_index.json"
    if not path.is_file():
        raise WeightsError(
            f"{folder} has no model_index.json",
            "the top folder of a checkpoint in the diffusers layout",
            "name that folder, or fetch the checkpoint again",
        )
    index: dict[str, Any] = read_json(path)
    kind = index.get("_class_name")
    if kind not in layout.pipelines:
        others = [name for name in registry.names("bases") if kind in _pipelines_of(name)]
        todo = (
            f"Choose base '{others[0]}', which reads it"
            if others
            else "No base of this house reads it: choose another checkpoint"
        )
        raise WeightsError(
            f"{folder} is a {kind} checkpoint",
            f"one of {', '.join(sorted(layout.pipelines))} for base '{layout.base}'",
            todo,
        )
    wanted = {**layout.modules, "scheduler": "", **dict.fromkeys(layout.tokenizers, "")}
    lacking = [part for part in wanted if not (folder / part).is_dir()]
    if lacking:
        raise WeightsError(
            f"{folder} lacks {', '.join(lacking)}",
            f"all parts of base '{layout.base}'",
            "fetch or copy the checkpoint again",
        )
    wrong = {
        part: index[part][1]
        for part, cls in layout.modules.items()
        if part in index and index[part][1] != cls.split(".")[1]
    }
    if wrong:
        told = ", ".join(f"{part} is a {kind}" for part, kind in wrong.items())
        raise WeightsError(
            f"in {folder} {told}",
            ", ".join(f"{part}: {layout.modules[part]}" for part in wrong),
            "choose another checkpoint",
        )
    return index


def _read_module(folder: Path, path: str, variant: str | None, dtype: torch.dtype) -> Any:
    library, name = path.split(".")
    maker = getattr(importlib.import_module(library), name)
    try:
        module, told = maker.from_pretrained(
            folder, variant=variant, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except LOAD_ERRORS as error:
        raise unreadable(folder, error) from error
    check_loaded(str(folder), module, told)
    return module.to(dtype)


def _read_tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except LOAD_ERRORS as error:
        raise unreadable(folder, error) from error


def _read_scheduler(folder: Path, index: Mapping[str, Any], only: type | None) -> Any:
    import diffusers

    name = str(index.get("scheduler", [None, None])[1])
    maker = getattr(diffusers, name, None)
    known = maker is only if only else isinstance(maker, type) and hasattr(maker, "add_noise")
    if maker is None or not known:
        needed = only.__name__ if only else "a scheduler of diffusers"
        raise WeightsError(f"{folder} names the scheduler '{name}'", needed, "choose another checkpoint")
    try:
        return maker.from_pretrained(folder / "scheduler", local_files_only=True)
    except LOAD_ERRORS as error:
        raise unreadable(folder / "scheduler", error) from error


def _check_fit(layout: Layout, place: Path, modules: Mapping[str, Any]) -> None:
    """See that the parts fit each other, and that the stock pipelines draw what the configuration says."""
    unet, vae = modules["unet"].config, modules["vae"].config
    widths = [modules[part].config.hidden_size for part in layout.modules if part.startswith("text_encoder")]
    if unet.in_channels != vae.latent_channels:
        raise WeightsError(
            f"the U-Net of {place} takes {unet.in_channels} channels, its VAE gives {vae.latent_channels}",
            "a text-to-image checkpoint",
            "choose one; inpainting and depth checkpoints cannot be personalized here",
        )
    if unet.cross_attention_dim != sum(widths):
        raise WeightsError(
            f"the U-Net of {place} attends to texts {unet.cross_attention_dim} wide, "
            f"its text encoders give {sum(widths)}",
            "text encoders that belong to the U-Net",
            "choose a complete checkpoint",
        )
    if place.is_file() and len(set(widths)) < len(widths):
        raise WeightsError(
            f"both text encoders of {place} are {widths[0]} wide",
            "different widths, or they are confused in a single file",
            "load its folder instead",
        )
    told_apart = {"shift_factor": vae.get("shift_factor")}
    if not layout.reads_latent_moments:
        told_apart |= {key: vae.get(key) for key in ("latents_mean", "latents_std")}
    if ignored := [key for key, value in told_apart.items() if value]:
        raise WeightsError(
            f"the VAE of {place} sets {', '.join(ignored)}, which the stock {layout.base} pipelines ignore silently",
            "a scaling_factor alone",
            "fold the shift into the VAE's quant_conv and post_quant_conv, and remove these keys from its config.json",
        )


def _patterns(layout: Layout, variant: str | None) -> list[str]:
    middle = f".{variant}" if variant else ""
    parts = [*layout.modules, *layout.tokenizers, "scheduler"]
    names = ("model", "diffusion_pytorch_model")
    weights = [
        f"{part}/{name}{middle}{end}"
        for part in layout.modules
        for name in names
        for end in (".safetensors", "-0*.safetensors")
    ]
    return [
        "model_index.json",
        "README.md",
        *(f"{FOLDER}/*{end}" for end in (".json", ".safetensors")),
        *(f"{part}/*.json" for part in parts),
        *(f"{part}/*.txt" for part in parts),
        *weights,
    ]


def _pipelines_of(name: str) -> frozenset[str]:
    layout = getattr(registry.find("bases", name), "layout", None)
    return layout.pipelines if isinstance(layout, Layout) else frozenset()


def _tell_family(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Say what an original file is, by its tensor names."""
    if any(re.search(r"lora[_.](down|up|A|B|te|unet)", name) for name in shapes):
        return "a LoRA, not a whole checkpoint"
    for name in registry.names("bases"):
        layout = getattr(registry.find("bases", name), "layout", None)
        if isinstance(layout, Layout) and layout.original_key in shapes:
            return f"a checkpoint for base '{layout.base}'"
    return "not a checkpoint that any base reads (a single part, or another family)"
