"""Kills a training again and again and takes it up each time; a program of its own, so that children fork from little.

Prints what was seen as JSON: where each kill fell, and every complete checkpoint that a kill made disappear or change.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from PIL import Image

from ipseity.core.files import sha256_of_file
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Photo, Subject
from ipseity.training.loop import FitOptions, fit
from ipseity.training.optim import make_optimizer
from ipseity.training.run import Run
from tests.training.toy import FACTS, RECIPE, ToyBatches, ToyLearner, single


class TinyBatches:
    """Latents and encoded captions for the tiny SDXL."""

    def __init__(self, base) -> None:
        captions = ("a photo of sks mug", "", "a photo of a mug", "a mug on a table")
        cond = base.encode_text(captions)
        hints = base.size_hints([(64, 64)] * 4, [(0, 0)] * 4)
        self.cond = cond.to("cpu")
        self.base, self.captions, self.hints = base, captions, hints

    def at(self, step: int, accumulate: int, rank: int = 0, world: int = 1):
        from dataclasses import replace

        side = self.base.resolution // self.base.latent_stride
        for micro in range(accumulate):
            latents = Rng(1).fork(step, rank, micro).normal((4, self.base.latent_channels, side, side))
            is_subject = torch.tensor([True, True, False, False])
            cond = replace(self.cond, size_hints=self.hints)
            yield Batch(latents, self.captions, is_subject, cond, self.hints)


def toy():
    return ToyLearner(), ToyBatches(), FitOptions(max_train_steps=60, learning_rate=1e-2, save_every=2)


def lora():
    from ipseity.bases.sdxl import SDXL
    from ipseity.methods.lora import PLUGIN

    base = SDXL.tiny()
    photo = Photo(Path("a.png"), Image.new("RGB", (64, 64)), "0")
    subject = Subject("mug", (photo,) * 4, "mug", "sks")
    learner = PLUGIN.begin(base, subject, {}, PLUGIN.Options(rank=4))
    with torch.no_grad():
        batches = TinyBatches(base)
    return learner, batches, FitOptions(max_train_steps=12, learning_rate=1e-2, save_every=2)


def train(folder: Path, ready: tuple) -> None:
    learner, batches, options = ready
    run = Run(folder)
    with run.open(RECIPE, FACTS):
        list(run.record(fit(learner, batches, single(), run, options)))


def warm_up() -> None:
    """Load what torch loads at an optimizer's first step: most of a short child would be that."""
    value = torch.nn.Parameter(torch.zeros(1))
    value.grad = torch.ones(1)
    make_optimizer({"value": value}, learning_rate=0.1, betas=(0.9, 0.999), weight_decay=0.0).step()


def child(folder: Path, ready: tuple) -> int:
    """Train in a process of its own, from what is ready here, and give the process's number."""
    number = os.fork()
    if number:
        return number
    try:
        train(folder, ready)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)
    os._exit(0)


def wait_for(run: Run, step: int, number: int) -> bool:
    """Wait until a step is told; gives whether the child still runs."""
    while os.waitpid(number, os.WNOHANG)[0] == 0:
        if any(record["event"] == "Stepped" and record["step"] >= step for record in run.events()):
            return True
        time.sleep(0.002)
    return False


def complete(run: Run) -> dict[str, str]:
    return {
        f"{point.step} {path.name}": sha256_of_file(path)
        for point in run.checkpoints()
        for path in point.folder.iterdir()
    }


def main(root: Path, kind: str, kills: int, seed: int) -> None:
    warm_up()
    ready, chance = {"toy": toy, "lora": lora}[kind](), random.Random(seed)
    total = ready[2].max_train_steps
    started = time.perf_counter()
    _, ended = os.waitpid(child(root / "unbroken", ready), 0)
    assert ended == 0, "the unbroken run failed"
    a_step = (time.perf_counter() - started) / total
    run, lost, fell = Run(root / "broken"), [], []
    for _ in range(kills):
        before, step = complete(run), run.step
        number = child(root / "broken", ready)
        alive = wait_for(run, step + chance.randint(1, max(2, 2 * total // kills)), number)
        time.sleep(chance.uniform(0, 2) * a_step)
        if alive:
            os.kill(number, signal.SIGKILL)
            _, ended = os.waitpid(number, 0)
        after = complete(run)
        lost += [name for name, content in before.items() if after.get(name) != content]
        if alive and ended == signal.SIGKILL:
            folders = sum(folder.is_dir() for folder in (root / "broken/checkpoints").glob("*"))
            fell.append(
                {"step": run.step, "events": len(run.events()), "half_written": folders - len(run.checkpoints())}
            )
    _, ended = os.waitpid(child(root / "broken", ready), 0)
    assert ended == 0, "the last run failed"
    print(json.dumps({"kills": fell, "lost": lost, "seconds_a_step": a_step}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
