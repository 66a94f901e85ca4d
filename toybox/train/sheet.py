"""Contact sheets: fixed prompts and seeds, drawn by the stock pipeline, to be looked at."""

from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

from toybox.train.package import assemble, gather
from toybox.train.runs import BUILD

PROMPTS = (
    "a photo of a dog in the snow",
    "a photo of a red car in the city",
    "a photo of a blue backpack on the beach",
    "a photo of a purple elephant in a wheat field",
    "a photo of a stuffed animal in a living room",
    "a photo of a green mug on the table in a kitchen",
    "a penguin next to a red apple in the snow",
    "a photo of a yellow rubber duck",
    "a photo of a black cat in the forest",
    "a photo of a golden crown on pink fabric",
    "a photo of a white sneaker on a city street at night",
    "a photo of a small teal bowl with books behind it",
    "a photo of a robot in the city",
    "a photo of a pink cupcake with the Eiffel Tower in the background",
    "a photo of an orange can on a cobblestone street",
    "a photo of a guitar in the jungle",
    "a photo of a large turtle on the beach",
    "a photo of a truck, autumn leaves",
    "a close-up of a fox in the forest",
    "a photo of a sks backpack in the jungle",
    "a photo of a red bicycle in a city at night",
    "a photo of a blue teapot in a living room",
    "a photo of a purple toy in the snow",
    "a photo of a green dinosaur in the city",
)


def draw(
    pipe: StableDiffusionXLPipeline,
    prompts: list[str],
    seeds: list[int],
    *,
    batch: int = 12,
    guidance: float = 4.0,
    steps: int = 25,
) -> np.ndarray:
    """Draws one picture for each prompt and seed; the batch size does not change them.

    Returns:
        (N, H, W, 3) uint8.
    """
    pipe.set_progress_bar_config(disable=True)
    out = []
    for start in range(0, len(prompts), batch):
        chosen = slice(start, start + batch)
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[chosen]]
        made = pipe(
            prompts[chosen], generator=generators, guidance_scale=guidance, num_inference_steps=steps, output_type="np"
        ).images
        out.append((made * 255).round().astype(np.uint8))
    return np.concatenate(out)


def tile(images: np.ndarray, columns: int = 8) -> Image.Image:
    """Lays pictures out in rows."""
    rows = [np.concatenate(list(images[i : i + columns]), 1) for i in range(0, len(images), columns)]
    return Image.fromarray(np.concatenate(rows, 0))


def draw_sheet(name: str, build: Path = BUILD) -> Path:
    """Draws the fixed prompts with the averaged weights that training last saved."""
    nets, tokenizer, _ = gather(build)
    nets = {k: v for k, v in nets.items() if not k.startswith("toy_")}
    pipe = assemble(nets, tokenizer)
    path = build / "sheets" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    tile(draw(pipe, list(PROMPTS), list(range(len(PROMPTS))))).save(path)
    return path
