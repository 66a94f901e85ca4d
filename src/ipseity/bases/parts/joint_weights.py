"""Reading checkpoints with a joint transformer: two CLIP text encoders, T5 if it is asked for, and a shifted VAE."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ipseity.bases.parts.checkpoint import Checkpoint, CheckpointOptions, Layout
from ipseity.bases.parts.weights import LOAD_ERRORS, Reading, read_checkpoint
from ipseity.core.errors import WeightsError
from ipseity.core.weights import check_loaded, unreadable

T5 = {"text_encoder_3": "transformers.T5EncoderModel"}
WITHOUT_T5: Mapping[str, Any] = {"text_encoder_3": None, "tokenizer_3": None}
"""What the stock pipelines are told where T5 is left out; they give zeros for what it would say."""
SINGLE_FILE_PARTS = {
    "model.diffusion_model.": "transformer",
    "first_stage_model.": "vae",
    "text_encoders.clip_l.": "text_encoder",
    "text_encoders.clip_g.": "text_encoder_2",
}
"""Beginnings of tensor names in an original file, and the part that they are of."""


class JointOptions(CheckpointOptions):
    """Where weights come from, how they are held, and whether T5 reads the prompts too."""

    t5: bool = False
    """Whether T5 reads prompts beside CLIP: it follows long ones better and takes 9 GiB more in 16 bits. A learned token reaches
    CLIP only: T5 hears it as the letters it is written in."""


def read_joint(layout: Layout, options: JointOptions, device: torch.device) -> Checkpoint:
    """Read a whole checkpoint on the processor, in one number format.

    Args:
        layout: which parts it must have; T5 is no part of it.
        options: where it is, and whether T5 is wanted.
        device: where it will be used, which decides the number format that `auto` stands for.

    Raises:
        WeightsError: it is not here, cannot be trusted, or belongs to another base.
    """
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

    reading = Reading(
        _check_agreement,
        parts=dict.fromkeys(T5, _read_t5),
        tokenizers={"tokenizer_3": _read_t5_tokenizer},
        scheduler=FlowMatchEulerDiscreteScheduler,
        lacking=_check_file,
    )
    checkpoint = read_checkpoint(_with_t5(layout) if options.t5 else layout, options, device, reading)
    return replace(checkpoint, licence=layout.licences.get(options.weights, "") or checkpoint.licence)


def _with_t5(layout: Layout) -> Layout:
    settings = {key: value for key, value in layout.settings.items() if key not in WITHOUT_T5}
    return replace(
        layout, modules={**layout.modules, **T5}, tokenizers=(*layout.tokenizers, "tokenizer_3"), settings=settings
    )


def _check_file(layout: Layout, path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse an original file without all parts, and one that T5 is asked of."""
    if T5.keys() & layout.modules.keys():
        raise WeightsError(
            f"{path} is a single file, and base.t5 is true",
            "a folder in the diffusers layout, which T5 is read from",
            "name that folder as `weights`, or leave base.t5 out",
        )
    if lacking := [
        part for start, part in SINGLE_FILE_PARTS.items() if not any(one.startswith(start) for one in shapes)
    ]:
        raise WeightsError(
            f"{path} lacks {', '.join(lacking)}",
            f"one file with all parts of base '{layout.base}'",
            "choose the file whose name says that the text encoders are in it, or the folder in the diffusers layout",
        )


def _read_t5(folder: Path, _: str, variant: str | None, dtype: torch.dtype) -> Any:
    """Read T5 as its library holds it: in fp16 some layers overflow, and those stay in fp32."""
    from transformers import T5EncoderModel

    maker: Any = T5EncoderModel
    try:
        module, told = maker.from_pretrained(
            folder, variant=variant, dtype=dtype, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
    except LOAD_ERRORS as error:
        raise unreadable(folder, error) from error
    check_loaded(str(folder), module, told)
    return module


def _read_t5_tokenizer(folder: Path) -> Any:
    import transformers as library

    transformers: Any = library  # its lazy modules tell type checkers less than they hold
    try:
        return transformers.T5TokenizerFast.from_pretrained(folder, local_files_only=True)
    except LOAD_ERRORS as error:
        raise unreadable(folder, error) from error


def _check_agreement(_: Layout, place: Path, modules: Mapping[str, Any]) -> None:
    """See that the parts fit each other, and that the stock pipelines draw what the configuration says."""
    transformer, vae = modules["transformer"].config, modules["vae"].config
    clips = [modules[part].config for part in ("text_encoder", "text_encoder_2")]
    widths, pooled = [one.hidden_size for one in clips], sum(one.projection_dim for one in clips)
    if transformer.in_channels != vae.latent_channels:
        raise WeightsError(
            f"the transformer of {place} takes {transformer.in_channels} channels, its VAE gives {vae.latent_channels}",
            "a text-to-image checkpoint",
            "choose one; inpainting checkpoints cannot be personalized here",
        )
    if transformer.pooled_projection_dim != pooled or transformer.joint_attention_dim < sum(widths):
        raise WeightsError(
            f"the transformer of {place} takes texts {transformer.joint_attention_dim} wide and pooled texts "
            f"{transformer.pooled_projection_dim} wide, its CLIP encoders give {sum(widths)} and {pooled}",
            "text encoders that belong to the transformer",
            "choose a complete checkpoint",
        )
    t5 = modules.get("text_encoder_3")
    if t5 is not None and t5.config.d_model != transformer.joint_attention_dim:
        raise WeightsError(
            f"T5 of {place} is {t5.config.d_model} wide, its transformer takes {transformer.joint_attention_dim}",
            "the T5 that belongs to the transformer",
            "choose a complete checkpoint, or leave base.t5 out",
        )
    if place.is_file() and len(set(widths)) < len(widths):
        raise WeightsError(
            f"both text encoders of {place} are {widths[0]} wide",
            "different widths, or they are confused in a single file",
            "load its folder instead",
        )
    _check_shift(place, vae)


def _check_shift(place: Path, vae: Any) -> None:
    if vae.get("shift_factor") is None:
        raise WeightsError(
            f"the VAE of {place} sets no shift_factor, which the stock pipelines add",
            "a number, 0.0 for none",
            "write it into the VAE's config.json",
        )
    if ignored := [key for key in ("latents_mean", "latents_std") if vae.get(key)]:
        raise WeightsError(
            f"the VAE of {place} sets {', '.join(ignored)}, which the stock pipelines ignore silently",
            "shift_factor and scaling_factor alone",
            "remove these keys from its config.json if shift_factor and scaling_factor say the same",
        )
