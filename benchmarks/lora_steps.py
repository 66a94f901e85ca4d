"""Trains a LoRA on the toybox for a number of steps and draws nothing: our side of `against_diffusers`.

Alone it tells what the memory forecast says beside the measured peak:

    python -m benchmarks.lora_steps --prepare build/lora_steps
    python -m benchmarks.lora_steps --pictures build/lora_steps --steps 50
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ipseity.bases.toybox import PLUGIN as TOYBOX
from ipseity.core.drawing import DrawOptions, draw_all
from ipseity.core.image import to_pixels
from ipseity.core.types import Batch, Example
from ipseity.data.batches import Batches, DataOptions, make_batches
from ipseity.data.subject import SubjectOptions, read_subject
from ipseity.flows.personalize import example_subject
from ipseity.methods.lora import PLUGIN as LORA
from ipseity.training.engines.single import PLUGIN as SINGLE
from ipseity.training.forecast import forecast, peak_gib
from ipseity.training.loop import FitOptions, fit
from ipseity.training.run import Run

SIDE, CLASS_IMAGES = 128, 8


def prepare(folder: Path) -> None:
    """Lay out what both sides read: the example subject's photos, and class images that the toybox drew in few steps."""
    photos, classes = folder / "photos", folder / "classes"
    photos.mkdir(parents=True)
    classes.mkdir()
    source, _ = example_subject()
    for path in sorted(source.iterdir()):
        if path.suffix in (".jpg", ".png"):
            (photos / path.name).write_bytes(path.read_bytes())
    pipeline = TOYBOX.load(TOYBOX.Options()).pipeline("text")
    few = DrawOptions.model_validate({"num_inference_steps": 8})
    for number, image in enumerate(draw_all(pipeline, ["a photo of a mug"] * CLASS_IMAGES, range(CLASS_IMAGES), few)):
        image.save(classes / f"{number:03d}.png")


class Uncached:
    """The same batches, with every latent computed anew in its step; captions stay encoded, as in diffusers' script."""

    def __init__(self, base: Any, examples: Sequence[Sequence[Example]], batches: Batches) -> None:
        self.base, self.batches = base, batches
        self.subject, self.shown = ([to_pixels([e.image], (SIDE, SIDE)) for e in group] for group in examples)

    def at(self, step: int, accumulate: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Give the batches of one optimizer step."""
        for batch in self.batches.at(step, accumulate, rank, world):
            pools = [self.subject if flag else self.shown for flag in batch.is_subject.tolist()]
            with torch.no_grad():
                latents = torch.cat([self.base.encode_image(pool[step % len(pool)]) for pool in pools])
            yield replace(batch, latents=latents)


def train(pictures: Path, steps: int, *, rank: int, cached: bool) -> dict[str, float]:
    """Train, and give the forecast of memory and the peak."""
    engine = SINGLE.start(SINGLE.Options.model_validate({"mixed_precision": "no"}))
    base = TOYBOX.load(TOYBOX.Options(), engine.device)
    subject = read_subject(SubjectOptions.model_validate({"photos": pictures / "photos", "class_noun": "mug"}))
    examples = tuple(Example(photo.image, ("a photo of a sks mug",), True) for photo in subject.photos)
    shown = tuple(
        Example(Image.open(path).convert("RGB"), ("a photo of a mug",), False)
        for path in sorted((pictures / "classes").iterdir())
    )
    learner = LORA.begin(base, subject, {}, LORA.Options.model_validate({"rank": rank}))
    one_view = DataOptions.model_validate({"crops": 1, "regularization_crops": 1, "caption_dropout": 0.0})
    batches = make_batches(base, examples, shown, one_view, cache_text=True, seed=0)
    fed = batches if cached else Uncached(base, (examples, shown), batches)
    options = FitOptions.model_validate({"max_train_steps": steps, "learning_rate": 5e-4, "save_every": 10**6})
    # the smallest picture, since nothing is drawn here
    unseen = DrawOptions.model_validate({"batch_size": 1, "height": 32, "width": 32})
    told = forecast(base, learner, options, batch=next(iter(batches.at(0, 1))), draw=unseen)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        with run.open("", {}):
            for _ in fit(learner, fed, engine, run, options):
                pass
    return {"forecast_gib": told.peak_gib, "peak_gib": peak_gib(engine.device)}


def main() -> None:
    """Train and print forecast and peak of memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--prepare", type=Path, metavar="FOLDER", help="only lay out photos and class images in a folder"
    )
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="what --prepare laid out")
    parser.add_argument("--steps", type=int, default=50, help="(%(default)s)")
    parser.add_argument("--rank", type=int, default=16, help="(%(default)s)")
    parser.add_argument("--uncached", action="store_true", help="encode the pictures anew in each step")
    chosen = parser.parse_args()
    if chosen.prepare:
        prepare(chosen.prepare)
    elif chosen.pictures:
        print(
            json.dumps(train(chosen.pictures, chosen.steps, rank=chosen.rank, cached=not chosen.uncached)), flush=True
        )
    else:
        parser.error("--prepare or --pictures is needed")


if __name__ == "__main__":
    main()
