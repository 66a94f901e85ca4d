"""What the loop costs beside the bare forward, backward and optimizer step of the same batch.

Both run in one process, in turns, a block of steps each; of the ratios of all pairs of blocks the median is told.

    python -m benchmarks.loop_overhead [--base tiny|toybox] [--pairs 15] [--steps 10] [--rows 4]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Photo, Subject
from ipseity.training.engines.single import Single, SingleOptions
from ipseity.training.loop import FitOptions, fit, weigh
from ipseity.training.optim import make_optimizer
from ipseity.training.run import Run

RATE = 1e-4


class OneBatch:
    """The same batch at every step."""

    def __init__(self, base: Any, rows: int) -> None:
        side = base.resolution // base.latent_stride
        captions = tuple("a photo of sks mug" if row % 2 == 0 else "a photo of a mug" for row in range(rows))
        with torch.no_grad():
            cond = base.encode_text(captions)
        hints = base.size_hints([(base.resolution,) * 2] * rows, [(0, 0)] * rows)
        slots = {"text": cond.text, "pooled": cond.pooled, "size_hints": hints}
        latents = Rng(0).normal((rows, base.latent_channels, side, side)).to(base.device)
        self.batch = Batch(latents, captions, torch.arange(rows) % 2 == 0, type(cond)(**slots), hints)

    def at(self, step: int, accumulate: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        for _ in range(accumulate):
            yield self.batch


def begin(base: Any) -> Any:
    from ipseity.methods.lora import PLUGIN

    photo = Photo(Path("photo.png"), Image.new("RGB", (64, 64)), "0")
    return PLUGIN.begin(base, Subject("mug", (photo,), "mug", "sks"), {}, PLUGIN.Options.model_validate({"rank": 16}))


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Bare:
    """What the loop is held against: nothing but the three calls."""

    def __init__(self, learner: Any, batch: Batch) -> None:
        self.learner, self.batch = learner, batch
        self.parameters = list(learner.trainable().values())
        self.optimizer = make_optimizer(learner.trainable(), learning_rate=RATE, betas=(0.9, 0.999), weight_decay=0.01)

    def steps(self, first: int, count: int) -> None:
        for step in range(first, first + count):
            weigh(self.learner.loss(self.batch, Rng(0, ("fit",)).fork(step, 0, 0)), {}).backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)


def seconds(work: Any, device: torch.device) -> float:
    wait(device)
    started = time.process_time() if device.type == "cpu" else time.perf_counter()
    work()
    wait(device)
    return (time.process_time() if device.type == "cpu" else time.perf_counter()) - started


def measure(base: Any, *, pairs: int, steps: int, rows: int, folder: Path) -> dict[str, Any]:
    """Time blocks of both kinds in turns, on one learner, with a save outside the measured steps.

    On a processor the processor's own time is taken, so that neighbours on a busy machine do not count.
    """
    learner, batches, engine = begin(base), OneBatch(base, rows), Single.start(SingleOptions(device=base.device.type))
    bare, run = Bare(learner, batches.batch), Run(folder)
    total = steps * (pairs + 1)
    options = FitOptions.model_validate({"max_train_steps": total + 1, "learning_rate": RATE, "save_every": total + 1})
    ours, theirs = [], []
    with run.open("", {}):
        events = run.record(fit(learner, batches, engine, run, options))
        for pair in range(pairs + 1):
            blocks = {
                "ours": lambda: [next(events) for _ in range(steps)],
                "bare": lambda pair=pair: bare.steps(pair * steps, steps),
            }
            order = ("ours", "bare") if pair % 2 else ("bare", "ours")
            took = {name: seconds(blocks[name], base.device) / steps for name in order}
            if pair:  # the first pair warms up
                ours.append(took["ours"])
                theirs.append(took["bare"])
        events.close()
    learner.close()
    ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    return {
        "ratio": statistics.median(ratios),
        "quartiles": [ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]],
        "seconds_a_step": {"loop": statistics.median(ours), "bare": statistics.median(theirs)},
        "pairs": pairs,
        "steps": steps,
        "rows": rows,
        "clock": "processor" if base.device.type == "cpu" else "wall",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", choices=("tiny", "toybox"), default="tiny")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="cpu")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rows", type=int, default=4)
    given = parser.parse_args()
    device = Single.start(SingleOptions(device=given.device)).device
    with tempfile.TemporaryDirectory() as folder:
        seen = measure(
            load(given.base, device), pairs=given.pairs, steps=given.steps, rows=given.rows, folder=Path(folder)
        )
    low, high = seen["quartiles"]
    print(json.dumps({"base": given.base, "device": device.type, "threads": torch.get_num_threads(), **seen}))
    print(f"The loop takes {seen['ratio']:.3f} times the bare step (quartiles {low:.3f} to {high:.3f}).")


def load(name: str, device: torch.device) -> Any:
    if name == "tiny":
        from ipseity.bases.sdxl import SDXL

        return SDXL.tiny(device=device)
    from ipseity.bases.toybox import PLUGIN

    return PLUGIN.load(PLUGIN.Options(), device)


if __name__ == "__main__":
    main()
