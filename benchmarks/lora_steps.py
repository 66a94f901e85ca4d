"""Trains a LoRA on the toybox for a number of steps and draws nothing: our side of `against_diffusers`."""

import argparse
import json
import resource
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from ipseity.bases.toybox import PLUGIN as TOYBOX
from ipseity.core.drawing import DrawOptions, draw_all
from ipseity.core.image import to_pixels
from ipseity.core.types import Batch, Example
from ipseity.data.batches import DataOptions, make_batches
from ipseity.data.subject import SubjectOptions, read_subject
from ipseity.flows.personalize import example_subject
from ipseity.methods.lora import PLUGIN as LORA
from ipseity.training.engines.single import PLUGIN as SINGLE
from ipseity.training.loop import FitOptions, fit
from ipseity.training.run import Run

SIDE = 128


def tour_photos(folder: Path) -> Path:
    """Copy the example subject's photos, alone, into a folder."""
    folder.mkdir(parents=True)
    source, _ = example_subject()
    for path in sorted(source.iterdir()):
        if path.suffix in (".jpg", ".png"):
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


def make_class_images(folder: Path, count: int = 8) -> Path:
    """Draw class images with the toybox, few-step: both sides read the same files."""
    folder.mkdir(parents=True)
    pipeline = TOYBOX.load(TOYBOX.Options()).pipeline("text")
    for number, image in enumerate(
        draw_all(pipeline, ["a photo of a mug"] * count, range(count), DrawOptions(num_inference_steps=8))
    ):
        image.save(folder / f"{number:03d}.png")
    return folder


class Uncached:
    """The same batches, with every latent and every caption computed anew in its step."""

    def __init__(self, base, examples, batches):
        self.base, self.batches = base, batches
        self.subject, self.shown = ([to_pixels([e.image], (SIDE, SIDE)) for e in group] for group in examples)

    def at(self, step: int, accumulate: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        for batch in self.batches.at(step, accumulate, rank, world):
            pools = [self.subject if flag else self.shown for flag in batch.is_subject.tolist()]
            with torch.no_grad():
                latents = torch.cat([self.base.encode_image(pool[step % len(pool)]) for pool in pools])
                cond = replace(self.base.encode_text(batch.captions), size_hints=batch.cond.size_hints)
            yield replace(batch, latents=latents, cond=cond)


def main() -> None:
    """Train and print the memory peak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--classes", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--uncached", action="store_true")
    chosen = parser.parse_args()
    engine = SINGLE.start(SINGLE.Options(mixed_precision="no"))
    base = TOYBOX.load(TOYBOX.Options(), engine.device)
    subject = read_subject(SubjectOptions(photos=chosen.photos, class_noun="mug"))
    examples = tuple(Example(photo.image, ("a photo of a sks mug",), True) for photo in subject.photos)
    shown = tuple(
        Example(Image.open(path).convert("RGB"), ("a photo of a mug",), False)
        for path in sorted(chosen.classes.iterdir())
    )
    learner = LORA.begin(base, subject, {}, LORA.Options(rank=chosen.rank))
    batches = make_batches(base, examples, shown, DataOptions(crops=1, caption_dropout=0.0), cache_text=True, seed=0)
    fed = Uncached(base, (examples, shown), batches) if chosen.uncached else batches
    options = FitOptions(max_train_steps=chosen.steps, learning_rate=5e-4, save_every=10**6)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run")
        with run.open("", {}):
            for _ in fit(learner, fed, engine, run, options):
                pass
    print(json.dumps({"peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}), flush=True)


if __name__ == "__main__":
    main()
