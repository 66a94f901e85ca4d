"""Measures what ships: held-out combinations marked by the checker, the judges, the autoencoder, its size."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline
from PIL import Image, ImageOps
from transformers import CLIPModel, CLIPTokenizer, ViTModel

from toybox.train.checker import accuracy, guess, load_checker
from toybox.train.judges import clip_figures, vit_figures
from toybox.train.letters import letter_figures
from toybox.train.package import SHIPPED, size_mb
from toybox.train.runs import BUILD, note, read_weights
from toybox.train.shards import each_shard
from toybox.train.sheet import draw, tile
from toybox.train.vae import psnr

GOALS = {"class": 0.60, "colour": 0.85, "place": 0.95}


def held_out_combinations(count: int) -> list[dict[str, str]]:
    """Draws combinations of class, colour and place that training never saw, each with one plain prompt."""
    from toybox.world import describe
    from toybox.world.grammar import article
    from toybox.world.places import PLACES

    out: list[dict[str, str]] = []
    seed = 0
    while len(out) < count:
        scene = describe(seed, split="heldout")
        seed += 1
        if scene.thing.colour is None:
            continue
        noun, colour, place = scene.thing.class_noun, scene.thing.colour, scene.place.name
        phrase = PLACES[place].phrases[seed % len(PLACES[place].phrases)]
        out.append(
            {
                "class": noun,
                "colour": colour,
                "place": place,
                "prompt": f"a photo of {article(f'{colour} {noun}')} {phrase}",
            }
        )
    return out


def interval(right: list[bool]) -> tuple[float, float, float]:
    """Returns the share of right answers with its Wilson 95 % interval."""
    n, p, z = len(right), float(np.mean(right)), 1.96
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return p, middle - half, middle + half


def _fingerprint(folder: Path) -> str:
    """Names the weights that draw, so that pictures are drawn again only for other weights."""
    digest = hashlib.sha256()
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        for path in sorted((folder / name).glob("*.safetensors")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def base_figures(count: int, build: Path = BUILD, folder: Path = SHIPPED, *, part: tuple[int, int] = (0, 1)) -> dict:
    """Draws held-out combinations with the shipped folder at its usual settings and has the checker mark them.

    With `part=(i, n)` only every n-th is drawn; marks are kept by part and joined by the last call.
    """
    combos = held_out_combinations(count)
    mine = list(range(part[0], count, part[1]))
    target = build / "measured"
    target.mkdir(parents=True, exist_ok=True)
    weights = _fingerprint(folder)
    pictures = target / f"part-{part[0]}-of-{part[1]}-of-{count}-{weights}.npy"
    if not pictures.exists():
        pipe = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32, add_watermarker=False)
        np.save(pictures, draw(pipe, [combos[i]["prompt"] for i in mine], [1000 + i for i in mine], batch=25))
    drawn = np.load(pictures)
    net, words = load_checker(build)
    said = guess(net, words, drawn)
    rows = [{**combos[i], "said": s} for i, s in zip(mine, said, strict=True)]
    pictures.with_suffix(".json").write_text(json.dumps(rows, indent=1))
    tile(drawn[:96], 12).save(target / f"drawn-{part[0]}.png")
    files = [target / f"part-{i}-of-{part[1]}-of-{count}-{weights}.json" for i in range(part[1])]
    if not all(f.exists() for f in files):
        return {}
    joined = [row for f in files for row in json.loads(f.read_text())]
    return {key: interval([row["said"][key] == row[key] for row in joined]) for key in GOALS} | {"count": len(joined)}


def photos_at(folder: Path, side: int) -> np.ndarray:
    """Reads all photos under a folder, upright, cropped to a square in the middle."""
    out = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"}):
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        out.append(np.asarray(ImageOps.fit(image, (side, side), Image.LANCZOS)))
    return np.stack(out)


def vae_figures(build: Path = BUILD, folder: Path = SHIPPED) -> dict[str, float]:
    """Returns PSNR of a round trip on renders never seen and, where they lie there, on real photos, and letters read."""
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    unseen = next(each_shard("unseen", build)).images[:256]
    read = letter_figures(vae)
    out = {"psnr_renders": psnr(vae, unseen), "letters_crisp": read["crisp"], "letters": read["decoded"]}
    if os.environ.get("IPSEITY_DREAMBENCH"):
        photos = photos_at(Path(os.environ["IPSEITY_DREAMBENCH"]), vae.config.sample_size)
        out |= {"psnr_photos": psnr(vae, photos), "photos": len(photos)}
    return out


def size_figures(build: Path = BUILD, folder: Path = SHIPPED) -> dict[str, float]:
    """Returns megabytes, training steps and entries of the vocabulary."""
    steps = (read_weights(build, "unet") or {}).get("step", 0)
    return {
        "megabytes": size_mb(folder),
        "steps": steps,
        "vocab": len(CLIPTokenizer.from_pretrained(folder / "tokenizer")),
    }


def measure(count: int = 500, only: str | None = None, part: tuple[int, int] = (0, 1), build: Path = BUILD) -> dict:
    """Measures everything (or one of `base`, `vae`, `judges`, `checker`) and keeps it in build/toybox/figures.json."""
    clip = CLIPModel.from_pretrained(SHIPPED / "toy_clip", dtype=torch.float32)
    vit = ViTModel.from_pretrained(SHIPPED / "toy_vit", dtype=torch.float32, add_pooling_layer=False)
    tokenizer = CLIPTokenizer.from_pretrained(SHIPPED / "toy_clip")
    tasks = {
        "checker": lambda: accuracy(build),
        "vae": lambda: vae_figures(build),
        "judges": lambda: {"toy_clip": clip_figures(clip, tokenizer, build), "toy_vit": vit_figures(vit, build)},
        "base": lambda: base_figures(count, build, part=part),
        "size": lambda: size_figures(build),
    }
    made = {}
    for name, task in tasks.items():
        if only in (None, name) and (found := task()):
            made[name] = found
            note(build, "measure", **{name: json.dumps(found)})
    path = build / "figures.json"
    figures = (json.loads(path.read_text()) if path.exists() else {}) | made
    path.write_text(json.dumps(figures, indent=2) + "\n")
    return figures
