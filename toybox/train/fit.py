"""The training run of UNet and text encoders: clock-driven, resumable, by one process or by several that share a step.

Checkpoints hold weights, averages and AdamW's state; a resumed run warms its rates up again.
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTokenizer

from toybox.train import runs
from toybox.train.latents import Corpus, count_latents, load_corpus, token_rows
from toybox.train.optim import Both
from toybox.train.runs import BUILD, ROOT, Average, Clock
from toybox.train.unet import SMALL, Painter, build_painter, draw_batch, noise_path, phase_of, shipped_painter, v_loss

LEARNING_RATE = 8e-4
"""Of AdamW, for all that is no matrix."""
EVERY = 4
"""Steps between updates of the average."""
SAVE_SECONDS = 240
SHEET_STEPS = 400
"""Least number of steps between contact sheets."""
LOOK_FOR_SHARDS = 400
CALM = 0.6
"""Share of the schedule in which scenes are calm, where there are two sets: what things are is learned there, variety after."""
WARMUP = 60
"""Steps of every run, resumed or not, in which the rates rise."""


@dataclass(frozen=True)
class Plan:
    """What a run is asked to do.

    Attributes:
        minutes: length of the whole schedule, earlier runs counted in.
        batch: samples a step, over all ranks.
        lr: highest learning rate.
        shipped: start from these packaged weights with a fresh optimizer where no checkpoint is.
        ranks: processes that share every step. On a busy processor, two of one thread lose less than one of two threads, which
            waits for its slower half at every layer.
        hold: share of the schedule after which the rates fall.
        scenes: sets of scenes to learn from, one after the other; the last takes over at `CALM`.
    """

    minutes: float
    batch: int = 64
    lr: float = LEARNING_RATE
    shipped: Path | None = None
    ranks: int = 1
    hold: float = 0.55
    scenes: tuple[str, ...] = ("calm", "train")


class Course:
    """Networks, average, optimizer, clock and data of one rank."""

    def __init__(self, plan: Plan, rank: int, build: Path) -> None:
        self.plan, self.rank, self.build, self.where = plan, rank, build, runs.device()
        words = build if plan.shipped is None or (build / "tokenizer").is_dir() else plan.shipped
        tokenizer = CLIPTokenizer.from_pretrained(words / "tokenizer")
        self.painter = shipped_painter(plan.shipped, tokenizer) if plan.shipped else build_painter(len(tokenizer))
        for module in self.painter.modules().values():
            module.to(self.where).train()
        self.painter.unet.to(memory_format=torch.channels_last)
        if self.where.type == "cpu":
            self.painter.unet.set_attn_processor(AttnProcessor())  # a fifth faster than the fused kernel at these sizes
        self.average = Average(self.painter.parameters(), 0.996)
        self.optimizer = Both(self.painter.modules().values(), plan.lr, rank=rank, ranks=plan.ranks)
        self.step, elapsed = _restore(self.painter, self.average, self.optimizer, build)
        self.begun, self.samples = self.step, 0
        self.clock = Clock(plan.minutes * 60, elapsed)
        self.tokenizer, self.alphas = tokenizer, noise_path().to(self.where)
        self.empty = token_rows(tokenizer, [""])[0]
        self.scenes, self.files = "", 0
        self.corpus: Corpus | None = None

    def shown(self, progress: float) -> Corpus:
        """Returns the samples of a time of the schedule, read again where more have arrived."""
        scenes = self.plan.scenes[0 if progress < CALM else -1]
        if self.corpus is None or scenes != self.scenes or self.step % LOOK_FOR_SHARDS == 0:
            files = count_latents(self.build, scenes)
            if (scenes, files) != (self.scenes, self.files):
                self.scenes, self.files = scenes, files
                self.corpus = load_corpus(self.tokenizer, scenes, self.build)
        return self.corpus

    def backward(self, progress: float) -> float:
        """Adds the gradients of this rank's share of the step at `progress` and returns its loss."""
        # what ships has left small latents behind
        phase = phase_of(progress if self.plan.shipped is None else max(progress, SMALL))
        share = self.plan.batch // self.plan.ranks
        self.samples += share * self.plan.ranks
        batch = draw_batch(
            self.shown(progress), self.empty, self.step, batch=share, where=self.where, rank=self.rank, phase=phase
        )
        with runs.autocast(self.where):
            loss = v_loss(self.painter, batch, self.alphas)
        loss.mean().backward()
        return loss.mean().item()

    def update(self, progress: float) -> float:
        """Makes the step with the learning rate of `progress` and returns the norm of the gradients."""
        self.optimizer.set_rate(runs.rate(progress, self.step - self.begun, warmup=WARMUP, hold=self.plan.hold))
        norm = torch.nn.utils.clip_grad_norm_(self.painter.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        if self.step % EVERY == 0:
            self.average.update(self.step // EVERY)
        return float(norm)

    def save(self) -> None:
        """Writes the checkpoint and, for packaging and contact sheets, the averaged weights."""
        state = {
            "model": {k: m.state_dict() for k, m in self.painter.modules().items()},
            "average": self.average.kept,
            "optimizer": self.optimizer.state(),
            "step": self.step,
            "elapsed": self.clock.elapsed,
        }
        runs.save_state(state, self.build / "checkpoints" / "unet.pt")
        offset = 0
        for name, module in self.painter.modules().items():
            kept = {"weights": self.average.state(module, offset), "step": self.step}
            runs.save_state(kept, runs.weights_path(self.build, name))
            offset += len(list(module.parameters()))


def _restore(painter: Painter, average: Average, optimizer: Both, build: Path) -> tuple[int, float]:
    """Loads the checkpoint where there is one and returns its step and elapsed seconds."""
    kept = runs.load_state(build / "checkpoints" / "unet.pt")
    if kept is None:
        return 0, 0.0
    for name, module in painter.modules().items():
        module.load_state_dict(kept["model"][name])
    optimizer.restore(kept["optimizer"])
    average.kept = [t.to(p.device) for t, p in zip(kept["average"], average.live, strict=True)]
    return kept["step"], kept["elapsed"]


def share_gradients(parameters: list[torch.nn.Parameter], told: float, ranks: int) -> float:
    """Averages the gradients over all ranks.

    Args:
        parameters: the same parameters in the same order on every rank.
        told: what this rank has to say; only rank 0 may say anything but zero.
        ranks: how many there are; with one, nothing is sent.

    Returns:
        What rank 0 told.
    """
    if ranks == 1:
        return told
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([*(g.reshape(-1) for g in gradients), torch.tensor([told * ranks], device=gradients[0].device)])
    dist.all_reduce(flat)
    flat /= ranks
    pieces = flat[:-1].split([p.numel() for p in parameters])
    for parameter, piece in zip(parameters, pieces, strict=True):
        if parameter.grad is not None:
            parameter.grad.copy_(piece.view_as(parameter))
    return float(flat[-1])


def _start_sheet(step: int, build: Path) -> None:
    """Draws the contact sheet in a process of its own on one thread, so that training goes on."""
    command = [sys.executable, "-m", "toybox.train", "sheet", "--name", f"{step:06d}", "--threads", "1"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    log = (build / "sheets.log").open("a")
    subprocess.Popen(["nice", "-n", "5", *command], env=env, stdout=log, stderr=log, cwd=ROOT)


def _loop(course: Course) -> None:
    """Steps until rank 0's clock or a SIGTERM says that it is over; only rank 0 writes."""
    plan, rank, clock = course.plan, course.rank, course.clock
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))  # saves, then leaves
    clock.start()
    begun, saved, sheet, losses = clock.elapsed, clock.elapsed, course.step, []
    progress, over = clock.tick(), False
    while not over:
        losses = [*losses[-99:], course.backward(progress)]
        if not np.isfinite(losses[-1]):
            raise SystemExit(f"the loss is {losses[-1]} at step {course.step}: start again from the last checkpoint")
        mine = 0.0 if rank else (2.0 if stopped or clock.tick() >= 1 else clock.elapsed / clock.total)
        told = share_gradients(course.painter.parameters(), mine, plan.ranks)
        over, progress = told > 1.5, min(told, 1.0)
        norm = course.update(progress)
        if rank:
            continue
        if course.step % 20 == 0:
            speed = course.samples / max(clock.elapsed - begun, 1e-9)
            facts = {"loss": float(np.mean(losses)), "grad": norm, "per_second": speed}
            runs.note(course.build, "unet", step=course.step, progress=progress, **facts)
        if clock.elapsed - saved > SAVE_SECONDS:
            course.save()
            saved = clock.elapsed
            if course.step >= sheet + SHEET_STEPS:
                _start_sheet(course.step, course.build)
                sheet = course.step
    if rank == 0:
        course.save()
        if not stopped:
            runs.done_path(course.build, "unet").write_text(f"{course.step}\n")


def _work(rank: int, plan: Plan, meeting: str, build: Path) -> None:
    """Runs one rank; ranks meet through a file."""
    runs.keep_memory()
    if plan.ranks > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // plan.ranks))
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=plan.ranks)
    _loop(Course(plan, rank, build))
    if plan.ranks > 1:
        dist.destroy_process_group()


def train_unet(plan: Plan, build: Path = BUILD) -> None:
    """Trains until the clock's end (earlier runs counted in); the rate decays in the last part.

    Args:
        plan: what to do.
        build: folder of work products.
    """
    meeting = build / f"meeting-{os.getpid()}"
    spawn = torch.multiprocessing.get_context("spawn")
    others = [spawn.Process(target=_work, args=(r, plan, str(meeting), build)) for r in range(1, plan.ranks)]
    for process in others:
        process.start()
    _work(0, plan, str(meeting), build)
    for process in others:
        process.join()
    meeting.unlink(missing_ok=True)
