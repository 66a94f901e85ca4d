"""Packs what has been trained so far into the plain diffusers and transformers folders that ship."""

import copy
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from toybox.train import sizes as shapes
from toybox.train.fewstep import FILE, FOLDER, STEPS, load_few_step, write_few_step
from toybox.train.runs import BUILD, ROOT, done_path, read_weights, save_state, weights_path
from toybox.train.sizes import FULL, Sizes
from toybox.train.tokenizer import save_tokenizer, second_form

SHIPPED = ROOT / "src" / "ipseity" / "assets" / "toybox"
LIMIT_MB = 60.0
PIXELS_TO_UNIT = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def assemble(parts: dict[str, torch.nn.Module], tokenizer: CLIPTokenizer) -> StableDiffusionXLPipeline:
    """Returns the stock pipeline over `vae`, `unet`, `text_encoder`, `text_encoder_2`."""
    return StableDiffusionXLPipeline(
        **parts,
        tokenizer=tokenizer,
        tokenizer_2=second_form(tokenizer),
        scheduler=shapes.build_scheduler(),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def write_base(pipe: StableDiffusionXLPipeline, folder: Path) -> None:
    """Saves the pipeline as fp16 under plain names, readable by older loaders too.

    `CLIPTextModel` lost its `text_model.` level in transformers 5.6; older readers and other programs want it, and new
    ones accept it, so the first encoder's keys are written with it.
    """
    parts = {
        name: copy.deepcopy(part).to(torch.float16)
        for name, part in pipe.components.items()
        if isinstance(part, torch.nn.Module)
    }
    half = assemble(parts, pipe.tokenizer)
    half.save_pretrained(folder, safe_serialization=True)
    for name, tokenizer in (("tokenizer", pipe.tokenizer), ("tokenizer_2", pipe.tokenizer_2)):
        save_tokenizer(tokenizer, folder / name)
    weights = folder / "text_encoder" / "model.safetensors"
    keys = {k if k.startswith("text_model.") else f"text_model.{k}": v for k, v in load_file(weights).items()}
    save_file(keys, weights, metadata={"format": "pt"})


def write_judges(clip: torch.nn.Module, vit: torch.nn.Module, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Saves `toy_clip` and `toy_vit` as fp16 with their tokenizer and picture settings."""
    side = clip.config.vision_config.image_size
    copy.deepcopy(clip).to(torch.float16).save_pretrained(folder / "toy_clip")
    save_tokenizer(tokenizer, folder / "toy_clip")
    copy.deepcopy(vit).to(torch.float16).save_pretrained(folder / "toy_vit")
    base = {
        "do_resize": True,
        "do_normalize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "resample": 3,
        **PIXELS_TO_UNIT,
    }
    clip_settings = {
        **base,
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": side},
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_convert_rgb": True,
    }
    vit_settings = {**base, "image_processor_type": "ViTImageProcessor", "size": {"height": side, "width": side}}
    for name, settings in (("toy_clip", clip_settings), ("toy_vit", vit_settings)):
        (folder / name / "preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def gather(build: Path = BUILD, sizes: Sizes = FULL) -> tuple[dict[str, torch.nn.Module], CLIPTokenizer, list[str]]:
    """Builds every network and fills in what has been trained.

    Returns:
        The networks by name, the tokenizer, and the names that still hold random weights.
    """
    tokenizer = CLIPTokenizer.from_pretrained(build / "tokenizer")
    vocab = len(tokenizer)
    torch.manual_seed(0)
    nets = {
        "vae": shapes.build_vae(sizes),
        "unet": shapes.build_unet(sizes),
        "text_encoder": shapes.build_text(sizes, vocab=vocab),
        "text_encoder_2": shapes.build_text_2(sizes, vocab=vocab),
        "toy_clip": shapes.build_toy_clip(sizes, vocab=vocab),
        "toy_vit": shapes.build_toy_vit(sizes),
    }
    random = []
    for name, net in nets.items():
        state = read_weights(build, name)
        if state is None:
            random.append(name)
            continue
        net.load_state_dict(state["weights"])
        if name == "vae":
            net.register_to_config(scaling_factor=state["scaling_factor"])
        net.eval()
    return nets, tokenizer, random


def package(target: Path = SHIPPED, build: Path = BUILD, sizes: Sizes = FULL) -> list[str]:
    """Writes the shipped folder; every file is replaced in one move, so a reader never sees half of one.

    Judges that were not trained in this build stay as they ship; a few-step LoRA stays if it was learned from this very base.

    Returns:
        Names of the parts that still hold random weights.
    """
    nets, tokenizer, random = gather(build, sizes)
    clip, vit = nets.pop("toy_clip"), nets.pop("toy_vit")
    staging = build / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    write_base(assemble(nets, tokenizer), staging)
    untrained = {"toy_clip", "toy_vit"} & set(random)
    if untrained and all((target / name / "model.safetensors").exists() for name in ("toy_clip", "toy_vit")):
        random = [name for name in random if name not in untrained]  # those that ship stay, with their own tokenizer
    else:
        write_judges(clip, vit, tokenizer, staging)
    for source in sorted(p for p in staging.rglob("*") if p.is_file()):
        goal = target / source.relative_to(staging)
        goal.parent.mkdir(parents=True, exist_ok=True)
        fresh = goal.with_name(goal.name + ".new")
        shutil.copyfile(source, fresh)
        fresh.replace(goal)
    shutil.rmtree(staging)
    write_few_step(target, build)
    return random


def unpack(build: Path = BUILD, folder: Path = SHIPPED) -> None:
    """Lays tokenizer and autoencoder of the shipped folder out as work products, so that training goes on from what ships.

    Latents of another autoencoder and rows of another tokenizer would be noise to the shipped denoiser.
    """
    shutil.copytree(folder / "tokenizer", build / "tokenizer", dirs_exist_ok=True)
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    kept = {"weights": vae.state_dict(), "scaling_factor": vae.config.scaling_factor}
    save_state(kept, weights_path(build, "vae"))
    for stage in ("vae", "decoder"):
        done_path(build, stage).write_text("unpacked\n")


def size_mb(folder: Path = SHIPPED) -> float:
    """Returns the size of the shipped folder in megabytes (10^6)."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6


def check(folder: Path = SHIPPED) -> None:
    """Loads the folder as a user would and draws once; raises when that fails or the folder is too large."""
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    image = pipe("a photo of a dog", num_inference_steps=2, guidance_scale=2.0).images[0]
    if image.size != (pipe.vae.config.sample_size,) * 2:
        raise RuntimeError(f"the folder drew {image.size}")
    if (folder / FOLDER / FILE).exists():
        quick = load_few_step(folder)
        quick.set_progress_bar_config(disable=True)
        quick("a photo of a dog", num_inference_steps=STEPS, guidance_scale=1.0)
    if size_mb(folder) > LIMIT_MB:
        raise RuntimeError(f"{size_mb(folder):.1f} MB is over the limit of {LIMIT_MB} MB")
