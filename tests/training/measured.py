"""Trains the tiny SDXL and prints what was forecast beside what was measured, in a process of its own."""

import json
import sys
from pathlib import Path

import torch

from ipseity.core.drawing import DrawOptions, draw_all
from ipseity.core.rng import Rng
from ipseity.training.forecast import forecast, looking_bytes
from ipseity.training.loop import FitOptions, PreviewPlan, fit
from ipseity.training.machine import GIB, held_bytes, peak_gib
from ipseity.training.run import Run
from ipseity.vision.toy_clip import ToyCLIP
from ipseity.vision.toy_vit import ToyViT
from tests.training.killed import TinyBatches, lora, single
from tests.training.toy import FACTS, RECIPE


class Repeated(TinyBatches):
    """The same rows many times, so that activations stand out against the libraries."""

    def __init__(self, small: TinyBatches, times: int) -> None:
        self.small, self.times = small, times

    def at(self, step: int, accumulate: int, rank: int = 0, world: int = 1):
        from dataclasses import replace

        for batch in self.small.at(step, accumulate, rank, world):
            rows = [row for row in range(4) for _ in range(self.times)]
            assert batch.cond is not None and batch.size_hints is not None
            yield replace(
                batch,
                latents=batch.latents[rows],
                captions=tuple(batch.captions[row] for row in rows),
                is_subject=batch.is_subject[rows],
                cond=batch.cond.take(rows),
                size_hints=batch.size_hints[rows],
            )


def main(folder: Path, times: int, pictures: int) -> None:
    learner, small, _ = lora()
    base = learner.base
    batches = Repeated(small, times)
    learner.loss(next(small.at(0, 1)), Rng(0))  # what libraries load at first use is there before anything is measured
    options = FitOptions(max_train_steps=2, save_every=2, preview_every=2)
    draw = DrawOptions(num_inference_steps=2, batch_size=pictures)
    draw_all(base.pipeline("text"), ["a mug"], [0], draw)
    before = held_bytes() / GIB
    encoders = [ToyCLIP.load(ToyCLIP.Options()), ToyViT.load(ToyViT.Options())]
    looking = looking_bytes(encoders, rows=16, side=128)
    told = forecast(base, learner, options, batch=next(batches.at(0, 1)), draw=draw, looking=looking)
    previews = PreviewPlan(("a mug",) * draw.batch_size, tuple(range(draw.batch_size)), draw)
    run = Run(folder)
    with run.open(RECIPE, FACTS):
        list(run.record(fit(learner, batches, single(), run, options, previews=previews)))
    with torch.no_grad():
        for encoder in encoders:
            encoder.embed(torch.zeros(16, 3, 128, 128))
    print(json.dumps({"forecast": told.peak_gib, "parts": told.parts, "before": before, "measured": peak_gib()}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
