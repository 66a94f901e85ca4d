"""The training run: a frozen base, a student, rows that were encoded before; on a clock or for a number of steps, resumable.

Checkpoints hold everything that moves, so a resumed run of a number of steps is bit for bit the run that was never broken. A run on
a clock cannot be, since its rates follow the seconds.
"""

import dataclasses
import json
import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast

from ipseity.bases.parts.checkpoint import CheckpointOptions
from ipseity.bases.sdxl import SDXL
from toybox.instantid.batches import Batch, Shown, Turn, check_shown, draw_batch
from toybox.instantid.cache import Corpus, encode_rows
from toybox.instantid.student import Make, Student
from toybox.train import runs
from toybox.train.runs import Average, Clock

STAGE = "instantid"


@dataclass(frozen=True)
class Pace:
    """How long and how fast a run learns.

    Attributes:
        minutes: length of the schedule on the clock, earlier runs counted in; unused where `steps` is set.
        steps: length of the schedule in steps; unset means the clock.
        batch: samples a step and process.
        accumulate: parts that a step's batch is cut into for each process.
        lr: highest learning rate of AdamW.
        warmup: steps in which the rate rises.
        hold: share of the schedule after which it falls, as half a cosine.
        max_norm: longest gradient.
        average: decay of the averaged weights that are packaged; 0 keeps the live ones.
        save_seconds: between checkpoints.
    """

    minutes: float = 90.0
    steps: int | None = None
    batch: int = 16
    accumulate: int = 1
    lr: float = 1e-4
    warmup: int = 100
    hold: float = 0.6
    max_norm: float = 1.0
    average: float = 0.998
    save_seconds: float = 240.0


@dataclass(frozen=True)
class Plan:
    """What a run is asked to do.

    Attributes:
        rows: a finished set.
        base: a folder in the diffusers layout of SDXL.
        out: receives checkpoints, weights and the log.
        shown: how rows are shown.
        pace: how long and how fast.
        tokens: that an embedding becomes.
        hidden: width of the resampler.
        learns: "both", "adapter" or "net".
        net_hears: "identity" or "text".
        start: "silent" or "copied".
        precision: "no", "bf16" or "fp16", as accelerate names them.
        checkpointing: whether activations are computed again to save memory.
        seed: decides every weight and every batch.
    """

    rows: Path
    base: Path
    out: Path
    shown: Shown = field(default_factory=Shown)
    pace: Pace = field(default_factory=Pace)
    tokens: int = 16
    hidden: int = 256
    learns: str = "both"
    net_hears: str = "identity"
    start: str = "silent"
    precision: str = "no"
    checkpointing: bool = False
    seed: int = 0

    def recipe(self) -> dict[str, Any]:
        """Returns what must not change while a run goes on, as plain JSON."""
        told = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        for name in ("out", "precision", "checkpointing"):
            told.pop(name)
        for name in ("minutes", "steps", "save_seconds"):
            told["pace"].pop(name)
        return told


def read_base(folder: Path, *, dtype: str = "fp32", device: torch.device | str = "cpu") -> SDXL:
    """Reads a frozen base of any width in SDXL's layout."""
    return SDXL.load(CheckpointOptions(weights=str(folder), dtype=dtype), device)


class Course:
    """Base, student, optimizer, data and clock of one process.

    Args:
        plan: what to do.
        accelerator: unset makes one from the plan.

    Raises:
        ValueError: the folder holds a run of another recipe, or the rows cannot serve the options.
    """

    def __init__(self, plan: Plan, accelerator: Accelerator | None = None) -> None:
        self.plan = plan
        self.accelerator = accelerator or Accelerator(mixed_precision=plan.precision, cpu=not torch.cuda.is_available())
        dtype = {"no": "fp32"}.get(plan.precision, plan.precision)
        self.base = read_base(plan.base, dtype=dtype, device=self.accelerator.device)
        self.corpus = self._corpus()
        check_shown(self.corpus, plan.shown)
        make = Make(self.corpus.width, plan.tokens, plan.hidden, plan.learns, plan.net_hears, plan.start)
        self.student = Student(self.base, make, seed=plan.seed)
        if plan.checkpointing:
            self.base.parts()["unet"].enable_gradient_checkpointing()
            self.student.net.enable_gradient_checkpointing()
        self.parameters = self.student.learning()
        optimizer = runs.adamw(self.parameters.values(), plan.pace.lr)
        self.wrapped, self.optimizer = self.accelerator.prepare(self.student, optimizer)
        self.average = Average(self.parameters.values(), plan.pace.average) if plan.pace.average else None
        self.step, elapsed = self._restore()
        self.clock = Clock(plan.pace.minutes * 60, elapsed, read=time.monotonic)

    def _corpus(self) -> Corpus:
        """Encodes what is missing, each process its share, and opens the set."""
        share = (self.accelerator.process_index, self.accelerator.num_processes)
        folder = encode_rows(self.plan.rows, self.base, self.plan.base, part=share)
        self.accelerator.wait_for_everyone()
        return Corpus(self.plan.rows, folder)

    def _restore(self) -> tuple[int, float]:
        """Loads the checkpoint where there is one and returns its step and elapsed seconds."""
        kept = runs.load_state(self.plan.out / "checkpoint.pt")
        if kept is None:
            return 0, 0.0
        recipe = self.plan.recipe()
        if odd := [key for key in recipe if json.loads(kept["recipe"]).get(key) != recipe[key]]:
            raise ValueError(
                f"{self.plan.out} holds a run with another {', '.join(odd)}. A run goes on as it began. "
                "Name another folder, or repeat the first command."
            )
        with torch.no_grad():
            for name, value in self.parameters.items():
                value.copy_(kept["model"][name])
        self.optimizer.load_state_dict(kept["optimizer"])
        if self.average is not None:
            self.average.kept = [t.to(p.device) for t, p in zip(kept["average"], self.average.live, strict=True)]
        return kept["step"], kept["elapsed"]

    def draw(self, step: int, part: int = 0) -> Batch:
        """Draws what this process is shown at a step, already on its device."""
        pace = self.plan.pace
        return draw_batch(
            self.corpus,
            self.plan.shown,
            turn=Turn(
                self.plan.seed,
                step * pace.accumulate + part,
                self.accelerator.process_index,
                pace.batch // pace.accumulate,
            ),
            side=self.base.resolution,
            levels=self.base.path.num_levels,
        ).to(self.accelerator.device)

    def progress(self) -> float:
        """Returns how much of the schedule is over, in [0, 1]; the first process's clock counts for all."""
        elapsed = self.clock.tick()
        if self.plan.pace.steps is not None:
            return min(1.0, self.step / self.plan.pace.steps)
        if self.accelerator.num_processes == 1:
            return elapsed
        return float(broadcast(torch.tensor([elapsed], device=self.accelerator.device))[0])

    def advance(self, progress: float) -> tuple[float, float]:
        """Makes one step at a progress; returns its loss and the norm of its gradients."""
        pace, losses = self.plan.pace, []
        runs.set_rate(self.optimizer, pace.lr * runs.rate(progress, self.step, warmup=pace.warmup, hold=pace.hold))
        for part in range(pace.accumulate):
            last = part == pace.accumulate - 1
            loss = self._part(part, alone=not last)
            losses.append(loss)
        norm = self.accelerator.clip_grad_norm_(list(self.parameters.values()), pace.max_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        if self.average is not None:
            self.average.update(self.step)
        return sum(losses) / len(losses), float(norm)

    def _part(self, part: int, *, alone: bool) -> float:
        """Adds the gradients of one part of a batch; only the last part is shared with other processes."""
        if alone:
            with self.accelerator.no_sync(self.wrapped):
                loss = self.wrapped(self.draw(self.step, part)).mean()
                self.accelerator.backward(loss / self.plan.pace.accumulate)
        else:
            loss = self.wrapped(self.draw(self.step, part)).mean()
            self.accelerator.backward(loss / self.plan.pace.accumulate)
        return loss.item()

    def save(self) -> None:
        """Writes the checkpoint and, for packaging, the averaged weights."""
        if not self.accelerator.is_main_process:
            return
        model = {name: value.detach() for name, value in self.parameters.items()}
        recipe = json.dumps(self.plan.recipe())
        average = [] if self.average is None else self.average.kept
        state = {"model": model, "average": average, "optimizer": self.optimizer.state_dict(), "recipe": recipe}
        runs.save_state({**state, "step": self.step, "elapsed": self.clock.elapsed}, self.plan.out / "checkpoint.pt")
        shipped = model if self.average is None else dict(zip(model, average, strict=True))
        facts = {
            "recipe": recipe,
            "step": self.step,
            "width": self.corpus.width,
            "space": self.corpus.manifest["space"],
        }
        runs.save_state({"weights": shipped, **facts, "seconds": self.clock.elapsed}, self.plan.out / "weights.pt")


def train(plan: Plan, accelerator: Accelerator | None = None) -> int:
    """Trains until the schedule's end (earlier runs counted in) or a SIGTERM, and saves.

    Args:
        plan: what to do.
        accelerator: unset makes one from the plan.

    Returns:
        The step that was reached.

    Raises:
        RuntimeError: the loss is no longer finite.
    """
    course, stopped = Course(plan, accelerator), []
    before = signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))  # saves, then leaves
    try:
        _loop(course, lambda: bool(stopped))
    finally:
        signal.signal(signal.SIGTERM, before)
    if not stopped and course.accelerator.is_main_process:
        runs.done_path(plan.out, STAGE).write_text(f"{course.step}\n")
    return course.step


def _loop(course: Course, stopped: Callable[[], bool]) -> None:
    pace, main, losses = course.plan.pace, course.accelerator.is_main_process, []
    course.clock.start()
    begun, first = course.clock.elapsed, course.step
    saved, progress = begun, course.progress()
    while progress < 1 and not _any(course, stopped()):
        loss, norm = course.advance(progress)
        # with fp16, a gradient that is too large is skipped by the scaler and no cause for alarm
        if not math.isfinite(loss if course.plan.precision == "fp16" else loss + norm):
            raise RuntimeError(
                f"the loss is {loss} and the gradient {norm} at step {course.step}. Finite numbers are needed. "
                "Lower --lr and repeat the command: it goes on from the last checkpoint."
            )
        losses, progress = [*losses[-99:], loss], course.progress()
        if main and course.step % 20 == 0:
            done = (course.step - first) * pace.batch * course.accelerator.num_processes
            facts = {
                "loss": sum(losses) / len(losses),
                "grad": norm,
                "per_second": done / max(course.clock.elapsed - begun, 1e-9),
            }
            runs.note(course.plan.out, STAGE, step=course.step, progress=progress, **facts)
        if course.clock.elapsed - saved > pace.save_seconds:
            course.save()
            saved = course.clock.elapsed
    course.save()
    course.accelerator.wait_for_everyone()


def _any(course: Course, mine: bool) -> bool:
    """Returns whether any process was asked to stop, so that all leave after the same step."""
    if course.accelerator.num_processes == 1:
        return mine
    told = torch.tensor([float(mine)], device=course.accelerator.device)
    return bool(course.accelerator.reduce(told, "sum")[0] > 0)
